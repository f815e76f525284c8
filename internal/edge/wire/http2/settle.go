package http2

import (
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// errContent is what a body fails with that is not as long as announced, or whose trailer section is malformed.
var errContent = fault.New(fault.Framing, nil)

// draining is how far a connection has come on its way to an orderly end (RFC 9113 §6.8).
type draining uint8

const (
	notDraining draining = iota
	announced            // the client was told to open no more streams; those it was just opening are served
	lastCalled           // it was told which stream is the last that is served
)

const (
	// roundTrip is how long a client may take to show that it has read the announcement, before it is told what the last stream is.
	roundTrip = int64(time.Second)
	drainPing = "straum\x00\x00"
	// lingerTime and lingerBytes are how much of what a client still sends is read after the last frame, so that it gets to see
	// that frame and not a reset.
	lingerTime  = int64(2 * time.Second)
	lingerBytes = 256 << 10
)

// leaving says whether the connection is to come to an orderly end: the listener is going away, or a fault asked for it.
func (s *Session) leaving() bool { return s.shut.Load() || s.gate.Draining() }

// shutDown begins an orderly end of the connection. Goroutines of streams call it.
func (s *Session) shutDown() {
	if s.shut.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.poked {
		s.poked = true
		s.conn.InterruptRead()
	}
}

// drain goes on with the end of the connection, if it is leaving.
func (s *Session) drain() {
	switch s.draining {
	case notDraining:
		if !s.leaving() {
			return
		}
		s.draining, s.drainBy = announced, s.now+roundTrip
		s.tell(maxWindow, NoError, "")
		s.mu.Lock()
		s.control(append(appendHeader(s.scratch[:0], 8, framePing, 0, 0), drainPing...))
		s.mu.Unlock()
		fallthrough
	case announced:
		if s.now < s.drainBy {
			s.next = min(s.next, s.drainBy)
			return
		}
		s.draining = lastCalled
		s.tell(s.lastID, NoError, "")
		s.mu.Lock()
		s.hurry = true
		s.mu.Unlock()
		fallthrough
	case lastCalled:
		s.mu.Lock()
		s.over = len(s.streams) == 0
		s.mu.Unlock()
	}
}

// tell sends GOAWAY.
func (s *Session) tell(last uint32, code Code, why string) {
	s.stats.goAways[code].Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.control(appendGoAway(nil, last, code, why))
}

// ending says whether the connection will carry no further request.
func (s *Session) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead || s.closing || s.leaving()
}

// breach ends the connection because of what the client did: it is told why, and everything under way is given up.
func (s *Session) breach(b *breach) {
	s.over = true
	if b.guard != NoGuard {
		s.stats.guards[b.guard].Add(1)
	}
	s.mu.Lock()
	if s.queueFull {
		s.out, s.replies, s.queueFull = s.out[:0], 0, false // it does not read them anyway
	}
	s.mu.Unlock()
	s.tell(s.lastID, b.code, b.text)
	s.mu.Lock()
	s.closing = true
	s.leaveAll()
	s.mu.Unlock()
}

// lost ends the connection because nothing can be read any more.
func (s *Session) lost(err error) {
	s.over = true
	s.mu.Lock()
	s.fail(false)
	s.mu.Unlock()
}

// fail notes that the connection is dead. The lock is held.
func (s *Session) fail(slow bool) {
	s.dead = true
	s.slow = s.slow || slow
	s.leaveAll()
}

// leaveAll makes all streams fail. The lock is held.
func (s *Session) leaveAll() {
	for _, st := range s.streams {
		st.leave()
	}
	s.cond.Broadcast()
}

// finish waits until everything is written and all streams are done.
func (s *Session) finish() {
	s.launch()
	s.discardBlock()
	s.mu.Lock()
	for s.flushing {
		s.cond.Wait()
	}
	dead := s.dead
	s.mu.Unlock()
	if !dead {
		s.linger()
	}
	s.mu.Lock()
	s.fail(false)
	s.mu.Unlock()
	s.await()
	if s.panicked != "" {
		panic(s.panicked) // who serves the connection tells of it
	}
}

// await waits until nobody uses the session but its caller.
func (s *Session) await() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.streams) > 0 || s.flushing {
		s.cond.Wait()
	}
	s.mu.Unlock()
	s.dismiss(len(s.spare))
	s.mu.Lock()
	for s.goroutines > 0 {
		s.cond.Wait()
	}
}

// discardBlock drops the stream of a header block that will not be completed.
func (s *Session) discardBlock() {
	b := &s.block
	if b.st != nil && !b.trail {
		s.mu.Lock()
		s.discard(b.st)
		s.mu.Unlock()
	}
	b.st, b.into = nil, nil
	b.release()
	s.dropHeld()
}

// linger closes the sending side in a way that lets the client see the last frame: what it still sends is read and thrown away for a
// while, because closing before that would reset the connection, and a reset takes with it what was written and has not arrived. A
// client that is silent now may yet raise its windows for what it is about to read.
func (s *Session) linger() {
	if s.conn.CloseWrite() != nil {
		return
	}
	by := clock.Now() + min(lingerTime, int64(s.set.Timeouts.Progress))
	for total := 0; total < lingerBytes; {
		buf, n, err := s.conn.ReadLent(bufpool.Medium, by)
		if err != nil && err != socket.ErrInterrupted {
			return
		}
		if err == socket.ErrInterrupted {
			s.conn.ResumeRead()
			continue
		}
		total += n
		bufpool.Put(buf)
	}
}

// goodbye tells a client whose idle connection is closed what the last stream was, so that it knows that it may send again what is on
// its way. It does not wait.
func (s *Session) goodbye() {
	if s.over || !s.begun || s.dead || s.closing || s.draining == lastCalled {
		return
	}
	s.stats.goAways[NoError].Add(1)
	s.conn.Farewell(appendGoAway(nil, s.lastID, NoError, ""))
}
