package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"straum.dev/straum/test/gateway"
)

// front is a gateway with a listener without TLS, one with it, and an admin socket. Its route has the policy cache alone.
type front struct {
	*gateway.Gateway
	t             *testing.T
	plain, secure string // addresses
	socket        string
	config        string
	h1, tls, h2   *http.Client // HTTP/1.1; the same over TLS; HTTP/2
}

// setting is what differs between fronts.
type setting struct {
	endpoint string // its address
	policy   string // of the route, in YAML; `cache: {}` when empty
	upstream string // further keys of the upstream, in YAML in one line
	more     string // at the top
}

func open(t *testing.T, s setting) *front {
	t.Helper()
	f := prepare(t, s)
	f.Gateway = gateway.Start(t, f.config)
	return f
}

// prepare is open without a running gateway.
func prepare(t *testing.T, s setting) *front {
	t.Helper()
	dir, err := os.MkdirTemp("", "straum") // with a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	authority := gateway.NewAuthority(t)
	f := &front{t: t, plain: gateway.Free(t), secure: gateway.Free(t), socket: filepath.Join(dir, "admin.sock"),
		h1: client(t, authority, "http/1.1"), tls: client(t, authority, "http/1.1"), h2: client(t, authority, "h2")}
	if s.policy == "" {
		s.policy = "cache: {}"
	}
	if s.upstream != "" {
		s.upstream = ", " + s.upstream
	}
	f.config = fmt.Sprintf(`
listeners:
  - { name: plain, address: %q }
  - { name: secure, address: %q, tls: { certificates: [%s] } }
upstreams:
  app: { endpoints: [%q], ejection: off%s }
routes:
  - { name: all, match: { path: /* }, upstream: app, policies: [{ %s }] }
admin: { socket: %q }
state: %q
%s
`, f.plain, f.secure, authority.Issue([]string{"127.0.0.1"}).YAML(), s.endpoint, s.upstream, s.policy, f.socket, filepath.Join(dir, "state"), s.more)
	return f
}

// client is one that keeps connections of its own and follows nothing.
func client(t *testing.T, a *gateway.Authority, protocol string) *http.Client {
	transport := &http.Transport{TLSClientConfig: a.Trusting("127.0.0.1", protocol), ForceAttemptHTTP2: protocol == "h2", MaxIdleConnsPerHost: 64, DisableCompression: true}
	if protocol != "h2" {
		transport.TLSNextProto = nil
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(true)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: gateway.Patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// url is that of a path without TLS.
func (f *front) url(path string) string { return "http://" + f.plain + path }

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// hit says whether the gateway says that it had the answer.
func (a answer) hit() bool {
	status := a.header.Values("Cache-Status")
	if len(status) == 0 {
		return false
	}
	members := strings.Split(status[len(status)-1], ",")
	return strings.Contains(members[len(members)-1]+";", "; hit;") || strings.Contains(members[len(members)-1]+";", ";hit;")
}

// try asks once. fields are name and value in turn.
func try(c *http.Client, method, url string, fields ...string) (answer, error) {
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	got, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	return read(got)
}

// read reads an answer to its end.
func read(got *http.Response) (answer, error) {
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	return answer{got.StatusCode, got.Header, body}, err
}

// get asks for a path over HTTP/1.1 without TLS.
func (f *front) get(path string, fields ...string) answer {
	f.t.Helper()
	got, err := try(f.h1, http.MethodGet, f.url(path), fields...)
	if err != nil {
		f.t.Fatalf("%s: %v", path, err)
	}
	return got
}

// command runs straum cache.
func (f *front) command(args ...string) (out string, code int) {
	f.t.Helper()
	cmd := exec.Command(gateway.Program(f.t), append(append([]string{"cache"}, args...), "--socket", f.socket)...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// must runs straum cache, which has to succeed.
func (f *front) must(args ...string) string {
	f.t.Helper()
	out, code := f.command(args...)
	if code != 0 {
		f.t.Fatalf("straum cache %s: code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// origin is an endpoint whose answers are never the same twice: each has a number and carries its checksum. The path says how long it is: /1000/name.
type origin struct {
	addr    string
	control atomic.Pointer[string] // Cache-Control
	asked   atomic.Int64           // which is the number of the last answer too
	server  *http.Server
}

func newOrigin(t *testing.T, control string) *origin {
	t.Helper()
	o := &origin{addr: gateway.Free(t)}
	o.control.Store(&control)
	o.up(t)
	t.Cleanup(o.down)
	return o
}

// up has it listen, also after down.
func (o *origin) up(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	o.server = &http.Server{Handler: o}
	go o.server.Serve(listener)
}

// down ends it with its connections.
func (o *origin) down() { o.server.Close() }

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	size, _ := strconv.Atoi(strings.Split(r.URL.Path, "/")[1]) // what is no number is short
	number := o.asked.Add(1)
	body := content(number, size)
	w.Header().Set("Cache-Control", *o.control.Load())
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("ETag", fmt.Sprintf("%q", strconv.FormatInt(number, 10)))
	w.Header().Set("X-Number", strconv.FormatInt(number, 10))
	_, _ = w.Write(body) // a client that has gone is none of its business
}

// noise is what contents are cut from.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 33<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(b) // never fails
	return b
})

// content is one of a size: the SHA-256 of the rest in hexadecimal, its number, and noise.
func content(number int64, size int) []byte {
	size = max(size, 80)
	b := make([]byte, size)
	copy(b[64:], fmt.Sprintf("%016d", number))
	copy(b[80:], noise()[number*4099%(1<<20):])
	sum := sha256.Sum256(b[64:])
	hex.Encode(b, sum[:])
	return b
}

// whole says whether an answer is one that the origin gave, from its first byte to its last, with the head that belongs to it.
func whole(a answer) error {
	if a.status != http.StatusOK {
		return fmt.Errorf("status %d: %.200q", a.status, a.body)
	}
	if len(a.body) < 80 {
		return fmt.Errorf("%d bytes: %q", len(a.body), a.body)
	}
	sum := sha256.Sum256(a.body[64:])
	if want := hex.EncodeToString(sum[:]); want != string(a.body[:64]) {
		return fmt.Errorf("the content is damaged: %d bytes, SHA-256 %s, and it says %q; %s", len(a.body), want, a.body[:64], difference(a))
	}
	if n := number(a); strconv.FormatInt(n, 10) != a.header.Get("X-Number") || a.header.Get("ETag") != fmt.Sprintf("%q", a.header.Get("X-Number")) {
		return fmt.Errorf("the content is of answer %d, the head of %s", n, a.header.Get("X-Number"))
	}
	return nil
}

// difference says where a damaged content is another than the origin gave.
func difference(a answer) string {
	n, _ := strconv.ParseInt(a.header.Get("X-Number"), 10, 64) // 0 is another content altogether
	right := content(n, len(a.body))
	first, last, count := -1, -1, 0
	for i := range right {
		if right[i] != a.body[i] {
			if first < 0 {
				first = i
			}
			last = i
			count++
		}
	}
	return fmt.Sprintf("%d bytes are other ones, from %d to %d; the first is %#x for %#x", count, first, last, a.body[first], right[first])
}

// number is that of the answer whose content this is.
func number(a answer) int64 {
	n, _ := strconv.ParseInt(string(bytes.TrimLeft(a.body[64:80], "0")), 10, 64) // 0 is none
	return n
}

// soon asks until the answer comes from the cache.
func (f *front) soon(path string, fields ...string) answer {
	f.t.Helper()
	var got answer
	gateway.Await(f.t, path+" comes from the cache", func() bool {
		got = f.get(path, fields...)
		return got.hit()
	})
	return got
}
