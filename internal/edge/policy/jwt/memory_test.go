package jwt

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/keyset"
)

// remembers is how many tokens are remembered, once the cache has settled.
func remembers(w *policytest.World) int {
	n := 0
	w.State.Each(func(r policy.Reporter) {
		if m, ok := r.(*memory); ok {
			m.cache.CleanUp()
			n += m.cache.EstimatedSize()
		}
	})
	return n
}

// A remembered token ends when it would have ended, and is not looked for afterwards.
func TestRememberedUntilExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := policytest.New(t)
		r := w.Policy(Kind, ours)
		token := sign(t, "", []byte(secret), claims(``)) // for 300 s
		f := func(want string, entries int) {
			t.Helper()
			if got := outcome(r.Ask(get(token))); got != want || remembers(w) != entries {
				t.Errorf("%s with %d remembered, want %s with %d", got, remembers(w), want, entries)
			}
		}
		f("ok accepted", 1)
		time.Sleep(359*time.Second + 999*time.Millisecond) // the skew is 60 s
		f("ok accepted", 1)
		time.Sleep(time.Millisecond)
		if got := outcome(r.Ask(get(token))); got != "401 expired ["+invalid+"]" {
			t.Error(got)
		}
		time.Sleep(time.Minute)
		if n := remembers(w); n != 0 {
			t.Errorf("%d are remembered for nothing", n)
		}
	})
}

// What is remembered is looked at, whatever the cache thinks of its age.
func TestRememberedIsJudgedByItsDates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := policytest.New(t)
		r := w.Policy(Kind, ours)
		token := sign(t, "", []byte(secret), `{"iss":"https://id.example","aud":"orders","exp":1}`)
		r.Ask(get(sign(t, "", []byte(secret), claims(``))))
		w.State.Each(func(r policy.Reporter) {
			c := r.(*memory).cache
			for id, good := range c.All() {
				over := *good
				over.until = time.Now()
				c.Set(tokenName{id.owner, sha256.Sum256([]byte(token))}, &over)
			}
		})
		if got := outcome(r.Ask(get(token))); got != "401 expired ["+invalid+"]" {
			t.Error(got)
		}
	})
}

// One that nobody shows again does not stay either.
func TestForgottenUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := policytest.New(t)
		r := w.Policy(Kind, ours)
		r.Ask(get(sign(t, "", []byte(secret), claims(``))))
		if remembers(w) != 1 {
			t.Fatal("not remembered")
		}
		time.Sleep(10 * time.Minute)
		if n := remembers(w); n != 0 {
			t.Errorf("%d are remembered", n)
		}
	})
}

// A remembered token that the clock, set back, makes one of the future is not good.
func TestRememberedNotBefore(t *testing.T) {
	now := time.Now()
	r := remembered{from: now, until: now.Add(time.Hour)}
	for at, want := range map[time.Duration]bool{-1: false, 0: true, time.Hour - 1: true, time.Hour: false} {
		if r.goodAt(now.Add(at)) != want {
			t.Errorf("at %s: %t", at, !want)
		}
	}
}

// Refused tokens take no room, whatever is shown.
func TestFloodTakesNoRoom(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, ours)
	for i := range 500 {
		r.Ask(get(sign(t, fmt.Sprint(i), []byte(secret+"!"), claims(``))))
		r.Ask(get(base64.RawURLEncoding.EncodeToString(fmt.Append(nil, i)) + ".a.a"))
	}
	if n := remembers(w); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}

// The memory keeps to its size.
func TestMemoryIsBounded(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, ours+"cache: 1MiB\n")
	for i := range 2000 {
		if x := r.Ask(get(sign(t, "", []byte(secret), claims(fmt.Sprintf(`"jti":"%d"`, i))))); x.Fault != nil {
			t.Fatal(outcome(x))
		}
	}
	w.State.Each(func(r policy.Reporter) {
		r.Report(func(f policy.Figure) {
			if f.Name == "jwt_remembered_bytes" {
				r.(*memory).cache.CleanUp()
				if size := r.(*memory).cache.WeightedSize(); size > 1<<20 || size < 1<<19 {
					t.Errorf("%d bytes", size)
				}
			}
		})
	})
	if n := remembers(w); n < 300 || n > 1000 {
		t.Errorf("%d tokens in a MiB", n)
	}
	// Without memory.
	w = policytest.New(t)
	r = w.Policy(Kind, ours+"cache: 0\n")
	token := sign(t, "", []byte(secret), claims(``))
	for range 3 {
		if got := outcome(r.Ask(get(token))); got != "ok accepted" {
			t.Error(got)
		}
	}
	if remembers(w) != 0 {
		t.Error("remembered without a memory")
	}
}

// What is remembered outlives a reload, but not a change of what decided; what one policy remembers is not another's.
func TestReload(t *testing.T) {
	w := policytest.New(t)
	token := sign(t, "", []byte(secret), claims(`"scope":"a"`))
	good := w.Policy(Kind, ours)
	good.Ask(get(token))
	var before *memory
	w.State.Each(func(r policy.Reporter) { before = r.(*memory) })
	if got := outcome(w.Policy(Kind, ours).Ask(get(token))); got != "ok accepted" || remembers(w) != 1 {
		t.Errorf("%s, %d", got, remembers(w))
	}
	w.State.Each(func(r policy.Reporter) {
		if r != policy.Reporter(before) {
			t.Error("a reload makes a new memory")
		}
	})
	for options, want := range map[string]string{
		strings.Replace(ours, "orders", "other", 1):                "401 audience [" + invalid + "]",
		strings.Replace(ours, "id.example", "other.example", 1):    "401 issuer [" + invalid + "]",
		strings.Replace(ours, secret, "another secret "+secret, 1): "401 signature [" + invalid + "]",
		ours + "require: email\n":                                  "401 claim [" + invalid + "]",
		ours + "claims: {scope: b}\n":                              "401 claim [" + invalid + "]",
		ours + "max_lifetime: 1m\n":                                "401 lifetime [" + invalid + "]",
		ours + "scopes: b\n":                                       `403 insufficient_scope [Bearer realm="api", error="insufficient_scope", scope="b"]`,
		ours + "types: at+jwt\n":                                   "401 type [" + invalid + "]",
		ours + "claims_to_headers: {scope: X-Scope}\n":             "ok accepted",
	} {
		x := w.Policy(Kind, options).Ask(get(token))
		if got := outcome(x); got != want {
			t.Errorf("%q: %s, want %s", options, got, want)
		}
		if strings.Contains(options, "X-Scope") && !strings.Contains(fields(x), "X-Scope: a\n") {
			t.Errorf("what was remembered for others: %s", fields(x))
		}
	}
}

// issuer is an identity provider whose answers take a while, and which changes its keys.
type issuer struct {
	t       *testing.T
	mu      sync.Mutex
	oldest  int // key in the set
	newest  int // key in the set, which signs
	down    bool
	takes   time.Duration // to answer; 50 ms when 0
	fetches int
}

func (i *issuer) Do(ctx context.Context, _ fetch.Request) (fetch.Response, error) {
	i.mu.Lock()
	i.fetches++
	takes := i.takes
	i.mu.Unlock()
	time.Sleep(max(takes, 50*time.Millisecond))
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down {
		return fetch.Response{}, errors.New("down")
	}
	var pairs []any
	for n := i.oldest; n <= i.newest; n++ {
		pairs = append(pairs, fmt.Sprint("key", n), edwards(n))
	}
	return fetch.Response{Status: 200, Body: []byte(set(i.t, pairs...))}, nil
}

// change changes the issuer.
func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// token is one that the issuer signs now.
func (i *issuer) token(more string) string {
	i.mu.Lock()
	n := i.newest
	i.mu.Unlock()
	return sign(i.t, fmt.Sprint("key", n), edwards(n), claims(more))
}

// binder binds to the keys of an issuer that is none.
type binder struct {
	*terms
	issuer *issuer
}

func (b binder) Bind(w *policy.World) (any, error) {
	at, err := url.Parse("https://id.example/jwks")
	if err != nil {
		return nil, err
	}
	settings := keyset.Settings{URL: at, Client: b.issuer}
	client, err := fetch.New(fetch.Settings{})
	if err != nil {
		return nil, err
	}
	return b.terms.bind(w, b.hold(w, settings.Identity(), settings, client)), nil
}

// run puts the policy in force with the keys of the issuer.
func (i *issuer) run(w *policytest.World) *policytest.Running { return i.runWith(w, "") }

// runWith does it with more options.
func (i *issuer) runWith(w *policytest.World, more string) *policytest.Running {
	return w.Policy(policy.Kind{Name: name, Options: Options{}, Build: func(o policy.Options) (any, error) {
		built, err := build(o)
		if err != nil {
			return nil, err
		}
		return binder{built.(unbound).terms, i}, nil
	}}, "{issuer: https://id.example, audience: orders, jwks: https://id.example/jwks"+more+"}")
}

// An issuer that begins to sign with a key nobody has seen, again and again, while requests come: not one of them is refused. What was
// signed before stays good while its key is in the set.
func TestRotationUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := policytest.New(t), &issuer{t: t}
		r := i.run(w)
		var asked atomic.Int64
		var callers sync.WaitGroup
		end := time.Now().Add(65 * time.Second)
		for c := range 8 {
			callers.Go(func() {
				r := *r
				r.Conn = &exchange.Conn{Peer: r.Conn.Peer} // a connection is of one caller
				kept := ""
				for n := 0; time.Now().Before(end); n++ {
					token := i.token(fmt.Sprintf(`"jti":"%d-%d"`, c, n))
					if n%3 == 1 && kept != "" {
						token = kept
					}
					if x := r.Ask(get(token)); x.Fault != nil {
						t.Errorf("caller %d, request %d: %s", c, n, outcome(x))
						return
					}
					kept = token
					asked.Add(1)
					time.Sleep(150 * time.Millisecond)
				}
			})
		}
		const rotations = 5
		for range rotations {
			time.Sleep(12 * time.Second)
			i.change(func() { i.newest++ })
		}
		callers.Wait()
		if asked.Load() < 3000 {
			t.Errorf("only %d requests", asked.Load())
		}
		if i.fetches != rotations+1 {
			t.Errorf("%d fetches for %d keys", i.fetches, rotations+1)
		}
	})
}

// Random names of keys make the gateway fetch once an interval at most, and good tokens pass all the while.
func TestFloodOfKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := policytest.New(t), &issuer{t: t}
		r := i.run(w)
		good := i.token(``)
		if got := outcome(r.Ask(get(good))); got != "ok accepted" {
			t.Fatal(got)
		}
		n := 0
		for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			for range 5 {
				n++
				if got := outcome(r.Ask(get(sign(t, fmt.Sprint("random", n), edwards(7), claims(``))))); got != "401 unknown_key ["+invalid+"]" {
					t.Fatal(got)
				}
			}
			if got := outcome(r.Ask(get(good))); got != "ok accepted" {
				t.Fatal(got)
			}
		}
		if i.fetches < 2 || i.fetches > 1+7 {
			t.Errorf("%d fetches in a minute for %d names", i.fetches, n)
		}
		if got := remembers(w); got != 1 {
			t.Errorf("%d are remembered", got)
		}
	})
}

// A key that the issuer took out of its set stops, also for tokens that are remembered.
func TestRemovedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := policytest.New(t), &issuer{t: t}
		r := i.run(w)
		old := i.token(``)
		for range 2 {
			if got := outcome(r.Ask(get(old))); got != "ok accepted" {
				t.Fatal(got)
			}
		}
		i.change(func() { i.oldest, i.newest = 1, 1 })
		time.Sleep(20 * time.Second)
		if got := outcome(r.Ask(get(old))); got != "ok accepted" {
			t.Errorf("nobody can know yet: %s", got)
		}
		if got := outcome(r.Ask(get(i.token(``)))); got != "ok accepted" { // has the set fetched
			t.Error(got)
		}
		if got := outcome(r.Ask(get(old))); got != "401 unknown_key ["+invalid+"]" {
			t.Errorf("its key is gone: %s", got)
		}
	})
}

// While no key could be fetched nothing can be judged: the client is told to try again, whatever it shows, and nobody passes. An issuer
// that goes down later changes nothing for as long as keys are trusted.
func TestIssuerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := policytest.New(t), &issuer{t: t, down: true}
		r := i.run(w)
		f := func(token, want string) {
			t.Helper()
			if got := outcome(r.Ask(get(token))); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		f(i.token(``), "503 no_keys []")
		f("abc", "503 no_keys []")
		if x := r.Ask("GET /a HTTP/1.1\n"); x.Fault.Kind.Status != 401 {
			t.Errorf("without a token: %s", outcome(x))
		}
		i.change(func() { i.down = false })
		time.Sleep(5 * time.Minute)
		lasting := strings.Replace(claims(``), `"exp":`, `"old":`, 1)
		lasting = lasting[:len(lasting)-1] + fmt.Sprintf(`,"exp":%d}`, time.Now().Unix()+40*3600)
		token := sign(t, "key0", edwards(0), lasting)
		f(token, "ok accepted")
		i.change(func() { i.down = true })
		time.Sleep(20 * time.Hour)
		f(token, "ok accepted")
		f(i.token(``), "ok accepted")
		time.Sleep(10 * time.Hour)
		f(token, "503 no_keys []") // also one that is remembered: its key may have been taken back
		i.change(func() { i.down = false })
		time.Sleep(time.Hour)
		f(token, "ok accepted")
	})
}

// A reload that only tunes costs no key, while the issuer is up or down, and holds from then on. One that comes during the first fetch
// does not lose it either, nor do requests that wait for it.
func TestTuned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := policytest.New(t), &issuer{t: t, takes: time.Second}
		r := i.run(w)
		var waiting sync.WaitGroup
		for _, r := range []*policytest.Running{r, i.runWith(w, ", refetch: 20s"), r} {
			one := *r
			one.Conn = &exchange.Conn{Peer: r.Conn.Peer}
			waiting.Go(func() {
				if got := outcome(one.Ask(get(i.token(``)))); got != "ok accepted" {
					t.Error(got)
				}
			})
		}
		waiting.Wait()
		if i.fetches != 1 {
			t.Errorf("%d fetches", i.fetches)
		}
		i.change(func() { i.down = true })
		for _, more := range []string{", refetch: 1s", ", max_stale: 1h", ", max_stale: 720h, refetch: 1h", ", skew: 2m"} {
			r = i.runWith(w, more)
			if got := outcome(r.Ask(get(i.token(``)))); got != "ok accepted" {
				t.Errorf("%s: %s", more, got)
			}
		}
		r = i.runWith(w, ", max_stale: 1h")
		time.Sleep(59 * time.Minute)
		if got := outcome(r.Ask(get(i.token(``)))); got != "ok accepted" {
			t.Error(got)
		}
		time.Sleep(2 * time.Minute)
		x := r.Ask(get(i.token(``)))
		if got := outcome(x); got != "503 no_keys []" || x.Fault.RetryAfter == 0 {
			t.Errorf("%s, Retry-After %d: max_stale is not that of the reload", got, x.Fault.RetryAfter)
		}
		// What the revision before asked for is over.
		i.change(func() { i.down = false })
		time.Sleep(10 * time.Minute)
		r = i.runWith(w, ", max_stale: 24h")
		i.change(func() { i.down = true })
		time.Sleep(20 * time.Hour)
		if got := outcome(r.Ask(get(i.token(``)))); got != "ok accepted" {
			t.Error(got)
		}
	})
}

// Keys that are gone from the configuration while requests of the revision before wait for them.
func TestGoneDuringFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := policytest.New(t), &issuer{t: t, takes: time.Second}
		r := i.run(w)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if got := outcome(r.Ask(get(i.token(``)))); got != "ok accepted" {
				t.Error(got)
			}
		})
		synctest.Wait()
		w.Policy(Kind, ours)
		waiting.Wait()
	})
}

// The age of keys that were never fetched is -1.
func TestAge(t *testing.T) {
	w, i := policytest.New(t), &issuer{t: t, down: true}
	i.run(w)
	w.State.Each(func(r policy.Reporter) {
		r.Report(func(f policy.Figure) {
			if f.Name == "jwt_keys_age_seconds" && f.Value != -1 {
				t.Errorf("%g", f.Value)
			}
		})
	})
}

// A request waits for keys for two seconds and no longer, however long the issuer takes.
func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, i := policytest.New(t), &issuer{t: t, takes: 9 * time.Second}
		r := i.run(w)
		f := func(want string, waited time.Duration) {
			t.Helper()
			start := time.Now()
			if got := outcome(r.Ask(get(i.token(``)))); got != want || time.Since(start) != waited {
				t.Errorf("%s after %s, want %s after %s", got, time.Since(start), want, waited)
			}
		}
		f("503 no_keys []", maxWait)
		time.Sleep(20 * time.Second)
		f("ok accepted", 0)
		i.change(func() { i.newest++ })
		f("401 unknown_key ["+invalid+"]", maxWait)
		time.Sleep(20 * time.Second)
		f("ok accepted", 0)
	})
}

// Over real connections: a URL, discovery, an issuer that is not there.
func TestFetched(t *testing.T) {
	var fetches atomic.Int32
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, server.URL, server.URL+"/jwks")
		case "/jwks":
			fetches.Add(1)
			fmt.Fprint(w, set(t, "k", ecKey()))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	w := policytest.New(t)
	token := sign(t, "k", ecKey(), strings.Replace(claims(``), "https://id.example", server.URL, 1))
	for options, want := range map[string]string{
		"jwks: " + server.URL + "/jwks": "ok accepted",
		"discovery: true":               "ok accepted",
		"jwks: " + server.URL + "/none": "503 no_keys []",
	} {
		yaml := "{issuer: '" + server.URL + "', audience: orders, " + options + "}"
		if got := outcome(w.Policy(Kind, yaml).Ask(get(token))); got != want {
			t.Errorf("%s: %s, want %s", options, got, want)
		}
		// The operator is told of an issuer whose keys were never had.
		if all := strings.Join(w.State.Attention(), "|"); all == "" != (want == "ok accepted") || !strings.Contains(all, want[:3]) && all != "" || all != "" && !strings.Contains(all, "the keys of "+server.URL+"/none could not be fetched yet") {
			t.Errorf("%s: attention for %q", options, all)
		}
	}
	// A reload keeps the keys: nothing is fetched again.
	yaml := "{issuer: '" + server.URL + "', audience: orders, jwks: '" + server.URL + "/jwks'}"
	w.Policy(Kind, yaml).Ask(get(token))
	before := fetches.Load()
	if got := outcome(w.Policy(Kind, yaml+"\n").Ask(get(token))); got != "ok accepted" || fetches.Load() != before {
		t.Errorf("%s, %d fetches, %d before", got, fetches.Load(), before)
	}
	names := map[string]bool{}
	w.State.Each(func(r policy.Reporter) { r.Report(func(f policy.Figure) { names[f.Name] = f.Value != 0 }) })
	for _, name := range []string{"jwt_keys", "jwt_keys_age_seconds", "jwt_keys_fetches_total", "jwt_remembered_tokens", "jwt_remembered_bytes"} {
		if !names[name] {
			t.Errorf("the figure %s is missing or 0", name)
		}
	}
}

// The accepting path of a remembered token allocates nothing.
func TestRememberedAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	if n := testing.AllocsPerRun(1000, hot(t)); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// hot is a policy with claims in fields, and a request that shows a remembered token.
func hot(t testing.TB) func() {
	w := policytest.New(t)
	r := w.Policy(Kind, "{issuer: https://id.example, audience: orders, keys: '"+set(t, "k", rsaKey())+"', claims_to_headers: {email: X-Email, sub: X-User}, scopes: [openid]}")
	value := "Bearer " + sign(t, "k", rsaKey(), claims(`"sub":"0b4fbb9b-2c4f-4b52-b9a4-0f6e1d0c6a53","jti":"0e1f3a52-9b7c-4d2e-8c6b-0c9f4c1f9a11","azp":"shop","scope":"openid profile email orders:read",
		"realm_access":{"roles":["offline_access","uma_authorization","customer"]},"email":"alice@example.com"`))
	x := r.Request("GET /a HTTP/1.1\n")
	return func() {
		x.Begin(r.Conn, 1)
		h := &x.Request.Header
		h.Append(exchange.Host, "Host", "api.example.com")
		h.Append(exchange.Accept, "Accept", "application/json")
		h.Append(exchange.UserAgent, "User-Agent", "test")
		h.Append(exchange.Other, "X-Email", "forged")
		h.Append(exchange.Authorization, "Authorization", value)
		r.Chain.Request(x)
		if x.Fault != nil {
			t.Fatal(outcome(x))
		}
	}
}

// What a request with a token costs in step 4: one that is remembered, and one that is not.
func BenchmarkJWT(b *testing.B) {
	b.Run("remembered", func(b *testing.B) {
		ask := hot(b)
		b.ReportAllocs()
		for b.Loop() {
			ask()
		}
	})
	b.Run("remembered/parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			ask := hot(b)
			for pb.Next() {
				ask()
			}
		})
	})
}
