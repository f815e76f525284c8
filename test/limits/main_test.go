// Package limits proves from outside, with the whole program and a real Redis, how much a caller may have: rates, quotas, requests under way
// and what is shed; that many clients at once never get more, whatever becomes of the store; and what outlives a reload, a restart and a crash.
package limits

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// host is whom clients ask for.
const host = "api.example"

// The consumers of all tests; each has the key of its name.
var consumers = []string{"acme", "bob", "carl"}

// key is what a consumer shows.
func key(consumer string) string { return "the-key-of-" + consumer + "-that-nobody-guesses" }

func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// front is a running gateway with a listener without TLS and one with it. It trusts what the tests say in X-Forwarded-For.
type front struct {
	*gateway.Gateway
	t             *testing.T
	plain, secure string // addresses
	config        string
	arrived       atomic.Int64 // requests at the endpoint app
	h1, h2        *http.Client
}

// setting is what a front has besides.
type setting struct {
	endpoint  string // the address of another endpoint than one that answers at once
	upstreams string // YAML indented by two
	routes    string // YAML indented by two
	plans     map[string]string
	more      string // at the top
}

// open starts a gateway.
func open(t *testing.T, s setting) *front {
	t.Helper()
	authority := gateway.NewAuthority(t)
	f := &front{t: t, plain: gateway.Free(t), secure: gateway.Free(t), h1: client(t, authority, false), h2: client(t, authority, true)}
	if s.endpoint == "" {
		s.endpoint = wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
			if p.TryBody(m, "") != nil {
				return false
			}
			f.arrived.Add(1)
			return p.TrySend(wire.OK("hello")) == nil
		}).Addr
	}
	text := &strings.Builder{}
	fmt.Fprintf(text, `
listeners:
  - { name: plain, address: %q, trusted_proxies: [127.0.0.0/8] }
  - { name: secure, address: %q, trusted_proxies: [127.0.0.0/8], tls: { certificates: [%s] } }
upstreams:
  app: { endpoints: [%q], ejection: off }
%s
consumers:
`, f.plain, f.secure, authority.Issue([]string{host, "127.0.0.1"}).YAML(), s.endpoint, strings.TrimRight(s.upstreams, "\n"))
	for _, c := range consumers {
		plan := ""
		if s.plans[c] != "" {
			plan = ", plan: " + s.plans[c]
		}
		fmt.Fprintf(text, "  - { id: %s%s, credentials: [ { api_key: %q } ] }\n", c, plan, keyHash(key(c)))
	}
	fmt.Fprintf(text, "routes:\n%s\nstate: %q\n%s\n", strings.TrimRight(s.routes, "\n"), t.TempDir(), s.more)
	f.config = text.String()
	f.Gateway = gateway.Start(t, f.config)
	return f
}

// client is one that keeps as many connections as it needs; over HTTP/2 it has one.
func client(t *testing.T, authority *gateway.Authority, http2 bool) *http.Client {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 200, TLSClientConfig: authority.Trusting(host), Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: gateway.Patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// change puts another configuration in force.
func (f *front) change(old, new string) {
	f.t.Helper()
	next := strings.Replace(f.config, old, new, 1)
	if next == f.config {
		f.t.Fatalf("the configuration has no %s", old)
	}
	if err := f.Reload(next); err != nil {
		f.t.Fatal(err)
	}
	f.config = next
}

// restart starts it anew after it has ended.
func (f *front) restart() {
	f.t.Helper()
	<-f.Ended()
	f.Gateway = gateway.Start(f.t, f.config)
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	text   string
	err    error
}

func (a answer) String() string {
	return fmt.Sprintf("%d %v %.200q %v", a.status, a.header, a.text, a.err)
}

// code is that of a problem document.
func (a answer) code() string {
	var problem struct{ Code string }
	_ = json.Unmarshal([]byte(a.text), &problem) // the empty code tells
	return problem.Code
}

// get asks for a path with fields, as name and value in turn. It may be called from any goroutine.
func (f *front) get(path string, fields ...string) answer {
	return f.over(f.h1, path, fields...)
}

func (f *front) over(client *http.Client, path string, fields ...string) answer {
	url := "http://" + f.plain + path
	if client == f.h2 {
		url = "https://" + f.secure + path
	}
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return answer{err: err}
	}
	r.Host = host
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text), err}
}

// as are the fields of a consumer's request.
func as(consumer string) []string { return []string{"X-Api-Key", key(consumer)} }

// from are the fields by which a request comes from an address.
func from(address string) []string { return []string{"X-Forwarded-For", address} }

// want fails unless the answer has the status, and the code of a problem if one is given.
func (f *front) want(what string, a answer, status int, code string) {
	f.t.Helper()
	if a.err != nil || a.status != status || code != "" && a.code() != code {
		f.t.Errorf("%s: got %v, want %d %s", what, a, status, code)
	}
}

// use asks n times and wants that all pass.
func (f *front) use(what string, n int, path string, fields ...string) {
	f.t.Helper()
	for i := range n {
		if a := f.get(path, fields...); a.err != nil || a.status != 200 {
			f.t.Errorf("%s: request %d of %d: got %v, want 200", what, i+1, n, a)
			return
		}
	}
}

// left is how many more requests a route grants, up to 1000. It uses them up.
func (f *front) left(path string, fields ...string) int {
	f.t.Helper()
	for n := range 1000 {
		switch a := f.get(path, fields...); a.status {
		case 200:
		case 429:
			return n
		default:
			f.t.Fatalf("%s: got %v", path, a)
		}
	}
	return 1000
}

// told is what the field RateLimit says is left (draft-ietf-httpapi-ratelimit-headers-11 §4); -1 when it does not.
func (a answer) told() int {
	_, rest, ok := strings.Cut(a.header.Get("RateLimit"), ";r=")
	digits, _, _ := strings.Cut(rest, ";")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return -1
	}
	return n
}

// degraded is what /readyz says works without.
func (f *front) degraded() string {
	f.t.Helper()
	a := f.page("/readyz")
	var page struct {
		Ready    bool
		Degraded []struct{ Check, Reason string }
	}
	if err := json.Unmarshal([]byte(a.text), &page); err != nil || a.status != 200 || !page.Ready {
		f.t.Errorf("/readyz is %v, %v", a, err)
	}
	var all []string
	for _, d := range page.Degraded {
		if d.Reason == "" {
			f.t.Errorf("/readyz gives no reason: %s", a.text)
		}
		all = append(all, d.Check)
	}
	return strings.Join(all, " ")
}

// page asks the listener of metrics.
func (f *front) page(path string) answer {
	f.t.Helper()
	r, err := http.Get("http://" + f.Status + path)
	if err != nil {
		return answer{err: err}
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return answer{r.StatusCode, r.Header, string(text), err}
}

// noon is a zone where no day ends while a test runs.
func noon() string {
	if h := time.Now().UTC().Hour(); h >= 6 && h < 18 {
		return "UTC"
	}
	return "Etc/GMT+12" // which is twelve hours behind (POSIX)
}

// lines waits until the access log has so many lines.
func (f *front) lines(lines int) {
	f.t.Helper()
	gateway.Await(f.t, fmt.Sprintf("%d lines of the access log", lines), func() bool { return strings.Count(f.accessText(), "\n") >= lines })
}

// read reads a file.
func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// accessText is the access log as it is written.
func (f *front) accessText() string {
	return string(read(f.t, f.AccessPath))
}

// stateFiles are the files that outlive the program whose names match.
func (f *front) stateFiles(pattern string) []string {
	_, rest, _ := strings.Cut(f.config, "\nstate: \"")
	dir, _, _ := strings.Cut(rest, "\"")
	all, err := filepath.Glob(filepath.Join(dir, cmp.Or(pattern, "*")))
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}
