package freshness

import (
	"testing"
	"time"
)

// RFC 9111 §3, §3.5, §5.2.2; RFC 9110 §15.1.
func TestStorable(t *testing.T) {
	fresh := "Cache-Control: max-age=60"
	for _, test := range []struct {
		name    string
		method  string
		request []string
		status  int
		h       []string
		rules   Rules
		want    Why
	}{
		{"plain", "GET", nil, 200, []string{fresh}, Rules{}, ""},
		{"HEAD", "HEAD", nil, 200, []string{fresh}, Rules{}, NotGet},
		{"POST", "POST", nil, 200, []string{fresh}, Rules{}, NotGet},
		{"lower case is another method", "get", nil, 200, []string{fresh}, Rules{}, NotGet},
		{"part", "GET", nil, 206, []string{fresh}, Rules{}, StatusNever},
		{"304", "GET", nil, 304, []string{fresh}, Rules{}, StatusNever},
		{"interim", "GET", nil, 103, []string{fresh}, Rules{}, StatusNever},
		{"412", "GET", nil, 412, []string{fresh}, Rules{}, StatusNever},
		{"416", "GET", nil, 416, []string{fresh}, Rules{}, StatusNever},
		{"429", "GET", nil, 429, []string{fresh}, Rules{}, StatusNever},
		{"431", "GET", nil, 431, []string{fresh}, Rules{}, StatusNever},
		{"no class", "GET", nil, 600, []string{fresh}, Rules{}, StatusNever},
		{"unknown", "GET", nil, 599, []string{fresh}, Rules{}, ""},
		{"unknown 2xx", "GET", nil, 299, []string{fresh}, Rules{}, ""},
		{"500", "GET", nil, 500, []string{fresh}, Rules{}, ""},
		{"400", "GET", nil, 400, []string{fresh}, Rules{}, ""},
		{"not listed", "GET", nil, 404, []string{fresh}, Rules{Statuses: map[int]bool{200: true}}, StatusNotListed},
		{"listed", "GET", nil, 200, []string{fresh}, Rules{Statuses: map[int]bool{200: true}}, ""},
		{"listed is not enough", "GET", nil, 206, []string{fresh}, Rules{Statuses: map[int]bool{206: true}}, StatusNever},
		{"request no-store", "GET", []string{"Cache-Control: no-store"}, 200, []string{fresh}, Rules{}, RequestNoStore},
		{"request no-store, ignoring", "GET", []string{"Cache-Control: no-store"}, 200, []string{fresh}, Rules{IgnoreRequest: true}, RequestNoStore},
		{"no-store", "GET", nil, 200, []string{fresh, "Cache-Control: no-store"}, Rules{}, NoStore},
		{"no-store, ttl", "GET", nil, 200, []string{"Cache-Control: no-store"}, Rules{TTL: time.Hour}, NoStore},
		{"must-understand waives no-store", "GET", nil, 200, []string{fresh, "Cache-Control: no-store, must-understand"}, Rules{}, ""},
		{"must-understand, unknown", "GET", nil, 599, []string{fresh, "Cache-Control: must-understand"}, Rules{}, NotUnderstood},
		{"must-understand, unknown, ttl", "GET", nil, 599, []string{fresh, "Cache-Control: must-understand"}, Rules{TTLs: map[int]time.Duration{599: time.Hour}}, NotUnderstood},
		{"private", "GET", nil, 200, []string{fresh, "Cache-Control: private"}, Rules{}, Private},
		{"private, own part", "GET", nil, 200, []string{fresh, "Cache-Control: private"}, Rules{Partitioned: true}, ""},
		{"private fields", "GET", nil, 200, []string{fresh, `Cache-Control: private="x"`}, Rules{}, ""},
		{"Authorization", "GET", []string{"Authorization: x"}, 200, []string{fresh}, Rules{}, Authorized},
		{"Authorization, Expires", "GET", []string{"Authorization: x"}, 200, []string{"Expires: " + date(60)}, Rules{}, Authorized},
		{"Authorization, ttl", "GET", []string{"Authorization: x"}, 200, nil, Rules{TTL: time.Hour}, Authorized},
		{"Authorization, proxy-revalidate", "GET", []string{"Authorization: x"}, 200, []string{fresh, "Cache-Control: proxy-revalidate"}, Rules{}, Authorized},
		{"Authorization, public", "GET", []string{"Authorization: x"}, 200, []string{fresh, "Cache-Control: public"}, Rules{}, ""},
		{"Authorization, must-revalidate", "GET", []string{"Authorization: x"}, 200, []string{fresh, "Cache-Control: must-revalidate"}, Rules{}, ""},
		{"Authorization, s-maxage", "GET", []string{"Authorization: x"}, 200, []string{"Cache-Control: s-maxage=5"}, Rules{}, ""},
		{"Authorization, own part", "GET", []string{"Authorization: x"}, 200, []string{fresh}, Rules{Partitioned: true}, ""},
		{"Set-Cookie", "GET", nil, 200, []string{fresh, "Set-Cookie: a=b"}, Rules{}, SetsCookie},
		{"Set-Cookie, public", "GET", nil, 200, []string{fresh, "Cache-Control: public", "Set-Cookie: a=b"}, Rules{}, SetsCookie},
		{"Set-Cookie, own part", "GET", nil, 200, []string{fresh, "Set-Cookie: a=b"}, Rules{Partitioned: true}, SetsCookie},
		{"Set-Cookie stripped", "GET", nil, 200, []string{fresh, "Set-Cookie: a=b"}, Rules{StripCookies: true}, ""},
		{"Set-Cookie stored", "GET", nil, 200, []string{fresh, "Set-Cookie: a=b"}, Rules{StoreCookies: true}, ""},
		{"Set-Cookie left out", "GET", nil, 200, []string{fresh, `Cache-Control: no-cache="set-cookie"`, "Set-Cookie: a=b"}, Rules{}, ""},
		{"Vary *", "GET", nil, 200, []string{fresh, "Vary: a, *"}, Rules{}, VariesByAll},
		{"Vary", "GET", nil, 200, []string{fresh, "Vary: a"}, Rules{}, ""},
		{"nothing said", "GET", nil, 200, nil, Rules{}, NeverFresh},
		{"nothing said, another status", "GET", nil, 500, []string{`ETag: "a"`}, Rules{}, NoFreshness},
		{"nothing said, 302", "GET", nil, 302, []string{`ETag: "a"`}, Rules{}, NoFreshness},
		{"public is enough", "GET", nil, 599, []string{`ETag: "a"`, "Cache-Control: public"}, Rules{}, ""},
		{"tag alone", "GET", nil, 200, []string{`ETag: "a"`}, Rules{}, ""},
		{"empty tag", "GET", nil, 200, []string{`ETag: `}, Rules{}, NeverFresh},
		{"date alone", "GET", nil, 200, []string{"Last-Modified: " + date(-60)}, Rules{}, ""},
		{"wrong date alone", "GET", nil, 200, []string{"Last-Modified: yesterday"}, Rules{}, NeverFresh},
		{"no-cache", "GET", nil, 200, []string{fresh, "Cache-Control: no-cache"}, Rules{}, ResponseNoCache},
		{"no-cache, ttl", "GET", nil, 200, []string{"Cache-Control: no-cache"}, Rules{TTL: time.Hour}, ResponseNoCache},
		{"no-cache, tag", "GET", nil, 200, []string{`ETag: "a"`, "Cache-Control: no-cache"}, Rules{}, ""},
		{"stale at once", "GET", nil, 200, []string{"Cache-Control: max-age=0"}, Rules{}, NeverFresh},
		{"stale at once, in errors", "GET", nil, 200, []string{"Cache-Control: max-age=0, stale-if-error=9"}, Rules{}, ""},
		{"stale at once, in errors, as configured", "GET", nil, 200, []string{"Cache-Control: max-age=0"}, Rules{StaleIfError: time.Minute}, ""},
		{"stale at once, while renewed", "GET", nil, 200, []string{"Cache-Control: max-age=0"}, Rules{StaleWhileRevalidate: time.Minute}, ""},
		{"stale at once, never to be", "GET", nil, 200, []string{"Cache-Control: s-maxage=0, stale-if-error=9"}, Rules{}, NeverFresh},
		{"old when it came", "GET", nil, 200, []string{fresh, "Age: 60"}, Rules{}, NeverFresh},
		{"targeted", "GET", nil, 200, []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=5"}, Rules{Targets: []string{"cdn-cache-control"}}, ""},
		{"targeted elsewhere", "GET", nil, 200, []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=5"}, Rules{}, NoStore},
		{"targeted, no Expires", "GET", nil, 302, []string{"Expires: " + date(60), "CDN-Cache-Control: none"}, Rules{Targets: []string{"cdn-cache-control"}}, NoFreshness},
		{"ttl by status", "GET", nil, 500, nil, Rules{TTLs: map[int]time.Duration{500: time.Second}}, ""},
		{"ttl is not for errors", "GET", nil, 404, nil, Rules{TTL: time.Second}, NeverFresh},
		{"ttl is not for what nobody may guess", "GET", nil, 302, nil, Rules{TTL: time.Second}, NoFreshness},
		{"ttl, listed", "GET", nil, 302, nil, Rules{TTL: time.Second, Statuses: map[int]bool{302: true}}, ""},
	} {
		req := ReadRequest(fields(test.request...), &test.rules)
		if _, got := Judge(test.method, &req, test.status, fields(test.h...), at(0), at(0), &test.rules); got != test.want {
			t.Errorf("%s: %q, not %q", test.name, got, test.want)
		}
	}
}

// RFC 9111 §4.2.1, §4.2.2, §5.3; RFC 9213 §2.2.
func TestLifetime(t *testing.T) {
	const tag = `ETag: "a"`
	day := 86400.0
	for _, test := range []struct {
		name   string
		status int
		h      []string
		rules  Rules
		want   float64
		flags  Flags
	}{
		{"nothing", 200, nil, Rules{}, 0, Heuristic},
		{"max-age", 200, []string{"Cache-Control: max-age=60"}, Rules{}, 60, 0},
		{"s-maxage first", 200, []string{"Cache-Control: max-age=60, s-maxage=5"}, Rules{}, 5, MustRevalidate},
		{"s-maxage first, in any order", 200, []string{"Cache-Control: s-maxage=90", "Cache-Control: max-age=0", "Expires: 0"}, Rules{}, 90, MustRevalidate},
		{"wrong s-maxage", 200, []string{"Cache-Control: max-age=60, s-maxage=x"}, Rules{}, 0, MustRevalidate},
		{"max-age before Expires", 200, []string{"Cache-Control: max-age=60", "Expires: " + date(3600)}, Rules{}, 60, 0},
		{"max-age before wrong Expires", 200, []string{"Cache-Control: max-age=60", "Expires: 0"}, Rules{}, 60, 0},
		{"wrong max-age before Expires", 200, []string{"Cache-Control: max-age=-60", "Expires: " + date(3600)}, Rules{}, 0, 0},
		{"Expires", 200, []string{"Expires: " + date(3600), "Date: " + date(0)}, Rules{}, 3600, 0},
		{"Expires by Date", 200, []string{"Expires: " + date(3600), "Date: " + date(600)}, Rules{}, 3000, 0},
		{"Expires, no Date", 200, []string{"Expires: " + date(3600)}, Rules{}, 3600, 0},
		{"Expires, wrong Date", 200, []string{"Expires: " + date(3600), "Date: foo"}, Rules{}, 3600, 0},
		{"past Expires", 200, []string{"Expires: " + date(-3600), "Date: " + date(0)}, Rules{}, -3600, 0},
		{"Expires before Date", 200, []string{"Expires: " + date(300), "Date: " + date(400)}, Rules{}, -100, 0},
		{"wrong Expires", 200, []string{"Expires: 0"}, Rules{Heuristic: .5}, 0, 0},
		{"two Expires", 200, []string{"Expires: " + date(3600), "Expires: " + date(60)}, Rules{}, 60, 0},
		{"two Expires, one wrong", 200, []string{"Expires: " + date(3600), "Expires: soon"}, Rules{}, 0, 0},
		{"Expires far ahead", 200, []string{"Expires: Fri, 31 Dec 9999 23:59:59 GMT"}, Rules{}, MaxSeconds, 0},
		{"Expires long ago", 200, []string{"Expires: Sat, 01 Jan 0000 00:00:00 GMT"}, Rules{}, -MaxSeconds, 0},
		{"guess", 200, []string{"Last-Modified: " + date(-1000)}, Rules{Heuristic: .1}, 100, Heuristic},
		{"guess by Date", 200, []string{"Last-Modified: " + date(-1000), "Date: " + date(-500)}, Rules{Heuristic: .1}, 50, Heuristic},
		{"guess at most a day", 200, []string{"Last-Modified: " + date(-100*86400)}, Rules{Heuristic: .1}, day, Heuristic},
		{"guess at most", 200, []string{"Last-Modified: " + date(-100*86400)}, Rules{Heuristic: .1, HeuristicMax: time.Minute}, 60, Heuristic},
		{"no guess from the future", 200, []string{"Last-Modified: " + date(1000)}, Rules{Heuristic: .1}, 0, Heuristic},
		{"no guess with Pragma", 200, []string{"Last-Modified: " + date(-1000), "Pragma: no-cache"}, Rules{Heuristic: .1}, 0, Heuristic},
		{"guess, public", 599, []string{"Last-Modified: " + date(-1000), "Cache-Control: public"}, Rules{Heuristic: .1}, 100, Heuristic},
		{"no guess when told", 200, []string{"Last-Modified: " + date(-1000), "Cache-Control: max-age=5"}, Rules{Heuristic: .1}, 5, 0},
		{"default", 200, nil, Rules{DefaultTTL: time.Minute, Heuristic: .1}, 60, Heuristic},
		{"default, told", 200, []string{"Cache-Control: max-age=5"}, Rules{DefaultTTL: time.Minute}, 5, 0},
		{"targeted", 200, []string{"Cache-Control: max-age=5", "CDN-Cache-Control: max-age=6"}, Rules{Targets: []string{"cdn-cache-control"}}, 6, 0},
		{"targeted s-maxage", 200, []string{"CDN-Cache-Control: max-age=6, s-maxage=7"}, Rules{Targets: []string{"cdn-cache-control"}}, 7, MustRevalidate},
		{"targeted, no Expires", 200, []string{"Expires: " + date(3600), "CDN-Cache-Control: foo"}, Rules{Targets: []string{"cdn-cache-control"}}, 0, Heuristic},
		{"ttl", 200, []string{"Cache-Control: max-age=5"}, Rules{TTL: time.Minute}, 60, Overridden},
		{"ttl from when it came", 200, []string{"Cache-Control: max-age=5", "Age: 100"}, Rules{TTL: time.Minute}, 160, Overridden},
		{"ttl by status first", 404, nil, Rules{TTL: time.Minute, TTLs: map[int]time.Duration{404: time.Second}}, 1, Overridden},
		{"ttl keeps no-cache", 200, []string{"Cache-Control: no-cache"}, Rules{TTL: time.Minute}, 60, Overridden | NoCache},
		{"ttl forever", 200, nil, Rules{TTL: 1<<63 - 1}, MaxSeconds, Overridden},
		{"immutable", 200, []string{"Cache-Control: max-age=5, immutable"}, Rules{}, 5, Immutable},
		{"proxy-revalidate", 200, []string{"Cache-Control: max-age=5, proxy-revalidate"}, Rules{}, 5, MustRevalidate},
	} {
		got, why := Judge("GET", asked(), test.status, fields(append(test.h, tag)...), at(0), at(0), &test.rules)
		if why != "" || got.Lifetime != int64(test.want*1e9) || got.Flags != test.flags {
			t.Errorf("%s: %q %v %b, not %v %b", test.name, why, time.Duration(got.Lifetime), got.Flags, test.want, test.flags)
		}
	}
	for etag, weak := range map[string]bool{`"a"`: false, `W/"a"`: true, `w/"a"`: true, `a`: true} {
		if got, _ := Judge("GET", asked(), 200, fields("ETag: "+etag), at(0), at(0), &Rules{}); got.Flags&Weak != 0 != weak {
			t.Errorf("%s: %b", etag, got.Flags)
		}
	}
}

// RFC 9111 §4.2.3, §5.1.
func TestInitialAge(t *testing.T) {
	for _, test := range []struct {
		name                string
		h                   []string
		requested, received float64
		want                float64
	}{
		{"none", nil, 0, 0, 0},
		{"delay", nil, 0, 2.5, 2.5},
		{"delay, a clock set back", nil, 5, 0, 0},
		{"Age, a clock set back", []string{"Age: 10"}, 5, 0, 10},
		{"Age and delay", []string{"Age: 10"}, 0, 2.5, 12.5},
		{"apparent", []string{"Date: " + date(-30)}, 0, 2.5, 32},
		{"apparent is in whole seconds", []string{"Date: " + date(0)}, .9, .9, 0},
		{"the older", []string{"Date: " + date(-30), "Age: 31"}, 0, 0, 31},
		{"the older still", []string{"Date: " + date(-30), "Age: 29"}, 0, 0, 30},
		{"Date ahead", []string{"Date: " + date(30), "Age: 5"}, 0, 0, 5},
		{"wrong Date", []string{"Date: foo"}, 0, 1, 1},
		{"Date long ago", []string{"Date: Thu, 01 Jan 1900 00:00:00 GMT"}, 0, 0, MaxSeconds},
		{"huge", []string{"Age: 99999999999999999999"}, 0, 9, MaxSeconds},
		{"text", []string{"Age: abc"}, 0, 0, MaxSeconds},
		{"negative", []string{"Age: -7200"}, 0, 0, MaxSeconds},
		{"fraction", []string{"Age: 1.0"}, 0, 0, MaxSeconds},
		{"empty", []string{"Age: "}, 0, 0, MaxSeconds},
		{"list", []string{"Age: 7200,0"}, 0, 0, MaxSeconds},
		{"list of noughts", []string{"Age: 0, 0"}, 0, 0, MaxSeconds},
		{"lines", []string{"Age: 0", "Age: 0"}, 0, 0, MaxSeconds},
		{"parameter", []string{"Age: 7200;foo=111"}, 0, 0, MaxSeconds},
	} {
		got, _ := Judge("GET", asked(), 200, fields(append(test.h, `ETag: "a"`)...), at(test.requested), at(test.received), &Rules{})
		if got.InitialAge != int64(test.want*1e9) {
			t.Errorf("%s: %v, not %vs", test.name, time.Duration(got.InitialAge), test.want)
		}
	}
}

// What a renewal says of its age counts, not what the stored response said once.
func TestFreshen(t *testing.T) {
	stored := fields("Date: "+date(-1000), "Age: 500", `ETag: "a"`, "Cache-Control: max-age=60")
	said := fields(`ETag: "a"`, "Age: 7")
	h := fields()
	Update(stored, said, &Rules{}, keeper(h))
	got, why := Freshen(asked(), 200, h, said, at(0), at(1), &Rules{})
	if why != "" || got.InitialAge != 8e9 || got.Lifetime != 60e9 || got.Date != start.Unix()+1 {
		t.Errorf("%q %+v", why, got)
	}
	said.Add("Cache-Control", "no-store")
	h.Reset()
	Update(stored, said, &Rules{}, keeper(h))
	if _, why := Freshen(asked(), 200, h, said, at(0), at(1), &Rules{}); why != NoStore {
		t.Errorf("%q", why)
	}
}
