package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/config"
)

// upstreamOf is an upstream with one endpoint and the settings that a file without any has.
func upstreamOf(t *testing.T, address string) *config.Upstream {
	t.Helper()
	u := &config.Upstream{Name: "orders", Protocol: "http1", Host: "keep", Endpoints: []config.Endpoint{{}}}
	u.Pool.Idle = 256
	u.Pool.IdleTimeout = 55e9
	if err := u.Endpoints[0].Address.ParseText(address); err != nil {
		t.Fatal(err)
	}
	return u
}

// quick leaves connections alone for a short time only; reach itself meets nginx below.
func quick(ctx context.Context, u *config.Upstream, e *config.Endpoint) (Reached, error) {
	return reachFor(ctx, u, e, 50*time.Millisecond)
}

// look is what the check finds out about one endpoint, over real connections.
func look(t *testing.T, u *config.Upstream) box.Finding {
	t.Helper()
	p := &Patient{Config: &config.Config{Part: config.Part{Upstreams: []config.Upstream{*u}}}, Probes: Probes{Reach: quick}}
	found := lookEndpoints(context.Background(), p)
	if len(found) != 1 {
		t.Fatalf("found %v", found)
	}
	return found[0]
}

func holds(t *testing.T, f box.Finding, severity box.Severity, says ...string) {
	t.Helper()
	text := strings.Join([]string{f.Subject, f.Is, f.Want, f.Why, f.Cost, f.Remedy}, "\n")
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("nothing says %q in\n%s", s, text)
		}
	}
	if f.Severity != severity {
		t.Errorf("found %s, want %s:\n%s", f.Severity, severity, text)
	}
}

func TestEndpointThatKeepsConnections(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/healthz" {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		fmt.Fprint(w, "well")
	}))
	defer s.Close()
	u := upstreamOf(t, s.Listener.Addr().String())
	u.Health = &config.Health{Path: "/healthz"}
	holds(t, look(t, u), box.Good, "GET /healthz answered 200", "on the same one", "the connection was kept", "orders 127.0.0.1:")
}

func TestEndpointThatCloses(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }))
	defer s.Close()
	holds(t, look(t, upstreamOf(t, s.Listener.Addr().String())), box.Warning, "HEAD / answered 200", "closes the connection after each answer (Connection: close)", "a request to open a connection")
}

func TestEndpointOfHTTP10(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(c))
			fmt.Fprint(c, "HTTP/1.0 404 Not Found\r\n\r\n")
			_ = c.Close()
		}
	}()
	holds(t, look(t, upstreamOf(t, ln.Addr().String())), box.Warning, "answered 404", "it speaks HTTP/1.0")
}

// Real nginx: the three ways it has to be in the pool's way.
func TestNginxKeepAlive(t *testing.T) {
	t.Parallel()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	for _, c := range []struct {
		setting  string
		severity box.Severity
		says     string
	}{
		{"keepalive_timeout 0;", box.Warning, "Connection: close"},
		{"keepalive_timeout 1s;", box.Warning, "closed a connection that was idle for"},
		{"keepalive_timeout 20s 20s;", box.Hint, "pool.idle_timeout below 20s"},
		{"keepalive_timeout 75s;", box.Good, "the connection was kept"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			socket := filepath.Join(dir, "s")
			file := filepath.Join(dir, "nginx.conf")
			text := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/log; events {}\nhttp { access_log off; %[2]s\n"+
				"client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/c;\n"+
				"server { listen unix:%[1]s/s; location / { return 200 well; } } }\n", dir, c.setting)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(nginx, "-p", dir, "-c", file)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
				if c, err := net.Dial("unix", socket); err == nil {
					_ = c.Close()
					break
				} else if time.Since(began) > 10*time.Second {
					t.Fatal(err)
				}
			}
			p := &Patient{Config: &config.Config{Part: config.Part{Upstreams: []config.Upstream{*upstreamOf(t, "unix:"+socket)}}}, Probes: Probes{Reach: reach}}
			holds(t, lookEndpoints(t.Context(), p)[0], c.severity, c.says)
		})
	}
}

func TestEndpointOverTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	u := upstreamOf(t, "https://"+s.Listener.Addr().String())
	holds(t, look(t, u), box.Bad, "certificate", "No endpoint of the upstream answers")
	u.TLS = &config.UpstreamTLS{Verify: false}
	holds(t, look(t, u), box.Good, "of TLS")
}

func TestEndpointOfHTTP2(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	u := upstreamOf(t, s.Listener.Addr().String())
	u.Protocol = "http2"
	holds(t, look(t, u), box.Good, "answered 404")

	s1 := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	s1.Config.Protocols = s.Config.Protocols
	s1.Start()
	defer s1.Close()
	u = upstreamOf(t, s1.Listener.Addr().String())
	u.Protocol = "http2"
	holds(t, look(t, u), box.Unknown, "HEAD / was refused", "it reset the request")

	s2 := httptest.NewUnstartedServer(http.NotFoundHandler())
	s2.EnableHTTP2 = true
	s2.StartTLS()
	defer s2.Close()
	u = upstreamOf(t, "https://"+s2.Listener.Addr().String())
	u.Protocol, u.TLS = "http2", &config.UpstreamTLS{Verify: false}
	holds(t, look(t, u), box.Good, "answered 404", "of TLS")
}

func TestEndpointThatIsAway(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	u := upstreamOf(t, address)
	holds(t, look(t, u), box.Bad, "connection refused", "No endpoint of the upstream answers")
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	u.Endpoints = append(u.Endpoints, upstreamOf(t, s.Listener.Addr().String()).Endpoints...)
	p := &Patient{Config: &config.Config{Part: config.Part{Upstreams: []config.Upstream{*u}}}, Probes: Probes{Reach: quick}}
	found := lookEndpoints(context.Background(), p)
	holds(t, found[0], box.Warning, "connection refused", "go to the other endpoints")
	holds(t, found[1], box.Good)
}

func TestPoolThatKeepsNone(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	u := upstreamOf(t, s.Listener.Addr().String())
	u.Pool.Idle = 0
	holds(t, look(t, u), box.Hint, "upstreams.orders.pool.idle is 0")
}

func TestAnnounced(t *testing.T) {
	for field, want := range map[string]time.Duration{"timeout=5, max=100": 5e9, "max=3,Timeout=12": 12e9, "": 0, "timeout=x": 0, "timeout=-1": 0, "timeout=99999999999": 0} {
		if got := announced(field); got != want {
			t.Errorf("%q: found %s, want %s", field, got, want)
		}
	}
}

func TestManyEndpoints(t *testing.T) {
	u := upstreamOf(t, "127.0.0.1:1")
	for range 80 {
		u.Endpoints = append(u.Endpoints, u.Endpoints[0])
	}
	p := &Patient{Config: &config.Config{Part: config.Part{Upstreams: []config.Upstream{*u}}}, Probes: Probes{
		Reach: func(context.Context, *config.Upstream, *config.Endpoint) (Reached, error) {
			return Reached{Reused: true}, nil
		},
	}}
	found := lookEndpoints(context.Background(), p)
	if len(found) != maxReached+1 {
		t.Fatalf("%d findings", len(found))
	}
	holds(t, found[maxReached], box.Unknown, "17 further endpoints")
}

// Many endpoints that take their time are asked at once, or the check would have no time for all.
func TestEndpointsAreAskedAtOnce(t *testing.T) {
	u := upstreamOf(t, "127.0.0.1:1")
	for range maxReached - 1 {
		u.Endpoints = append(u.Endpoints, u.Endpoints[0])
	}
	var all sync.WaitGroup
	all.Add(maxReached)
	p := &Patient{Config: &config.Config{Part: config.Part{Upstreams: []config.Upstream{*u}}}, Probes: Probes{
		Reach: func(ctx context.Context, _ *config.Upstream, _ *config.Endpoint) (Reached, error) {
			all.Done()
			all.Wait()
			return Reached{Reused: true}, nil
		},
	}}
	if found := Examine(t.Context(), p, []Check{{ID: "endpoints", Look: lookEndpoints}}, time.Minute); len(found) != maxReached {
		t.Errorf("%d findings: %+v", len(found), found[0])
	}
}

// An endpoint that answers its health probe with an error gets no requests, however well its connections are kept.
func TestEndpointThatIsSick(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	defer s.Close()
	u := upstreamOf(t, s.Listener.Addr().String())
	holds(t, look(t, u), box.Good, "answered 503")
	u.Health = &config.Health{Path: "/healthz"}
	holds(t, look(t, u), box.Warning, "answered 503", "a status of 200-299", "gets no requests")
	u.Health.Status = []config.StatusRange{{From: 200, To: 299}, {From: 503, To: 503}}
	holds(t, look(t, u), box.Good)
}

// An answer that does not end, or a second request without one, says nothing of how connections are kept.
func TestEndpointsThatDoNotShowIt(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range maxContent / 1024 {
			_, _ = w.Write(make([]byte, 1024))
		}
	}))
	defer s.Close()
	u := upstreamOf(t, s.Listener.Addr().String())
	u.Health = &config.Health{Path: "/long"}
	holds(t, look(t, u), box.Unknown, "did not end within 1 MiB")

	var asked atomic.Int32
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s2 := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			stop()
			<-r.Context().Done()
		}
	}))
	defer s2.Close()
	p := &Patient{Config: &config.Config{Part: config.Part{Upstreams: []config.Upstream{*upstreamOf(t, s2.Listener.Addr().String())}}}, Probes: Probes{Reach: quick}}
	holds(t, lookEndpoints(ctx, p)[0], box.Unknown, "the second request got no answer")
}

// An endpoint of HTTP/2 that is asked by HTTP/1.1 is told as what it is.
func TestEndpointOfAnotherProtocol(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00\x00\x05\x00\xff\xff\xff"))
			_, _ = c.Read(make([]byte, 1024)) // until the client goes
			_ = c.Close()
		}
	}()
	f := look(t, upstreamOf(t, ln.Addr().String()))
	holds(t, f, box.Bad, "it speaks HTTP/2 without TLS: protocol: http2 is for that")
}

// Names are asked for where the upstream has the gateway ask.
func TestEndpointByAResolverOfItsOwn(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	u := upstreamOf(t, "orders.only-there.test:"+port)
	if err := u.Resolve.Server.ParseText(resolver(t, dns.RcodeSuccess)); err != nil {
		t.Fatal(err)
	}
	holds(t, look(t, u), box.Good, "answered 404")
}

// Endpoints that ask for a certificate are shown the upstream's, and are believed by its authorities under the name it gives them.
func TestEndpointWithCertificatesOnBothSides(t *testing.T) {
	t.Parallel()
	root := authority(nil, "Root", time.Now().Add(day))
	signed := func(name string) *issued {
		return issue(root, curve(), func(c *x509.Certificate) {
			c.DNSNames, c.NotAfter = []string{name}, time.Now().Add(day)
			c.NotBefore = time.Now().Add(-day)
		})
	}
	dir := t.TempDir()
	p := &Patient{Machine: &box.Machine{Root: dir}}
	beside(p, "us", signed("gateway.test"))
	put(p, "/etc/straum/root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o644)
	at := func(name string) string { return dir + "/etc/straum/" + name }

	them := signed("orders.test")
	clients := x509.NewCertPool()
	clients.AddCert(root.Certificate)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{them.Raw}, PrivateKey: them.key}}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	s.StartTLS()
	defer s.Close()
	u := upstreamOf(t, "https://"+s.Listener.Addr().String())
	u.TLS = &config.UpstreamTLS{Verify: true, CA: at("root.pem"), Cert: at("us.pem"), Key: at("us.key"), ServerName: "orders.test"}
	holds(t, look(t, u), box.Good, "answered 404")
	q := &Patient{Config: &config.Config{Part: config.Part{Upstreams: []config.Upstream{*u}}}, Probes: Probes{Reach: quick}, Now: them.NotAfter.Add(-2 * time.Hour)}
	holds(t, lookEndpoints(t.Context(), q)[0], box.Warning, "its certificate ends in 2 hours")
	for name, change := range map[string]func(*config.UpstreamTLS){
		"without authorities": func(c *config.UpstreamTLS) { c.CA = "" },
		"without a name":      func(c *config.UpstreamTLS) { c.ServerName = "" },
		"without a pair":      func(c *config.UpstreamTLS) { c.Cert, c.Key = "", "" },
		"no such authorities": func(c *config.UpstreamTLS) { c.CA = at("none.pem") },
	} {
		u, c := *u, *u.TLS
		change(&c)
		u.TLS = &c
		if f := look(t, &u); f.Severity != box.Bad {
			t.Errorf("%s: found %s: %s", name, f.Severity, f.Is)
		}
	}
}
