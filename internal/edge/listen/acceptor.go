package listen

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"straum.dev/straum/internal/clock"
)

// acceptor is one listening socket with the goroutine that accepts from it.
type acceptor struct {
	l       *listener
	ln      queue
	shard   int
	wait    time.Duration // the last pause, 0 after a connection was accepted
	dropped int64         // when a connection was dropped last
	held    *os.File      // a connection that sweep let in and that has to be made ready for use, nil for none
	until   atomic.Int64  // when a stopping acceptor closes at the latest
	done    chan struct{} // closed when the goroutine has left; the socket is closed then
}

// queue is a *net.TCPListener or a *net.UnixListener.
type queue interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

// A pause begins with minPause and doubles up to maxPause.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// roomForDescriptors is how many parked connections make room when descriptors run out. More than one, because a request on the
// connection that gets in may need another towards its endpoint.
const roomForDescriptors = 8

// accept runs until the socket is closed.
func (a *acceptor) accept() {
	defer close(a.done)
	defer a.ln.Close()
	l, set := a.l, a.l.set
	for {
		nc, err := a.next()
		switch {
		case err == nil:
			if !set.visits(nc) && l.drops(nc) {
				a.clear()
				continue
			}
			if !a.place() {
				nc.Close()
				return
			}
			a.wait = 0
			l.admit(nc, a.shard)
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Only stop sets deadlines. Accept itself looks into the queue only before the deadline, so look again until both agree
			// that it is empty.
			if !waiting(a.ln) || clock.Now() > a.until.Load() {
				return
			}
			a.ln.SetDeadline(time.Now().Add(lastLook))
		case exhausted(err):
			if l.troubles[troubleDescriptors].beginsNow() {
				l.log(slog.LevelError, "no descriptors or memory left for another connection; the longest parked ones are closed to "+
					"make room, and when there are none, new ones wait: raise LimitNOFILE or lower limits.connections",
					slog.Any("error", err))
			}
			heard := set.bell.hear()
			if set.relieve != nil {
				set.relieve()
			}
			if set.lot.makeRoom(nil, roomForDescriptors) == 0 {
				l.pauses[pauseDescriptors].Add(1)
				a.pause(heard)
			}
			set.bell.leave()
		default:
			if l.troubles[troubleAccept].beginsNow() {
				l.log(slog.LevelError, "a connection could not be accepted; trying again", slog.Any("error", err))
			}
			l.pauses[pauseOther].Add(1)
			a.pause(nil)
		}
	}
}

// next is the next connection.
func (a *acceptor) next() (net.Conn, error) {
	if a.held == nil {
		return a.ln.Accept()
	}
	nc, err := a.adopt()
	switch {
	case err == nil:
		return nc, nil
	case exhausted(err):
		select {
		case <-a.l.set.cut: // nobody comes in any more
			err = net.ErrClosed
		default:
			return nil, err // it is tried again when there is room
		}
	}
	a.held.Close()
	a.held = nil
	return nil, err
}

// exhausted says that accepting failed for want of something that ending connections gives back.
func exhausted(err error) bool {
	for _, errno := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// place waits until the listener has a place for one connection more and takes it. It returns false when the set is cut off.
// While it waits, one accepted connection is in hand and the others stay in the kernel's queue.
func (a *acceptor) place() bool {
	l, set := a.l, a.l.set
	for !l.take() {
		if l.troubles[troubleLimit].beginsNow() {
			l.log(slog.LevelWarn, "as many connections are open as limits.connections allows; the longest parked ones are closed to make "+
				"room, and when there are none, new ones wait", slog.Int("limit", l.settings.Load().MaxConns))
		}
		heard := set.bell.hear()
		goOn := true
		set.lot.makeRoom(&l.row, 1)
		if l.full() {
			l.pauses[pauseLimit].Add(1)
			goOn = a.pause(heard)
		}
		set.bell.leave()
		if !goOn {
			return false
		}
	}
	return true
}

// pause waits until the bell rings or its time is over. It returns false when the set is cut off.
func (a *acceptor) pause(heard <-chan struct{}) bool {
	a.wait = min(max(2*a.wait, minPause), maxPause)
	timer := time.NewTimer(a.wait)
	defer timer.Stop()
	select {
	case <-heard:
	case <-timer.C:
	case <-a.l.set.cut:
		return false
	}
	return true
}

const (
	// lastLook is the deadline of an Accept that only empties the queue.
	lastLook = 50 * time.Millisecond
	// stopPatience is how long a stopping acceptor may take to empty its queue, e.g. while a limit makes it pause.
	stopPatience = 30 * time.Second
)

// stop makes the acceptor go away without resetting anybody: no new handshakes, time for those under way, then what is queued,
// then the end. It does not wait for that.
func (a *acceptor) stop() {
	refuseHandshakes(a.ln)
	a.until.Store(clock.Now() + int64(stopPatience))
	a.ln.SetDeadline(time.Now().Add(a.l.set.handshake))
}
