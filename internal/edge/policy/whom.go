package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"straum.dev/straum/internal/edge/exchange"
)

// Whom says whom something is counted for: what tells callers apart. The zero Whom tells nobody apart.
type Whom struct {
	parts []whomPart
	// ByListener counts requests without an address, as over a unix socket, by their listener; otherwise each connection counts alone. What
	// bounds a rate may do the latter, what has to hold over connections does the former.
	ByListener bool
}

// By is one thing that tells callers apart.
type By uint8

// What callers may be told apart by.
const (
	ByConsumer By = iota + 1
	ByCredential
	ByAddress
	ByRoute
	ByHeader
)

type whomPart struct {
	by     By
	header string // in lower case
}

// NewWhom reads the words consumer, credential, address, route and header:NAME. Their order says nothing.
func NewWhom(words []string) (Whom, error) {
	var w Whom
	by := map[string]By{"consumer": ByConsumer, "credential": ByCredential, "address": ByAddress, "route": ByRoute}
	for _, word := range words {
		p := whomPart{by: by[word]}
		if name, is := strings.CutPrefix(word, "header:"); is {
			p = whomPart{ByHeader, strings.ToLower(name)}
		}
		if slices.Contains(w.parts, p) {
			return w, fmt.Errorf("%s is there twice; remove one", word)
		}
		w.parts = append(w.parts, p)
	}
	slices.SortFunc(w.parts, func(a, b whomPart) int {
		if a.by != b.by {
			return int(a.by) - int(b.by)
		}
		return strings.Compare(a.header, b.header)
	})
	return w, nil
}

// Has says whether callers are told apart by it, among others.
func (w *Whom) Has(by By) bool {
	return slices.ContainsFunc(w.parts, func(p whomPart) bool { return p.by == by })
}

// Late says that it takes authentication to know.
func (w *Whom) Late() bool { return w.Has(ByConsumer) || w.Has(ByCredential) }

// Alike says whether two tell callers apart in the same way.
func (w *Whom) Alike(v *Whom) bool { return slices.Equal(w.parts, v.parts) }

// String is the same for those that are alike, and for no others.
func (w *Whom) String() string {
	var b strings.Builder
	for _, p := range w.parts {
		b.WriteString([...]string{ByConsumer: "consumer", ByCredential: "credential", ByAddress: "address", ByRoute: "route", ByHeader: "header:"}[p.by] + p.header + ";")
	}
	return b.String()
}

// Marks of what follows in an identity. Each text has its length before it, so that no two requests that differ have one identity.
const (
	markConsumer   = 'c'
	markSubject    = 's'
	markClient     = 'o'
	markCredential = 'k'
	markIPv4       = '4'
	markIPv6       = '6'
	markConnection = 'n'
	markListener   = 'l'
	markRoute      = 'r'
	markHeader     = 'h'
)

// Append appends the identity of who asks, which is personal data: it is hashed before it is kept.
func (w *Whom) Append(b []byte, x *exchange.Exchange) []byte {
	for i := range w.parts {
		p := &w.parts[i]
		switch p.by {
		case ByConsumer:
			b = w.consumer(b, x)
		case ByCredential:
			if c := &x.Caller; c.Method != "" && c.Credential != "" {
				b = AppendText(AppendText(append(b, markCredential), c.Method), c.Credential)
			}
			b = w.consumer(b, x)
		case ByAddress:
			b = w.address(b, x)
		case ByRoute:
			b = AppendText(append(b, markRoute), x.Route.Name)
		case ByHeader:
			if value, _ := x.Request.Header.Header(p.header); value != "" {
				b = AppendText(append(b, markHeader), value)
			} else {
				b = w.address(b, x)
			}
		}
	}
	return b
}

// consumer is who called, as authentication found out: a consumer, or whom an issuer knows. All who are anonymous would be one caller, so each of
// them is his address.
func (w *Whom) consumer(b []byte, x *exchange.Exchange) []byte {
	switch c := &x.Caller; {
	case c.Method == "":
	case c.Consumer != nil:
		return AppendText(append(b, markConsumer), c.Consumer.ID)
	case c.Subject != "":
		return AppendText(AppendText(append(b, markSubject), c.Issuer), c.Subject)
	case c.Client != "":
		return AppendText(AppendText(append(b, markClient), c.Issuer), c.Client)
	}
	return w.address(b, x)
}

// address is an IPv4 address, or the first 64 bits of one of IPv6, as whoever has one address there has them all.
func (w *Whom) address(b []byte, x *exchange.Exchange) []byte {
	a := x.Client.Unmap()
	switch {
	case a.Is4():
		four := a.As4()
		return append(append(b, markIPv4), four[:]...)
	case a.Is6():
		sixteen := a.As16()
		return append(append(b, markIPv6), sixteen[:8]...)
	case w.ByListener:
		return AppendText(append(b, markListener), x.Conn.Listener)
	}
	return binary.LittleEndian.AppendUint64(append(b, markConnection), x.Conn.ID)
}

// longText is from where on a text is hashed rather than copied.
const longText = 128

// AppendText appends a text so that it cannot be taken for another with what follows it.
func AppendText(b []byte, text string) []byte {
	if len(text) > longText {
		sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))
		return append(append(b, 0xff), sum[:]...)
	}
	return append(append(b, byte(len(text))), text...)
}
