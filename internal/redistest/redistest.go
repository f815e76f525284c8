// Package redistest starts real redis-servers for tests, each on a port of its own.
//
// It belongs to no step and to no part of the program. It refuses to stand in for a server that is not installed: the test is skipped.
package redistest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Server is a redis-server of one test's own, which ends with the test.
type Server struct {
	Addr  string   // 127.0.0.1:port
	Dir   string   // its working directory
	Login []string // options of redis-cli to log in with

	t    testing.TB
	args []string
	cmd  *exec.Cmd
}

// Start starts one, with further options, or with a file when the first argument is its name and ends in .conf; that takes Addr and Dir as well.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	r := &Server{Addr: FreeAddress(t), Dir: t.TempDir(), t: t, args: args}
	r.Start()
	t.Cleanup(r.Kill)
	return r
}

// next is where the search for a free port goes on. Test processes that run side by side begin at different places.
var next atomic.Uint32

// FreeAddress is an address of loopback that nobody listens on, with a port below those the kernel gives to outgoing connections: one of these
// cannot take it before it is used.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const first, count = 12_000, 10_000 // a cluster takes the port ten thousand above too
	next.CompareAndSwap(0, uint32(os.Getpid())*61)
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%count)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// Port is that of Addr.
func (r *Server) Port() string { _, port, _ := net.SplitHostPort(r.Addr); return port }

// Start starts it again after Kill, on the same address, and waits until it answers.
func (r *Server) Start() {
	r.t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		r.t.Skip("redis-server is not installed")
	}
	own := []string{"--port", r.Port(), "--bind", "127.0.0.1", "--dir", r.Dir, "--save", "", "--daemonize", "no"}
	args := append(own, r.args...)
	if len(r.args) > 0 && strings.HasSuffix(r.args[0], ".conf") { // which has to come first
		args = append([]string{r.args[0]}, append(own[:6], r.args[1:]...)...)
	}
	r.cmd = exec.Command("redis-server", args...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	Await(r.t, func() bool {
		answer, _ := r.Try("PING")
		return strings.Contains(answer, "PONG") || strings.Contains(answer, "NOAUTH")
	}, "redis-server does not start")
}

// Try asks it by redis-cli.
func (r *Server) Try(args ...string) (string, error) {
	out, err := exec.Command("redis-cli", append(append([]string{"-h", "127.0.0.1", "-p", r.Port(), "--no-auth-warning"}, r.Login...), args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Do is Try for what has to succeed.
func (r *Server) Do(args ...string) string {
	r.t.Helper()
	out, err := r.Try(args...)
	if err != nil {
		r.t.Fatalf("redis-cli %q: %v %s", args, err, out)
	}
	return out
}

// Kill ends it at once, as a crash does.
func (r *Server) Kill() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

// Pause has nothing answer while connections stay, until Resume.
func (r *Server) Pause() { r.t.Helper(); Pause(r.t, r.cmd.Process) }

// Resume ends a Pause.
func (r *Server) Resume() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		r.t.Fatal(err)
	}
}

// Pause stops a process by SIGSTOP and waits until all its threads have stopped: the signal alone leaves them time for an answer.
func Pause(t testing.TB, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	Await(t, func() bool {
		threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.Pid))
		for _, thread := range threads {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", p.Pid, thread.Name()))
			_, after, _ := bytes.Cut(stat, []byte(") "))
			if !bytes.HasPrefix(after, []byte("T")) {
				return false
			}
		}
		return len(threads) > 0
	}, "it does not stop")
}

// Await waits for a condition; the time is for a machine that is busy.
func Await(t testing.TB, is func() bool, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(text)
		}
	}
}
