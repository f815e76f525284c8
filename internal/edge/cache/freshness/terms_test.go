package freshness

import (
	"math"
	"testing"
	"testing/quick"
	"time"
)

// RFC 9111 §4.2, §4.2.4, §5.2.1; RFC 5861; RFC 8246.
func TestUse(t *testing.T) {
	for _, test := range []struct {
		name     string
		response string // Cache-Control
		request  string
		after    float64
		rules    Rules
		want     Use
		why      Why
	}{
		{"fresh", "max-age=60", "", 0, Rules{}, Serve, ""},
		{"fresh to the end", "max-age=60", "", 59.999, Rules{}, Serve, ""},
		{"as old as it may be", "max-age=60", "", 60, Rules{}, Validate, Stale},
		{"a day fresh", "max-age=86400", "", 86399.9, Rules{}, Serve, ""},
		{"a day old", "max-age=86400", "", 86400, Rules{}, Validate, Stale},
		{"clock set back", "max-age=60", "", -7200, Rules{}, Validate, Stale}, // it may have been there for years
		{"clock set back a little", "max-age=60", "", -1, Rules{}, Serve, ""},
		{"no-cache", "max-age=60, no-cache", "", 0, Rules{}, Validate, ResponseNoCache},
		{"no-cache, max-stale", "max-age=60, no-cache", "max-stale", 0, Rules{}, Validate, ResponseNoCache},
		{"request no-cache", "max-age=60", "no-cache", 0, Rules{}, Validate, RequestNoCache},
		{"request no-cache, immutable", "max-age=60, immutable", "no-cache", 0, Rules{}, Validate, RequestNoCache},
		{"request no-cache, ignored", "max-age=60", "no-cache", 0, Rules{IgnoreRequest: true}, Serve, ""},
		{"request no-store", "max-age=60", "no-store", 0, Rules{}, Serve, ""},
		{"request max-age=0", "max-age=60", "max-age=0", 0, Rules{}, Validate, RequestMaxAge},
		{"request max-age=0, immutable", "max-age=60, immutable", "max-age=0", 0, Rules{}, Serve, ""},
		{"request max-age=0, immutable, stale", "max-age=60, immutable", "max-age=0", 61, Rules{}, Validate, RequestMaxAge},
		{"request max-age", "max-age=60", "max-age=10", 10, Rules{}, Serve, ""},
		{"request max-age, older", "max-age=60", "max-age=10", 10.1, Rules{}, Validate, RequestMaxAge},
		{"request max-age is no lifetime", "max-age=5", "max-age=10", 6, Rules{}, Validate, Stale},
		{"min-fresh", "max-age=60", "min-fresh=10", 50, Rules{}, Serve, ""},
		{"min-fresh, not", "max-age=60", "min-fresh=10", 50.1, Rules{}, Validate, RequestMinFresh},
		{"min-fresh=0, stale", "max-age=60, stale-while-revalidate=60", "min-fresh=0", 60.1, Rules{}, Validate, RequestMinFresh},
		{"max-stale", "max-age=60", "max-stale=10", 70, Rules{}, Serve, ""},
		{"max-stale, more", "max-age=60", "max-stale=10", 70.1, Rules{}, Validate, Stale},
		{"max-stale, any", "max-age=60", "max-stale", 1e6, Rules{}, Serve, ""},
		{"max-stale, must-revalidate", "max-age=60, must-revalidate", "max-stale", 61, Rules{}, Validate, MustBeFresh},
		{"max-stale, s-maxage", "s-maxage=60", "max-stale", 61, Rules{}, Validate, MustBeFresh},
		{"max-stale, proxy-revalidate", "max-age=60, proxy-revalidate", "max-stale", 61, Rules{}, Validate, MustBeFresh},
		{"while revalidating", "max-age=60, stale-while-revalidate=10", "", 69.9, Rules{}, Renew, Stale},
		{"no longer", "max-age=60, stale-while-revalidate=10", "", 70, Rules{}, Validate, Stale},
		{"while revalidating, as configured", "max-age=60", "", 69.9, Rules{StaleWhileRevalidate: 10 * time.Second}, Renew, Stale},
		{"while revalidating, said otherwise", "max-age=60, stale-while-revalidate=0", "", 60, Rules{StaleWhileRevalidate: 10 * time.Second}, Validate, Stale},
		{"while revalidating, never", "max-age=60, stale-while-revalidate=10, must-revalidate", "", 60, Rules{StaleWhileRevalidate: 10 * time.Second}, Validate, MustBeFresh},
		{"while revalidating, s-maxage", "s-maxage=60, stale-while-revalidate=10", "", 60, Rules{}, Validate, MustBeFresh},
		{"while revalidating, request max-age", "max-age=60, stale-while-revalidate=10", "max-age=100", 60, Rules{}, Validate, Stale},
		{"while revalidating, max-stale less", "max-age=60, stale-while-revalidate=10", "max-stale=5", 66, Rules{}, Validate, Stale},
		{"overridden", "max-age=1", "", 59, Rules{TTL: time.Minute}, Serve, ""},
	} {
		terms, why := Judge("GET", asked(), 200, fields("Cache-Control: "+test.response, `ETag: "a"`), at(0), at(0), &test.rules)
		if why != "" {
			t.Fatalf("%s: not stored: %s", test.name, why)
		}
		req := ReadRequest(fields("Cache-Control: "+test.request), &test.rules)
		if got, why := terms.Use(&req, at(test.after), &test.rules); got != test.want || why != test.why {
			t.Errorf("%s: %d %q, not %d %q", test.name, got, why, test.want, test.why)
		}
	}
}

// RFC 5861 §4, RFC 9111 §4.2.4.
func TestOnError(t *testing.T) {
	minute := Rules{StaleIfError: time.Minute}
	for _, test := range []struct {
		name     string
		response string
		request  string
		after    float64
		rules    Rules
		want     bool
	}{
		{"not said", "max-age=60", "", 61, Rules{}, false},
		{"said", "max-age=60, stale-if-error=60", "", 120, Rules{}, true},
		{"too old", "max-age=60, stale-if-error=60", "", 120.1, Rules{}, false},
		{"as configured", "max-age=60", "", 120, minute, true},
		{"said otherwise", "max-age=60, stale-if-error=0", "", 60, minute, false},
		{"must-revalidate", "max-age=60, must-revalidate, stale-if-error=60", "", 61, minute, false},
		{"proxy-revalidate", "max-age=60, proxy-revalidate", "", 61, minute, false},
		{"s-maxage", "s-maxage=60, stale-if-error=60", "", 61, minute, false},
		{"no-cache", "max-age=60, no-cache, stale-if-error=60", "", 1, minute, false},
		{"request", "max-age=60", "stale-if-error=10", 70, Rules{}, true},
		{"request, less", "max-age=60, stale-if-error=60", "stale-if-error=10", 71, Rules{}, false},
		{"request, more", "max-age=60, stale-if-error=60", "stale-if-error=100", 121, Rules{}, false},
		{"request, must-revalidate", "max-age=60, must-revalidate", "stale-if-error=10", 61, Rules{}, false},
		{"request no-cache", "max-age=60, stale-if-error=60", "no-cache", 61, Rules{}, false},
		{"request no-cache, ignored", "max-age=60, stale-if-error=60", "no-cache", 61, Rules{IgnoreRequest: true}, true},
		{"request max-age", "max-age=60, stale-if-error=60", "max-age=0", 61, Rules{}, true},
		{"still fresh", "max-age=60", "max-age=0", 30, Rules{}, true},
	} {
		terms, why := Judge("GET", asked(), 200, fields("Cache-Control: "+test.response, `ETag: "a"`), at(0), at(0), &test.rules)
		if why != "" {
			t.Fatalf("%s: not stored: %s", test.name, why)
		}
		req := ReadRequest(fields("Cache-Control: "+test.request), &test.rules)
		if got := terms.OnError(&req, at(test.after), &test.rules); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// A day of a response, minute by minute: RFC 9111 §4.2.3 with the numbers put in by hand.
func TestADay(t *testing.T) {
	h := fields("Date: "+date(-5), "Age: 600", "Cache-Control: max-age=86400", `ETag: "a"`)
	terms, why := Judge("GET", asked(), 200, h, at(0), at(2), &Rules{})
	if why != "" {
		t.Fatal(why)
	}
	for minute := range 24 * 60 {
		now := at(2 + float64(minute)*60)
		wantAge := int64(602+minute*60) * 1e9
		if age := terms.Age(now); age != wantAge || terms.Left(now) != 86400e9-wantAge {
			t.Fatalf("after %d minutes: %v old, %v left", minute, time.Duration(age), time.Duration(terms.Left(now)))
		}
		want := Serve
		if wantAge >= 86400e9 {
			want = Validate
		}
		if use, _ := terms.Use(asked(), now, &Rules{}); use != want {
			t.Fatalf("after %d minutes: %d", minute, use)
		}
	}
}

// Whatever times are given, sums do not wrap around: an older response is never younger, and what is over stays over, unless the clock was set back.
func TestOverflow(t *testing.T) {
	check := func(requested, received, now, later int64, age, lifetime uint32, window uint32, huge bool) bool {
		if now > later {
			now, later = later, now
		}
		received, requested = received>>2, requested>>2 // within 70 years of 1970
		text := "Cache-Control: max-age=" + time.Duration(lifetime).String()
		if huge {
			text = "Cache-Control: max-age=99999999999999, stale-while-revalidate=99999999999999, stale-if-error=99999999999999"
		}
		h := fields(text, `ETag: "a"`, "Age: 4000000000")
		rules := &Rules{StaleIfError: time.Duration(window) * time.Hour, TTL: time.Duration(lifetime) * time.Hour}
		terms, why := Judge("GET", asked(), 200, h, requested, received, rules)
		if why != "" {
			return false
		}
		dead := terms.DeadAt(true, rules)
		if back := now < received; back {
			return terms.Age(now) >= terms.InitialAge && terms.Left(now) <= terms.Lifetime && dead >= received
		}
		return terms.Age(now) >= 0 && terms.Age(now) <= terms.Age(later) && terms.Left(later) <= terms.Left(now) && terms.InitialAge >= 0 && terms.InitialAge <= MaxSeconds*1e9 &&
			(dead >= received) && !(terms.OnError(asked(), later, rules) && !terms.OnError(asked(), now, rules))
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 20000}); err != nil {
		t.Error(err)
	}
	terms := Terms{ResponseTime: 1, InitialAge: MaxSeconds * 1e9, Lifetime: -MaxSeconds * 1e9, WhileRevalidating: Unsaid, IfError: Unsaid}
	if left := terms.Left(math.MaxInt64); left >= 0 {
		t.Errorf("left %d", left)
	}
	terms.ResponseTime = math.MaxInt64 - 5
	terms.Lifetime = MaxSeconds * 1e9
	if at := terms.DeadAt(true, &Rules{}); at != math.MaxInt64 {
		t.Errorf("dead at %d", at)
	}
}

func TestDeadAt(t *testing.T) {
	for _, test := range []struct {
		name      string
		h         string
		validator bool
		rules     Rules
		want      float64
	}{
		{"fresh", "max-age=60", false, Rules{}, 60},
		{"windows", "max-age=60, stale-while-revalidate=5, stale-if-error=30", false, Rules{}, 90},
		{"configured", "max-age=60", false, Rules{StaleWhileRevalidate: time.Minute, StaleIfError: time.Second}, 120},
		{"must-revalidate", "max-age=60, stale-if-error=30, must-revalidate", false, Rules{}, 60},
		{"validator", "max-age=60", true, Rules{}, 60 + 86400},
		{"validator, long fresh", "max-age=864000", true, Rules{}, 2 * 864000},
		{"validator, never fresh", "max-age=0", true, Rules{}, 86400},
	} {
		terms, _ := Judge("GET", asked(), 200, fields("Cache-Control: "+test.h, `ETag: "a"`), at(0), at(0), &test.rules)
		if got := terms.DeadAt(test.validator, &test.rules); got != at(test.want) {
			t.Errorf("%s: %v, not %v", test.name, time.Duration(got-at(0)), test.want)
		}
	}
}
