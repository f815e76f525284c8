package waf

import (
	"context"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/waf"
)

// inspector is what routes with the same rules share. It outlives revisions.
type inspector struct {
	engine *waf.Engine
	wrong  error // why there is no engine
	log    *slog.Logger
	places places
	notes  notes

	clean, matched, attacks, busy atomic.Uint64
	nanoseconds                   atomic.Uint64
	met                           []atomic.Uint64 // by category, as in waf.Categories
}

func newInspector(s waf.Settings, log *slog.Logger) *inspector {
	i := &inspector{log: log, places: newPlaces(max(1, runtime.GOMAXPROCS(0)/2)), met: make([]atomic.Uint64, len(waf.Categories))}
	i.engine, i.wrong = waf.New(s)
	return i
}

// Stop implements policy.Stopper.
func (i *inspector) Stop() {
	if i.engine != nil {
		i.engine.Close()
	}
}

const (
	// waiting is how many requests may wait for each place.
	waiting = 32
	// patience is how long one waits.
	patience = time.Second
)

// places are how many requests are judged at a time: half of the processors, so that a flood of what is slow to judge leaves the others to
// everybody else.
type places struct {
	free  chan struct{}
	queue chan struct{}
}

func newPlaces(n int) places {
	return places{make(chan struct{}, n), make(chan struct{}, n*waiting)}
}

// take takes a place, and says whether there was one in time.
func (p *places) take() bool {
	select {
	case p.free <- struct{}{}:
		return true
	default:
	}
	select {
	case p.queue <- struct{}{}:
	default:
		return false
	}
	defer func() { <-p.queue }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p.free <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

func (p *places) give() { <-p.free }

// count notes what came out.
func (i *inspector) count(v *waf.Verdict, took time.Duration) {
	i.nanoseconds.Add(uint64(max(0, took)))
	switch {
	case v.Attack:
		i.attacks.Add(1)
	case len(v.Rules) > 0:
		i.matched.Add(1)
	default:
		i.clean.Add(1)
	}
	var seen uint32
	for _, r := range v.Rules {
		for n, c := range waf.Categories {
			if c == r.Category && seen&(1<<n) == 0 {
				seen |= 1 << n
				i.met[n].Add(1)
			}
		}
	}
}

// Report implements policy.Reporter.
func (i *inspector) Report(figure func(policy.Figure)) {
	for _, outcome := range []struct {
		word string
		n    *atomic.Uint64
	}{{"clean", &i.clean}, {"matched", &i.matched}, {"attack", &i.attacks}, {"busy", &i.busy}} {
		figure(policy.Figure{Name: "waf_requests_total", Help: "Requests by what the rules made of them.", Counter: true,
			Labels: [][2]string{{"outcome", outcome.word}}, Value: float64(outcome.n.Load())})
	}
	for n, c := range waf.Categories {
		figure(policy.Figure{Name: "waf_met_total", Help: "Requests that met rules, by what the rules are about.", Counter: true,
			Labels: [][2]string{{"category", c}}, Value: float64(i.met[n].Load())})
	}
	figure(policy.Figure{Name: "waf_seconds_total", Help: "Time spent judging.", Counter: true, Value: float64(i.nanoseconds.Load()) / 1e9})
}

// notes keep the log readable: some at once, then one a second.
type notes struct {
	mu       sync.Mutex
	tokens   float64
	last     time.Time
	withheld int
}

// burst is how many lines may come at once.
const burst = 10

// may says whether a line may be written now, and how many were not since the last.
func (n *notes) may(now time.Time) (withheld int, may bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last.IsZero() {
		n.tokens, n.last = burst, now
	}
	if passed := now.Sub(n.last); passed > 0 {
		n.tokens, n.last = min(burst, n.tokens+passed.Seconds()), now
	}
	if n.tokens < 1 {
		n.withheld++
		return 0, false
	}
	n.tokens--
	withheld, n.withheld = n.withheld, 0
	return withheld, true
}

// note writes which rules a request met. Nothing of the request is in it but its id, by which the access log has the rest.
func (i *inspector) note(id, route string, blocks bool, v *waf.Verdict, now time.Time) {
	level := slog.LevelDebug // who is let by meets some rule or other all the time
	if v.Attack {
		level = slog.LevelInfo
	}
	if !i.log.Enabled(context.Background(), level) {
		return
	}
	withheld, may := i.notes.may(now)
	if !may {
		return
	}
	var rules strings.Builder
	for n, r := range v.Rules {
		if n > 0 {
			rules.WriteString("; ")
		}
		rules.WriteString(strconv.Itoa(r.ID))
		if r.Message != "" {
			rules.WriteString(" " + r.Message)
		}
	}
	i.log.Log(context.Background(), level, "policy waf: rules met", "request", strings.Clone(id), "route", route, "attack", v.Attack, "blocked", v.Attack && blocks,
		"score", v.Score, "rules", rules.String(), "withheld", withheld)
}
