package ban

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// However often a score is looked at on its way down, it comes to the same; it never grows by itself, and halves in a half life.
func TestFallingIsSmooth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		halfLife := time.Duration(rapid.Int64Range(int64(time.Second), int64(24*time.Hour)).Draw(t, "half life"))
		s := score{at: rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "at")}
		for i := range s.by {
			s.by[i] = rapid.Float64Range(0, 1e6).Draw(t, "points")
		}
		whole := s.fallen(s.at+int64(halfLife), halfLife)
		for i := range s.by {
			if math.Abs(whole.by[i]-s.by[i]/2) > 1e-12*s.by[i] {
				t.Fatalf("%v is %v after a half life", s.by[i], whole.by[i])
			}
		}
		end := s.at + rapid.Int64Range(0, 20*int64(halfLife)).Draw(t, "later")
		once, steps := s.fallen(end, halfLife), s
		for range rapid.IntRange(0, 50).Draw(t, "looks") {
			before := steps.total()
			steps = steps.fallen(steps.at+rapid.Int64Range(-1000, max(end-steps.at, 0)).Draw(t, "step"), halfLife)
			if steps.total() > before {
				t.Fatalf("it grew from %v to %v", before, steps.total())
			}
		}
		steps = steps.fallen(end, halfLife)
		if d := math.Abs(once.total() - steps.total()); d > 1e-9*(1+once.total()) {
			t.Fatalf("at once %v, in steps %v", once.total(), steps.total())
		}
	})
}

// A ban takes twice as long as the one before, up to the longest, and never less.
func TestTerm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "first"))
		longest := time.Duration(rapid.Int64Range(int64(first), math.MaxInt64).Draw(t, "longest"))
		before := term(1, first, longest)
		if before != first {
			t.Fatalf("the first takes %v, want %v", before, first)
		}
		for number := 2; number < 80; number++ {
			now := term(number, first, longest)
			if now != longest && now != 2*before || now > longest || now < before {
				t.Fatalf("number %d takes %v after %v", number, now, before)
			}
			before = now
		}
		if before != longest {
			t.Fatalf("the last takes %v, want %v", before, longest)
		}
	})
}

// The table, held against a map without bounds and eviction: same scores while there is room; when there is none, exactly the highest stay.
func TestScoresAgainstAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const room = 2 * scoreShards
		table, model := newScores(room), map[key]score{}
		halfLife := time.Minute
		table.use(halfLife, 0)
		now := int64(0)
		for step := range rapid.IntRange(1, 300).Draw(t, "steps") {
			k := key{0, mapped | uint64(rapid.IntRange(1, 60).Draw(t, "address"))}
			now += rapid.Int64Range(0, int64(30*time.Second)).Draw(t, "pause")
			if rapid.IntRange(0, 9).Draw(t, "what") == 0 {
				table.drop(k)
				delete(model, k)
				continue
			}
			shard, here := table.shard(k), 0
			lowest, lowestKey := math.Inf(1), key{}
			for other := range model {
				if table.shard(other) == shard {
					s := model[other]
					if here++; s.rank(halfLife) < lowest {
						lowest, lowestKey = s.rank(halfLife), other
					}
				}
			}
			points := float64(rapid.IntRange(1, 20).Draw(t, "points")) + float64(step)*1e-6 // no two are alike: which of those goes is nobody's promise
			s, there := model[k]
			if !there {
				s = score{at: now}
			}
			s = s.fallen(now, halfLife)
			s.by[NotFound] += points
			if got := table.strike(k, NotFound, points, now); math.Abs(got.total()-s.total()) > 1e-9 {
				t.Fatalf("%v has %v, want %v", k, got.total(), s.total())
			}
			switch {
			case there || here < table.most:
				model[k] = s
			case s.rank(halfLife) > lowest:
				delete(model, lowestKey)
				model[k] = s
			}
		}
		if table.count() != len(model) {
			t.Fatalf("%d scores, want %d", table.count(), len(model))
		}
		for k, want := range model {
			if got := table.get(k, now); math.Abs(got.total()-want.fallen(now, halfLife).total()) > 1e-9 {
				t.Fatalf("%v has %v, want %v", k, got, want)
			}
		}
		for i := range table.shards {
			s := &table.shards[i]
			for place := range s.lowest {
				if place > 0 && s.rankAt((place-1)/2) > s.rankAt(place) || int(s.slots[s.lowest[place]].place) != place || s.places[s.slots[s.lowest[place]].key] != s.lowest[place] {
					t.Fatalf("shard %d is out of order at %d", i, place)
				}
			}
		}
	})
}

// What has fallen to next to nothing is given up.
func TestSweep(t *testing.T) {
	table := newScores(1600)
	table.use(time.Minute, 0)
	for i := range 50 {
		table.strike(key{uint64(i + 1), 0}, NotFound, float64(1+i), 0)
	}
	table.sweep(0.1, int64(7*time.Minute)) // 1/128: those of 13 and more stay
	if n := table.count(); n != 38 {
		t.Errorf("%d are left, want 38", n)
	}
	table.sweep(0.1, int64(time.Hour))
	if n := table.count(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// Addresses and the networks they are scored as.
func TestNetwork(t *testing.T) {
	for a, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32", "::ffff:203.0.113.7": "203.0.113.7/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "::1": "::/64", "255.255.255.255": "255.255.255.255/32", "0.0.0.0": "0.0.0.0/32", "::fffe:1:2": "::/64",
	} {
		n, ok := Network(addr(a))
		k, known := keyOf(addr(a))
		if !ok || !known || n.String() != want || k.network() != n {
			t.Errorf("%s is %v, as a key %v; want %s", a, n, k.network(), want)
		}
	}
	if n, ok := Network(netip.Addr{}); ok {
		t.Errorf("no address is %v", n)
	}
	for n, want := range map[string]string{"203.0.113.7/24": "203.0.113.0/24", "::ffff:203.0.113.7/120": "203.0.113.0/24", "::ffff:0:0/64": "", "2001:db8::1/64": "2001:db8::/64"} {
		got, ok := canonical(netip.MustParsePrefix(n))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s is %v %v, want %s", n, got, ok, want)
		}
	}
}

// How many have used an address is never made up; in a table with room, for as long as the window is, it is right.
func TestEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := time.Duration(rapid.Int64Range(int64(time.Minute), int64(24*time.Hour)).Draw(t, "window"))
		e := newEvidence(1<<12, window)
		type pair struct{ address, consumer int }
		last := map[pair]int64{}
		now := int64(time.Hour)
		address := func(i int) key { return key{0, mapped | uint64(i)} }
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += rapid.Int64Range(0, int64(window)/10).Draw(t, "pause")
			p := pair{rapid.IntRange(1, 3).Draw(t, "address"), rapid.IntRange(1, 6).Draw(t, "consumer")}
			e.note(address(p.address), fmt.Sprint("consumer ", p.consumer), now)
			last[p] = now
			if rapid.IntRange(0, 20).Draw(t, "sweep") == 0 {
				e.sweep(now)
			}
		}
		for a := 1; a <= 3; a++ {
			sure, most := 0, 0 // ticks blur the edge of the window
			for p, at := range last {
				if p.address == a {
					if now-at < int64(window)*30/32 {
						sure++
					}
					if now-at <= int64(window)*34/32 {
						most++
					}
				}
			}
			if got := e.consumers(address(a), now); got < sure || got > most {
				t.Fatalf("%d consumers, want %d to %d", got, sure, most)
			}
		}
	})
}

// Evidence of an age that its ticks have come round by is not taken for new, as long as it is swept.
func TestEvidenceComesRound(t *testing.T) {
	e := newEvidence(16, time.Minute)
	k := key{0, mapped | 1}
	e.note(k, "acme", 0)
	round := int64(1) << e.tick << tickBits
	for now := int64(0); now < round; now += int64(time.Minute) {
		e.sweep(now)
	}
	if n := e.consumers(k, round+1); n != 0 {
		t.Errorf("%d", n)
	}
}

// A view is right whatever comes and goes: held against all bans looked at one by one.
func TestViewAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &scene{t: noT{}, log: &logged{}}
		at := time.Duration(0)
		s.Engine = New(Options{Log: newLog(s.log), still: true, Now: func() time.Time { return beginning.Add(at) }, Clock: func() int64 { return int64(at) }})
		told := map[netip.Prefix]Rung{}
		s.OnChange(func(list []Change) {
			for _, c := range list {
				if told[c.Network] = c.Rung; c.Rung == None {
					delete(told, c.Network)
				}
			}
		})
		set := usual()
		set.Never = nil
		if err := s.Use(set); err != nil {
			t.Fatal(err)
		}
		type order struct {
			n     netip.Prefix
			rung  Rung
			until time.Duration
		}
		var list []order
		drop := func(n netip.Prefix) {
			list = slices.DeleteFunc(list, func(o order) bool { return o.n == n })
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n, _ := netip.AddrFrom4([4]byte{203, 0, 113, byte(rapid.IntRange(0, 31).Draw(t, "address"))}).Prefix(rapid.SampledFrom([]int{16, 24, 28, 30, 32}).Draw(t, "bits"))
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				o := order{n, Rung(rapid.IntRange(1, 3).Draw(t, "rung")), 0}
				life := time.Duration(rapid.IntRange(0, 5).Draw(t, "minutes")) * time.Minute
				if life > 0 {
					o.until = at + life
				}
				if _, err := s.Add(Order{Network: n, Rung: o.rung, For: life}); err != nil {
					t.Fatal(err)
				}
				drop(n)
				list = append(list, o)
			case 2:
				s.Remove(n)
				drop(n)
			case 3:
				at += time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second
				list = slices.DeleteFunc(list, func(o order) bool { return o.until != 0 && o.until <= at })
				s.chores()
			default:
				set.DryRun = rapid.Bool().Draw(t, "dry run") // orders hold all the same
				if err := s.Use(set); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 34 {
				a, want := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), None
				for _, o := range list {
					if o.n.Contains(a) {
						want = max(want, o.rung)
					}
				}
				if got := s.Rung(a); got != want {
					t.Fatalf("%v is %v, want %v", a, got, want)
				}
			}
			s.chores()
			total := 0
			for _, n := range s.Figures().Bans {
				total += n
			}
			if len(told) != len(list) || total != len(list) {
				t.Fatalf("%d bans, told of %d, counted %d", len(list), len(told), total)
			}
		}
	})
}

// noT is for scenes within a property.
type noT struct{ testing.TB }

// Two gateways that see the same do the same: nothing in a decision is random.
func TestDeterministic(t *testing.T) {
	run := func() string {
		s := newScene(t, nil)
		r := rand.New(rand.NewPCG(1, 2))
		for range 20_000 {
			s.strike(fmt.Sprintf("203.0.%d.%d", r.IntN(4), r.IntN(256)), Signal(r.IntN(int(Signals))), 1)
			s.at += time.Duration(r.Int64N(int64(200 * time.Millisecond)))
			if r.IntN(100) == 0 {
				s.chores()
			}
		}
		return fmt.Sprint(s.all(), s.Figures())
	}
	if a, b := run(), run(); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}
