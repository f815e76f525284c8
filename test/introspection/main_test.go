// Package introspection proves from outside, with the whole program, that others may say who calls: a real authorization server
// (test/provider) that is asked about tokens or whose keys verify them, a real Redis in which gateways remember together what they learnt,
// and a real nginx that decides on requests; and what becomes of requests while these fail.
package introspection

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/issuer"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) { os.Exit(issuer.Main(m)) }

// The secrets of the tests, which must show nowhere.
const (
	gatewaySecret = "the-secret-of-the-gateway"
	acmeSecret    = "the-secret-of-acme"
	password      = "the-password-of-alice"
)

// after is where the browser of somebody who logs in is sent. Nobody goes there.
const after = "http://127.0.0.1:9/back"

// provide starts a provider that knows the gateway, the client acme, a stranger, and alice.
func provide(t *testing.T, flags ...string) *issuer.Issuer {
	t.Helper()
	return issuer.Start(t, append(flags, "-client", "gateway:"+gatewaySecret+":", "-client", "acme:"+acmeSecret+":"+after,
		"-client", "stranger:"+acmeSecret+":", "-user", "alice:"+password)...)
}

// token gets a token for acme with the scopes read and write.
func token(i *issuer.Issuer) string { return scoped(i, "read write") }

func scoped(i *issuer.Issuer, scopes string) string {
	return i.Token("acme", acmeSecret, url.Values{"scope": {scopes}, "audience": {"orders"}})
}

// introspected are the options of a policy introspection at a provider, with more.
func introspected(i *issuer.Issuer, more string) string {
	return fmt.Sprintf("introspection: { endpoint: %q, client_id: gateway, client_secret: %q, %s }", i.URL+"/introspect", gatewaySecret, more)
}

// front is a running gateway. Its endpoint answers with what it was told of the caller.
type front struct {
	*gateway.Gateway
	t       *testing.T
	address string
	socket  string // of the admin API
	config  string
	client  *http.Client
}

// open starts a gateway with a route for each policy, named by its path, and more at the top of its configuration.
func open(t *testing.T, policies map[string]string, more string) *front {
	t.Helper()
	dir, err := os.MkdirTemp("", "straum-") // the path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	f := &front{t: t, address: gateway.Free(t), socket: filepath.Join(dir, "admin.sock"), client: &http.Client{Transport: transport, Timeout: gateway.Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		return p.TryBody(m, "") == nil && p.TrySend(wire.OK(told(m))) == nil
	})
	config := &strings.Builder{}
	fmt.Fprintf(config, "admin: { socket: %q }\nlisteners:\n  - { name: main, address: %q }\nupstreams:\n  app: { endpoints: [%q], ejection: off }\n"+
		"consumers:\n  - { id: acme, name: Acme }\n%s\nroutes:\n", f.socket, f.address, endpoint.Addr, more)
	for _, path := range slices.Sorted(maps.Keys(policies)) {
		fmt.Fprintf(config, "  - { name: %s, match: { path: /%[1]s }, upstream: app, policies: [ %s ] }\n", path, policies[path])
	}
	f.config = config.String()
	f.Gateway = gateway.Start(t, f.config)
	t.Cleanup(transport.CloseIdleConnections) // before it is stopped
	return f
}

// told is what an endpoint learnt of the caller, as name=value in the order of names.
func told(m *wire.Message) string {
	var all []string
	for _, field := range m.Fields {
		switch name := strings.ToLower(field.Name); {
		case strings.HasPrefix(name, "x-auth-"), strings.HasPrefix(name, "x-consumer-"), name == "x-user", name == "x-method", name == "authorization":
			all = append(all, name+"="+field.Value)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	text   string
	err    error
}

func (a answer) String() string {
	return fmt.Sprintf("%d %q %q %v", a.status, a.header.Values("WWW-Authenticate"), a.text, a.err)
}

// ask shows a token, if it is not empty, with fields besides, as name and value in turn. It may be called from any goroutine.
func (f *front) ask(path, token string, fields ...string) answer {
	r, err := http.NewRequest(http.MethodGet, "http://"+f.address+"/"+path, nil)
	if err != nil {
		return answer{err: err}
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	response, err := f.client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text), err}
}

// passes fails unless a request goes on.
func (f *front) passes(what, path, token string) {
	f.t.Helper()
	if a := f.ask(path, token); a.status != 200 {
		f.t.Errorf("%s: got %v, want 200", what, a)
	}
}

// refused fails unless a token is found to be no good.
func (f *front) refused(what, path, token string) {
	f.t.Helper()
	a := f.ask(path, token)
	if a.status != 401 || a.header.Get("WWW-Authenticate") != `Bearer realm="api", error="invalid_token"` || a.code() != "unauthenticated" {
		f.t.Errorf("%s: got %v, want 401 and invalid_token", what, a)
	}
}

// unjudged fails unless a token cannot be judged.
func (f *front) unjudged(what, path, token string) {
	f.t.Helper()
	a := f.ask(path, token)
	if a.status != 503 || len(a.header.Values("WWW-Authenticate")) > 0 || a.code() != "auth_unavailable" {
		f.t.Errorf("%s: got %v, want 503 and auth_unavailable", what, a)
	}
}

// code is that of a problem document.
func (a answer) code() string {
	var problem struct{ Code string }
	_ = json.Unmarshal([]byte(a.text), &problem) // the empty code tells
	return problem.Code
}

// status is what `straum status` prints.
func (f *front) status() string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), gateway.Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, gateway.Program(f.t), "status", "--socket", f.socket).CombinedOutput()
	if err != nil {
		f.t.Errorf("straum status: %v: %s", err, out)
	}
	return string(out)
}

// attention are the lines of status that ask for it.
func (f *front) attention() string {
	f.t.Helper()
	var all []string
	for line := range strings.Lines(f.status()) {
		if strings.HasPrefix(line, "attention: ") {
			all = append(all, line)
		}
	}
	return strings.Join(all, "")
}

// page is one of the pages for operators.
func (f *front) page(path string) (int, string) {
	f.t.Helper()
	client := http.Client{Timeout: gateway.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + f.Status + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// verdict waits until the access log has a word of a policy.
func (f *front) verdict(word string) {
	f.t.Helper()
	f.AwaitAccess(word, func(l gateway.Line) bool { return strings.Contains(fmt.Sprint(l["verdicts"]), word) })
}

// silent checks that nothing secret shows where operators look.
func (f *front) silent(tokens ...string) {
	f.t.Helper()
	f.AwaitAccess("a request", func(gateway.Line) bool { return true })
	access, err := os.ReadFile(f.AccessPath)
	if err != nil {
		f.t.Fatal(err)
	}
	_, metrics := f.page("/metrics")
	for place, text := range map[string]string{"log": f.Log(), "access log": string(access), "metrics": metrics, "status": f.status()} {
		if text == "" {
			f.t.Errorf("there is no %s", place)
		}
		for _, s := range append(tokens, gatewaySecret, acmeSecret, password) {
			if how := holds([]byte(text), s); how != "" {
				f.t.Errorf("the %s tells a secret (%s): %.8s…", place, how, s)
			}
		}
	}
}

// holds says in which form a text has a secret in it, or the better part of one; empty when it has not.
func holds(text []byte, secret string) string {
	sum := sha256.Sum256([]byte(secret))
	middle := secret[len(secret)/4 : len(secret)*3/4]
	for how, form := range map[string]string{
		"as it is": secret, "in part": middle, "in hexadecimal": fmt.Sprintf("%x", secret), "in base64": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
		"in base64url": base64.RawURLEncoding.EncodeToString([]byte(secret)), "its SHA-256": string(sum[:]), "its SHA-256 in hexadecimal": fmt.Sprintf("%x", sum),
		"its SHA-256 in base64": base64.RawStdEncoding.EncodeToString(sum[:]), "its SHA-256 in base64url": base64.RawURLEncoding.EncodeToString(sum[:]),
	} {
		if bytes.Contains(text, []byte(form)) {
			return how
		}
	}
	return ""
}

// post sends a form to the provider as acme and gives the answer's members.
func post(t *testing.T, i *issuer.Issuer, path string, form url.Values) map[string]any {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, i.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("acme", acmeSecret)
	client := http.Client{Timeout: gateway.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%s: %s %s %v", path, response.Status, text, err)
	}
	members := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
	}
	return members
}

// revoke takes a token back (RFC 7009).
func revoke(t *testing.T, i *issuer.Issuer, token string) {
	t.Helper()
	post(t, i, "/revoke", url.Values{"token": {token}})
}

var action = regexp.MustCompile(`action="([^"]*)"`)

// logIn logs alice in at the provider and gives her tokens (code grant with PKCE).
func logIn(t *testing.T, i *issuer.Issuer) (access, refresh string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: gateway.Patience, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	verifier := strings.Repeat("verifier-", 6)
	sum := sha256.Sum256([]byte(verifier))
	page, err := browser.Get(i.URL + "/authorize?" + url.Values{"response_type": {"code"}, "client_id": {"acme"}, "redirect_uri": {after}, "scope": {"read offline_access"},
		"state": {"a-state-of-some-length"}, "code_challenge_method": {"S256"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	text, err := io.ReadAll(page.Body)
	m := action.FindStringSubmatch(string(text))
	if err != nil || m == nil {
		t.Fatalf("no login page: %s %s %v", page.Status, text, err)
	}
	back, err := browser.PostForm(i.URL+strings.ReplaceAll(m[1], "&amp;", "&"), url.Values{"user": {"alice"}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Body.Close()
	u, err := back.Location()
	if err != nil || u.Query().Get("code") == "" {
		t.Fatalf("no code: %s %v %v", back.Status, u, err)
	}
	got := post(t, i, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {after}, "code_verifier": {verifier}})
	access, _ = got["access_token"].(string)
	refresh, _ = got["refresh_token"].(string)
	if access == "" || refresh == "" {
		t.Fatalf("no tokens: %v", slices.Collect(maps.Keys(got)))
	}
	return access, refresh
}
