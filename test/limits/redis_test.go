package limits

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
)

// fleetSecret is what the gateways of a fleet have in common.
const fleetSecret = "the-secret-of-the-whole-fleet-of-gateways"

// store is a real redis-server, which can be stopped, killed and started again.
type store struct {
	t     *testing.T
	port  string
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
}

func startRedis(t *testing.T) *store {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	_, port, _ := net.SplitHostPort(gateway.Free(t))
	s := &store{t: t, port: port, dir: t.TempDir()}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// sharing is the part of a configuration by which a gateway belongs to a fleet.
func (s *store) sharing(budget string) string {
	return fmt.Sprintf("secret: %q\nredis: { addresses: [\"127.0.0.1:%s\"], budget: %s }\n", fleetSecret, s.port, budget)
}

// start starts it with nothing in it.
func (s *store) start() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", "--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no")
	if err := gateway.Spawn(s.cmd); err != nil {
		s.t.Fatal(err)
	}
	cmd, ended := s.cmd, make(chan struct{})
	s.ended = ended
	go func() {
		_ = cmd.Wait() // it is killed
		close(ended)
	}()
	gateway.Await(s.t, "redis-server answers", func() bool { return s.do("PING") == "PONG\n" })
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

// do asks it by redis-cli; empty when it does not answer.
func (s *store) do(args ...string) string {
	out, _ := exec.Command("redis-cli", append([]string{"-h", "127.0.0.1", "-p", s.port, "--raw"}, args...)...).Output() // nothing tells
	return string(out)
}

// all is everything in it: the names of keys and what they hold, whatever their type, as DUMP gives it.
func (s *store) all() string {
	var text strings.Builder
	for _, name := range strings.Fields(s.do("--scan")) {
		fmt.Fprintf(&text, "%s\n%s\n", name, s.do("DUMP", name))
	}
	return text.String()
}

// up waits until a gateway has found that the store answers (1), or that it does not (0).
func (f *front) up(want float64) {
	f.t.Helper()
	gateway.Await(f.t, fmt.Sprintf("straum_policy_redis_up is %v", want), func() bool { return f.Number("straum_policy_redis_up") == want })
}
