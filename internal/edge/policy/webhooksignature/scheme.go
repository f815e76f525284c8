package webhooksignature

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"
	"sync"

	"straum.dev/straum/internal/edge/exchange"
)

const (
	// maxText is how much of the field with the signature is read, in bytes.
	maxText = 1 << 10
	// maxShown is how many signatures one request may show: as many as a sender that changes its secret needs, and more.
	maxShown = 8
	// maxID is how long the id of a message may be, in bytes.
	maxID = 256
)

// mac is an HMAC, of either hash.
type mac [sha512.Size]byte

// shown is what a request shows. Its strings are views of the request's.
type shown struct {
	macs  [maxShown]mac
	sizes [maxShown]int
	n     int
	id    string
	time  string // as written
	at    int64  // the same in seconds since 1970

	scratch [maxID + 64]byte
}

var desks = sync.Pool{New: func() any { return new(shown) }}

// leave lets go of what belongs to a request.
func (s *shown) leave() {
	*s = shown{}
	desks.Put(s)
}

// name names a request by what is signed of it, so that it is the same one whatever secret it was signed with, and whatever the secrets are when
// it comes again.
func (s *shown) name(body []byte) [sha256.Size]byte {
	sum := sha256.Sum256(body)
	text := append(s.scratch[:0], s.id...)
	text = append(text, '.') // in neither
	text = append(text, s.time...)
	text = append(text, '.')
	return sha256.Sum256(append(text, sum[:]...))
}

// append makes bytes of a short text without allocating.
func (s *shown) append(text string) []byte { return append(s.scratch[:0], text...) }

// add takes one more signature.
func (s *shown) add(text string, decode func(to []byte, text string) int) bool {
	if s.n == maxShown {
		return false
	}
	s.sizes[s.n] = decode(s.macs[s.n][:], text)
	s.n++
	return s.sizes[s.n-1] > 0
}

// stamp takes the time.
func (s *shown) stamp(text string) bool {
	if len(text) == 0 || len(text) > 12 || text[0] == '0' {
		return false
	}
	for i := range len(text) { // a sign would be taken otherwise
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	at, err := strconv.ParseInt(text, 10, 64)
	s.time, s.at = text, at
	return err == nil
}

// scheme is a way of signing.
type scheme struct {
	header string // of the signature
	timed  bool
	hash   func() hash.Hash
	signed []part
	// read reads what a request shows, text being the value of header, and says whether it is well-formed.
	read func(s *shown, text string, header *exchange.Fields) bool
}

// github is the way of GitHub: the HMAC of the content in hexadecimal.
func github() scheme {
	return scheme{header: "X-Hub-Signature-256", hash: sha256.New, signed: []part{{is: content}},
		read: func(s *shown, text string, _ *exchange.Fields) bool {
			text, ok := strings.CutPrefix(text, "sha256=")
			return ok && s.add(text, unhex)
		}}
}

// stripe is the way of Stripe: time and signatures in one field.
func stripe() scheme {
	return scheme{header: "Stripe-Signature", timed: true, hash: sha256.New, signed: []part{{is: timestamp}, {is: literal, text: []byte(".")}, {is: content}},
		read: func(s *shown, text string, _ *exchange.Fields) bool {
			if len(text) > maxText {
				return false
			}
			for more := true; more; {
				var item string
				item, text, more = strings.Cut(text, ",")
				key, value, ok := strings.Cut(strings.TrimSpace(item), "=")
				switch {
				case !ok:
					return false
				case key == "t" && (s.time != "" || !s.stamp(value)):
					return false
				case key == "v1" && !s.add(value, unhex):
					return false
				}
			}
			return s.time != "" && s.n > 0
		}}
}

// standard is the way of Standard Webhooks: id, time and signatures in three fields.
func standard() scheme {
	dot := part{is: literal, text: []byte(".")}
	return scheme{header: "webhook-signature", timed: true, hash: sha256.New, signed: []part{{is: identifier}, dot, {is: timestamp}, dot, {is: content}},
		read: func(s *shown, text string, header *exchange.Fields) bool {
			id, ids := field(header, "webhook-id")
			at, times := field(header, "webhook-timestamp")
			if len(text) > maxText || ids != 1 || times != 1 || !s.stamp(at) || !identifies(id) {
				return false
			}
			s.id = id
			for more := true; more; {
				var item string
				item, text, more = strings.Cut(text, " ")
				version, value, ok := strings.Cut(item, ",")
				if !ok || version == "v1" && !s.add(value, unbase64) {
					return false // others, such as v1a, are not for shared secrets
				}
			}
			return s.n > 0
		}}
}

// identifies says whether text is the id of a message. A dot would let what is signed be read in two ways.
func identifies(text string) bool {
	if text == "" || len(text) > maxID {
		return false
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' || c == '.' {
			return false
		}
	}
	return true
}

// generic is the way that the configuration describes.
func generic(g *Generic) (scheme, error) {
	c := scheme{header: g.Header, timed: g.Timestamp != "", hash: sha256.New}
	if g.Algorithm == "sha512" {
		c.hash = sha512.New
	}
	decode := unhex
	if g.Encoding == "base64" {
		decode = unbase64
	}
	var err error
	if c.signed, err = parse(g.Signed, c.timed); err != nil {
		return scheme{}, err
	}
	c.read = func(s *shown, text string, header *exchange.Fields) bool {
		text, ok := strings.CutPrefix(text, g.Prefix)
		if !ok || !s.add(text, decode) {
			return false
		}
		if c.timed {
			at, n := field(header, g.Timestamp)
			return n == 1 && s.stamp(at)
		}
		return true
	}
	return c, nil
}

// unhex decodes an HMAC in hexadecimal and returns its length, 0 when it is none.
func unhex(to []byte, text string) int {
	var source [2 * sha512.Size]byte
	if len(text) > len(source) {
		return 0
	}
	n, err := hex.Decode(to, source[:copy(source[:], text)])
	return length(n, err)
}

// unbase64 decodes an HMAC in base64 and returns its length, 0 when it is none.
func unbase64(to []byte, text string) int {
	var source [88]byte // base64 of 64 bytes
	var room [66]byte   // what that might decode to
	if len(text) > len(source) || strings.ContainsAny(text, "\r\n") {
		return 0
	}
	n, err := base64.StdEncoding.Strict().Decode(room[:], source[:copy(source[:], text)])
	return length(copy(to, room[:n]), err)
}

// length is n where that is the length of an HMAC, else 0.
func length(n int, err error) int {
	if err != nil || n != sha256.Size && n != sha512.Size {
		return 0
	}
	return n
}

// field is the value of the first line of a field, and how many lines it has.
func field(header *exchange.Fields, name string) (value string, n int) {
	all := header.All()
	for i := range all {
		if !is(&all[i], name) {
			continue
		}
		if n == 0 {
			value = all[i].Value
		}
		n++
	}
	return value, n
}

func is(f *exchange.Field, name string) bool {
	known := exchange.Lookup(name)
	return f.Known == known && (known != exchange.Other || strings.EqualFold(f.Name, name))
}
