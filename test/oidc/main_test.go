// Package oidc proves from outside that people can log in: a real provider (test/provider), the real program, and browsers, one of them
// Chromium.
package oidc

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/issuer"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) { os.Exit(issuer.Main(m)) }

// The secrets of a test, which must show nowhere.
const (
	secret   = "the-secret-of-the-client"
	password = "the-password-of-alice"
)

// site is a gateway with a page behind a login.
type site struct {
	*gateway.Gateway
	t         testing.TB
	issuer    *issuer.Issuer
	origin    string // of the gateway
	authority *gateway.Authority
	seen      *wire.Recorder
	config    string
}

// open starts a provider with flags and a gateway with the options of the policy, by TLS unless plain is set. ISSUER in them is the provider.
func open(t testing.TB, plain bool, flags []string, options ...string) *site {
	t.Helper()
	address := gateway.Free(t)
	// The provider is at 127.0.0.1 and the gateway at localhost: two sites, as they are in the world.
	host := "localhost" + address[strings.LastIndexByte(address, ':'):]
	s := &site{t: t, authority: gateway.NewAuthority(t), seen: &wire.Recorder{}, origin: "https://" + host}
	security := "tls: { certificates: [" + s.authority.Issue([]string{"localhost", "127.0.0.1"}).YAML() + "] }"
	if plain {
		s.origin, security = "http://"+host, ""
	}
	s.issuer = issuer.Start(t, append(flags, "-client", "site:"+secret+":"+s.origin+"/.straum/oidc/callback", "-user", "alice:"+password,
		"-after-logout", s.origin+"/bye")...)
	endpoint := wire.Listen(t, wire.Recording(s.seen, func(m *wire.Message) string {
		return wire.OK(fmt.Sprintf("<!doctype html><title>page</title><h1 id=title>%s sees %s</h1><a id=out href=/.straum/oidc/logout>out</a>", m.Target(), m.Get("X-Auth-Subject")))
	}))
	s.config = fmt.Sprintf(`
state: %q
listeners:
  - { name: main, address: %q, %s }
upstreams:
  app: { endpoints: [%q] }
routes:
  - { name: bye, match: { path: /bye }, upstream: app }
  - name: site
    match: { path: /* }
    upstream: app
    policies:
      - oidc:
          issuer: %q
          client_id: site
          client_secret: %q
          %s
`, t.TempDir(), address, security, endpoint.Addr, s.issuer.URL, secret, strings.Join(options, "\n          "))
	s.config = strings.ReplaceAll(s.config, "ISSUER", s.issuer.URL)
	s.Gateway = gateway.Start(t, s.config)
	return s
}

// browser is a client that keeps cookies, and everything it has seen of what is secret.
type browser struct {
	*http.Client
	t    testing.TB
	site *site

	mu      sync.Mutex
	secrets []string
}

func (s *site) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &browser{t: s.t, site: s}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.authority.Pool}, MaxIdleConnsPerHost: 64, ForceAttemptHTTP2: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	b.Client = &http.Client{Jar: jar, Transport: b.watching(transport), Timeout: gateway.Patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return b
}

// watching collects cookies and codes that go by.
func (b *browser) watching(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		b.mu.Lock()
		defer b.mu.Unlock()
		if code := r.URL.Query().Get("code"); code != "" {
			b.secrets = append(b.secrets, code)
		}
		if err == nil {
			for _, c := range response.Cookies() {
				b.secrets = append(b.secrets, c.Value)
			}
		}
		return response, err
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer is what a request got, with its body read.
type answer struct {
	*http.Response
	text string
}

func (a *answer) location() string { return a.Header.Get("Location") }

// get asks for a page as a browser does that goes there. Redirects are not followed.
func (b *browser) get(target string) *answer {
	b.t.Helper()
	a, err := b.do(http.MethodGet, target, nil, "Accept", "text/html")
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *browser) do(method, target string, form url.Values, fields ...string) (*answer, error) {
	if !strings.Contains(target, "://") {
		target = b.site.origin + target
	}
	r, err := http.NewRequest(method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	response, err := b.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return &answer{response, string(text)}, err
}

var action = regexp.MustCompile(`action="([^"]*)"`)

// arrive shows the login page and fills it in. It gives the answer that sends the browser back.
func (b *browser) arrive(at string) string {
	b.t.Helper()
	page := b.get(at)
	if page.StatusCode != 200 {
		return page.location() // the provider knows the browser
	}
	m := action.FindStringSubmatch(page.text)
	if m == nil {
		b.t.Fatalf("no login page but %s", page.text)
	}
	back, err := b.do(http.MethodPost, b.site.issuer.URL+strings.ReplaceAll(m[1], "&amp;", "&"), url.Values{"user": {"alice"}, "password": {password}})
	if err != nil {
		b.t.Fatal(err)
	}
	if back.StatusCode < 300 || back.StatusCode > 303 {
		b.t.Fatalf("the provider says %s: %s", back.Status, back.text)
	}
	return back.location()
}

// logIn goes to a page by way of a login, and gives the page.
func (b *browser) logIn(target string) *answer {
	b.t.Helper()
	sent := b.get(target)
	if sent.StatusCode != 302 || !strings.HasPrefix(sent.location(), b.site.issuer.URL+"/authorize?") {
		b.t.Fatalf("not sent to log in: %s, %q, %s", sent.Status, sent.location(), sent.text)
	}
	back := b.get(b.arrive(sent.location()))
	if back.StatusCode != 302 || back.location() != target {
		b.t.Fatalf("not sent back to %s: %s, %q, %s", target, back.Status, back.location(), back.text)
	}
	return b.get(back.location())
}

// silent checks that nothing secret that the browser has seen, and none of the test's secrets, is in a log, a metric or the admin's view.
func (b *browser) silent() {
	b.t.Helper()
	b.site.AwaitAccess("a callback", func(l gateway.Line) bool { return strings.HasSuffix(l.Text("path"), "/callback") })
	access, err := os.ReadFile(b.site.AccessPath)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.Get("http://" + b.site.Status + "/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	metrics, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for place, text := range map[string]string{"log": b.site.Log(), "access log": string(access), "metrics": string(metrics)} {
		if text == "" {
			b.t.Errorf("there is no %s", place)
		}
		for _, s := range append([]string{secret, password}, b.secrets...) {
			if len(s) > 8 && strings.Contains(text, s[len(s)/4:len(s)*3/4]) {
				b.t.Errorf("the %s tells a secret: %.12s…", place, s)
			}
		}
	}
}
