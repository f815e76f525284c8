package exchange

import (
	"net/netip"
	"testing"
)

// hotPath is what every exchange costs whatever the steps find: Begin, a header as it is decoded, and what forwarding asks of it.
func hotPath(x *Exchange, conn *Conn) {
	x.Begin(conn, 1)
	h := &x.Request.Header
	h.Add("Host", "api.example.com")
	h.Add("User-Agent", "curl/8.5.0")
	h.Add("Accept", "*/*")
	h.Add("X-Forwarded-For", "203.0.113.77")
	h.Add("X-Custom", "1")
	_, _ = h.Get(Host)
	_, _ = h.Header("x-custom")
	_ = h.Count(ContentLength)
	h.Set(Accept, "application/json")
	h.SetHeader("X-Custom", "2")
	h.Del(XForwardedFor)
	h.DelHeader("X-Other")
}

func TestHotPathAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	x, conn := new(Exchange), &Conn{Peer: netip.MustParseAddrPort("203.0.113.77:5123")}
	if got := testing.AllocsPerRun(1000, func() { hotPath(x, conn) }); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
	if got := x.Request.Header.Len(); got != 4 {
		t.Errorf("%d fields are left, want 4", got)
	}
}

func BenchmarkHotPath(b *testing.B) {
	x, conn := new(Exchange), &Conn{Peer: netip.MustParseAddrPort("203.0.113.77:5123")}
	b.ReportAllocs()
	for b.Loop() {
		hotPath(x, conn)
	}
}

func BenchmarkBegin(b *testing.B) {
	x, conn := new(Exchange), &Conn{Peer: netip.MustParseAddrPort("203.0.113.77:5123")}
	b.ReportAllocs()
	for b.Loop() {
		x.Begin(conn, 1)
	}
}
