package shed

import (
	"sync"
	"sync/atomic"

	"straum.dev/straum/internal/edge/policy"
)

// group is what routes share that go to one API: how many requests are under way, and what was learnt of how many may be. It outlives
// revisions.
type group struct {
	label    string
	inFlight atomic.Int64
	limit    atomic.Int64 // the learner's, rounded
	shed     [3]atomic.Uint64
	window   window

	mu      sync.Mutex // held while a window is judged; requests do not wait for it
	learner learner
}

func newGroup(name string, b *bounds) *group {
	g := &group{label: name, learner: newLearner(b)}
	g.limit.Store(int64(g.learner.limit))
	return g
}

// enter counts one more request, and says whether it has a place; if not, it is not counted unless nothing is turned away.
func (g *group) enter(s *settings) (n int64, fits bool) {
	n = g.inFlight.Add(1)
	limit := min(max(g.limit.Load(), int64(s.min)), int64(s.max))
	if n <= max(limit*s.part/100, 1) {
		g.window.see(n)
		return n, true
	}
	if !s.dry {
		g.inFlight.Add(-1)
	}
	return n, false
}

// sample takes how long an answer took. Whoever finds that the window is over judges it.
func (g *group) sample(now, took int64, b *bounds) {
	g.window.add(took)
	g.judge(now, b)
}

// drop takes that an answer did not come in time.
func (g *group) drop(now int64, b *bounds) {
	g.window.drops.Add(1)
	g.judge(now, b)
}

func (g *group) judge(now int64, b *bounds) {
	if !g.window.over(now) || !g.mu.TryLock() {
		return
	}
	defer g.mu.Unlock()
	if !g.window.over(now) {
		return // somebody was faster
	}
	seen := g.window.take(now, g.inFlight.Load())
	g.window.settle(seen.median)
	g.limit.Store(int64(g.learner.learn(now, seen, b)))
}

// Report implements policy.Reporter.
func (g *group) Report(figure func(policy.Figure)) {
	labels := [][2]string{{"group", g.label}}
	g.mu.Lock()
	rest := g.learner.rest(0)
	g.mu.Unlock()
	figure(policy.Figure{Name: "shed_limit", Help: "Requests that may wait for the head of an answer at a time.", Labels: labels, Value: float64(g.limit.Load())})
	figure(policy.Figure{Name: "shed_in_flight", Help: "Requests that wait for the head of an answer.", Labels: labels, Value: float64(g.inFlight.Load())})
	figure(policy.Figure{Name: "shed_rest_seconds", Help: "How long the API takes to begin an answer when it is not busy; 0 as long as nothing was measured.", Labels: labels, Value: float64(rest) / 1e9})
	for i, priority := range [...]string{"low", "normal", "high"} {
		figure(policy.Figure{Name: "shed_requests_total", Counter: true, Help: "Requests turned away, those of a dry run included.",
			Labels: [][2]string{{"group", g.label}, {"priority", priority}}, Value: float64(g.shed[i].Load())})
	}
}
