package http1

import (
	"io"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// Tunnel implements exchange.Codec: what follows a 101 response. Each direction has a goroutine; while nothing moves neither holds a
// buffer. A side that closes its sending half has that passed on, and the other direction goes on. The tunnel ends when both
// directions have, when either fails, or when nothing moved in both for the time of Timeouts.TunnelIdle.
func (s *Session) Tunnel(x *exchange.Exchange, endpoint *socket.Conn, early []byte) {
	t := &tunnel{client: s.conn, endpoint: endpoint, idle: s.set.Timeouts.TunnelIdle, progress: s.set.Timeouts.Progress}
	t.moved.Store(clock.Now())
	unread := s.desk.unread()
	s.desk.r, s.desk.begun = s.desk.w, false
	if s.conn.Write(early, nil, int64(t.progress)) != nil || endpoint.Write(unread, nil, int64(t.progress)) != nil {
		t.end()
	}
	up := make(chan struct{})
	go func() {
		t.runMove(t.client, t.endpoint)
		close(up)
	}()
	t.runMove(t.endpoint, t.client)
	<-up
	x.KeepAlive = false
	x.End = exchange.Tunnelled
}

type tunnel struct {
	client, endpoint *socket.Conn
	idle, progress   time.Duration
	moved            atomic.Int64 // when bytes last moved, in either direction
	writing          atomic.Int32 // directions that have bytes to deliver; how long that may take is for progress to say
}

// end makes both directions stop.
func (t *tunnel) end() {
	t.client.Kill()
	t.endpoint.Kill()
}

// runMove moves bytes from src to dst until src ends or the tunnel does.
func (t *tunnel) runMove(src, dst *socket.Conn) {
	var looked int64 // when the time was last over while the other direction was writing
	for {
		buf, n, err := src.ReadLent(bufpool.Medium, max(t.moved.Load(), looked)+int64(t.idle))
		switch {
		case err == nil:
			t.writing.Add(1)
			err = dst.Write(buf[:n], nil, int64(t.progress))
			full := n == len(buf)
			bufpool.Put(buf)
			if err == nil && full {
				// More than a message's worth: let the kernel move what else is there.
				var read error
				_, read, err = socket.Splice(dst, src, socket.All, 0, int64(t.progress))
				if err == nil && read != socket.ErrNoSplice {
					err = read
				}
			}
			t.moved.Store(clock.Now())
			t.writing.Add(-1)
			if err != nil && err != io.EOF {
				t.end()
				return
			}
		case err == socket.ErrTimeout:
			now := clock.Now()
			if t.writing.Load() > 0 {
				looked = now
				continue
			}
			if now < t.moved.Load()+int64(t.idle) { // looked at after writing, which ends by setting it
				continue
			}
		}
		if err == io.EOF {
			if src.Truncated() {
				dst.CutWrite() // the other side must not take it for a whole stream
			} else {
				dst.CloseWrite() // an error shows in the other direction
			}
			return
		}
		if err != nil {
			t.end()
			return
		}
	}
}
