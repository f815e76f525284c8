package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxLookups bounds the look-ups under way; further names wait for their turn.
const maxLookups = 64

// Resolver keeps the addresses of names; one serves the process. Its methods may be called from any goroutine.
type Resolver struct {
	settings Settings
	lookup   LookupFunc
	random   func() uint64
	log      func(name string, err error, kept int)
	slots    chan struct{} // filled while a name is looked up

	mu     sync.Mutex // guards what follows, and the fields of each entry that say so
	closed bool
	names  map[key]*entry
	wait   sync.WaitGroup // all loops, so counted up only with mu and not closed
}

// key tells loops apart: servers may give the same name different addresses.
type key struct{ name, server string }

// entry is a name that is watched. It lives as long as it has watchers.
type entry struct {
	key
	ctx    context.Context // ends when the last watcher stops
	cancel context.CancelFunc
	wake   chan struct{} // capacity 1: the pause is to be measured anew
	known  chan struct{} // closed with the first addresses

	// With Resolver.mu. All but watchers is written by the loop alone, which therefore reads it without.
	watchers  []*watcher   // replaced or appended to; the loop may go on with an older list
	addresses []netip.Addr // replaced whole, never changed; nil until known
	success   time.Time    // of the last look-up that brought addresses
	failures  int          // look-ups in a row that brought none
	err       error        // of the last look-up

	// The loop's own.
	kept kept
	told trouble // what log heard last
}

// trouble is what is told apart in telling: all that fails for one reason is told once.
type trouble struct {
	kind kind
	none bool // neither family brought addresses
}

// watcher is one call of Watch.
type watcher struct {
	entry    *entry
	settings Settings

	mu       sync.Mutex // held while onChange runs, so that its calls come one at a time and none outlives stop
	stopped  bool
	last     []netip.Addr
	onChange func([]netip.Addr)
}

// New returns a Resolver that watches nothing. A nil lookup is Lookup. random gives uniformly distributed numbers, from several
// goroutines.
//
// log, if not nil, hears of trouble when it begins or changes its kind, not at every try: err says what is wrong, kept how many
// addresses the name goes on with. A nil err ends it. It is called from the loops of the names.
func New(s Settings, lookup LookupFunc, random func() uint64, log func(name string, err error, kept int)) *Resolver {
	if lookup == nil {
		lookup = Lookup
	}
	if log == nil {
		log = func(string, error, int) {}
	}
	return &Resolver{
		settings: s.or(defaults), lookup: lookup, random: random, log: log,
		slots: make(chan struct{}, maxLookups), names: map[key]*entry{},
	}
}

// Watch is WatchWith and the Resolver's own settings.
func (r *Resolver) Watch(name string, onChange func([]netip.Addr)) (stop func()) {
	return r.WatchWith(name, Settings{}, onChange)
}

// WatchWith looks the name up at once and again and again, and gives onChange the addresses: the first ones as soon as they are
// known, then whenever the set differs. The set is sorted, has IPv4 addresses unmapped, and from 1 to MaxAddresses of them; it
// belongs to all watchers and must not be changed. While nothing is known onChange is not called, and the name is
// tried again after 1s, 2s, 4s and so on up to Every.
//
// If the addresses are known already, onChange is called before WatchWith returns. So who replaces a watch by another should
// begin the new one before stopping the old: what nobody watches is forgotten.
//
// Watchers of the same name at the same server share its look-ups, at the shortest Every and the longest Timeout among
// theirs. An IP address is given to onChange at once and not watched. After Close, nothing is watched.
//
// The calls of one watch come one at a time, none after stop has returned. Therefore neither stop nor WatchWith may be called
// by someone who holds a lock that onChange takes, nor stop by onChange itself. onChange holds up the other watchers of
// the name, and should be quick.
func (r *Resolver) WatchWith(name string, s Settings, onChange func([]netip.Addr)) (stop func()) {
	if ip, ok := literal(name); ok {
		onChange([]netip.Addr{ip})
		return func() {}
	}
	w := &watcher{settings: s.or(r.settings), onChange: onChange}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return func() {}
	}
	r.join(key{strings.ToLower(name), w.settings.Server}, w)
	r.mu.Unlock()
	r.offer(w)
	return func() { r.stop(w) }
}

// literal reads an IP address, in brackets or not.
func literal(name string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	ip, err := netip.ParseAddr(name)
	return ip.Unmap(), err == nil
}

// join adds the watcher to the entry of its name, making that if it is the first. With mu.
func (r *Resolver) join(k key, w *watcher) {
	e := r.names[k]
	if e != nil {
		w.entry = e
		e.watchers = append(e.watchers, w)
		e.remeasure()
		return
	}
	e = &entry{key: k, wake: make(chan struct{}, 1), known: make(chan struct{}), watchers: []*watcher{w}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	w.entry = e
	r.names[k] = e
	r.wait.Go(func() { r.runName(e) })
}

// remeasure makes the loop look at its watchers' settings anew.
func (e *entry) remeasure() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// stop ends a watch, waiting for onChange if it is running, and with the last watch the loop. It may be called again.
func (r *Resolver) stop(w *watcher) {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()

	r.mu.Lock()
	defer r.mu.Unlock()
	e := w.entry
	i := slices.Index(e.watchers, w)
	if i < 0 {
		return
	}
	e.watchers = slices.Concat(e.watchers[:i], e.watchers[i+1:])
	if len(e.watchers) > 0 {
		e.remeasure()
		return
	}
	e.cancel()
	delete(r.names, e.key)
}

// offer tells the watcher what is known, unless it heard that already. It reads what is known with the watcher's mu held, so
// what comes later is never older.
func (r *Resolver) offer(w *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.mu.Lock()
	now := w.entry.addresses
	r.mu.Unlock()
	if w.stopped || slices.Equal(now, w.last) {
		return
	}
	w.last = now
	w.onChange(now)
}

// runName is the loop of one name.
func (r *Resolver) runName(e *entry) {
	for {
		got, ok := r.ask(e)
		if !ok {
			return
		}
		for _, w := range r.publish(e, got) {
			r.offer(w)
		}
		if !r.rest(e) {
			return
		}
	}
}

// ask looks up both families at the same time; not ok when nobody watches any more.
func (r *Resolver) ask(e *entry) (got [families]found, ok bool) {
	select {
	case r.slots <- struct{}{}:
	case <-e.ctx.Done():
		return got, false
	}
	defer func() { <-r.slots }()
	ctx, cancel := context.WithTimeout(e.ctx, r.shared(e).Timeout)
	defer cancel()
	var both sync.WaitGroup
	for f, network := range networks {
		both.Go(func() { got[f].addresses, got[f].err = r.lookup(ctx, e.server, network, e.name) })
	}
	both.Wait()
	return got, e.ctx.Err() == nil
}

// shared is what the watchers' settings come to.
func (r *Resolver) shared(e *entry) Settings {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Settings{Every: maxEvery, Timeout: minTimeout}
	for _, w := range e.watchers {
		s.Every, s.Timeout = min(s.Every, w.settings.Every), max(s.Timeout, w.settings.Timeout)
	}
	return s
}

// publish notes what a look-up brought, and returns who is to hear of it.
func (r *Resolver) publish(e *entry, got [families]found) []*watcher {
	now, answered, err := settle(e.kept, got)
	set := now.set()
	e.kept = now
	r.mu.Lock()
	e.err = err
	if answered {
		e.success, e.failures = time.Now(), 0
	} else {
		e.failures++
	}
	if len(set) > 0 && e.addresses == nil {
		close(e.known)
	}
	if len(set) > 0 && !slices.Equal(set, e.addresses) {
		e.addresses = set
	}
	watchers := e.watchers
	r.mu.Unlock()
	if t := (trouble{kindOf(err), !answered}); t != e.told {
		e.told = t
		r.log(e.name, err, len(set))
	}
	return watchers
}

// rest waits until the next look-up is due; false when nobody watches any more.
func (r *Resolver) rest(e *entry) bool {
	since, spread := time.Now(), r.random()
	for {
		timer := time.NewTimer(pause(r.shared(e).Every, e.failures, spread) - time.Since(since))
		select {
		case <-timer.C:
			return true
		case <-e.wake:
			timer.Stop()
		case <-e.ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// ResolveNow waits until addresses are known for all these names, at each server they are watched at, so that start-up can be
// ready when DNS is. When ctx ends first, the error says which names have none and why; they go on being tried. Watch the
// names before: one that nobody watches is looked up with the Resolver's own settings, and then forgotten.
func (r *Resolver) ResolveNow(ctx context.Context, names []string) error {
	for _, name := range names {
		if len(r.entries([]string{name})) == 0 {
			defer r.Watch(name, func([]netip.Addr) {})()
		}
	}
	var errs []error
	for _, e := range r.entries(names) {
		select {
		case <-e.known:
			continue
		default:
		}
		select {
		case <-e.known:
		case <-e.ctx.Done(): // no longer wanted
		case <-ctx.Done():
			errs = append(errs, r.unknown(e))
		}
	}
	return errors.Join(errs...)
}

// entries are those of the names, in order.
func (r *Resolver) entries(names []string) (found []*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, e := range r.names {
		if slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, k.name) }) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return a.key.compare(b.key) })
	return found
}

func (k key) compare(l key) int {
	return cmp.Or(strings.Compare(k.name, l.name), strings.Compare(k.server, l.server))
}

func (r *Resolver) unknown(e *entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.err == nil {
		return fmt.Errorf("%s: no addresses yet: the first look-up has not ended", e.name)
	}
	return fmt.Errorf("%s: no addresses yet: %w", e.name, e.err)
}

// Close stops all watches and waits for their loops to end. Must not be called by onChange or log.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	for k, e := range r.names {
		e.cancel()
		delete(r.names, k)
	}
	r.mu.Unlock()
	r.wait.Wait()
}
