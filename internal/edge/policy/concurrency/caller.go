package concurrency

import (
	"encoding/binary"
	"hash/maphash"

	"straum.dev/straum/internal/edge/exchange"
)

// keyOf is the key of who asks, in the sense of the option by.
func (t *table) keyOf(x *exchange.Exchange, by string) key {
	b := make([]byte, 0, 512) // enough for what is usual
	switch by {
	case "route":
		if x.Route != nil {
			b = text(b, 'r', x.Route.Name)
		}
	case "consumer":
		b = caller(b, x)
	default:
		b = address(b, x)
	}
	return key{maphash.Bytes(t.seeds[0], b), maphash.Bytes(t.seeds[1], b)}
}

// caller appends who asks: the consumer, the subject of a credential that belongs to none, or the address of who showed nothing. The anonymous
// consumer is many.
func caller(b []byte, x *exchange.Exchange) []byte {
	switch c := &x.Caller; {
	case c.Method == "":
		return address(b, x)
	case c.Consumer != nil:
		return text(b, 'c', c.Consumer.ID)
	case c.Subject != "":
		return text(text(b, 's', c.Issuer), 's', c.Subject)
	}
	return address(b, x)
}

// address appends the client's address, of IPv6 the /64, since whoever has one address there has them all. Clients without an address, on a
// unix socket, are counted by their listener.
func address(b []byte, x *exchange.Exchange) []byte {
	a := x.Client.Unmap()
	switch {
	case !a.IsValid():
		return text(b, 'l', x.Conn.Listener)
	case a.Is4():
		four := a.As4()
		return append(append(b, 'a', 4), four[:]...)
	}
	six := a.As16()
	return append(append(b, 'a', 8), six[:8]...)
}

// text appends one part, with its kind and its length before it, so that no two are taken for one.
func text(b []byte, kind byte, value string) []byte {
	b = binary.LittleEndian.AppendUint32(append(b, kind), uint32(len(value)))
	return append(b, value...)
}
