package redis

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// peer is a real redis-server of this test's own, on a port of its own.
type peer struct {
	t    testing.TB
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
	cli  []string // how to log in
}

func start(t testing.TB, args ...string) *peer {
	t.Helper()
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
	if _, err := exec.LookPath("redis-server"); err != nil {
		p.t.Skip("redis-server is not installed")
	}
	args := append([]string{}, p.args...)
	if len(args) == 0 || !strings.HasSuffix(args[0], ".conf") {
		args = append(args, "--port", p.port(), "--bind", "127.0.0.1", "--dir", p.dir, "--save", "", "--daemonize", "no")
	}
	p.cmd = exec.Command("redis-server", args...)
	var out bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &out, &out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.await(func() bool {
		answer, _ := p.try("PING")
		return strings.Contains(answer, "PONG") || strings.Contains(answer, "NOAUTH")
	}, "redis-server does not start")
}

func (p *peer) try(args ...string) (string, error) {
	out, err := exec.Command("redis-cli", append(append([]string{"-h", "127.0.0.1", "-p", p.port(), "--no-auth-warning"}, p.cli...), args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// do asks the peer by redis-cli.
func (p *peer) do(args ...string) string {
	p.t.Helper()
	out, err := p.try(args...)
	if err != nil {
		p.t.Fatalf("redis-cli %q: %v %s", args, err, out)
	}
	return out
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
	p.await(func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		_, after, _ := bytes.Cut(stat, []byte(") "))
		return bytes.HasPrefix(after, []byte("T"))
	}, "it does not stop")
}

func (p *peer) await(is func() bool, text string) { p.t.Helper(); await(p.t, is, text) }

// await waits for a condition; the time is for a machine that is busy.
func await(t testing.TB, is func() bool, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(text)
		}
	}
}

// journal is a log to look into.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// dial makes a client that does not rest long. Its budget is for a machine that is busy; the tests count, they do not measure.
func dial(t testing.TB, s Settings) (*Client, *journal) {
	t.Helper()
	j := &journal{}
	if s.Budget == 0 {
		s.Budget = 200 * time.Millisecond
	}
	c, err := newClient(s, slog.New(slog.NewTextHandler(j, nil)), time.Now, func(int) time.Duration { return 20 * time.Millisecond })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Start()
	return c, j
}

func awaitUp(t testing.TB, c *Client) {
	t.Helper()
	await(t, func() bool { return c.Health().OK }, "the client does not come up: "+c.Health().Why)
}

func awaitDown(t testing.TB, c *Client, why string) {
	t.Helper()
	await(t, func() bool { h := c.Health(); return !h.OK && strings.Contains(h.Why, why) }, "the client does not go down with "+why)
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
