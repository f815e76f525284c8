package admin

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"straum.dev/straum/internal/document"
)

// ask does one request and returns status, header and body.
func ask(t *testing.T, c *http.Client, method, path, body string, change func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

func problem(t *testing.T, header http.Header, body string) Problem {
	t.Helper()
	if got := header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("the content type is %q", got)
	}
	var p Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return p
}

func TestTheSocketIsForItsOwner(t *testing.T) {
	before := syscall.Umask(0) // the widest there is
	defer syscall.Umask(before)
	dir := filepath.Join(scratch(t), "run", "straum")
	path := filepath.Join(dir, "admin.sock")
	a := newWorld(t).admin()
	a.serveFor(t, Settings{Socket: path})
	for name, want := range map[string]fs.FileMode{path: 0o600, dir: 0o700, filepath.Dir(dir): 0o700} {
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has %04o, want %04o", name, info.Mode().Perm(), want)
		}
	}
	status, header, body := ask(t, caller(t, "unix", path), "GET", "/v1/status", "", nil)
	if status != 200 || !strings.Contains(body, `"version":"1.0.0"`) {
		t.Errorf("%d %s", status, body)
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("Access-Control-Allow-Origin") != "" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("header %v", header)
	}
}

func TestStaleSockets(t *testing.T) {
	path := socketIn(t)
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	refused(t, path, "another process answers")
	ln.Close()
	_, remove, err := openAndClose(path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	remove()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left behind")
	}

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "is there and no socket")
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Error("the file was touched")
	}
}

func TestOnlyOurSocketIsRemoved(t *testing.T) {
	path := socketIn(t)
	_, remove, err := openAndClose(path)
	if err != nil {
		t.Fatal(err)
	}
	_, successor, err := openAndClose(path) // finds ours stale
	if err != nil {
		t.Fatal(err)
	}
	remove()
	if _, err := os.Lstat(path); err != nil {
		t.Error("the successor's socket was removed")
	}
	successor()
}

func openAndClose(path string) (net.Listener, func(), error) {
	ln, remove, err := openSocket(path)
	if err == nil {
		ln.Close()
	}
	return ln, remove, err
}

func refused(t *testing.T, path, want string) {
	t.Helper()
	ln, _, err := openSocket(path)
	if err == nil {
		ln.Close()
		t.Fatalf("%s was opened, want an error with %q", path, want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want %q in it", err, want)
	}
}

func TestDirectoriesOthersCanWriteTo(t *testing.T) {
	dir := scratch(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	refused(t, filepath.Join(dir, "admin.sock"), "writable by others")
	refused(t, "admin.sock", "absolute")
	if err := os.Chmod(dir, 0o777|fs.ModeSticky); err != nil { // as /tmp
		t.Fatal(err)
	}
	if _, remove, err := openAndClose(filepath.Join(dir, "admin.sock")); err != nil {
		t.Error(err)
	} else {
		remove()
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to another user")
	}
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	refused(t, filepath.Join(dir, "admin.sock"), "belongs to user 65534")
}

func TestTheAddressAsksForTheToken(t *testing.T) {
	a := newWorld(t).admin()
	a.serveFor(t, Settings{Address: "127.0.0.1:0", Token: document.NewSecret(secret)})
	c := caller(t, "tcp", a.Addr().String())
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", token) }
	}
	f := func(authorization string, want int, challenge string) {
		t.Helper()
		for _, path := range []string{"/v1/status", "/v1/config", "/openapi.json", "/nothing"} {
			status, header, body := ask(t, c, "GET", path, "", bearer(authorization))
			if status != want && !(want == 200 && path == "/nothing" && status == 404) {
				t.Errorf("%s with %q: %d %s", path, authorization, status, body)
			}
			if got := header.Get("WWW-Authenticate"); got != challenge {
				t.Errorf("%s with %q: the challenge is %q, want %q", path, authorization, got, challenge)
			}
			if want == 401 {
				problem(t, header, body)
			}
		}
	}
	const plain, wrong = `Bearer realm="straum admin"`, `Bearer realm="straum admin", error="invalid_token"`
	f("", 401, plain)
	f("Basic "+secret, 401, plain)
	f(secret, 401, plain)
	f("Bearer", 401, wrong)
	f("Bearer "+secret[:len(secret)-1], 401, wrong)
	f("Bearer "+secret+"x", 401, wrong)
	f("Bearer "+secret, 200, "")
	f("bearer "+secret, 200, "")

	// A new token counts at once, on the connections that are there.
	if err := a.Apply(Settings{Address: "127.0.0.1:0", Token: document.NewSecret("another-token-of-ours")}); err != nil {
		t.Fatal(err)
	}
	f("Bearer "+secret, 401, wrong)
	f("Bearer another-token-of-ours", 200, "")
}

func TestRebinding(t *testing.T) {
	a := newWorld(t).admin()
	a.serveFor(t, Settings{Address: "127.0.0.1:0", Token: document.NewSecret(secret)})
	c := caller(t, "tcp", a.Addr().String())
	f := func(host string, want int) {
		t.Helper()
		status, header, body := ask(t, c, "GET", "/v1/status", "", func(r *http.Request) {
			r.Host = host
			r.Header.Set("Authorization", "Bearer "+secret)
		})
		if status != want {
			t.Errorf("Host %s: %d %s", host, status, body)
		}
		if want != 200 {
			problem(t, header, body)
		}
	}
	f("localhost", 200)
	f("LOCALHOST:9901", 200)
	f("127.0.0.1:9901", 200)
	f("127.3.2.1", 200)
	f("[::1]:9901", 200)
	f("[::1]", 200)
	f("evil.example.com", 421)
	f("evil.example.com:9901", 421)
	f("127.0.0.1.evil.example.com", 421)
	f("localhost.evil.example.com:9901", 421)
	f("10.0.0.1", 421)
	f("0.0.0.0", 421)
}

func TestOnlyLoopback(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		a := newWorld(t).admin()
		a.serveFor(t, Settings{})
		err := a.Apply(Settings{Address: address, Token: document.NewSecret(secret)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	f("0.0.0.0:0", "loopback")
	f(":0", "loopback")
	f("[::]:0", "loopback")
	f("10.1.2.3:0", "loopback")
	f("example.com:0", "loopback")
	f("127.0.0.1", "loopback address with a port")
	a := newWorld(t).admin()
	a.serveFor(t, Settings{})
	if err := a.Apply(Settings{Address: "127.0.0.1:0"}); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("without a token: %v", err)
	}
}

func TestSettingsChangeWhole(t *testing.T) {
	a := newWorld(t).admin()
	one, two := socketIn(t), socketIn(t)
	a.serveFor(t, Settings{Socket: one})
	c := caller(t, "unix", one)
	if status, _, _ := ask(t, c, "GET", "/v1/status", "", nil); status != 200 {
		t.Fatal(status)
	}
	if err := a.Apply(Settings{Socket: two, Address: "10.1.2.3:0", Token: document.NewSecret(secret)}); err == nil {
		t.Fatal("a bad address was taken")
	}
	if _, err := os.Lstat(two); err == nil {
		t.Error("the other socket was left behind")
	}
	if status, _, _ := ask(t, c, "GET", "/v1/status", "", nil); status != 200 {
		t.Error("the first socket is gone after an error")
	}
	if err := a.Apply(Settings{Socket: two}); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := ask(t, caller(t, "unix", two), "GET", "/v1/status", "", nil); status != 200 {
		t.Error("the second socket does not answer")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a.Close(ctx)
	for _, path := range []string{one, two} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left behind", path)
		}
	}
	if err := a.Apply(Settings{Socket: one}); err == nil {
		t.Error("a closed API was opened again")
	}
}

// A reload that moves the door it came in by ends all the same.
func TestReloadThatMovesTheDoor(t *testing.T) {
	w := newWorld(t)
	a := w.admin()
	one, two := socketIn(t), socketIn(t)
	a.sources.Revisions = mover{w, func() error { return a.Apply(Settings{Socket: two}) }}
	a.serveFor(t, Settings{Socket: one})
	if status, _, body := ask(t, caller(t, "unix", one), "POST", "/v1/reload", "", nil); status != 200 || !strings.Contains(body, `"revision":4`) {
		t.Errorf("%d %s", status, body)
	}
}

type mover struct {
	*world
	move func() error
}

func (m mover) Reload(cause string) (bool, error) {
	if err := m.move(); err != nil {
		return false, err
	}
	return m.world.Reload(cause)
}
