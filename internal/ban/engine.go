package ban

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gaissmai/bart"
)

// Options are what an Engine needs.
type Options struct {
	// Dir is the directory of the file "bans"; empty keeps nothing.
	Dir string
	Log *slog.Logger
	// Now is the time of day, and Clock the time of Strike and Good, in nanoseconds from any beginning, never going back; nil are the system's.
	Now   func() time.Time
	Clock func() int64

	still bool // for tests: nothing is done by itself
	most  int  // for tests: bans, instead of maxBans
}

// Engine decides. It outlives revisions. Guard, OnChange, Use and Close are for one goroutine; all else may be called by any number of
// them at any time.
type Engine struct {
	options Options
	log     *slog.Logger
	set     atomic.Pointer[inForce]
	view    atomic.Pointer[bart.Table[Rung]] // of bans in force; nil for none
	scores  *scores
	seen    atomic.Pointer[evidence] // nil as long as no settings spare anybody
	counts  counts

	mu      sync.Mutex // guards what follows
	ledger  *ledger
	guards  guards
	changes map[netip.Prefix]Change // to be told
	told    func([]Change)
	events  []event         // to be logged
	unsaid  int             // events there was no room for
	dirty   bool            // the ledger is not what was saved
	latest  int64           // by the day's clock, when chores were done last
	used    bool            // settings were put in force
	tally   [Kernel + 1]int // bans in force, by rung
	full    bool            // no room for a ban since the last one ended

	keep keeper
	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

// inForce are settings with what is made of them. It is immutable.
type inForce struct {
	Settings
	never *bart.Table[string]
}

// counts are those of Figures.
type counts struct {
	strikes, made                                                     [Signals]atomic.Uint64
	widened, ordered, removed, ended, guarded, spared, full, nameless atomic.Uint64
}

// New makes an engine and reads what was kept. A file that cannot be understood is set aside with a word in the log.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		base := time.Now()
		o.Clock = func() int64 { return int64(time.Since(base)) }
	}
	if o.most == 0 {
		o.most = maxBans
	}
	e := &Engine{options: o, log: o.Log, scores: newScores(maxScores), ledger: newLedger(o.most), changes: map[netip.Prefix]Change{},
		keep: keeper{dir: o.Dir, log: o.Log}, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	e.set.Store(&inForce{never: fixed(nil)})
	e.keep.load(e.ledger)
	if o.still {
		close(e.done)
	} else {
		go e.runChores()
	}
	return e
}

// Guard adds somebody who is never banned.
func (e *Engine) Guard(g Guard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.guards.list, e.guards.table = append(e.guards.list, g), nil
}

// OnChange has f told of every ban that comes into force, changes or ends, from one goroutine; first of all that are in force. Of several
// changes of one network it may be told the last alone.
func (e *Engine) OnChange(f func([]Change)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = f
	if view := e.view.Load(); view != nil {
		for n, rung := range view.All() {
			e.changed(n, rung)
		}
	}
	e.nudge()
}

// Use puts settings in force. Bans go on as they were made; those that the settings do not allow any more end, those of a dry run that is
// over, and those that nobody ordered of whom guards have come to name, such as a proxy that is trusted from now on. What was counted is
// kept, with new settings too.
func (e *Engine) Use(s Settings) error {
	if err := s.check(); err != nil {
		return err
	}
	if !s.On {
		s.Remember = rememberOff
	}
	set := &inForce{s, fixed(s.Never)}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.used = true
	was := e.set.Load()
	if s.On {
		e.scores.use(s.HalfLife, e.options.Clock())
	} else {
		e.scores.clear()
	}
	if s.Consumers == 0 || !s.On {
		e.seen.Store(nil)
	} else if e.seen.Load() == nil || was.Window != s.Window {
		e.seen.Store(newEvidence(1<<16, s.Window))
	}
	e.guards.table = nil
	e.set.Store(set)
	now := e.options.Now()
	var gone []*record
	for _, r := range e.ledger.running.All() {
		if s.On && e.spoils(set, r, now) || r.dry && !s.DryRun {
			gone = append(gone, r)
		}
	}
	for _, r := range gone {
		e.ledger.end(r, now.UnixMilli())
		e.say(event{what: lifted, ban: r.ban(r.dry)})
		e.dirty = true
	}
	if was.DryRun && !s.DryRun {
		e.ledger.forgetDry()
	}
	e.review()
	e.nudge()
	return nil
}

// spoils says whether a ban that runs could not be made any more. One that somebody ordered goes on when only a guard speaks against it: it
// may be of a network that is larger by far than whom the guard names. mu is held.
func (e *Engine) spoils(set *inForce, r *record, wall time.Time) bool {
	if _, yes := overlap(set.never, r.network); yes || r.origin == byHand {
		return yes
	}
	_, yes := e.guards.protects(r.network, wall)
	return yes
}

// rememberOff is how long bans that are over are remembered while the configuration has none.
const rememberOff = 30 * 24 * time.Hour

// check refuses what cannot work.
func (s *Settings) check() error {
	if !s.On {
		return nil
	}
	switch {
	case !(s.Threshold > 0), s.HalfLife <= 0, s.First <= 0, s.Longest < s.First, s.Remember < 0, s.Hosts < 0, len(s.Ladder) == 0:
		return fmt.Errorf("bans: threshold %v, half life %v, first %v, longest %v, remember %v, hosts %d, %d rungs: all but remember and hosts have to be more than 0, and longest no less than first",
			s.Threshold, s.HalfLife, s.First, s.Longest, s.Remember, s.Hosts, len(s.Ladder))
	case s.Consumers < 0 || s.Consumers > MaxConsumers || s.Consumers > 0 && s.Window <= 0:
		return fmt.Errorf("bans: consumers %d within %v; 0 to %d are possible, within more than 0", s.Consumers, s.Window, MaxConsumers)
	}
	for _, r := range s.Ladder {
		if r == None || r > Kernel {
			return fmt.Errorf("bans: rung %d is none of refuse, drop and kernel", r)
		}
	}
	for _, points := range s.Scores {
		if !(points >= 0) {
			return fmt.Errorf("bans: a score of %v; allowed: 0 and more", points)
		}
	}
	for _, bits := range s.Wide4 {
		if bits < 8 || bits >= bits4 {
			return fmt.Errorf("bans: an IPv4 network of /%d; allowed: /8 to /31", bits)
		}
	}
	for _, bits := range s.Wide6 {
		if bits < 16 || bits >= bits6 {
			return fmt.Errorf("bans: an IPv6 network of /%d; allowed: /16 to /63", bits)
		}
	}
	return nil
}

// Rung says how an address is refused. It takes no lock.
func (e *Engine) Rung(a netip.Addr) Rung {
	view := e.view.Load()
	if view == nil {
		return None
	}
	a = a.Unmap()
	if !view.Contains(a) { // that costs half of Lookup, and most are not
		return None
	}
	rung, _ := view.Lookup(a)
	return rung
}

// Refuses says whether requests of an address are refused.
func (e *Engine) Refuses(a netip.Addr) bool { return e.Rung(a) >= Refuse }

// Drops says whether connections of an address are dropped as they are accepted.
func (e *Engine) Drops(a netip.Addr) bool { return e.Rung(a) >= Drop }

// Strike counts something against an address. now is a time of Options.Clock. An address that is banned or never banned is not counted
// against, nor is one that is not known: there is nobody it could be told from.
func (e *Engine) Strike(a netip.Addr, signal Signal, now int64) {
	set := e.set.Load()
	points := set.Scores[signal]
	if !set.On || points == 0 {
		return
	}
	a = a.Unmap()
	k, ok := keyOf(a)
	if !ok {
		e.counts.nameless.Add(1)
		return
	}
	if e.Rung(a) != None {
		return // it was under way when the ban came
	}
	if set.never.Contains(a) {
		return
	}
	e.counts.strikes[signal].Add(1)
	if s := e.scores.strike(k, signal, points, now); s.total() >= set.Threshold {
		e.judge(set, k, s, now)
	}
}

// Good notes that a consumer, by its id, has used an address well. now is a time of Options.Clock.
func (e *Engine) Good(a netip.Addr, consumer string, now int64) {
	seen := e.seen.Load()
	if seen == nil {
		return
	}
	k, ok := keyOf(a)
	if !ok {
		return
	}
	set := e.set.Load()
	if !seen.note(k, consumer, now) {
		return
	}
	for _, bits := range set.wide(k) { // once a tick
		seen.note(k.wide(bits), consumer, now)
	}
}

// wide are the lengths of the wider networks that may be banned with a network.
func (set *inForce) wide(k key) []int {
	if set.Hosts == 0 {
		return nil
	}
	if k.low != 0 {
		return set.Wide4
	}
	return set.Wide6
}

// judge decides about an address whose score has reached the threshold.
func (e *Engine) judge(set *inForce, k key, s score, now int64) {
	if seen := e.seen.Load(); seen != nil && seen.consumers(k, now) >= set.Consumers {
		if e.scores.spare(k) {
			e.counts.spared.Add(1)
			e.mu.Lock()
			e.say(event{what: spared, ban: Ban{Network: k.network(), Reason: s.heaviest().String()}})
			e.nudge()
			e.mu.Unlock()
		}
		return
	}
	e.scores.drop(k) // whatever comes of it, it begins anew
	e.mu.Lock()
	defer e.mu.Unlock()
	n, wall := k.network(), e.options.Now()
	if r := e.ledger.records[n]; r != nil && !r.over {
		return // another exchange was faster, or it is one of a dry run
	}
	if p, yes := e.protects(set, n, wall); yes {
		e.counts.guarded.Add(1)
		e.say(event{what: guarded, ban: Ban{Network: n, Reason: s.heaviest().String()}, why: p.why})
		e.nudge()
		return
	}
	if !e.impose(set, n, byScore, s.heaviest(), wall) {
		return
	}
	e.counts.made[s.heaviest()].Add(1)
	e.widen(set, k, s.heaviest(), now, wall)
}

// protects says why no ban may be made of a network: one of its addresses must not be banned. mu is held.
func (e *Engine) protects(set *inForce, n netip.Prefix, wall time.Time) (p protected, yes bool) {
	if p, yes = overlap(set.never, n); yes {
		return p, yes
	}
	return e.guards.protects(n, wall)
}

// widen bans wider networks, when enough inside them is banned. mu is held.
func (e *Engine) widen(set *inForce, k key, signal Signal, now int64, wall time.Time) {
	enough := set.Hosts
	for i, bits := range set.wide(k) {
		if i > 0 {
			enough *= 4
		}
		n := wider(k.network(), bits)
		if e.ledger.inside(n, enough) < enough {
			continue
		}
		if r := e.ledger.records[n]; r != nil && !r.over {
			continue
		}
		if seen := e.seen.Load(); seen != nil && seen.consumers(k.wide(bits), now) >= set.Consumers {
			return
		}
		if _, yes := e.protects(set, n, wall); yes {
			return
		}
		if e.impose(set, n, byNetwork, signal, wall) {
			e.counts.widened.Add(1)
		}
	}
}

// impose bans a network that is not banned, and says whether there was room. mu is held.
func (e *Engine) impose(set *inForce, n netip.Prefix, from origin, signal Signal, wall time.Time) bool {
	now := wall.UnixMilli()
	number := 1
	if r := e.ledger.records[n]; r != nil && r.until+set.Remember.Milliseconds() > now {
		number = int(r.count) + 1
	} else if r != nil {
		e.ledger.drop(r) // it is due to be forgotten
	}
	r, err := e.ledger.begin(n, now, now+max(term(number, set.First, set.Longest).Milliseconds(), 1))
	if err != nil {
		e.counts.full.Add(1)
		if !e.full {
			e.full = true
			e.say(event{what: noRoom, ban: Ban{Network: n}})
			e.nudge()
		}
		return false
	}
	r.origin, r.signal, r.rung, r.dry = from, signal, rungOf(number, set.Ladder), set.DryRun
	if r.dry {
		r.dries++
	}
	e.dirty = e.dirty || !r.dry
	e.place(n)
	e.say(event{what: banned, ban: r.ban(r.dry)})
	e.nudge()
	return true
}

// Add bans by hand, also in a dry run. A ban of the same network that runs is replaced. The error says why not, for people.
func (e *Engine) Add(o Order) (Ban, error) {
	set := e.set.Load()
	n, ok := canonical(o.Network)
	switch {
	case !set.On:
		return Ban{}, ErrOff
	case !ok:
		return Ban{}, fmt.Errorf("found %v; allowed: an address or a network such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/64", o.Network)
	case o.For < 0 || o.For > longestOrder:
		return Ban{}, fmt.Errorf("found a time of %v; allowed: 0 for no end, or up to ten years", o.For)
	case o.Rung > Kernel:
		return Ban{}, fmt.Errorf("found the rung %d; allowed: refuse, drop and kernel", o.Rung)
	case !readable(o.Reason, 256):
		return Ban{}, fmt.Errorf("the reason has %d bytes, or is no plain text; allowed: up to 256 bytes without control characters", len(o.Reason))
	case !readable(o.By, 64):
		return Ban{}, fmt.Errorf("who bans has %d bytes, or is no plain text; allowed: up to 64 bytes without control characters", len(o.By))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	wall := e.options.Now()
	if p, yes := e.protects(set, n, wall); yes {
		return Ban{}, fmt.Errorf("%v cannot be banned: %v is never banned, as it is %s; ban a network without it", n, p.network, p.why)
	}
	now, until := wall.UnixMilli(), int64(0)
	if o.For > 0 {
		until = now + max(o.For.Milliseconds(), 1)
	}
	if r := e.ledger.records[n]; r != nil && !r.over {
		e.ledger.end(r, now)
		r.count--
	}
	r, err := e.ledger.begin(n, now, until)
	if err != nil {
		e.counts.full.Add(1)
		return Ban{}, fmt.Errorf("%v cannot be banned: %w (%d); remove some, or ban a network that holds them", n, err, e.ledger.most)
	}
	if r.origin, r.rung, r.reason, r.by = byHand, o.Rung, o.Reason, o.By; r.rung == None {
		r.rung = Drop
	}
	if k, ok := keyOf(n.Addr()); ok && n == k.network() {
		e.scores.drop(k)
	}
	e.counts.ordered.Add(1)
	e.dirty = true
	e.place(n)
	e.say(event{what: banned, ban: r.ban(false)})
	e.nudge()
	return r.ban(false), nil
}

// ErrOff is the error of orders while the configuration has no bans.
var ErrOff = fmt.Errorf("bans are off; add bans: {} to the configuration")

// longestOrder is how long a ban by hand may last when it ends at all.
const longestOrder = 10 * 366 * 24 * time.Hour

// readable says whether a text is fit for lists and logs.
func readable(text string, most int) bool {
	if len(text) > most || !utf8.ValidString(text) {
		return false
	}
	for _, c := range text {
		if !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}

// Remove ends the ban of a network, and forgets it with all that counts against the network. The error says why not, for people.
func (e *Engine) Remove(n netip.Prefix) (Ban, error) {
	n, ok := canonical(n)
	if !ok {
		return Ban{}, fmt.Errorf("found no address and no network; allowed: one such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/64")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.ledger.records[n]
	if r == nil || r.over {
		if all := e.ledger.covering(n); len(all) > 0 {
			return Ban{}, fmt.Errorf("%v is not banned by itself but as part of %v; remove that", n, all[0].network)
		}
		if r == nil {
			return Ban{}, fmt.Errorf("%v is not banned", n)
		}
	}
	b := r.ban(e.holdsBack(r))
	e.ledger.drop(r)
	if k, ok := keyOf(n.Addr()); ok && n == k.network() {
		e.scores.drop(k)
	}
	e.dirty = true
	if r.over {
		return b, nil // it was remembered alone
	}
	e.counts.removed.Add(1)
	e.place(n)
	e.say(event{what: removed, ban: b})
	e.nudge()
	return b, nil
}

// holdsBack says whether a dry run keeps a ban from being in force. mu is held.
func (e *Engine) holdsBack(r *record) bool {
	return r.origin != byHand && (r.dry || e.set.Load().DryRun)
}

// rung is how a record that runs refuses by itself. mu is held.
func (e *Engine) rung(r *record) Rung {
	if !e.set.Load().On || e.holdsBack(r) {
		return None
	}
	return r.rung
}

// place brings the view in line with the ledger for a network and all that is banned inside it: a ban never softens a wider one. mu is held.
func (e *Engine) place(n netip.Prefix) {
	view := e.view.Load()
	if view == nil {
		view = new(bart.Table[Rung])
	}
	hardest := None // of those around it
	for _, r := range e.ledger.running.Supernets(n) {
		if r.network != n {
			hardest = max(hardest, e.rung(r))
		}
	}
	here := func(n netip.Prefix, around Rung) Rung {
		own := None
		if r, runs := e.ledger.running.Get(n); runs {
			own = e.rung(r)
		}
		want := None
		if own != None {
			want = max(own, around)
		}
		view = e.show(view, n, want)
		return max(own, around)
	}
	around := here(n, hardest)
	if n.Bits() < n.Addr().BitLen() {
		for _, r := range e.ledger.running.Subnets(n) {
			if r.network == n {
				continue
			}
			most := around
			for _, outer := range e.ledger.running.Supernets(r.network) {
				most = max(most, e.rung(outer))
			}
			here(r.network, most)
		}
	}
	e.publish(view)
}

// show makes a view in which a network is refused so, and notes it for those who are told. mu is held.
func (e *Engine) show(view *bart.Table[Rung], n netip.Prefix, want Rung) *bart.Table[Rung] {
	if is, there := view.Get(n); is == want && there == (want != None) {
		if want != None {
			e.changed(n, want) // its time may have
		}
		return view
	}
	e.changed(n, want)
	if is, there := view.Get(n); there {
		e.tally[is]--
	}
	if want == None {
		return view.DeletePersist(n)
	}
	e.tally[want]++
	return view.InsertPersist(n, want)
}

func (e *Engine) publish(view *bart.Table[Rung]) {
	if view.Size() == 0 {
		view = nil
	}
	e.view.Store(view)
}

// review makes the view anew from the ledger. mu is held.
func (e *Engine) review() {
	fresh := new(bart.Table[Rung])
	e.tally = [Kernel + 1]int{}
	for _, r := range e.ledger.running.All() {
		if e.rung(r) == None {
			continue
		}
		most := None
		for _, outer := range e.ledger.running.Supernets(r.network) {
			most = max(most, e.rung(outer))
		}
		fresh.Insert(r.network, most)
		e.tally[most]++
	}
	was := e.view.Load()
	if was == nil {
		was = new(bart.Table[Rung])
	}
	for n := range was.All() {
		if _, still := fresh.Get(n); !still {
			e.changed(n, None)
		}
	}
	for n, rung := range fresh.All() {
		if before, _ := was.Get(n); before != rung {
			e.changed(n, rung)
		}
	}
	e.publish(fresh)
}

// changed notes a change for those who are told. mu is held.
func (e *Engine) changed(n netip.Prefix, rung Rung) {
	if e.told == nil {
		return
	}
	c := Change{Network: n, Rung: rung}
	if r := e.ledger.records[n]; r != nil && rung != None && r.until != 0 {
		c.Until = time.UnixMilli(r.until)
	}
	e.changes[n] = c
}

// nudge wakes the goroutine that does chores.
func (e *Engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default: // it is to wake already
	}
}
