// Package ban bans real clients of the running program: scanners beside good clients, spoofed addresses, restarts, the commands, and the
// doors: connections that are dropped as they are accepted, and packets by the kernel. It knows the program from outside alone.
package ban

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// front is a gateway with bans behind a trusted proxy, which the tests are.
type front struct {
	*gateway.Gateway
	t      *testing.T
	addr   string
	config string
	socket string
	client *http.Client
	door   *http.Client // to the admin API
}

// keys are those of consumers c0 to c9.
func key(i int) string { return fmt.Sprintf("key-of-consumer-%d-that-nobody-guesses", i) }

func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// settings of a front; listener and bans are YAML.
func open(t *testing.T, listener, bans string) *front {
	t.Helper()
	f := prepare(t, listener, bans)
	f.Gateway = gateway.Start(t, f.config)
	return f
}

func prepare(t *testing.T, listener, bans string) *front {
	t.Helper()
	dir, err := os.MkdirTemp("", "straum") // with a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &front{t: t, addr: gateway.Free(t), socket: filepath.Join(dir, "admin.sock")}
	endpoint := wire.Listen(t, wire.Answering(wire.OK("ok")))
	consumers := ""
	for i := range 10 {
		consumers += fmt.Sprintf("  - { id: c%d, credentials: [{ api_key: %q }] }\n", i, keyHash(key(i)))
	}
	_, port, _ := net.SplitHostPort(f.addr)
	f.config = fmt.Sprintf(`
listeners:
  - name: main
    address: ":%s"
    %s
upstreams:
  app: { endpoints: [%q] }
consumers:
%sroutes:
  - name: open
    match: { path: /open/* }
    upstream: app
  - name: closed
    match: { path: /closed/* }
    upstream: app
    policies: [{ api_key: {} }]
admin: { socket: %q }
state: %q
%s
`, port, listener, endpoint.Addr, consumers, f.socket, filepath.Join(dir, "state"), bans)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	f.client = &http.Client{Transport: transport, Timeout: gateway.Patience}
	f.door = &http.Client{Timeout: gateway.Patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", f.socket)
	}}}
	return f
}

const behindProxy = "trusted_proxies: [127.0.0.0/8]"

// ask asks for a path as a client would through the proxy; credential may be empty. It returns the status.
func (f *front) ask(client, path, credential string) int {
	f.t.Helper()
	status, err := f.try(client, path, credential)
	if err != nil {
		f.t.Errorf("%s from %s: %v", path, client, err)
	}
	return status
}

func (f *front) try(client, path, credential string) (int, error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+f.addr+path, nil)
	if err != nil {
		return 0, err
	}
	if client != "" {
		r.Header.Set("X-Forwarded-For", client)
	}
	if credential != "" {
		r.Header.Set("X-API-Key", credential)
	}
	answer, err := f.client.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	return answer.StatusCode, err
}

// guess shows bad credentials until it is refused, n times at most, and returns how often that took.
func (f *front) guess(client string, n int) int {
	f.t.Helper()
	for i := range n {
		if f.ask(client, "/closed/a", fmt.Sprintf("guess-%d-of-some-length-or-other", i)) == http.StatusForbidden {
			return i
		}
	}
	return n
}

// program is straum ban, ready to run.
func (f *front) program(args ...string) *exec.Cmd {
	return exec.Command(gateway.Program(f.t), append(append([]string{"ban"}, args...), "--socket", f.socket)...)
}

// run runs straum ban.
func (f *front) run(args ...string) (out string, code int) {
	f.t.Helper()
	cmd := f.program(args...)
	cmd.Env = append(os.Environ(), "SSH_CONNECTION=", "SSH_CLIENT=", "SUDO_USER=olivia")
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// must runs straum ban, which has to succeed.
func (f *front) must(args ...string) string {
	f.t.Helper()
	out, code := f.run(args...)
	if code != 0 {
		f.t.Fatalf("straum ban %s: code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

type listed struct {
	On     bool
	Total  int
	DryRun bool `json:"dry_run"`
	Bans   []struct {
		Network, How, Reason, By string
		InForce                  bool `json:"in_force"`
		Count                    int
		Began                    time.Time
		Until                    *time.Time
	}
	Kernel *struct {
		Given   int
		Problem string
	}
}

func (f *front) list() (l listed) {
	f.t.Helper()
	f.fetch("/v1/bans", &l)
	return l
}

type explained struct {
	How       string
	Score     float64
	Count     int
	Consumers int
	Signals   []struct {
		Signal string
		Points float64
	}
	Bans  []struct{ Network string }
	Never *struct{ Network, Why string }
}

func (f *front) why(address string) (w explained) {
	f.t.Helper()
	f.fetch("/v1/bans/why?address="+url.QueryEscape(address), &w)
	return w
}

// fetch reads a page of the admin API, which takes a hundredth of what the program takes that shows it.
func (f *front) fetch(path string, into any) {
	f.t.Helper()
	answer, err := f.door.Get("http://admin" + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil || answer.StatusCode != http.StatusOK {
		f.t.Fatalf("%s: %d, %v", path, answer.StatusCode, err)
	}
}

// reset says whether a connection was reset rather than ended.
func reset(nc net.Conn) error {
	nc.SetReadDeadline(time.Now().Add(gateway.Patience))
	n, err := nc.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("read %d bytes, %w; want a reset", n, err)
	}
	return nil
}
