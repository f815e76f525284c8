package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// document is what these tests read of the JSON of a report.
type document struct {
	Format int      `json:"format"`
	Target string   `json:"target"`
	Notes  []string `json:"notes"`
	Runs   []struct {
		Loop      string             `json:"loop"`
		Protocol  string             `json:"protocol"`
		TLS       bool               `json:"tls"`
		Cut       bool               `json:"cut"`
		Wanted    *float64           `json:"rate_wanted"`
		Rate      float64            `json:"rate"`
		Due       uint64             `json:"due"`
		Done      uint64             `json:"done"`
		Statuses  map[string]uint64  `json:"statuses"`
		Errors    map[string]uint64  `json:"errors"`
		Opened    uint64             `json:"connections_opened"`
		Latency   map[string]float64 `json:"latency_ms"`
		Remarks   []string           `json:"remarks"`
		Generator map[string]float64 `json:"generator"`
		Kinds     []struct {
			Name string `json:"name"`
			Done uint64 `json:"done"`
		} `json:"kinds"`
		Series []json.RawMessage `json:"series"`
	} `json:"runs"`
}

// run is straum load with arguments, in a directory of its own, where there is no straum.yaml.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return runWith(t, nil, args...)
}

// runWith is run with more in its environment.
func runWith(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	cmd := exec.Command(gateway.Program(t), append([]string{"load"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &out, &err
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=20"), env...)
	var exit *exec.ExitError
	if failed := gateway.Spawn(cmd); failed != nil {
		t.Fatal(failed)
	}
	if failed := cmd.Wait(); failed != nil && !errors.As(failed, &exit) {
		t.Fatal(failed)
	}
	for _, bad := range []string{"DATA RACE", "panic:", "BUG"} {
		if strings.Contains(err.String(), bad) {
			t.Errorf("straum load %s: %s", strings.Join(args, " "), err.String())
		}
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// measured is what straum load measured. It has to succeed.
func measured(t *testing.T, args ...string) document {
	t.Helper()
	stdout, stderr, code := run(t, append([]string{"--json"}, args...)...)
	if code != 0 || stderr != "" {
		t.Fatalf("straum load %s: exit code %d, %s", strings.Join(args, " "), code, stderr)
	}
	return read(t, stdout)
}

func read(t *testing.T, text string) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.Runs) == 0 || d.Format != 1 {
		t.Fatalf("no report: %v\n%s", err, text)
	}
	return d
}

// origin is an endpoint that counts what it is asked.
type origin struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]int // by method, host, path and query, body and the field X-Key
}

func newOrigin(t *testing.T) *origin {
	o := &origin{seen: map[string]int{}}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		o.mu.Lock()
		o.seen[strings.TrimSpace(fmt.Sprintf("%s %s%s %s %s", r.Method, r.Host, r.URL, body, r.Header.Get("X-Key")))]++
		o.mu.Unlock()
		switch r.URL.Path {
		case "/refuse":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/hold":
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, "ok\n")
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *origin) address() string { return strings.TrimPrefix(o.URL, "http://") }

// asked is how often something was asked for, and how much all together.
func (o *origin) asked(what string) (n, all int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, count := range o.seen {
		all += count
	}
	return o.seen[what], all
}

// startNginx runs nginx with a server of an address, and returns that and the path of its log. Without nginx the test is skipped.
func startNginx(t *testing.T, server string) (addr, log string) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed: scripts/packages.txt tells what brings it")
	}
	dir := t.TempDir()
	addr = gateway.Free(t)
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	text := strings.NewReplacer("DIR", dir, "ADDR", addr).Replace(user + `
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log warn;
events {}
http {
  access_log DIR/access.log combined; keepalive_requests 1000000;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  server { listen ADDR; ` + server + ` }
}`)
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", config, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	if err := gateway.Spawn(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
	})
	gateway.Await(t, "nginx to listen", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return addr, filepath.Join(dir, "access.log")
}
