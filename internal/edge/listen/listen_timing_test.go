package listen

import (
	"net"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/socket"
)

// BenchmarkWake is one small echo over loopback that parks the connection and wakes it again each time, as on a crowded listener.
// Compare with BenchmarkStay for what parking costs.
func BenchmarkWake(b *testing.B) {
	benchmarkEcho(b, openFunc(func(c *socket.Conn) Session { return &wake{bare: bare{c}} }))
}

type wake struct {
	bare
	buf [64]byte
}

func (s *wake) Serve() bool {
	for {
		if state := s.State(); state != socket.PeerTalks {
			return state == socket.PeerSilent
		}
		n, err := s.Read(s.buf[:], 0)
		if err != nil || s.Write(s.buf[:n], nil, int64(time.Second)) != nil {
			return false
		}
	}
}

// BenchmarkStay is the same on a session that stays on its goroutine.
func BenchmarkStay(b *testing.B) {
	benchmarkEcho(b, openFunc(func(c *socket.Conn) Session { return stay{bare{c}} }))
}

type stay struct{ bare }

func (s stay) Serve() bool {
	var buf [64]byte
	for {
		n, err := s.Read(buf[:], 0)
		if err != nil || s.Write(buf[:n], nil, int64(time.Second)) != nil {
			return false
		}
	}
}

func benchmarkEcho(b *testing.B, h Handler) {
	_, address, _ := start(b, h, Settings{})
	nc := dial(b, address)
	buf := make([]byte, 5)
	b.ReportAllocs()
	for b.Loop() {
		nc.Write([]byte("hello"))
		if n, err := nc.Read(buf); n != 5 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkAccept is a connection's whole life: accepted, parked, hung up, closed. The client's part is in it.
func BenchmarkAccept(b *testing.B) {
	set, address, _ := start(b, openFunc(func(c *socket.Conn) Session { return bare{c} }), Settings{})
	var dialer net.Dialer
	b.ReportAllocs()
	for b.Loop() {
		nc, err := dialer.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		nc.(*net.TCPConn).SetLinger(0) // leave no port waiting
		nc.Close()
	}
	await(b, "all are gone", func() bool { s := stat(set); return s.Open == 0 })
}
