package policy

import (
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
)

func allowed(status int, all ...exchange.Allowance) *exchange.Exchange {
	x := request("/")
	for _, a := range all {
		x.Allow(a)
	}
	if status != 0 {
		x.Respond(status, "", nil)
	}
	return x
}

// tells joins the fields of a response.
func tells(x *exchange.Exchange) string {
	var all []string
	for _, f := range x.Response.Header.All() {
		all = append(all, f.Name+": "+f.Value)
	}
	return strings.Join(all, " | ")
}

// The forms of draft-ietf-httpapi-ratelimit-headers-11: §3 RateLimit-Policy (q, w), §4 RateLimit (r, t), both lists of RFC 9651.
func TestTellAllowances(t *testing.T) {
	burst := exchange.Allowance{Name: "burst", Quota: 100, Window: 1e9, Left: 42, Reset: 580e6}
	hour := exchange.Allowance{Name: "hour", Quota: 1000, Window: 3600e9, Left: 17, Reset: 3541e9 + 1}
	f := func(x *exchange.Exchange, want, legacy string) {
		t.Helper()
		for range 2 { // the second policy with limits changes nothing
			TellAllowances(x)
			if got := tells(x); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		x.Response.Header.Reset()
		for range 2 {
			TellLegacyAllowances(x)
			if got := tells(x); got != legacy {
				t.Errorf("%s, want %s", got, legacy)
			}
		}
	}
	for _, status := range []int{200, 204, 429, 503} {
		f(allowed(status, burst), `RateLimit-Policy: "burst";q=100;w=1 | RateLimit: "burst";r=42;t=1`,
			"X-RateLimit-Limit: 100 | X-RateLimit-Remaining: 42 | X-RateLimit-Reset: 1")
	}
	f(allowed(200, burst, hour), `RateLimit-Policy: "burst";q=100;w=1, "hour";q=1000;w=3600 | RateLimit: "hour";r=17;t=3542`,
		"X-RateLimit-Limit: 1000 | X-RateLimit-Remaining: 17 | X-RateLimit-Reset: 3542")
	even := hour
	even.Left = 42
	f(allowed(200, burst, even), `RateLimit-Policy: "burst";q=100;w=1, "hour";q=1000;w=3600 | RateLimit: "hour";r=42;t=3542`,
		"X-RateLimit-Limit: 1000 | X-RateLimit-Remaining: 42 | X-RateLimit-Reset: 3542")
	f(allowed(200, exchange.Allowance{Name: "a", Quota: 5, Left: -1, Reset: -1}), `RateLimit-Policy: "a";q=5 | RateLimit: "a";r=0;t=0`,
		"X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 0")
	// Numbers have 15 digits at most (RFC 9651 §3.3.1).
	f(allowed(200, exchange.Allowance{Name: "a", Quota: 1 << 62, Window: 1<<63 - 1, Left: 1 << 62, Reset: 1<<63 - 1}),
		`RateLimit-Policy: "a";q=999999999999999;w=9223372037 | RateLimit: "a";r=999999999999999;t=9223372037`,
		"X-RateLimit-Limit: 999999999999999 | X-RateLimit-Remaining: 999999999999999 | X-RateLimit-Reset: 9223372037")
	f(allowed(200), "", "")
	f(allowed(0, burst), "", "")
}

// What an endpoint says of limits of its own would contradict ours, in whatever case it writes the names.
func TestTellReplaces(t *testing.T) {
	x := allowed(200, exchange.Allowance{Name: "a", Quota: 5, Left: 4, Reset: 1e9})
	for _, name := range []string{"ratelimit", "RateLimit", "Ratelimit-Policy", "x-ratelimit-remaining", "X-RateLimit-Limit"} {
		x.Response.Header.Add(strings.Clone(name), "theirs")
	}
	TellAllowances(x)
	TellLegacyAllowances(x)
	if got := tells(x); strings.Contains(got, "theirs") || strings.Count(got, "RateLimit:") != 1 || strings.Count(got, "|") != 4 {
		t.Error(got)
	}
}

func TestTellAllocations(t *testing.T) {
	x := allowed(200, exchange.Allowance{Name: "burst", Quota: 100, Window: 1e9, Left: 42}, exchange.Allowance{Name: "hour", Quota: 1000, Window: 3600e9, Left: 17})
	kept := x.Allowances
	conn := &exchange.Conn{}
	if n := testing.AllocsPerRun(100, func() {
		x.Begin(conn, 1)
		x.Allowances = kept
		x.Respond(200, "", nil)
		TellAllowances(x)
		TellLegacyAllowances(x)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTellAllowances(b *testing.B) {
	x := allowed(200, exchange.Allowance{Name: "default", Quota: 100, Window: 1e9, Left: 42})
	kept, conn := x.Allowances, &exchange.Conn{}
	b.ReportAllocs()
	for b.Loop() {
		x.Begin(conn, 1)
		x.Allowances = kept
		x.Respond(200, "", nil)
		TellAllowances(x)
	}
}
