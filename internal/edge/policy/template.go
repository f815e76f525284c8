package policy

import (
	"errors"
	"fmt"
	"strings"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
)

// The bounds of templates, in bytes.
const (
	// MaxTemplate is how long the text of a template may be.
	MaxTemplate = 1 << 10
	// MaxFilled is how long what a template gives may be.
	MaxFilled = 8 << 10
)

// Template is a text with facts of an exchange in it: "order-{path.id} of {consumer.name}". {{ and }} stand for braces. It is compiled once,
// does not change, and calls nothing: what it costs is bounded by its length and by what it may give.
//
// The facts are called as conditions call them, see the policy authorize, as far as those have them:
//
//	request.id request.method request.scheme request.host request.path request.query request.time
//	request.headers.NAME request.query_params.NAME
//	request.authority (the host with the port, as the client wrote it)   request.unix_time (in seconds)
//	path.NAME (a {NAME} of the route's path)   path.* (what its /* stands for)
//	client.ip   route   listener
//	consumer.id consumer.name consumer.plan consumer.groups
//	auth.method auth.subject auth.issuer auth.client auth.credential auth.scopes auth.claims.PATH
//	response.status upstream.endpoint (in responses alone)
//
// A fact that is not there is empty. A claim that is a list or an object cannot be told, nor a query parameter that is there twice or has a bad
// escape; of fields there twice all are told, with commas between. Credentials are no facts, nor is what clients say of the way they came.
type Template struct {
	pieces []piece
	// constant is the text, when there is no fact in it.
	constant string
}

// piece is a stretch of text or a fact.
type piece struct {
	literal string
	fact    fact   // none for text
	name    string // of a field, a parameter or a claim
	known   exchange.Known
}

// NewTemplate compiles a template for what is done to a request. Errors say what is wrong with the text.
func NewTemplate(text string) (*Template, error) { return newTemplate(text, MaxTemplate, false) }

// NewResponseTemplate compiles one for a response, of which more is known.
func NewResponseTemplate(text string) (*Template, error) { return newTemplate(text, MaxTemplate, true) }

// NewBodyTemplate compiles one for the body of an answer, which may be longer.
func NewBodyTemplate(text string, max int) (*Template, error) { return newTemplate(text, max, false) }

func newTemplate(text string, max int, response bool) (*Template, error) {
	if len(text) > max {
		return nil, fmt.Errorf("the template has %d bytes; at most %d are allowed", len(text), max)
	}
	t := &Template{}
	var literal []byte
	for at := 0; at < len(text); {
		rest := text[at:]
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			literal = append(literal, rest[0])
			at += 2
		case rest[0] == '}':
			return nil, fmt.Errorf("found } without { at byte %d of %s; write }} for a brace", at+1, shown(text))
		case rest[0] == '{':
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return nil, fmt.Errorf("the brace at byte %d of %s is not closed; write {{ for a brace", at+1, shown(text))
			}
			p, err := parseFact(rest[1:end])
			if err != nil {
				return nil, err
			}
			if p.fact.late() && !response {
				return nil, fmt.Errorf("{%s} is known in responses alone; it cannot be used here", rest[1:end])
			}
			if len(literal) > 0 {
				t.pieces = append(t.pieces, piece{literal: string(literal)})
				literal = literal[:0]
			}
			t.pieces = append(t.pieces, p)
			at += end + 1
		default:
			next := strings.IndexAny(rest, "{}")
			if next < 0 {
				next = len(rest)
			}
			literal = append(literal, rest[:next]...)
			at += next
		}
	}
	if len(t.pieces) == 0 {
		t.constant = string(literal)
		return t, nil
	}
	if len(literal) > 0 {
		t.pieces = append(t.pieces, piece{literal: string(literal)})
	}
	return t, nil
}

// shown is a text for an error.
func shown(text string) string { return fmt.Sprintf("%.60q", text) }

// parseFact finds what stands between braces.
func parseFact(word string) (piece, error) {
	if f, ok := facts[word]; ok {
		return piece{fact: f}, nil
	}
	for prefix, f := range families {
		name, ok := strings.CutPrefix(word, prefix)
		if !ok {
			continue
		}
		known, err := f.check(name)
		if err != nil {
			return piece{}, err
		}
		return piece{fact: f, name: name, known: known}, nil
	}
	return piece{}, fmt.Errorf("{%s} is no fact of an exchange%s; write {{ for a brace", clip(word), meant(word))
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// meant suggests what could have been meant.
func meant(word string) string {
	if best, ok := elsewhere[word]; ok {
		return "; did you mean {" + best + "}?"
	}
	head, tail, dotted := strings.Cut(word, ".")
	if to, ok := elsewhere[head+"."]; ok && dotted {
		return "; did you mean {" + to + tail + "}?"
	}
	if first, second, more := strings.Cut(tail, "."); more {
		if to, ok := elsewhere[head+"."+first+"."]; ok {
			return "; did you mean {" + to + second + "}?"
		}
	}
	if best := document.Suggest(word, words); best != "" {
		return "; did you mean {" + best + "}?"
	}
	return "; there are " + strings.Join(words, ", ")
}

// Constant is the text of a template that has no fact in it.
func (t *Template) Constant() (string, bool) { return t.constant, len(t.pieces) == 0 }

// Append appends what the template gives, as it is: for texts that nobody takes apart. Facts that cannot be told are left out, and what is longer
// than MaxFilled is cut.
func (t *Template) Append(dst []byte, x *exchange.Exchange) []byte {
	from := len(dst)
	dst, _ = t.fill(dst, x, asIs, false, MaxFilled)
	if len(dst)-from > MaxFilled {
		dst = dst[:from+MaxFilled]
	}
	return dst
}

// AppendField appends what the template gives when that may stand in a header field (RFC 9110 §5.5), without white space at its ends. It
// reports false, and appends nothing, when it may not: when it is longer than MaxFilled, holds a control character, or a fact cannot be told. No
// fact can begin a new line or a new field.
func (t *Template) AppendField(dst []byte, x *exchange.Exchange) ([]byte, bool) {
	from := len(dst)
	dst, ok := t.fill(dst, x, asIs, true, MaxFilled)
	if !ok {
		return dst[:from], false
	}
	to, start := len(dst), from
	for start < to && (dst[start] == ' ' || dst[start] == '\t') {
		start++
	}
	for to > start && (dst[to-1] == ' ' || dst[to-1] == '\t') {
		to--
	}
	for _, c := range dst[start:to] {
		if c < ' ' && c != '\t' || c == 0x7f {
			return dst[:from], false
		}
	}
	if start > from {
		to = from + copy(dst[from:], dst[start:to])
	}
	return dst[:to], true
}

// AppendPath appends what the template gives as a part of a path (RFC 3986 §3.3). Facts that are parts of the request's path stay as they are, with
// their escapes; of all others every byte is escaped that is not unreserved, slashes too. The text between facts is not changed. It reports
// false, and appends nothing, when it is longer than MaxFilled or a fact cannot be told. What comes of it may hold dot segments and slashes in a row:
// bring it to its canonical form before it is used.
func (t *Template) AppendPath(dst []byte, x *exchange.Exchange) ([]byte, bool) {
	return t.appendAs(dst, x, inPath, MaxFilled)
}

// AppendQuery is AppendPath for a query (RFC 3986 §3.4), whose ampersands and equals signs stand in the text between facts. Of facts,
// request.query alone may bring its own.
func (t *Template) AppendQuery(dst []byte, x *exchange.Exchange) ([]byte, bool) {
	return t.appendAs(dst, x, inQuery, MaxFilled)
}

// AppendParam is AppendQuery for the name or the value of one parameter: the text between facts is escaped too, and no fact brings another
// parameter.
func (t *Template) AppendParam(dst []byte, x *exchange.Exchange) ([]byte, bool) {
	return t.appendAs(dst, x, inParam, MaxFilled)
}

// AppendHost is AppendPath for a host: facts other than the request's own host have to be letters, digits and hyphens, so that none can name
// another domain than the text behind it does.
func (t *Template) AppendHost(dst []byte, x *exchange.Exchange) ([]byte, bool) {
	return t.appendAs(dst, x, inHost, MaxFilled)
}

// Form is what a text is, and so how facts in it are written.
type Form uint8

// The forms.
const (
	Text Form = iota // facts stay as they are
	JSON             // facts stand in strings (RFC 8259 §7)
)

// CheckBody says whether the facts stand where a body of a form may have them.
func (t *Template) CheckBody(form Form) error {
	quoted := false
	for i := range t.pieces {
		p := &t.pieces[i]
		if p.fact != none {
			if form == JSON && !quoted {
				return errors.New("a fact stands outside of a string of JSON, where it could become anything; write quotes around it")
			}
			continue
		}
		for j := 0; j < len(p.literal); j++ {
			switch {
			case p.literal[j] == '\\' && quoted:
				if j++; j == len(p.literal) && form == JSON {
					return errors.New("a backslash stands before a fact, of which it would escape the beginning; write two")
				}
			case p.literal[j] == '"':
				quoted = !quoted
			}
		}
	}
	return nil
}

// AppendBody appends what the template gives as a body of a form, for which CheckBody found it good. It reports false, and appends nothing, when it
// is longer than max bytes or a fact cannot be told.
func (t *Template) AppendBody(dst []byte, x *exchange.Exchange, form Form, max int) ([]byte, bool) {
	return t.appendAs(dst, x, [...]escape{Text: asIs, JSON: inJSON}[form], max)
}

func (t *Template) appendAs(dst []byte, x *exchange.Exchange, how escape, max int) ([]byte, bool) {
	from := len(dst)
	dst, ok := t.fill(dst, x, how, true, max)
	if !ok {
		return dst[:from], false
	}
	return dst, true
}

// fill appends the pieces. It reports false when it is too long and, with strict, when a fact cannot be told; what stands in dst behind where it
// ended is then no answer.
func (t *Template) fill(dst []byte, x *exchange.Exchange, how escape, strict bool, max int) ([]byte, bool) {
	from := len(dst)
	if len(t.pieces) == 0 {
		dst = how.appendLiteral(dst, t.constant)
		return dst, len(dst)-from <= max
	}
	for i := range t.pieces {
		p := &t.pieces[i]
		if p.fact == none {
			dst = how.appendLiteral(dst, p.literal)
		} else {
			start, ok := len(dst), false
			if dst, ok = p.append(dst, x, from+max-start); !ok {
				if strict {
					return dst, false
				}
				dst = dst[:start]
			}
			if dst, ok = how.escape(dst, start, p.fact); !ok {
				return dst, false
			}
		}
		if len(dst)-from > max {
			return dst, false
		}
	}
	return dst, true
}
