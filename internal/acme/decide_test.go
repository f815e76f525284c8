package acme

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func TestRenewal(t *testing.T) {
	const day = 24 * time.Hour
	end := epoch.Add(90 * day)
	for name, c := range map[string]struct {
		share   float64
		chosen  time.Time
		revoked bool
		at      time.Time
		why     reason
	}{
		"ours":                      {1.0 / 3, time.Time{}, false, epoch.Add(60 * day), reasonWindow},
		"ours, wider":               {0.5, time.Time{}, false, epoch.Add(45 * day), reasonWindow},
		"authority's, sooner":       {1.0 / 3, epoch.Add(50 * day), false, epoch.Add(50 * day), reasonAuthority},
		"authority's, later":        {1.0 / 3, epoch.Add(70 * day), false, epoch.Add(70 * day), reasonAuthority},
		"authority's, in the past":  {1.0 / 3, epoch.Add(-day), false, epoch.Add(-day), reasonAuthority},
		"authority's, dangerous":    {1.0 / 3, epoch.Add(89 * day), false, epoch.Add(85*day + 12*time.Hour), reasonWindow},
		"revoked, whatever is said": {1.0 / 3, epoch.Add(70 * day), true, epoch, reasonRevoked},
	} {
		if at, why := renewal(epoch, end, c.share, c.chosen, c.revoked); !at.Equal(c.at) || why != c.why {
			t.Errorf("%s: %v because %s, want %v because %s", name, at, why, c.at, c.why)
		}
	}
}

// Whatever an authority says, renewal is due while a twentieth of the life is left.
func TestRenewalIsNeverLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := time.Duration(rapid.Int64Range(int64(time.Minute), int64(400*24*time.Hour)).Draw(t, "life"))
		share := rapid.Float64Range(0.05, 0.9).Draw(t, "share")
		chosen := time.Time{}
		if rapid.Bool().Draw(t, "window") {
			chosen = epoch.Add(time.Duration(rapid.Int64Range(-int64(life), 3*int64(life)).Draw(t, "chosen")))
		}
		at, _ := renewal(epoch, epoch.Add(life), share, chosen, false)
		if left := epoch.Add(life).Sub(at); left < life/20 {
			t.Fatalf("renewal %v before the end of a life of %v", left, life)
		}
	})
}

func TestSoonest(t *testing.T) {
	if !soonest(time.Time{}, epoch, epoch.Add(time.Hour)).IsZero() {
		t.Error("a certificate found on disk is not held back")
	}
	if got := soonest(epoch, epoch, epoch.Add(90*24*time.Hour)); !got.Equal(epoch.Add(time.Hour)) {
		t.Errorf("%v after issuance", got.Sub(epoch))
	}
	if got := soonest(epoch, epoch, epoch.Add(10*time.Second)); !got.Equal(epoch.Add(time.Second)) {
		t.Errorf("%v after issuance", got.Sub(epoch))
	}
}

func TestBackoff(t *testing.T) {
	timing := timing{}.filled()
	timing.spread = 0
	// Let's Encrypt allows 5 failed validations a name and hour.
	var within, at time.Duration
	tries := 1
	for n := 1; ; n++ {
		if at += backoff(n, 0, timing, 0.5); at >= time.Hour {
			break
		}
		tries, within = tries+1, at
	}
	if tries > 5 {
		t.Errorf("%d tries within %v", tries, within)
	}
	if got := backoff(1000, 0, timing, 0.5); got != 6*time.Hour {
		t.Errorf("after a thousand failures %v, want 6h", got)
	}
	if got := backoff(1000, 8*time.Hour, timing, 0.5); got != time.Hour {
		t.Errorf("with 8h left to live %v, want 1h", got)
	}
	if got := backoff(1000, time.Second, timing, 0.5); got != 2*time.Minute {
		t.Errorf("with a second left to live %v, want 2m", got)
	}
	timing.spread = 0.25
	for random, want := range map[float64]time.Duration{0: 105 * time.Second, 0.5: 2 * time.Minute, 0.999999999: 135 * time.Second} {
		if got := backoff(1, 0, timing, random).Round(time.Millisecond); got != want {
			t.Errorf("random %v: %v, want %v", random, got, want)
		}
	}
}

func TestPick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := time.Duration(rapid.Int64Range(1, int64(72*time.Hour)).Draw(t, "length"))
		at := pick(epoch, epoch.Add(length), rapid.Float64Range(0, 0.9999999999).Draw(t, "random"))
		if at.Before(epoch) || at.After(epoch.Add(length)) {
			t.Fatalf("%v is outside", at)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"21600": 6 * time.Hour, "0": 0, "": 0, "-5": 0, "soon": 0, "99999999999999999999": 0,
		"Sun, 01 Nov 2026 00:01:00 GMT": time.Minute, "Sat, 31 Oct 2026 00:00:00 GMT": 0,
	} {
		if got := retryAfter(value, epoch); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
