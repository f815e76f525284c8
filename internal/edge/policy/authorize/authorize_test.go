package authorize

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policytest"
)

func world(t testing.TB) *policytest.World {
	t.Helper()
	b := consumer.NewBuilder()
	for _, id := range []string{"acme", "other"} {
		if err := b.Consumer(consumer.Consumer{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	w := policytest.New(t)
	w.Consumers = b.Build()
	return w
}

var acme = &consumer.Consumer{ID: "acme", Name: "Acme Ltd", Plan: &consumer.Plan{Name: "gold"}, Groups: []string{"partners", "staff"}, Tags: []string{"eu"}}

// callers by name; nobody is the zero Caller.
func callers(t testing.TB) map[string]exchange.Caller {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(`{"role":"admin","level":3,"verified":true,"groups":["a","b"],"address":{"country":"NO"},"https://x.example/r":"1"}`))
	d.UseNumber()
	var claims map[string]any
	if err := d.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	full := exchange.Caller{Consumer: acme, Method: "jwt", Subject: "s1", Issuer: "https://id.example.com", Client: "web",
		Scopes: []string{"orders:read", "orders:write"}, ScopeList: "orders:read orders:write", Claims: claims}
	stranger := full
	stranger.Consumer = nil
	key := exchange.Caller{Consumer: acme, Method: "api_key"}
	return map[string]exchange.Caller{"nobody": {}, "anonymous": {Consumer: acme}, "full": full, "stranger": stranger, "key": key}
}

const request = "POST /orders/7?page=2 HTTP/1.1\nHost: api.example.com\nX-Role: admin\nCookie: a=1\nAccept: a\naccept: b\nCookie: b=2\n\n"

// ask takes a request of a caller through a policy with these options.
func ask(t testing.TB, options, caller string, before ...string) *exchange.Exchange {
	t.Helper()
	r := world(t).Policy(Kind, options)
	x := r.Request(request)
	x.Caller = callers(t)[caller]
	x.Challenges = append(x.Challenges, before...)
	r.Chain.Request(x)
	return x
}

func TestAuthorize(t *testing.T) {
	f := func(options, caller, want string) {
		t.Helper()
		x := ask(t, options, caller)
		if got := policytest.Verdict(x, "authorize"); got != want {
			t.Errorf("%s of %s: %q, want %q", options, caller, got, want)
		}
		refused := want != "" && !strings.HasPrefix(want, "dry_run")
		if refused != (x.Fault != nil) || refused && x.Fault.Kind != fault.Forbidden {
			t.Errorf("%s of %s: fault %v", options, caller, x.Fault)
		}
		known := x.Caller.Method != ""
		if (x.Signals&exchange.Forbidden != 0) != (refused && known) {
			t.Errorf("%s of %s: signals %b", options, caller, x.Signals)
		}
	}
	f(`scopes: [orders:read]`, "full", "")
	f(`scopes: [orders:read, orders:write]`, "full", "")
	f(`scopes: [orders:read, orders:delete]`, "full", "scope")
	f(`scopes: [orders:rea]`, "full", "scope")
	f(`scopes: [orders:read]`, "key", "scope")
	f(`scopes: [orders:read]`, "nobody", "scope")
	f(`any_scope: [orders:delete, orders:write]`, "full", "")
	f(`any_scope: [orders:delete]`, "full", "scope")
	f(`{scopes: [orders:read], any_scope: [orders:delete]}`, "full", "scope")

	f(`groups: [staff]`, "full", "")
	f(`groups: [x, partners]`, "full", "")
	f(`groups: [x]`, "full", "group")
	f(`groups: [staff]`, "stranger", "group")
	f(`groups: [staff]`, "nobody", "group")
	f(`groups: [staff]`, "anonymous", "")

	f(`consumers: [other, acme]`, "full", "")
	f(`consumers: [other]`, "full", "consumer")
	f(`consumers: [acme]`, "stranger", "consumer")
	f(`consumers: [acme]`, "nobody", "consumer")

	f(`claims: {role: admin}`, "full", "")
	f(`claims: {role: admin}`, "stranger", "")
	f(`claims: {role: [root, admin], address.country: "NO", groups: b, level: "3", verified: "true", "https://x.example/r": "1"}`, "full", "")
	f(`claims: {role: root}`, "full", "claim")
	f(`claims: {role: Admin}`, "full", "claim")
	f(`claims: {role: admin, groups: c}`, "full", "claim")
	f(`claims: {missing: ""}`, "full", "claim")
	f(`claims: {address: "NO"}`, "full", "claim")
	f(`claims: {role: admin}`, "key", "claim")
	f(`claims: {role: admin}`, "nobody", "claim")

	f(`condition: request.method == "POST" && request.path == "/orders/7" && request.host == "api.example.com" && request.scheme == "http"`, "nobody", "")
	f(`condition: request.query_params["page"] == "2" && ip_in(client.ip, "192.0.2.0/24")`, "nobody", "")
	f(`condition: request.headers["x-role"] == "admin" && request.headers["accept"] == "a, b" && request.headers.cookie == "a=1; b=2"`, "nobody", "")
	f(`condition: request.headers.exists(n, n == "accept") && size(request.headers) == 4`, "nobody", "")
	f(`condition: consumer.id == "acme" && consumer.name == "Acme Ltd" && consumer.plan == "gold" && "staff" in consumer.groups && "eu" in consumer.tags`, "full", "")
	f(`condition: auth.method == "jwt" && auth.subject == "s1" && auth.issuer == "https://id.example.com" && auth.client == "web" && "orders:read" in auth.scopes`, "full", "")
	f(`condition: auth.claims.level > 2 && has(auth.claims.address.country)`, "full", "")
	f(`condition: consumer.plan == "" && consumer.tags == [] && auth.method == ""`, "nobody", "")
	f(`condition: request.time > timestamp("2026-01-01T00:00:00Z")`, "nobody", "")
	f(`condition: auth.claims.level > 3`, "full", "condition")
	f(`condition: auth.claims.other != "x"`, "full", "error")
	f(`condition: '!(auth.claims.role > 3)'`, "full", "error")
	f("condition: |\n  auth.claims.level > 2 &&\n  // in Norway\n  auth.claims.address.country == \"NO\"\n", "full", "")
	f(`{groups: [staff], condition: request.method == "GET"}`, "full", "condition")
	f(`{groups: [x], condition: auth.claims.other == 1}`, "full", "group")

	f(`{groups: [x], dry_run: true}`, "full", "dry_run_group")
	f(`{scopes: [x], dry_run: true}`, "full", "dry_run_scope")
	f(`{claims: {a: b}, dry_run: true}`, "full", "dry_run_claim")
	f(`{consumers: [other], dry_run: true}`, "nobody", "dry_run_consumer")
	f(`{condition: 'false', dry_run: true}`, "full", "dry_run_condition")
	f(`{condition: auth.claims.other == 1, dry_run: true}`, "full", "dry_run_error")
	f(`{groups: [staff], dry_run: true}`, "full", "")
}

// Who is refused is told what would help, and nothing else.
func TestChallenge(t *testing.T) {
	f := func(options, caller, want string, before ...string) {
		t.Helper()
		x := ask(t, options, caller, before...)
		if x.Fault == nil {
			t.Fatalf("%s of %s: not refused", options, caller)
		}
		if got := fmt.Sprint(x.Fault.Kind.Status, " ", strings.Join(x.Challenges, "; ")); got != want {
			t.Errorf("%s of %s: %s, want %s", options, caller, got, want)
		}
		if x.Fault.Detail != "" {
			t.Errorf("%s of %s: the client is told %q", options, caller, x.Fault.Detail)
		}
	}
	f(`scopes: [a, b]`, "full", `403 Bearer error="insufficient_scope", scope="a b"`)
	f(`any_scope: [a, b]`, "full", `403 Bearer error="insufficient_scope", scope="a"`)
	f(`{scopes: [b], any_scope: [a, b]}`, "full", `403 Bearer error="insufficient_scope", scope="b"`)
	f(`scopes: [a]`, "key", `403 `)
	f(`groups: [x]`, "full", `403 `)
	f(`groups: [x]`, "anonymous", `403 `, `Basic realm="x"`)
	f(`groups: [x]`, "nobody", `403 `)
	f(`condition: auth.claims.other == 1`, "full", `403 `)
}

// The operator is told why a condition could not be judged, and not what it met.
func TestCause(t *testing.T) {
	x := ask(t, `condition: int(auth.claims.role) == 1`, "full")
	if got := x.Fault.Error(); got != "forbidden: the condition met a value that it cannot judge" {
		t.Error(got)
	}
	x = ask(t, `condition: auth.claims.other == 1`, "full")
	if got := x.Fault.Error(); !strings.Contains(got, "test it with has() before") || strings.Contains(got, "other") {
		t.Error(got)
	}
}

func TestRefused(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		if got := world(t).Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	f(`{}`, "authorize asks for nothing, so everyone may")
	f(`dry_run: true`, "authorize asks for nothing")
	f(`scopes: []`, "scopes")
	f(`scopes: ["a b"]`, `scopes[0]: found "a b"; allowed: a scope of`)
	f(`scopes: ['a"b']`, `allowed: a scope of`)
	f(`groups: ['']`, "groups: a group without a name")
	f(`consumers: [acme, nobody]`, `test.yaml:1:12: consumers: there is no consumer "nobody"`)
	f(`claims: {}`, "claims")
	f(`claims: {"": a}`, "claims: a claim's path has 1 to 256 bytes; found 0")
	f(`claims: {a: []}`, `"a" has 0 values`)
	f(`claims: {a: true}`, `claims.a: found true; allowed: a string; put it in quotes`)
	f(`claims: {a: {b: c}}`, `claims.a`)
	f(`condition: ""`, "authorize asks for nothing")
	// A mistake in a condition is told at its place in the file, when the file has the expression as it is.
	f(`condition: request.metod == "GET"`, `test.yaml:1:12: condition: there is no "request.metod"; did you mean request.method?`)
	f(`condition: true && request.method == 1 # what`, `test.yaml:1:35: condition: found no matching overload`)
	f(`{"groups": [é], condition: 'true && request.method == 1'}`, `test.yaml:1:52: condition: found no matching overload`)
	f(`condition: "true && request.method == 1"`, `test.yaml:1:36: condition: found no matching overload`)
	f("condition: |\n  true &&\n    request.method == 1\n", `test.yaml:3:20: condition: found no matching overload`)
	f("groups: [a]\ncondition: |-\n  request.method == 1\n", `test.yaml:3:18: condition: found no matching overload`)
	f("condition: |2\n     'é' == request.method && request.method == 1\n", `test.yaml:2:46: condition: found no matching overload`)
	f(`condition: "true && \u0072equest.method == 1"`, `test.yaml:1:12: condition: at its character 24: found no matching overload`)
	f("condition: >\n  true &&\n  request.method == 1\n", `test.yaml:1:12: condition: at its character 24: found no matching overload`)
	f("condition: true &&\n  request.method == 1\n", `test.yaml:1:12: condition: at its character 24: found no matching overload`)
	f("condition: "+strings.Repeat("true && ", 30)+"request.method == 1", `test.yaml:1:12: condition: at its character 256: found no matching overload`)
	f(`condition: request.${X} == 1`, `X`)
	f(`condition: request.method`, "has to be true or false")
	f(`conditon: a`, `did you mean "condition"?`)
}

func TestAllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("the race detector allocates")
	}
	f := func(most float64, options string) {
		t.Helper()
		r := world(t).Policy(Kind, options)
		x := r.Request(request)
		x.Caller = callers(t)["full"]
		n := testing.AllocsPerRun(200, func() { r.Chain.Request(x) })
		if x.Fault != nil || n > most {
			t.Errorf("%s: %v allocations, want %v at most; fault %v", options, n, most, x.Fault)
		}
	}
	f(0, `{scopes: [orders:read, orders:write], any_scope: [x, orders:read], groups: [x, staff], consumers: [acme], claims: {role: admin, address.country: [SE, "NO"], groups: b, level: "3"}}`)
	f(8, `condition: auth.claims.role == "admin"`)
}

func BenchmarkAuthorize(b *testing.B) {
	for name, options := range map[string]string{
		"scopes":    `{scopes: [orders:read, orders:write], groups: [staff]}`,
		"claims":    `claims: {role: admin, address.country: "NO"}`,
		"condition": `condition: request.method == "POST" && auth.claims.role == "admin"`,
		"address":   `condition: ip_in(client.ip, "192.0.2.0/24")`,
	} {
		b.Run(name, func(b *testing.B) {
			r := world(b).Policy(Kind, options)
			x := r.Request(request)
			x.Caller = callers(b)["full"]
			x.Client = netip.MustParseAddr("192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				if r.Chain.Request(x); x.Fault != nil {
					b.Fatal(x.Fault)
				}
			}
		})
	}
}
