package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/test/script"
)

var usual = Settings{Rise: 2, Fall: 3, Failures: 3, EjectBase: 10 * time.Second, EjectMax: time.Minute, MaxShare: 50}

// TestScripts: "group a b c [rise=] [fall=] [failures=] [share=]" makes a group; "now 3s" sets the time; "probe a ok|fail|own [n=]" and
// "try a ok|fail|own [n=] [began=2s]" give evidence and print changes; "show a ..." prints state and Load; "may total out share".
func TestScripts(t *testing.T) {
	script.Run(t, func() func(string, []string) string {
		var g *Group
		var now int64
		members := map[string]*Endpoint{}
		outcomes := map[string]Outcome{"ok": Success, "fail": Failure, "own": Own}
		n := func(args []string, name, otherwise string) int {
			return script.Must(strconv.Atoi(script.Option(args, name, otherwise)))
		}
		return func(command string, args []string) string {
			var out strings.Builder
			switch command {
			case "group", "set":
				s := usual
				s.Rise, s.Fall, s.Failures, s.MaxShare = n(args, "rise", "2"), n(args, "fall", "3"), n(args, "failures", "3"), n(args, "share", "50")
				if command == "set" {
					if err := g.Set(s); err != nil {
						return err.Error() + "\n"
					}
					break
				}
				g = script.Must(NewGroup(s))
				for _, a := range args {
					if !strings.Contains(a, "=") {
						members[a] = g.Join(a, &balance.Load{})
					}
				}
			case "now":
				now = int64(script.Must(time.ParseDuration(args[0])))
			case "probe", "try":
				for range n(args, "n", "1") {
					var c Change
					if command == "probe" {
						c = members[args[0]].Probe(now, outcomes[args[1]])
					} else {
						began := script.Must(time.ParseDuration(script.Option(args, "began", time.Duration(now).String())))
						c = members[args[0]].Attempt(now, int64(began), outcomes[args[1]])
					}
					if c != None {
						fmt.Fprintf(&out, "%s %v\n", args[0], c)
					}
				}
			case "show":
				for _, a := range args {
					e := members[a]
					s := e.State()
					fmt.Fprintf(&out, "%s %v", a, s.Judgement())
					if s.IsEjected(now) {
						fmt.Fprintf(&out, ", ejected until %v", time.Duration(s.Until()))
					}
					fmt.Fprintf(&out, ", usable %v\n", e.Load.Usable(now))
				}
			case "forget":
				g.ForgetProbes(now)
			case "may":
				return fmt.Sprintf("%v\n", MayEject(script.Must(strconv.Atoi(args[0])), script.Must(strconv.Atoi(args[1])), script.Must(strconv.Atoi(args[2]))))
			default:
				return "unknown command " + command + "\n"
			}
			return out.String()
		}
	})
}

func TestSettingsCheck(t *testing.T) {
	f := func(want string, change func(*Settings)) {
		t.Helper()
		s := usual
		change(&s)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	f("rise is 0 and fall 3", func(s *Settings) { s.Rise = 0 })
	f("failures is -1", func(s *Settings) { s.Failures = -1 })
	f("at most 1s", func(s *Settings) { s.EjectMax = time.Second })
	f("max share is 101 %", func(s *Settings) { s.MaxShare = 101 })
}

// Whatever evidence comes, the Loads say what the States say, no more endpoints are ejected than may be, and each
// ejection ends within EjectMax.
func TestGroupInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := usual
		s.Rise, s.Fall, s.Failures = rapid.IntRange(1, 3).Draw(t, "rise"), rapid.IntRange(1, 3).Draw(t, "fall"), rapid.IntRange(0, 3).Draw(t, "failures")
		s.MaxShare = rapid.IntRange(0, 100).Draw(t, "share")
		g := script.Must(NewGroup(s))
		var all []*Endpoint
		for i := range rapid.IntRange(1, 6).Draw(t, "endpoints") {
			all = append(all, g.Join(strconv.Itoa(i), &balance.Load{}))
		}
		now := int64(1)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now += rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "dt")
			e := all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
			o := Outcome(rapid.IntRange(0, 2).Draw(t, "outcome"))
			before, out := e.State(), 0
			for _, other := range all {
				if other != e && !other.Load.Usable(now) {
					out++
				}
			}
			var change Change
			if rapid.Bool().Draw(t, "probe") {
				change = e.Probe(now, o)
				if change == Ejected {
					t.Fatal("a probe ejected")
				}
			} else {
				change = e.Attempt(now, now-rapid.Int64Range(0, int64(time.Second)).Draw(t, "took"), o)
				if change == BecameOK || change == BecameSick {
					t.Fatalf("an attempt changed the judgement: %v", change)
				}
			}
			after := e.State()
			if o == Own && (change != None || after != before) {
				t.Fatalf("our own trouble changed %+v to %+v", before, after)
			}
			if change == Ejected {
				if !MayEject(len(all), out, s.MaxShare) {
					t.Fatalf("ejected with %d of %d out already, share %d", out, len(all), s.MaxShare)
				}
				if d := after.Until() - now; d < int64(s.EjectBase) || d > int64(s.EjectMax) {
					t.Fatalf("ejected for %v", time.Duration(d))
				}
			}
			for _, e := range all {
				s := e.State()
				if e.Load.Usable(now) != s.Usable(now) {
					t.Fatalf("Load says usable %v, state %+v", e.Load.Usable(now), s)
				}
			}
		}
	})
}

func TestMayEject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total, share := rapid.IntRange(0, 50).Draw(t, "total"), rapid.IntRange(0, 100).Draw(t, "share")
		out := 0
		for MayEject(total, out, share) {
			out++
		}
		limit := total * share / 100
		if total >= 2 && share > 0 {
			limit = max(limit, 1)
		} else {
			limit = 0
		}
		if out != limit {
			t.Fatalf("%d of %d ejected at %d %%, want %d", out, total, share, limit)
		}
	})
}

func TestGroupConcurrently(t *testing.T) {
	s := usual
	g := script.Must(NewGroup(s))
	var all []*Endpoint
	for i := range 5 {
		all = append(all, g.Join(strconv.Itoa(i), &balance.Load{}))
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				e := all[(i*7+w)%len(all)]
				now := int64(i) * int64(10*time.Millisecond)
				e.Attempt(now, now, Outcome(i/3%3))
				if i%10 == 0 {
					e.Probe(now, Outcome(i/100%2))
				}
				if i%500 == 0 {
					if err := g.Set(s); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, e := range all {
		s := e.State()
		if now := int64(20 * time.Second); e.Load.Usable(now) != s.Usable(now) {
			t.Errorf("%s: Load says usable %v, state %+v", e.ID, e.Load.Usable(now), s)
		}
	}
}

func TestClassify(t *testing.T) {
	f := func(err error, want Outcome) {
		t.Helper()
		if got := Classify(err); got != want {
			t.Errorf("%v is %d, want %d", err, got, want)
		}
	}
	dial := func(e syscall.Errno) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", e)} }
	f(nil, Success)
	f(dial(syscall.EMFILE), Own)
	f(dial(syscall.ENFILE), Own)
	f(dial(syscall.EADDRNOTAVAIL), Own)
	f(fmt.Errorf("wrapped: %w", dial(syscall.ENOBUFS)), Own)
	f(context.Canceled, Own)
	f(context.DeadlineExceeded, Failure)
	f(os.ErrDeadlineExceeded, Failure)
	f(dial(syscall.ECONNREFUSED), Failure)
	f(dial(syscall.ECONNRESET), Failure)
	f(errors.New("anything else"), Failure)
}

func TestAttemptAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	g := script.Must(NewGroup(usual))
	e := g.Join("a", &balance.Load{})
	g.Join("b", &balance.Load{})
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += int64(time.Second)
		e.Attempt(now, now, Outcome(now/int64(5*time.Second)%2)) // five successes, five failures, and so on
	}); n != 0 {
		t.Errorf("%v allocations an attempt", n)
	}
	if s := e.State(); s.Until() == 0 {
		t.Error("no ejection was part of the measurement")
	}
}
