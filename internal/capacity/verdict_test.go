package capacity

import (
	"strings"
	"testing"
	"time"
)

// quiet is a step on a box where nothing is used up.
func quiet(rate float64) Step {
	return Step{Wanted: rate, Reached: rate, Answers: uint64(4 * rate), Window: 4 * time.Second, P50: time.Millisecond, P99: 2 * time.Millisecond, Service: 2 * time.Millisecond,
		Cores: 2, Usable: 2, Busy: 0.3, Steal: 0.001, Softirq: 0.02, Packets: 0.03, IOWait: 0, Throttled: 0, Gateway: 0.3, Endpoints: 0.1, Generator: 0.2,
		PressureCPU: 0.1, PressureIO: 0, PressureMemory: 0, Network: 0.1, Disk: 0.1, Descriptors: 0.1, Memory: 0.4, Retransmitted: 0,
		Upstream: time.Millisecond, Added: 100 * time.Microsecond, Bytes: 1000, Connections: 64}
}

// failed is one that missed the goal of 10 ms.
func failed(change func(*Step)) Step {
	s := quiet(2000)
	s.P99, s.Service = 50*time.Millisecond, 50*time.Millisecond
	change(&s)
	return s
}

func TestGivesOut(t *testing.T) {
	goal := DefaultGoal(10 * time.Millisecond)
	for _, c := range []struct {
		name   string
		change func(*Step)
		want   Limit
		says   string
	}{
		{"processors", func(s *Step) { s.Busy = 0.97 }, CPU, "the cores were 97 % busy (gateway 0.30, endpoints 0.10, generator 0.20, others 1.34 of 2 cores); others had most of them"},
		{"a queue for endpoints, whoever has the processors", func(s *Step) { s.Waiting, s.Busy = 12, 0.97 }, Upstream, "12 requests waited for a connection to an endpoint (pool.connections), while the gateway kept 0.30 of 2 cores busy"},
		{"a queue for endpoints that have no processors", func(s *Step) { s.Waiting, s.Busy, s.Gateway = 12, 0.97, 1.2 }, CPU, "97 %"},
		{"processors that tasks wait for", func(s *Step) { s.Busy, s.PressureCPU = 0.75, 0.6 }, CPU, "waited for one 60 %"},
		{"a quota", func(s *Step) { s.Throttled = 0.5; s.Busy = 0.6 }, CPU, "quota 50 %"},
		{"slow endpoints", func(s *Step) { s.Upstream = 40 * time.Millisecond }, Upstream, "the endpoints' part of the time was 40 ms (p99), what the gateway added 100 µs"},
		{"endpoints without a place", func(s *Step) { s.Full, s.Errors = 900, 0.4 }, Upstream, "no place for 900 requests"},
		{"slow endpoints on a box without processors", func(s *Step) { s.Upstream, s.Busy = 40*time.Millisecond, 0.99 }, CPU, "99 %"},
		{"the interface", func(s *Step) { s.Network = 0.93 }, Network, "93 % of what it can"},
		{"packets on one core", func(s *Step) { s.Packets, s.Busy = 0.96, 0.7 }, Network, "one core was 96 % busy with packets"},
		{"packets that are lost", func(s *Step) { s.PacketsLost = 12 }, Network, "dropped 12 packets"},
		{"a queue of a listener", func(s *Step) { s.Overflows = 7 }, Network, "no room for 7 connections"},
		{"a queue of a listener on a box without processors", func(s *Step) { s.Overflows, s.Busy = 7, 0.95 }, CPU, "95 %"},
		{"packets on one core of a box without any left", func(s *Step) { s.Packets, s.Busy = 0.96, 0.99 }, CPU, "99 %"},
		{"a gateway that is slow itself", func(s *Step) { s.Upstream, s.Added = 40*time.Millisecond, 45*time.Millisecond }, NoLimit, "the gateway added 45 ms"},
		{"segments sent again", func(s *Step) { s.Retransmitted = 0.2 }, Network, "20 % of the segments"},
		{"the disk", func(s *Step) { s.Disk, s.DiskWrite = 0.99, 30*time.Millisecond }, Disk, "99 % of the time, a write took 30 ms"},
		{"descriptors", func(s *Step) { s.Descriptors = 0.99 }, Descriptors, "LimitNOFILE"},
		{"descriptors that were short", func(s *Step) { s.Descriptors, s.Short = Unknown, 3 }, Descriptors, "3 times"},
		{"memory", func(s *Step) { s.Memory = 0.99 }, Memory, "99 %"},
		{"connections of the generator", func(s *Step) { s.Service = 5 * time.Millisecond }, Generator, "--connections"},
		{"a late generator", func(s *Step) { s.Late = 30 * time.Millisecond }, Generator, "30 ms late"},
		{"nothing", func(*Step) {}, NoLimit, "nothing that was measured was used up: the cores were 30 % busy"},
		{"nothing that is known", func(s *Step) { s.Busy, s.Upstream = Unknown, 0 }, NoLimit, "metrics page was not read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := failed(c.change)
			limit, evidence := GivesOut(goal, &s)
			if limit != c.want || !strings.Contains(evidence, c.says) {
				t.Errorf("%s: %s; want %s: ...%s...", limit, evidence, c.want, c.says)
			}
		})
	}
}

// carriedTo are the steps of a search that found a rate, with what came of the one above it.
func carriedTo(rate float64, above Step) []Step {
	above.Wanted = 1.1 * rate
	hold := quiet(0.8 * rate)
	hold.Phase = HoldOut
	return []Step{quiet(rate / 2), quiet(rate), above, above, quiet(rate), hold}
}

func TestVerdict(t *testing.T) {
	s := &Search{Goal: DefaultGoal(10 * time.Millisecond), Start: 100, Step: 4 * time.Second}
	busy := failed(func(s *Step) { s.Busy = 0.97 })
	slowHold := failed(func(s *Step) { s.Phase, s.Wanted, s.Reached = HoldOut, 6720, 6720 })
	ours := failed(func(s *Step) { s.Busy, s.Gateway = 0.97, 1.5 })
	const figures97 = "the cores were 97 % busy (gateway 0.30, endpoints 0.10, generator 0.20, others 1.34 of 2 cores); others had most of them"
	for _, c := range []struct {
		name  string
		steps []Step
		want  string
	}{
		{"found", carriedTo(8400, ours), "8,400 requests/s at p99 ≤ 10 ms on this box, limited by CPU"},
		{"found beside others", carriedTo(8400, busy), "8,400 requests/s at p99 ≤ 10 ms on this box, limited by CPU, most of which others had"},
		{"not checked", carriedTo(8400, ours)[:5], "8,400 requests/s at p99 ≤ 10 ms on this box, limited by CPU. Not confirmed by a run at 80 % of it"},
		{"a hold-out that failed once", append(carriedTo(8400, ours)[:5:5], slowHold), "8,400 requests/s at p99 ≤ 10 ms on this box, limited by CPU. Not confirmed by a run at 80 % of it"},
		{"nothing gave out", append(carriedTo(8400, busy)[:2], carriedTo(8400, busy)[4:]...), "at least 8,400 requests/s at p99 ≤ 10 ms on this box; nothing gave out before the search ended"},
		{"the generator", carriedTo(8400, failed(func(s *Step) { s.Late = time.Second })), "at least 8,400 requests/s at p99 ≤ 10 ms on this box, limited by the generator: it gave out before what it measures"},
		{"once is not enough", []Step{quiet(1000)}, "no verdict: the time was too short: 1,000/s met the goal, and no rate did in two runs; give it more with --budget, or begin nearer to the end with --from"},
		{"once, and then not", []Step{quiet(1000), busy, busy}, "no verdict: 1,000/s met the goal, and no rate did in two runs. What failed: at 2,000/s p99 was 50 ms: " + figures97 + "; give it more time with --budget"},
		{"two runs bear out the lower of them", []Step{quiet(1000), quiet(1500)}, "at least 1,000 requests/s at p99 ≤ 10 ms on this box; nothing gave out before the search ended. Not confirmed by a run at 80 % of it"},
		{"not even the least", []Step{busy, busy}, "no verdict: no rate met the goal: at 2,000/s p99 was 50 ms: " + figures97},
		{"nothing", nil, "no verdict: nothing was measured"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := s.Verdict(c.steps)
			if got := v.String(); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if v.AtLeast != strings.HasPrefix(c.want, "at least") {
				t.Errorf("at least is %t", v.AtLeast)
			}
		})
	}
}

// Refusals are fast to give: who measures them must not take them for answers.
func TestVerdictOfRefusals(t *testing.T) {
	steps := carriedTo(9000, failed(func(s *Step) { s.Busy = 0.97 }))
	for i := range steps {
		steps[i].Refused = 0.93
	}
	s := &Search{Goal: DefaultGoal(10 * time.Millisecond)}
	if got := s.Verdict(steps).String(); !strings.Contains(got, "CAREFUL: 93 % of the answers were refusals (4xx)") {
		t.Error(got)
	}
}

// While the box is robbed there is no verdict, whatever was seen before, and it says what to do.
func TestStealRefusesAVerdict(t *testing.T) {
	s := &Search{Goal: DefaultGoal(10 * time.Millisecond), Start: 100, Step: 4 * time.Second}
	steps := carriedTo(8400, failed(func(s *Step) { s.Busy = 0.97 }))
	robbed := quiet(6720)
	robbed.Steal = 0.034
	for n := 1; n <= spoiltInARow; n++ {
		if refused := s.Verdict(steps).Refused; refused != "" {
			t.Fatalf("after %d robbed runs it refuses already: %s", n-1, refused)
		}
		steps = append(steps, robbed)
	}
	v := s.Verdict(steps)
	if v.Capacity != 0 || !strings.HasPrefix(v.Refused, "steal is 3.4 %") || !strings.Contains(v.Refused, "Measure again at another hour") {
		t.Errorf("%+v", v)
	}
	if next := s.Next(steps, time.Hour); next.Phase != Done {
		t.Errorf("it goes on measuring: %+v", next)
	}
	robbed.Steal, robbed.Throttled = 0, 0.4
	steps = []Step{robbed, robbed, robbed}
	if v := s.Verdict(steps); !strings.Contains(v.Refused, "quota 40 %") {
		t.Errorf("%+v", v)
	}
}

// A robbed run is made again, and counts for nothing.
func TestRobbedRunsAreRepeated(t *testing.T) {
	s := &Search{Goal: DefaultGoal(10 * time.Millisecond), Start: 1000, Step: 4 * time.Second}
	robbed := failed(func(s *Step) { s.Wanted, s.Steal = 1000, 0.1 })
	if next := s.Next([]Step{robbed, robbed}, time.Hour); next.Rate != 1000 || next.Phase != Grow {
		t.Errorf("%+v; want 1000 again", next)
	}
}

// The estimate is of the processors alone, says what a request costs the gateway, and is never below what was measured.
func TestAlone(t *testing.T) {
	s := &Search{Goal: DefaultGoal(10 * time.Millisecond)}
	steps := carriedTo(8000, failed(func(s *Step) { s.Busy = 0.97 }))
	for i := range steps {
		steps[i].Busy = max(steps[i].Busy, 0.9)
		steps[i].Gateway = steps[i].Wanted * 75e-6
	}
	v := s.Verdict(steps)
	if v.Cost != 75*time.Microsecond || v.Alone != 12000 { // (0.6 + 0.1 + 0.2) cores / 75 µs; what others took stays theirs
		t.Errorf("a request costs %s, alone %.0f", v.Cost, v.Alone)
	}
	idle := quiet(100) // what a request costs an idle gateway says nothing of a busy one
	idle.Gateway = 0.5
	if w := s.Verdict(append(steps, idle)); w.Cost != v.Cost {
		t.Errorf("an idle gateway's request counts: %s", w.Cost)
	}
	steps = carriedTo(8000, failed(func(s *Step) { s.Upstream = 50 * time.Millisecond }))
	if v := s.Verdict(steps); v.Limit != Upstream || v.Alone != 0 {
		t.Errorf("limited by %s, alone %.0f; more processors would not help endpoints", v.Limit, v.Alone)
	}
}

func TestKnee(t *testing.T) {
	var steps []Step
	for _, at := range []struct {
		rate float64
		p99  time.Duration
	}{{1000, 2}, {2000, 9}, {4000, 3}, {8000, 20}, {4000, 3}} { // power: 500, 667 once the hiccup is left out, 1333, 400
		s := quiet(at.rate)
		s.P99 = at.p99 * time.Millisecond
		steps = append(steps, s)
	}
	if got := knee(steps, 8000); got != 4000 {
		t.Errorf("found %.0f", got)
	}
}

func TestGoal(t *testing.T) {
	goal := DefaultGoal(10 * time.Millisecond)
	for _, c := range []struct {
		change func(*Step)
		want   string
	}{
		{func(*Step) {}, ""},
		{func(s *Step) { s.P99 = 10 * time.Millisecond }, ""},
		{func(s *Step) { s.P99 = 11 * time.Millisecond }, "p99 was 11 ms"},
		{func(s *Step) { s.Errors = 0.001 }, ""},
		{func(s *Step) { s.Errors = 0.0011 }, "0.1 % of the requests failed"},
		{func(s *Step) { s.Reached = 985 }, ""},
		{func(s *Step) { s.Reached = 975 }, "only 975/s were answered"},
		{func(s *Step) { s.Answers = 0 }, "nothing was answered"},
	} {
		s := quiet(1000)
		c.change(&s)
		if got := goal.Misses(&s); got != c.want || goal.Meets(&s) != (c.want == "") {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Runs between the capacity and the one that was short of descriptors look as if endpoints were slow, and there are more of them. Far above,
// descriptors run out because something else is slow.
func TestDescriptorsExplainTheRunsBelow(t *testing.T) {
	at := func(rate float64, change func(*Step)) Step {
		s := failed(change)
		s.Wanted = rate
		return s
	}
	slow := func(s *Step) { s.Upstream = 45 * time.Millisecond }
	short := func(s *Step) { s.Short = 3; slow(s) }
	s := &Search{Goal: DefaultGoal(10 * time.Millisecond)}
	for rate, want := range map[float64]Limit{1500: Descriptors, 2400: Upstream} {
		if got, why, _ := s.limit([]Step{at(1100, slow), at(1200, slow), at(rate, short)}, 1000); got != want {
			t.Errorf("short at %.0f of 1000: %s (%s)", rate, got, why)
		}
	}
}
