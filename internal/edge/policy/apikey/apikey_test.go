package apikey

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policytest"
)

// foreign is a key that another program made.
const foreign = "another-gateway.0123456789"

// world has the consumer acme with four keys; the one that is given is made by us.
func world(t testing.TB) (w *policytest.World, key string) {
	t.Helper()
	w = policytest.New(t)
	b := consumer.NewBuilder()
	key, id, hash, err := consumer.NewKey(rand.Reader)
	check(t, err)
	check(t, b.Consumer(consumer.Consumer{ID: "acme", Name: "Acme Corp", Groups: []string{"eu"}, Plan: &consumer.Plan{Name: "gold"}}))
	parsed, err := consumer.ParseHash(hash)
	check(t, err)
	now := time.Now().Unix()
	check(t, b.Key("acme", consumer.KeySpec{Hash: parsed, Terms: consumer.Terms{ID: id, Scopes: []string{"write", "read"}, Expires: now + 3600}}))
	check(t, b.Key("acme", consumer.KeySpec{Hash: consumer.Hash(foreign), Terms: consumer.Terms{ID: "foreign"}}))
	check(t, b.Key("acme", consumer.KeySpec{Hash: consumer.Hash("a b&c=d+e"), Terms: consumer.Terms{ID: "odd"}}))
	check(t, b.Key("acme", consumer.KeySpec{Hash: consumer.Hash("over-since-a-second-ago"), Terms: consumer.Terms{ID: "over", Expires: now - 1}}))
	w.Consumers = b.Build()
	return w, key
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// outcome is what became of a request, and what of it goes on: the verdicts, the status, path and query, and the fields that may hold a key.
func outcome(x *exchange.Exchange) string {
	var b strings.Builder
	if x.Fault != nil {
		fmt.Fprintf(&b, "%d ", x.Fault.Kind.Status)
	} else {
		fmt.Fprintf(&b, "%s ", x.Caller.Credential)
	}
	b.WriteString(x.Request.Path)
	if x.Request.Query != "" {
		b.WriteString("?" + x.Request.Query)
	}
	for _, f := range x.Request.Header.All() {
		if !f.Known.Ours() && f.Known != exchange.Host {
			fmt.Fprintf(&b, " %s: %s", f.Name, f.Value)
		}
	}
	if word := policytest.Verdict(x, "api_key"); word != "accepted" {
		fmt.Fprintf(&b, " (%s)", word)
	}
	return b.String()
}

func TestAPIKey(t *testing.T) {
	w, key := world(t)
	id := consumer.KeyID(key)
	mistyped := key[:20] + string(key[21]) + string(key[20]) + key[22:]
	if key[20] == key[21] {
		mistyped = key[:64]
	}
	other, _, _, err := consumer.NewKey(rand.Reader)
	check(t, err)
	f := func(options, target string, lines []string, want string) {
		t.Helper()
		names := strings.NewReplacer("KEY", key, "TYPO", mistyped, "OTHER", other, "FOREIGN", foreign, "OVER", "over-since-a-second-ago", "ID", id)
		x := w.Policy(Kind, options).Ask(names.Replace("GET " + target + " HTTP/1.1\nHost: a\n" + strings.Join(lines, "\n") + "\n\n"))
		if got := outcome(x); got != names.Replace(want) {
			t.Errorf("%s %s %q:\n%s\nwant\n%s", options, target, lines, got, names.Replace(want))
		}
		if x.Fault != nil && x.Caller.Consumer != nil {
			t.Errorf("%s %s %q: refused, and called by %s", options, target, lines, x.Caller.Consumer.ID)
		}
	}
	f("{}", "/", []string{"X-Api-Key: KEY"}, "ID /")
	f("{}", "/", []string{"Accept: a", "x-aPI-kEy: FOREIGN", "Via: b"}, "foreign / Accept: a Via: b")
	f("{forward: true}", "/?a=b", []string{"X-API-Key: FOREIGN"}, "foreign /?a=b X-API-Key: FOREIGN")
	f("{}", "/", nil, "401 / ()")
	f("{}", "/", []string{"Authorization: ApiKey KEY", "Cookie: X-Api-Key=KEY"}, "401 / Authorization: ApiKey KEY Cookie: X-Api-Key=KEY ()")
	f("{}", "/?X-Api-Key=a", nil, "401 /?X-Api-Key=a ()")
	f("{}", "/", []string{"X-Api-Key: OTHER"}, "401 / X-Api-Key: OTHER (unknown)")
	f("{}", "/", []string{"X-Api-Key: FOREIGn"}, "401 / X-Api-Key: FOREIGn (unknown)")
	f("{}", "/", []string{"X-Api-Key: TYPO"}, "401 / X-Api-Key: TYPO (malformed)")
	f("{}", "/", []string{"X-Api-Key: OVER"}, "401 / X-Api-Key: OVER (expired)")
	f("{}", "/", []string{"X-Api-Key:"}, "401 / X-Api-Key:  (malformed)")
	f("{}", "/", []string{"X-Api-Key: KEY, KEY"}, "401 / X-Api-Key: KEY, KEY (malformed)")
	f("{}", "/", []string{"X-Api-Key: a\x00b"}, "401 / X-Api-Key: a\x00b (malformed)")
	f("{}", "/", []string{"X-Api-Key: " + strings.Repeat("a", 512)}, "401 / X-Api-Key: "+strings.Repeat("a", 512)+" (unknown)")
	f("{}", "/", []string{"X-Api-Key: " + strings.Repeat("a", 513)}, "401 / X-Api-Key: "+strings.Repeat("a", 513)+" (malformed)")
	// Two are one too many, also when they are the same.
	f("{}", "/", []string{"X-Api-Key: KEY", "x-api-key: KEY"}, "400 / X-Api-Key: KEY x-api-key: KEY (twice)")
	const all = "{query: key, cookie: k}"
	f(all, "/?key=FOREIGN&a=b", []string{"X-Api-Key: FOREIGN"}, "400 /?a=b X-Api-Key: FOREIGN (twice)")
	f(all, "/?key=FOREIGN&key=KEY", nil, "400 / (twice)")
	f(all, "/", []string{"Cookie: a=b; k=KEY", "Cookie: k=KEY"}, "400 / Cookie: a=b (twice)")
	f(all, "/?key=KEY", []string{"Cookie: k=KEY; c=d"}, "400 / Cookie: c=d Cookie: k=KEY (twice)")
	// Authorization, and what else may stand in it.
	const auth = "{header: authorization, scheme: ApiKey}"
	f(auth, "/", []string{"Authorization: apikey  FOREIGN"}, "foreign /")
	f(auth, "/", []string{"Authorization: Bearer FOREIGN"}, "401 / Authorization: Bearer FOREIGN ()")
	f(auth, "/", []string{"Authorization: ApiKey"}, "401 / Authorization: ApiKey (malformed)")
	f(auth, "/", []string{"Authorization: ApiKeyFOREIGN"}, "401 / Authorization: ApiKeyFOREIGN ()")
	f(auth, "/", []string{"X-Api-Key: FOREIGN"}, "401 / X-Api-Key: FOREIGN ()")
	f("{scheme: Key}", "/", []string{"X-Api-Key: key FOREIGN"}, "foreign /")
	// The query is cut in every case, wherever the key stands and however its name is written.
	f(all, "/p?key=KEY", nil, "ID /p")
	f(all, "/p?key=KEY&a=b", nil, "ID /p?a=b")
	f(all, "/p?a=b&key=KEY", nil, "ID /p?a=b")
	f(all, "/p?a=b&key=KEY&c&d=key", nil, "ID /p?a=b&c&d=key")
	f(all, "/p?&key=KEY&", nil, "ID /p?&")
	f(all, "/p?%6bey=KEY&c=d", nil, "ID /p?c=d")
	f(all, "/p?a=b&%6b%65%79=OTHER&c=d", nil, "401 /p?a=b&c=d (unknown)")
	f(all, "/p?key=OTHER", nil, "401 /p (unknown)")
	f(all, "/p?key", nil, "401 /p (malformed)")
	f(all, "/p?key=a+b%26c%3Dd%2be", nil, "401 /p (malformed)") // a key has no spaces, whoever made it
	f(all, "/p?key=another-gateway%2E0123456789", nil, "foreign /p")
	f(all, "/p?Key=KEY&keys=KEY&ke=KEY", nil, "401 /p?Key=KEY&keys=KEY&ke=KEY ()")
	f("{query: key, forward: true}", "/p?a&key=FOREIGN&b", nil, "foreign /p?a&b")
	// Cookies.
	f(all, "/", []string{"Cookie: k=KEY"}, "ID /")
	f(all, "/", []string{`Cookie: a=b; k="FOREIGN"; c=d`, "Cookie: e=f"}, "foreign / Cookie: a=b; c=d Cookie: e=f")
	f(all, "/", []string{"Cookie: k=FOREIGN", "Accept: a", "Cookie: e=f"}, "foreign / Accept: a Cookie: e=f")
	f(all, "/", []string{"Cookie: a=b; k=OTHER"}, "401 / Cookie: a=b Cookie: k=OTHER (unknown)")
	f(all, "/", []string{"Cookie: K=KEY; kk=KEY"}, "401 / Cookie: K=KEY; kk=KEY ()")
	f("{cookie: k, forward: true}", "/", []string{"Cookie: a=b; k=FOREIGN"}, "foreign / Cookie: a=b; k=FOREIGN")
}

func TestCaller(t *testing.T) {
	w, key := world(t)
	r := w.Policy(Kind, "{}")
	x := r.Ask("GET / HTTP/1.1\nHost: a\nX-Api-Key: " + key + "\n\n")
	c := &x.Caller
	if c.Consumer != w.Consumers.Consumer("acme") || c.Credential != consumer.KeyID(key) || c.Method != "api_key" || c.ScopeList != "read write" || !c.Has("read") || c.Subject != "" {
		t.Errorf("%+v", c)
	}
	for known, want := range map[exchange.Known]string{exchange.XConsumerID: "acme", exchange.XConsumerGroups: "eu", exchange.XConsumerPlan: "gold", exchange.XAuthMethod: "api_key", exchange.XAuthScope: "read write"} {
		if got, _ := x.Request.Header.Get(known); got != want {
			t.Errorf("%s: %q, want %q", known, got, want)
		}
	}
	for l, c := range w.Consumers.Credentials() {
		if used := l.LastUsed != 0; used != (c.ID == consumer.KeyID(key)) {
			t.Errorf("%s: used %v", c.ID, used)
		}
	}
}

func TestChallenge(t *testing.T) {
	w, _ := world(t)
	f := func(options, lines, want string, signals exchange.Signal) {
		t.Helper()
		x := w.Policy(Kind, options).Ask("GET / HTTP/1.1\nHost: a\n" + lines + "\n")
		if x.Fault == nil || x.Fault.Kind != fault.NotAuthenticated || strings.Join(x.Challenges, "|") != want || x.Signals != signals {
			t.Errorf("%s %q: %v, %q, signals %d", options, lines, x.Fault, x.Challenges, x.Signals)
		}
	}
	f("{}", "", `ApiKey realm="api"`, 0)
	f("{realm: Acme's orders}", "X-Api-Key: a\n", `ApiKey realm="Acme's orders"`, exchange.AuthFailed)
	f("{scheme: Key}", "", `Key realm="api"`, 0)
	f("{header: Authorization, scheme: bearer}", "", `bearer realm="api"`, 0)
	f("{header: Authorization, scheme: bearer}", "Authorization: Bearer a\n", `bearer realm="api", error="invalid_token"`, exchange.AuthFailed)
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(options, want string) {
		t.Helper()
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	f("{header: ''}", "no place is left")
	f("{header: 'X Key'}", "is not a field name")
	f("{header: Cookie}", "Cookie has a meaning of its own")
	f("{header: X-Consumer-Id}", "meaning of its own")
	f("{header: Authorization}", "add the word in front of it")
	f("{scheme: 'a b'}", "is not a word")
	f("{header: '', query: a, scheme: b}", "header is empty")
	f("{query: 'a b'}", "not a name for a parameter")
	f("{query: 'é'}", "not a name for a parameter")
	f("{cookie: 'a;b'}", "not a name for a cookie")
	f(`{realm: 'a"b'}`, "cannot be quoted")
	f("{realm: 'é'}", "cannot be quoted")
	f("{realm: ''}", "realm")
	f("{hedaer: a}", "hedaer")
	w.Policy(Kind, "{header: '', cookie: a}")
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	w, key := world(t)
	f := func(options, request string) {
		t.Helper()
		r := w.Policy(Kind, options)
		x := r.Request(request)
		fresh := x.Request
		fields := append([]exchange.Field(nil), x.Request.Header.All()...)
		if n := testing.AllocsPerRun(100, func() {
			x.Request.Target, x.Request.Query = fresh.Target, fresh.Query
			x.Request.Header.Reset()
			for _, f := range fields {
				x.Request.Header.Append(f.Known, f.Name, f.Value)
			}
			x.Verdicts = x.Verdicts[:0]
			r.Chain.Request(x)
			if x.Fault != nil {
				t.Fatal(x.Fault)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", options, n)
		}
	}
	f("{}", "GET /?a=b HTTP/1.1\nHost: a\nAccept: a\nX-Api-Key: "+key+"\nCookie: a=b\n\n")
	f("{header: Authorization, scheme: ApiKey}", "GET / HTTP/1.1\nHost: a\nAuthorization: ApiKey "+key+"\n\n")
	f("{query: key}", "GET /?a=b&key="+key+" HTTP/1.1\nHost: a\n\n")
	f("{cookie: k}", "GET / HTTP/1.1\nHost: a\nCookie: k="+key+"; a=b\n\n")
}

func BenchmarkAccepted(b *testing.B) {
	w, key := world(b)
	r := w.Policy(Kind, "{}")
	x := r.Request("GET / HTTP/1.1\nHost: a\nAccept: a\nUser-Agent: b\nX-Api-Key: " + key + "\n\n")
	fields := append([]exchange.Field(nil), x.Request.Header.All()...)
	b.ReportAllocs()
	for b.Loop() {
		x.Request.Header.Reset()
		for _, f := range fields {
			x.Request.Header.Append(f.Known, f.Name, f.Value)
		}
		x.Verdicts = x.Verdicts[:0]
		r.Chain.Request(x)
	}
	if x.Fault != nil {
		b.Fatal(x.Fault)
	}
}
