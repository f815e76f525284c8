package certificate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Options of a Store.
type Options struct {
	Log *slog.Logger
	Now func() time.Time // nil is time.Now
	// Follow, when not nil, is told of each certificate that is shown from now on, under an id that stays when the pair's files
	// change. It may call put at once and later, from any goroutine, with the OCSP response to staple; nil takes it back. Once another
	// certificate is shown under the id, put does nothing.
	Follow func(id string, c *tls.Certificate, put func(response []byte))
	// Drop is told that nothing is shown under the id any more.
	Drop func(id string)
	// Stapling says in a sentence how it stands with the stapling of what is shown under the id. Nil leaves it out of Status.
	Stapling func(id string) string

	poll time.Duration // for tests: how often the files are read anyway; 0 is pollEvery
	deaf bool          // for tests: the kernel tells of no changes
	slow func()        // for tests: called before a pair is read; nil is a fast disk
}

// Store holds all pairs in use. Its methods may be called from any goroutine.
type Store struct {
	o    Options
	kick chan struct{} // Run is to look which directories there are

	// order is held over what outsiders are told of, so that they hear it in order, and over the reading of files. It is taken before
	// mu, which is never held over either: Status and put do not wait for a disk.
	order sync.Mutex

	mu      sync.Mutex
	entries map[Pair]*entry // changed by who holds order as well
	choices []*Choice       // those that follow changes
}

// entry is a pair in use. The store's lock guards it.
type entry struct {
	pair     Pair
	live     *loaded          // what was last read and found good; never nil
	shown    *tls.Certificate // live's, with what is stapled to it
	problem  string           // why what the files hold now is not shown; empty when it is
	tried    time.Time        // when the files were last seen to have changed
	told     time.Time        // when the log last heard that it ends soon
	swaps    uint64
	refusals uint64
}

// NewStore makes an empty store. Nothing follows the files until Run does.
func NewStore(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{o: o, kick: make(chan struct{}, 1), entries: map[Pair]*entry{}}
}

// Prepare makes the choice of one listener for a revision that is not in force yet. Pairs the store has already are looked at again:
// if their files changed for the better they are swapped in for all who use them, and if not, the good ones stay. Pairs it does not
// have are read; the error says which file of them is not as it must be, and nothing has changed then. The choice follows its files
// until Retire lets it go.
func (s *Store) Prepare(settings Settings) (*Choice, error) {
	if len(settings.Pairs) == 0 && settings.Fallback == nil {
		return nil, errors.New("certificate: a listener has no certificate to show; give it a pair of files or have them issued (tls: auto)")
	}
	c := &Choice{strict: settings.Strict, fallback: settings.Fallback}
	var fresh []*entry
	now := s.o.Now()
	s.order.Lock()
	defer s.order.Unlock()
	for _, p := range settings.Pairs {
		e := s.entries[p] // order is held: nobody changes them
		if i := slices.IndexFunc(fresh, func(f *entry) bool { return f.pair == p }); e == nil && i >= 0 {
			e = fresh[i]
		}
		if e == nil {
			var err error
			if e, err = s.newEntry(p, now); err != nil {
				return nil, err
			}
			fresh = append(fresh, e)
		}
		if !slices.Contains(c.entries, e) {
			c.entries = append(c.entries, e)
		}
	}
	s.mu.Lock()
	for _, e := range fresh {
		s.entries[e.pair] = e
	}
	c.table.Store(c.build())
	s.choices = append(s.choices, c)
	s.mu.Unlock()

	for _, e := range fresh {
		s.tellLoaded(e)
		s.follow(e)
	}
	for _, e := range c.entries {
		if !slices.Contains(fresh, e) {
			s.check(e)
		}
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
	return c, nil
}

// newEntry reads a pair for the first time.
func (s *Store) newEntry(p Pair, now time.Time) (*entry, error) {
	files, err := s.read(p)
	if err != nil {
		return nil, err
	}
	l, err := p.load(files, now)
	if err != nil {
		return nil, err
	}
	return &entry{pair: p, live: l, shown: l.certificate, tried: now}, nil
}

// read reads the files of a pair. It needs order, and not mu.
func (s *Store) read(p Pair) (contents, error) {
	if s.o.slow != nil {
		s.o.slow()
	}
	return p.read()
}

// Retire keeps the choices given and lets all others go: they stay as they are, for handshakes under way, and follow nothing any
// more. Pairs that no choice uses are forgotten.
func (s *Store) Retire(keep ...*Choice) {
	s.order.Lock()
	defer s.order.Unlock()
	s.mu.Lock()
	s.choices = slices.DeleteFunc(s.choices, func(c *Choice) bool { return !slices.Contains(keep, c) })
	var gone []*entry
	for p, e := range s.entries {
		if !slices.ContainsFunc(s.choices, func(c *Choice) bool { return slices.Contains(c.entries, e) }) {
			delete(s.entries, p)
			gone = append(gone, e)
		}
	}
	s.mu.Unlock()
	if s.o.Drop != nil {
		for _, e := range gone {
			s.o.Drop(e.pair.ID())
		}
	}
}

// Check looks at the files of all pairs now and swaps in what changed. Run does so by itself.
func (s *Store) Check() {
	s.order.Lock()
	defer s.order.Unlock()
	s.mu.Lock()
	all := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		all = append(all, e)
	}
	s.mu.Unlock()
	for _, e := range all {
		s.check(e)
	}
}

// check needs order, as all that may tell outsiders does.
func (s *Store) check(e *entry) {
	files, err := s.read(e.pair)
	s.judge(e, files, err)
}

// judge takes what the files of a pair hold now: shows it if it is new and good, and keeps what there is if not.
func (s *Store) judge(e *entry, files contents, err error) {
	now := s.o.Now()
	s.mu.Lock()
	var next *loaded
	switch {
	case err != nil:
	case files.digest == e.live.digest:
		s.settled(e)
		return
	default:
		if next, err = e.pair.load(files, now); err == nil {
			err = worse(e, next, now)
		}
	}
	if err != nil {
		known := e.problem == err.Error() // it is judged each time: what is not valid yet will be
		if !known {
			e.problem, e.tried = err.Error(), now
			e.refusals++
		}
		s.mu.Unlock()
		if !known {
			s.o.Log.Error("a new certificate is refused, the old one stays", "cert", e.pair.Cert, "key", e.pair.Key, "error", err.Error())
		}
		return
	}
	e.live, e.shown, e.problem = next, next.certificate, ""
	e.tried, e.told = now, time.Time{}
	e.swaps++
	s.show(e)
	s.mu.Unlock()
	s.tellLoaded(e)
	s.follow(e)
}

// settled ends an alarm because the files hold again what is shown. It gives the lock back.
func (s *Store) settled(e *entry) {
	was := e.problem
	e.problem = ""
	s.mu.Unlock()
	if was != "" {
		s.o.Log.Info("the files hold the certificate that is shown again", "cert", e.pair.Cert, "key", e.pair.Key)
	}
}

// worse says why a certificate that could be shown must not replace what is shown.
func worse(e *entry, next *loaded, now time.Time) error {
	bad := next.validity(now)
	if bad == "" || e.live.validity(now) != "" {
		return nil
	}
	return problem("certificate", e.pair.Cert, bad, "one that is valid now, as the one that is shown is", "put a valid one there, or check the clock of the box")
}

// show makes the tables of all choices that have the entry. It needs the lock.
func (s *Store) show(e *entry) {
	for _, c := range s.choices {
		if slices.Contains(c.entries, e) {
			c.table.Store(c.build())
		}
	}
}

// follow joins what is shown with whoever staples.
func (s *Store) follow(e *entry) {
	if s.o.Follow == nil {
		return
	}
	l := e.live // order is held: nobody swaps it
	s.o.Follow(e.pair.ID(), l.certificate, func(response []byte) { s.put(e, l, response) })
}

// put staples a response to what was loaded, unless something else has been since. A certificate in use is not changed: handshakes
// read it without a lock.
func (s *Store) put(e *entry, l *loaded, response []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.live != l {
		return
	}
	next := *l.certificate
	next.OCSPStaple = response
	e.shown = &next
	s.show(e)
}

// tellLoaded logs a pair that is shown from now on, and what is odd about it.
func (s *Store) tellLoaded(e *entry) {
	now := s.o.Now()
	s.mu.Lock()
	l, pair := e.live, e.pair
	s.mu.Unlock()
	leaf := l.certificate.Leaf
	s.o.Log.Info("certificate loaded", "cert", pair.Cert, "names", l.names, "issuer", leaf.Issuer.String(), "key_kind", l.key, "until", leaf.NotAfter.UTC().Format(time.RFC3339))
	for _, text := range l.warnings {
		s.o.Log.Warn(text)
	}
	if bad := l.validity(now); bad != "" {
		s.o.Log.Warn(fmt.Sprintf("certificate file %s: %s; clients will refuse it", pair.Cert, bad))
	}
}
