package introspection

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/issuer"
)

// While the provider fails in whatever way, tokens that are remembered go on and others cannot be judged; then all is well again.
func TestProviderFails(t *testing.T) {
	t.Parallel()
	i := provide(t)
	f := open(t, map[string]string{"all": introspected(i, "timeout: 500ms, flood_burst: 0")}, "")
	var tokens []string
	for _, c := range []struct {
		name        string
		fail, again func(i *issuer.Issuer)
	}{
		{"slow", plan(issuer.Plan{Wait: time.Minute}), plan(issuer.Plan{})},
		{"paused", (*issuer.Issuer).Pause, (*issuer.Issuer).Resume},
		{"status 500", plan(issuer.Plan{Status: 500, Body: `{"active":true}`}), plan(issuer.Plan{})},
		{"garbage", plan(issuer.Plan{Status: 200, Body: `{"active":tru`}), plan(issuer.Plan{})},
		{"active is a text", plan(issuer.Plan{Status: 200, Body: `{"active":"true"}`}), plan(issuer.Plan{})},
		{"active twice", plan(issuer.Plan{Status: 200, Body: `{"active":false,"active":true}`}), plan(issuer.Plan{})},
		{"a huge answer", plan(issuer.Plan{Status: 200, Body: `{"active":true,"a":"` + strings.Repeat("x", 1<<20) + `"}`}), plan(issuer.Plan{})},
		{"no answer", plan(issuer.Plan{Close: true}), plan(issuer.Plan{})},
		{"status 302", plan(issuer.Plan{Status: 302}), plan(issuer.Plan{})},
	} {
		t.Run(c.name, func(t *testing.T) {
			known, other, never := token(i), token(i), fmt.Sprintf("made-up-%d", len(tokens))
			f.passes("before", "all", known)
			c.fail(i)
			f.unjudged("another", "all", other)
			f.unjudged("made up", "all", never)
			f.passes("known", "all", known)
			c.again(i)
			f.passes("another, again", "all", other)
			f.refused("made up, again", "all", never)
			tokens = append(tokens, known, other)
		})
		if t.Failed() {
			return
		}
	}
	f.verdict("introspection:unavailable")
	f.silent(tokens...)
}

func plan(p issuer.Plan) func(i *issuer.Issuer) {
	p.Path = "/introspect"
	return func(i *issuer.Issuer) { i.Do(p) }
}

// A provider that is down is left alone after a few questions. Tokens that were good go on until their ttl, or longer where the options allow
// it; and it is found out that the provider is back.
func TestProviderDown(t *testing.T) {
	t.Parallel()
	i := provide(t)
	f := open(t, map[string]string{
		"long":  introspected(i, "timeout: 1s"),
		"short": introspected(i, "timeout: 1s, ttl: 1s"),
		"stale": introspected(i, "timeout: 1s, ttl: 2s, serve_stale: 10m"),
	}, "")
	known, other := token(i), token(i)
	for _, path := range []string{"long", "short", "stale"} {
		f.passes("before", path, known)
	}
	i.Stop()
	f.passes("within its ttl", "long", known)
	gateway.Await(t, "after its ttl a token cannot be judged", func() bool { return f.ask("short", known).status == 503 })
	gateway.Await(t, "after its ttl a token goes on where it may", func() bool {
		f.passes("stale", "stale", known)
		return f.Number("straum_policy_introspection_stale_total") > 0
	})
	f.passes("still within its ttl", "long", known)
	for range 10 {
		f.unjudged("another", "long", other)
		f.unjudged("another", "short", other)
	}
	n := f.Numbers()
	if failed, skipped := n.Sum("straum_policy_introspection_questions_total", `outcome="failed"`), n.Sum("straum_policy_introspection_questions_total", `outcome="skipped"`); failed < 10 || skipped < 5 {
		t.Errorf("%v questions failed and %v were not asked", failed, skipped)
	}
	if n.Sum("straum_policy_introspection_resting") == 0 {
		t.Error("resting is 0")
	}
	if a := f.attention(); !strings.Contains(a, "/introspect does not answer") {
		t.Errorf("straum status asks for attention with %q", a)
	}
	if code := f.Readyz(); code != 200 {
		t.Errorf("/readyz is %d", code)
	}
	i.Again() // it has forgotten all tokens
	fresh := token(i)
	for _, path := range []string{"long", "short", "stale"} {
		gateway.Await(t, "the provider is asked again for "+path, func() bool { return f.ask(path, fresh).status == 200 })
	}
	f.refused("one it has forgotten", "short", known)
	f.passes("one it has forgotten, within its ttl", "long", known)
	if n := f.Number("straum_policy_introspection_resting"); n != 0 {
		t.Errorf("resting is %v", n)
	}
	if a := f.attention(); a != "" {
		t.Errorf("all is well, and straum status asks for attention with %q", a)
	}
	f.silent(known, other, fresh)
}

// Whoever makes tokens up is not asked about after a while; good ones go on, remembered or not.
func TestFlood(t *testing.T) {
	t.Parallel()
	i := provide(t)
	f := open(t, map[string]string{"all": introspected(i, "flood_rate: 0.01")}, "")
	known := token(i)
	f.passes("before", "all", known)
	for n := range 20 {
		f.refused("made up", "all", fmt.Sprintf("made-up-%d", n))
	}
	for n := range 40 { // these may be good: nobody knows
		f.unjudged("made up, and too many", "all", fmt.Sprintf("made-up-too-%d", n))
	}
	if n := i.Count("/introspect"); n != 21 {
		t.Errorf("the provider was asked %d times, want 1 and 20", n)
	}
	if n := f.Number("straum_policy_introspection_floods_total"); n != 40 {
		t.Errorf("%v tokens were refused unasked, want 40", n)
	}
	f.passes("after", "all", known)
	f.verdict("introspection:flood")
}
