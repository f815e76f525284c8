package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/control/revision"
)

// everything is a configuration that reaches the world in every way there is.
const everything = `
listeners:
  - { name: redirect, address: ":80", https_redirect: 443 }
  - { name: main, address: ":443", tls: auto, proxy_protocol: { from: [10.0.0.0/8] }, limits: { connections_per_client: 3 } }
  - { name: other, address: "unix:/run/other.sock" }
upstreams:
  app:
    endpoints: [https://app.internal, https://app2.internal]
    health: { path: /healthz, body: fine }
    slow_start: 30s
    pool: { connections: 7 }
  grpc: { endpoints: [10.0.0.9:9000], protocol: http2 }
routes:
  - { name: app, match: { host: api.example.com, path: /orders/* }, upstream: app, policies: [ rate_limit: { rate: 5/s, store: redis }, cache: {} ] }
  - { name: grpc, match: { host: api.example.com, path: /rpc }, upstream: grpc }
acme: { email: me@example.com }
bans: { kernel: true }
redis: { addresses: [redis.internal:6379], tls: { ca: none.pem }, username: u, password: a-password-of-redis }
cache: { disk: { path: /var/cache/straum } }
log: { access: { to: /var/log/straum/access.log } }
admin: { address: "127.0.0.1:9901", token: "0123456789abcdef" }
state: /var/lib/straum
secret: 0123456789abcdef0123456789abcdef
`

// A rehearsal of it touches nothing of it, and can be put in force.
func TestRehearsalTouchesNothingReal(t *testing.T) {
	dir := t.TempDir()
	stage := &rehearsalStage{Dir: dir, State: filepath.Join(dir, "state"), Log: filepath.Join(dir, "access.log"), Cache: filepath.Join(dir, "cache"),
		Endpoints: []string{"127.0.0.1:1111", "127.0.0.1:2222"}, HTTP2: []string{"127.0.0.1:3333"}}
	c, compiled, err := judge(stage.set(revision.Text("everything.yaml", everything)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bindable(compiled); err != nil {
		t.Error(err)
	}
	if _, err := readable(c); err != nil {
		t.Error(err)
	}
	var addresses []string
	for i := range c.Listeners {
		addresses = append(addresses, c.Listeners[i].Address.String())
	}
	for _, u := range c.Upstreams {
		for _, e := range u.Endpoints {
			addresses = append(addresses, e.Address.String())
		}
	}
	want := []string{"127.0.0.1:0", "127.0.0.1:1111", "127.0.0.1:2222", "127.0.0.1:3333"}
	if !slices.Equal(addresses, want) {
		t.Errorf("addresses are %q, want %q", addresses, want)
	}
	for _, path := range []string{c.State, c.Log.Access.To, c.Cache.Disk.Path, c.Admin.Socket, c.Listeners[0].TLS.Certificates[0].Key} {
		if !strings.HasPrefix(path, dir) {
			t.Errorf("%s is not in the directory of the rehearsal", path)
		}
	}
	if names := compiled.ACME.Names; len(names) > 0 {
		t.Errorf("certificates would be ordered for %q", names)
	}
	if r := c.Redis; r.Addresses[0].String() != "127.0.0.1:1" || r.TLS != nil || !r.Password.IsZero() {
		t.Errorf("the shared store would be asked at %s", r.Addresses)
	}
	if !c.Admin.Address.IsZero() || c.Bans.Kernel || c.Metrics.Address.Host != "127.0.0.1" {
		t.Errorf("admin at %s, kernel bans %t, metrics at %s", c.Admin.Address, c.Bans.Kernel, c.Metrics.Address)
	}
	l, u := &c.Listeners[0], c.Upstream("app")
	if l.ProxyProtocol != nil || l.Limits.ConnectionsPerClient != 0 || u.Health != nil || u.TLS != nil || u.Protocol != "http1" {
		t.Errorf("the generator would be refused, or the endpoints asked for what they are not: %+v, %+v", l, u)
	}
	if u.Pool.Connections != 7 || c.Upstream("grpc").Protocol != "http2" {
		t.Error("what a request costs was changed")
	}
	stage.Redis = true
	if c, _, err = judge(stage.set(revision.Text("everything.yaml", everything))); err != nil || c.Redis.Addresses[0].String() != "redis.internal:6379" {
		t.Errorf("with --redis: %v, %v", c.Redis.Addresses, err)
	}
	if c, _, err = judge(revision.Text("everything.yaml", everything)); err != nil {
		t.Fatal(err)
	}
	if got := unlike(c, &c.Listeners[1], false); len(got) != 6 {
		t.Errorf("what is not rehearsed is told as %q", got)
	}
}

func TestRehearsedListener(t *testing.T) {
	c, _, err := judge(revision.Text("everything.yaml", everything))
	if err != nil {
		t.Fatal(err)
	}
	for want, address := range map[string]string{"": ":443", "other": "unix:/run/other.sock", ":80": ":80"} {
		if l, err := rehearsedListener(c, want); err != nil || l.Address.String() != address {
			t.Errorf("%q is %+v, %v", want, l, err)
		}
	}
	if _, err := rehearsedListener(c, "nobody"); err == nil || !strings.Contains(err.Error(), "redirect, main, other") {
		t.Error(err)
	}
}

func TestParseAnswer(t *testing.T) {
	for text, want := range map[string]string{"2ms,1KiB": "2ms 1024", "": "0s 1024", "10KiB": "0s 10240", "50ms": "50ms 1024", "0s,0": "0s 0", "1s,3": "1s 3", " 1ms , 20 ": "1ms 20"} {
		a, err := parseAnswer(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := fmt.Sprintf("%s %d", a.after, len(a.body)); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"soon", "2ms,1KiB,fast", "17MiB", "2m", "-1ms"} {
		if _, err := parseAnswer(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// Made-up endpoints answer what a gateway sends, also one request behind the other, and over HTTP/2.
func TestMadeUpEndpoints(t *testing.T) {
	a, err := parseAnswer("0s,2KiB")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go a.runListener(ln)
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"+
		"POST /b HTTP/1.1\r\nHost: x\r\ncontent-length: 5\r\n\r\n12345"+
		"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+
		"GET /d HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for i := range 4 {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if body, err := io.ReadAll(r.Body); err != nil || len(body) != 2048 || r.StatusCode != 200 {
			t.Errorf("answer %d: %d bytes, %v", i, len(body), err)
		}
	}
	h2, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go a.runHTTP2(h2)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get("http://" + h2.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); err != nil || len(body) != 2048 || r.ProtoMajor != 2 {
		t.Errorf("HTTP/%d, %d bytes, %v", r.ProtoMajor, len(body), err)
	}
}

// A rehearsal's directories are on the volumes that are meant, and are gone when it is over.
func TestRehearsalDirectories(t *testing.T) {
	parent := t.TempDir()
	r := &rehearsal{}
	made, err := r.dir(filepath.Join(parent, "not", "there"))
	if err != nil || filepath.Dir(made) != parent {
		t.Errorf("it is %s, %v", made, err)
	}
	if err := os.WriteFile(filepath.Join(made, "access.log"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := r.dir("/proc/1") // where nobody may make one
	if err != nil || filepath.Dir(elsewhere) != filepath.Clean(os.TempDir()) {
		t.Errorf("it is %s, %v", elsewhere, err)
	}
	r.close()
	for _, dir := range []string{made, elsewhere} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

// What a rehearsal left whose parent was killed is swept up, also what its gateway wrote last; nothing else is, whatever is asked.
func TestSweep(t *testing.T) {
	parent := t.TempDir()
	var dirs []string
	for _, name := range []string{"." + mark + "1", mark + "2", "state"} {
		dir := filepath.Join(parent, name)
		if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	pauses := 0
	sweep(append(dirs, "relative-"+mark), func() {
		if pauses++; pauses == 1 {
			_ = os.MkdirAll(filepath.Join(dirs[0], "late"), 0o700)
		}
	})
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 1 || left[0].Name() != "state" {
		t.Errorf("left are %v, %v", left, err)
	}
	again := 0
	if sweep(dirs[:2], func() { again++ }); again > 0 {
		t.Errorf("there is nothing left, and it waited %d times", again)
	}
}
