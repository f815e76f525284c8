package introspection

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/test/gateway"
)

// Tokens that the provider gives out are good, and endpoints are told whose they are. Those that were never issued, have run out or were
// taken back are not.
func TestTokens(t *testing.T) {
	t.Parallel()
	i := provide(t, "-access", "1h")
	f := open(t, map[string]string{
		"told":     introspected(i, "consumer_claim: client_id, claims_to_headers: { username: X-User }, hide: true"),
		"short":    introspected(i, "ttl: 1s, inactive_ttl: 100ms"),
		"write":    introspected(i, "scopes: write"),
		"orders":   introspected(i, "audience: orders"),
		"anywhere": introspected(i, "audience: elsewhere"),
	}, "")
	machine := token(i)
	if a := f.ask("told", machine, "X-User", "admin", "X-Auth-Subject", "admin", "X-Consumer-Id", "admin"); a.status != 200 ||
		a.text != "x-auth-method=introspection x-auth-scope=read write x-auth-subject=acme x-consumer-id=acme x-consumer-name=Acme" {
		t.Errorf("by client credentials: %v", a)
	}
	person, refresh := logIn(t, i)
	if a := f.ask("told", person); a.status != 200 ||
		a.text != "x-auth-method=introspection x-auth-scope=read offline_access x-auth-subject=alice x-consumer-id=acme x-consumer-name=Acme x-user=alice" {
		t.Errorf("by a login: %v", a)
	}
	stranger := i.Token("stranger", acmeSecret, nil)
	f.refused("of no consumer", "told", stranger)
	f.passes("of no consumer where none is asked for", "short", stranger)
	f.verdict("introspection:no_consumer")
	if a := f.ask("told", ""); a.status != 401 || a.header.Get("WWW-Authenticate") != `Bearer realm="api"` {
		t.Errorf("no token: %v", a)
	}
	if a := f.ask("write", person); a.status != 403 || a.header.Get("WWW-Authenticate") != `Bearer realm="api", error="insufficient_scope", scope="write"` {
		t.Errorf("without the scope: %v", a)
	}
	f.passes("with the scope", "write", machine)
	f.passes("with the audience", "orders", machine)
	f.refused("without the audience", "orders", person)
	f.refused("for another audience", "anywhere", machine)

	never := machine[:len(machine)-4] + "AAAA"
	f.refused("never issued", "told", never)
	f.refused("never issued, once more", "told", never)
	f.refused("made up", "told", "made-up")
	f.refused("not of the form", "told", "made up?")

	f.passes("before it is taken back", "short", machine)
	revoke(t, i, machine)
	gateway.Await(t, "a token that was taken back is refused after ttl", func() bool { return f.ask("short", machine).status == 401 })
	f.refused("taken back", "short", machine)
	f.passes("remembered where ttl is longer", "told", machine)
	f.passes("another's", "short", person)
	f.verdict("introspection:inactive")
	f.silent(machine, person, refresh, never, stranger)
}

// A token stops when it ends, however long answers are remembered.
func TestExpired(t *testing.T) {
	t.Parallel()
	i := provide(t, "-access", "3s")
	f := open(t, map[string]string{"all": introspected(i, "ttl: 1h, serve_stale: 10m, inactive_ttl: 100ms")}, "")
	short := token(i)
	f.passes("before its end", "all", short)
	i.Stop()
	gateway.Await(t, "a token that has run out stops, also when nobody can be asked", func() bool { return f.ask("all", short).status != 200 })
	i.Again()
	gateway.Await(t, "the provider is asked again", func() bool { return f.ask("all", short).status == 401 })
	f.refused("run out", "all", short)
}

// A provider that refuses the gateway's secret is a mistake of the configuration: 503 and never 401, and operators are told.
func TestMisconfigured(t *testing.T) {
	t.Parallel()
	i := provide(t)
	right := introspected(i, "")
	wrong := strings.Replace(right, gatewaySecret, "another-secret", 1)
	f := open(t, map[string]string{"all": wrong}, "")
	good := token(i)
	f.unjudged("wrong secret", "all", good)
	f.unjudged("wrong secret, made-up token", "all", "made-up")
	f.verdict("introspection:misconfigured")
	labels := []string{fmt.Sprintf("endpoint=%q", i.URL+"/introspect"), `client_id="gateway"`}
	if n := f.Number("straum_policy_introspection_misconfigured", labels...); n != 1 {
		t.Errorf("misconfigured is %v", n)
	}
	if a := f.attention(); !strings.Contains(a, "/introspect") || !strings.Contains(a, "client_secret") {
		t.Errorf("straum status asks for attention with %q", a)
	}
	if !f.Logged("refuses us") {
		t.Error("the log does not tell")
	}
	if code := f.Readyz(); code != 200 {
		t.Errorf("/readyz is %d", code)
	}
	f.config = strings.Replace(f.config, "another-secret", gatewaySecret, 1)
	if err := f.Reload(f.config); err != nil {
		t.Fatal(err)
	}
	f.passes("right secret", "all", good)
	f.refused("right secret, made-up token", "all", "made-up")
	if n := f.Number("straum_policy_introspection_misconfigured", labels...); n != 0 {
		t.Errorf("with the right secret misconfigured is %v", n)
	}
	if a := f.attention(); a != "" {
		t.Errorf("with the right secret, straum status asks for attention with %q", a)
	}
	f.silent(good, "another-secret")
}

// Operators are told to alert on misconfigured > 0: with two routes that ask the same endpoint with the same wrong secret it is 2.
func TestMisconfiguredTwice(t *testing.T) {
	t.Parallel()
	i := provide(t)
	f := open(t, map[string]string{
		"one": strings.Replace(introspected(i, ""), gatewaySecret, "another-secret", 1),
		"two": strings.Replace(introspected(i, "ttl: 10s"), gatewaySecret, "another-secret", 1),
	}, "")
	good := token(i)
	f.unjudged("one", "one", good)
	f.unjudged("two", "two", good)
	if n := f.Number("straum_policy_introspection_misconfigured"); n != 2 {
		t.Errorf("misconfigured is %v", n)
	}
}

// Fifty requests with one token at once are one question.
func TestSingleFlight(t *testing.T) {
	t.Parallel()
	i := provide(t)
	f := open(t, map[string]string{"all": introspected(i, "timeout: 30s")}, "")
	good := token(i)
	i.Pause() // until all have come
	const many = 50
	answers := make(chan answer, many)
	var group sync.WaitGroup
	for range many {
		group.Go(func() { answers <- f.ask("all", good) })
	}
	gateway.Await(t, "all requests have come", func() bool {
		n := f.Numbers()
		return n.Sum("straum_listener_connections", `listener="main"`)-n.Sum("straum_listener_parked_connections", `listener="main"`) == many &&
			n.Sum("straum_policy_introspection_asking") == 1
	})
	i.Resume()
	group.Wait()
	close(answers)
	for a := range answers {
		if a.status != 200 {
			t.Errorf("got %v", a)
		}
	}
	if n := i.Count("/introspect"); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// A reload keeps what is remembered, also when what is asked of tokens changes, and does not when somebody else is to be asked.
func TestReload(t *testing.T) {
	t.Parallel()
	i := provide(t)
	f := open(t, map[string]string{"all": introspected(i, "scopes: read")}, "")
	var tokens []string
	for range 5 {
		tokens = append(tokens, token(i))
	}
	tokens = append(tokens, scoped(i, "read"))
	sweep := func(when string, scoped int) {
		t.Helper()
		for n, one := range tokens {
			want := 200
			if n == len(tokens)-1 {
				want = scoped
			}
			if a := f.ask("all", one); a.status != want {
				t.Errorf("%s: token %d: got %v, want %d", when, n, a, want)
			}
		}
	}
	asked := func(when string, want int) {
		t.Helper()
		if n := i.Count("/introspect"); n != want {
			t.Errorf("%s: the provider was asked %d times, want %d", when, n, want)
		}
	}
	change := func(from, to string) {
		t.Helper()
		next := strings.Replace(f.config, from, to, 1)
		if next == f.config {
			t.Fatalf("the configuration has no %s", from)
		}
		if err := f.Reload(next); err != nil {
			t.Fatal(err)
		}
		f.config = next
	}
	sweep("at first", 200)
	asked("at first", 6)
	change("name: all", "name: everything")
	sweep("another name", 200)
	asked("another name", 6)
	change("scopes: read", "scopes: write")
	sweep("another scope", 403)
	asked("another scope", 6)
	change("scopes: write", "consumer_claim: client_id")
	sweep("a consumer", 200)
	asked("a consumer", 6)
	change("id: acme", "id: bob")
	for _, one := range tokens {
		f.refused("a consumer that is gone", "all", one)
	}
	asked("a consumer that is gone", 6)
	if err := f.Reload(strings.Replace(f.config, "routes:", "rouets:", 1)); err == nil {
		t.Error("a mistake is in force")
	}
	change("id: bob", "id: acme")
	sweep("the consumer is back", 200)
	asked("the consumer is back", 6)
	change("consumer_claim: client_id", "consumer_claim: client_id, ttl: 30s")
	sweep("another ttl", 200)
	asked("another ttl", 12)
}
