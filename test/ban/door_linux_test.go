package ban

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

const insideVariable = "BAN_TEST_INSIDE"

// ownNetwork runs the test once more in a network of its own and says true there. Whole networks of clients are on its loopback: they lead
// there without being addresses of the box, which are never banned.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=150s")
		cmd.Env = append(os.Environ(), insideVariable+"=1", "STRAUM_PROGRAM="+gateway.Program(t))
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
			Pdeathsig:   syscall.SIGKILL,
		}
		out, err := cmd.CombinedOutput()
		switch {
		case cmd.ProcessState == nil:
			t.Skipf("no namespaces may be made here: %v", err)
		case strings.Contains(string(out), "--- SKIP"):
			t.Skipf("%s", out)
		case err != nil || !strings.Contains(string(out), "--- PASS"):
			t.Errorf("%v\n%s", err, out)
		default:
			t.Logf("%s", out)
		}
		return false
	}
	for _, order := range []string{"link set lo up", "route add local 203.0.113.0/24 dev lo", "-6 route add local 2001:db8::/32 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(order)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v %s", order, err, out)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/ip_nonlocal_bind", []byte("1"), 0); err != nil {
		t.Skip(err)
	}
	return true
}

// connect connects from an address to a port of the gateway.
func connect(from, port string) (net.Conn, error) {
	to := "203.0.113.1"
	if strings.Contains(from, ":") {
		to = "2001:db8:ffff::1"
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: gateway.Patience}
	return d.Dial("tcp", net.JoinHostPort(to, port))
}

// get asks on a connection of its own and returns the status; 0 when the connection was reset.
func get(t *testing.T, from, port, request string) int {
	t.Helper()
	nc, err := connect(from, port)
	if errors.Is(err, syscall.ECONNRESET) {
		return 0 // faster than the dialer
	}
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(gateway.Patience))
	_, _ = io.WriteString(nc, request) // it may be reset already
	var head [12]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return 0
	}
	status, err := strconv.Atoi(string(head[9:]))
	if err != nil {
		t.Fatalf("answered %q", head)
	}
	return status
}

const (
	good      = "GET /open/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	malformed = "GET /open/a HTTP/1.1\r\nHost : x\r\n\r\n"
	guessed   = "GET /closed/a HTTP/1.1\r\nHost: x\r\nX-API-Key: guessed-by-somebody-or-other\r\nConnection: close\r\n\r\n"
)

// TestTheDoorIsShut drops connections of banned peers as they are accepted.
func TestTheDoorIsShut(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	own := gateway.NewAuthority(t).Issue([]string{"straum.test"})
	_, securePort, _ := net.SplitHostPort(gateway.Free(t))
	f := prepare(t, "", "bans: { ladder: [drop] }")
	f.config = strings.Replace(f.config, "listeners:\n", fmt.Sprintf("listeners:\n  - { name: secure, address: %q, tls: { certificates: [%s] } }\n", ":"+securePort, own.YAML()), 1)
	f.Gateway = gateway.Start(t, f.config)
	_, port, _ := net.SplitHostPort(f.addr)

	// until is how many tries it takes to be dropped.
	until := func(what string, most int, try func(i int) (dropped bool)) {
		t.Helper()
		for i := range most + 1 {
			if try(i) {
				t.Logf("%s: dropped after %d", what, i)
				return
			}
		}
		t.Errorf("%s: not dropped after %d", what, most)
	}
	until("malformed requests", 40, func(int) bool { return get(t, "203.0.113.66", port, malformed) == 0 })
	until("bad credentials, each from another address of one /64", 25, func(i int) bool {
		return get(t, fmt.Sprintf("2001:db8:0:1::%x", i+1), port, guessed) == 0
	})
	until("handshakes broken off", 60, func(i int) bool {
		nc, err := connect("203.0.113.68", securePort)
		if errors.Is(err, syscall.ECONNRESET) {
			return true
		}
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(gateway.Patience))
		helloTo(nc)
		_, err = io.ReadFull(nc, make([]byte, 5))
		return err != nil
	})
	until("no TLS", 60, func(i int) bool {
		return get(t, "203.0.113.69", securePort, "SSH-2.0-nmap\r\n") == 0 && f.why("203.0.113.69").How == "drop"
	})

	for _, banned := range []string{"203.0.113.66", "2001:db8:0:1::ffff"} {
		nc, err := connect(banned, port)
		if err == nil {
			err = reset(nc)
		}
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", banned, err)
		}
	}
	for _, other := range []string{"203.0.113.67", "2001:db8:0:2::1"} {
		if status := get(t, other, port, good); status != http.StatusOK {
			t.Errorf("%s is answered %d", other, status)
		}
	}
	// Nobody who only looks whether somebody listens is banned.
	for range 120 {
		nc, err := connect("203.0.113.70", securePort)
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
	if w := f.why("203.0.113.70"); w.Score != 0 {
		t.Errorf("a monitor: %+v", w)
	}

	// What a dropped connection costs.
	many := 20_000
	if gateway.Race {
		many = 2000 // what it costs is of no interest then
	}
	before, dropped := f.CPU(), f.Number("straum_listener_refused_total", `reason="banned"`)
	began := time.Now()
	for range many {
		nc, err := connect("203.0.113.66", port)
		if err != nil {
			continue // the reset was faster
		}
		nc.(*net.TCPConn).SetLinger(0)
		nc.Close()
	}
	gateway.Await(t, "all are dropped", func() bool {
		return f.Number("straum_listener_refused_total", `reason="banned"`)-dropped >= 0.9*float64(many)
	})
	n := f.Number("straum_listener_refused_total", `reason="banned"`) - dropped
	t.Logf("%v connections dropped in %v; %.2f µs of processor time each, the client's end of each on the same loopback included in part",
		n, time.Since(began).Round(time.Millisecond), float64((f.CPU()-before).Microseconds())/n)
	if status := get(t, "203.0.113.67", port, good); status != http.StatusOK {
		t.Errorf("somebody else is answered %d", status)
	}
	f.must("remove", "203.0.113.66")
	if status := get(t, "203.0.113.66", port, good); status != http.StatusOK {
		t.Errorf("after it was removed: %d", status)
	}
}

// helloTo says the first thing of a handshake, and nothing after it.
func helloTo(nc net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_ = tls.Client(once{nc}, &tls.Config{ServerName: "straum.test"}).HandshakeContext(ctx)
}

// once lets its user write and hears nothing.
type once struct{ net.Conn }

func (once) Read([]byte) (int, error) { return 0, io.EOF }
func (once) Close() error             { return nil }

// TestTheKernelDrops has nftables drop the packets of a banned peer.
func TestTheKernelDrops(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	f := open(t, "", "bans: { ladder: [kernel], kernel: true, first: 1h }")
	_, port, _ := net.SplitHostPort(f.addr)
	const bad = "203.0.113.66"
	ban := func() {
		t.Helper()
		for range 20 {
			if get(t, bad, port, guessed) == 0 || f.why(bad).How == "kernel" {
				return
			}
		}
		t.Fatal("not banned")
	}
	given := func(n int) {
		t.Helper()
		gateway.Await(t, "the kernel is told", func() bool {
			k := f.list().Kernel
			if k != nil && strings.Contains(k.Problem, "nftables") {
				t.Skip(k.Problem)
			}
			return k != nil && k.Given == n && k.Problem == ""
		})
	}
	held := func() <-chan error {
		t.Helper()
		out := make(chan error, 1)
		go func() {
			nc, err := connect(bad, port)
			if err == nil {
				nc.Close()
			}
			out <- err
		}()
		gateway.Await(t, "the packet that opens the connection is sent again", func() bool { return sentAgain(t) })
		return out
	}
	ban()
	given(1)
	out := held()
	if n := f.Number("straum_listener_refused_total", `reason="banned"`); n > 1 { // one may have come before the kernel was told
		t.Errorf("%v connections reached the gateway", n)
	}
	if status := get(t, "203.0.113.67", port, good); status != http.StatusOK {
		t.Errorf("somebody else is answered %d", status)
	}
	f.must("remove", bad)
	if err := <-out; err != nil {
		t.Errorf("after it was removed: %v", err)
	}
	given(0)

	// A gateway that is killed leaves its table; the next one makes it anew.
	ban()
	given(1)
	gateway.Await(t, "the ban is on disk", func() bool {
		text, _ := os.ReadFile(strings.TrimSuffix(f.socket, "admin.sock") + "state/bans")
		return strings.Contains(string(text), bad)
	})
	f.Signal(syscall.SIGKILL)
	f.Wait()
	f.Gateway = gateway.Start(t, f.config)
	given(1)
	out = held()

	// Turned off by a reload, whoever was held gets as far as the door.
	if err := f.Reload(strings.Replace(f.config, "kernel: true", "kernel: false", 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-out; err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("with the kernel off: %v", err)
	}
	gateway.Await(t, "the gateway drops it", func() bool { return f.Number("straum_listener_refused_total", `reason="banned"`) > 0 })
	if err := f.Reload(f.config); err != nil {
		t.Fatal(err)
	}
	given(1)

	// A gateway that ends in order leaves nothing.
	out = held()
	if code := f.Stop(); code != 0 {
		t.Errorf("code %d", code)
	}
	ln, err := net.Listen("tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := <-out; err != nil && !strings.Contains(err.Error(), "refused") && !strings.Contains(err.Error(), "reset") {
		t.Errorf("with the gateway gone: %v", err)
	}
}

// sentAgain says whether some connection is being opened and its first packet was sent more than once.
func sentAgain(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 6 && f[3] == "02" && strings.TrimLeft(f[6], "0") != "" {
			return true
		}
	}
	return false
}

// TestWithoutTheCapability asks for what the gateway may not do: it serves and bans all the same.
func TestWithoutTheCapability(t *testing.T) {
	if os.Getuid() == 0 && os.Getenv(insideVariable) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=100s")
		cmd.Env = append(os.Environ(), insideVariable+"=1", "STRAUM_PROGRAM="+gateway.Program(t))
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
		if out, err := cmd.CombinedOutput(); cmd.ProcessState == nil {
			t.Skipf("no namespaces may be made here: %v", err)
		} else if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	f := open(t, behindProxy, "bans: { ladder: [kernel], kernel: true }")
	if n := f.guess("203.0.113.66", 30); n > 13 {
		t.Errorf("not banned after %d guesses", n)
	}
	gateway.Await(t, "it is told", func() bool {
		k := f.list().Kernel
		return k != nil && strings.Contains(k.Problem, "CAP_NET_ADMIN") && f.Logged("CAP_NET_ADMIN")
	})
	if n := f.Number("straum_policy_ban_kernel_up"); n != 0 {
		t.Errorf("%v", n)
	}
	p := wire.Dial(t, f.addr)
	p.Send("GET /open/a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.66\r\n\r\n")
	if m := p.Answer("GET"); m.Status() != http.StatusForbidden {
		t.Errorf("%s", m)
	}
}
