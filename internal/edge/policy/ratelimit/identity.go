package ratelimit

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"unsafe"

	"straum.dev/straum/internal/edge/exchange"
)

// whom says whom a limit counts.
type whom struct {
	parts []part
}

type part struct {
	kind   kind
	header string // the name, in the case it is compared without
}

type kind uint8

// What requests are told apart by.
const (
	byConsumer kind = iota + 1
	byCredential
	byAddress
	byRoute
	byHeader
)

// newWhom reads the words of by.
func newWhom(words []string, errorf func(key, format string, args ...any) error) (whom, error) {
	var w whom
	kinds := map[string]kind{"consumer": byConsumer, "credential": byCredential, "address": byAddress, "route": byRoute}
	for _, word := range words {
		p := part{kind: kinds[word]}
		if name, is := strings.CutPrefix(word, "header:"); is {
			p = part{kind: byHeader, header: name}
		}
		if slices.ContainsFunc(w.parts, func(q part) bool { return q.kind == p.kind && strings.EqualFold(q.header, p.header) }) {
			return w, errorf("by", "%s is there twice; remove one", word)
		}
		w.parts = append(w.parts, p)
	}
	return w, nil
}

// late says that it takes authentication to know.
func (w *whom) late() bool {
	return slices.ContainsFunc(w.parts, func(p part) bool { return p.kind == byConsumer || p.kind == byCredential })
}

// personal says that a request beyond the limit is its sender's doing. It is not where all requests of a route are counted as one, nor by a
// field alone: anybody may send what somebody else sends.
func (w *whom) personal() bool {
	return slices.ContainsFunc(w.parts, func(p part) bool { return p.kind != byRoute && p.kind != byHeader })
}

// alike says whether two tell requests apart in the same way.
func (w *whom) alike(v *whom) bool { return w == v || slices.Equal(w.parts, v.parts) }

// Marks of what follows in an identity. Each text has its length before it, so that no two requests that differ have one identity.
const (
	markConsumer   = 'c'
	markSubject    = 's'
	markClient     = 'o'
	markCredential = 'k'
	markIPv4       = '4'
	markIPv6       = '6'
	markNowhere    = 'n'
	markRoute      = 'r'
	markHeader     = 'h'
)

// append appends the identity of a request.
func (w *whom) append(b []byte, x *exchange.Exchange) []byte {
	for i := range w.parts {
		p := &w.parts[i]
		switch p.kind {
		case byConsumer:
			b = appendConsumer(b, x)
		case byCredential:
			if x.Caller.Method == "" || x.Caller.Credential == "" {
				b = appendConsumer(b, x)
				continue
			}
			b = appendText(append(b, markCredential), x.Caller.Method)
			b = appendText(b, x.Caller.Credential)
			b = appendConsumer(b, x)
		case byAddress:
			b = appendAddress(b, x)
		case byRoute:
			b = appendText(append(b, markRoute), x.Route.Name)
		case byHeader:
			value, there := x.Request.Header.Header(p.header)
			if !there || value == "" {
				b = appendAddress(b, x)
				continue
			}
			b = appendText(append(b, markHeader), value)
		}
	}
	return b
}

// appendConsumer is who called, as authentication found out: a consumer, or whom an issuer knows. All who are anonymous would be one
// caller, so each of them is his address.
func appendConsumer(b []byte, x *exchange.Exchange) []byte {
	c := &x.Caller
	switch {
	case c.Method == "":
		return appendAddress(b, x)
	case c.Consumer != nil:
		return appendText(append(b, markConsumer), c.Consumer.ID)
	case c.Subject != "":
		return appendText(appendText(append(b, markSubject), c.Issuer), c.Subject)
	case c.Client != "":
		return appendText(appendText(append(b, markClient), c.Issuer), c.Client)
	}
	return appendAddress(b, x)
}

// appendAddress is an IPv4 address, or the first 64 bits of one of IPv6, as whoever has one address there has them all. A request without an
// address, as over a unix socket, is that of its connection: it must not use what others without one have.
func appendAddress(b []byte, x *exchange.Exchange) []byte {
	a := x.Client.Unmap()
	switch {
	case a.Is4():
		four := a.As4()
		return append(append(b, markIPv4), four[:]...)
	case a.Is6():
		sixteen := a.As16()
		return append(append(b, markIPv6), sixteen[:8]...)
	}
	return binary.LittleEndian.AppendUint64(append(b, markNowhere), x.Conn.ID)
}

// longText is from where on a text is hashed rather than copied.
const longText = 128

func appendText(b []byte, text string) []byte {
	if len(text) > longText {
		sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))
		return append(append(b, 0xff), sum[:]...)
	}
	return append(append(b, byte(len(text))), text...)
}
