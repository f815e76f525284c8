package acme

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// names answers all questions of DNS: the authority under test asks it, and programs under test write to it.
var names struct {
	*challtestsrv.ChallSrv
	address string
}

func TestMain(m *testing.M) {
	if url := os.Getenv("STRAUM_TEST_RECORDS"); url != "" {
		os.Exit(runRecordProgram(url, os.Args[1:]))
	}
	// The authority checks at once, checks every order, and finds fault with one nonce in five.
	for key, value := range map[string]string{"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "20"} {
		_ = os.Setenv(key, value)
	}
	names.address = freeAddress()
	var err error
	names.ChallSrv, err = challtestsrv.New(challtestsrv.Config{Log: log.New(io.Discard, "", 0), DNSAddrs: []string{names.address}})
	if err != nil {
		panic(err)
	}
	names.SetDefaultDNSIPv6("")
	names.Run()
	os.Exit(m.Run())
}

// freeAddress is one on which nobody listens, for what cannot be handed a listener.
func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// authority is pebble, the real thing of which Let's Encrypt's tests are made, on loopback.
type authority struct {
	t       *testing.T
	address string
	tls     tls.Certificate
	ports   [2]int // where it asks http-01 and tls-alpn-01
	resolve string
	eab     map[string]string
	life    time.Duration

	mu     sync.Mutex
	ca     *ca.CAImpl
	db     *db.MemoryStore
	server *http.Server
	front  http.Handler
	orders atomic.Int64 // asked for
	issued atomic.Int64 // certificates fetched
	// replaced counts orders that name the certificate they replace.
	replaced atomic.Int64
	brief    bool // it has a second profile
	// responder is named in certificates.
	responder string
	// onQuestion is called when a gateway says that it is ready for a question.
	onQuestion func()
	// windows, if not nil, answers questions for renewal windows.
	windows func() string
	// noWindow hides the renewal windows; broken answers all orders with an error.
	noWindow, broken atomic.Bool
}

// newAuthority starts one that issues certificates which live that long and asks its questions at the gateway's ports.
func newAuthority(t *testing.T, g *gateway, life time.Duration, change ...func(*authority)) *authority {
	t.Helper()
	a := &authority{t: t, ports: [2]int{g.http.Addr().(*net.TCPAddr).Port, g.tls.Addr().(*net.TCPAddr).Port}, resolve: names.address, life: life}
	for _, f := range change {
		f(a)
	}
	a.tls, _ = selfSigned(t)
	a.address = freeAddress()
	a.reset()
	a.start()
	t.Cleanup(a.stop)
	return a
}

// reset makes the authority forget everything and everybody.
func (a *authority) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	quiet := log.New(io.Discard, "", 0)
	a.db = db.NewMemoryStore()
	for id, key := range a.eab {
		if err := a.db.AddExternalAccountKeyByID(id, key); err != nil {
			a.t.Fatal(err)
		}
	}
	// Without a profile in the order pebble draws one of them, so there is a second one only where it is asked for.
	profiles := map[string]ca.Profile{"default": {Description: "as asked", ValidityPeriod: uint64(a.life / time.Second)}}
	if a.brief {
		profiles["brief"] = ca.Profile{Description: "a day", ValidityPeriod: 86400}
	}
	a.ca = ca.New(quiet, a.db, a.responder, "ecdsa", 0, 1, profiles)
	checker := va.New(quiet, a.ports[0], a.ports[1], true, a.resolve, a.db)
	front := wfe.New(quiet, a.db, checker, a.ca, []string{"pebble.letsencrypt.org"}, true, len(a.eab) > 0, 0, 0)
	a.front = front.Handler()
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	front := a.front
	a.mu.Unlock()
	var count *atomic.Int64
	switch {
	case strings.HasPrefix(r.URL.Path, "/order-plz"):
		count = &a.orders
		body, err := io.ReadAll(r.Body)
		if err != nil {
			a.t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var signed struct{ Payload string }
		if json.Unmarshal(body, &signed) == nil {
			if payload, err := base64.RawURLEncoding.DecodeString(signed.Payload); err == nil && bytes.Contains(payload, []byte(`"replaces"`)) {
				a.replaced.Add(1)
			}
		}
		if a.broken.Load() {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates","status":429}`)
			return
		}
	case strings.HasPrefix(r.URL.Path, "/draft-ietf-acme-ari-03/renewalInfo/") && a.windows != nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, a.windows())
		return
	case strings.HasPrefix(r.URL.Path, "/certZ/"):
		count = &a.issued
	case strings.HasPrefix(r.URL.Path, "/chalZ/") && a.onQuestion != nil:
		a.onQuestion()
	case r.URL.Path == wfe.DirectoryPath && a.noWindow.Load():
		rec := httptest.NewRecorder()
		front.ServeHTTP(rec, r)
		var all map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &all); err != nil {
			a.t.Error(err)
		}
		delete(all, "renewalInfo")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
		return
	}
	seen := &outcome{ResponseWriter: w, status: http.StatusOK}
	front.ServeHTTP(seen, r)
	if count != nil && seen.status < 300 { // not those whose nonce it finds fault with
		count.Add(1)
	}
}

// outcome remembers the status of an answer.
type outcome struct {
	http.ResponseWriter
	status int
}

func (o *outcome) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

func (a *authority) start() {
	l, err := net.Listen("tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	a.server = &http.Server{Handler: a, TLSConfig: &tls.Config{Certificates: []tls.Certificate{a.tls}}, ErrorLog: log.New(io.Discard, "", 0)}
	go func(s *http.Server) { _ = s.ServeTLS(l, "", "") }(a.server)
}

func (a *authority) stop() { _ = a.server.Close() }

func (a *authority) directory() string { return "https://" + a.address + wfe.DirectoryPath }

// roots is what clients of the gateway trust.
func (a *authority) roots() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	pool := x509.NewCertPool()
	pool.AddCert(a.ca.GetRootCert(0).Cert)
	return pool
}

// settings are those of a gateway that uses the authority.
func (a *authority) settings(challenge string, names ...string) Settings {
	return Settings{Names: names, Email: "ops@example.com", Directory: a.directory(), Roots: poolOf(a.t, a.tls), RootsDigest: a.address, Challenges: []string{challenge}}
}

// poolOf holds a certificate.
func poolOf(t *testing.T, c tls.Certificate) *x509.CertPool {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return pool
}

// selfSigned is a certificate for 127.0.0.1, and a file with it.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "directory"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// gateway is the least there is of one: a plain listener and one with TLS, both answering by the manager.
type gateway struct {
	t         *testing.T
	http, tls net.Listener
	manager   atomic.Pointer[Manager]
	logged    lines
	// asked is called with every http-01 question.
	asked func()
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{t: t}
	var err error
	if g.http, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if g.tls, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	plain := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.asked != nil {
			g.asked()
		}
		token, ok := strings.CutPrefix(r.URL.Path, "/.well-known/acme-challenge/")
		if ok {
			var text string
			if text, ok = g.manager.Load().Challenge(r.Host, token); ok {
				_, _ = io.WriteString(w, text)
				return
			}
		}
		http.NotFound(w, r)
	})}
	go func() { _ = plain.Serve(g.http) }()
	go g.runTLS()
	t.Cleanup(func() {
		_ = plain.Close()
		_ = g.tls.Close()
		for _, secret := range []string{"PRIVATE KEY", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W", updateSecret} {
			if strings.Contains(g.logged.text(), secret) {
				t.Errorf("the log holds a secret: %s", secret)
			}
		}
		if t.Failed() {
			t.Log(g.logged.text())
		}
	})
	return g
}

func (g *gateway) runTLS() {
	for {
		c, err := g.tls.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			m := g.manager.Load()
			s := tls.Server(c, &tls.Config{GetCertificate: m.GetCertificate, NextProtos: append([]string{"http/1.1"}, m.Protos()...)})
			_ = s.SetDeadline(time.Now().Add(10 * time.Second))
			if s.Handshake() == nil {
				_, _ = io.Copy(io.Discard, s)
			}
		}()
	}
}

// manage starts a manager on a state directory of its own, or on the given one.
func (g *gateway) manage(directory string, change ...func(*Options)) *Manager {
	g.t.Helper()
	if directory == "" {
		directory = filepath.Join(g.t.TempDir(), "acme")
	}
	o := Options{
		Directory: directory,
		Log:       slog.New(slog.NewTextHandler(&g.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		timing: timing{
			retryFirst: 20 * time.Millisecond, retryMost: 100 * time.Millisecond, attempt: 30 * time.Second,
			window: 50 * time.Millisecond, staple: 50 * time.Millisecond, poll: 10 * time.Millisecond,
		},
	}
	for _, f := range change {
		f(&o)
	}
	m, err := New(o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.manager.Store(m)
	g.t.Cleanup(m.Close)
	return m
}

// apply applies settings that must be good.
func (g *gateway) apply(s Settings) {
	g.t.Helper()
	if err := g.manager.Load().Apply(s); err != nil {
		g.t.Fatal(err)
	}
}

// shown is the certificate a client gets for the name, or why it gets none. The chain is checked against roots unless they are nil.
func (g *gateway) shown(name string, roots *x509.CertPool) (*x509.Certificate, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", g.tls.Addr().String(), &tls.Config{ServerName: name, RootCAs: roots, InsecureSkipVerify: roots == nil})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0], nil
}

// mustShow is shown where it must be.
func (g *gateway) mustShow(name string, roots *x509.CertPool) *x509.Certificate {
	g.t.Helper()
	c, err := g.shown(name, roots)
	if err != nil {
		g.t.Fatalf("handshake for %s: %v", name, err)
	}
	return c
}

// until waits for a condition on a name's status.
func (g *gateway) until(name, what string, ok func(Status) bool) Status {
	g.t.Helper()
	var last Status
	await(g.t, what, func() bool {
		for _, s := range g.manager.Load().Status() {
			if s.Name == name {
				last = s
				return ok(s)
			}
		}
		return false
	}, func() any { return last })
	return last
}

func issued(s Status) bool { return s.State == Issued }

// await polls a condition; the test fails when it does not come true.
func await(t *testing.T, what string, ok func() bool, last func() any) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s; last %+v", what, last())
		}
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// runRecordProgram is what this test binary does when it is run as the program that writes DNS records.
func runRecordProgram(url string, args []string) int {
	if len(args) != 4 || args[0] != "with space; $HOME" {
		fmt.Println("arguments:", args)
		return 2
	}
	body, _ := json.Marshal(args[1:])
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		fmt.Printf("the provider says: %s", text)
		return 1
	}
	return 0
}
