package capacity

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Erlang's C by known values: one server waits with the share it is busy; others are of the tables every textbook has.
func TestErlangC(t *testing.T) {
	for _, c := range []struct {
		servers int
		offered float64
		want    float64
	}{{1, 0.5, 0.5}, {1, 0.9, 0.9}, {2, 1, 1.0 / 3}, {3, 2, 4.0 / 9}, {10, 8, 0.40918}} {
		if got := erlangC(c.servers, c.offered); math.Abs(got-c.want) > 1e-4 {
			t.Errorf("%d servers with %g: %g, want %g", c.servers, c.offered, got, c.want)
		}
	}
}

// A single queue has a formula of its own: the 99th percentile of waiting is ln(100ρ)/(μ-λ).
func TestWaiting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		busy := rapid.Float64Range(0.02, 0.98).Draw(t, "busy")
		each := time.Duration(rapid.IntRange(10, 10_000).Draw(t, "µs")) * time.Microsecond
		rate := busy / each.Seconds()
		want := math.Log(100*busy) / (1/each.Seconds() - rate)
		if got := waiting(1, rate, each).Seconds(); math.Abs(got-want) > 1e-6*want+1e-9 {
			t.Errorf("%g, want %g", got, want)
		}
		if more := waiting(2, rate, each); more > waiting(1, rate, each) {
			t.Errorf("two cores wait longer: %s", more)
		}
	})
	if got := waiting(2, 3000, time.Millisecond); got != math.MaxInt64 {
		t.Errorf("more to do than cores waits %s", got)
	}
}

// found is a verdict of a box with two cores: 8,400/s, 75 µs a request, 1,000 bytes an answer.
func found() (*Verdict, []Step) {
	s := &Search{Goal: DefaultGoal(10 * time.Millisecond)}
	steps := carriedTo(8400, failed(func(s *Step) { s.Busy = 0.97 }))
	for i := range steps {
		steps[i].Gateway = steps[i].Wanted * 75e-6
	}
	return s.Verdict(steps), steps
}

func TestNeed(t *testing.T) {
	v, steps := found()
	m := Means{Cores: 2, Memory: 4 << 30, Connections: 20_000, Budgets: []Budget{{"the cache in memory", 64 << 20}}, Month: 12.5, NextMonth: 24}
	for _, c := range []struct {
		rate         float64
		cores, boxes int
		month        float64
		says         string
	}{
		{5_000, 1, 1, 12.5, "this box is enough"},
		{15_000, 2, 1, 12.5, "56 % busy"},
		{20_000, 4, 1, 24, "the next larger box"},
		{60_000, 8, 1, 50, "4 boxes like this one would do"},
		{1_000_000, 128, 4, 800, "more than 32 cores are for several boxes"},
	} {
		n := v.For(c.rate, m, steps)
		if n.Cores != c.cores || n.Boxes != c.boxes || n.Month != c.month || !strings.Contains(strings.Join(n.Reasons, "\n"), c.says) {
			t.Errorf("%.0f/s: %d cores on %d boxes for %.2f; want %d, %d, %.2f, %q in:\n%s", c.rate, n.Cores, n.Boxes, n.Month, c.cores, c.boxes, c.month, c.says, strings.Join(n.Reasons, "\n"))
		}
		if n.Network != c.rate*1000 {
			t.Errorf("%.0f bytes a second", n.Network)
		}
		parts := float64(48<<20 + 20_000*(24<<10) + 64<<20)
		if want := int64(parts / 0.85); n.Memory != want {
			t.Errorf("%d bytes of memory, want %d", n.Memory, want)
		}
	}
}

// A goal that leaves no time for waiting takes more cores than the load keeps busy.
func TestNeedOfAStrictGoal(t *testing.T) {
	v, steps := found()
	v.Goal.P99 = 100 * time.Microsecond
	if n := v.For(15_000, Means{Cores: 2}, steps); n.Cores != 8 || n.Wait > 25*time.Microsecond {
		t.Errorf("%d cores, where one in a hundred waits %s", n.Cores, n.Wait)
	}
}

func TestNeedOfASlowInterface(t *testing.T) {
	v, steps := found()
	n := v.For(200_000, Means{Cores: 2, Ceiling: 125e6}, steps) // 200 MB/s over 1 Gbit/s
	if n.Boxes != 3 {
		t.Errorf("%d boxes:\n%s", n.Boxes, strings.Join(n.Reasons, "\n"))
	}
}

// Whatever a load is, the cores that are advised are enough of them, and half as many are not.
func TestNeedIsEnoughAndNotTooMuch(t *testing.T) {
	v, steps := found()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(1, 5e6).Draw(t, "rate")
		n := v.For(rate, Means{Cores: 2}, steps)
		enough := func(c int) bool {
			return n.Busy <= target*float64(c) && waiting(c, rate, v.Cost) <= v.Goal.P99/4
		}
		if !enough(n.Cores) || n.Cores > 1 && enough(n.Cores/2) {
			t.Errorf("%.0f/s: %d cores", rate, n.Cores)
		}
	})
}

// What connections take is told by the runs once there are enough of them.
func TestMemoryOfConnections(t *testing.T) {
	few, many := quiet(100), quiet(8000)
	few.Open, few.Resident = 64, 60<<20
	many.Open, many.Resident = 2064, 60<<20+2000*30<<10
	if process, each := memoryOf([]Step{many, few}); process != 60<<20 || each != 30<<10 {
		t.Errorf("%d, %d a connection", process, each)
	}
	many.Open = 100
	if _, each := memoryOf([]Step{few, many}); each != connectionMemory {
		t.Errorf("%d a connection by 36 of them", each)
	}
}

func TestHeadroom(t *testing.T) {
	v, _ := found()
	until := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		past *Past
		want float64
		text string
	}{
		{&Past{Busiest: 2100, Over: 5 * time.Second, Since: until.Add(-24 * time.Hour), Until: until, From: "the gateway's history"}, 4,
			"headroom over your last day: 4× its busiest 5 seconds (2,100/s, from the gateway's history)"},
		{&Past{Busiest: 2100, Over: 5 * time.Second, Since: until.Add(-3 * time.Hour), Until: until, From: "the gateway's history"}, 4,
			"headroom over the last 3 hours (no more is known): 4× its busiest 5 seconds (2,100/s, from the gateway's history)"},
		{&Past{Busiest: 16800, Over: time.Second, From: "the access log a.log"}, 0.5, "headroom over what the log holds: 0.5× its busiest second (16,800/s, from the access log a.log)"},
		{&Past{Since: until}, 0, "headroom is not known: there were no requests since 2026-11-22 12:00 UTC"},
		{nil, 0, "headroom is not known: there is no history of requests; run it against a gateway that serves, or name its access log with --log"},
	} {
		if got, text := v.Headroom(c.past), v.HeadroomText(c.past); got != c.want || text != c.text {
			t.Errorf("%g: %s\nwant %g: %s", got, text, c.want, c.text)
		}
	}
}

func TestPerMillion(t *testing.T) {
	if got := PerMillion(12.5, 8400); math.Abs(got-0.001132) > 1e-6 { // 4,200/s × 2.63e6 s are 1.1e10 a month
		t.Errorf("%g", got)
	}
	if PerMillion(12.5, 0) != 0 {
		t.Error("nothing carried costs something")
	}
}

// A load that no box carries needs as many boxes as it takes, and not the cores of the largest.
func TestMoreThanAnyBoxHas(t *testing.T) {
	v := &Verdict{Goal: DefaultGoal(15 * time.Millisecond), Capacity: 10_000, Cost: 50 * time.Microsecond}
	n := v.For(1e8, Means{Cores: 2}, nil) // 5000 busy cores
	if float64(n.Cores) < n.Busy/target || float64(n.Cores) > n.Busy/target+2*largest || n.Boxes*largest != n.Cores {
		t.Errorf("%.0f busy cores need %d on %d boxes", n.Busy, n.Cores, n.Boxes)
	}
}
