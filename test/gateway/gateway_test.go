package gateway_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// TestHarness takes the harness itself once around.
func TestHarness(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
	defer endpoint.Close()
	listen := gateway.Free(t)
	config := gateway.Simple(listen, []string{endpoint.Listener.Addr().String()}, "    balance: random")
	g := gateway.Start(t, config)
	r, err := http.Get("http://" + listen + "/there?a=b")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", r, err)
	}
	r.Body.Close()
	l := g.AwaitAccess("of the request", func(l gateway.Line) bool { return l.Text("path") == "/there" })
	if l.Number("status") != 200 || l.Text("query") != "a=b" || !strings.HasPrefix(l.Text("client"), "127.0.0.1") {
		t.Errorf("got the line %v", l)
	}
	if n := g.Number("straum_requests_total", `route="all"`, `code="200"`); n != 1 {
		t.Errorf("got %v requests, want 1", n)
	}
	if now, most := g.Memory(); now < 1<<20 || most < 1<<20 || g.Descriptors() < 5 || g.Goroutines() < 2 {
		t.Errorf("got memory %d, %d, descriptors %d, goroutines %d", now, most, g.Descriptors(), g.Goroutines())
	}
	gateway.Await(t, "processor time", func() bool { return g.Ready() && g.CPU() > 0 }) // it is told in hundredths of a second
	if err := g.Reload(strings.Replace(config, "random", "round_robin", 1)); err != nil {
		t.Error(err)
	}
	if err := g.Reload(strings.Replace(config, "random", "robin", 1)); err == nil {
		t.Error("a bad configuration was put in force")
	}
	if code := g.Stop(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
	if c, err := net.Dial("tcp", listen); err == nil {
		c.Close()
		t.Error("somebody listens after the end")
	}
}

// TestFiles proves that the limit on descriptors reaches the program.
func TestFiles(t *testing.T) {
	g := gateway.Start(t, gateway.Simple(gateway.Free(t), []string{gateway.Free(t)}, ""), gateway.Files(99))
	if n := g.Number("process_max_fds"); n != 99 {
		t.Errorf("got %v descriptors at most, want 99", n)
	}
}
