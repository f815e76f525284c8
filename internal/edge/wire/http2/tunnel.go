package http2

import (
	"io"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// Tunnel implements exchange.Codec: what follows a 101 response, which the client saw as 200 (RFC 8441). Each direction has a
// goroutine. A side that closes its sending half has that passed on, and the other direction goes on. The tunnel ends when both
// directions have, when either fails, or when nothing moved in both for the time of Timeouts.TunnelIdle.
func (st *stream) Tunnel(x *exchange.Exchange, endpoint *socket.Conn, early []byte) {
	t := &tunnel{st: st, endpoint: endpoint, idle: int64(st.s.set.Timeouts.TunnelIdle)}
	t.moved.Store(clock.Now())
	if len(early) > 0 && st.send(early, false) != nil {
		t.end()
	}
	endpoint.Wake() // before two goroutines may use it
	up := make(chan struct{})
	go func() {
		t.runUp()
		close(up)
	}()
	t.moveDown()
	t.await(up)
	if t.broken.Load() {
		st.abandon(Cancel)
	}
	x.End = exchange.Tunnelled
}

type tunnel struct {
	st       *stream
	endpoint *socket.Conn
	idle     int64
	moved    atomic.Int64 // when bytes last moved, in either direction
	busy     atomic.Int32 // directions that have bytes to deliver; how long that may take is for Timeouts.Progress to say
	broken   atomic.Bool
}

// end makes both directions stop.
func (t *tunnel) end() {
	t.broken.Store(true)
	t.endpoint.Kill()
	t.st.StopBody()
	t.st.abandon(Cancel)
}

// late says whether nothing moved for too long.
func (t *tunnel) late() bool {
	return t.busy.Load() == 0 && clock.Now() >= t.moved.Load()+t.idle
}

// await waits for the other direction, and ends it when it is idle for too long.
func (t *tunnel) await(up chan struct{}) {
	timer := time.NewTicker(t.tick())
	defer timer.Stop()
	for {
		select {
		case <-up:
			return
		case <-timer.C:
			if t.late() {
				t.end()
			}
		}
	}
}

// tick is how often it is looked whether nothing has moved for too long.
func (t *tunnel) tick() time.Duration {
	return max(min(time.Duration(t.idle)/4, time.Second), time.Millisecond)
}

// runUp moves bytes from the client to the endpoint.
func (t *tunnel) runUp() {
	progress := int64(t.st.s.set.Timeouts.Progress)
	for {
		run, err := t.st.next(0)
		if err == io.EOF {
			t.endpoint.CloseWrite() // an error shows in the other direction
			return
		}
		if err == nil {
			t.busy.Add(1)
			err = t.endpoint.Write(run, nil, progress)
			t.moved.Store(clock.Now())
			t.busy.Add(-1)
		}
		if err != nil {
			t.end()
			return
		}
	}
}

// moveDown moves bytes from the endpoint to the client, and keeps the time for both directions as long as it goes on; then await does.
func (t *tunnel) moveDown() {
	for open := true; open; {
		buf, n, err := t.endpoint.ReadLent(bufpool.Medium, clock.Now()+int64(t.tick()))
		switch err {
		case nil:
			t.busy.Add(1)
			err = t.st.send(buf[:n], false)
			bufpool.Put(buf)
			t.moved.Store(clock.Now())
			t.busy.Add(-1)
		case io.EOF:
			if !t.endpoint.Truncated() { // a reset tells that the stream is not whole
				err = t.st.send(nil, true)
			}
			open = false
		case socket.ErrTimeout:
			if !t.late() {
				continue
			}
		}
		if err != nil {
			t.end()
			return
		}
	}
}
