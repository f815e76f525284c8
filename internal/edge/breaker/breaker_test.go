package breaker

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/test/script"
)

var usual = Settings{
	ConsecutiveErrors: 5, Cooldown: 10 * time.Second, MaxCooldown: time.Minute, Probes: 1, Successes: 1, ProbeTimeout: 5 * time.Second,
	Window: 10 * time.Second, MinVolume: 1,
}

// TestScripts: "breaker name=value ..." makes a breaker of the usual settings with changes, "set" replaces them in a running
// one; "now 3s" sets the time; "ok|fail|cancel [n=5] [took=20ms]" asks and reports at once; "ask name [post]" asks and keeps
// the permit, "done name ok|fail|cancel [took=]" reports it; "force open|closed", "release", "show". Changes print as they come.
func TestScripts(t *testing.T) {
	script.Run(t, func() func(string, []string) string {
		var (
			b       *Breaker
			now     int64
			out     strings.Builder
			permits = map[string]Permit{}
		)
		d := func(s string) time.Duration { return script.Must(time.ParseDuration(s)) }
		at := func(ns int64) string { return time.Duration(ns).String() }
		settings := func(args []string) Settings {
			s := usual
			s.ConsecutiveErrors = script.Must(strconv.Atoi(script.Option(args, "consecutive", "5")))
			s.ErrorRatio = script.Must(strconv.ParseFloat(script.Option(args, "errors", "0"), 64))
			s.SlowRatio = script.Must(strconv.ParseFloat(script.Option(args, "slow", "0"), 64))
			s.SlowCall = d(script.Option(args, "slowcall", "1s"))
			s.MinVolume = script.Must(strconv.Atoi(script.Option(args, "volume", "10")))
			s.Window = d(script.Option(args, "window", "10s"))
			s.MaxActive = script.Must(strconv.Atoi(script.Option(args, "active", "0")))
			s.Jitter = script.Must(strconv.ParseFloat(script.Option(args, "jitter", "0"), 64))
			s.Probes = script.Must(strconv.Atoi(script.Option(args, "probes", "1")))
			s.Successes = script.Must(strconv.Atoi(script.Option(args, "successes", "1")))
			return s
		}
		outcomes := map[string]Outcome{"ok": Success, "fail": Failure, "cancel": Excluded}
		verdict := func(v Verdict) {
			switch {
			case v.Probe:
				out.WriteString("probe\n")
			case v.Allowed():
				out.WriteString("allowed\n")
			default:
				fmt.Fprintf(&out, "%v, Retry-After: %d\n", v.Refusal, v.RetryAfterSeconds())
			}
		}
		return func(command string, args []string) string {
			out.Reset()
			switch command {
			case "breaker":
				var err error
				b, err = New(settings(args), now, func() uint64 { return 1 << 63 }, func(c Change) {
					fmt.Fprintf(&out, "%s: %v -> %v (%v)", at(c.At), c.From, c.To, c.Cause)
					if c.Until > 0 {
						fmt.Fprintf(&out, " until %s", at(c.Until))
					}
					out.WriteByte('\n')
				})
				if err != nil {
					return err.Error() + "\n"
				}
			case "set":
				if err := b.Set(settings(args)); err != nil {
					return err.Error() + "\n"
				}
			case "now":
				now = int64(d(args[0]))
			case "ok", "fail", "cancel":
				for range script.Must(strconv.Atoi(script.Option(args, "n", "1"))) {
					p, v := b.Allow(now, true)
					if !v.Allowed() {
						verdict(v)
					}
					p.Done(now, outcomes[command], int64(d(script.Option(args, "took", "10ms"))))
				}
			case "ask":
				p, v := b.Allow(now, len(args) < 2)
				permits[args[0]] = p
				verdict(v)
			case "done":
				permits[args[0]].Done(now, outcomes[args[1]], int64(d(script.Option(args, "took", "10ms"))))
			case "force":
				b.Force(now, map[string]State{"open": ForcedOpen, "closed": ForcedClosed}[args[0]])
			case "release":
				b.Release(now)
			case "show":
				s := b.Snapshot(now)
				fmt.Fprintf(&out, "%v since %s, active %d, in a row %d, window %d/%d/%d, trips %d, probing %d, successes %d\n", s.State,
					at(s.Since), s.Active, s.Consecutive, s.Window.Calls, s.Window.Errors, s.Window.Slow, s.Trips, s.Probing, s.Successes)
			default:
				return "unknown command " + command + "\n"
			}
			return out.String()
		}
	})
}

func TestCheck(t *testing.T) {
	f := func(want string, change func(*Settings)) {
		t.Helper()
		s := usual
		change(&s)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	f("error ratio is 1.5", func(s *Settings) { s.ErrorRatio = 1.5 })
	f("want 0 (off) or more", func(s *Settings) { s.MaxActive = -1 })
	f("no slow call duration", func(s *Settings) { s.SlowRatio = .5 })
	f("window is 1ns", func(s *Settings) { s.ErrorRatio, s.Window = .5, 1 })
	f("minimum volume is 0", func(s *Settings) { s.ErrorRatio, s.MinVolume = .5, 0 })
	f("cooldown is 10s and its maximum 1s", func(s *Settings) { s.MaxCooldown = time.Second })
	f("probes is 17, want 1 to 16", func(s *Settings) { s.Probes = 17 })
	f("successes is 0", func(s *Settings) { s.Successes = 0 })
	f("probe timeout is 0s", func(s *Settings) { s.ProbeTimeout = 0 })
	if err := usual.Check(); err != nil {
		t.Error(err)
	}
}

// Whatever happens, a breaker has no more probes on their way than allowed, counts each request in flight once, and is
// open for no less than the cooldown.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := usual
		s.ConsecutiveErrors = rapid.IntRange(1, 3).Draw(t, "consecutive")
		s.Probes = rapid.IntRange(1, 4).Draw(t, "probes")
		s.Successes = rapid.IntRange(1, 6).Draw(t, "successes")
		s.MaxActive = rapid.IntRange(0, 8).Draw(t, "max active")
		s.Jitter = rapid.Float64Range(0, 1).Draw(t, "jitter")
		var now int64
		var probes, inFlight []Permit
		open := int64(-1)
		b := script.Must(New(s, now, rand.Uint64, func(c Change) {
			if c.From == Open && c.To == HalfOpen && c.At < open+int64(s.Cooldown) {
				t.Fatalf("open at %d, half-open at %d already", open, c.At)
			}
			if c.To == Open {
				open = c.At
				if span := c.Until - c.At; span < int64(s.Cooldown) || span > 2*int64(s.MaxCooldown) {
					t.Fatalf("cooldown of %d", span)
				}
			}
			probes = nil // those on their way were judged with the change
		}))
		take := func(from *[]Permit) Permit {
			i := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
			p := (*from)[i]
			*from = append((*from)[:i], (*from)[i+1:]...)
			return p
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "dt")
			if rapid.Bool().Draw(t, "ask") || len(inFlight) == 0 {
				p, v := b.Allow(now, rapid.Bool().Draw(t, "idempotent"))
				if v.Allowed() != (p != Permit{}) || v.Allowed() != (v.RetryAfter == 0) {
					t.Fatalf("permit %v, verdict %v", p, v)
				}
				if v.Allowed() {
					inFlight = append(inFlight, p)
				}
				if v.Probe {
					if probes = append(probes, p); len(probes) > s.Probes {
						t.Fatalf("%d probes on their way, want at most %d", len(probes), s.Probes)
					}
				}
			} else {
				p := take(&inFlight)
				for i := range probes {
					if probes[i] == p {
						probes = append(probes[:i], probes[i+1:]...)
						break
					}
				}
				p.Done(now, Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")), 0)
			}
			if s.MaxActive > 0 && len(inFlight) > s.MaxActive {
				t.Fatalf("%d in flight, at most %d allowed", len(inFlight), s.MaxActive)
			}
			if got := b.Snapshot(now).Active; got != int64(len(inFlight)) {
				t.Fatalf("counts %d in flight, there are %d", got, len(inFlight))
			}
		}
	})
}

// The window is compared with a list of all calls.
func TestWindowAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type call struct {
			step         int64
			failed, slow bool
		}
		const width = 100
		var w window
		var list []call
		var now int64
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			now += rapid.SampledFrom([]int64{0, 1, 30, 100, 900, 1000, 5000, 40000 * steps * width}).Draw(t, "dt")
			c := call{now / width, rapid.Bool().Draw(t, "failed"), rapid.Bool().Draw(t, "slow")}
			w.add(now, width, c.failed, c.slow)
			list = append(list, c)
			var want Counts
			for _, c := range list {
				if c.step > now/width-steps {
					want.Calls++
					if c.failed {
						want.Errors++
					}
					if c.slow {
						want.Slow++
					}
				}
			}
			if got := w.sum(now, width); got != want {
				t.Fatalf("at %d: %+v, want %+v", now, got, want)
			}
		}
	})
}

func TestFullBucketKeepsRatios(t *testing.T) {
	var w window
	for i := range 3 * maxCount {
		w.add(5, 1000, i%4 == 0, i%2 == 0)
	}
	c := w.sum(5, 1000)
	if c.Calls < maxCount/2 || c.Calls > maxCount {
		t.Errorf("%d calls, want a half-full to full bucket", c.Calls)
	}
	if e, s := float64(c.Errors)/float64(c.Calls), float64(c.Slow)/float64(c.Calls); e < .249 || e > .251 || s < .499 || s > .501 {
		t.Errorf("error ratio %.4f and slow ratio %.4f, want 0.25 and 0.5", e, s)
	}
}

func TestNilAllowsAll(t *testing.T) {
	var b *Breaker
	p, v := b.Allow(0, false)
	if !v.Allowed() {
		t.Errorf("a nil breaker says %v", v.Refusal)
	}
	p.Done(0, Failure, 0)
}

// From many goroutines: never more probes at once than allowed, never more in flight than allowed, and at the end nothing
// is left in flight.
func TestConcurrentUse(t *testing.T) {
	s := usual
	s.ConsecutiveErrors, s.ErrorRatio, s.MinVolume = 3, .5, 10
	s.Probes, s.Successes, s.MaxActive = 2, 4, 6
	s.Cooldown, s.MaxCooldown, s.ProbeTimeout = 50, 400, time.Hour // no probe hangs, so each one on its way is counted
	var changes, inFlight atomic.Int64
	var probing sync.Map // generation of half-open → *atomic.Int64
	b := script.Must(New(s, 0, rand.Uint64, func(Change) { changes.Add(1) }))
	var clock atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for i := range 3000 {
				now := clock.Add(1)
				p, v := b.Allow(now, true)
				if !v.Allowed() {
					continue
				}
				if n := inFlight.Add(1); n > int64(s.MaxActive) {
					t.Errorf("%d in flight", n)
				}
				var probes *atomic.Int64
				if v.Probe {
					c, _ := probing.LoadOrStore(p.word, new(atomic.Int64))
					probes = c.(*atomic.Int64)
					if n := probes.Add(1); n > int64(s.Probes) {
						t.Errorf("%d probes at once", n)
					}
				}
				outcome := Success
				if i/100%2 == 0 && rng.IntN(3) > 0 {
					outcome = Failure
				}
				if i%500 == 499 {
					b.Force(now, ForcedClosed)
					b.Release(now)
				}
				if probes != nil {
					probes.Add(-1)
				}
				inFlight.Add(-1)
				p.Done(clock.Add(1), outcome, 1)
			}
		})
	}
	wg.Wait()
	snap := b.Snapshot(clock.Load())
	if snap.Active != 0 || snap.Probing != 0 {
		t.Errorf("at the end: %+v", snap)
	}
	if int64(snap.Generation) != changes.Load() || changes.Load() < 20 {
		t.Errorf("generation %d, %d changes heard of", snap.Generation, changes.Load())
	}
}

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := usual
	s.ConsecutiveErrors, s.ErrorRatio, s.MinVolume = 2, .5, 10
	changes := 0
	b := script.Must(New(s, 0, rand.Uint64, func(Change) { changes++ }))
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += int64(5 * time.Second)
		p, _ := b.Allow(now, true)
		p.Done(now, Outcome(now/int64(20*time.Second)%2), 1)
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
	if changes == 0 {
		t.Error("no change of state was part of the measurement")
	}
}
