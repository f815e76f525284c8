package hostile

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

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
	addr := start(t, gateway.Program(t), endpoint.Addr())
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

// start runs the program in front of an endpoint until the test ends, and returns its address.
func start(t *testing.T, program, endpoint string) string {
	t.Helper()
	addr := gateway.Free(t)
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
		if strings.Contains(out.String(), "DATA RACE") {
			t.Error("the program has a data race")
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
