package tls

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

// endpoint is an https endpoint that tells who asked it and how.
type endpoint struct {
	addr    string
	resumed atomic.Int64
	fresh   atomic.Int64
	names   chan string
}

func newEndpoint(t *testing.T, config *tls.Config, http2 bool) *endpoint {
	t.Helper()
	e := &endpoint{names: make(chan string, 1000)}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			who = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		if strings.HasSuffix(r.URL.Path, "/close") {
			w.Header().Set("Connection", "close")
		}
		fmt.Fprintf(w, "%s by %s for %s", who, r.Proto, r.TLS.ServerName)
	}))
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.DidResume {
			e.resumed.Add(1)
		} else {
			e.fresh.Add(1)
		}
		return nil
	}
	s.TLS = config
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	e.addr = s.Listener.Addr().String()
	return e
}

// upstreams is a configuration with upstreams, one for each path.
func upstreams(listen string, all map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listeners:\n  - address: %q\nupstreams:\n", listen)
	for name, text := range all {
		fmt.Fprintf(&b, "  %s: { %s, ejection: off, retry: { attempts: 0 } }\n", name, text)
	}
	b.WriteString("routes:\n")
	for name := range all {
		fmt.Fprintf(&b, "  - { name: %[1]s, match: { path: /%[1]s/* }, upstream: %[1]s }\n", name)
	}
	return b.String()
}

// Endpoints are spoken to by TLS as told: whom we trust, what we show, which name we want. What is not as it should be is a 502, whose
// cause the log tells in words.
func TestUpstream(t *testing.T) {
	t.Parallel()
	a, strangers := gateway.NewAuthority(t), gateway.NewAuthority(t)
	own := a.Issue([]string{"gateway"})
	serving := func(p *gateway.Pair) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{p.TLS}} }
	good := newEndpoint(t, serving(a.Issue([]string{"orders.internal", "127.0.0.1"})), false)
	named := newEndpoint(t, serving(a.Issue([]string{"orders.internal"})), false)
	expired := newEndpoint(t, serving(a.Issue([]string{"127.0.0.1"}, gateway.Until(time.Now().Add(-time.Hour)))), false)
	unknown := newEndpoint(t, serving(strangers.Issue([]string{"127.0.0.1"})), false)
	asking := serving(a.Issue([]string{"127.0.0.1"}))
	asking.ClientAuth, asking.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool
	wants := newEndpoint(t, asking, false)
	old := serving(a.Issue([]string{"127.0.0.1"}))
	old.MaxVersion = tls.VersionTLS11
	outdated := newEndpoint(t, old, false)
	h2 := newEndpoint(t, serving(a.Issue([]string{"127.0.0.1"})), true)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)

	ca := fmt.Sprintf("ca: %q", a.File)
	at := func(e *endpoint, tls, more string) string {
		return fmt.Sprintf("endpoints: [%q], tls: { %s }%s", e.addr, tls, more)
	}
	listen := gateway.Free(t)
	g := gateway.Start(t, upstreams(listen, map[string]string{
		"good":       at(good, ca, ""),
		"https":      fmt.Sprintf("endpoints: [%q], tls: { %s }", "https://"+good.addr, ca),
		"named":      at(named, ca+", server_name: orders.internal", ""),
		"misnamed":   at(named, ca, ""),
		"expired":    at(expired, ca, ""),
		"unknown":    at(unknown, ca, ""),
		"system":     at(good, "", ""),
		"unverified": at(unknown, "verify: false", ""),
		"shows":      at(wants, ca+fmt.Sprintf(", cert: %q, key: %q", own.Cert, own.Key), ""),
		"anonymous":  at(wants, ca, ""),
		"outdated":   at(outdated, ca, ""),
		"plain":      fmt.Sprintf("endpoints: [%q], tls: { %s }", plain.Listener.Addr(), ca),
		"http2":      at(h2, ca, ", protocol: http2"),
		"auto2":      at(h2, ca, ", protocol: auto"),
		"auto1":      at(good, ca, ", protocol: auto"),
		"not2":       at(good, ca, ", protocol: http2"),
	}))
	ids := map[string]string{} // words of the cause, by path
	for _, test := range []struct {
		name, body string
		cause      string
	}{
		{"good", "nobody by HTTP/1.1 for ", ""},
		{"https", "nobody by HTTP/1.1 for ", ""},
		{"named", "nobody by HTTP/1.1 for orders.internal", ""},
		{"misnamed", "", "127.0.0.1"},
		{"expired", "", "expired"},
		{"unknown", "", "unknown authority"},
		{"system", "", "unknown authority"},
		{"unverified", "nobody by HTTP/1.1 for ", ""},
		{"shows", "gateway by HTTP/1.1 for ", ""},
		{"anonymous", "", "certificate required"},
		{"outdated", "", "protocol version"},
		{"plain", "", "TLS"},
		{"http2", "nobody by HTTP/2.0 for ", ""},
		{"auto2", "nobody by HTTP/2.0 for ", ""},
		{"auto1", "nobody by HTTP/1.1 for ", ""},
		{"not2", "", "h"},
	} {
		r, body, err := traffic.Once(listen, traffic.Get("/"+test.name+"/x"))
		switch {
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.cause == "" && (r.StatusCode != 200 || body != test.body):
			t.Errorf("%s: %d %s, want %q", test.name, r.StatusCode, body, test.body)
		case test.cause != "":
			var p struct{ Code, Detail string }
			if json.Unmarshal([]byte(body), &p); r.StatusCode != 502 || strings.Contains(body, "x509") || strings.Contains(body, "127.0.0.1") {
				t.Errorf("%s: %d %s", test.name, r.StatusCode, body)
			}
			ids["/"+test.name+"/x"] = test.cause
		}
	}
	for path, cause := range ids {
		l := g.AwaitAccess("of "+path, func(l gateway.Line) bool { return l.Text("path") == path })
		if !strings.Contains(l.Text("cause"), cause) || l.Text("side") != "upstream" || l.Text("fault") == "" {
			t.Errorf("%s: the cause does not tell of %q: %v", path, cause, l)
		}
	}
	if !g.Logged("not verified") || strings.Count(g.Log(), "not verified") != 1 {
		t.Errorf("verify: false is told %d times, want once", strings.Count(g.Log(), "not verified"))
	}
}

// Sessions with endpoints are resumed, and connections kept; both outlive a reload that does not touch them.
func TestUpstreamResumption(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		e := newEndpoint(t, &tls.Config{Certificates: []tls.Certificate{a.Issue([]string{"127.0.0.1"}).TLS}, MaxVersion: version}, false)
		listen := gateway.Free(t)
		config := upstreams(listen, map[string]string{"app": fmt.Sprintf("endpoints: [%q], tls: { ca: %q }", e.addr, a.File)})
		g := gateway.Start(t, config)
		get := func(path string) {
			t.Helper()
			if r, body, err := traffic.Once(listen, traffic.Get(path)); err != nil || r.StatusCode != 200 {
				t.Fatalf("%v %s %v", r, body, err)
			}
		}
		for range 20 {
			get("/app/")
		}
		if n := e.fresh.Load() + e.resumed.Load(); n > 2 {
			t.Errorf("20 requests took %d connections", n)
		}
		for range 20 {
			get("/app/close")
		}
		if e.fresh.Load() > 2 || e.resumed.Load() < 18 {
			t.Errorf("%d handshakes were full, %d resumed", e.fresh.Load(), e.resumed.Load())
		}
		full := e.fresh.Load()
		if err := g.Reload(config + "shutdown: { drain: 1s }\n"); err != nil {
			t.Fatal(err)
		}
		get("/app/close")
		get("/app/close")
		if e.fresh.Load() != full {
			t.Error("a reload has forgotten the session")
		}
	}
}

// A certificate of ours that is renewed on disk is shown from then on, and an authority that is changed at a reload counts.
func TestUpstreamSwap(t *testing.T) {
	t.Parallel()
	a, strangers := gateway.NewAuthority(t), gateway.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.Issue([]string{"127.0.0.1"}).TLS}, ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true}
	e := newEndpoint(t, config, false)
	own := a.Issue([]string{"before"})
	ca := file(t, "ca.pem", read(t, a.File))
	listen := gateway.Free(t)
	text := upstreams(listen, map[string]string{"app": fmt.Sprintf("endpoints: [%q], tls: { ca: %q, cert: %q, key: %q }", e.addr, ca, own.Cert, own.Key)})
	g := gateway.Start(t, text)
	who := func() string {
		r, body, err := traffic.Once(listen, traffic.Get("/app/close"))
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != 200 {
			return fmt.Sprint(r.StatusCode)
		}
		name, _, _ := strings.Cut(body, " ")
		return name
	}
	if got := who(); got != "before" {
		t.Fatalf("the endpoint saw %q", got)
	}
	a.IssueTo(own, []string{"after"})
	gateway.Await(t, "the new certificate is shown", func() bool { return who() == "after" })
	overwrite(t, ca, read(t, strangers.File))
	if err := g.Reload(text + "shutdown: { drain: 1s }\n"); err != nil {
		t.Fatal(err)
	}
	if got := who(); got != "502" {
		t.Errorf("an endpoint that is trusted no more was asked: %s", got)
	}
	overwrite(t, ca, read(t, a.File))
	if err := g.Reload(text); err != nil {
		t.Fatal(err)
	}
	if got := who(); got != "after" {
		t.Errorf("the endpoint saw %q", got)
	}
}

// A handshake with an endpoint that does not answer it ends with the time to connect.
func TestUpstreamSilence(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	silent := traffic.NewScripted(t, func(c net.Conn, _ int64) {
		c.Read(make([]byte, 1))
		c.SetReadDeadline(time.Now().Add(gateway.Patience))
		discard(c)
	})
	listen := gateway.Free(t)
	g := gateway.Start(t, upstreams(listen, map[string]string{"app": fmt.Sprintf("endpoints: [%q], tls: { ca: %q }, timeouts: { connect: 300ms }", silent.Addr, a.File)}))
	r, body, err := traffic.Once(listen, traffic.Get("/app/"))
	if err != nil || r.StatusCode != 502 && r.StatusCode != 504 {
		t.Fatalf("%v %s %v", r, body, err)
	}
	l := g.AwaitAccess("the request's", func(l gateway.Line) bool { return l.Text("path") == "/app/" })
	if l.Text("side") != "upstream" || l.Number("total_us") < 300_000 {
		t.Errorf("the line is %v", l)
	}
	gateway.Await(t, "the connection is closed", func() bool { return silent.Open.Load() == 0 })
}
