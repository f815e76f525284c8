package staple

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
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

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// party is a certificate and its key.
type party struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue makes a party; by is nil for a root. change may alter what is ordinary.
func issue(t testing.TB, by *party, name string, serial int64, change func(*x509.Certificate)) *party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(c)
	}
	p := &party{key: key}
	parent, signer := c, crypto.Signer(key)
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return p
}

func authority(c *x509.Certificate) {
	c.IsCA = true
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
}

func appointed(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }

// must makes a certificate demand stapling.
func must(c *x509.Certificate) {
	value, _ := asn1.Marshal([]int{featureStatusRequest})
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidFeature, Value: value})
}

// world is an authority with a responder at an address that stays, whoever answers there.
type world struct {
	t      *testing.T
	dir    string
	issuer *party
	url    string
	behind atomic.Pointer[http.HandlerFunc]
	asked  atomic.Int64
	client *http.Client
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), client: Client()}
	w.issuer = issue(t, nil, "authority", 1, authority)
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		(*w.behind.Load())(rw, r)
	}))
	t.Cleanup(front.Close)
	w.url = front.URL
	w.answers(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }) // down
	return w
}

func (w *world) answers(how http.HandlerFunc) { w.behind.Store(&how) }

// leaf is a certificate that names the responder, with its chain.
func (w *world) leaf(serial int64, change func(*x509.Certificate)) *tls.Certificate {
	p := issue(w.t, w.issuer, "a.example", serial, func(c *x509.Certificate) {
		c.DNSNames = []string{"a.example"}
		c.OCSPServer = []string{w.url}
		if change != nil {
			change(c)
		}
	})
	return &tls.Certificate{Certificate: [][]byte{p.cert.Raw, w.issuer.cert.Raw}, PrivateKey: p.key, Leaf: p.cert}
}

func (w *world) write(name, text string) string {
	w.t.Helper()
	name = filepath.Join(w.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return name
}

func (w *world) files(p *party) (cert, key string) {
	w.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		w.t.Fatal(err)
	}
	n := fmt.Sprintf("%x", p.cert.SerialNumber)
	return w.write(n+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw}))),
		w.write(n+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// index is what the authority knows of its certificates, by serial number: V is valid, R revoked. Others are unknown to it.
type index map[int64]string

// responder runs a real one, and puts it behind the address.
func (w *world) responder(known index, signer *party, arguments ...string) {
	w.t.Helper()
	var lines strings.Builder
	for serial, status := range known {
		when := ""
		if status == "R" {
			when = "260102030405Z"
		}
		fmt.Fprintf(&lines, "%s\t360101000000Z\t%s\t%04X\tunknown\t/CN=%d\n", status, when, serial, serial)
	}
	list := w.write(fmt.Sprintf("index%d.txt", len(known)), lines.String())
	authority, _ := w.files(w.issuer)
	cert, key := w.files(signer)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "openssl", append([]string{
		"ocsp", "-port", "0", "-index", list, "-CA", authority, "-rsigner", cert, "-rkey", key}, arguments...)...)
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { cancel(); cmd.Wait() })
	scan := bufio.NewScanner(out)
	for scan.Scan() {
		rest, ok := strings.CutPrefix(scan.Text(), "ACCEPT ")
		if !ok {
			continue
		}
		address, _, _ := strings.Cut(rest, " ")
		port := address[strings.LastIndexByte(address, ':')+1:]
		go io.Copy(io.Discard, out)
		w.answers(w.forward("http://127.0.0.1:" + port))
		return
	}
	w.t.Fatal("openssl ocsp did not start")
}

// forward sends questions on to another responder.
func (w *world) forward(to string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		question, _ := io.ReadAll(r.Body) // openssl wants to know its length before
		response, err := w.client.Post(to, r.Header.Get("Content-Type"), bytes.NewReader(question))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer response.Body.Close()
		rw.WriteHeader(response.StatusCode)
		io.Copy(rw, response.Body)
	}
}

// recorded is the answer the responder gives about a certificate now.
func (w *world) recorded(c *tls.Certificate) []byte {
	w.t.Helper()
	s, err := examine(c)
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := s.ask(context.Background(), w.client, w.url, time.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.raw
}

// replay answers every question with the same.
func replay(answer []byte) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { rw.Write(answer) }
}

// clock is a time that is set.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.at.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

// logs collects what was logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

// stapling is a stapler that looks after one certificate.
type stapling struct {
	*Stapler
	t     *testing.T
	clock *clock
	log   *logs
	shown atomic.Pointer[[]byte] // what was put last
	puts  atomic.Int64
}

// started runs a stapler and gives it a certificate to look after.
func started(t *testing.T, c *tls.Certificate, dir string) *stapling {
	t.Helper()
	s := stopped(t, dir)
	s.follow(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func stopped(t *testing.T, dir string) *stapling {
	s := &stapling{t: t, clock: newClock(), log: new(logs)}
	s.Stapler = New(Options{
		Dir: dir, Now: s.clock.now, Random: func() float64 { return 0 },
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return s
}

func (s *stapling) follow(c *tls.Certificate) {
	s.Follow("it", c, func(response []byte) { s.shown.Store(&response); s.puts.Add(1) })
}

// staple is what is shown now.
func (s *stapling) staple() []byte {
	if p := s.shown.Load(); p != nil {
		return *p
	}
	return nil
}

// pass lets time go by.
func (s *stapling) pass(d time.Duration) {
	s.clock.pass(d)
	s.nudge()
}

func (s *stapling) await(what string, holds func(Status) bool) Status {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		got := s.Status("it")
		if holds(got) {
			return got
		}
		if time.Now().After(end) {
			s.t.Fatalf("still not so: %s; status is %v", what, got)
		}
	}
}

func isStapled(s Status) bool { return s.Stapled }
func hasFailed(s Status) bool { return s.Problem != "" }
