package status

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "straum_test_total", Help: "A test."})
	c.Add(3)
	r.MustRegister(c)
	return r
}

func TestAnswers(t *testing.T) {
	var configOK atomic.Bool
	s := New(Options{Metrics: registry(), Checks: []Check{
		{"config", func() (bool, string) { return configOK.Load(), "no revision yet" }},
		{"listeners", func() (bool, string) { return true, "" }},
	}, Aids: []Check{{"store", func() (bool, string) { return false, "away" }}, {"other", func() (bool, string) { return true, "" }}}})
	f := func(method, path string, status int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != status || strings.TrimSpace(w.Body.String()) != body {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("%s %s: Content-Type %q", method, path, got)
		}
		if got := w.Header().Get("Allow"); (status == 405) != (got == "GET, HEAD") {
			t.Errorf("%s %s: Allow %q", method, path, got)
		}
	}
	f("GET", "/healthz", 200, `{"alive":true}`)
	f("GET", "/readyz", 503, `{"degraded":[{"check":"store","reason":"away"}],"ready":false,"reasons":[{"check":"config","reason":"no revision yet"}]}`)
	configOK.Store(true)
	f("GET", "/readyz", 200, `{"degraded":[{"check":"store","reason":"away"}],"ready":true,"reasons":[]}`)
	s.Drain()
	f("GET", "/readyz", 503, `{"degraded":[{"check":"store","reason":"away"}],"ready":false,"reasons":[{"check":"drain","reason":"the gateway is stopping"}]}`)
	f("GET", "/healthz", 200, `{"alive":true}`)
	f("GET", "/", 404, `{"error":"no such page","pages":["/metrics","/healthz","/readyz"]}`)
	f("GET", "/metrics/x", 404, `{"error":"no such page","pages":["/metrics","/healthz","/readyz"]}`)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"} {
		f(method, "/metrics", 405, `{"error":"only GET and HEAD"}`)
	}
}

// failing gathers some of what there is.
type failing struct{ prometheus.Gatherer }

func (failing) Describe(to chan<- *prometheus.Desc) { to <- broken }
func (failing) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.NewInvalidMetric(broken, errors.New("source is broken"))
}

var broken = prometheus.NewDesc("straum_broken", "Never there.", nil, nil)

func TestMetrics(t *testing.T) {
	r := registry()
	r.MustRegister(failing{})
	var told strings.Builder
	s := New(Options{Metrics: r, ErrorLog: log.New(&told, "", 0)})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "straum_test_total 3") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(told.String(), "source is broken") {
		t.Errorf("the error is told nobody: %q", told.String())
	}
}

func TestServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	s := New(Options{Metrics: registry()})
	go func() { done <- s.Serve(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{}}
	url := "http://" + ln.Addr().String()
	for _, method := range []string{"GET", "HEAD"} {
		req, _ := http.NewRequest(method, url+"/healthz", nil)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || res.ContentLength != 15 || (method == "GET") != (len(body) == 15) {
			t.Errorf("%s: %d, Content-Length %d, body %q", method, res.StatusCode, res.ContentLength, body)
		}
		if res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", res.Header)
		}
	}
	// A head beyond the limit is refused.
	req, _ := http.NewRequest("GET", url+"/healthz", nil)
	req.Header.Set("X-Long", strings.Repeat("x", 3*maxHeader))
	res, err := client.Do(req)
	if err == nil {
		res.Body.Close()
		if res.StatusCode != 431 {
			t.Errorf("a long head: %d", res.StatusCode)
		}
	}
	client.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}

	// A listener that fails is an error.
	if err := s.Serve(context.Background(), ln); err == nil {
		t.Error("no error from a closed listener")
	}
}

// TestNoTemplates holds that nothing here pulls in the template packages, which keep the linker from dropping unused methods of
// the whole program.
func TestNoTemplates(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".", "../metrics", "../accesslog").Output()
	if err != nil {
		t.Skip("go list: ", err)
	}
	for _, path := range strings.Fields(string(out)) {
		if path == "text/template" || path == "html/template" {
			t.Errorf("%s is linked in", path)
		}
	}
}
