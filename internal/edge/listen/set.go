package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/socket"
)

// Set is all listeners of the gateway.
type Set struct {
	log  *slog.Logger
	lot  *lot
	bell bell          // rings when a connection ends
	ids  atomic.Uint64 // the last connection's
	cut  chan struct{} // closed when the time to drain is over

	// visitor is the address of a visit of our own that is under way, nil when there is none; see visit.go.
	visitor  atomic.Pointer[string]
	arrived  atomic.Bool // it was accepted
	visiting sync.Mutex  // held for one round of visits
	turn     int         // with whom the next round begins, if there are as many; guarded by visiting

	relieve func()       // may be nil
	guard   Guard        // may be nil
	turns   socket.Turns // of handshakes that compute: one for each processor, so that a flood of them delays others by one at most

	// handshake is how long handshakes under way may take when a listener goes away: a round trip of a distant client.
	handshake time.Duration

	mu      sync.Mutex
	live    []*listener // in the order of the settings
	leaving []*listener // removed, not yet ended
	drained bool
}

// New makes an empty set. Drain must end it.
func New(log *slog.Logger) (*Set, error) {
	lot, err := newLot()
	if err != nil {
		return nil, fmt.Errorf("listen: cannot set up the parking of idle connections: %w", err)
	}
	return &Set{log: log, lot: lot, cut: make(chan struct{}), turns: make(socket.Turns, runtime.GOMAXPROCS(0)),
		handshake: 300 * time.Millisecond}, nil
}

// Relieve sets what is called when descriptors run out, so that others who hold some they can do without give them up. It is to be set
// before the first Apply.
func (s *Set) Relieve(others func()) { s.relieve = others }

// Watch sets who watches the doors of all listeners. It is to be set before the first Apply.
func (s *Set) Watch(g Guard) { s.guard = g }

// errDrained is what a set says after its end.
var errDrained = errors.New("listen: the listeners have been drained; a new set is needed")

// Apply makes the set listen as settings say, each with the handler of its name. New addresses are opened before anything is
// changed, so that after an error all is as it was. Listeners whose address is in the settings keep their sockets and
// connections and go on with the new values: limits count from the next connection, the idle timeout at once. Listeners whose
// address is not are removed: their queue is emptied, parked connections are closed, others end at their next point between
// requests. Apply does not wait for that.
func (s *Set) Apply(settings []Settings, handlers map[string]Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		return errDrained
	}
	wanted, err := check(settings, handlers)
	if err != nil {
		return err
	}
	s.forgetEnded()

	// First what can fail.
	next := make([]*listener, len(wanted))
	opened := make([][]queue, len(wanted))
	for i, want := range wanted {
		if next[i] = s.find(want.Address); next[i] != nil {
			continue
		}
		l := &listener{set: s}
		opened[i], l.fastOpen, err = openSockets(want, want.Sockets, "", !s.holdsPort(want))
		if err == nil {
			if path, ok := want.unixPath(); ok {
				l.file, err = fileOf(path, want)
			}
		}
		if err != nil {
			for _, sockets := range opened {
				closeUnused(sockets)
			}
			return err
		}
		next[i] = l
	}

	// Then what cannot.
	before := s.live
	s.live = next
	for i, l := range next {
		handler := handlers[wanted[i].Name]
		if opened[i] == nil {
			if err := l.change(wanted[i], handler); err != nil {
				l.log(slog.LevelWarn, "the listener goes on, but not all of its new settings are in force", slog.Any("error", err))
			}
			continue
		}
		l.settings.Store(&inForce{wanted[i], handler, &Gate{l: l}})
		l.row.idle = int64(wanted[i].IdleTimeout)
		s.lot.addRow(&l.row)
		l.start(opened[i])
	}
	for _, l := range before {
		if !slices.Contains(next, l) {
			l.stop()
			s.leaving = append(s.leaving, l)
		}
	}
	s.bell.ring() // a higher limit may let paused acceptors go on
	return nil
}

// check completes the settings and refuses those that contradict each other.
func check(settings []Settings, handlers map[string]Handler) ([]*Settings, error) {
	wanted := make([]*Settings, len(settings))
	for i := range settings {
		complete, err := settings[i].complete()
		if err != nil {
			return nil, err
		}
		if handlers[complete.Name] == nil {
			return nil, fmt.Errorf("listener %q: there is no handler of this name", complete.Name)
		}
		for _, other := range wanted[:i] {
			if other.Name == complete.Name {
				return nil, fmt.Errorf("listener %q: two listeners have this name; names are unique", complete.Name)
			}
			if covers(other, &complete) {
				return nil, fmt.Errorf("listener %q: %s takes the same connections as %s of listener %q; remove one of them",
					complete.Name, complete.Address, other.Address, other.Name)
			}
		}
		wanted[i] = &complete
	}
	return wanted, nil
}

func (s *Set) find(address string) *listener {
	for _, l := range s.live {
		if l.settings.Load().Address == address {
			return l
		}
	}
	return nil
}

// holdsPort says that a listener of ours, possibly one on its way out, is on the port, so that finding it taken means nothing.
func (s *Set) holdsPort(want *Settings) bool {
	_, port, err := net.SplitHostPort(want.Address)
	if err != nil {
		return false
	}
	for _, l := range slices.Concat(s.live, s.leaving) {
		if addr := l.addr(); addr != nil {
			if _, held, err := net.SplitHostPort(addr.String()); err == nil && held == port {
				return true
			}
		}
	}
	return false
}

// forgetEnded lets go of removed listeners that nothing is left of.
func (s *Set) forgetEnded() {
	s.leaving = slices.DeleteFunc(s.leaving, (*listener).ended)
	for _, l := range s.live {
		l.stopping = slices.DeleteFunc(l.stopping, func(a *acceptor) bool {
			select {
			case <-a.done:
				return true
			default:
				return false
			}
		})
	}
}

// killPatience is how long Drain waits for connections it has cut: they fail at once, unless their goroutine waits for something
// other than its client.
const killPatience = 5 * time.Second

// Drain ends the set: the queues are emptied, parked connections closed, and the others may go on to their next point between
// requests until ctx ends. Those left then are cut; Drain says how many. It may be called once.
func (s *Set) Drain(ctx context.Context) (cut int) {
	s.mu.Lock()
	if s.drained {
		s.mu.Unlock()
		return 0
	}
	s.drained = true
	for _, l := range s.live {
		l.stop()
	}
	s.leaving = append(s.leaving, s.live...)
	s.live = nil
	all := slices.Clone(s.leaving)
	s.mu.Unlock()

	if !s.await(ctx, all) {
		close(s.cut)
		for _, l := range all {
			for _, a := range l.stopping {
				a.ln.Close()
				<-a.done // nobody comes in any more
			}
			cut += int(l.open.Load())
		}
		s.lot.killAll()
		patience, cancel := context.WithTimeout(context.Background(), killPatience)
		defer cancel()
		s.await(patience, all)
	}
	s.lot.close()
	return cut
}

// await waits until all listeners have ended, and says false when ctx ended first.
func (s *Set) await(ctx context.Context, all []*listener) bool {
	for _, l := range all {
		for _, a := range l.stopping {
			select {
			case <-a.done:
			case <-ctx.Done():
				return false
			}
		}
	}
	heard := s.bell.hear()
	defer s.bell.leave()
	for slices.ContainsFunc(all, func(l *listener) bool { return l.open.Load() > 0 }) {
		select {
		case <-heard:
			heard = s.bell.again()
		case <-ctx.Done():
			return false
		}
	}
	return true
}
