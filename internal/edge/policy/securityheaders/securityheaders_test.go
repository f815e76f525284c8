package securityheaders

import (
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policytest"
)

// answered is what a client gets of an answer with these fields.
func answered(t *testing.T, options string, own bool, response string) string {
	t.Helper()
	r := policytest.New(t).Policy(Kind, options)
	x := r.Request("GET / HTTP/1.1\nHost: a\n")
	x.Respond(200, "", nil)
	x.Response.Own = own
	for line := range strings.Lines(response) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		x.Response.Header.Add(name, value)
	}
	r.Chain.Response(x)
	var all []string
	for _, f := range x.Response.Header.All() {
		all = append(all, f.Name+": "+f.Value)
	}
	return strings.Join(all, " | ")
}

func TestFields(t *testing.T) {
	f := func(options, response, want string) {
		t.Helper()
		for _, own := range []bool{false, true} {
			if got := answered(t, options, own, response); got != want {
				t.Errorf("%s, own %v:\n%s, want\n%s", options, own, got, want)
			}
		}
	}
	const usual = "X-Content-Type-Options: nosniff | Content-Security-Policy: default-src 'none'; frame-ancestors 'none' | X-Frame-Options: DENY | Referrer-Policy: no-referrer"
	f("{}", "", usual)
	f("{}", "ETag: a\n", "ETag: a | "+usual)
	const none = "{content_type_options: off, content_security_policy: off, frame_options: off, referrer_policy: off"
	f(none+", permissions_policy: 'geolocation=()', cross_origin_opener_policy: same-origin, cross_origin_embedder_policy: require-corp, cross_origin_resource_policy: same-site}", "",
		"Permissions-Policy: geolocation=() | Cross-Origin-Opener-Policy: same-origin | Cross-Origin-Embedder-Policy: require-corp | Cross-Origin-Resource-Policy: same-site")
	f(none+"}", "", "")
	f("{frame_options: sameorigin, content_type_options: off, content_security_policy: default-src 'self', referrer_policy: origin}", "",
		"Content-Security-Policy: default-src 'self' | X-Frame-Options: SAMEORIGIN | Referrer-Policy: origin")
	// What an endpoint says stays, unless it is overruled; several are then one.
	const theirs = "content-security-policy: default-src *\nX-FRAME-OPTIONS: SAMEORIGIN\nContent-Security-Policy: img-src *\n"
	f("{}", theirs, "content-security-policy: default-src * | X-FRAME-OPTIONS: SAMEORIGIN | Content-Security-Policy: img-src * | X-Content-Type-Options: nosniff | Referrer-Policy: no-referrer")
	f("{override: true}", theirs, "Content-Security-Policy: default-src 'none'; frame-ancestors 'none' | X-Frame-Options: DENY | X-Content-Type-Options: nosniff | Referrer-Policy: no-referrer")
}

// What endpoints say of themselves goes away; our own answers keep what a policy put there.
func TestRemove(t *testing.T) {
	const none = "content_type_options: off, content_security_policy: off, frame_options: off, referrer_policy: off"
	const response = "server: a\nX-Powered-By: b\nX-AspNet-Version: c\nx-aspnetmvc-version: d\nVia: e\n"
	f := func(options string, own bool, want string) {
		t.Helper()
		if got := answered(t, options, own, response); got != want {
			t.Errorf("%s: %s, want %s", options, got, want)
		}
	}
	f("{"+none+"}", false, "Via: e")
	f("{"+none+"}", true, "server: a | X-Powered-By: b | X-AspNet-Version: c | x-aspnetmvc-version: d | Via: e")
	f("{"+none+", remove: Via}", false, "server: a | X-Powered-By: b | X-AspNet-Version: c | x-aspnetmvc-version: d")
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(options, want string) {
		t.Helper()
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", options, got, want)
		}
	}
	f("{content_type_options: off, content_security_policy: off, frame_options: off, referrer_policy: off, remove: []}", "everything off")
	f("{frame_options: allow}", "deny, sameorigin, off")
	f("{referrer_policy: never}", "no-referrer")
	f("{content_security_policy: ' a'}", "no space at its ends")
	f("{content_security_policy: ''}", "1 to 4096")
	f("{content_security_policy: \"default-src 'none'; img-src bücher.example\"}", "outside ASCII at byte 30")
	f("{permissions_policy: \"a\\nb\"}", "control character")
	f("{remove: Content-Length}", "where the message ends")
	f("{remove: 'a b'}", "is not a field name")
	f("{hsts: true}", "hsts")
}

func usual(t testing.TB) func() {
	r := policytest.New(t).Policy(Kind, "{}")
	x := r.Request("GET / HTTP/1.1\nHost: a\n")
	x.Response.Status = 200
	return func() {
		h := &x.Response.Header
		h.Reset()
		h.Append(exchange.ContentType, "Content-Type", "application/json")
		h.Append(exchange.Server, "Server", "a")
		h.Append(exchange.ETag, "ETag", "b")
		r.Chain.Response(x)
	}
}

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	if n := testing.AllocsPerRun(1000, usual(t)); n != 0 {
		t.Errorf("%v allocations a response", n)
	}
}

func BenchmarkSecurityHeaders(b *testing.B) {
	run := usual(b)
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}
