package quota

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/quota"
)

// subject says who is counted.
type subject struct {
	parts    []part
	text     string // the same for the same parts
	personal bool   // it depends on who asks
	key      [32]byte
	identity string // of the policy, so that its counts are no other's
}

type part struct {
	kind   kindOfPart
	header string
}

type kindOfPart byte

// What a count may depend on, as it stands in what is hashed.
const (
	byConsumer   kindOfPart = 'c'
	bySubject    kindOfPart = 's' // of an issuer, where there is no consumer
	byCredential kindOfPart = 'k'
	byAddress    kindOfPart = 'a'
	byListener   kindOfPart = 'l' // where there is no address
	byRoute      kindOfPart = 'r'
	byHeader     kindOfPart = 'h'
)

// parseSubject reads the option by.
func parseSubject(words []string) (s subject, err error) {
	kinds := map[string]kindOfPart{"consumer": byConsumer, "credential": byCredential, "address": byAddress, "route": byRoute}
	for _, word := range words {
		p := part{kind: kinds[word]}
		if header, is := strings.CutPrefix(word, "header:"); is {
			p = part{byHeader, strings.ToLower(header)}
		} else if word == "all" {
			if len(words) > 1 {
				return s, fmt.Errorf("all stands in %s; it means that nobody is told apart, and stands alone", strings.Join(words, ", "))
			}
			return subject{text: "all"}, nil
		}
		if slices.Contains(s.parts, p) {
			return s, fmt.Errorf("%s is there twice", word)
		}
		s.parts = append(s.parts, p)
		s.personal = s.personal || p.kind != byRoute
	}
	slices.SortFunc(s.parts, func(a, b part) int {
		if a.kind != b.kind {
			return int(a.kind) - int(b.kind)
		}
		return strings.Compare(a.header, b.header)
	})
	for _, p := range s.parts {
		s.text += string(rune(p.kind)) + p.header + ";"
	}
	return s, nil
}

// id is the number of who asks. Each part has its kind and its length before it, so that no two are taken for one.
func (s *subject) id(x *exchange.Exchange) quota.ID {
	b := make([]byte, 0, 512) // enough for what is usual
	b = append(b, s.key[:]...)
	b = text(b, 'q', s.identity)
	for i := range s.parts {
		switch p := &s.parts[i]; p.kind {
		case byConsumer:
			b = caller(b, x)
		case byCredential:
			if c := &x.Caller; c.Method != "" && c.Credential != "" {
				b = text(text(b, byCredential, c.Method), byCredential, c.Credential)
			}
			b = caller(b, x)
		case byAddress:
			b = address(b, x)
		case byRoute:
			b = route(b, x)
		case byHeader:
			if value, ok := x.Request.Header.Header(p.header); ok {
				b = text(text(b, byHeader, p.header), byHeader, value)
			} else {
				b = address(b, x)
			}
		}
	}
	sum := sha256.Sum256(b)
	return quota.ID(sum[:len(quota.ID{})])
}

// caller appends who asks: the consumer, the subject of a credential that belongs to none, or the address of who showed nothing. The anonymous
// consumer is many.
func caller(b []byte, x *exchange.Exchange) []byte {
	switch c := &x.Caller; {
	case c.Method == "":
		return address(b, x)
	case c.Consumer != nil:
		return text(b, byConsumer, c.Consumer.ID)
	case c.Subject != "":
		return text(text(b, bySubject, c.Issuer), bySubject, c.Subject)
	}
	return address(b, x)
}

// address appends the client's address, of IPv6 the /64, since whoever has one address there has them all. Clients without an address, on a
// unix socket, are counted by their listener.
func address(b []byte, x *exchange.Exchange) []byte {
	a := x.Client.Unmap()
	switch {
	case !a.IsValid():
		return text(b, byListener, x.Conn.Listener)
	case a.Is4():
		four := a.As4()
		return append(append(b, byte(byAddress), 4), four[:]...)
	}
	six := a.As16()
	return append(append(b, byte(byAddress), 8), six[:8]...)
}

func route(b []byte, x *exchange.Exchange) []byte {
	name := policy.EveryRoute
	if x.Route != nil {
		name = x.Route.Name
	}
	return text(b, byRoute, name)
}

func text(b []byte, kind kindOfPart, value string) []byte {
	b = binary.LittleEndian.AppendUint32(append(b, byte(kind)), uint32(len(value)))
	return append(b, value...)
}
