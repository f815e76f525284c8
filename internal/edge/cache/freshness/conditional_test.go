package freshness

import (
	"math"
	"strings"
	"testing"
)

// RFC 9110 §8.8.3, §13.1.2, §13.1.3, §13.2.2; RFC 9111 §4.3.2.
func TestNotModified(t *testing.T) {
	lm := &Terms{ResponseTime: at(0), Date: start.Unix(), LastModified: start.Unix() - 3000}
	bare := &Terms{ResponseTime: at(0), Date: start.Unix()}
	since := func(s int) string { return "If-Modified-Since: " + date(s) }
	for _, test := range []struct {
		h     []string
		etag  string
		terms *Terms
		want  bool
	}{
		{nil, `"a"`, lm, false},
		{[]string{`If-None-Match: "a"`}, `"a"`, lm, true},
		{[]string{`If-None-Match: "a"`}, `W/"a"`, lm, true},
		{[]string{`If-None-Match: W/"a"`}, `"a"`, lm, true},
		{[]string{`If-None-Match: w/"a"`}, `"a"`, lm, false},
		{[]string{`If-None-Match: "b"`}, `"a"`, lm, false},
		{[]string{`If-None-Match: "A"`}, `"a"`, lm, false},
		{[]string{`If-None-Match: "1", "a", "2"`}, `"a"`, lm, true},
		{[]string{`If-None-Match: "1","2",W/"a"`}, `"a"`, lm, true},
		{[]string{`If-None-Match: "1"`, `If-None-Match: , "a"`}, `"a"`, lm, true},
		{[]string{`If-None-Match: "1,a,2"`}, `"a"`, lm, false},
		{[]string{`If-None-Match: "x,"a","`}, `"a"`, lm, false},
		{[]string{`If-None-Match: *`}, `"a"`, lm, true},
		{[]string{`If-None-Match: *`}, ``, lm, true},
		{[]string{`If-None-Match: "*"`}, `"a"`, lm, false},
		{[]string{`If-None-Match: ""`}, ``, lm, false},
		{[]string{`If-None-Match: `}, ``, lm, false},
		{[]string{`If-None-Match: a`}, `"a"`, lm, false},
		{[]string{`If-None-Match: "a"`}, `a`, lm, false},
		{[]string{`If-None-Match: a`}, `a`, lm, true},
		{[]string{`If-None-Match: x, W"a"`}, `W"a"`, lm, true},
		{[]string{`If-None-Match: "ü"`}, `"ü"`, lm, true},
		{[]string{`If-None-Match: "a" "b"`}, `"b"`, lm, true},
		{[]string{`If-None-Match: "a"`, since(-9999)}, `"a"`, lm, true}, // the tag comes first
		{[]string{`If-None-Match: "b"`, since(0)}, `"a"`, lm, false},
		{[]string{since(-3000)}, `"a"`, lm, true},
		{[]string{since(-2000)}, ``, lm, true},
		{[]string{since(-3001)}, ``, lm, false},
		{[]string{since(0)}, ``, bare, true},
		{[]string{since(-1)}, ``, bare, false},
		{[]string{"If-Modified-Since: " + start.Format("Monday, 02-Jan-06 15:04:05 GMT")}, ``, lm, true},
		{[]string{"If-Modified-Since: " + start.Format("Mon Jan _2 15:04:05 2006")}, ``, lm, true},
		{[]string{"If-Modified-Since: now"}, ``, lm, false},
		{[]string{since(0), since(0)}, ``, lm, false},
		{[]string{`If-Match: "a"`}, `"a"`, lm, false},
	} {
		if got := NotModified(fields(test.h...), test.etag, test.terms); got != test.want {
			t.Errorf("%q, %q: %v", test.h, test.etag, got)
		}
	}
}

// RFC 9110 §14.1.2, §14.2, §13.1.5.
func TestRange(t *testing.T) {
	type answer struct {
		from, to int64
		what     Part
	}
	whole, none := answer{0, 10, Whole}, answer{0, 10, Unsatisfied}
	part := func(from, to int64) answer { return answer{from, to, Partial} }
	for spec, want := range map[string]answer{
		"bytes=0-1": part(0, 2), "bytes=0-0": part(0, 1), "bytes=9-9": part(9, 10), "bytes=5-": part(5, 10), "bytes=0-": part(0, 10), "bytes=0-9": part(0, 10), "bytes=0-99": part(0, 10),
		"bytes=-1": part(9, 10), "bytes=-10": part(0, 10), "bytes=-99": part(0, 10), "BYTES=0-1": part(0, 2), "bytes= 0-1 ": part(0, 2), "bytes=0-99999999999999999999999": part(0, 10),
		"bytes=-99999999999999999999999": part(0, 10), "bytes=10-": none, "bytes=10-11": none, "bytes=99999999999999999999999-": none, "bytes=-0": none,
		"": whole, "bytes": whole, "bytes=": whole, "bytes=-": whole, "bytes=2-1": whole, "bytes=a-b": whole, "bytes=1": whole, "bytes=1-2-3": whole, "bytes=0-1,3-4": whole, "bytes=0-1,": whole,
		"bytes=,0-1": whole, "items=0-1": whole, "bytes=+0-1": whole, "bytes=0 - 1": whole, "bytes =0-1": whole, "bytes=0x0-1": whole, "bytes=--1": whole,
	} {
		from, to, what := Range(fields("Range: "+spec), "", &Terms{}, 10)
		if got := (answer{from, to, what}); got != want {
			t.Errorf("%q: %+v, not %+v", spec, got, want)
		}
	}
	if _, _, what := Range(fields("Range: bytes=0-1", "Range: bytes=0-1"), "", &Terms{}, 10); what != Whole {
		t.Error("two fields")
	}
	for spec, want := range map[string]Part{"bytes=0-": Unsatisfied, "bytes=-0": Unsatisfied, "bytes=-1": Whole} {
		if _, _, what := Range(fields("Range: "+spec), "", &Terms{}, 0); what != want {
			t.Errorf("%q of nothing: %d", spec, what)
		}
	}

	old := &Terms{Date: start.Unix(), LastModified: start.Unix() - 60}
	young := &Terms{Date: start.Unix(), LastModified: start.Unix() - 59}
	for _, test := range []struct {
		condition, etag string
		terms           *Terms
		want            Part
	}{
		{`"a"`, `"a"`, old, Partial},
		{`"b"`, `"a"`, old, Whole},
		{`W/"a"`, `W/"a"`, old, Whole},
		{`"a"`, `W/"a"`, old, Whole},
		{`W/"a"`, `"a"`, old, Whole},
		{`a`, `a`, old, Whole},
		{`"a", "b"`, `"a"`, old, Whole},
		{`*`, `"a"`, old, Whole},
		{``, ``, old, Whole},
		{date(-60), ``, old, Partial},
		{date(-59), ``, old, Whole},
		{date(-61), ``, old, Whole},
		{date(-59), ``, young, Whole},
		{date(0), ``, &Terms{Date: start.Unix()}, Whole},
		{"Thu, 01 Jan 1970 00:00:00 GMT", ``, &Terms{Date: start.Unix()}, Whole},
	} {
		if _, _, what := Range(fields("If-Range: "+test.condition, "Range: bytes=0-1"), test.etag, test.terms, 10); what != test.want {
			t.Errorf("If-Range %q, %q: %d", test.condition, test.etag, what)
		}
	}
	if _, _, what := Range(fields(`If-Range: "a"`, `If-Range: "a"`, "Range: bytes=0-1"), `"a"`, old, 10); what != Whole {
		t.Error("two conditions")
	}
}

// RFC 9111 §4.4.
func TestInvalidates(t *testing.T) {
	for _, m := range []string{"POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "CONNECT", "NEW", "get", ""} {
		for status, want := range map[int]bool{103: false, 200: true, 204: true, 206: true, 303: true, 399: true, 400: false, 404: false, 500: false} {
			if Invalidates(m, status) != want {
				t.Errorf("%s %d", m, status)
			}
		}
	}
	for _, m := range []string{"GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH"} {
		if Invalidates(m, 200) {
			t.Error(m)
		}
	}
	for status := range 700 {
		if Fails(status) != (status == 500 || status >= 502 && status <= 504) {
			t.Error(status)
		}
	}
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=7-", "bytes=99999999999999999999-", "bytes=0-1,2-3"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, spec string, size int64) {
		if size < 0 {
			size = -(size + 1)
		}
		from, to, what := readRange(spec, size)
		switch what {
		case Partial:
			if from < 0 || from >= to || to > size {
				t.Fatalf("%q of %d: %d to %d", spec, size, from, to)
			}
		default:
			if from != 0 || to != size {
				t.Fatalf("%q of %d: %d to %d", spec, size, from, to)
			}
		}
		if strings.Contains(spec, ",") && what != Whole {
			t.Fatalf("%q is one range", spec)
		}
	})
}

func FuzzETag(f *testing.F) {
	for _, s := range []string{`"a"`, `W/"a"`, `a`, `"a", "b"`, `"`, `W/`, ``} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, list, etag string) {
		opaque, weak, ok := splitETag(etag)
		if ok {
			again := opaque
			if weak {
				again = "W/" + opaque
			}
			if again != etag || len(opaque) < 2 || opaque[0] != '"' || strings.IndexByte(opaque[1:], '"') != len(opaque)-2 {
				t.Fatalf("%q: %q %v", etag, opaque, weak)
			}
			for _, around := range []string{etag, `"x", ` + etag, etag + `, "x"`, `,W/"y",` + etag + `,`} {
				if !listsTag(around, etag) {
					t.Fatalf("%q is not in %q", etag, around)
				}
			}
		} else if weak || opaque != etag {
			t.Fatalf("%q: %q %v", etag, opaque, weak)
		}
		if etag != "" && listsTag(list, etag) && !strings.Contains(list, opaque) {
			t.Fatalf("%q has %q", list, etag)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "0"} {
		f.Add(s, int64(784111777))
	}
	f.Fuzz(func(t *testing.T, s string, now int64) {
		now = min(max(now, 0), math.MaxInt64/second)
		unix, ok := ParseDate(s, now)
		if !ok {
			if unix != 0 {
				t.Fatalf("%q: %d", s, unix)
			}
			return
		}
		if unix < 0 || unix > 253402300799 {
			return
		}
		again := string(AppendDate(nil, unix))
		if back, ok := ParseDate(again, 0); !ok || back != unix {
			t.Fatalf("%q is %d is %q is %d", s, unix, again, back)
		}
		if len(s) == len(again) && s[7] == ' ' && s[5:] != again[5:] && !strings.Contains(s, ":60 ") {
			t.Fatalf("%q is %q", s, again)
		}
	})
}

func FuzzAge(f *testing.F) {
	for _, s := range []string{"0", "7200", "-1", "0, 0", "99999999999999999999", "1.5", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h := fields()
		h.Add("Age", s)
		age := readAge(h)
		n, ok := parseSeconds(s)
		digits := s != "" && strings.Trim(s, "0123456789") == ""
		if ok != digits || ok && age != n || !ok && age != MaxSeconds || age < 0 || age > MaxSeconds {
			t.Fatalf("%q: %d (%d %v)", s, age, n, ok)
		}
	})
}

func FuzzControl(f *testing.F) {
	for _, s := range []string{"max-age=5, no-store", `private="a, b", x="\"`, "no-cache=\"", "s-maxage =5,,"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, x, y string) {
		read := func(lines ...string) control {
			h := fields()
			for _, l := range lines {
				h.Add("Cache-Control", l)
			}
			return readControl(h, &Rules{})
		}
		for rest := x; ; {
			_, left, ok := nextDirective(rest)
			if !ok {
				break
			}
			if len(left) >= len(rest) {
				t.Fatalf("%q: no progress", rest)
			}
			rest = left
		}
		// What forbids goes on forbidding, and nothing lasts longer, whatever is said besides.
		one, both := read(x), read(x, y)
		forbids := func(c control) [6]bool {
			return [...]bool{c.noStore, c.noCache, c.private, c.mustRevalidate, c.proxyRevalidate, c.mustUnderstand}
		}
		a, b := forbids(one), forbids(both)
		for i := range a {
			if a[i] && !b[i] {
				t.Fatalf("%q then %q: %+v, %+v", x, y, one, both)
			}
		}
		for _, pair := range [][2]int64{{one.maxAge, both.maxAge}, {one.sMaxAge, both.sMaxAge}, {one.whileRevalidating, both.whileRevalidating}, {one.ifError, both.ifError}} {
			if pair[0] != Unsaid && (pair[1] > pair[0] || pair[1] == Unsaid) || pair[1] > MaxSeconds || pair[1] < Unsaid {
				t.Fatalf("%q then %q: %+v, %+v", x, y, one, both)
			}
		}
		if strings.Count(x, `"`) == 0 && read(x+", no-store").noStore == false {
			t.Fatalf("%q hides what comes after", x)
		}
	})
}

func FuzzDictionary(f *testing.F) {
	for _, s := range []string{"max-age=5, no-store", "a=(1 2);b, c=?0", `x="\"", y=:YQ==:, z=%"f%c3"`, "a=1.5, b=-3, c=@9", "a,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		read := func(s string) (control, bool) {
			h := fields()
			h.Add("CDN-Cache-Control", s)
			return readTarget(h, "cdn-cache-control")
		}
		c, ok := read(s)
		for _, wrong := range []string{s + ",", s + ", A", "!" + s, s + ", max-age="} {
			if _, ok := read(wrong); ok {
				t.Fatalf("%q is taken", wrong)
			}
		}
		if !ok {
			return
		}
		if !c.targeted || strings.TrimLeft(s, " ") == "" {
			t.Fatalf("%q: %+v", s, c)
		}
		for _, b := range []byte(s) { // RFC 9651 §4.2: ASCII alone
			if b >= 0x7f || b < 0x20 && b != '\t' {
				t.Fatalf("%q is taken", s)
			}
		}
		after, ok := read(strings.TrimRight(s, " \t") + ", no-store, max-age=7") // the last counts
		if !ok || !after.noStore || after.maxAge != 7 {
			t.Fatalf("%q then no-store: %+v %v", s, after, ok)
		}
	})
}
