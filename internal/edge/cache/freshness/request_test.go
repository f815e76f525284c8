package freshness

import "testing"

// RFC 9111 §5.2.1, §5.4 and RFC 5861 §4.
func TestReadRequest(t *testing.T) {
	none := Request{MaxAge: Unsaid, MinFresh: Unsaid, MaxStale: Unsaid, StaleIfError: Unsaid}
	with := func(change func(r *Request)) Request {
		r := none
		change(&r)
		return r
	}
	for _, test := range []struct {
		lines []string
		want  Request
	}{
		{nil, none},
		{[]string{"Cache-Control: No-Store"}, with(func(r *Request) { r.NoStore = true })},
		{[]string{"Cache-Control: no-cache, only-if-cached"}, with(func(r *Request) { r.NoCache, r.OnlyIfCached = true, true })},
		{[]string{"cache-control: max-age=5, max-stale"}, with(func(r *Request) { r.MaxAge, r.MaxStale = 5, MaxSeconds })},
		{[]string{"Cache-Control: max-stale=\"7\"", "Cache-Control: max-stale=9, max-age=3, max-age=1"}, with(func(r *Request) { r.MaxStale, r.MaxAge = 7, 1 })},
		{[]string{"Cache-Control: min-fresh=9, min-fresh=12, min-fresh=10"}, with(func(r *Request) { r.MinFresh = 12 })},
		{[]string{"Cache-Control: max-age=x, min-fresh=x, max-stale=x, stale-if-error=x"}, with(func(r *Request) {
			r.MaxAge, r.MinFresh, r.MaxStale, r.StaleIfError = 0, MaxSeconds, 0, 0
		})},
		{[]string{"Cache-Control: stale-if-error=60, max-age=99999999999999999999"}, with(func(r *Request) { r.StaleIfError, r.MaxAge = 60, MaxSeconds })},
		{[]string{"Pragma: x, no-cache"}, with(func(r *Request) { r.NoCache = true })},
		{[]string{"Pragma: no-cache", "Cache-Control: max-age=5"}, with(func(r *Request) { r.MaxAge = 5 })},
		{[]string{"Pragma: something"}, none},
		{[]string{"Authorization: Basic x", "Range: bytes=0-1"}, with(func(r *Request) { r.Authorization, r.Range = true, true })},
		{[]string{"If-None-Match: *"}, with(func(r *Request) { r.Conditional = true })},
		{[]string{"If-Range: \"a\""}, with(func(r *Request) { r.Conditional = true })},
	} {
		if got := ReadRequest(fields(test.lines...), &Rules{}); got != test.want {
			t.Errorf("%q: %+v, not %+v", test.lines, got, test.want)
		}
	}
	got := ReadRequest(fields("Cache-Control: no-cache, max-age=0, min-fresh=5, max-stale=4, no-store, only-if-cached"), &Rules{IgnoreRequest: true})
	want := with(func(r *Request) { r.NoStore, r.OnlyIfCached, r.MaxStale = true, true, 4 })
	if got != want {
		t.Errorf("ignored: %+v, not %+v", got, want)
	}
	if got := ReadRequest(fields("Pragma: no-cache"), &Rules{IgnoreRequest: true}); got != none {
		t.Errorf("ignored: %+v", got)
	}
}
