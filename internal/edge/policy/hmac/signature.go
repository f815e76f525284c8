package hmac

import (
	"encoding/base64"
	"strconv"
)

// What is read of the fields Signature-Input and Signature at most. Nobody who signs a request comes near.
const (
	maxText       = 4 << 10 // bytes of either field, all its lines together
	maxSignatures = 4
	maxComponents = 32
)

// macSize is the length of an HMAC with SHA-256, in bytes.
const macSize = 32

// signature is one signature of a request: what it says it covers, and what it is. Its strings are views of the fields it was read from.
type signature struct {
	label      string
	components [maxComponents]string
	n          int    // of components
	plain      bool   // no component has parameters
	params     []byte // the components and their parameters as they are signed (RFC 9421 §2.5); its room is kept
	created    int64  // seconds since 1970, absent when it does not say
	expires    int64
	keyID      string // as between the quotation marks; so is alg, and so is tag
	alg        string
	tag        string
	mac        [macSize]byte
	whole      bool // mac was there and had the right length
}

// absent is a time that a signature does not state.
const absent = -1

// covers says whether the signature covers a component.
func (s *signature) covers(name string) bool {
	for _, c := range s.components[:s.n] {
		if c == name {
			return true
		}
	}
	return false
}

// The words for what is wrong with the fields.
const (
	malformed = "malformed" // one of them is not what RFC 9421 asks for, or goes beyond what is read
	unlabeled = "unlabeled" // there is no signature with the label asked for
	several   = "several"   // there are several, and no label was asked for
)

// read reads the signature with a label from the values of both fields; an empty label stands for the only one there is. It returns an empty
// word, or what is wrong.
func (s *signature) read(inputs, signatures, label string) (word string) {
	*s = signature{params: s.params[:0], created: absent, expires: absent, plain: true}
	if len(inputs) > maxText || len(signatures) > maxText {
		return malformed
	}
	in := reader{text: inputs}
	n := in.members(func(key string) {
		if label == "" && s.label == "" || key == label {
			s.label = key
			in.list(s)
		} else {
			in.list(nil)
		}
	})
	switch {
	case in.bad:
		return malformed
	case s.label == "":
		return unlabeled
	case label == "" && n > 1:
		return several
	}
	found := false
	in = reader{text: signatures}
	in.members(func(key string) {
		text := in.bytes()
		if key == s.label {
			found = true
			s.whole = decode(s.mac[:], text)
		}
		in.parameters(nil)
	})
	if in.bad || !found {
		return malformed
	}
	return ""
}

// decode decodes base64 whose content fills all of to, which has 64 bytes at most, and says whether it does.
func decode(to []byte, text string) bool {
	var source [88]byte // base64 of 64 bytes
	var room [66]byte   // what that might decode to
	if base64.StdEncoding.EncodedLen(len(to)) != len(text) {
		return false
	}
	n, err := base64.StdEncoding.Strict().Decode(room[:], source[:copy(source[:], text)])
	return err == nil && n == len(to) && copy(to, room[:n]) == n
}

// reader reads structured fields (RFC 9651, and RFC 8941 before it) as far as signatures have use for them, strictly: what is not written as
// the RFC would write it back, but for white space, is bad. The first thing that is bad makes all the rest bad.
type reader struct {
	text string
	at   int
	bad  bool
}

// members reads a dictionary whose members all have values, which value reads, and returns how many there are. A key that stands twice is
// bad.
func (r *reader) members(value func(key string)) int {
	var keys [maxSignatures]string
	for n := 0; ; {
		key := r.key()
		if n == len(keys) {
			r.bad = true
		}
		for i := 0; i < n && !r.bad; i++ {
			r.bad = keys[i] == key
		}
		r.expect('=')
		if r.bad {
			return n
		}
		keys[n] = key
		n++
		value(key)
		r.skip(" \t")
		if r.bad || r.at == len(r.text) {
			return n
		}
		r.expect(',')
		r.skip(" \t")
	}
}

// list reads an inner list of strings with its parameters into s; nil takes no notice of what it says.
func (r *reader) list(s *signature) {
	r.expect('(')
	for first := true; ; first = false {
		from := r.at
		r.skip(" ")
		if r.peek() == ')' || r.bad {
			break
		}
		if !first && r.at == from {
			r.bad = true // nothing stands between two
			return
		}
		name, parameters := r.string(), false
		r.parameters(func(string, string) { parameters = true })
		if s == nil || r.bad {
			continue
		}
		if s.n == maxComponents || s.covers(name) || !componentName(name) {
			r.bad = true
			return
		}
		if s.plain = s.plain && !parameters; s.n > 0 {
			s.params = append(s.params, ' ')
		} else {
			s.params = append(s.params, '(')
		}
		s.params = append(append(append(s.params, '"'), name...), '"')
		s.components[s.n] = name
		s.n++
	}
	r.expect(')')
	if s == nil {
		r.parameters(nil)
		return
	}
	if s.n == 0 {
		s.params = append(s.params, '(')
	}
	s.params = append(s.params, ')')
	var known struct{ created, expires, keyID, alg, tag, nonce bool }
	r.parameters(func(key, value string) {
		s.params = append(append(s.params, ';'), key...)
		if value != "" {
			s.params = append(append(s.params, '='), value...)
		}
		switch key {
		case "created":
			r.time(value, &known.created, &s.created)
		case "expires":
			r.time(value, &known.expires, &s.expires)
		case "keyid":
			r.quoted(value, &known.keyID, &s.keyID)
		case "alg":
			r.quoted(value, &known.alg, &s.alg)
		case "tag":
			r.quoted(value, &known.tag, &s.tag)
		case "nonce":
			var any string
			r.quoted(value, &known.nonce, &any)
		default:
			r.bad = true // RFC 9421 §2.3 has no other, and who signs one means something by it
		}
	})
}

// componentName says whether a component may be called this: a field name in lower case, or a derived one.
func componentName(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !(lower(c) || digit(c) || c == '-' || c == '@' && i == 0 || i > 0 && (c == '_' || c == '.') || c == '!' || c == '~') {
			return false
		}
	}
	return true
}

// time takes over a parameter that is a time. Each stands once at most.
func (r *reader) time(value string, seen *bool, into *int64) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || *seen {
		r.bad = true
		return
	}
	*seen, *into = true, n
}

// quoted takes over a parameter that is a string.
func (r *reader) quoted(value string, seen *bool, into *string) {
	if len(value) < 2 || value[0] != '"' || *seen {
		r.bad = true
		return
	}
	*seen, *into = true, value[1:len(value)-1]
}

// parameters reads the parameters of what was read last and hands each over, with its value as it is written back: empty for true.
func (r *reader) parameters(each func(key, value string)) {
	for !r.bad && r.peek() == ';' {
		r.at++
		r.skip(" ")
		key, value := r.key(), ""
		if r.peek() == '=' {
			r.at++
			value = r.bare()
		}
		if each != nil && !r.bad {
			each(key, value)
		}
	}
}

// bare reads a bare item and returns it as it is written: a string, a byte sequence, a token or a whole number.
func (r *reader) bare() string {
	from := r.at
	switch c := r.peek(); {
	case c == '"':
		r.string()
	case c == ':':
		r.bytes()
	case digit(c) || c == '-':
		r.integer()
	case lower(c|0x20) || c == '*':
		r.token()
	default: // decimals, booleans, dates and display strings: nothing that signatures use
		r.bad = true
	}
	if r.bad {
		return ""
	}
	return r.text[from:r.at]
}

// key reads the key of a member or of a parameter.
func (r *reader) key() string {
	from := r.at
	for r.at < len(r.text) {
		c := r.text[r.at]
		if !lower(c) && c != '*' && (r.at == from || !digit(c) && c != '_' && c != '-' && c != '.') {
			break
		}
		r.at++
	}
	if r.at == from {
		r.bad = true
	}
	return r.text[from:r.at]
}

// string reads a string and returns what is between its quotation marks, escapes as they are.
func (r *reader) string() string {
	r.expect('"')
	for from := r.at; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[from : r.at-1]
		case c == '\\':
			if r.at++; r.peek() != '"' && r.peek() != '\\' {
				r.bad = true
				return ""
			}
		case c < ' ' || c > '~':
			r.bad = true
			return ""
		}
	}
	r.bad = true
	return ""
}

// bytes reads a byte sequence and returns its base64.
func (r *reader) bytes() string {
	r.expect(':')
	from := r.at
	for r.at < len(r.text) && r.text[r.at] != ':' {
		if c := r.text[r.at]; !lower(c|0x20) && !digit(c) && c != '+' && c != '/' && c != '=' {
			r.bad = true
			return ""
		}
		r.at++
	}
	text := r.text[from:r.at]
	r.expect(':')
	return text
}

// integer reads a whole number of at most 15 digits without leading zeros.
func (r *reader) integer() {
	if r.peek() == '-' {
		r.at++
	}
	from := r.at
	for digit(r.peek()) {
		r.at++
	}
	n := r.at - from
	if n == 0 || n > 15 || r.text[from] == '0' && (n > 1 || from > 0 && r.text[from-1] == '-') || r.peek() == '.' {
		r.bad = true
	}
}

func (r *reader) token() {
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case lower(c | 0x20), digit(c):
		default:
			switch c {
			case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~', ':', '/':
			default:
				return
			}
		}
		r.at++
	}
}

// peek is the next byte, 0 at the end.
func (r *reader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *reader) expect(c byte) {
	if r.peek() != c || r.at == len(r.text) {
		r.bad = true
		return
	}
	r.at++
}

func (r *reader) skip(white string) {
	for r.at < len(r.text) && (r.text[r.at] == ' ' || len(white) > 1 && r.text[r.at] == '\t') {
		r.at++
	}
}

func lower(c byte) bool { return 'a' <= c && c <= 'z' }
func digit(c byte) bool { return '0' <= c && c <= '9' }
