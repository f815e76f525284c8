// Package tls proves from outside how the gateway speaks TLS, to clients and to endpoints, by programs that others wrote: openssl, curl,
// nghttp, h2load, testssl.sh, sslscan.
package tls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// front is a gateway with a listener that speaks TLS.
type front struct {
	*gateway.Gateway
	addr   string
	config string
	seen   *wire.Recorder
}

// open starts a gateway whose listener has the settings of tls, in YAML between braces, in front of an endpoint that records.
func open(t *testing.T, tls string, more ...string) *front {
	t.Helper()
	f := &front{addr: gateway.Free(t), seen: &wire.Recorder{}}
	endpoint := wire.Listen(t, wire.Recording(f.seen, func(m *wire.Message) string { return wire.OK("hello") }))
	f.config = behind(f.addr, tls, endpoint.Addr) + strings.Join(more, "\n")
	f.Gateway = gateway.Start(t, f.config)
	return f
}

// behind is a configuration with one listener that speaks TLS.
func behind(addr, tls, endpoint string) string {
	return fmt.Sprintf(`
listeners:
  - name: secure
    address: %q
    tls: { %s }
upstreams:
  app: { endpoints: [%q] }
routes:
  - { name: all, match: { path: /* }, upstream: app }
`, addr, tls, endpoint)
}

// showing is a setting of certificates.
func showing(pairs ...*gateway.Pair) string {
	all := make([]string, len(pairs))
	for i, p := range pairs {
		all[i] = p.YAML()
	}
	return "certificates: [" + strings.Join(all, ", ") + "]"
}

// program is a program's path; the test is skipped where it is not.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: scripts/packages.txt tells what brings it", name)
	}
	return path
}

// run runs a program to its end and returns its exit code and what it printed, both outputs together.
func run(t *testing.T, stdin, name string, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*gateway.Patience) // testssl.sh takes 20 s where it is alone
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s %s: %v, %v\n%s", name, args, err, ctx.Err(), out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// ask is a request that ends its connection.
const ask = "GET / HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n"

// sclient makes one connection by openssl s_client, with a request over it, and returns what it shows.
func sclient(t *testing.T, addr string, args ...string) string {
	t.Helper()
	_, out := run(t, ask, "openssl", append([]string{"s_client", "-connect", addr, "-ign_eof"}, args...)...)
	return out
}

// served says whether the request of sclient was answered.
func served(out string) bool { return strings.Contains(out, "HTTP/1.1 200 OK") }

// must finds a group of a pattern in text.
func must(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s is not to be found in:\n%s", pattern, text)
	}
	return m[1]
}

// subject is the common name of the certificate sclient was shown.
func subject(t *testing.T, out string) string {
	t.Helper()
	return must(t, out, `(?m)^subject=.*CN = (.*)$`)
}

// file writes a file of the test's own.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func overwrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// discard reads until the end, which may be one's own deadline.
func discard(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// output collects what a program prints.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
