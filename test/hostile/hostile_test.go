package hostile

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestGateway plays the table against the real program with a recorder behind it.
func TestGateway(t *testing.T) {
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer endpoint.Close()
	addr := start(t, build(t), endpoint.Addr())
	for _, c := range cases {
		err := Send(addr, &c)
		if errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("requests.txt:%d: before %s the program ended", c.Line, c.Name)
		}
		if err != nil {
			t.Errorf("requests.txt:%d: %s: %v; %s", c.Line, c.Name, err, c.Reason)
		}
		requests, faults := endpoint.Take()
		for _, request := range requests {
			if strings.Contains(request, "smuggled") {
				t.Errorf("requests.txt:%d: %s: %s reached the endpoint; %s", c.Line, c.Name, request, c.Reason)
			}
		}
		if len(c.Want) > 0 && !c.Refused() && len(requests) < len(c.Want) {
			t.Errorf("requests.txt:%d: %s: %s reached the endpoint, want %d requests", c.Line, c.Name, requests, len(c.Want))
		}
		if c.Cut && len(requests) > 0 {
			t.Errorf("requests.txt:%d: %s: %s reached the endpoint though it was broken off; %s", c.Line, c.Name, requests, c.Reason)
		}
		if c.Refused() && len(requests) >= len(c.Want) {
			t.Errorf("requests.txt:%d: %s: %s reached the endpoint as a whole though it was refused; %s", c.Line, c.Name, requests, c.Reason)
		}
		for _, fault := range faults {
			t.Errorf("requests.txt:%d: %s: the endpoint was sent what two readers could take in two ways: %s; %s", c.Line, c.Name, fault, c.Reason)
		}
	}
}

// build makes the program, or skips the test when it cannot be built: why shows elsewhere.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "straum")
	if out, err := exec.Command("go", "build", "-o", program, "straum.dev/straum/cmd/straum").CombinedOutput(); err != nil {
		t.Skipf("the program cannot be built: %s", out)
	}
	return program
}

// start runs the program in front of an endpoint until the test ends, and returns its address.
func start(t *testing.T, program, endpoint string) string {
	t.Helper()
	addr := free(t)
	cmd := exec.Command(program, "proxy", "--to", "http://"+endpoint, "--listen", addr)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) // it has ended already, otherwise
		select {
		case <-ended:
		case <-time.After(patience):
			cmd.Process.Kill()
			t.Error("the program does not end when interrupted")
		}
		if t.Failed() {
			t.Logf("the program said:\n%s", out.String())
		}
	})
	for until := time.Now().Add(patience); ; {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
			return addr
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the program ended: %v\n%s", err, out.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(until) {
			t.Fatalf("the program does not listen: %v", err)
		}
	}
}

// free finds a port that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
