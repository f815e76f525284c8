package introspection

import (
	"bytes"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
)

// store is a real redis-server on a port of its own.
type store struct {
	t       *testing.T
	address string
	dir     string
	cmd     *exec.Cmd
	ended   chan struct{}
}

func startRedis(t *testing.T) *store {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	s := &store{t: t, address: gateway.Free(t), dir: t.TempDir()}
	s.again()
	t.Cleanup(s.kill)
	return s
}

// again starts it where it was, with nothing in it.
func (s *store) again() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.address)
	s.cmd = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no")
	if err := gateway.Spawn(s.cmd); err != nil {
		s.t.Fatal(err)
	}
	cmd, ended := s.cmd, make(chan struct{})
	s.ended = ended
	go func() {
		_ = cmd.Wait() // it is killed
		close(ended)
	}()
	gateway.Await(s.t, "redis-server answers", func() bool { return strings.Contains(string(s.try("PING")), "PONG") })
}

func (s *store) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}

func (s *store) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) try(args ...string) []byte {
	_, port, _ := net.SplitHostPort(s.address)
	out, _ := exec.Command("redis-cli", append([]string{"-h", "127.0.0.1", "-p", port, "--raw"}, args...)...).Output() // nothing tells
	return out
}

// do asks it by redis-cli. The answer is as it is, without the line's end.
func (s *store) do(args ...string) []byte {
	s.t.Helper()
	out := s.try(args...)
	if len(out) == 0 {
		s.t.Fatalf("redis-cli %q has no answer", args)
	}
	return bytes.TrimSuffix(out, []byte("\n"))
}

// all is everything in it: the names and values.
func (s *store) all() map[string][]byte {
	s.t.Helper()
	values := map[string][]byte{}
	for _, key := range strings.Fields(string(s.try("--scan"))) {
		values[key] = s.do("GET", key)
	}
	return values
}
