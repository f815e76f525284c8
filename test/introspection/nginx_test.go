package introspection

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
)

func base64url(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// judge is a real nginx that decides on requests at /verify, on a port of its own.
type judge struct {
	t       *testing.T
	address string
	dir     string
	program string
	cmd     *exec.Cmd
	ended   chan struct{}
}

func startNginx(t *testing.T) *judge {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	j := &judge{t: t, address: gateway.Free(t), dir: t.TempDir(), program: program}
	if err := os.WriteFile(filepath.Join(j.dir, "nginx.conf"), []byte(`daemon off; master_process off; pid nginx.pid; error_log stderr error;
events { worker_connections 256; }
http {
	log_format asked '$request_method $request_uri|$http_x_forwarded_method|$http_x_forwarded_proto|$http_x_forwarded_host|$http_x_forwarded_uri|$http_x_forwarded_for|$http_x_secret';
	access_log asked.log asked;
	client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
	map $http_authorization $who { "Bearer alice" alice; "Bearer acme" acme; default ""; }
	server {
		listen `+j.address+`;
		location = /verify {
			add_header X-User $who always;
			add_header X-Method $http_x_forwarded_method always;
			add_header X-Hidden secret always;
			add_header WWW-Authenticate 'Bearer realm="nginx"' always;
			if ($http_authorization = "Bearer broken") { return 500; }
			if ($http_authorization = "Bearer away") { return 502; }
			if ($http_authorization = "Bearer banned") { return 403 "banned\n"; }
			if ($who != "") { return 204; }
			if ($http_cookie = "") { return 302 https://login.example.com/; }
			return 401 "no\n";
		}
	}
}`), 0o600); err != nil {
		t.Fatal(err)
	}
	j.again()
	t.Cleanup(j.kill)
	return j
}

func (j *judge) again() {
	j.t.Helper()
	j.cmd = exec.Command(j.program, "-p", j.dir, "-c", filepath.Join(j.dir, "nginx.conf"), "-e", "stderr")
	if err := gateway.Spawn(j.cmd); err != nil {
		j.t.Fatal(err)
	}
	cmd, ended := j.cmd, make(chan struct{})
	j.ended = ended
	go func() {
		_ = cmd.Wait() // it is killed
		close(ended)
	}()
	gateway.Await(j.t, "nginx listens", func() bool {
		c, err := net.Dial("tcp", j.address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (j *judge) kill() {
	_ = j.cmd.Process.Kill() // it may have ended
	<-j.ended
}

// asked is what it was asked so far, a line for each.
func (j *judge) asked() []string {
	text, err := os.ReadFile(filepath.Join(j.dir, "asked.log"))
	if err != nil {
		j.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// A real nginx decides: what it is asked, what endpoints and clients get, what is remembered, and what becomes of requests while it is away.
func TestNginx(t *testing.T) {
	t.Parallel()
	j := startNginx(t)
	at := fmt.Sprintf("url: 'http://%s/verify', timeout: 1s", j.address)
	f := open(t, map[string]string{
		"all":        "forward_auth: { " + at + ", response_headers: [X-User, X-Method], subject_header: X-User }",
		"consumer":   "forward_auth: { " + at + ", consumer_header: X-User }",
		"remembered": "forward_auth: { " + at + ", response_headers: [X-User], cache: 1h }",
	}, "")
	const alice = "authorization=Bearer alice x-auth-method=forward_auth x-auth-subject=alice x-method=GET x-user=alice"
	if a := f.ask("all?a=%2F", "alice", "X-User", "admin", "X-Auth-Subject", "admin", "X-Forwarded-Uri", "/else", "X-Forwarded-Method", "DELETE", "X-Secret", "x"); a.status != 200 || a.text != alice {
		t.Errorf("accepted: got %v", a)
	}
	if got, want := j.asked()[0], "GET /verify|GET|http|"+f.address+"|/all?a=%2F|127.0.0.1|-"; got != want {
		t.Errorf("nginx was asked %q, want %q", got, want)
	}
	if a := f.ask("all", "bad", "Cookie", "a=b"); a.status != 401 || a.text != "no\n" || a.header.Get("WWW-Authenticate") != `Bearer realm="nginx"` ||
		a.header.Get("X-Hidden") != "" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("refused: got %v %v", a, a.header)
	}
	if a := f.ask("all", ""); a.status != 302 || a.header.Get("Location") != "https://login.example.com/" {
		t.Errorf("sent to log in: got %v", a)
	}
	if a := f.ask("all", "banned"); a.status != 403 || a.text != "banned\n" {
		t.Errorf("banned: got %v", a)
	}
	f.unjudged("a status that is no decision", "all", "broken")
	if a := f.ask("consumer", "acme"); a.status != 200 || !strings.Contains(a.text, "x-consumer-id=acme x-consumer-name=Acme") {
		t.Errorf("a consumer: got %v", a)
	}
	if a := f.ask("consumer", "alice"); a.status != 403 {
		t.Errorf("no consumer: got %v", a)
	}
	for _, word := range []string{"unauthorized", "redirected", "forbidden", "unavailable", "unknown_consumer"} {
		f.verdict("forward_auth:" + word)
	}

	before := len(j.asked())
	for range 20 {
		f.passes("remembered", "remembered", "alice")
	}
	if n := len(j.asked()) - before; n != 1 {
		t.Errorf("nginx was asked %d times for what is remembered", n)
	}
	if err := f.Reload(strings.Replace(f.config, "name: Acme", "name: ACME", 1)); err != nil {
		t.Fatal(err)
	}
	f.passes("remembered, after a reload", "remembered", "alice")
	if n := len(j.asked()) - before; n != 1 {
		t.Errorf("a reload has nginx asked %d times", n)
	}

	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			for range 20 {
				if a := f.ask("all", "alice"); a.status != 200 || a.text != alice {
					t.Errorf("one of many: got %v", a)
				}
			}
		})
	}
	group.Wait()

	gateway.Pause(t, j.cmd.Process)
	f.unjudged("it does not answer", "all", "alice")
	if err := j.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.passes("it answers again", "all", "alice")

	j.kill()
	gateway.Await(t, "it is not asked any more", func() bool {
		f.unjudged("it is down", "all", "alice")
		return f.Number("straum_policy_forward_auth_breaker_open") == 1
	})
	if a := f.ask("all", "alice"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("it is not asked: got %v %v", a, a.header)
	}
	f.passes("remembered, while it is down", "remembered", "alice")
	if a := f.attention(); !strings.Contains(a, "/verify") {
		t.Errorf("straum status asks for attention with %q", a)
	}
	if code := f.Readyz(); code != 200 {
		t.Errorf("/readyz is %d", code)
	}
	j.again()
	gateway.Await(t, "it is asked again", func() bool { return f.ask("all", "alice").status == 200 })
	gateway.Await(t, "it is well", func() bool { return f.Number("straum_policy_forward_auth_breaker_open") == 0 })
	if a := f.attention(); a != "" {
		t.Errorf("all is well, and straum status asks for attention with %q", a)
	}
}
