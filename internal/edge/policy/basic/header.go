package basic

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
	"unsafe"
)

// maxPair is the longest user name, colon and password, in bytes.
const maxPair = 1024

// pair is a user name and a password as they were shown. It lives on the stack of who parses it.
type pair struct {
	raw   [maxPair + 2]byte // what base64 may write before it knows the length
	n     int
	colon int
}

// parse reads base64 of a user name, a colon and a password (RFC 7617 §2). It is strict: one pair has one text. Control characters are refused,
// as there, and what is no UTF-8, which the challenge asks for.
func (p *pair) parse(encoded string) bool {
	if len(encoded) > base64.StdEncoding.EncodedLen(maxPair) || len(encoded)%4 != 0 {
		return false
	}
	n, err := strict.Decode(p.raw[:], unsafe.Slice(unsafe.StringData(encoded), len(encoded)))
	if err != nil || n > maxPair {
		return false
	}
	text := p.raw[:n]
	p.n, p.colon = n, bytes.IndexByte(text, ':')
	if p.colon < 1 || !utf8.Valid(text) {
		return false
	}
	for _, c := range text {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

var strict = base64.StdEncoding.Strict()

// username and password are views of the pair.
func (p *pair) username() string { return unsafe.String(&p.raw[0], p.colon) }
func (p *pair) password() string { return unsafe.String(&p.raw[p.colon+1], p.n-p.colon-1) }
