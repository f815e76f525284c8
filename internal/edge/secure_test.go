package edge_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/test/wire"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	pair := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// endpoint is a certificate for 127.0.0.1 and a name.
func (a *authority) endpoint(names ...string) tls.Certificate {
	return a.sign(&x509.Certificate{DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
}

// trusting is how an upstream speaks to endpoints of this authority.
func (a *authority) trusting(identity string) *upstream.TLS {
	return &upstream.TLS{Identity: identity, Config: &tls.Config{RootCAs: a.pool, ClientSessionCache: tls.NewLRUClientSessionCache(8)}}
}

// serve starts net/http's server with TLS.
func (a *authority) serve(handler http.HandlerFunc, change func(*httptest.Server)) (addr string) {
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{a.endpoint("orders.example")}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if change != nil {
		change(server)
	}
	server.StartTLS()
	a.t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func withHTTP2(s *httptest.Server) { s.EnableHTTP2 = true }

// says answers what a request came over.
func says(w http.ResponseWriter, r *http.Request) {
	name, resumed := "clear", false
	if r.TLS != nil {
		name, resumed = r.TLS.ServerName, r.TLS.DidResume
	}
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %q %v %s", r.Proto, name, resumed, body)
}

func TestSecureEndpoint(t *testing.T) {
	a := newAuthority(t)
	addr := a.serve(says, nil)
	g := start(t, func(s *setup) { s.upstream.TLS = a.trusting("a") }, addr)
	c := wire.Dial(t, g.addr)
	for i := range 3 {
		m, r := g.askOn(c, fmt.Sprintf("POST / HTTP/1.1\nHost: a\nContent-Length: 200000\n\n%s", strings.Repeat("x", 200000)))
		if want := `HTTP/1.1 "" false ` + strings.Repeat("x", 200000); string(m.Body) != want || r.upstream.Reused != (i > 0) {
			t.Errorf("%s%.60s %+v", m, m.Body, r)
		}
		g.endpoint()
	}
}

// The name to prove is the one that was configured, and not the address that it resolves to.
func TestServerName(t *testing.T) {
	a := newAuthority(t)
	addr := a.serve(says, nil)
	_, port, _ := net.SplitHostPort(addr)
	f := func(endpoint, fixed, want string) {
		t.Helper()
		known := &names{}
		known.set("orders.example", "127.0.0.1")
		known.set("other.example", "127.0.0.1")
		g := start(t, func(s *setup) {
			s.lookup = known.lookup
			s.upstream.TLS = a.trusting("a")
			s.upstream.TLS.ServerName = fixed
			s.upstream.Retry.MaxAttempts = 1
		}, endpoint)
		m, r := g.ask(get)
		if text := string(m.Body) + r.cause; !strings.Contains(text, want) {
			t.Errorf("%s, %q: %s, want %q", endpoint, fixed, text, want)
		}
	}
	f("orders.example:"+port, "", `"orders.example"`)
	f("other.example:"+port, "orders.example", `"orders.example"`)
	f("other.example:"+port, "", "certificate is not for other.example; set the server name")
	f(addr, "wrong.example", "certificate is not for wrong.example")
}

// Whatever is wrong with an endpoint's TLS is the operator's to know, and another endpoint's chance.
func TestTLSFaults(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	good := a.serve(says, nil)
	plain := httptest.NewServer(http.HandlerFunc(says))
	defer plain.Close()
	f := func(name, cause string, endpoint string, change func(*upstream.TLS)) {
		t.Run(name, func(t *testing.T) {
			set := a.trusting("a")
			if change != nil {
				change(set)
			}
			g := start(t, func(s *setup) { s.upstream.TLS, s.upstream.Retry.MaxAttempts = set, 1 }, endpoint)
			m, r := g.ask(get)
			if p := readProblem(t, m); p.Code != "upstream_tls" || m.Status() != 502 || !strings.Contains(r.cause, cause) {
				t.Errorf("%s%s the log has %q, want %q", m, m.Body, r.cause, cause)
			}
			if strings.Contains(string(m.Body), "certificate") {
				t.Errorf("the client is told %s", m.Body)
			}
		})
	}
	expired := a.serve(says, func(s *httptest.Server) {
		s.TLS.Certificates[0] = a.sign(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	})
	strange := stranger.serve(says, nil)
	asks := a.serve(says, func(s *httptest.Server) { s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, a.pool })
	f("unknown authority", "signed by nobody who is trusted; name the CA", strange, nil)
	f("expired", "has expired or is not valid yet", expired, nil)
	f("no TLS at all", "is no TLS; check the port", plain.Listener.Addr().String(), nil)
	f("wants TLS 1.3 of one who has 1.2", "none of the versions of TLS", func() string {
		addr := a.serve(says, func(s *httptest.Server) { s.TLS.MinVersion = tls.VersionTLS13 })
		return addr
	}(), func(s *upstream.TLS) { s.Config.MaxVersion = tls.VersionTLS12 })
	f("wants a certificate", "it may want a client certificate", asks, func(s *upstream.TLS) { s.Config.MaxVersion = tls.VersionTLS12 })
	f("wants a certificate, TLS 1.3", "set the client certificate", asks, nil)
	t.Run("wants a certificate, TLS 1.3 and HTTP/2", func(t *testing.T) {
		asks := a.serve(says, func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, a.pool
		})
		g := start(t, func(s *setup) {
			s.upstream.TLS, s.upstream.Protocol, s.upstream.Retry.MaxAttempts = a.trusting("a"), upstream.HTTP2, 1
		}, asks)
		if m, r := g.ask(get); readProblem(t, m).Code != "upstream_tls" || !strings.Contains(r.cause, "or wants one") {
			t.Errorf("%s %+v", m, r)
		}
	})
	// A certificate of ours helps.
	g := start(t, func(s *setup) {
		s.upstream.TLS = a.trusting("a")
		s.upstream.TLS.Config.Certificates = []tls.Certificate{a.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})}
	}, asks)
	if m, r := g.ask(get); m.Status() != 200 {
		t.Errorf("%s %+v", m, r)
	}
	// Switching verification off does, too.
	g = start(t, func(s *setup) {
		s.upstream.TLS = a.trusting("a")
		s.upstream.TLS.Config.InsecureSkipVerify = true
	}, strange)
	if m, r := g.ask(get); m.Status() != 200 {
		t.Errorf("%s %+v", m, r)
	}
	// No handshake, no request: even a POST goes to another endpoint.
	g = start(t, func(s *setup) { s.upstream.TLS = a.trusting("a") }, strange, good)
	for range 2 {
		if m, r := g.ask("POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc"); m.Status() != 200 || !strings.HasSuffix(string(m.Body), "abc") {
			t.Errorf("%s %+v", m, r)
		}
	}
}

// An endpoint that does not say a word in the handshake costs the time for connecting, and no more.
func TestHandshakeTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	g := start(t, func(s *setup) {
		s.upstream.TLS = newAuthority(t).trusting("a")
		s.upstream.Timeouts.Connect, s.upstream.Retry.MaxAttempts = short, 1
	}, listener.Addr().String())
	if m, r := g.ask(get); m.Status() != 504 || r.fault != "connect_timeout" || !strings.Contains(r.cause, "handshake") {
		t.Errorf("%s %+v", m, r)
	}
	if s := g.endpoint(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

// Sessions are resumed by the connections that come later, across reloads that change nothing, and each endpoint has its own.
func TestResumption(t *testing.T) {
	a := newAuthority(t)
	var full, resumed atomic.Int32
	count := func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			resumed.Add(1)
		} else {
			full.Add(1)
		}
		w.Header().Set("Connection", "close")
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		full.Store(0)
		resumed.Store(0)
		one := a.serve(count, nil)
		two := a.serve(count, nil)
		g := start(t, func(s *setup) {
			s.upstream.TLS = a.trusting("same")
			s.upstream.TLS.Config.MaxVersion = version
		}, one, two)
		for range 3 {
			for range 4 {
				if m, r := g.ask(get); m.Status() != 200 {
					t.Fatalf("%s %+v", m, r)
				}
			}
			g.setup.upstream.TLS = a.trusting("same") // with a cache of its own, which is not to be used
			g.use(g.setup)
		}
		if full.Load() != 2 || resumed.Load() != 10 {
			t.Errorf("%s: %d full handshakes, %d resumed", tls.VersionName(version), full.Load(), resumed.Load())
		}
	}
}

// A connection made under old settings of TLS or protocol carries no request under new ones.
func TestSettingsChanged(t *testing.T) {
	a := newAuthority(t)
	addr := a.serve(says, withHTTP2)
	g := start(t, func(s *setup) { s.upstream.TLS = a.trusting("first") }, addr)
	c := wire.Dial(t, g.addr)
	ask := func(opened string, proto string) {
		t.Helper()
		m, r := g.askOn(c, get)
		if r.upstream.Opened != opened || !strings.HasPrefix(string(m.Body), proto) {
			t.Errorf("opened because %q, want %q; %s", r.upstream.Opened, opened, m.Body)
		}
		g.endpoint()
	}
	ask("cold", "HTTP/1.1")
	ask("", "HTTP/1.1")
	g.setup.upstream.TLS = a.trusting("first")
	g.use(g.setup)
	ask("", "HTTP/1.1")
	g.setup.upstream.TLS = a.trusting("second")
	g.use(g.setup)
	ask("settings_changed", "HTTP/1.1")
	g.setup.upstream.Protocol = upstream.HTTP2
	g.use(g.setup)
	ask("settings_changed", "HTTP/2.0")
	ask("", "HTTP/2.0")
	g.setup.upstream.TLS = a.trusting("third")
	g.use(g.setup)
	ask("settings_changed", "HTTP/2.0")
	if s := g.endpoint(); s.Open != 1 || s.Opened["settings_changed"] != 3 || s.Opened["cold"] != 1 || s.Reused != 3 {
		t.Errorf("%+v", s)
	}
	// What is under way goes on, and its connection ends with it.
	g.setup.upstream.TLS = nil
	g.setup.upstream.Protocol = upstream.HTTP1
	g.use(g.setup)
	if s := g.endpoint(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

// Auto is what ALPN gives, and with TLS a request to switch protocols gets HTTP/1.1 in any case.
func TestProtocols(t *testing.T) {
	a := newAuthority(t)
	both := a.serve(says, withHTTP2)
	one := a.serve(says, nil)
	clear := httptest.NewUnstartedServer(http.HandlerFunc(says))
	clear.Config.Protocols = new(http.Protocols)
	clear.Config.Protocols.SetUnencryptedHTTP2(true)
	clear.Config.Protocols.SetHTTP1(true)
	clear.Start()
	defer clear.Close()
	f := func(name string, protocol upstream.Protocol, secure bool, addr, want string) {
		t.Run(name, func(t *testing.T) {
			g := start(t, func(s *setup) {
				s.upstream.Protocol, s.upstream.Retry.MaxAttempts = protocol, 1
				if secure {
					s.upstream.TLS = a.trusting("a")
				}
			}, addr)
			c := wire.Dial(t, g.addr)
			for range 2 {
				m, r := g.askOn(c, get)
				if text := string(m.Body) + r.cause; !strings.Contains(text, want) {
					t.Errorf("%s, want %q", text, want)
				}
				g.endpoint()
			}
			await(t, "the stream to end", func() bool { return g.stats().Endpoints[0].Streams == 0 })
			if s := g.endpoint(); m200(want) && (s.Reused != 1 || s.Open != 1 || s.Idle != 1) {
				t.Errorf("%+v", s)
			}
		})
	}
	f("auto, both", upstream.Auto, true, both, "HTTP/2.0 ")
	f("auto, one", upstream.Auto, true, one, "HTTP/1.1 ")
	f("auto, clear", upstream.Auto, false, clear.Listener.Addr().String(), "HTTP/1.1 ")
	f("two, both", upstream.HTTP2, true, both, "HTTP/2.0 ")
	f("two, one", upstream.HTTP2, true, one, "none of the protocols it was offered (ALPN)")
	f("two, clear", upstream.HTTP2, false, clear.Listener.Addr().String(), "HTTP/2.0 ")
	f("one, both", upstream.HTTP1, true, both, "HTTP/1.1 ")

	old, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	go func() {
		if conn, err := old.Accept(); err == nil {
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	g := start(t, func(s *setup) { s.upstream.Protocol, s.upstream.Retry.MaxAttempts = upstream.HTTP2, 1 }, old.Addr().String())
	if m, r := g.ask(get); m.Status() != 502 || r.fault != "upstream_invalid" || !strings.Contains(r.cause, "set the upstream's protocol to http1") {
		t.Errorf("%s %+v", m, r)
	}
}

// m200 says whether a test expects an answer.
func m200(want string) bool { return strings.HasPrefix(want, "HTTP/") }

// A request to switch protocols goes over HTTP/1.1, where that can be had.
func TestUpgradeBesideHTTP2(t *testing.T) {
	a := newAuthority(t)
	upgrade := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			says(w, r)
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, "echo "+line)
	}
	addr := a.serve(upgrade, withHTTP2)
	for _, protocol := range []upstream.Protocol{upstream.HTTP2, upstream.Auto} {
		g := start(t, func(s *setup) { s.upstream.TLS, s.upstream.Protocol = a.trusting("a"), protocol }, addr)
		if m, _ := g.ask(get); !strings.HasPrefix(string(m.Body), "HTTP/2.0") {
			t.Errorf("%s", m.Body)
		}
		c := wire.Dial(t, g.addr)
		c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		if m := c.Head(); m.Status() != 101 {
			t.Fatalf("%s", m)
		}
		c.Send("hello\n")
		if line, err := c.In.ReadString('\n'); line != "echo hello\n" {
			t.Errorf("%q %v", line, err)
		}
		c.Close()
		if r := g.next(); r.end.String() != "tunnel_closed" {
			t.Errorf("%+v", r)
		}
		if m, r := g.ask(get); !strings.HasPrefix(string(m.Body), "HTTP/2.0") || !r.upstream.Reused {
			t.Errorf("%s %+v", m.Body, r)
		}
	}
	clear := httptest.NewServer(http.HandlerFunc(says))
	defer clear.Close()
	g := start(t, func(s *setup) { s.upstream.Protocol = upstream.HTTP2 }, clear.Listener.Addr().String())
	m, r := g.ask("GET / HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: websocket")
	if readProblem(t, m).Code != "no_upgrade" || m.Status() != 502 || !strings.Contains(r.cause, "protocol is http1") {
		t.Errorf("%s %+v", m, r)
	}
}

// nginx is an endpoint with TLS of another make, in both protocols.
func TestNginxWithTLS(t *testing.T) {
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("nginx is not installed")
	}
	a := newAuthority(t)
	dir := t.TempDir()
	pair := a.endpoint()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	free := dead(t)
	conf := write("nginx.conf", fmt.Appendf(nil, `daemon off; master_process off; pid %[1]s/pid; error_log stderr crit;
events {}
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server {
		listen %[2]s ssl http2;
		ssl_certificate %[3]s; ssl_certificate_key %[4]s;
		location /big { root %[1]s; }
		location / { return 200 "$server_protocol $ssl_session_reused $request_method"; }
	}
}`, dir, free, write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
		write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))))
	big := strings.Repeat("0123456789abcdef", 1<<16)
	write("big", []byte(big))
	nginx := exec.Command("nginx", "-p", dir, "-c", conf)
	nginx.Stderr = os.Stderr
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		nginx.Process.Kill()
		nginx.Wait()
	}()
	await(t, "nginx", func() bool {
		conn, err := net.Dial("tcp", free)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	for _, protocol := range []upstream.Protocol{upstream.HTTP1, upstream.HTTP2, upstream.Auto} {
		g := start(t, func(s *setup) {
			s.upstream.TLS, s.upstream.Protocol = a.trusting("x"), protocol
			s.upstream.Check = &health.Check{Every: time.Hour, Timeout: wire.Patience, Path: "/", Contains: "GET"}
		}, free)
		want := "HTTP/2.0 "
		if protocol == upstream.HTTP1 {
			want = "HTTP/1.1 "
		}
		if m, r := g.ask(get); string(m.Body) != want+". GET" && string(m.Body) != want+"r GET" {
			t.Errorf("%s %+v", m.Body, r)
		}
		g.calm()
		if m, r := g.ask("GET /big HTTP/1.1\nHost: a"); string(m.Body) != big || !r.upstream.Reused {
			t.Errorf("%d bytes %+v", len(m.Body), r)
		}
		g.calm()
		g.set.Relieve() // no connection is left
		if m, r := g.ask(get); string(m.Body) != want+"r GET" || r.upstream.Reused {
			t.Errorf("not resumed: %s %+v", m.Body, r)
		}
		await(t, "the check", func() bool { return g.stats().Endpoints[0].Health == "healthy" })
	}
}
