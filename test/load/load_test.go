package load

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

// Every way to speak to the gateway: what is reported is what the gateway logged and the endpoint saw.
func TestProtocols(t *testing.T) {
	o := newOrigin(t)
	authority := gateway.NewAuthority(t)
	pair := authority.Issue([]string{"api.example.com"})
	plain, secure := gateway.Free(t), gateway.Free(t)
	dir := t.TempDir()
	g := gateway.Start(t, fmt.Sprintf(`
listeners:
  - { address: %q, name: plain }
  - { address: %q, name: secure, tls: { certificates: [%s] } }
  - { address: "unix:%s/app.sock", name: socket }
upstreams: { app: { endpoints: [%q], host: keep } }
routes: [{ match: { path: /* }, upstream: app }]
`, plain, secure, pair.YAML(), dir, o.address()))
	for _, c := range []struct {
		name, protocol, field, logged string
		tls                           bool
		opened                        [2]uint64 // at least and at most: those that were opened as the last answers came are counted too
		args                          []string
	}{
		{"plain", "http/1.1", "listener", "plain", false, [2]uint64{1, 4}, []string{"http://" + plain + "/plain"}},
		{"closing", "http/1.1", "listener", "plain", false, [2]uint64{100, 104}, []string{"http://" + plain + "/closing", "--no-keepalive"}},
		{"prior", "h2", "proto", "HTTP/2", false, [2]uint64{1, 4}, []string{"http://" + plain + "/prior", "--http2", "--streams", "8"}},
		{"tls", "http/1.1", "tls", "1.3", true, [2]uint64{1, 4}, []string{"https://api.example.com/tls", "--to", secure, "--ca", authority.File}},
		{"alpn", "h2", "tls", "1.3", true, [2]uint64{1, 4}, []string{"https://api.example.com/alpn", "--to", secure, "--ca", authority.File, "--http2"}},
		{"unverified", "http/1.1", "tls", "1.3", true, [2]uint64{1, 4}, []string{"https://" + secure + "/unverified", "--insecure"}},
		{"socket", "http/1.1", "listener", "socket", false, [2]uint64{1, 4}, []string{"http://localhost/socket", "--to", "unix:" + dir + "/app.sock"}},
		{"open", "http/1.1", "listener", "plain", false, [2]uint64{1, 4}, []string{"http://" + plain + "/open", "--rate", "500"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := measured(t, append(c.args, "--requests", "100", "--connections", "4", "--warmup", "0s")...)
			r := d.Runs[0]
			if r.Done != 100 || r.Due != 100 || r.Statuses["200"] != 100 || len(r.Errors) != 0 || r.Protocol != c.protocol || r.TLS != c.tls || r.Opened < c.opened[0] || r.Opened > c.opened[1] {
				t.Errorf("%+v", r)
			}
			var lines []gateway.Line
			gateway.Await(t, "the log of all requests", func() bool {
				lines = logged(g, "/"+c.name)
				return len(lines) >= 100
			})
			for _, l := range lines {
				if l.Text(c.field) != c.logged {
					t.Errorf("logged: %v; want %s %s", l, c.field, c.logged)
					break
				}
			}
			if len(lines) != 100 {
				t.Errorf("%d requests were logged", len(lines))
			}
		})
	}
}

// logged are the lines of the access log about a path.
func logged(g *gateway.Gateway, path string) (out []gateway.Line) {
	for _, l := range g.Access() {
		if l.Text("path") == path {
			out = append(out, l)
		}
	}
	return out
}

// The certificate is verified: what is not signed, or for another name, is not measured.
func TestCertificates(t *testing.T) {
	o := newOrigin(t)
	pair := gateway.NewAuthority(t).Issue([]string{"api.example.com"})
	secure := gateway.Free(t)
	gateway.Start(t, fmt.Sprintf("listeners: [{ address: %q, tls: { certificates: [%s] } }]\nupstreams: { app: { endpoints: [%q] } }\nroutes: [{ match: { path: /* }, upstream: app }]\n", secure, pair.YAML(), o.address()))
	_, stderr, code := run(t, "https://"+secure+"/", "--requests", "10")
	if _, all := o.asked(""); code != 1 || !strings.Contains(stderr, "certificate") || all != 0 {
		t.Errorf("exit code %d, %d requests, %s", code, all, stderr)
	}
}

// A mix sends what it says in the parts it says; secrets reach the endpoint and no report.
func TestMix(t *testing.T) {
	o := newOrigin(t)
	dir := t.TempDir()
	put(t, dir, "body.json", `{"a":1}`)
	mix := put(t, dir, "mix.yaml", `
headers: { X-Key: "${LOAD_KEY}" }
requests:
  - { path: "/a?x=1", weight: 6 }
  - { name: create, method: POST, path: /b, body_file: body.json, weight: 3 }
  - { path: /c, host: other.example, headers: { X-Key: of-its-own }, weight: 1 }
`)
	stdout, stderr, code := runWith(t, []string{"LOAD_KEY=very-secret"}, o.URL, "--mix", mix, "--requests", "1000", "--warmup", "0s", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	d := read(t, stdout)
	for i, want := range []struct {
		name, seen string
		part       int
	}{
		{"GET /a?x=1", "GET " + o.address() + "/a?x=1  very-secret", 600},
		{"create", "POST " + o.address() + `/b {"a":1} very-secret`, 300},
		{"GET /c", "GET other.example/c  of-its-own", 100},
	} {
		n, _ := o.asked(want.seen)
		k := d.Runs[0].Kinds[i]
		if k.Name != want.name || int(k.Done) != n || n < want.part-60 || n > want.part+60 {
			t.Errorf("%+v, and the endpoint saw %d of %q; want about %d of %s", k, n, want.seen, want.part, want.name)
		}
	}
	if _, all := o.asked(""); all != 1000 {
		t.Errorf("the endpoint saw %d requests: %v", all, o.seen)
	}
	text, stderr, code := runWith(t, []string{"LOAD_KEY=very-secret"}, o.URL, "--mix", mix, "--requests", "10", "--warmup", "0s")
	if code != 0 || strings.Contains(stdout+stderr+text, "very-secret") {
		t.Errorf("exit code %d; a secret is told: %s%s", code, text, stderr)
	}
	if _, stderr, code := run(t, o.URL, "--mix", mix); code != 3 || !strings.Contains(stderr, "mix.yaml:2:19: headers.X-Key: the environment variable LOAD_KEY is not set") {
		t.Errorf("without the variable: exit code %d, %s", code, stderr)
	}
}

// The gateway's own log is asked for again, and nginx's; what a log masks is not sent.
func TestLog(t *testing.T) {
	t.Parallel()
	first, again := newOrigin(t), newOrigin(t)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{first.address()}, ""))
	nginx, nginxLog := startNginx(t, "return 200 ok;")
	for _, to := range []string{listen, nginx} {
		for _, one := range [][]string{{"/a/1?q=v", "GET", "60"}, {"/a/2", "GET", "30"}, {"/b", "POST", "10"}} {
			measured(t, "http://"+to+one[0], "-X", one[1], "--requests", one[2], "--connections", "1", "--warmup", "0s", "--host", "api.example.com")
		}
	}
	gateway.Await(t, "the log of all requests", func() bool { return len(g.Access()) >= 100 })
	gateway.Await(t, "nginx's log", func() bool {
		text, _ := os.ReadFile(nginxLog)
		return bytes.Count(text, []byte("\n")) >= 100
	})
	text, err := os.ReadFile(g.AccessPath)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(text)
	z.Close()
	dir := t.TempDir()
	compressed := put(t, dir, "access.log.gz", packed.String())
	for name, c := range map[string]struct{ log, host string }{
		"own":        {g.AccessPath, "api.example.com"},
		"compressed": {compressed, "api.example.com"},
		"nginx":      {nginxLog, again.address()}, // its common form has no host
	} {
		before, _ := again.asked("GET " + c.host + "/a/1?q=v")
		d := measured(t, again.URL, "--log", c.log, "--requests", "300", "--warmup", "0s")
		n, _ := again.asked("GET " + c.host + "/a/1?q=v")
		if n -= before; n < 150 || n > 250 || d.Runs[0].Done != 300 || d.Runs[0].Kinds[0].Name != "GET /a/{id}" || d.Runs[0].Kinds[0].Done != 300 {
			t.Errorf("%s: %d requests to /a/1 of 300, %+v", name, n, d.Runs[0])
		}
		notes := strings.Join(d.Notes, "\n")
		if !strings.Contains(notes, "taken from the log: 90 of 100 requests, to 2 paths") || !strings.Contains(notes, "10 requests that may change something were left out") {
			t.Errorf("%s: notes %s", name, notes)
		}
	}
	if n, _ := again.asked("POST api.example.com/b"); n > 0 {
		t.Errorf("a change was sent %d times", n)
	}
	d := measured(t, again.URL, "--log", g.AccessPath, "--rate", "log-peak", "--requests", "20", "--warmup", "0s")
	if d.Runs[0].Loop != "open" || *d.Runs[0].Wanted < 1 {
		t.Errorf("at the rate of the log: %+v", d.Runs[0])
	}
	masked := put(t, dir, "masked.log", strings.ReplaceAll(string(text), "q=v", "q=…"))
	if d := measured(t, again.URL, "--log", masked, "--requests", "50", "--warmup", "0s"); !strings.Contains(strings.Join(d.Notes, "\n"), "60 requests were left out, since the log masked their queries") {
		t.Errorf("notes %q", d.Notes)
	}
	if _, all := again.asked("GET api.example.com/a/1?q=…"); all == 0 {
		t.Error("nothing was asked")
	}
}

// Load goes to this box and to what the configuration names. Elsewhere nothing is sent, not even a connection opened.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	_, stderr, code := run(t, "http://203.0.113.1:8080/")
	if code != 2 || !strings.Contains(stderr, "load is not sent to 203.0.113.1") || !strings.Contains(stderr, "--anywhere") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	own := ownAddress(t)
	if own == "" {
		t.Skip("this box has no address but loopback")
	}
	ln, err := net.Listen("tcp", own+":0")
	if err != nil {
		t.Fatal(err)
	}
	reached := make(chan bool, 100)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
			reached <- true
		}
	}()
	t.Cleanup(func() { ln.Close() })
	if _, stderr, code = run(t, "http://"+ln.Addr().String()+"/"); code != 2 || len(reached) > 0 {
		t.Errorf("exit code %d, %d connections: %s", code, len(reached), stderr)
	}
	o := newOrigin(t)
	_, port, _ := net.SplitHostPort(gateway.Free(t))
	g := gateway.Start(t, gateway.Simple(net.JoinHostPort(own, port), []string{o.address()}, ""))
	url := "http://" + net.JoinHostPort(own, port) + "/"
	if _, stderr, code = run(t, url, "--requests", "5"); code != 2 {
		t.Errorf("without a configuration: exit code %d, %s", code, stderr)
	}
	for _, permit := range [][]string{{"-c", g.Config}, {"--anywhere"}} {
		if d := measured(t, append(permit, url, "--requests", "5", "--warmup", "0s")...); d.Runs[0].Done != 5 {
			t.Errorf("%v: %+v", permit, d.Runs[0])
		}
	}
}

// ownAddress is an IPv4 address of this box that is not loopback; empty when it has none.
func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	return ""
}

// Exit codes are what scripts go by.
func TestBounds(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for _, c := range []struct {
		args []string
		code int
		told string
	}{
		{[]string{o.URL + "/a", "--requests", "200", "--max-errors", "1%", "--max-p99", "30s"}, 0, ""},
		{[]string{o.URL + "/refuse", "--requests", "200"}, 0, ""}, // a refusal is an answer
		{[]string{o.URL + "/refuse", "--requests", "200", "--max-errors", "1%"}, 1, "100.0% of the requests failed, more than --max-errors 1%"},
		{[]string{o.URL + "/a", "--requests", "200", "--max-p99", "1ns"}, 1, "longer than --max-p99 1ns"},
		{[]string{o.URL + "/a", "--requests", "50", "--max-p99", "10s"}, 1, "there is no p99 of 50 answers"},
		{[]string{o.URL + "/hold", "--requests", "5", "--timeout", "100ms"}, 1, "nothing was answered"},
		{[]string{o.URL + "/a", "--rate", "100,200", "--requests", "5", "--max-errors", "0%"}, 0, ""},
		{[]string{"http://" + gateway.Free(t) + "/"}, 1, "cannot be reached"},
		{[]string{o.URL, "--max-errors", "1"}, 2, "--max-errors: found"},
		{[]string{o.URL, "--rate", "fast"}, 2, "--rate: found"},
		{[]string{o.URL, "--rate", "log"}, 2, "is that of --log"},
		{[]string{o.URL, "--streams", "4"}, 2, "4 streams"},
		{[]string{o.URL, "--http2", "--no-keepalive", "--streams", "4"}, 2, "has one stream"},
		{[]string{o.URL, "--resume"}, 2, "--resume is about TLS"},
		{[]string{o.URL, "--max-p99", "-1ms"}, 2, "--max-p99"},
		{[]string{o.URL, "--connections", "0"}, 2, "0 connections"},
		{[]string{o.URL, "--html", "/nowhere/a.html"}, 1, "--html"},
		{[]string{}, 2, "the URL is missing"},
		{[]string{o.URL, o.URL}, 2, "takes one"},
	} {
		_, stderr, code := run(t, append(c.args, "--warmup", "0s")...)
		if code != c.code || !strings.Contains(stderr, c.told) {
			t.Errorf("straum load %v: exit code %d, %s; want %d, %s", c.args, code, stderr, c.code, c.told)
		}
	}
}

// An interrupt ends the run, and what there is is reported; a second one ends the program, even while it is stuck with its report.
func TestInterrupt(t *testing.T) {
	o := newOrigin(t)
	mix := "requests:\n"
	for i := range 500 {
		mix += fmt.Sprintf("  - { path: /%d }\n", i)
	}
	path := put(t, t.TempDir(), "mix.yaml", mix)
	start := func() (*exec.Cmd, *os.File) {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { read.Close() })
		cmd := exec.Command(gateway.Program(t), "load", o.URL, "--mix", path, "--rate", "200", "--duration", "1h", "--warmup", "0s", "--json")
		cmd.Dir, cmd.Stdout = t.TempDir(), write
		_, before := o.asked("")
		if err := gateway.Spawn(cmd); err != nil {
			t.Fatal(err)
		}
		write.Close()
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		gateway.Await(t, "requests", func() bool { _, n := o.asked(""); return n > before+50 })
		_ = cmd.Process.Signal(syscall.SIGINT)
		return cmd, read
	}
	cmd, out := start()
	var text bytes.Buffer
	if _, err := text.ReadFrom(out); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after one interrupt: %v", err)
	}
	r := read(t, text.String()).Runs[0]
	if !r.Cut || r.Done < 40 || r.Done != r.Due || len(r.Remarks) == 0 || !strings.Contains(r.Remarks[0], "ended before its time") {
		t.Errorf("%+v", r)
	}
	if text.Len() < 1<<17 {
		t.Fatalf("a report of %d bytes fits into a pipe, which spoils what follows", text.Len())
	}
	cmd, _ = start()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.After(gateway.Patience); ; {
		select {
		case <-ended:
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("after two interrupts: exit code %d", code)
			}
			return
		case <-deadline:
			t.Fatal("interrupts do not end it")
		case <-time.After(50 * time.Millisecond):
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
	}
}

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
