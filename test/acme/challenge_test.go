package acme

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
)

const one, two, three = "one.example.com", "two.example.com", "three.example.com"

// By http-01 the authority is answered on a listener that redirects everything else.
func TestHTTP01(t *testing.T) {
	t.Parallel()
	s := newSite(t, newOrder)
	s.ca.start()
	s.run(s.yaml(s.redirecting(), fmt.Sprintf("{ auto: { names: [%s, %s] } }", one, two), "http-01"))

	// Before the certificates are there: no handshake, redirects, and everybody can see why.
	s.ca.reached(newOrder)
	s.until("waiting", one, two)
	s.refused(s.trusting(one))
	s.refused(s.trusting(two, "h2"))
	s.refused(s.trusting(two, "acme-tls/1")) // not allowed here
	s.number(2, "straum_acme_names", `state="waiting"`)
	s.number(3, "straum_tls_handshakes_total", `listener="secure"`, `outcome="failed"`)
	if n := s.Numbers().Sum("straum_tls_certificate_expiry_timestamp_seconds"); n != 0 {
		t.Errorf("there is no certificate, and one ends at %v", n)
	}
	s.ca.release(newOrder)
	s.until("good", one, two)

	for _, name := range []string{one, two} {
		leaf, told := s.shown(name), s.names()[name]
		if len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != name {
			t.Errorf("%s is shown a certificate for %s", name, leaf.DNSNames)
		}
		if n, ok := new(big.Int).SetString(told.Serial, 16); !ok || n.Cmp(leaf.SerialNumber) != 0 || told.Issuer != leaf.Issuer.String() || !told.NotAfter.Equal(leaf.NotAfter) {
			t.Errorf("%s is shown %x by %s until %v, and told is %+v", name, leaf.SerialNumber, leaf.Issuer, leaf.NotAfter, told)
		}
		s.number(float64(leaf.NotAfter.Unix()), "straum_tls_certificate_expiry_timestamp_seconds", fmt.Sprintf("certificate=%q", name))
		s.mustServe(name)
	}
	s.refused(s.trusting("other.example.com"))
	s.number(2, "straum_acme_names", `state="issued"`)
	s.number(0, "straum_acme_names", `state="waiting"`)
	s.number(2, "straum_acme_orders_total", `outcome="obtained"`)
	s.number(0, "straum_acme_orders_total", `outcome="failed"`)
	s.number(0, "straum_acme_challenges_answered_total", `challenge="tls-alpn-01"`)
	if n := s.Number("straum_acme_challenges_answered_total", `challenge="http-01"`); n < 2 {
		t.Errorf("%v questions were answered, for two names", n)
	}
	if n := s.ca.orders.Load(); n != 2 {
		t.Errorf("the authority has got %d orders, want 2", n)
	}
	out := s.told()
	for _, name := range []string{one, two} {
		if line := lineOf(out, name); !strings.Contains(line, " acme ") || !strings.Contains(line, " good") || !strings.Contains(line, "Pebble Intermediate") {
			t.Errorf("straum certificates says nothing good of %s:\n%s", name, out)
		}
	}
	if strings.Contains(out, "attention") {
		t.Errorf("all is well, and somebody is wanted:\n%s", out)
	}
	if !s.Logged("Do%20what%20thou%20wilt") {
		t.Error("the log does not name the terms of service that were agreed to")
	}

	// Everything else is sent away, under the authority's path too, and nothing of it has come to the endpoint.
	_, secure, _ := strings.Cut(s.secure, ":")
	for _, target := range []string{"/", "/a/b?c=d", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/unknown"} {
		r := s.plainly(one, target)
		if want := "https://" + one + ":" + secure + target; r.StatusCode != 308 || r.Header.Get("Location") != want {
			t.Errorf("%s: got %d to %q, want 308 to %q", target, r.StatusCode, r.Header.Get("Location"), want)
		}
	}
	for _, m := range s.seen.Take() {
		if m.Target() != "/" {
			t.Errorf("the endpoint got %s", m.Target())
		}
	}
	s.AwaitAccess("of the authority's question", func(l gateway.Line) bool {
		return strings.HasPrefix(l.Text("path"), "/.well-known/acme-challenge/") && l.Number("status") == 200
	})
}

// lineOf is the line that begins with a text.
func lineOf(text, begin string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) {
			return line
		}
	}
	return ""
}

// By tls-alpn-01 the authority is answered on the listener for everybody, who notices nothing.
func TestTLSALPN01(t *testing.T) {
	t.Parallel()
	s := newSite(t, challenge)
	s.ca.start()
	files := gateway.NewAuthority(t)
	pair := files.Issue([]string{"file.example.com"})
	s.run(s.yaml("", fmt.Sprintf("{ certificates: [%s], auto: { names: [%s, %s] } }", pair.YAML(), one, two), "tls-alpn-01"))

	var stop atomic.Bool
	var good atomic.Int64
	var all sync.WaitGroup
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		all.Go(func() {
			for !stop.Load() {
				if err := s.serves(files.Trusting("file.example.com"), protocol); err != nil {
					t.Errorf("a client that has nothing to do with it: %v", err)
					return
				}
				good.Add(1)
			}
		})
	}
	defer func() { stop.Store(true); all.Wait() }()

	// A question is open: whoever asks it gets the answer and nothing else.
	s.ca.reached(challenge)
	open := ""
	gateway.Await(t, "an answer to the question", func() bool {
		for _, name := range []string{one, two} {
			if s.question(name) {
				open = name
			}
		}
		return open != ""
	})
	c, err := s.shake(&tls.Config{ServerName: open, NextProtos: []string{"acme-tls/1", "h2"}, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if state := c.ConnectionState(); state.NegotiatedProtocol != "h2" || state.PeerCertificates[0].DNSNames[0] != "file.example.com" {
		t.Errorf("a client that takes h2 too got %q and a certificate for %s", state.NegotiatedProtocol, state.PeerCertificates[0].DNSNames)
	}
	c.Close()
	before := good.Load()
	gateway.Await(t, "others are served meanwhile", func() bool { return good.Load() > before+10 || t.Failed() })
	s.ca.release(challenge)

	s.until("good", one, two)
	for _, name := range []string{one, two} {
		if leaf := s.shown(name); len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != name {
			t.Errorf("%s is shown a certificate for %s", name, leaf.DNSNames)
		}
		s.mustServe(name)
		if s.question(name) {
			t.Errorf("the question for %s is answered on after it was asked", name)
		}
	}
	before = good.Load()
	gateway.Await(t, "others are served afterwards", func() bool { return good.Load() > before+2 || t.Failed() })
	s.number(2, "straum_acme_names", `state="issued"`)
	s.number(0, "straum_acme_orders_total", `outcome="failed"`)
	s.number(0, "straum_acme_challenges_answered_total", `challenge="http-01"`)
	if n := s.Number("straum_acme_challenges_answered_total", `challenge="tls-alpn-01"`); n < 3 {
		t.Errorf("%v questions were answered: two of the authority, and ours", n)
	}
	if n := s.ca.orders.Load(); n != 2 {
		t.Errorf("the authority has got %d orders, want 2", n)
	}
	for _, m := range s.seen.Take() {
		if host := m.Get("Host"); host != "file.example.com" && host != one && host != two {
			t.Errorf("the endpoint got a request for %s", host)
		}
	}
}

// question asks what an authority asks (RFC 8737 §3), tells whether it got an answer, and sees that the connection ends then.
func (s *site) question(name string) bool {
	s.t.Helper()
	c, err := s.shake(&tls.Config{ServerName: name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
	if err != nil {
		return false
	}
	defer c.Close()
	state := c.ConnectionState()
	c.SetDeadline(time.Now().Add(gateway.Patience))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+name+"\r\n\r\n") // it may be closed already
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "connection reset") {
		s.t.Errorf("a connection for acme-tls/1 goes on: %d bytes, %v", n, err)
	}
	for _, e := range state.PeerCertificates[0].Extensions {
		if e.Id.String() == "1.3.6.1.5.5.7.1.31" && e.Critical && state.NegotiatedProtocol == "acme-tls/1" { // acmeIdentifier
			return true
		}
	}
	return false
}

// How the test binary, run as the program that writes records, learns where to write them, and that it is that.
const (
	recordsAt   = "STRAUM_TEST_RECORDS"
	recordsWord = "records of a zone"
)

// A wildcard comes by dns-01, whose record a program of the operator's writes and takes away.
func TestDNS01(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.ca.start()
	var written, removed atomic.Int64
	zone := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch q.Get("do") {
		case "present":
			names.AddDNSTXTRecord(q.Get("name"), q.Get("value"))
			written.Add(1)
		case "cleanup":
			names.DeleteDNSTXTRecord(q.Get("name"))
			removed.Add(1)
		}
		if name := q.Get("name"); name != "_acme-challenge.example.com" {
			t.Errorf("a record was asked for at %s", name)
		}
	}))
	defer zone.Close()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(s.yaml("", "auto", "dns-01", "*.example.com"), "challenges:", fmt.Sprintf("dns: { program: { command: [%q, %q] } }, challenges:", program, recordsWord), 1)
	s.run(config, gateway.Env(recordsAt+"="+zone.URL))
	s.until("good", "*.example.com")
	s.mustServe(one)
	s.mustServe("other.example.com")
	s.refused(s.trusting("example.com"))
	s.refused(s.trusting("a.b.example.com"))
	if n := written.Load(); n != 1 || removed.Load() != n {
		t.Errorf("%d records were written and %d removed, want one", n, removed.Load())
	}
}

// runRecordProgram hands over what it is told to do.
func runRecordProgram(at string, args []string) int {
	if len(args) != 3 {
		fmt.Println("arguments:", args)
		return 2
	}
	r, err := http.Get(at + "/?" + url.Values{"do": args[:1], "name": args[1:2], "value": args[2:]}.Encode())
	if err != nil || r.StatusCode != http.StatusOK {
		fmt.Println("the zone does not answer:", err)
		return 1
	}
	return 0
}
