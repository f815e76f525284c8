package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"straum.dev/straum/test/script"
)

// TestScripts: "members kind a=1 b=2 [slow=10s] [bound=125] [otherwise=kind]" builds a balancer (Loads of known names are carried over);
// "now 5s" sets the time; "down|up|restore a", "eject a 30s", "active a 3", "latency a 20ms" change a Load;
// "pick [n=6] [key=x] [sticky=a] [tried=a,b]" prints the picks in order, "count" how often each came; "load a" prints a Load.
func TestScripts(t *testing.T) {
	script.Run(t, func() func(string, []string) string {
		var (
			b       Balancer
			members []Member
			now     int64
			loads   = map[string]*Load{}
			rng     = rand.New(rand.NewPCG(1, 2))
		)
		tried := func(args []string) (t Tried) {
			for name := range strings.SplitSeq(script.Option(args, "tried", ""), ",") {
				for i, m := range members {
					if m.ID == name {
						t.Add(i)
					}
				}
			}
			return t
		}
		key := func(args []string) uint64 {
			if s := script.Option(args, "sticky", ""); s != "" {
				return Member{ID: s}.Key()
			}
			return Key(script.Option(args, "key", ""))
		}
		return func(command string, args []string) string {
			switch command {
			case "members":
				var s Settings
				var err error
				if s.Kind, err = ParseKind(args[0]); err != nil {
					return err.Error()
				}
				s.Otherwise, _ = ParseKind(script.Option(args, "otherwise", "least_requests"))
				s.SlowStart = int64(script.Must(time.ParseDuration(script.Option(args, "slow", "0"))))
				s.Bound = script.Must(strconv.Atoi(script.Option(args, "bound", "0")))
				members = nil
				for _, a := range args[1:] {
					if id, w, _ := strings.Cut(a, "="); len(id) == 1 {
						if loads[id] == nil {
							loads[id] = &Load{}
						}
						members = append(members, Member{ID: id, Weight: script.Must(strconv.Atoi(w)), Load: loads[id]})
					}
				}
				if b, err = New(members, s); err != nil {
					return err.Error()
				}
			case "now":
				now = int64(script.Must(time.ParseDuration(args[0])))
			case "down":
				loads[args[0]].Down()
			case "up":
				loads[args[0]].Up(now)
			case "restore":
				loads[args[0]].Restore(now)
			case "eject":
				loads[args[0]].Eject(now + int64(script.Must(time.ParseDuration(args[1]))))
			case "active":
				loads[args[0]].active.Store(int64(script.Must(strconv.Atoi(args[1]))))
			case "latency":
				loads[args[0]].Observe(now, int64(script.Must(time.ParseDuration(args[1]))))
			case "load":
				l := loads[args[0]]
				return fmt.Sprintf("usable=%v latency=%v share=%d%%\n", l.Usable(now),
					time.Duration(l.Latency(now)).Round(100*time.Microsecond), l.share(now, int64(10*time.Second)))
			case "pick":
				var names []string
				for range script.Must(strconv.Atoi(script.Option(args, "n", "1"))) {
					i, ok := b.Pick(key(args), rng.Uint64(), now, tried(args))
					if !ok {
						return "none\n"
					}
					names = append(names, members[i].ID)
				}
				return strings.Join(names, " ") + "\n"
			case "count":
				count := make([]int, len(members))
				for range script.Must(strconv.Atoi(script.Option(args, "n", "1000"))) {
					i, _ := b.Pick(key(args), rng.Uint64(), now, tried(args))
					count[i]++
				}
				var out strings.Builder
				for i, m := range members {
					fmt.Fprintf(&out, "%s=%d ", m.ID, count[i])
				}
				return strings.TrimSpace(out.String()) + "\n"
			default:
				return "unknown command " + command + "\n"
			}
			return ""
		}
	})
}

func TestLoadHasOwnCacheLines(t *testing.T) {
	var l Load
	if size := unsafe.Sizeof(l); size != 128 {
		t.Errorf("a Load has %d bytes, want two cache lines of 64", size)
	}
	if at := unsafe.Offsetof(l.down); at != 64 {
		t.Errorf("the second half begins at %d, want 64", at)
	}
}

func TestNewRefuses(t *testing.T) {
	f := func(want string, members []Member, s Settings) {
		t.Helper()
		if _, err := New(members, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	one := []Member{{ID: "a", Weight: 1, Load: &Load{}}}
	f("weight -1, want 0 to 65535", []Member{{ID: "a", Weight: -1, Load: &Load{}}}, Settings{})
	f("weight 65536", []Member{{ID: "a", Weight: 65536, Load: &Load{}}}, Settings{})
	f("bound of 100 %", one, Settings{Kind: Hash, Bound: 100})
	f("slow start of -1", one, Settings{SlowStart: -1})
	f("sticky falls back to sticky", one, Settings{Kind: Sticky, Otherwise: Sticky})
	f("unknown kind(9)", one, Settings{Kind: 9})
}

// anySet draws up to 12 members, some of them unusable or of weight 0.
func anySet(t *rapid.T) []Member {
	n := rapid.IntRange(1, 12).Draw(t, "members")
	members := make([]Member, n)
	for i := range members {
		members[i] = Member{ID: fmt.Sprintf("10.0.0.%d:80", i), Weight: rapid.IntRange(0, 5).Draw(t, "weight"), Load: &Load{}}
		switch rapid.IntRange(0, 3).Draw(t, "health") {
		case 0:
			members[i].Load.Down()
		case 1:
			members[i].Load.Eject(rapid.Int64Range(0, 100).Draw(t, "until"))
		}
		for range rapid.IntRange(0, 3).Draw(t, "active") {
			members[i].Load.Begin()
		}
	}
	return members
}

// The four rounds of the package comment hold for every kind.
func TestRounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := anySet(t)
		s := Settings{
			Kind:      Kind(rapid.IntRange(0, 5).Draw(t, "kind")),
			SlowStart: rapid.SampledFrom([]int64{0, 100}).Draw(t, "slow"),
			Bound:     rapid.SampledFrom([]int{0, 125}).Draw(t, "bound"),
		}
		b := script.Must(New(members, s))
		var tried Tried
		for i := range members {
			if rapid.Bool().Draw(t, "tried") {
				tried.Add(i)
			}
		}
		now := rapid.Int64Range(0, 100).Draw(t, "now")
		round := func(i int) int {
			r := 1
			if tried.Has(i) {
				r = 2
			}
			if !members[i].Load.Usable(now) {
				r += 2
			}
			return r
		}
		first := 5
		for i, m := range members {
			if m.Weight > 0 {
				first = min(first, round(i))
			}
		}
		for range 20 {
			i, ok := b.Pick(rapid.Uint64().Draw(t, "key"), rapid.Uint64().Draw(t, "random"), now, tried)
			if ok != (first < 5) {
				t.Fatalf("ok = %v with best round %d", ok, first)
			}
			if ok && (round(i) != first || members[i].Weight == 0) {
				t.Fatalf("picked %d of round %d and weight %d, want round %d", i, round(i), members[i].Weight, first)
			}
		}
	})
}

// Over one period round robin gives each member exactly its weight.
func TestRoundRobinIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 50), 1, 10).Draw(t, "weights")
		members := make([]Member, len(weights))
		for i, w := range weights {
			members[i] = Member{ID: strconv.Itoa(i), Weight: w, Load: &Load{}}
		}
		b := script.Must(New(members, Settings{Kind: RoundRobin})).(*roundRobin)
		count := make([]int, len(weights))
		for range b.total {
			i, _ := b.Pick(0, 0, 0, Tried{})
			count[i]++
		}
		for i := range count {
			if want := int(b.slots[i].weight); count[i] != want {
				t.Fatalf("member %d of weight %d came %d times in a period of %d, want %d", i, weights[i], count[i], b.total, want)
			}
		}
	})
}

// shares of many picks converge to weight × slow-start share of the usable members, for the kinds that promise it.
func TestSharesConverge(t *testing.T) {
	for _, kind := range []Kind{RoundRobin, Random, LeastRequests, Hash} {
		t.Run(kind.String(), func(t *testing.T) {
			members := []Member{
				{ID: "a", Weight: 1, Load: &Load{}}, {ID: "b", Weight: 2, Load: &Load{}}, {ID: "c", Weight: 3, Load: &Load{}},
				{ID: "d", Weight: 4, Load: &Load{}}, {ID: "e", Weight: 5, Load: &Load{}},
			}
			members[2].Load.Down()
			members[3].Load.Up(1000) // at 1500 of a window of 1000: 55 %
			want := []float64{1, 2, 0, 4 * .55, 5}
			b := script.Must(New(members, Settings{Kind: kind, SlowStart: 1000}))
			rng := rand.New(rand.NewPCG(3, 4))
			const n = 100_000
			var count [5]float64
			for range n {
				i, _ := b.Pick(rng.Uint64(), rng.Uint64(), 1500, Tried{})
				count[i]++
			}
			for i := range want {
				if got, want := count[i]/n, want[i]/10.2; math.Abs(got-want) > .01 {
					t.Errorf("member %d got %.3f of the picks, want %.3f", i, got, want)
				}
			}
		})
	}
}

// With requests in flight, least requests fills members in proportion to their weights.
func TestLeastRequestsFillsByWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 8).Draw(t, "weights")
		rounds := rapid.IntRange(1, 20).Draw(t, "rounds")
		var members []Member
		sum := 0
		for i, w := range weights {
			members = append(members, Member{ID: strconv.Itoa(i), Weight: w, Load: &Load{}})
			sum += w
		}
		b := script.Must(New(members, Settings{}))
		for range rounds * sum {
			i, _ := b.Pick(0, 0, 0, Tried{})
			members[i].Load.Begin()
		}
		for i, m := range members {
			want := int64(rounds * weights[i])
			if got := m.Load.Active(); got < want-int64(weights[i]) || got > want+int64(weights[i]) {
				t.Fatalf("weights %v: member %d has %d requests, want %d ± its weight", weights, i, got, want)
			}
		}
	})
}

// When a member goes, no key of another member moves, and about 1/n of all keys do; they end up spread over the others.
func TestHashMovesLittle(t *testing.T) {
	for _, weights := range [][]int{{1, 1, 1, 1, 1, 1, 1, 1}, {1, 2, 3, 4, 1, 2, 3, 4}} {
		var members []Member
		sum := 0
		for i, w := range weights {
			members = append(members, Member{ID: fmt.Sprintf("10.0.0.%d:8080", i), Weight: w, Load: &Load{}})
			sum += w
		}
		const gone, keys = 3, 40_000
		b := script.Must(New(members, Settings{Kind: Hash}))
		without := script.Must(New(append(append([]Member{}, members[:gone]...), members[gone+1:]...), Settings{Kind: Hash}))
		heirs := map[string]int{}
		moved := 0
		for k := range keys {
			key := Key(strconv.Itoa(k))
			before, _ := b.Pick(key, 0, 0, Tried{})
			members[gone].Load.Down()
			unusable, _ := b.Pick(key, 0, 0, Tried{})
			members[gone].Load.Up(0)
			after, _ := without.Pick(key, 0, 0, Tried{})
			if after >= gone {
				after++
			}
			if unusable != after {
				t.Fatalf("key %d goes to %d when its member is unusable, to %d when it is removed", k, unusable, after)
			}
			if before == gone {
				moved++
				heirs[members[after].ID]++
			} else if before != after {
				t.Fatalf("key %d moved from %d to %d though only %d went", k, before, after, gone)
			}
		}
		share := float64(weights[gone]) / float64(sum)
		if got := float64(moved) / keys; math.Abs(got-share) > .01 {
			t.Errorf("weights %v: %.3f of the keys moved, want about %.3f", weights, got, share)
		}
		if len(heirs) != len(members)-1 {
			t.Errorf("weights %v: the keys moved to %d members, want all %d others", weights, len(heirs), len(members)-1)
		}
	}
}

// Bare and weighted scores order equal members alike, so a change of settings or a slow start elsewhere moves no key.
func TestHashScoresAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var members []Member
		for i := range rapid.IntRange(1, 20).Draw(t, "n") {
			members = append(members, Member{ID: strconv.Itoa(i), Weight: 7, Load: &Load{}})
		}
		bare := script.Must(New(members, Settings{Kind: Hash}))
		weighted := script.Must(New(members, Settings{Kind: Hash, SlowStart: 1, Bound: 1000}))
		key := rapid.Uint64().Draw(t, "key")
		i, _ := bare.Pick(key, 0, 5, Tried{})
		j, _ := weighted.Pick(key, 0, 5, Tried{})
		if i != j {
			t.Fatalf("bare score picks %d, weighted %d", i, j)
		}
	})
}

// One hot key alone cannot push a member over the bound, and it leaves its first choice only for that reason.
func TestHashBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 10).Draw(t, "n")
		bound := rapid.IntRange(101, 300).Draw(t, "bound")
		var members []Member
		for i := range n {
			members = append(members, Member{ID: strconv.Itoa(i), Weight: 1, Load: &Load{}})
		}
		b := script.Must(New(members, Settings{Kind: Hash, Bound: bound}))
		first := 0
		for total := 1; total <= 200; total++ {
			i, _ := b.Pick(42, 0, 0, Tried{})
			members[i].Load.Begin()
			limit := int64(math.Ceil(float64(bound*total) / float64(100*n)))
			if total == 1 {
				first = i
			}
			if i != first && members[first].Load.Active() < limit {
				t.Fatalf("went to %d of %d though %d has only %d requests, bound %d", i, n, first, members[first].Load.Active(), limit)
			}
			if got := members[i].Load.Active(); got > limit {
				t.Fatalf("member %d has %d of %d requests, bound %d", i, got, total, limit)
			}
		}
	})
}

// The latency balancer leaves a slow endpoint nearly alone, and comes back to it once its latency has faded.
func TestLatencyAvoidsAndReturns(t *testing.T) {
	members := []Member{{ID: "a", Weight: 1, Load: &Load{}}, {ID: "b", Weight: 1, Load: &Load{}}, {ID: "c", Weight: 1, Load: &Load{}}}
	b := script.Must(New(members, Settings{Kind: Latency}))
	cost := []int64{int64(time.Millisecond), int64(50 * time.Millisecond), int64(time.Millisecond)}
	rng := rand.New(rand.NewPCG(5, 6))
	var now int64
	play := func(n int) (slow int) {
		for range n {
			i, _ := b.Pick(0, rng.Uint64(), now, Tried{})
			members[i].Load.Observe(now, cost[i])
			now += int64(10 * time.Millisecond)
			if i == 1 {
				slow++
			}
		}
		return slow
	}
	if slow := play(3000); slow < 1 || slow > 60 { // 30 s; ln 50 × 10 s until it fades below the others
		t.Errorf("the slow endpoint got %d of 3000 picks, want a few", slow)
	}
	cost[1] = cost[0]
	play(6000)
	if slow := play(3000); slow < 700 || slow > 1300 {
		t.Errorf("once fast again it got %d of 3000 picks, want about a third", slow)
	}
}

// A peak shows at once, and no order of observations makes the average leave the range of what was observed.
func TestLatencyAverageStaysInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Load
		var now, lo, hi int64 = 0, math.MaxInt64, 0
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			now += rapid.Int64Range(0, int64(time.Minute)).Draw(t, "dt")
			v := rapid.Int64Range(1, int64(time.Minute)).Draw(t, "latency")
			before := l.Latency(now)
			l.Observe(now, v)
			lo, hi = min(lo, v), max(hi, v)
			got := l.Latency(now)
			if got < float64(lo)*.999 || got > float64(hi)*1.001 {
				t.Fatalf("average %v outside %d..%d", got, lo, hi)
			}
			if float64(v) > before*1.001 && got < float64(v)*.999 && got < before {
				t.Fatalf("peak %d does not show: %v", v, got)
			}
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	for kind := LeastRequests; kind <= Sticky; kind++ {
		members := make([]Member, 5)
		for i := range members {
			members[i] = Member{ID: strconv.Itoa(i), Weight: 1 + i, Load: &Load{}}
		}
		b := script.Must(New(members, Settings{Kind: kind, SlowStart: 100, Bound: 125}))
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), 0))
				for now := range int64(2000) {
					i, ok := b.Pick(rng.Uint64(), rng.Uint64(), now, Tried{})
					if !ok {
						t.Error("no pick")
						return
					}
					l := members[i].Load
					l.Begin()
					switch rng.IntN(20) {
					case 0:
						l.Down()
					case 1:
						l.Up(now)
					case 2:
						l.Eject(now + 10)
					case 3:
						l.Restore(now)
					}
					l.Observe(now<<tick, int64(rng.IntN(1e6)))
					l.End()
				}
			})
		}
		wg.Wait()
		for i, m := range members {
			if m.Load.Active() != 0 {
				t.Errorf("%v: member %d ends with %d requests", kind, i, m.Load.Active())
			}
		}
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for kind := LeastRequests; kind <= Sticky; kind++ {
		for _, down := range []bool{false, true} {
			members := make([]Member, 10)
			for i := range members {
				members[i] = Member{ID: strconv.Itoa(i), Weight: 1 + i, Load: &Load{}}
				if down && i%2 == 0 {
					members[i].Load.Down()
				}
			}
			b := script.Must(New(members, Settings{Kind: kind, SlowStart: 100, Bound: 125}))
			key := uint64(0)
			if n := testing.AllocsPerRun(100, func() {
				key += golden
				i, _ := b.Pick(key, key, 50, Tried{})
				members[i].Load.Begin()
				members[i].Load.Observe(50, 1000)
				members[i].Load.End()
			}); n != 0 {
				t.Errorf("%v (some down: %v) allocates %v times a pick", kind, down, n)
			}
		}
	}
}
