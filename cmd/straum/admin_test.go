package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/client"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/document"
)

// A socket that nobody asked for may be missing; one that was asked for may not.
func TestTheDefaultSocketIsNoReasonNotToStart(t *testing.T) {
	dir, err := os.MkdirTemp("", "straum") // with a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	impossible := filepath.Join(file, "admin.sock") // below what is no directory
	minimal := "listeners: [ { address: 127.0.0.1:0 } ]\nupstreams: { a: { endpoints: [127.0.0.1:1] } }\nroutes: [ { match: { path: /* }, upstream: a } ]\nmetrics: off\nlog: { access: { to: off } }\n"
	start := func(text string) (*gateway, *config.Admin, *bytes.Buffer) {
		t.Helper()
		source := revision.Text("straum.yaml", text)
		first, _, err := judge(source)
		if err != nil {
			t.Fatal(err)
		}
		g, err := assemble(first, source, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			g.close(ctx)
		})
		return g, &first.Admin, new(bytes.Buffer)
	}

	g, settings, log := start(minimal)
	settings.Socket = impossible // as if it were the default
	if err := applyAdmin(g.admin, settings, slog.New(slog.NewTextHandler(log, nil))); err != nil || !strings.Contains(log.String(), "no admin socket") {
		t.Errorf("the default: %v, log %q", err, log)
	}
	g, settings, log = start(minimal + "admin: { socket: " + impossible + " }\n")
	if err := applyAdmin(g.admin, settings, slog.New(slog.NewTextHandler(log, nil))); err == nil || log.Len() > 0 {
		t.Errorf("one asked for: %v, log %q", err, log)
	}
	g, settings, log = start(minimal)
	settings.Socket = impossible
	if err := settings.Address.ParseText("10.1.2.3:9901"); err != nil {
		t.Fatal(err)
	}
	settings.Token = document.NewSecret("0123456789abcdef")
	if err := applyAdmin(g.admin, settings, slog.New(slog.NewTextHandler(log, nil))); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("a bad address as well: %v, log %q", err, log)
	}
	if err := applyAdmin(g.admin, &config.Admin{Off: true, Socket: impossible}, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("off: %v", err)
	}
}

// The parts of a gateway are what the API shows: the whole way from the configuration to the commands.
func TestTheCommandsSeeTheGateway(t *testing.T) {
	dir, err := os.MkdirTemp("", "straum")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "run", "admin.sock")
	source := revision.Text("straum.yaml", "listeners: [ { name: public, address: 127.0.0.1:0 } ]\nupstreams: { orders: { endpoints: [127.0.0.1:1], breaker: {} } }\n"+
		"routes: [ { match: { path: /* }, upstream: orders } ]\nmetrics: off\nlog: { access: { to: off } }\nadmin: { socket: "+socket+" }\n")
	first, _, err := judge(source)
	if err != nil {
		t.Fatal(err)
	}
	g, err := assemble(first, source, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	end := func() {
		if !closed {
			closed = true
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			g.close(ctx)
		}
	}
	t.Cleanup(end)
	if _, err := g.revisions.Reload("start"); err != nil {
		t.Fatal(err)
	}
	f := func(want string, args ...string) {
		t.Helper()
		if out := runCommand(append(args, "--socket", socket)); !strings.Contains(out, want) {
			t.Errorf("%v: %s; want %q in it", args, out, want)
		}
	}
	f("revision 1, in force for", "status")
	f("public ", "status")
	f("127.0.0.1:1 ", "upstreams")
	f("breaker forced_closed", "upstreams", "orders", "--breaker", "closed")
	f("breaker forced_closed", "upstreams", "orders")
	f("breaker closed", "upstreams", "orders", "--breaker", "auto")
	f("nothing has changed; revision 1", "reload")
	f("socket: "+socket, "config", "show")
	if routes, err := client.New(socket).Routes(context.Background(), 0, 10); err != nil || len(routes.Routes) != 1 || routes.Routes[0].Upstream != "orders" {
		t.Errorf("%+v, %v", routes, err)
	}
	end()
	f("no gateway answers at", "status")
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is left behind")
	}
}
