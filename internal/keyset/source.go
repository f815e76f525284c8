package keyset

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/token"
)

// The settings that are left out.
const (
	DefaultInterval = 10 * time.Second
	DefaultMaxStale = 24 * time.Hour
)

// MaxBody is the MaxBody that the client of a source should have, in bytes: longer sets are refused anyhow.
const MaxBody = token.MaxSetBytes

// maxWaiting bounds how many requests wait for a fetch at a time; more get the set that is there.
const maxWaiting = 1024

// Settings are those of a Source.
type Settings struct {
	// URL is where the set is. When it is nil, the discovery document of Issuer says so; that both are nil or empty is a mistake.
	URL    *url.URL
	Issuer string
	// Client fetches.
	Client Fetcher
	// Log hears when keys come and go, and when fetching fails and works again.
	Log *slog.Logger

	random func() float64
}

// Tuning is what those who use a source ask of it. It may change while the source runs, and costs no key.
type Tuning struct {
	// Interval is the shortest time between two fetches because of unknown keys; 0 is DefaultInterval.
	Interval time.Duration
	// MaxStale is how long a set is good that cannot be fetched again; 0 is DefaultMaxStale.
	MaxStale time.Duration
}

func (t Tuning) filled() Tuning {
	if t.Interval <= 0 {
		t.Interval = DefaultInterval
	}
	if t.MaxStale <= 0 {
		t.MaxStale = DefaultMaxStale
	}
	return t
}

// Identity spells out what the source depends on, besides the client, and shows nothing of it.
func (s Settings) Identity() string {
	from := "issuer " + s.Issuer
	if s.URL != nil {
		from = "url " + s.URL.String()
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(from)))
}

// Source is the keys of one issuer, as fresh as can be had. Many may use it at once.
type Source struct {
	settings Settings
	place    string // for people
	set      atomic.Pointer[token.Set]
	waiting  atomic.Int32
	fetches  atomic.Uint64
	failures atomic.Uint64
	since    atomic.Int64 // of the last success, Unix nanoseconds; 0 before the first
	failing  atomic.Int64 // of the first failure after it, Unix nanoseconds; 0 for none

	start   sync.Once
	ask     chan struct{} // wakes the goroutine; has room for one
	retimed chan struct{} // the same, when the tuning has changed
	ctx     context.Context
	stop    context.CancelFunc
	quit    chan struct{} // closed by Stop: there is no further fetch
	ended   chan struct{}

	mu      sync.Mutex
	gate    gate
	flight  *flight // asked for or under way, nil for none
	tunings map[*Tuning]struct{}
	tuning  Tuning // the smallest of each, or the default
	quits   bool
}

// flight is one fetch, which many may wait for.
type flight struct {
	done chan struct{}
	err  error // once done is closed
}

// New makes a source. It fetches nothing until Start; who waits for keys waits for that too.
func New(s Settings) *Source {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.random == nil {
		s.random = rand.Float64
	}
	k := &Source{
		settings: s, gate: gate{interval: DefaultInterval}, tunings: map[*Tuning]struct{}{}, tuning: Tuning{}.filled(),
		ask: make(chan struct{}, 1), retimed: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
		flight: &flight{done: make(chan struct{})}, // those who come early wait for the first
	}
	if s.URL != nil {
		k.place = fetch.Place(s.URL)
	} else {
		k.place = show(s.Issuer)
	}
	k.ctx, k.stop = context.WithCancel(context.Background())
	return k
}

// Start begins to fetch and does not wait. Stop ends it.
func (k *Source) Start() { k.start.Do(func() { go k.run() }) }

// lastFetch is how long a fetch may still take that requests wait for when the source is stopped.
const lastFetch = 2 * time.Second

// Stop ends fetching, for good. What was fetched stays, for exchanges that began before. A fetch that they need is let come to its end, for
// lastFetch at most; Stop does not wait for it, see Ended.
func (k *Source) Stop() {
	k.start.Do(func() { close(k.ended) }) // it was never begun
	k.mu.Lock()
	if !k.quits {
		k.quits = true
		close(k.quit)
	}
	needed := k.flight != nil && (k.Set() == nil || k.waiting.Load() > 0)
	k.mu.Unlock()
	select {
	case <-k.ended:
		k.stop()
		return
	default:
	}
	if needed {
		time.AfterFunc(lastFetch, k.stop)
		return
	}
	k.stop()
	<-k.ended
}

// Ended is closed once a source that was stopped will not fetch any more.
func (k *Source) Ended() <-chan struct{} { return k.ended }

// Tune adds what one more asks of the source. What holds is the smallest that anybody asks for, and the default while nobody does.
func (k *Source) Tune(t *Tuning) {
	k.retime(func() { k.tunings[t] = struct{}{} })
}

// Untune takes back what was asked for with Tune.
func (k *Source) Untune(t *Tuning) {
	k.retime(func() { delete(k.tunings, t) })
}

func (k *Source) retime(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
	before, first := k.tuning, true
	k.tuning = Tuning{}.filled()
	for t := range k.tunings {
		one := t.filled()
		if first {
			k.tuning, first = one, false
		}
		k.tuning.Interval, k.tuning.MaxStale = min(k.tuning.Interval, one.Interval), min(k.tuning.MaxStale, one.MaxStale)
	}
	k.gate.interval = k.tuning.Interval
	if k.tuning != before {
		select {
		case k.retimed <- struct{}{}:
		default:
		}
	}
}

// maxStale is what holds now.
func (k *Source) maxStale() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tuning.MaxStale
}

// Set is the keys to verify with. It is nil while none were ever fetched, and once nobody has confirmed them for MaxStale: tokens cannot be
// judged then. A fetch that brings the same keys leaves the same *Set. It never waits.
func (k *Source) Set() *token.Set { return k.set.Load() }

// Wait is Set for a token whose key is not in it, or when there is no set: it waits for a fetch, if one is due or under way, until ctx
// ends. The set that it returns may lack the key all the same, or be nil. kid is empty for a token that names no key and fits none there.
func (k *Source) Wait(ctx context.Context, kid string) *token.Set {
	if k.waiting.Add(1) > maxWaiting {
		k.waiting.Add(-1)
		return k.Set()
	}
	defer k.waiting.Add(-1)
	// One turn waits for a fetch that began too early to have the key, one for the fetch that this key is worth.
	for range 2 {
		set := k.Set()
		if set != nil && kid != "" && set.Has(kid) {
			return set
		}
		f, own := k.board(kid)
		if f == nil {
			return set
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return k.Set()
		case <-k.ended:
			return k.Set()
		}
		if own {
			k.land(f, kid)
			break
		}
	}
	return k.Set()
}

// board gives the fetch that is under way, or begins one if the key is worth it.
func (k *Source) board(kid string) (f *flight, own bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight != nil {
		return k.flight, false
	}
	if k.quits || !k.gate.admit(time.Now(), kid) {
		return nil, false
	}
	k.flight = &flight{done: make(chan struct{})}
	k.ask <- struct{}{} // there is room: the one before was taken before its flight ended
	return k.flight, true
}

// land notes a key that the issuer does not have.
func (k *Source) land(f *flight, kid string) {
	if set := k.Set(); f.err == nil && (kid == "" || set != nil && !set.Has(kid)) {
		k.mu.Lock()
		k.gate.miss(time.Now(), kid)
		k.mu.Unlock()
	}
}

// Figures are what there is to say about a source.
type Figures struct {
	Place    string        // where the keys come from, without a query
	Keys     int           // in the set; 0 when tokens cannot be verified
	Age      time.Duration // since the last success; negative before the first
	Fetches  uint64        // tried
	Failures uint64        // of those
}

// Figures are those of now.
func (k *Source) Figures() Figures {
	f := Figures{Place: k.place, Age: -1, Fetches: k.fetches.Load(), Failures: k.failures.Load()}
	if set := k.Set(); set != nil {
		f.Keys = set.Len()
	}
	if since := k.since.Load(); since != 0 {
		f.Age = max(time.Since(time.Unix(0, since)), 0)
	}
	return f
}
