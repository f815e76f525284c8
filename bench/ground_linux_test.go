package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"straum.dev/straum/bench/report"
)

// Every gateway starts with the configuration of this tree, serves small and large answers and takes an upload, speaks
// TLS and HTTP/2, and writes its access log. So a configuration that has fallen behind is found before somebody measures with it.
func TestEveryGatewayDoesTheWork(t *testing.T) {
	ctx := context.Background()
	if runtime.NumCPU() <= loadCore {
		t.Skip("two cores are needed")
	}
	dir := t.TempDir()
	o := options{gateways: gatewayNames(), rounds: 1, idle: 1, idleTLS: 1, tokens: 1, duration: time.Second}
	for _, s := range scenarios() {
		if s.setup() == simple {
			o.scenarios = append(o.scenarios, s.name)
		}
	}
	if err := check(o); err != nil {
		t.Skip(err)
	}
	g := groundOnFreePorts(t, dir, o)
	defer g.close()
	for _, name := range gatewayNames() {
		t.Run(name, func(t *testing.T) {
			if name == "straum" {
				buildForTest(t, g)
			}
			p, err := g.start(ctx, name, simple)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Stop()
			for what, do := range map[string]func(net.Conn, int64) error{"download": download, "upload": upload, "small": func(conn net.Conn, _ int64) error { return exchangeOnce(conn) }} {
				conn, err := net.Dial("tcp", g.address(name))
				if err != nil {
					t.Fatal(err)
				}
				conn.SetDeadline(time.Now().Add(time.Minute))
				if err := do(conn, g.bulk); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				conn.Close()
			}
			for _, s := range scenarios() {
				if s.setup() == simple && (s.tls && s.kind != report.Idle || s.name == "h2c") {
					if sample, err := s.measure(ctx, g, p, name, o); err != nil || sample.Errors > 0 {
						t.Errorf("%s: %d errors, %v", s.name, sample.Errors, err)
					}
				}
			}
			if err := checkNegotiated(ctx, g, name); err != nil {
				t.Error(err)
			}
			if conn, err := serveOnce(nil, encrypted.address(g, name), true); err != nil {
				t.Errorf("idle over TLS: %v", err)
			} else {
				conn.Close()
			}
			if !g.logsMore(name, 2) {
				t.Errorf("its access log shows %d requests, want 3", g.logged(name))
			}
		})
	}
}

// Every gateway that asks for tokens serves good ones and refuses bad ones, remembered or not.
func TestEveryGatewayChecksTokens(t *testing.T) {
	ctx := context.Background()
	if runtime.NumCPU() <= loadCore {
		t.Skip("two cores are needed")
	}
	o := options{gateways: gatewayNames(), rounds: 1, idle: 1, idleTLS: 1, tokens: 100, duration: time.Second}
	for _, s := range scenarios() {
		if s.asks() {
			o.scenarios = append(o.scenarios, s.name)
		}
	}
	if err := check(o); err != nil {
		t.Skip(err)
	}
	g := groundOnFreePorts(t, t.TempDir(), o)
	defer g.close()
	for _, name := range append(gatewayNames(), "kept") {
		t.Run(name, func(t *testing.T) {
			if name == "straum" {
				buildForTest(t, g)
			}
			p, err := g.start(ctx, name, tokens)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Stop()
			if err := checkNegotiated(ctx, g, name); err != nil {
				t.Error(err)
			}
			for _, s := range scenarios() {
				if !s.asks() {
					continue
				}
				if err := checkGuarded(ctx, g, name, s.guards); err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
				if _, err := s.measure(ctx, g, p, name, o); err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
			}
			if err := checkFront(ctx, g, name); err != nil {
				t.Error(err)
			}
			if !g.logsMore(name, 2) {
				t.Errorf("its access log shows %d requests, want 3", g.logged(name))
			}
		})
	}
}

// Every gateway that counts callers serves all of them where the limit is wide, and refuses one of them where it is tight.
func TestEveryGatewayLimits(t *testing.T) {
	ctx := context.Background()
	if runtime.NumCPU() <= loadCore {
		t.Skip("two cores are needed")
	}
	o := options{gateways: gatewayNames(), scenarios: []string{"limits"}, rounds: 1, idle: 1, idleTLS: 1, tokens: 1, duration: time.Second}
	if err := check(o); err != nil {
		t.Skip(err)
	}
	g := groundOnFreePorts(t, t.TempDir(), o)
	defer g.close()
	for _, name := range gatewayNames() {
		t.Run(name, func(t *testing.T) {
			if name == "straum" {
				buildForTest(t, g)
			}
			p, err := g.start(ctx, name, limits)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Stop()
			for _, s := range scenarios() {
				if !s.limits {
					continue
				}
				if err := s.check(ctx, g, name); err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
				for _, turn := range s.turns(gatewayNames()) {
					if turn.gateway == name {
						if _, err := turn.measure(ctx, g, p, name, o); err != nil {
							t.Errorf("%s: %v", turn.name, err)
						}
					}
				}
			}
			if !g.logsMore(name, 2) {
				t.Errorf("its access log shows %d requests, want 3", g.logged(name))
			}
		})
	}
}

func groundOnFreePorts(t *testing.T, dir string, o options) *ground {
	t.Helper()
	var failed error
	for o.port = 12000; o.port < 30000; o.port += 1000 {
		sub := filepath.Join(dir, time.Now().Format("150405.000000"))
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		g, err := newGround(sub, o, raiseFileLimit(), 16<<20)
		if err == nil {
			return g
		}
		failed = err
	}
	t.Fatal(failed)
	return nil
}

// built is the program as these tests run it, built once for all of them.
var built struct {
	once        sync.Once
	dir, binary string
	err         error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

func buildForTest(t *testing.T, g *ground) {
	t.Helper()
	if _, err := os.Stat("../cmd/straum/main.go"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("cmd/straum is not there yet")
	}
	t.Chdir("..") // build names the package from the root of the tree
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "straum-bench-"); built.err == nil {
			built.binary, built.err = build(context.Background(), built.dir)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	g.binary = built.binary
}
