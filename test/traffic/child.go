package traffic

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// childAt names the address a child endpoint listens at, in the environment of its process.
const childAt = "STRAUM_TEST_ENDPOINT"

// Main makes a test process serve as a child endpoint when it was started as one, and otherwise runs the tests. A package that
// uses Child calls it from its TestMain in place of gateway.Main.
func Main(m *testing.M) int {
	if addr := os.Getenv(childAt); addr != "" {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s from %s", r.URL.Path, addr)
		})))
		return 1
	}
	return gateway.Main(m)
}

// Child is an endpoint in a process of its own, which can be killed like one and come back at the same address.
type Child struct {
	Addr string
	t    testing.TB
	cmd  *exec.Cmd
}

// NewChild starts an endpoint that answers every request with its path and address, until the test ends.
func NewChild(t testing.TB) *Child {
	t.Helper()
	c := &Child{Addr: gateway.Free(t), t: t}
	c.Start()
	t.Cleanup(c.Kill)
	return c
}

// Start starts it, after a Kill, and waits until it listens.
func (c *Child) Start() {
	c.t.Helper()
	program, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.Command(program)
	c.cmd.Env = append(os.Environ(), childAt+"="+c.Addr)
	c.cmd.Stderr = os.Stderr
	if err := gateway.Spawn(c.cmd); err != nil {
		c.t.Fatal(err)
	}
	gateway.Await(c.t, "the child endpoint listens", func() bool {
		conn, err := net.DialTimeout("tcp", c.Addr, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// Kill kills it with SIGKILL. One that is dead stays so.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill() // it is dead
	_ = c.cmd.Wait()         // it was killed
}
