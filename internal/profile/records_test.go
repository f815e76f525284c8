package profile

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// counting counts writes and throws away what is written.
type counting struct {
	net.Conn
	writes, bytes int
	armed         bool
}

func (c *counting) Write(p []byte) (int, error) {
	if !c.armed {
		return c.Conn.Write(p)
	}
	c.writes++
	c.bytes += len(p)
	return len(p), nil
}

// Each record is a write of its own, so an answer of up to 16 KB is one. With records of growing size 16 KB are five, 64 KB eleven.
func TestRecordsAreWhole(t *testing.T) {
	for size, want := range map[int]int{100: 1, 4 << 10: 1, 16 << 10: 1, 64 << 10: 4} {
		near, far := net.Pipe()
		config := server(t, Settings{})
		done := make(chan struct{})
		var c *counting
		go func() {
			defer close(done)
			c = &counting{Conn: far}
			s := tls.Server(c, config)
			s.Handshake()
			c.armed = true
			s.Write(make([]byte, size))
		}()
		if err := tls.Client(near, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, near)
		<-done
		near.Close()
		if c.writes != want {
			t.Errorf("%d bytes made %d writes of %d bytes, want %d", size, c.writes, c.bytes, want)
		}
	}
}
