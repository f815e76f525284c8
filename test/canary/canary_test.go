// Package canary proves from outside that no secret is ever told: each is a text that stands nowhere else, requests of all kinds use it, well
// and badly, with everything around whole and broken, and then all that the program wrote, shows or stores is searched.
package canary

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/bcrypt"

	"straum.dev/straum/test/gateway"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// canaries are the secrets, by what they are.
type canaries struct {
	mu  sync.Mutex
	all map[string]string
}

// new makes one. What it is must not be found in it.
func (c *canaries) new(what string) string {
	return c.add(what, "cAnArY-"+rand.Text()+rand.Text())
}

func (c *canaries) add(what, secret string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[what] = secret
	return secret
}

// forms are the ways in which a secret could be told: as it is, a part of it, encoded, and hashed, which lets others try guesses.
func forms(secret string) map[string]string {
	b, sum := []byte(secret), sha256.Sum256([]byte(secret))
	middle := secret[len(secret)/3:]
	all := map[string]string{
		"as it is": secret, "the middle of it": middle[:min(16, len(middle))], "its beginning": secret[:min(20, len(secret))],
		"in base64": base64.RawStdEncoding.EncodeToString(b), "in base64url": base64.RawURLEncoding.EncodeToString(b),
		"in hexadecimal": hex.EncodeToString(b), "in capital hexadecimal": strings.ToUpper(hex.EncodeToString(b)),
		"escaped": url.QueryEscape(secret), "escaped for a path": url.PathEscape(secret), "quoted": strings.Trim(fmt.Sprintf("%q", secret), `"`),
		"its SHA-256": hex.EncodeToString(sum[:]), "its SHA-256 in base64": base64.RawStdEncoding.EncodeToString(sum[:]), "its SHA-256 in base64url": base64.RawURLEncoding.EncodeToString(sum[:]),
		"as bytes": strings.Trim(fmt.Sprint(b), "[]"),
	}
	for shift := 1; shift <= 2; shift++ { // within a longer text in base64, as in Authorization: Basic
		whole := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), b...))
		all[fmt.Sprintf("in base64 behind %d bytes", shift)] = whole[4 : len(whole)-4]
	}
	return all
}

// search looks for all secrets in a text and returns what it finds.
func (c *canaries) search(where, text string) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for what, secret := range c.all {
		for form, shape := range forms(secret) {
			if i := strings.Index(text, shape); i >= 0 {
				line := text[strings.LastIndexByte(text[:i], '\n')+1:]
				line, _, _ = strings.Cut(line, "\n")
				found = append(found, fmt.Sprintf("%s has %s, %s: %.400s", where, what, form, line))
				break // its other forms say no more
			}
		}
	}
	return found
}

// The search itself finds what it should.
func TestSearch(t *testing.T) {
	t.Parallel()
	c := &canaries{all: map[string]string{}}
	secret := c.new("secret")
	for form, text := range forms(secret) {
		if len(c.search("text", "a line\n{"+text+"}\nanother")) == 0 {
			t.Errorf("a secret %s is not found", form)
		}
	}
	if found := c.search("text", base64.StdEncoding.EncodeToString([]byte("ann:"+secret))); len(found) == 0 {
		t.Error("a password in Authorization is not found")
	}
	if found := c.search("text", "nothing of it"); len(found) != 0 {
		t.Error(found)
	}
}

// outside is what the gateway depends on: an issuer and an introspection endpoint, which can be told to break. Broken they repeat all that
// they were asked, as programs do that are debugged.
type outside struct {
	*httptest.Server
	signer jose.Signer
	key    *ecdsa.PrivateKey
	c      *canaries
	broken atomic.Int32
	nonce  atomic.Value
	good   string // the token that is good
	client map[string]string
}

func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	known := r.URL.Path == "/.well-known/openid-configuration" || r.URL.Path == "/jwks"
	if mode := o.broken.Load(); mode > 0 && !known {
		echo := fmt.Sprintf("%s %v %s", r.URL, r.Header, body)
		switch mode {
		case 1:
			w.WriteHeader(500)
			fmt.Fprint(w, echo)
		case 2:
			w.WriteHeader(401)
			json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client", "error_description": echo})
		case 3:
			w.WriteHeader(400)
			json.NewEncoder(w).Encode(map[string]string{"error": echo, "error_description": echo})
		case 4:
			fmt.Fprint(w, `{"active": `+echo)
		case 5:
			w.Header().Set("Location", "http://127.0.0.1:1/"+url.PathEscape(echo))
			w.WriteHeader(302)
		case 6:
			panic(http.ErrAbortHandler)
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]any{"issuer": o.URL, "authorization_endpoint": o.URL + "/authorize", "token_endpoint": o.URL + "/token", "jwks_uri": o.URL + "/jwks",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
			"code_challenge_methods_supported": []string{"S256"}, "revocation_endpoint": o.URL + "/revoke", "end_session_endpoint": o.URL + "/end"})
	case "/jwks":
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: o.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	case "/token":
		id := o.token(map[string]any{"aud": "shop", "nonce": o.nonce.Load()})
		o.c.add("id token's signature", id[strings.LastIndexByte(id, '.')+1:])
		json.NewEncoder(w).Encode(map[string]any{"access_token": o.client["access"], "refresh_token": o.client["refresh"], "token_type": "Bearer", "expires_in": 30, "id_token": id})
	case "/introspect":
		json.NewEncoder(w).Encode(map[string]any{"active": form.Get("token") == o.good, "sub": "somebody", "client_id": "acme"})
	default: // the service that decides
		if r.Header.Get("Authorization") != "Bearer "+o.good {
			w.WriteHeader(403)
		}
	}
}

func (o *outside) token(changed map[string]any) string {
	now := time.Now().Unix()
	all := map[string]any{"iss": o.URL, "sub": "somebody", "iat": now, "exp": now + 600, "aud": "orders"}
	for k, v := range changed {
		all[k] = v
	}
	return mint(o.signer, all)
}

func mint(s jose.Signer, claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err) // they are texts and numbers
	}
	j, err := s.Sign(text)
	if err != nil {
		panic(err) // the key is good
	}
	token, err := j.CompactSerialize()
	if err != nil {
		panic(err) // there is one signature
	}
	return token
}

// redis starts a store with a password, and returns its address and where it saves what it has.
func redis(t *testing.T, password string) (addr, dump string, pause func()) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed: scripts/packages.txt tells what brings it")
	}
	dir := t.TempDir()
	addr = gateway.Free(t)
	_, port, _ := net.SplitHostPort(addr)
	settings := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(settings, []byte(fmt.Sprintf("bind 127.0.0.1\nport %s\nrequirepass %s\ndir %s\nrdbcompression no\nsave \"\"\n", port, password, dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, settings)
	if err := gateway.Spawn(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	gateway.Await(t, "redis", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr, filepath.Join(dir, "dump.rdb"), func() {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(gateway.Patience))
		fmt.Fprintf(c, "AUTH %s\r\nSAVE\r\n", password)
		got := make([]byte, 0, 64)
		for !strings.HasSuffix(string(got), "+OK\r\n+OK\r\n") {
			b := make([]byte, 64)
			n, err := c.Read(b)
			if got = append(got, b[:n]...); err != nil {
				t.Fatalf("redis: %v, %q", err, got)
			}
		}
		_ = cmd.Process.Kill() // what follows finds no store
	}
}

func TestCanary(t *testing.T) {
	t.Parallel()
	c := &canaries{all: map[string]string{}}
	o := &outside{c: c, good: c.new("introspected token"), client: map[string]string{"access": c.new("access token"), "refresh": c.new("refresh token")}}
	var err error
	if o.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if o.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: o.key, KeyID: "k"}}, (&jose.SignerOptions{}).WithType("JWT")); err != nil {
		t.Fatal(err)
	}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
	t.Cleanup(app.Close)

	made, err := exec.Command(gateway.Program(t), "key", "new", "--consumer", "acme", "--json").Output()
	var k struct{ Key, Hash string }
	if err != nil || json.Unmarshal(made, &k) != nil {
		t.Fatalf("no key: %v, %s", err, made)
	}
	c.add("api key", k.Key[len("straum_12345678_"):]) // what stands before may be known
	unknown := strings.Repeat("u", 3) + c.new("unknown api key")
	password, wrong := c.new("password"), c.new("wrong password")
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	c.add("password's hash", string(hash[7:]))
	token, expired := o.token(nil), o.token(map[string]any{"exp": 1000})
	c.add("token's signature", token[strings.LastIndexByte(token, '.')+1:])
	c.add("expired token's signature", expired[strings.LastIndexByte(expired, '.')+1:])
	signing, hook, tokenSecret := c.new("hmac secret"), c.new("webhook secret"), c.new("secret of tokens")
	redisPassword, ring := c.new("redis password"), c.new("gateway's secret")
	shared, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(tokenSecret + tokenSecret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	bad, code, session, admin := c.new("bad token"), c.new("code"), c.new("session"), c.new("admin token")
	client := c.new("client secret of oidc")
	store, dump, save := redis(t, redisPassword)
	dir := t.TempDir()
	socket := filepath.Join(dir, "admin.sock")
	secretFile, access := filepath.Join(dir, "client"), filepath.Join(dir, "access.log")
	if err := os.WriteFile(secretFile, []byte(client+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listen, page := gateway.Free(t), gateway.Free(t)
	config := fmt.Sprintf(`
listeners:
  - { name: main, address: %q }
upstreams:
  app: { endpoints: [ %q ] }
log: { level: debug, access: { to: %q, addresses: full, query: full, credential: true } }
admin: { socket: %q, address: %q, token: %q }
secret: %q
redis: { addresses: [ %q ], password: "${REDIS_PASSWORD}", budget: 1s }
consumers:
  - id: acme
    credentials:
      - { api_key: %q }
      - { basic: { username: ann, password: %q } }
      - { hmac: { id: acme-1, secret: %q } }
routes:
  - { name: open, match: { path: /open }, upstream: app }
  - { name: api_key, match: { path: /api_key }, upstream: app, policies: [ api_key: { query: key, cookie: key } ] }
  - { name: basic, match: { path: /basic }, upstream: app, policies: [ basic: {} ] }
  - { name: jwt, match: { path: /jwt }, upstream: app, policies: [ jwt: { issuer: %q, audience: orders, discovery: true, query: token, cookie: token }, authorize: { condition: 'request.path != "/x"' } ] }
  - { name: hs, match: { path: /hs }, upstream: app, policies: [ jwt: { issuer: %[12]q, audience: orders, secret: %[13]q } ] }
  - { name: hmac, match: { path: /hmac }, upstream: app, policies: [ hmac: {} ] }
  - { name: hook, match: { path: /hook }, upstream: app, policies: [ webhook_signature: { scheme: github, secrets: [ %[14]q ] } ] }
  - { name: introspection, match: { path: /introspection }, upstream: app, policies: [ introspection: { endpoint: "%[12]s/introspect", client_id: gateway, client_secret: %[15]q, query: token, cookie: token } ] }
  - { name: forward, match: { path: /forward }, upstream: app, policies: [ forward_auth: { url: "%[12]s/decide" } ] }
  - { name: any, match: { path: /any }, upstream: app, policies: [ api_key: {}, jwt: { issuer: %[12]q, audience: orders, discovery: true, query: token }, authenticate: { require: any } ] }
  - { name: all, match: { path: /all }, upstream: app, policies: [ api_key: {}, jwt: { issuer: %[12]q, audience: orders, discovery: true, query: token }, authenticate: { require: all } ] }
  - name: oidc
    match: { path: /app/* }
    upstream: app
    policies:
      - oidc: { issuer: %[12]q, client_id: shop, client_secret: "file:%[16]s", cookie: session, redirect_path: /app/callback, login_path: /app/login, logout_path: /app/logout, forward: access_token }
`, listen, app.Listener.Addr(), access, socket, page, admin, ring, store, k.Hash, hash, signing, o.URL, tokenSecret+tokenSecret, hook, c.new("client secret of introspection"), secretFile)
	g := gateway.Start(t, config, gateway.Env("REDIS_PASSWORD="+redisPassword))
	gateway.Await(t, "the store", func() bool { return g.Number("straum_policy_redis_up") == 1 })

	jar, _ := cookiejar.New(nil) // never fails
	browser := &http.Client{Jar: jar, Timeout: gateway.Patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	plain := &http.Client{Timeout: gateway.Patience, CheckRedirect: browser.CheckRedirect}
	var answers bytes.Buffer
	statuses := map[string]map[int]int{}
	ask := func(client *http.Client, path string, fields ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequest("GET", "http://"+listen+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(path, "/hook") {
			r, _ = http.NewRequest("POST", "http://"+listen+path, strings.NewReader("content")) // the URL is one
		}
		for i := 0; i+1 < len(fields); i += 2 {
			r.Header.Add(fields[i], fields[i+1])
		}
		a, err := client.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		defer a.Body.Close()
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		route, _, _ := strings.Cut(path, "?")
		if statuses[route] == nil {
			statuses[route] = map[int]int{}
		}
		statuses[route][a.StatusCode]++
		header := a.Header.Clone()
		header.Del("Set-Cookie") // the session's own place
		if a.StatusCode/100 == 3 {
			header.Del("Location") // by which the browser takes the state to the issuer
		}
		if route == "/forward" {
			return a // what the service says is for the client
		}
		fmt.Fprintf(&answers, "%s %d %v %s\n", path[:min(len(path), 5)], a.StatusCode, header, body)
		return a
	}
	page1 := []string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	login := func() {
		t.Helper()
		a := ask(browser, "/app/page", page1...)
		to, err := a.Location()
		if err != nil || a.StatusCode != 302 {
			return // there is a session, or the issuer is broken
		}
		o.nonce.Store(to.Query().Get("nonce"))
		c.add("state "+rand.Text(), to.Query().Get("state"))
		ask(browser, "/app/callback?code="+code+"&state="+to.Query().Get("state"), page1...)
		for _, cookie := range jar.Cookies(&url.URL{Scheme: "http", Host: listen, Path: "/app/"}) {
			if len(cookie.Value) > 20 {
				c.add("cookie "+cookie.Name+" "+rand.Text(), cookie.Value)
			}
		}
		ask(browser, "/app/page", page1...)
	}
	round := func() {
		t.Helper()
		for _, key := range []string{k.Key, unknown, k.Key[:30] + "x" + k.Key[31:]} {
			ask(plain, "/api_key", "X-Api-Key", key)
			ask(plain, "/api_key?key="+key)
			ask(plain, "/api_key?a=b&%6bey="+key+"&c=d")
			ask(plain, "/api_key", "Cookie", "key="+key)
			ask(plain, "/api_key?key="+key, "X-Api-Key", key)
			ask(plain, "/open", "X-Api-Key", key, "Authorization", "Bearer "+key)
			ask(plain, "/nowhere", "X-Api-Key", key)
		}
		for _, p := range []string{password, wrong} {
			ask(plain, "/basic", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("ann:"+p)))
			ask(plain, "/basic", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("bob:"+p)))
			ask(plain, "/basic", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(p)))
			ask(plain, "/basic", "Authorization", "Basic "+p)
		}
		ask(plain, "/hs", "Authorization", "Bearer "+mint(shared, map[string]any{"iss": o.URL, "aud": "orders", "exp": time.Now().Unix() + 60, "jti": c.new("jti " + rand.Text())}))
		for _, path := range []string{"/jwt", "/hs", "/introspection", "/forward", "/app/api"} {
			for _, shown := range []string{token, expired, o.good, bad, "ey." + bad + "." + bad, strings.Repeat(bad, 300)[:9000]} {
				ask(plain, path, "Authorization", "Bearer "+shown)
				ask(plain, path, "Cookie", "token="+shown+"; session="+shown)
				if path == "/jwt" || path == "/introspection" {
					ask(plain, path+"?token="+shown)
					ask(plain, path+"?token="+shown, "Authorization", "Bearer "+shown)
				}
			}
		}
		for _, shown := range []string{token, expired, bad} { // with the key, the token is not asked for
			ask(plain, "/any?token="+shown)
			ask(plain, "/any?token="+shown, "X-Api-Key", k.Key)
			ask(plain, "/any?token="+shown, "X-Api-Key", unknown)
			ask(plain, "/all?token="+shown, "X-Api-Key", k.Key)
		}
		for _, secret := range []string{signing, signing + "!"} {
			params := fmt.Sprintf(`("@method" "@authority" "@path" "@query");created=%d;nonce=%q;keyid="acme-1"`, time.Now().Unix(), rand.Text())
			mac := hmac.New(sha256.New, []byte(secret))
			fmt.Fprintf(mac, "\"@method\": GET\n\"@authority\": %s\n\"@path\": /hmac\n\"@query\": ?\n\"@signature-params\": %s", listen, params)
			signature := base64.StdEncoding.EncodeToString(mac.Sum(nil))
			c.add("signature "+rand.Text(), signature)
			for range 2 {
				ask(plain, "/hmac", "Signature-Input", "s="+params, "Signature", "s=:"+signature+":")
			}
			ask(plain, "/hmac", "Signature-Input", "s="+params+"((", "Signature", "s=:"+signature)
		}
		for _, secret := range []string{hook, hook + "!"} {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte("content"))
			signature := hex.EncodeToString(mac.Sum(nil))
			c.add("webhook signature with "+fmt.Sprint(len(secret)), signature)
			ask(plain, "/hook", "X-Hub-Signature-256", "sha256="+signature)
			ask(plain, "/hook", "X-Hub-Signature-256", signature)
		}
		ask(plain, "/app/page", append(page1, "Cookie", "session="+session)...)
		ask(plain, "/app/callback?code="+code+"&state="+session, page1...)
		ask(plain, "/app/login?to=/app/page", page1...)
		login()
		ask(browser, "/app/page", page1...)
	}
	gateway.Await(t, "the issuer's keys", func() bool { return ask(plain, "/jwt", "Authorization", "Bearer "+token).StatusCode == 200 })
	round()
	for _, want := range []struct {
		path   string
		status int
	}{{"/api_key", 200}, {"/api_key", 401}, {"/api_key", 400}, {"/basic", 200}, {"/basic", 401}, {"/jwt", 200}, {"/jwt", 401}, {"/hs", 200}, {"/hs", 401}, {"/hmac", 200}, {"/hmac", 401}, {"/hook", 200}, {"/hook", 401},
		{"/introspection", 200}, {"/introspection", 401}, {"/forward", 200}, {"/forward", 403}, {"/app/callback", 302}, {"/app/callback", 400}, {"/app/page", 302}, {"/app/page", 200}, {"/app/api", 401}} {
		if statuses[want.path][want.status] == 0 {
			t.Errorf("no request for %s was answered %d: %v", want.path, want.status, statuses[want.path])
		}
	}
	save() // and from here on there is no store
	stored, err := os.ReadFile(dump)
	if err != nil || !bytes.Contains(stored, []byte("straum:")) {
		t.Fatalf("redis stores nothing of ours: %v, %q", err, stored)
	}
	for mode := range int32(6) {
		o.broken.Store(mode + 1)
		jar, _ = cookiejar.New(nil) // never fails
		browser.Jar = jar
		o.good = c.new(fmt.Sprint("token for mode ", mode)) // one that is not remembered
		bad = c.new(fmt.Sprint("bad token for mode ", mode))
		round()
	}
	if statuses["/introspection"][503] == 0 {
		t.Errorf("the broken endpoint is not noticed: %v", statuses["/introspection"])
	}
	o.Close()
	round()

	// Configurations that are refused for what stands near a secret.
	checks := ""
	for _, change := range [][2]string{
		{"", ""}, {"client_id: gateway", "client_idd: gateway"}, {"acme-1", "acme 1"}, {"redis: {", "redis: { nonsense: 1,"}, {"api_key: \"sha256:", "api_key: \"" + c.new("a key where its hash belongs")},
		{"password: \"$2", "password: \"" + c.new("a password where its hash belongs")}, {"secret: \"" + ring, "secret: \"" + ring[:10]}, {"scheme: github, secrets: [", "scheme: github, secrets: [ [1],"},
		{"secret: \"" + signing, "secret: [\"" + signing + "\"], x: \""}, {"admin: {", "admin: { token: \"" + admin + "\","}, {"client_secret: \"file:", "client_secret: \"file:/nowhere"},
		{"${REDIS_PASSWORD}", "${REDIS_PASSWORT}"}, {"client_secret: \"cA", "client_secret: !!int \"cA"}, {"listeners:", "listeners: ["},
	} {
		text := config
		if change[0] != "" {
			if text = strings.Replace(config, change[0], change[1], 1); text == config {
				t.Errorf("%q is not in the configuration", change[0])
			}
		}
		path := filepath.Join(dir, "check.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, code := run(t, redisPassword, "check", "-c", path)
		checks += out
		if (code == 0) != (change[0] == "") {
			t.Errorf("check of a configuration with %q for %q ends with %d: %s", change[1], change[0], code, out)
		}
		if change[0] != "" {
			if err := g.Reload(text); err == nil {
				t.Errorf("a configuration with %q is in force", change[1])
			}
		}
	}
	if err := g.Reload(config + "\n"); err != nil {
		t.Fatal(err)
	}
	var texts = map[string]string{"the store": string(stored), "an answer": answers.String(), "straum check": checks}
	for _, args := range [][]string{{"config", "show"}, {"status"}, {"upstreams"}} {
		out, code := run(t, redisPassword, append(args, "--socket", socket)...)
		if code != 0 {
			t.Errorf("%v: %d %s", args, code, out)
		}
		texts["straum "+strings.Join(args, " ")] = out
	}
	door := &http.Client{Timeout: gateway.Patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(door.CloseIdleConnections)
	for _, path := range []string{"/v1/status", "/v1/config", "/v1/config.yaml", "/v1/routes", "/v1/upstreams", "/v1/certificates"} {
		texts[path] = fetch(t, door, "http://admin"+path)
	}
	ask(plain, "/open", "X-Last", "yes")
	texts["the metrics"] = fetch(t, plain, "http://"+g.Status+"/metrics")
	gateway.Await(t, "the access log", func() bool {
		text, _ := os.ReadFile(access) // empty tells
		texts["the access log"] = string(text)
		n := 0
		for _, all := range statuses {
			for _, m := range all {
				n += m
			}
		}
		return strings.Count(string(text), "\n") >= n
	})
	if code := g.Stop(); code != 0 {
		t.Errorf("got the exit code %d", code)
	}
	texts["the log"] = g.Log()
	for what, secret := range c.all {
		if len(secret) < 20 {
			t.Errorf("%s is %q, which could stand anywhere", what, secret)
			delete(c.all, what)
		}
	}
	for where, text := range texts {
		if len(text) < 20 {
			t.Errorf("%s is %q", where, text)
		}
		for _, found := range c.search(where, text) {
			t.Error(found)
		}
	}
	t.Logf("%d secrets, %d texts of %d bytes, answers %v", len(c.all), len(texts), size(texts), statuses)
}

// What is shown to a method that was not asked, because one before it ended the request, is taken out of the query before it is logged.
func TestNotAsked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, require string
		keys          []string
		status        int
	}{
		{"a key twice", "any", []string{"twice", "twice"}, 400},
		{"a bad key where all are asked for", "all", []string{"unknown"}, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &canaries{all: map[string]string{}}
			token, listen, access := c.new("token"), gateway.Free(t), filepath.Join(t.TempDir(), "access.log")
			g := gateway.Start(t, fmt.Sprintf(`
listeners:
  - { name: main, address: %q }
upstreams:
  app: { endpoints: [ %q ] }
log: { access: { to: %q, query: full } }
routes:
  - name: both
    match: { path: /both }
    upstream: app
    policies: [ api_key: {}, jwt: { issuer: a, audience: b, secret: "0123456789 0123456789 0123456789", query: token }, authenticate: { require: %s } ]
`, listen, gateway.Free(t), access, test.require))
			r, err := http.NewRequest("GET", "http://"+listen+"/both?a=b&token="+token, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header["X-Api-Key"] = test.keys
			r.Close = true
			a, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			a.Body.Close()
			if a.StatusCode != test.status {
				t.Errorf("got %d, want %d", a.StatusCode, test.status)
			}
			g.Stop() // writes all lines
			text, err := os.ReadFile(access)
			if err != nil || !strings.Contains(string(text), "a=b") {
				t.Fatalf("no line: %v, %s", err, text)
			}
			for _, found := range c.search("the access log", string(text)) {
				t.Error(found)
			}
		})
	}
}

func size(texts map[string]string) (n int) {
	for _, t := range texts {
		n += len(t)
	}
	return n
}

func fetch(t *testing.T, client *http.Client, at string) string {
	t.Helper()
	a, err := client.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != 200 {
		t.Errorf("%s: %d, %v", at, a.StatusCode, err)
	}
	return string(body)
}

// run runs the program to its end.
func run(t *testing.T, password string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*gateway.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, gateway.Program(t), args...)
	cmd.Env = append(os.Environ(), "REDIS_PASSWORD="+password)
	out, _ := cmd.CombinedOutput() // the code tells
	return string(out), cmd.ProcessState.ExitCode()
}
