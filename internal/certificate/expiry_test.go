package certificate

import (
	"testing"
	"time"
)

const day = 24 * time.Hour

func TestExpiring(t *testing.T) {
	for _, c := range []struct {
		life, soon time.Duration
		left       time.Duration
		due        bool
	}{
		{90 * day, 30 * day, 30*day + 1, false},
		{90 * day, 30 * day, 30 * day, true},
		{398 * day, 30 * day, 31 * day, false},
		{45 * day, 15 * day, 16 * day, false},
		{45 * day, 15 * day, 15 * day, true},
		{6 * day, 2 * day, 2*day + 1, false},
		{6 * day, 2 * day, day, true},
		{6 * day, 2 * day, -day, true},
		{0, 0, 1, false},
		{-day, 0, 0, true},
	} {
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		until := from.Add(c.life)
		if got := soon(from, until); got != c.soon {
			t.Errorf("lifetime %v: soon is %v, want %v", c.life, got, c.soon)
		}
		if left, due := expiring(from, until, until.Add(-c.left)); left != c.left || due != c.due {
			t.Errorf("lifetime %v, left %v: got %v, %v, want %v", c.life, c.left, left, due, c.due)
		}
	}
}

// The log tells of an end once a day, and of a new certificate's own.
func TestRemind(t *testing.T) {
	now := time.Now()
	a := newAuthority(t)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"one"}, from: now, until: now.Add(9 * day)})
	s, out := newStore(Options{Now: func() time.Time { return now }})
	prepare(t, s, Settings{Pairs: []Pair{p}})
	at := func(d time.Duration, soon, expired int) {
		t.Helper()
		now = now.Add(d)
		s.remind()
		if got := out.count("expires soon"); got != soon {
			t.Errorf("told %d times that it expires soon, want %d", got, soon)
		}
		if got := out.count("has expired"); got != expired {
			t.Errorf("told %d times that it has expired, want %d", got, expired)
		}
	}
	at(0, 0, 0)
	at(6*day-time.Second, 0, 0)
	at(time.Second, 1, 0)
	at(day-time.Second, 1, 0)
	at(time.Second, 2, 0)
	if !s.Status()[0].Expiring {
		t.Error("the status does not tell")
	}
	at(3*day, 2, 1)
	a.renew(t, p, order{names: []string{"one"}, from: now, until: now.Add(9 * day)})
	s.Check()
	at(time.Minute, 2, 1)
	for n := 3; n <= 4; n++ {
		a.renew(t, p, order{names: []string{"one"}, from: now.Add(-80 * day), until: now.Add(9 * day)})
		s.Check()
		at(time.Minute, n, 1)
	}
	a.renew(t, p, order{names: []string{"one"}, from: now, until: now.Add(9 * day)})
	s.Check()
	if s.Status()[0].Expiring {
		t.Error("the status tells of the old one")
	}
}
