// Package content proves from outside, with the whole program, over HTTP/1.1 and HTTP/2, what becomes of bodies: those that are larger than a
// route allows, those that are not as a description says, and those that are changed on their way, there and back.
package content

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// front is a gateway with a listener for each protocol.
type front struct {
	*gateway.Gateway
	config string
	seen   recorder
	ways   []way
}

// recorder keeps the whole requests that reached an endpoint.
type recorder struct {
	mu  sync.Mutex
	all []*wire.Message
}

func (r *recorder) add(m *wire.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, m)
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
		t.Fatalf("%d requests reached the endpoint, want one", len(all))
	}
	return all[0]
}

// way is how a client asks.
type way struct {
	name, base string
	client     *http.Client
}

// open starts a gateway in front of an endpoint that answers as handle says, with files beside its configuration.
func open(t *testing.T, routes string, files map[string]string, answer func(*wire.Message) string) *front {
	t.Helper()
	f := &front{}
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if m.Has("Expect") && p.TrySend("HTTP/1.1 100 Continue\r\n\r\n") != nil || p.TryBody(m, "") != nil {
			return false // broken off on the way
		}
		f.seen.add(m)
		return p.TrySend(answer(m)) == nil
	})
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plain, secure := gateway.Free(t), gateway.Free(t)
	authority := gateway.NewAuthority(t)
	f.config = fmt.Sprintf(`
listeners:
  - address: %q
  - { address: %q, tls: { certificates: [ %s ] } }
upstreams: { app: { endpoints: [ %q ] } }
routes: %s
`, plain, secure, authority.Issue([]string{"localhost"}).YAML(), e.Addr, strings.ReplaceAll(routes, "DIR", dir))
	f.Gateway = gateway.Start(t, f.config)
	add := func(name, base string, transport *http.Transport) {
		t.Cleanup(transport.CloseIdleConnections)
		f.ways = append(f.ways, way{name, base, &http.Client{Transport: transport}})
	}
	add("http1", "http://"+plain, &http.Transport{DisableCompression: true})
	add("http2", "https://"+secure, &http.Transport{DisableCompression: true, ForceAttemptHTTP2: true, TLSClientConfig: authority.Trusting("localhost", "h2")})
	return f
}

// body is what a client sends, and how.
type body struct {
	text    string
	kind    string // Content-Type
	unknown bool   // no length is told
	more    string // further fields, separated by |
}

// answer is what it got.
type answer struct {
	*http.Response
	text string
}

func (w *way) ask(t *testing.T, method, path string, b body) answer {
	t.Helper()
	a, err := w.try(t, method, path, b)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// try is ask where the connection may end while the client still sends.
func (w *way) try(t *testing.T, method, path string, b body) (answer, error) {
	t.Helper()
	var content io.Reader
	if b.text != "" || b.unknown {
		content = strings.NewReader(b.text)
		if b.unknown {
			content = struct{ io.Reader }{content}
		}
	}
	r, err := http.NewRequest(method, w.base+path, content)
	if err != nil {
		t.Fatal(err)
	}
	if b.kind != "" {
		r.Header.Set("Content-Type", b.kind)
	}
	for field := range strings.SplitSeq(b.more, "|") {
		if name, value, is := strings.Cut(field, ": "); is {
			r.Header.Add(name, value)
		}
	}
	a, err := w.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return answer{}, err
	}
	if want := map[string]int{"http1": 1, "http2": 2}[w.name]; a.ProtoMajor != want {
		t.Fatalf("%s came over %s", path, a.Proto)
	}
	return answer{a, string(text)}, nil
}

// expect complains unless an answer has a status and says something.
func (a answer) expect(t *testing.T, what string, status int, says string) {
	t.Helper()
	if a.StatusCode != status || !strings.Contains(a.text, says) {
		t.Errorf("%s: %d %.300s, want %d with %s", what, a.StatusCode, a.text, status, says)
	}
}

// hello answers every request.
func hello(*wire.Message) string { return wire.OK("hello") }

// none complains when a request reached the endpoint.
func (f *front) none(t *testing.T, what string) {
	t.Helper()
	for _, m := range f.seen.Take() {
		t.Errorf("%s: the endpoint got %s", what, m.Start)
	}
}

// nothingHeld waits until all memory of bodies was given back.
func (f *front) nothingHeld(t *testing.T) {
	t.Helper()
	gateway.Await(t, "held bodies and answers to be given back", func() bool {
		return f.Number("straum_policy_held_body_bytes") == 0 && f.Number("straum_policy_held_answer_bytes") == 0
	})
}

const json = "application/json"

func repeated(n int) string { return string(bytes.Repeat([]byte("0123456789"), n/10)) }
