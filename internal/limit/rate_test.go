package limit

import (
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func terms(t testing.TB, count float64, per time.Duration, burst int64) *Terms {
	t.Helper()
	made, err := NewTerms(count, per, burst)
	if err != nil {
		t.Fatal(err)
	}
	return &made
}

const second = int64(time.Second)

func TestSpend(t *testing.T) {
	two := terms(t, 2, time.Second, 3) // a token in 500 ms, three at once
	full := int64(0)
	f := func(now float64, cost int64, want string) {
		t.Helper()
		next, v := two.spend(full, int64(now*1e9)*tick, cost)
		if !v.OK && next != max(full, int64(now*1e9)*tick) {
			t.Errorf("at %v: what was refused was counted", now)
		}
		full = next
		got := fmt.Sprintf("%t left %d retry %v reset %v", v.OK, v.Left, time.Duration(v.Retry), time.Duration(v.Reset))
		if got != want {
			t.Errorf("at %v: %s, want %s", now, got, want)
		}
	}
	f(10, 1, "true left 2 retry 0s reset 500ms")
	f(10, 1, "true left 1 retry 0s reset 1s")
	f(10, 2, "false left 1 retry 500ms reset 1s")
	f(10, 1, "true left 0 retry 0s reset 1.5s")
	f(10, 1, "false left 0 retry 500ms reset 1.5s")
	f(9, 1, "false left 0 retry 1.5s reset 2.5s") // the clock went back: nothing comes back for it
	f(10.25, 1, "false left 0 retry 250ms reset 1.25s")
	f(10.5, 1, "true left 0 retry 0s reset 1.5s")
	f(11.6, 0, "true left 2 retry 0s reset 400ms") // asks and uses nothing
	f(12, 3, "true left 0 retry 0s reset 1.5s")
	f(100, 9, "true left 0 retry 0s reset 1.5s") // a cost above the burst is the burst
	f(100.4, 9, "false left 0 retry 1.1s reset 1.1s")
}

func TestTerms(t *testing.T) {
	f := func(count float64, per time.Duration, burst int64, want string) {
		t.Helper()
		_, err := NewTerms(count, per, burst)
		if got := fmt.Sprint(err); got != want {
			t.Errorf("%v in %v, %d at once: %s", count, per, burst, got)
		}
	}
	f(0, time.Second, 1, "a rate is more than 0 and at most 1000000000 a second")
	f(-1, time.Second, 1, "a rate is more than 0 and at most 1000000000 a second")
	f(math.NaN(), time.Second, 1, "a rate is more than 0 and at most 1000000000 a second")
	f(math.Inf(1), time.Second, 1, "a rate is more than 0 and at most 1000000000 a second")
	f(1, 0, 1, "a rate is more than 0 and at most 1000000000 a second")
	f(1e9+1, time.Second, 1, "a rate is more than 0 and at most 1000000000 a second")
	f(1, time.Second, 0, "a burst is 1 to 1000000000")
	f(1, time.Second, 1e9+1, "a burst is 1 to 1000000000")
	f(1, 24*time.Hour, 401, "it would take longer than 400 days until all of the burst is back")
	f(1e-9, time.Second, 1, "it would take longer than 400 days until all of the burst is back")
	f(1, 24*time.Hour, 400, "<nil>")
	f(1e9, time.Second, 1e9, "<nil>")
	for _, q := range []struct {
		count  float64
		per    time.Duration
		burst  int64
		quota  int64
		window time.Duration
	}{
		{100, time.Second, 200, 200, 2 * time.Second}, {100, time.Second, 10, 100, time.Second}, {0.5, time.Second, 1, 1, 2 * time.Second},
		{1000, time.Hour, 50, 1000, time.Hour}, {10, time.Minute, 10, 10, time.Minute},
	} {
		if quota, window := terms(t, q.count, q.per, q.burst).Quota(); quota != q.quota || window != int64(q.window) {
			t.Errorf("%+v: %d in %v", q, quota, time.Duration(window))
		}
	}
}

// What all nodes have together is no more than the limit, as long as each can have one.
func TestShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.Float64Range(1e-3, 1e6).Draw(t, "count")
		burst := rapid.Int64Range(1, 1000).Draw(t, "burst")
		n := rapid.IntRange(1, 1000).Draw(t, "nodes")
		whole, err := NewTerms(count, time.Second, burst)
		if err != nil {
			t.Skip()
		}
		one := whole.Share(n)
		if one.burst < 1 || one.burst > max(1, burst/int64(n)) {
			t.Fatalf("burst %d of %d for one of %d", one.burst, burst, n)
		}
		if one.interval < whole.interval*int64(min(n, 1000)) && one.interval < maxDepth-int64(n) {
			t.Fatalf("interval %d of %d for one of %d", one.interval, whole.interval, n)
		}
		if one.depth != one.interval*one.burst || one.depth > maxDepth {
			t.Fatalf("%+v", one)
		}
	})
}

// Whatever is asked, whenever: in no stretch of time is more granted than burst and what comes back in it. And nobody is refused who could have it:
// the model keeps tokens in exact fractions.
func TestGranted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.Float64Range(0.01, 1e5).Draw(t, "count")
		per := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "per")
		burst := rapid.Int64Range(1, 50).Draw(t, "burst")
		tt, err := NewTerms(count, per, burst)
		if err != nil {
			t.Skip()
		}
		type grant struct{ at, cost int64 }
		var all []grant
		now, full := second, int64(0)
		model, modelAt := big.NewRat(burst, 1), now
		rate := new(big.Rat).Quo(new(big.Rat).SetFloat64(count), big.NewRat(int64(per), 1))
		for range rapid.IntRange(1, 60).Draw(t, "asks") {
			now += rapid.Int64Range(0, max(1, 3*tt.interval/tick)).Draw(t, "later")
			cost := rapid.Int64Range(1, burst).Draw(t, "cost")
			model.Add(model, new(big.Rat).Mul(rate, big.NewRat(now-modelAt, 1)))
			if model.Cmp(big.NewRat(burst, 1)) > 0 {
				model.SetInt64(burst)
			}
			modelAt = now
			next, v := tt.spend(full, now*tick, cost)
			full = next
			has := model.Cmp(big.NewRat(cost, 1)) >= 0
			if v.OK && !has {
				t.Fatalf("granted %d of %s", cost, model.FloatString(12))
			}
			if !v.OK && has {
				// Intervals are rounded up to a sixteenth of a nanosecond: after as many grants it may be that much late.
				spare := new(big.Rat).Sub(model, big.NewRat(cost, 1))
				late := new(big.Rat).Mul(rate, big.NewRat(burst*int64(len(all)+1), tick))
				if spare.Cmp(late) > 0 {
					t.Fatalf("refused %d of %s", cost, model.FloatString(12))
				}
			}
			if v.OK {
				model.Sub(model, big.NewRat(cost, 1))
				all = append(all, grant{now, cost})
			} else if again, w := tt.spend(full, (now+v.Retry)*tick, cost); !w.OK || again == full {
				t.Fatalf("refused after the time it was told to wait: %+v", w)
			} else if v.Retry > 1 {
				if _, w := tt.spend(full, (now+v.Retry-1)*tick, cost); w.OK {
					t.Fatal("told to wait for longer than it takes")
				}
			}
			if v.Left < 0 || v.Left > burst || v.Reset < 0 {
				t.Fatalf("%+v", v)
			}
			if _, w := tt.spend(full, (now+v.Reset)*tick, burst); !w.OK {
				t.Fatal("it is not full when it is said to be")
			}
		}
		for i := range all {
			sum := int64(0)
			for _, g := range all[i:] {
				sum += g.cost
				most := new(big.Rat).Mul(rate, big.NewRat(g.at-all[i].at, 1))
				most.Add(most, big.NewRat(burst, 1))
				if most.Cmp(big.NewRat(sum, 1)) < 0 {
					t.Fatalf("%d granted in %v", sum, time.Duration(g.at-all[i].at))
				}
			}
		}
	})
}

// At a rate with an endless fraction, asked as soon as it may be: no drift beyond what rounding up an interval costs.
func TestNoDrift(t *testing.T) {
	for _, count := range []float64{3, 7, 0.3, 1234.5, 99_999} {
		tt, now, full, granted := terms(t, count, time.Second, 2), second, int64(0), int64(0)
		for range 200_000 {
			next, v := tt.spend(full, now*tick, 1)
			full = next
			if v.OK {
				granted++
			}
			now += v.Retry
		}
		want := 2 + float64(now-second)/1e9*count
		if got := float64(granted); got > want || got < want*(1-count/16e9)-2 {
			t.Errorf("%v/s: %d granted, want %.1f", count, granted, want)
		}
	}
}

// A bucket goes on under other terms with as many tokens missing as before.
func TestCarry(t *testing.T) {
	slow, fast := terms(t, 1, time.Second, 10), terms(t, 100, time.Second, 200)
	now := 5 * second * tick
	full, _ := slow.spend(0, now, 7)
	_, v := fast.spend(fast.carry(full, now, slow.interval), now, 1)
	if !v.OK || v.Left != 200-7-1 {
		t.Errorf("%+v", v)
	}
	full, _ = fast.spend(0, now, 150)
	_, v = slow.spend(slow.carry(full, now, fast.interval), now, 1)
	if v.OK || v.Left != 0 || v.Retry != second {
		t.Errorf("%+v", v)
	}
	if got := slow.carry(now-1, now, fast.interval); got != now {
		t.Errorf("a full bucket is full at %d", got)
	}
}
