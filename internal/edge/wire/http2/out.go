package http2

import (
	"runtime"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/socket"
)

const (
	// roomBound is how much may wait to be written before those who have more must wait too, in bytes.
	roomBound = 64 << 10
	// replyBound is how much of replies, which do not wait, may wait to be written. A client that makes us reply and does not read the
	// replies is cut off there.
	replyBound = 64 << 10
)

// Everything here is under the session's lock unless it says otherwise.

// control puts a frame that must not wait behind what is to be written: replies and resets.
func (s *Session) control(frame []byte) {
	if s.dead || s.closing {
		return
	}
	if s.replies += len(frame); s.replies > replyBound {
		s.queueFull = true // the connection's goroutine ends it
		return
	}
	s.append(frame)
	s.flush()
}

// append puts bytes behind what is to be written. The buffer grows by the pool's sizes, so that a single small response takes a small
// one.
func (s *Session) append(p []byte) {
	if need := len(s.out) + len(p); need > cap(s.out) {
		bigger := bufpool.Get(need)[:len(s.out)]
		copy(bigger, s.out)
		if s.out != nil {
			bufpool.Put(s.out[:cap(s.out)])
		}
		s.out = bigger
	}
	s.out = append(s.out, p...)
}

// flush sees to it that what was put there is written soon.
func (s *Session) flush() {
	if !s.flushing {
		s.flushing = true
		go s.onFlush()
	}
}

// runFlush writes what there is to be written, and ends. It first lets those run who are about to add to it.
func (s *Session) runFlush() {
	runtime.Gosched()
	s.mu.Lock()
	for len(s.out) > 0 && !s.dead {
		buf := s.out
		s.out, s.replies = nil, 0
		if s.crowd > 0 {
			s.cond.Broadcast()
		}
		s.mu.Unlock()
		err := s.write(buf)
		s.mu.Lock()
		bufpool.Put(buf[:cap(buf)])
		if err != nil {
			s.fail(err == socket.ErrTimeout)
			s.conn.Kill()
		}
	}
	if s.out != nil {
		bufpool.Put(s.out[:cap(s.out)])
		s.out = nil
	}
	s.flushing = false
	s.calm()
	s.cond.Broadcast()
	s.mu.Unlock()
}

// write writes to the connection, without the lock.
func (s *Session) write(buf []byte) error {
	waited := s.conn.WriteWaited()
	err := s.conn.Write(buf, nil, int64(s.set.Timeouts.Progress))
	if err == nil && !s.pace.Fast(int64(len(buf)), s.conn.WriteWaited()-waited) {
		return socket.ErrTimeout
	}
	return err
}

// awaitRoom waits until there is room for more, or nothing can be sent any more.
func (st *stream) awaitRoom() error {
	s := st.s
	for {
		if err := st.sendable(); err != nil {
			return err
		}
		if len(s.out) < roomBound {
			return nil
		}
		s.crowd++
		s.cond.Wait()
		s.crowd--
	}
}

// sendable says why nothing can be sent on the stream any more.
func (st *stream) sendable() error {
	switch {
	case st.slow || st.s.slow:
		return socket.ErrTimeout
	case st.closed || st.s.dead || st.s.closing:
		return errGone
	}
	return nil
}

// window is how much content may be sent on the stream now.
func (st *stream) window() int64 {
	return max(min(st.sendWindow, st.s.sendWindow, frameSize, st.s.peerFrame), 0)
}

// sent notes frames that were put there for the stream, with so much content.
func (st *stream) sent(bytes int, content int64, end bool) {
	st.out += int64(bytes)
	st.sendWindow -= content
	st.s.sendWindow -= content
	if content >= workContent || end {
		st.s.work.Add(workFrame + content/workShare)
	}
	if end {
		st.sentEnd = true
	}
	st.s.flush()
}

const (
	// workContent is how many bytes of content count as work: who makes us send single bytes does not earn by it.
	workContent = 64
	// workFrame and workShare are what a frame of content that was sent pays back: clients raise two windows for it, and some do so
	// for each part of it that they read.
	workFrame = 4
	workShare = 512
)

// commit puts the first frames of a response there, and in the same go the content that was gathered behind them if the windows let
// it pass. It takes the lock.
func (st *stream) commit(head, content []byte, end bool) error {
	s := st.s
	s.mu.Lock()
	if err := st.awaitRoom(); err != nil {
		s.mu.Unlock()
		return err
	}
	whole := len(content) == 0 || int64(len(content)) <= st.window()
	frames := len(head)
	s.append(head)
	s.tabled.Store(true) // blocks made before this one was there say so themselves
	if whole && (len(content) > 0 || end) && head[4]&flagEndStream == 0 {
		var flags uint8
		if end {
			flags = flagEndStream
		}
		s.append(appendHeader(s.scratch[:0], len(content), frameData, flags, st.id))
		s.append(content)
		frames += headerSize + len(content)
	}
	if whole {
		st.sent(frames, int64(len(content)), end || head[4]&flagEndStream != 0)
	} else {
		st.sent(frames, 0, false)
	}
	s.mu.Unlock()
	if whole {
		return nil
	}
	return st.send(content, end)
}

// send puts content there as DATA frames, and waits for the client's windows and for room. It takes the lock.
func (st *stream) send(p []byte, end bool) error {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := st.awaitRoom(); err != nil {
			return err
		}
		n := min(st.window(), int64(len(p)))
		if n == 0 && len(p) > 0 {
			st.awaitWindow()
			continue
		}
		last := end && n == int64(len(p))
		var flags uint8
		if last {
			flags = flagEndStream
		}
		s.append(appendHeader(s.scratch[:0], int(n), frameData, flags, st.id))
		s.append(p[:n])
		st.sent(headerSize+int(n), n, last)
		if !st.paceOut.Fast(n, st.waited) {
			st.slow = true
		}
		st.waited = 0
		if p = p[n:]; len(p) == 0 {
			return nil
		}
	}
}

// awaitWindow waits until a window was raised or it is too late.
func (st *stream) awaitWindow() {
	s := st.s
	from := clock.Now()
	st.stuck, st.stuckBy = true, from+int64(s.set.Timeouts.Progress)
	s.mu.Unlock()
	<-st.raised
	s.mu.Lock()
	st.waited += clock.Now() - from
}

// unstick wakes who waits for a window of the stream.
func (st *stream) unstick() {
	if st.stuck {
		st.stuck = false
		select {
		case st.raised <- struct{}{}:
		default:
		}
	}
}
