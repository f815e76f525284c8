package shed

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// api is a simulated API: so many workers, each taking a request for service on average, and a queue in front of them that has no end.
type api struct {
	workers int
	service int64
	free    times64 // when each worker is free
	random  *rand.Rand
}

type times64 []int64

func (h times64) Len() int           { return len(h) }
func (h times64) Less(i, j int) bool { return h[i] < h[j] }
func (h times64) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *times64) Push(x any)        { *h = append(*h, x.(int64)) }
func (h *times64) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// serve says when a request that comes now is done.
func (a *api) serve(now int64) int64 {
	for len(a.free) < a.workers {
		heap.Push(&a.free, int64(0))
	}
	for len(a.free) > a.workers {
		heap.Pop(&a.free)
	}
	begin := max(now, heap.Pop(&a.free).(int64))
	done := begin + int64(float64(a.service)*(0.7+0.6*a.random.Float64()))
	heap.Push(&a.free, done)
	return done
}

// result is what a simulation saw in its second half.
type result struct {
	limit              float64 // on average
	lowest, highest    float64
	goodput            float64 // answers a second
	median             int64
	offered, shed, now int64
}

// simulate offers rate requests a second to an API behind a limit for a time, from begin on.
func simulate(a *api, g *group, b *bounds, rate float64, begin, span int64) (r result) {
	type request struct{ from, done int64 }
	var flying []request
	pending := func(now int64) { // those that are done by now, in order
		for {
			next := -1
			for i := range flying {
				if flying[i].done <= now && (next < 0 || flying[i].done < flying[next].done) {
					next = i
				}
			}
			if next < 0 {
				return
			}
			done := flying[next]
			flying[next] = flying[len(flying)-1]
			flying = flying[:len(flying)-1]
			g.inFlight.Add(-1)
			g.sample(done.done, done.done-done.from, b)
			if done.done > begin+span/2 && done.done < begin+span {
				r.goodput++
				r.median += done.done - done.from
			}
		}
	}
	s := &settings{bounds: *b, part: 100}
	n, looks := 0.0, 0.0
	r.lowest = math.MaxFloat64
	for now := begin; now < begin+span; now += int64(float64(time.Second) * a.random.ExpFloat64() / rate) {
		pending(now)
		r.offered++
		if _, fits := g.enter(s); fits {
			flying = append(flying, request{now, a.serve(now)})
			n++
		} else {
			r.shed++
		}
		if now > begin+span/2 {
			limit := float64(g.limit.Load())
			looks++
			r.limit += limit
			r.lowest, r.highest = min(r.lowest, limit), max(r.highest, limit)
		}
		r.now = now
	}
	pending(math.MaxInt64)
	r.median = int64(float64(r.median) / max(r.goodput, 1))
	r.goodput /= float64(span/2) / 1e9
	r.limit /= looks
	return r
}

var usual = bounds{min: 8, max: 2000, initial: 100, slack: 1}

// An API that is offered three times what it can do does nearly all it can, at twice the time it takes at rest or little more, for as long as
// that goes on; without a limit its queue would grow without end.
func TestOverload(t *testing.T) {
	for _, workers := range []int{4, 20, 100} {
		for _, service := range []int64{20 * ms, 100 * ms} {
			if raceEnabled && workers*int(100*ms/service) > 100 {
				continue // long, and on one goroutine
			}
			a := &api{workers: workers, service: service, random: rand.New(rand.NewPCG(1, uint64(workers)))}
			g := newGroup("a", &usual)
			capacity := float64(workers) / (float64(service) / 1e9)
			span := min(int64(10*time.Minute), int64(300000/capacity*float64(time.Second)))
			span = max(span, int64(3*time.Minute))
			r := simulate(a, g, &usual, 3*capacity, int64(time.Hour), span)
			text := fmt.Sprintf("%d workers of %d ms: limit %.0f (%.0f to %.0f), %.0f of %.0f/s, %.1f ms, %d of %d shed", workers, service/ms, r.limit, r.lowest, r.highest, r.goodput, capacity, float64(r.median)/1e6, r.shed, r.offered)
			t.Log(text)
			most := max(3*float64(workers), 12) + 6*math.Sqrt(float64(workers))
			if r.goodput < 0.9*capacity || r.limit > most || float64(r.median) > 1.5*2*float64(service) && workers >= 8 {
				t.Error(text)
			}
		}
	}
}

// An API that has room is not touched: nothing is shed, whatever the limit began with.
func TestRoom(t *testing.T) {
	for _, initial := range []float64{8, 100, 2000} {
		b := usual
		b.initial = initial
		a := &api{workers: 50, service: 50 * ms, random: rand.New(rand.NewPCG(2, 3))}
		g := newGroup("a", &b)
		simulate(a, g, &b, 500, int64(time.Hour), int64(30*time.Second)) // half of what it can do
		r := simulate(a, g, &b, 500, int64(time.Hour+30*time.Second), int64(3*time.Minute))
		if r.shed > 0 {
			t.Errorf("from %v: %d of %d shed, limit %.0f (%.0f to %.0f)", initial, r.shed, r.offered, r.limit, r.lowest, r.highest)
		}
	}
}

// An API that loses half of its workers is offered less within seconds, and all again when it has them back.
func TestChange(t *testing.T) {
	a := &api{workers: 40, service: 50 * ms, random: rand.New(rand.NewPCG(4, 5))}
	g := newGroup("a", &usual)
	at, rate := int64(time.Hour), 1000.0 // of the 800 it can do
	run := func(span time.Duration) result {
		r := simulate(a, g, &usual, rate, at, int64(span))
		at += int64(span)
		t.Logf("%d workers: limit %.0f, %.0f/s, %.0f ms", a.workers, r.limit, r.goodput, float64(r.median)/1e6)
		return r
	}
	run(2 * time.Minute)
	a.workers = 20
	run(10 * time.Second)
	if r := run(20 * time.Second); r.goodput < 0.9*400 || r.median > 200*ms {
		t.Errorf("with half of its workers: %.0f/s at %d ms", r.goodput, r.median/ms)
	}
	a.workers = 40
	run(10 * time.Second)
	if r := run(20 * time.Second); r.goodput < 0.9*800 || r.median > 200*ms {
		t.Errorf("with all again: %.0f/s at %d ms", r.goodput, r.median/ms)
	}
	// What it does takes twice as long from now on: it is thought busy for about a minute at most.
	a.service = 150 * ms
	run(90 * time.Second)
	if r := run(30 * time.Second); r.goodput < 0.85*40/0.15 {
		t.Errorf("when all takes longer: %.0f/s", r.goodput)
	}
}

// What the limit does after one window, case by case.
func TestLearn(t *testing.T) {
	const now = int64(time.Hour)
	rested := func() learner { // at 100 with 10 ms at rest, looked at
		l := newLearner(&usual)
		l.remember(now, 10*ms)
		l.looked = true
		return l
	}
	f := func(what string, s seen, want float64) {
		t.Helper()
		l := rested()
		if got := l.learn(now+windowSpan, s, &usual); math.Abs(got-want) > 0.01 {
			t.Errorf("%s: %.2f, want %.2f", what, got, want)
		}
	}
	f("at rest and used", seen{median: 10 * ms, count: 100, most: 90}, 110)
	f("within the slack", seen{median: 20 * ms, count: 100, most: 90}, 110)
	f("a third over", seen{median: 30 * ms, count: 100, most: 90}, 100*2/3.+10)
	f("far over", seen{median: 500 * ms, count: 100, most: 90}, 60)
	f("slow, and hardly used", seen{median: 500 * ms, count: 100, most: 49}, 100)
	f("fast, and hardly used", seen{median: 10 * ms, count: 100, most: 49}, 100)
	f("too few to say", seen{median: 500 * ms, count: 9, most: 90}, 100)
	f("nothing", seen{}, 100)
	f("some came too late", seen{median: 10 * ms, count: 100, drops: 5, most: 90}, 110)
	f("many came too late", seen{median: 10 * ms, count: 50, drops: 50, most: 90}, 75)
	f("all came too late", seen{drops: 20, most: 10}, 75)
	l := rested()
	l.limit = 9
	if got := l.learn(now, seen{median: 500 * ms, count: 100, most: 9}, &usual); got != 8 {
		t.Errorf("below the least: %v", got)
	}
	l.limit = 1990
	if got := l.learn(now, seen{median: 10 * ms, count: 100, most: 1990}, &usual); got != 2000 {
		t.Errorf("above the most: %v", got)
	}
}

// The time at rest is the least of a minute, and a limit that is used is taken back to look for it when it comes up.
func TestRest(t *testing.T) {
	l := newLearner(&usual)
	l.looked = true
	now := int64(time.Hour)
	busy := seen{median: 20 * ms, count: 100, most: 1000}
	l.learn(now, seen{median: 10 * ms, count: 100, most: 1}, &usual)
	for now < int64(time.Hour)+parts*partSpan-1 {
		if l.learn(now, busy, &usual); l.look.windows > 0 || l.rest(0) != 10*ms {
			t.Fatalf("after %v: %d, look %+v", time.Duration(now), l.rest(0), l.look)
		}
		now += partSpan / 4
	}
	before := l.limit
	if got := l.learn(now, busy, &usual); got >= before || l.look.windows != lookWindows {
		t.Fatalf("nothing is looked for: %v after %v", got, before)
	}
	held := l.limit
	got := l.learn(now, busy, &usual) // the queue goes
	if got != held/2 {
		t.Errorf("%v, want half of %v", got, held)
	}
	got = l.learn(now, seen{median: 10 * ms, count: 50, most: 50}, &usual)
	if got != held/4 {
		t.Errorf("faster, and not looked any further: %v", got)
	}
	l.learn(now, busy, &usual)
	if got = l.learn(now, seen{median: 10 * ms, count: 50, most: 50}, &usual); got != held || l.look.windows != 0 || l.rest(0) != 10*ms {
		t.Errorf("after the look: %v, want %v; rest %d", got, held, l.rest(0))
	}
	// After a pause nothing is remembered, and the next thing that is seen is the time at rest.
	l.remember(now+2*parts*partSpan, 0)
	if l.rest(7) != 7 {
		t.Errorf("%d after a pause", l.rest(7))
	}
}

func TestClasses(t *testing.T) {
	last := -1
	for took := int64(1); took < int64(2*time.Hour); took += took/40 + 1 {
		c := class(took)
		if c < last || c >= times {
			t.Fatalf("%d is in class %d after %d", took, c, last)
		}
		last = c
		if got := middle(c); c < times-1 && math.Abs(float64(got-took)) > float64(took)/30+64 {
			t.Fatalf("%d is taken for %d", took, got)
		}
	}
	var w window
	for i := range int64(101) {
		w.add(ms + i*ms/10)
	}
	w.see(7)
	w.see(3)
	w.drops.Add(2)
	s := w.take(1, 4)
	if s.count != 101 || s.drops != 2 || s.most != 7 || math.Abs(float64(s.median-6*ms)) > float64(6*ms)/16 {
		t.Errorf("%+v", s)
	}
	if s := w.take(1, 4); s.count != 0 || s.drops != 0 || s.most != 4 || s.median != 0 {
		t.Errorf("%+v", s)
	}
}
