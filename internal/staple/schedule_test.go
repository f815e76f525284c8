package staple

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestRenewAt(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		age, life time.Duration // of the answer when it is received
		random    float64
		want      time.Duration // from now on
	}{
		{0, 7 * day, 0, 84 * time.Hour},
		{0, 10 * day, 0.5, 5*day + day/2},
		{day, 4 * day, 0, day},
		{3 * day, 4 * day, 0, day / 2},
		{0, time.Minute, 0, time.Minute}, // as often as we ever ask
		{0, 1000 * day, 0, 7 * day},
	} {
		now := start.Add(c.age)
		if got := renewAt(now, start, start.Add(c.life), c.random).Sub(now); got != c.want {
			t.Errorf("of age %v and life %v: got %v, want %v", c.age, c.life, got, c.want)
		}
	}
}

// There is time for tries before an answer of ordinary length is taken back.
func TestRenewBeforeTakenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := time.Duration(rapid.Int64Range(int64(time.Hour), int64(365*24*time.Hour)).Draw(t, "life"))
		age := time.Duration(rapid.Int64Range(0, int64(life*9/10)).Draw(t, "age"))
		random := rapid.Float64Range(0, 0.999).Draw(t, "random")
		now, until := start.Add(age), start.Add(life)
		at, back := renewAt(now, start, until, random), takeBackAt(start, until)
		if at.Before(now.Add(soonest)) || at.After(now.Add(seldomest)) {
			t.Fatalf("asks in %v", at.Sub(now))
		}
		if back.After(until) || back.Before(until.Add(-marginMost)) {
			t.Fatalf("taken back %v before the end", until.Sub(back))
		}
		if back.After(now.Add(4*soonest)) && !at.Before(back) {
			t.Fatalf("asks in %v, but takes back in %v", at.Sub(now), back.Sub(now))
		}
	})
}

func TestRetryAt(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		0: time.Minute, 1: time.Minute, 2: 2 * time.Minute, 3: 4 * time.Minute, 6: 32 * time.Minute, 7: time.Hour, 8: time.Hour, 1000: time.Hour,
	} {
		if got := retryAt(start, failures, 0).Sub(start); got != want {
			t.Errorf("after %d failures: got %v, want %v", failures, got, want)
		}
	}
	if got := retryAt(start, 1, 0.5).Sub(start); got != time.Minute+time.Minute/8 {
		t.Errorf("got %v", got)
	}
}
