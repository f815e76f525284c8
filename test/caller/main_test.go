// Package caller proves from outside, with the whole program, who may call and what becomes of those who may not: each way to show who
// one is over each way in, several of them together, what they may do, and what a reload changes.
package caller

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// host is whom clients ask for.
const host = "api.example"

// front is a gateway with a listener without TLS and one with it, which takes certificates of clients.
type front struct {
	*gateway.Gateway
	plain, secure string             // addresses
	authority     *gateway.Authority // of the listener
	clients       *gateway.Authority // of clients' certificates
	config        string
	seen          *recorder // what reached the endpoint
}

// setting is what a front has besides.
type setting struct {
	endpoint  string // the address of one that answers otherwise than by 200 and "hello"
	upstream  string // of the upstream app, YAML indented by four
	listener  string // of both listeners, YAML indented by four
	consumers string // YAML indented by two
	routes    string // YAML indented by two
	more      string // at the top
	env       []string
}

// recorder keeps the whole requests that reached an endpoint. It bears those that break off.
type recorder struct {
	mu  sync.Mutex
	all []*wire.Message
}

// handle answers each with 200 and "hello".
func (r *recorder) handle(p *wire.Peer, m *wire.Message) bool {
	if p.TryBody(m, "") != nil {
		return false
	}
	r.mu.Lock()
	r.all = append(r.all, m)
	r.mu.Unlock()
	return p.TrySend(wire.OK("hello")) == nil
}

// Take returns what was recorded since the last call.
func (r *recorder) Take() []*wire.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// One returns the only request since the last call.
func (r *recorder) One(t *testing.T) *wire.Message {
	t.Helper()
	all := r.Take()
	if len(all) != 1 {
		t.Fatalf("%d requests reached the endpoint, want 1: %v", len(all), all)
	}
	return all[0]
}

// prepare makes the configuration of a front without starting it.
func prepare(t *testing.T, s setting) *front {
	t.Helper()
	f := &front{plain: gateway.Free(t), secure: gateway.Free(t), authority: gateway.NewAuthority(t), clients: gateway.NewAuthority(t), seen: &recorder{}}
	if s.endpoint == "" {
		s.endpoint = wire.Listen(t, f.seen.handle).Addr
	}
	f.config = fmt.Sprintf(`
listeners:
  - name: plain
    address: %q
%[2]s
  - name: secure
    address: %[3]q
    tls: { certificates: [%[4]s], client: { ca: %[5]q, mode: optional } }
%[2]s
upstreams:
  app:
    endpoints: [%[6]q]
    ejection: off
%[7]s
%[8]s
routes:
%[9]s
%[10]s`, f.plain, strings.TrimRight(s.listener, "\n"), f.secure, f.authority.Issue([]string{host, "127.0.0.1"}).YAML(), f.clients.File, s.endpoint,
		strings.TrimRight(s.upstream, "\n"), block("consumers:\n", s.consumers), strings.TrimRight(s.routes, "\n"), s.more)
	return f
}

func block(key, text string) string {
	if text == "" {
		return ""
	}
	return key + strings.TrimRight(text, "\n")
}

// open starts a gateway.
func open(t *testing.T, s setting) *front {
	t.Helper()
	f := prepare(t, s)
	f.Gateway = gateway.Start(t, f.config, gateway.Env(s.env...))
	return f
}

// way is a way in.
type way struct {
	name   string
	addr   string
	scheme string
	http2  bool
	client *http.Client
}

// way opens one with a client of its own, which shows a certificate if it has one.
func (f *front) way(t *testing.T, name string, certificate *gateway.Pair) *way {
	t.Helper()
	w := &way{name: name, addr: f.plain, scheme: "http", http2: strings.HasPrefix(name, "h2")}
	config := f.authority.Trusting(host)
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate.TLS, nil } // whoever is asked for
	}
	transport := &http.Transport{DisableCompression: true, TLSClientConfig: config, Protocols: new(http.Protocols), ExpectContinueTimeout: gateway.Patience}
	switch name {
	case "h1":
		transport.Protocols.SetHTTP1(true)
	case "h1+tls":
		transport.Protocols.SetHTTP1(true)
		w.addr, w.scheme = f.secure, "https"
	case "h2":
		transport.Protocols.SetHTTP2(true)
		w.addr, w.scheme = f.secure, "https"
	case "h2c":
		transport.Protocols.SetUnencryptedHTTP2(true)
	default:
		t.Fatalf("there is no way %s", name)
	}
	w.client = &http.Client{Transport: transport, Timeout: gateway.Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(transport.CloseIdleConnections)
	return w
}

// allWays are their names.
var allWays = []string{"h1", "h1+tls", "h2", "h2c"}

// answer is what a client got, read to its end.
type answer struct {
	*http.Response
	body []byte
}

// request makes a request for path. A body of unknown length has trailers when change sets some.
func (w *way) request(t *testing.T, method, path string, body []byte, change ...func(r *http.Request)) *http.Request {
	t.Helper()
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, w.scheme+"://"+w.addr+path, content)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for _, c := range change {
		if c != nil {
			c(r)
		}
	}
	return r
}

// do sends a request and reads the whole answer.
func (w *way) do(t *testing.T, r *http.Request) *answer {
	t.Helper()
	a, err := w.try(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return a
}

// try is do for any goroutine.
func (w *way) try(r *http.Request) (*answer, error) {
	a, err := w.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err == nil && w.http2 != (a.ProtoMajor == 2) {
		err = fmt.Errorf("the answer came by %s", a.Proto)
	}
	return &answer{a, body}, err
}

// get asks for a path with fields, as name and value in turn.
func (w *way) get(t *testing.T, path string, fields ...string) *answer {
	t.Helper()
	return w.do(t, w.request(t, "GET", path, nil, with(fields...)))
}

// with adds fields to a request, as name and value in turn.
func with(fields ...string) func(r *http.Request) {
	return func(r *http.Request) {
		for i := 0; i+1 < len(fields); i += 2 {
			r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1]) // not in the canonical form: names with underscores stay
		}
	}
}

// problem takes a problem document, without what differs from one request to the next.
func (a *answer) problem(t *testing.T) (code, rest string) {
	t.Helper()
	p := map[string]any{}
	if err := json.Unmarshal(a.body, &p); err != nil || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("no problem document, %v: %d %v %q", err, a.StatusCode, a.Header, a.body)
	}
	delete(p, "request_id")
	text, _ := json.Marshal(p)
	code, _ = p["code"].(string)
	return code, string(text)
}

// expect fails unless the answer has this status, problem code and these challenges.
func (a *answer) expect(t *testing.T, what string, status int, code string, challenges ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s: got %d %s, want %d", what, a.StatusCode, a.body, status)
		return
	}
	if code != "" {
		if got, _ := a.problem(t); got != code {
			t.Errorf("%s: got the code %q, want %q", what, got, code)
		}
	}
	if got := a.Header.Values("WWW-Authenticate"); strings.Join(got, "\n") != strings.Join(challenges, "\n") {
		t.Errorf("%s: got the challenges %q, want %q", what, got, challenges)
	}
}

// ran is what became of a program.
type ran struct {
	code        int
	out, errors string
}

// straum runs the program with a standard input, in the directory of a file if one is named.
func straum(t *testing.T, stdin string, env []string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*gateway.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, gateway.Program(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.Env = append(os.Environ(), env...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", args, err)
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// file writes a file of the test's own and returns its path.
func file(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	rewrite(t, path, text)
	return path
}

// rewrite replaces a file as a whole.
func rewrite(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// told are the fields by which the endpoint learnt who calls, and others of those that are ours, as NAME=VALUE.
func told(m *wire.Message) string {
	var all []string
	for _, f := range append(m.Fields, m.Trailers...) {
		name := strings.ToLower(strings.ReplaceAll(f.Name, "_", "-"))
		if strings.HasPrefix(name, "x-consumer-") || strings.HasPrefix(name, "x-auth-") || name == "x-anonymous-consumer" {
			all = append(all, strings.ToLower(f.Name)+"="+f.Value)
		}
	}
	return strings.Join(all, " ")
}

// authority is the name a request is for, as signatures have it.
func authority(r *http.Request) string { return strings.ToLower(cmp.Or(r.Host, r.URL.Host)) }
