package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"straum.dev/straum/internal/acme"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/observe/metrics"
)

// issue writes a certificate that has signed itself, and its key. A certificate without a name is as good for a client.
func issue(t *testing.T, dir, file string, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour), DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{file + ".key": {Type: "PRIVATE KEY", Bytes: secret}, file + ".crt": {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What TLS does is seen by monitors and by the commands, from the files to what they print.
func TestTLSIsSeen(t *testing.T) {
	dir, err := os.MkdirTemp("", "straum") // with a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	issue(t, dir, "api", "api.example.com", "www.example.com")
	issue(t, dir, "own")
	socket, file := filepath.Join(dir, "admin.sock"), filepath.Join(dir, "straum.yaml")
	plain, err := free("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	text := "listeners: [ { name: public, address: 127.0.0.1:0, tls: { certificates: [ { cert: api.crt, key: api.key } ] } }, { name: plain, address: " + plain + ", http2: off } ]\n" +
		"upstreams: { orders: { endpoints: [127.0.0.1:1], tls: { cert: own.crt, key: own.key } } }\nroutes: [ { match: { path: /* }, upstream: orders } ]\n" +
		"metrics: off\nlog: { access: { to: off } }\nstate: " + dir + "/state\nadmin: { socket: " + socket + " }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	source := revision.File(file)
	first, _, err := judge(source)
	if err != nil {
		t.Fatal(err)
	}
	g, err := assemble(first, source, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		g.close(ctx)
	})
	if _, err := g.revisions.Reload("start"); err != nil {
		t.Fatal(err)
	}
	printed := func(command string, want ...string) {
		t.Helper()
		out := runCommand([]string{command, "--socket", socket})
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("straum %s prints\n%s\nwithout %q", command, out, w)
			}
		}
	}
	shown := func(want ...string) {
		t.Helper()
		var missing []string
		for by := time.Now().Add(20 * time.Second); time.Now().Before(by); time.Sleep(5 * time.Millisecond) { // an exchange is counted after its answer
			text := exposition(t, g)
			missing = slices.DeleteFunc(slices.Clone(want), func(w string) bool { return strings.Contains(text, "\n"+w+"\n") })
			if len(missing) == 0 {
				return
			}
		}
		t.Errorf("the metrics lack %q", missing)
	}

	printed("certificates", "api.example.com, www.example.com  ECDSA P-256", "(in 364 days)", "file    good; the certificate names no responder",
		filepath.Join(dir, "own.crt"), "good; shown to endpoints\n")
	address := ""
	for _, l := range g.listeners.Stats() {
		if l.Name == "public" {
			address = l.Address
		}
	}
	for _, offered := range [][]string{{"h2"}, {"http/1.1"}} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "api.example.com", NextProtos: offered},
			ForceAttemptHTTP2: offered[0] == "h2", DisableKeepAlives: true}}
		r, err := client.Get("https://" + address + "/")
		if err != nil || r.StatusCode != http.StatusBadGateway {
			t.Fatalf("%v: %v, %v", offered, r, err)
		}
		r.Body.Close()
		client.CloseIdleConnections()
	}
	shown(`straum_tls_handshakes_total{listener="public",outcome="full"} 2`, `straum_tls_handshakes_under_way_limit{listener="public"} 1024`,
		`straum_http2_streams_total{listener="public"} 1`, `straum_http2_guards_total{guard="resets",listener="public"} 0`,
		`straum_listener_requests_total{listener="public",protocol="h2",tls="1.3"} 1`, `straum_listener_requests_total{listener="public",protocol="http/1.1",tls="1.3"} 1`,
		`straum_tls_certificate_problem{certificate="api.example.com",key="ECDSA P-256"} 0`, `straum_tls_ticket_keys_problem 0`)
	if text := exposition(t, g); strings.Contains(text, `straum_tls_certificate_stapled{`) || strings.Contains(text, `http2_streams_total{listener="plain"`) ||
		strings.Contains(text, `handshakes_total{listener="plain"`) || strings.Contains(text, "straum_acme_") {
		t.Errorf("the metrics tell of what there is not:\n%s", text)
	}
	printed("status", "2 TLS handshakes, 0.0% of them resumed, 0 under way of at most 1024; 2 certificates, the first expires ", "(in 364 days)")

	// The key is replaced by another; its certificate is forgotten.
	was, err := os.ReadFile(filepath.Join(dir, "api.crt"))
	if err != nil {
		t.Fatal(err)
	}
	issue(t, dir, "api", "api.example.com")
	if err := os.WriteFile(filepath.Join(dir, "api.crt"), was, 0o600); err != nil {
		t.Fatal(err)
	}
	g.secure.certificates.Check()
	shown(`straum_tls_certificate_problem{certificate="api.example.com",key="ECDSA P-256"} 1`)
	printed("certificates", "new files refused", "attention: the files of api.example.com and 1 more were changed and are refused")
	printed("status", "attention: the files of api.example.com and 1 more were changed and are refused")
}

func exposition(t *testing.T, g *gateway) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(g.metrics.Registry(), promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestListenerNumbers(t *testing.T) {
	var streams streamCounts
	streams.get("a").Streams.Add(2)
	streams.get("a").Streams.Add(3) // of the next revision
	got := listenerNumbers([]listen.Stats{
		{Name: "b", Accepted: 1},
		{Name: "a", Accepted: 2, HandshakeCeiling: 10, HandshakesUnderWay: 1, Handshakes: [...]uint64{listen.Full: 3, listen.Failed: 1}},
		{Name: "a", Accepted: 3, HandshakeCeiling: 5, Handshakes: [...]uint64{listen.Full: 4, listen.Failed: 0}}, // it has moved
	}, &streams)
	if len(got) != 2 || got[0].Name != "a" || got[0].Accepted != 5 || got[0].HandshakesNow != 1 || got[0].HandshakeCeiling != 15 || got[0].HTTP2.Streams != 5 ||
		len(got[0].Handshakes) != int(listen.Failed)+1 || got[0].Handshakes[0] != (metrics.Count{Reason: "full", N: 7}) || got[0].Handshakes[7] != (metrics.Count{Reason: "failed", N: 1}) {
		t.Errorf("%+v", got)
	}
	if got[1].Handshakes != nil || got[1].HTTP2 != nil {
		t.Errorf("a listener without TLS and HTTP/2: %+v", got[1])
	}
}

func TestACMENumbers(t *testing.T) {
	got := acmeNumbers([]acme.Status{{State: acme.Issued}, {State: acme.Failed}, {State: acme.Issued}}, acme.Stats{Obtained: 4, Renewed: 3, Failed: 2, AnsweredTLS01: 1})
	if want := []metrics.Count{{Reason: "waiting"}, {Reason: "issued", N: 2}, {Reason: "renewing"}, {Reason: "failed", N: 1}}; !slices.Equal(got.Names, want) {
		t.Errorf("names %v", got.Names)
	}
	if want := []metrics.Count{{Reason: "obtained", N: 4}, {Reason: "renewed", N: 3}, {Reason: "failed", N: 2}}; !slices.Equal(got.Orders, want) {
		t.Errorf("orders %v", got.Orders)
	}
}

func TestAway(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := away(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	f(0, "in 0 minutes")
	f(90*time.Minute, "in 90 minutes")
	f(-47*time.Hour, "47 hours ago")
	f(48*time.Hour, "in 2 days")
}

func TestCommonName(t *testing.T) {
	f := func(issuer, want string) {
		t.Helper()
		if got := commonName(issuer); got != want {
			t.Errorf("%q: %q, want %q", issuer, got, want)
		}
	}
	f("CN=R11,O=Let's Encrypt,C=US", "R11")
	f(`O=A\,CN=B,CN=Real\, one`, "Real, one")
	f("OU=x+CN=y", "y")
	f("O=Only", "O=Only")
	f("", "")
	f(`CN=\`, "")
	f(`O=\`, `O=\`)
}
