package caller

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// A credential that is taken out of the configuration stops with the reload, on connections that stand too. One that stays goes on, and
// a revision that is refused changes nothing.
func TestTakenAway(t *testing.T) {
	t.Parallel()
	key, hash := apiKey(t)
	kept, keptHash := apiKey(t)
	rs := newSigner(t, jose.RS256, "rs-1")
	acme := fmt.Sprintf("  - { id: acme, credentials: [ { api_key: %q }, { basic: { username: ann, password: %q } }, { hmac: { id: acme-1, secret: %q } }, { mtls: { dns: orders.acme.example } } ] }\n",
		hash, passwordHash(t, "word"), hmacSecret)
	f := open(t, setting{
		consumers: fmt.Sprintf("  - { id: bob, credentials: [ { api_key: %q } ] }\n", keptHash) + acme,
		routes: fmt.Sprintf(`
  - { name: api_key, match: { path: /api_key }, upstream: app, policies: [ api_key: {} ] }
  - { name: basic, match: { path: /basic }, upstream: app, policies: [ basic: {} ] }
  - { name: hmac, match: { path: /hmac }, upstream: app, policies: [ hmac: {} ] }
  - { name: mtls, match: { path: /mtls }, upstream: app, policies: [ mtls: {} ] }
  - { name: jwt, match: { path: /jwt }, upstream: app, policies: [ jwt: { issuer: https://id.example, audience: orders, keys_file: %q, consumer_claim: client_id } ] }
`, file(t, "keys.json", jwks(t, rs))),
	})
	mine := f.certificates()
	type open struct {
		name string
		ask  func(path string, fields ...wire.Field) int // over one connection for all
	}
	var connections []open
	for _, secure := range []bool{false, true} {
		config := f.authority.Trusting(host, "http/1.1")
		config.Certificates = append(config.Certificates, mine.acme.TLS)
		var p *wire.Peer
		if secure {
			p = wire.DialTLS(t, f.secure, config)
		} else {
			p = wire.Dial(t, f.plain)
		}
		connections = append(connections, open{fmt.Sprintf("HTTP/1.1 tls=%v", secure), func(path string, fields ...wire.Field) int {
			text := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n"
			for _, f := range fields {
				text += f.Name + ": " + f.Value + "\r\n"
			}
			p.Send(text + "\r\n")
			return p.Answer("GET").Status()
		}})
		config = config.Clone()
		config.NextProtos = []string{"h2"}
		addr := f.secure
		if !secure {
			addr, config = f.plain, nil
		}
		s := wire.DialStreams(t, addr, config)
		connections = append(connections, open{fmt.Sprintf("HTTP/2 tls=%v", secure), func(path string, fields ...wire.Field) int {
			st, err := s.Open(true, wire.Ask("GET", host, path, fields...)...)
			if err != nil {
				t.Fatal(err)
			}
			m, err := st.Answer()
			if err != nil {
				t.Fatal(err)
			}
			return wire.Status(m)
		}})
	}
	token := rs.token(t, nil)
	sweep := func(when string, acme int) {
		t.Helper()
		for _, c := range connections {
			r, err := http.NewRequest("GET", "http://"+host+"/hmac", nil)
			if err != nil {
				t.Fatal(err)
			}
			signing{id: "acme-1", secret: hmacSecret}.sign(r, nil)
			got := map[string]int{
				"api_key": c.ask("/api_key", wire.Field{Name: "x-api-key", Value: key}),
				"basic":   c.ask("/basic", wire.Field{Name: "authorization", Value: basic("ann", "word")}),
				"jwt":     c.ask("/jwt", wire.Field{Name: "authorization", Value: bearer(token)}),
				"hmac":    c.ask("/hmac", wire.Field{Name: "signature-input", Value: r.Header.Get("Signature-Input")}, wire.Field{Name: "signature", Value: r.Header.Get("Signature")}),
			}
			if strings.HasSuffix(c.name, "true") {
				got["mtls"] = c.ask("/mtls")
			}
			for method, status := range got {
				if status != acme {
					t.Errorf("%s, %s by %s: got %d, want %d", when, method, c.name, status, acme)
				}
			}
			if status := c.ask("/api_key", wire.Field{Name: "x-api-key", Value: kept}); status != 200 {
				t.Errorf("%s: the other consumer got %d by %s", when, status, c.name)
			}
		}
		f.seen.Take()
	}
	sweep("at first", 200)
	gone := strings.Replace(f.config, acme, "", 1)
	if gone == f.config {
		gone = strings.Replace(f.config, strings.TrimRight(acme, "\n"), "", 1)
	}
	if err := f.Reload(strings.Replace(gone, "upstreams:", "upstraems:", 1)); err == nil {
		t.Fatal("a bad configuration is in force")
	}
	sweep("after a reload that was refused", 200)
	if err := f.Reload(gone); err != nil {
		t.Fatal(err)
	}
	sweep("when it is gone", 401)
	if err := f.Reload(f.config); err != nil {
		t.Fatal(err)
	}
	sweep("when it is back", 200)
}

// What is remembered of tokens outlives a reload with the same options, and is gone with the key.
func TestRemembered(t *testing.T) {
	t.Parallel()
	one, other := newSigner(t, jose.RS256, "one"), newSigner(t, jose.ES256, "other")
	keys := file(t, "keys.json", jwks(t, one, other))
	f := open(t, setting{
		routes: fmt.Sprintf("  - { name: all, match: { path: /* }, upstream: app, policies: [ jwt: { issuer: https://id.example, audience: orders, keys_file: %q } ] }\n", keys),
		more:   "plans: { gold: {} }\n",
	})
	w := f.way(t, "h1", nil)
	var tokens []string
	for i := range 40 {
		s := one
		if i%2 == 1 {
			s = other
		}
		tokens = append(tokens, s.token(t, claims{"jti": fmt.Sprint(i)}))
	}
	sweep := func(when string, want func(i int) int) {
		t.Helper()
		for i, token := range tokens {
			if a := w.get(t, "/", "Authorization", bearer(token)); a.StatusCode != want(i) {
				t.Errorf("%s: token %d got %d, want %d", when, i, a.StatusCode, want(i))
			}
		}
	}
	all := func(int) int { return 200 }
	remembered := func() float64 { return f.Number("straum_policy_jwt_remembered_tokens") }
	sweep("at first", all)
	gateway.Await(t, "the tokens to be remembered", func() bool { return remembered() == 40 })
	for i := range 3 {
		if err := f.Reload(strings.Replace(f.config, "gold", fmt.Sprint("gold", i), 1)); err != nil {
			t.Fatal(err)
		}
		if n := remembered(); n != 40 {
			t.Errorf("after a reload %v tokens are remembered, want 40", n)
		}
	}
	sweep("after reloads", all)
	rewrite(t, keys, jwks(t, other))
	if err := f.Reload(f.config + "\n"); err != nil {
		t.Fatal(err)
	}
	sweep("without one key", func(i int) int { return []int{401, 200}[i%2] })
	gateway.Await(t, "the tokens of the key to be forgotten", func() bool { return remembered() == 20 })
	rewrite(t, keys, jwks(t, one, other))
	if err := f.Reload(strings.Replace(f.config, "gold", "silver", 1)); err != nil {
		t.Fatal(err)
	}
	sweep("with both again", all)
}

// A key that is taken out of a keys_file stops with the next reload, also when nothing else has changed.
func TestKeysFileAlone(t *testing.T) {
	t.Parallel()
	one, other := newSigner(t, jose.RS256, "one"), newSigner(t, jose.ES256, "other")
	keys := file(t, "keys.json", jwks(t, one, other))
	f := open(t, setting{
		routes: fmt.Sprintf("  - { name: all, match: { path: /* }, upstream: app, policies: [ jwt: { issuer: https://id.example, audience: orders, keys_file: %q } ] }\n", keys),
	})
	w := f.way(t, "h1", nil)
	token := one.token(t, nil)
	w.get(t, "/", "Authorization", bearer(token)).expect(t, "at first", 200, "")
	rewrite(t, keys, jwks(t, other))
	if err := f.Reload(f.config); err != nil {
		t.Fatal(err)
	}
	w.get(t, "/", "Authorization", bearer(token)).expect(t, "without its key", 401, "unauthenticated", `Bearer realm="api", error="invalid_token"`)
}

// published is an issuer's key set behind HTTP.
type published struct {
	*httptest.Server
	set     atomic.Pointer[[]byte]
	down    atomic.Bool
	fetches atomic.Int64
}

func publish(t *testing.T, signers ...*signer) *published {
	t.Helper()
	p := &published{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		if p.down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Write(*p.set.Load())
	}))
	t.Cleanup(p.Close)
	p.show(t, signers...)
	return p
}

func (p *published) show(t *testing.T, signers ...*signer) {
	set := jwks(t, signers...)
	p.set.Store(&set)
}

// An issuer that changes its keys while requests come costs no caller a 401, whether it announces the new key or not; one that is down
// costs nobody anything; and who invents names of keys causes next to no fetches.
func TestRotation(t *testing.T) {
	t.Parallel()
	key := func(n int) *signer { return newSigner(t, jose.ES256, fmt.Sprint("key-", n)) }
	now := key(0)
	issuer := publish(t, now)
	f := open(t, setting{
		routes: fmt.Sprintf("  - { name: all, match: { path: /* }, upstream: app, policies: [ jwt: { issuer: https://id.example, audience: orders, jwks: %q, refetch: 1s } ] }\n"+
			"  - { name: slow, match: { path: /flood }, upstream: app, policies: [ jwt: { issuer: https://id.example, audience: orders, jwks: %q, refetch: 1h } ] }\n", issuer.URL, issuer.URL+"/other"),
	})
	w := f.way(t, "h2c", nil)
	gateway.Await(t, "the keys", func() bool { return w.get(t, "/", "Authorization", bearer(now.token(t, nil))).StatusCode == 200 })
	var current atomic.Pointer[signer]
	current.Store(now)
	var asked, good, n atomic.Int64
	var wrong sync.Map
	stop := make(chan bool)
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				token := current.Load().token(t, claims{"jti": fmt.Sprint(n.Add(1))}) // each is judged by its key
				r, err := http.NewRequest("GET", w.scheme+"://"+w.addr+"/", nil)
				if err != nil {
					wrong.Store(err.Error(), true)
					return
				}
				r.Header.Set("Authorization", bearer(token))
				asked.Add(1)
				a, err := w.try(r)
				switch {
				case err != nil:
					wrong.Store(err.Error(), true)
				case a.StatusCode != 200:
					wrong.Store(fmt.Sprintf("%d %s", a.StatusCode, a.body), true)
				default:
					good.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	more := func(n int64) {
		t.Helper()
		from := good.Load()
		gateway.Await(t, "requests", func() bool { return good.Load() >= from+n || fails(&wrong) })
	}
	more(200)
	const rotations = 5
	for i := range rotations {
		next := key(i + 1)
		issuer.show(t, next, now) // both are published, and the new one signs at once
		fetched := issuer.fetches.Load()
		current.Store(next)
		more(400)
		if issuer.fetches.Load() == fetched {
			t.Error("requests of a new key passed without a fetch")
		}
		now = next
		time.Sleep(1100 * time.Millisecond) // no fetch is due before, as the documentation says: refetch
	}
	fetched := issuer.fetches.Load()
	if fetched > 4*rotations {
		t.Errorf("%d rotations caused %d fetches", rotations, fetched)
	}
	issuer.down.Store(true)
	more(400)
	stray := newSigner(t, jose.ES256, "stray")
	if a := w.get(t, "/", "Authorization", bearer(stray.token(t, nil))); a.StatusCode != 401 && a.StatusCode != 503 {
		t.Errorf("a token of an unknown key got %d while the issuer is down", a.StatusCode)
	}
	more(400)
	close(stop)
	load.Wait()
	wrong.Range(func(what, _ any) bool { t.Errorf("under load: %s", what); return true })
	if asked.Load() < 2000 || asked.Load() != good.Load() {
		t.Errorf("%d requests, %d of them good", asked.Load(), good.Load())
	}
	t.Logf("%d rotations under %d requests, %d fetches", rotations, asked.Load(), fetched)

	issuer.down.Store(false)
	gateway.Await(t, "the keys of the other set", func() bool { return w.get(t, "/flood", "Authorization", bearer(now.token(t, nil))).StatusCode == 200 })
	before := issuer.fetches.Load()
	var flood sync.WaitGroup
	var refused atomic.Int64
	for i := range 8 {
		flood.Go(func() {
			for k := range 63 {
				r, _ := http.NewRequest("GET", w.scheme+"://"+w.addr+"/flood", nil) // the URL is one
				r.Header.Set("Authorization", bearer(mint(t, stray.as(t, fmt.Sprint("made-up-", i, "-", k)), nil)))
				if a, err := w.try(r); err == nil && a.StatusCode == 401 {
					refused.Add(1)
				}
			}
		})
	}
	flood.Wait()
	if got := issuer.fetches.Load() - before; got > 2 || refused.Load() != 8*63 {
		t.Errorf("%d names of keys caused %d fetches, and %d were refused", 8*63, got, refused.Load())
	}
}

func fails(m *sync.Map) (yes bool) {
	m.Range(func(_, _ any) bool { yes = true; return false })
	return yes
}

// Files of credentials are read anew with each reload, and one with a mistake changes nothing.
func TestFiles(t *testing.T) {
	t.Parallel()
	const n = 10_000
	key := func(i int) string { return fmt.Sprintf("a key of the tests, number %05d", i) }
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("api_key=%s consumer=c%d name=\"Number %d\" groups=g%d,all scopes=a", keyHash(strings.ReplaceAll(key(i), " ", "-")), i, i, i%7))
	}
	path := filepath.Join(t.TempDir(), "keys")
	rewrite(t, path, []byte(strings.Join(lines, "\n")+"\n"))
	f := open(t, setting{routes: "  - { name: all, match: { path: /* }, upstream: app, policies: [ api_key: {} ] }\n", more: fmt.Sprintf("credential_files: [ %q ]\n", path)})
	w := f.way(t, "h2", nil)
	status := func(i int) int {
		return w.get(t, "/", "X-Api-Key", strings.ReplaceAll(key(i), " ", "-")).StatusCode
	}
	for _, i := range []int{0, 1, 4999, n - 1} {
		if got := status(i); got != 200 {
			t.Errorf("key %d got %d", i, got)
		}
		want := fmt.Sprintf("x-consumer-id=c%d x-consumer-name=Number %d x-consumer-groups=all,g%d x-auth-method=api_key x-auth-scope=a", i, i, i%7)
		if got := told(f.seen.One(t)); got != want {
			t.Errorf("the endpoint is told %q, want %q", got, want)
		}
	}
	if got := status(n); got != 401 {
		t.Errorf("a key that there is not got %d", got)
	}
	changed := slices.Clone(lines)
	changed[4999] = fmt.Sprintf("api_key=%s consumer=new", keyHash(strings.ReplaceAll(key(n), " ", "-")))
	rewrite(t, path, []byte(strings.Join(changed, "\n")+"\nnonsense\n"))
	if err := f.Reload(f.config + "\n"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("keys:%d", n+1)) {
		t.Errorf("a file with a mistake: %v", err)
	}
	if old, add := status(4999), status(n); old != 200 || add != 401 {
		t.Errorf("a reload that was refused changed something: %d, %d", old, add)
	}
	rewrite(t, path, []byte(strings.Join(changed, "\n")+"\n"))
	if err := f.Reload(f.config); err != nil {
		t.Fatal(err)
	}
	if old, add, same := status(4999), status(n), status(5000); old != 401 || add != 200 || same != 200 {
		t.Errorf("after the reload: the old key %d, the new one %d, another %d", old, add, same)
	}
}
