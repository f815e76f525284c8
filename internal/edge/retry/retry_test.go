package retry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/test/script"
)

var usual = Rules{MaxAttempts: 3, Statuses: []int{502, 503, 504}, Base: 20 * time.Millisecond, MaxWait: 200 * time.Millisecond, MaxRetryAfter: 2 * time.Second}

// TestScripts: "rules max=3 [anymethod]" and "decide phase [get|post] [key=value]" print decisions (random is always the middle of the range);
// "budget request=0.2 second=10", "now 5s", "requests 100", "take 10" and "balance" play with a budget.
func TestScripts(t *testing.T) {
	script.Run(t, func() func(string, []string) string {
		rules := usual
		phases := map[string]fault.Phase{"not_connected": fault.NotConnected, "not_sent": fault.NotSent, "maybe_processed": fault.MaybeProcessed,
			"answered": fault.Answered, "response_begun": fault.ResponseBegun}
		var budget *Budget
		var now int64
		return func(command string, args []string) string {
			has := func(word string) bool {
				for _, a := range args {
					if a == word {
						return true
					}
				}
				return false
			}
			d := func(name, otherwise string) int64 {
				return int64(script.Must(time.ParseDuration(script.Option(args, name, otherwise))))
			}
			switch command {
			case "rules":
				rules = usual
				rules.MaxAttempts = script.Must(strconv.Atoi(script.Option(args, "max", "3")))
				rules.NonIdempotent = has("anymethod")
			case "now":
				now = int64(script.Must(time.ParseDuration(args[0])))
			case "decide":
				phase, ok := phases[args[0]]
				if !ok {
					return "unknown phase " + args[0] + "\n"
				}
				got := rules.Decide(Attempt{
					Phase: phase, Status: script.Must(strconv.Atoi(script.Option(args, "status", "503"))), RetryAfter: d("after", "0s"),
					Idempotent: !has("post"), BodyReplayable: !has("bodygone"), Attempts: script.Must(strconv.Atoi(script.Option(args, "attempts", "1"))),
					Elsewhere: has("elsewhere"), Nested: has("nested"), Cancelled: has("cancelled"), BreakerOpen: has("open"), Deadline: d("deadline", "0s"),
				}, budget, now, 1<<63)
				if got.Retry() {
					return fmt.Sprintf("retry in %v\n", time.Duration(got.Wait))
				}
				return "no: " + got.Reason.String() + "\n"
			case "budget":
				s := Share{script.Must(strconv.ParseFloat(script.Option(args, "request", "0"), 64)), script.Must(strconv.ParseFloat(script.Option(args, "second", "0"), 64))}
				var err error
				if budget == nil {
					budget, err = NewBudget(s, now)
				} else {
					err = budget.Set(s, now)
				}
				if err != nil {
					return err.Error() + "\n"
				}
			case "requests":
				for range script.Must(strconv.Atoi(args[0])) {
					budget.Request(now)
				}
			case "take":
				paid := 0
				for range script.Must(strconv.Atoi(args[0])) {
					if budget.Take(now) {
						paid++
					}
				}
				return fmt.Sprintf("paid %d\n", paid)
			case "balance":
				return fmt.Sprintf("%.1f\n", budget.Balance(now))
			default:
				return "unknown command " + command + "\n"
			}
			return ""
		}
	})
}

func TestCheck(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	f(Rules{MaxAttempts: -1}.Check(), "-1 attempts")
	f(Rules{Statuses: []int{200}}.Check(), "status 200, want 400 to 599")
	f(Rules{Base: 2, MaxWait: 1}.Check(), "waits from 2ns to 1ns")
	f(Share{PerRequest: 1.5}.Check(), "1.5 retries per request")
	f(Share{PerSecond: -1}.Check(), "-1 retries per second")
	if err := usual.Check(); err != nil {
		t.Error(err)
	}
}

// What must never be retried is not, whatever else is true.
func TestNeverTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := func(name string) bool { return rapid.Bool().Draw(t, name) }
		a := Attempt{
			Phase: fault.Phase(rapid.IntRange(0, 4).Draw(t, "phase")), Status: rapid.SampledFrom([]int{200, 429, 502, 503}).Draw(t, "status"),
			RetryAfter: rapid.Int64Range(0, int64(4*time.Second)).Draw(t, "after"), Idempotent: b("idempotent"), BodyReplayable: b("body"),
			Attempts: rapid.IntRange(1, 4).Draw(t, "attempts"), Elsewhere: b("elsewhere"), Nested: b("nested"), Cancelled: b("cancelled"),
			BreakerOpen: b("open"), Deadline: rapid.Int64Range(0, int64(time.Second)).Draw(t, "deadline"),
		}
		now := rapid.Int64Range(0, int64(time.Second)).Draw(t, "now")
		d := usual.Decide(a, nil, now, rapid.Uint64().Draw(t, "random"))
		if !d.Retry() {
			if d.Wait != 0 {
				t.Fatalf("no retry, but a wait of %d", d.Wait)
			}
			return
		}
		switch {
		case a.Phase == fault.ResponseBegun, a.Phase >= fault.MaybeProcessed && !a.Idempotent, !a.BodyReplayable, a.Attempts >= usual.MaxAttempts,
			a.Nested, a.Cancelled, a.BreakerOpen, a.Phase == fault.Answered && a.Status < 500, a.Deadline != 0 && now+d.Wait >= a.Deadline:
			t.Fatalf("%+v is retried", a)
		case a.Phase == fault.Answered && (d.Wait < a.RetryAfter || a.RetryAfter > int64(usual.MaxRetryAfter)):
			t.Fatalf("Retry-After %d, waits %d", a.RetryAfter, d.Wait)
		case d.Wait > max(int64(usual.MaxWait), a.RetryAfter) || d.Wait < 0:
			t.Fatalf("waits %d", d.Wait)
		}
	})
}

// Waits use the whole range evenly, and the range doubles up to its maximum.
func TestFullJitter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for attempts, limit := range map[int]time.Duration{1: 20 * time.Millisecond, 2: 40 * time.Millisecond, 4: 160 * time.Millisecond,
		5: 200 * time.Millisecond, 100: 200 * time.Millisecond} {
		r := usual
		r.MaxAttempts = 1000
		var tenth [10]int
		for range 10_000 {
			d := r.Decide(Attempt{Idempotent: true, BodyReplayable: true, Attempts: attempts}, nil, 0, rng.Uint64())
			if d.Wait < 0 || d.Wait >= int64(limit) {
				t.Fatalf("after %d attempts: waits %v, limit %v", attempts, time.Duration(d.Wait), limit)
			}
			tenth[d.Wait*10/int64(limit)]++
		}
		for i, n := range tenth {
			if n < 800 || n > 1200 {
				t.Errorf("after %d attempts: %d of 10000 waits in tenth %d of the range", attempts, n, i)
			}
		}
	}
}

// Over any stretch from the start, retries paid are at most the reserve + PerRequest × requests + PerSecond × seconds.
func TestBudgetIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Share{rapid.Float64Range(0, 1).Draw(t, "request"), rapid.Float64Range(0, 50).Draw(t, "second")}
		start := rapid.Int64Range(0, 1<<52).Draw(t, "start") // so that the 32 bits of ticks wrap on the way
		now := start
		b := script.Must(NewBudget(s, now))
		var requests, paid float64
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "dt")
			for range rapid.IntRange(0, 50).Draw(t, "n") {
				b.Request(now)
				requests++
			}
			for range rapid.IntRange(0, 100).Draw(t, "takes") {
				if b.Take(now) {
					paid++
				}
			}
			limit := s.PerSecond*(Window.Seconds()+time.Duration(now-start).Seconds()) + s.PerRequest*requests
			if paid > limit*1.0001+.01 {
				t.Fatalf("%v retries paid, limit %v", paid, limit)
			}
			if got := b.Balance(now); got < 0 {
				t.Fatalf("balance %v", got)
			}
		}
	})
}

// Under steady load the share is also reached, not only kept.
func TestBudgetGivesItsShare(t *testing.T) {
	b := script.Must(NewBudget(Share{PerRequest: .2, PerSecond: 3}, 0))
	paid := 0
	for i := range 100_000 { // 1000 requests a second for 100 s, all of them failing
		now := int64(i) * int64(time.Millisecond)
		b.Request(now)
		if b.Take(now) {
			paid++
		}
	}
	if want := .2*100_000 + 3*100.0; math.Abs(float64(paid)-want) > want*.02 {
		t.Errorf("%d retries paid, want about %v", paid, want)
	}
}

func TestBudgetConcurrently(t *testing.T) {
	const goroutines, requests, share = 8, 5000, .25
	b := script.Must(NewBudget(Share{PerRequest: share}, 0))
	var paid, clock atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range requests {
				now := clock.Add(1000)
				b.Request(now)
				if b.Take(now) {
					paid.Add(1)
				}
			}
		})
	}
	wg.Wait()
	const limit = goroutines * requests * share
	if got := float64(paid.Load()); got > limit || got < limit*.95 {
		t.Errorf("%v retries paid, want close to %v and no more", got, limit)
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	f := func(value string, want time.Duration, wantOK bool) {
		t.Helper()
		ns, ok := ParseRetryAfter(value, now)
		if time.Duration(ns) != want || ok != wantOK {
			t.Errorf("%q: got %v, %v, want %v, %v", value, time.Duration(ns), ok, want, wantOK)
		}
	}
	f("0", 0, true)
	f("120", 2*time.Minute, true)
	f("99999999999999999999999", math.MaxInt64/time.Second*time.Second, true)
	f("Mon, 04 May 2026 12:00:30 GMT", 30*time.Second, true)
	f("Monday, 04-May-26 12:00:30 GMT", 30*time.Second, true)
	f("Mon May  4 12:00:30 2026", 30*time.Second, true)
	f("Mon, 04 May 2026 11:00:00 GMT", 0, true)
	f("", 0, false)
	f("1.5", 0, false)
	f("-1", 0, false)
	f("soon", 0, false)
	f("12 ", 0, false)
}

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	b := script.Must(NewBudget(Share{PerRequest: .5, PerSecond: 1}, 0))
	r := usual
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += 1e6
		b.Request(now)
		r.Decide(Attempt{Phase: fault.Answered, Status: 503, Idempotent: true, BodyReplayable: true, Attempts: 1}, b, now, uint64(now))
		ParseRetryAfter("12", time.Time{})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
