package listen

import (
	"net"
	"os"
	"sync/atomic"
	"time"
)

// listener is one address that connections are accepted on.
type listener struct {
	set      *Set
	settings atomic.Pointer[inForce]
	running  atomic.Int64 // connections that hold a goroutine
	draining atomic.Bool
	seen     atomic.Bool // a visit of our own was answered, see visit.go
	row      row         // the lot's
	clients  clients
	// handshakes of TLS under way.
	handshakes handshakes
	open       atomic.Int64 // connections, from their place until they are closed

	// Guarded by Set.mu.
	acceptors []*acceptor
	stopping  []*acceptor // taken away from a live listener that wants fewer sockets
	fastOpen  string
	file      os.FileInfo // of a unix socket, to know it by when it is removed

	troubles   [troubleKinds]episode
	pauses     [pauseKinds]atomic.Uint64
	accepted   atomic.Uint64
	lively     atomic.Bool // requests of a client were served since a visit began; hardly ever written, so that nobody's cache line moves
	refused    atomic.Uint64
	dropped    atomic.Uint64
	evicted    atomic.Uint64
	expired    atomic.Uint64
	unparkable atomic.Uint64
	// proxyErrors counts connections of trusted peers without a valid header.
	proxyErrors atomic.Uint64
}

// inForce is what holds for a connection from its beginning on. It is replaced whole, so that what belongs together stays together: a
// handshake that has agreed on a protocol gets the handler that knows it.
type inForce struct {
	*Settings
	handler Handler
	gate    *Gate
}

// What is logged once an episode.
const (
	troubleClient = iota
	troubleProxy
	troubleLimit
	troubleDescriptors
	troubleAccept
	troubleKinds
)

// Why accepting pauses.
const (
	pauseLimit = iota
	pauseDescriptors
	pauseOther
	pauseKinds
)

// take takes a place for one connection.
func (l *listener) take() bool {
	for {
		n := l.open.Load()
		if limit := l.settings.Load().MaxConns; limit > 0 && n >= int64(limit) {
			return false
		}
		if l.open.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (l *listener) full() bool {
	limit := l.settings.Load().MaxConns
	return limit > 0 && l.open.Load() >= int64(limit)
}

// start accepts on sockets that have been opened. Set.mu is held.
func (l *listener) start(sockets []queue) {
	for _, ln := range sockets {
		a := &acceptor{l: l, ln: ln, shard: len(l.acceptors), done: make(chan struct{})}
		l.acceptors = append(l.acceptors, a)
		go a.accept()
	}
}

// change gives a live listener other settings. Set.mu is held.
func (l *listener) change(s *Settings, handler Handler) error {
	before := l.settings.Load()
	if before.Rules == s.Rules {
		l.settings.Store(&inForce{s, handler, before.gate})
	} else {
		l.settings.Store(&inForce{s, handler, &Gate{l: l}})
		before.gate.old.Store(true)
		l.set.lot.dismissOld(&l.row)
	}
	l.set.lot.setIdle(&l.row, s.IdleTimeout)
	var err error
	if more := s.Sockets - len(l.acceptors); more > 0 {
		var sockets []queue
		sockets, _, err = openSockets(s, more, l.acceptors[0].ln.Addr().String(), false)
		l.start(sockets)
	}
	for len(l.acceptors) > s.Sockets {
		last := len(l.acceptors) - 1
		l.acceptors[last].stop()
		l.stopping = append(l.stopping, l.acceptors[last])
		l.acceptors = l.acceptors[:last]
	}
	if before.Backlog != s.Backlog || before.FastOpen != s.FastOpen {
		for _, a := range l.acceptors {
			l.fastOpen = adjust(a.ln, s)
		}
	}
	if path, ok := s.unixPath(); ok && before.Mode != s.Mode {
		err = os.Chmod(path, s.Mode)
	}
	return err
}

// stop makes the listener go away: no new connections, parked ones closed, the others told by the gate. Set.mu is held.
func (l *listener) stop() {
	l.draining.Store(true)
	if l.file != nil {
		path, _ := l.settings.Load().unixPath()
		if now, err := os.Lstat(path); err == nil && os.SameFile(now, l.file) {
			os.Remove(path)
		}
	}
	for _, a := range l.acceptors {
		a.stop()
	}
	l.stopping = append(l.stopping, l.acceptors...)
	l.acceptors = nil
	l.set.lot.closeRow(&l.row)
	time.AfterFunc(firstWords, l.handshakes.cutAll)
}

// ended says that a stopped listener has no sockets and no connections left.
func (l *listener) ended() bool {
	for _, a := range l.stopping {
		select {
		case <-a.done:
		default:
			return false
		}
	}
	return l.open.Load() == 0
}

// addr is the address in use, which differs from the one asked for where that left the port to the kernel.
func (l *listener) addr() net.Addr {
	for _, a := range l.acceptors {
		return a.ln.Addr()
	}
	for _, a := range l.stopping {
		return a.ln.Addr()
	}
	return nil
}
