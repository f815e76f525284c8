package sandbox

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// manager plays the service manager.
type manager struct {
	mu   sync.Mutex
	told []string
}

func newManager(t *testing.T, socket string) *manager {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	m := &manager{}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

// count is how many of what it was told hold all the words.
func (m *manager) count(words ...string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
next:
	for _, told := range m.told {
		for _, w := range words {
			if !strings.Contains(told, w) {
				continue next
			}
		}
		n++
	}
	return n
}

func (m *manager) await(t *testing.T, words ...string) {
	t.Helper()
	gateway.Await(t, fmt.Sprintf("the manager is told %q", words), func() bool { return m.count(words...) > 0 })
}

func TestServiceManager(t *testing.T) {
	needsRoot(t)
	for _, kind := range []string{"a file", "no file"} {
		t.Run(kind, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "notify")
			if kind == "no file" {
				socket = fmt.Sprintf("@straum-test-%d", os.Getpid())
			}
			m := newManager(t, socket)
			listen, app := gateway.Free(t), endpoint(t)
			base := shutIn(listen, app, "")
			g := gateway.Start(t, base, gateway.Env("NOTIFY_SOCKET="+socket))
			m.await(t, "READY=1\n", "STATUS=revision 1 is in force\n", fmt.Sprintf("MAINPID=%d\n", g.Pid()))
			awaitSandbox(t, g)
			if !g.Logged("the sandbox is entered") {
				t.Error("it was ready before it was shut in")
			}
			if err := g.Reload(strings.Replace(base, "name: all", "name: every", 1)); err != nil {
				t.Fatal(err)
			}
			m.await(t, "RELOADING=1\n", "MONOTONIC_USEC=")
			m.await(t, "READY=1\n", "STATUS=revision 2 is in force\n")
			if err := g.Reload("nonsense"); err == nil {
				t.Fatal("nonsense was taken")
			}
			m.await(t, "READY=1\n", "STATUS=revision 2 is in force; what came after it was refused, see the log\n")
			if code := g.Stop(); code != 0 {
				t.Errorf("it ended with %d", code)
			}
			m.await(t, "STOPPING=1\n", "EXTEND_TIMEOUT_USEC=32000000\n")
			if m.count("WATCHDOG=1") > 0 {
				t.Error("a watchdog was fed that nobody asked for")
			}
		})
	}
}

// TestWatchdog feeds by visits of all kinds of listeners, which leave no trace, and no more once the process is stopped.
func TestWatchdog(t *testing.T) {
	needsRoot(t)
	socket := filepath.Join(t.TempDir(), "notify")
	m := newManager(t, socket)
	app, a := endpoint(t), gateway.NewAuthority(t)
	plain, secure, proxied, mutual := gateway.Free(t), gateway.Free(t), gateway.Free(t), gateway.Free(t)
	pair := a.Issue([]string{"api.example"}).YAML()
	config := fmt.Sprintf(`listeners:
  - { address: %q, name: plain, limits: { connections_per_client: 1 } }
  - { address: %q, name: secure, tls: { certificates: [%s], strict_sni: true } }
  - { address: %q, name: mutual, tls: { certificates: [%s], client: { ca: %q } } }
  - { address: %q, name: proxied, proxy_protocol: { from: [127.0.0.0/8] } }
  - { address: "unix:%s/listener", name: unix }
upstreams: { app: { endpoints: [%q] } }
routes: [{ name: all, match: { path: /* }, upstream: app }]
bans: {}
sandbox: {}
`, plain, secure, pair, mutual, pair, a.File, proxied, t.TempDir(), app)
	g := gateway.Start(t, config, gateway.Env("NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=3000000"))
	gateway.Await(t, "the watchdog is fed again and again", func() bool { return m.count("WATCHDOG=1\n") > 1 })
	if g.Logged("is not served") || g.Logged("cannot see") {
		t.Errorf("a listener was taken for dead:\n%s", g.Log())
	}
	for _, metric := range []string{"straum_requests_total", "straum_listener_accepted_total", "straum_listener_refused_total", "straum_tls_handshakes_total", "straum_listener_requests_total"} {
		if n := g.Numbers().Sum(metric); n > 0 {
			t.Errorf("visits were counted: %s is %g", metric, n)
		}
	}
	if lines := g.Access(); len(lines) > 0 {
		t.Errorf("visits were logged: %v", lines)
	}
	served(t, plain)
	if n := g.Numbers().Sum("straum_requests_total"); n != 1 {
		t.Errorf("one request was counted as %g", n)
	}

	g.Signal(syscall.SIGSTOP)
	time.Sleep(50 * time.Millisecond) // what it has sent before is read
	fed := m.count("WATCHDOG=1\n")
	time.Sleep(1100 * time.Millisecond) // it would have been fed by now
	if n := m.count("WATCHDOG=1\n"); n != fed {
		t.Errorf("a stopped process fed the watchdog %d times", n-fed)
	}
	g.Signal(syscall.SIGCONT)
	gateway.Await(t, "the watchdog is fed again", func() bool { return m.count("WATCHDOG=1\n") > fed })
}
