package limit

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/internal/redis"
)

// peer is a real redis-server of this test's own.
type peer struct {
	t    testing.TB
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
}

func startPeer(t testing.TB, args ...string) *peer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	p := &peer{t: t, addr: freeAddress(t), dir: t.TempDir(), args: args}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *peer) port() string { _, port, _ := net.SplitHostPort(p.addr); return port }

func (p *peer) start() {
	p.t.Helper()
	p.cmd = exec.Command("redis-server", append([]string{"--port", p.port(), "--bind", "127.0.0.1", "--dir", p.dir, "--save", "", "--daemonize", "no"}, p.args...)...)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	await(p.t, func() bool { return p.do("PING") == "PONG" }, "redis-server does not start")
}

// do asks the peer by redis-cli.
func (p *peer) do(args ...string) string {
	out, _ := exec.Command("redis-cli", append([]string{"-h", "127.0.0.1", "-p", p.port()}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out))
}

func (p *peer) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

func (p *peer) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// pause stops the peer as SIGSTOP does: its connections stay and nothing answers.
func (p *peer) pause() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	await(p.t, func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		_, after, _ := bytes.Cut(stat, []byte(") "))
		return bytes.HasPrefix(after, []byte("T"))
	}, "it does not stop")
}

func (p *peer) dial(budget time.Duration) *redis.Client {
	p.t.Helper()
	c, err := redis.New(redis.Settings{Addresses: []string{p.addr}, Budget: budget}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	await(p.t, func() bool { return c.Health().OK }, "the client does not come up")
	return c
}

// await waits for a condition; the time is for a machine that is busy.
func await(t testing.TB, is func() bool, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(text)
		}
	}
}
