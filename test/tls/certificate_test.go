package tls

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
	"straum.dev/straum/test/wire"
)

// The certificate is chosen by the name the client asks for, and by the kinds of signatures it takes.
func TestChoice(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	f := open(t, showing(a.Issue([]string{"first.example"}), a.Issue([]string{"api.example", "alias.example"}), a.Issue([]string{"api.example"}, gateway.RSA),
		a.Issue([]string{"*.wild.example"}), a.Issue([]string{"exact.wild.example"})))
	for _, test := range []struct{ name, subject string }{
		{"first.example", "first.example"}, {"api.example", "api.example"}, {"API.Example", "api.example"}, {"alias.example", "api.example"},
		{"a.wild.example", "*.wild.example"}, {"exact.wild.example", "exact.wild.example"}, {"a.b.wild.example", "first.example"},
		{"wild.example", "first.example"}, {"unknown.example", "first.example"}, {"", "first.example"},
	} {
		args := []string{"-noservername"}
		if test.name != "" {
			args = []string{"-servername", test.name}
		}
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			out := sclient(t, f.addr, append(args, version, "-CAfile", a.File)...)
			if got := subject(t, out); got != test.subject || !served(out) {
				t.Errorf("%q by %s: shown the certificate of %q, want %q", test.name, version, got, test.subject)
			}
			if !strings.Contains(out, "Verify return code: 0 (ok)") {
				t.Errorf("%q by %s: openssl does not like the chain:\n%s", test.name, version, out)
			}
		}
	}
	for _, test := range []struct {
		sigalgs, version, key string
	}{
		{"ECDSA+SHA256:rsa_pss_rsae_sha256:RSA+SHA256", "-tls1_3", "EC"}, {"rsa_pss_rsae_sha256", "-tls1_3", "RSA"}, {"ECDSA+SHA256", "-tls1_3", "EC"},
		{"ECDSA+SHA256:RSA+SHA256", "-tls1_2", "EC"}, {"RSA+SHA256", "-tls1_2", "RSA"}, {"rsa_pss_rsae_sha256", "-tls1_2", "RSA"},
	} {
		out := sclient(t, f.addr, "-servername", "api.example", "-sigalgs", test.sigalgs, test.version)
		key := "EC"
		if strings.Contains(out, "Peer signature type: RSA") {
			key = "RSA"
		}
		if !served(out) || key != test.key {
			t.Errorf("%s by %s: got an %s certificate, want %s", test.sigalgs, test.version, key, test.key)
		}
	}
	// A cipher suite of TLS 1.2 takes the choice too.
	for suite, want := range map[string]string{"ECDHE-RSA-AES128-GCM-SHA256": "RSA", "ECDHE-ECDSA-AES128-GCM-SHA256": "ECDSA"} {
		out := sclient(t, f.addr, "-servername", "api.example", "-cipher", suite, "-tls1_2")
		if got := must(t, out, `Peer signature type: (RSA|ECDSA)`); !served(out) || got != want {
			t.Errorf("%s: got an %s certificate", suite, got)
		}
	}
}

// With strict_sni a client that asks for a name nobody has is told so, in the handshake.
func TestStrictSNI(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	f := open(t, showing(a.Issue([]string{"api.example"}))+", strict_sni: true")
	for name, good := range map[string]bool{"api.example": true, "other.example": false} {
		out := sclient(t, f.addr, "-servername", name)
		if served(out) != good {
			t.Errorf("%s:\n%s", name, out)
		}
		if !good && !strings.Contains(out, "unrecognized name") {
			t.Errorf("%s: the alert is another:\n%s", name, out)
		}
	}
}

// Certificates are swapped on disk while clients connect without a pause: every handshake succeeds, and the new one is shown.
func TestSwap(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	p := a.Issue([]string{"api.example"})
	f := open(t, showing(p))
	var stop atomic.Bool
	var shaken atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for !stop.Load() {
				c, err := tls.Dial("tcp", f.addr, a.Trusting("api.example", "http/1.1"))
				if err == nil {
					_, _, err = traffic.Exchange(c, bufio.NewReader(c), ask)
					c.Close()
				}
				if err != nil {
					t.Errorf("a handshake is lost: %v", err)
					return
				}
				shaken.Add(1)
			}
		})
	}
	defer func() { stop.Store(true); all.Wait() }()
	held, err := tls.Dial("tcp", f.addr, a.Trusting("api.example", "http/1.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	in := bufio.NewReader(held)
	for n := range 3 {
		before := shaken.Load()
		gateway.Await(t, "handshakes", func() bool { return shaken.Load() > before+50 || t.Failed() })
		a.IssueTo(p, []string{"api.example"})
		gateway.Await(t, fmt.Sprintf("new certificate %d is shown", n), func() bool { return serial(t, a, f.addr) == p.Serial })
		if r, body, err := traffic.Exchange(held, in, traffic.Get("/")); err != nil || r.StatusCode != 200 || body != "hello" {
			t.Errorf("a connection from before: %v, %q, %v", r, body, err)
		}
	}
	if n := f.Number("straum_tls_certificate_swaps_total"); n != 3 {
		t.Errorf("%v swaps are counted, want 3", n)
	}
	if n := f.Number("straum_tls_certificate_expiry_timestamp_seconds"); n != float64(p.TLS.Leaf.NotAfter.Unix()) {
		t.Errorf("the metric says that it ends at %v, it does at %v", n, p.TLS.Leaf.NotAfter.Unix())
	}
}

// serial is that of the certificate shown for api.example.
func serial(t *testing.T, a *gateway.Authority, addr string) string {
	c, err := tls.Dial("tcp", addr, a.Trusting("api.example"))
	if err != nil {
		t.Errorf("a handshake is lost: %v", err)
		return ""
	}
	defer c.Close()
	return fmt.Sprintf("%X", c.ConnectionState().PeerCertificates[0].SerialNumber)
}

// What is put in the place of a good pair and is none is refused: the good one is shown on, and an alarm tells.
func TestBadSwap(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	p := a.Issue([]string{"api.example"})
	good := p.Serial
	f := open(t, showing(p))
	alarm := func() float64 { return f.Number("straum_tls_certificate_problem") }
	if alarm() != 0 {
		t.Error("there is an alarm from the beginning")
	}
	whole, err := os.ReadFile(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	other := a.Issue([]string{"api.example"})
	for _, bad := range []struct {
		name string
		put  func()
	}{
		{"expired", func() { a.IssueTo(p, []string{"api.example"}, gateway.Until(time.Now().Add(-time.Hour))) }},
		{"a key of another", func() { os.Rename(other.Key, p.Key) }},
		{"cut off", func() { os.WriteFile(p.Cert, whole[:len(whole)/3], 0o600) }},
		{"empty", func() { os.WriteFile(p.Cert, nil, 0o600) }},
		{"gone", func() { os.Remove(p.Cert) }},
	} {
		bad.put()
		gateway.Await(t, "an alarm about a certificate that is "+bad.name, func() bool { return alarm() == 1 })
		if got := serial(t, a, f.addr); got != good {
			t.Errorf("%s: the certificate %s is shown, want %s still", bad.name, got, good)
		}
		if bad.name == "expired" && !f.Logged(p.Cert) {
			t.Errorf("the log does not name %s", p.Cert)
		}
		a.IssueTo(p, []string{"api.example"})
		good = p.Serial
		gateway.Await(t, "a good certificate ends the alarm", func() bool { return alarm() == 0 && serial(t, a, f.addr) == good })
	}
}

// A pair that cannot be shown keeps the program from starting, and a reload from happening, with the place in the configuration.
func TestBadAtStart(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	one, two := a.Issue([]string{"one.example"}), a.Issue([]string{"two.example"})
	f := open(t, showing(one))
	for _, test := range []struct {
		name      string
		cert, key string
		says      []string
	}{
		{"the key of another", one.Cert, two.Key, []string{two.Key}},
		{"no file", one.Cert + ".none", one.Key, []string{one.Cert + ".none", "no such file"}},
		{"a key for a certificate", one.Key, one.Key, []string{one.Key}},
		{"a certificate for a key", one.Cert, one.Cert, []string{one.Cert}},
	} {
		bad := &gateway.Pair{Cert: test.cert, Key: test.key}
		g := gateway.Start(t, behind(gateway.Free(t), showing(bad), f.addr), gateway.NotReady())
		if code := g.Wait(); code == 0 {
			t.Errorf("%s: the exit code is 0", test.name)
		}
		err := f.Reload(strings.Replace(f.config, one.YAML(), bad.YAML(), 1))
		if err == nil {
			t.Errorf("%s: a reload puts it in force", test.name)
			continue
		}
		for _, where := range []string{g.Log(), err.Error()} {
			for _, part := range append(test.says, "straum.yaml:5:") {
				if !strings.Contains(where, part) {
					t.Errorf("%s: %q is missing in:\n%s", test.name, part, where)
				}
			}
		}
	}
	if got := subject(t, sclient(t, f.addr)); got != "one.example" || !f.Ready() {
		t.Error("what was refused has changed something")
	}
}

// One that has expired is shown all the same when there is no other, since some clients do not mind: but loudly.
func TestExpired(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	f := open(t, showing(a.Issue([]string{"api.example"}, gateway.Until(time.Now().Add(-time.Hour)))))
	out := sclient(t, f.addr, "-servername", "api.example", "-CAfile", a.File)
	if !served(out) || !strings.Contains(out, "certificate has expired") {
		t.Errorf("got:\n%s", out)
	}
	if !f.Logged("expired") {
		t.Error("the log does not tell")
	}
	if n := f.Number("straum_tls_certificate_expiry_timestamp_seconds"); n == 0 || n > float64(time.Now().Unix()) {
		t.Errorf("the metric says that it ends at %v", n)
	}
}

// Plain HTTP is told where it went wrong; anything else that is no TLS is closed.
func TestNoTLS(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	f := open(t, showing(a.Issue([]string{"api.example"})))
	for _, request := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"} {
		c := wire.Dial(t, f.addr)
		c.Send(request)
		m := c.Head()
		c.Body(m, "GET")
		if m.Status() != 400 || !strings.Contains(string(m.Body), "https://") || m.Get("Connection") != "close" {
			t.Errorf("%.20q: %s%s", request, m, m.Body)
		}
		c.Ended()
	}
	for _, request := range []string{"SSH-2.0-OpenSSH_9.2\r\n", "\x00\x00\x00\x00\x00\x00\x00\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x02\x00\x00\x10" + strings.Repeat("x", 16)} {
		c := wire.Dial(t, f.addr)
		c.Send(request)
		if got := c.Gone(); strings.Contains(got, "200") {
			t.Errorf("%.20q: %q", request, got)
		}
	}
	gateway.Await(t, "the metrics to tell", func() bool { return f.Number("straum_tls_handshakes_total", `outcome="not_tls"`) >= 7 })
	if len(f.seen.Take()) > 0 {
		t.Error("something of it reached the endpoint")
	}
	if code, out := run(t, "", "curl", "-sS", "http://"+f.addr+"/"); code != 0 || !strings.Contains(out, "https://") {
		t.Errorf("curl got %d %s", code, out)
	}
}

// A client that begins a handshake and goes no further is cut at handshake_timeout, wherever it stops.
func TestSilence(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	f := open(t, showing(a.Issue([]string{"api.example"}))+", handshake_timeout: 300ms")
	hello := clientHello(t)
	for _, begin := range []string{"", hello[:1], hello[:5], hello[:len(hello)/2], hello} {
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, begin)
		c.SetReadDeadline(time.Now().Add(gateway.Patience))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %d bytes of a handshake the connection stays open", len(begin))
		}
	}
	gateway.Await(t, "the metrics to tell", func() bool { return f.Number("straum_tls_handshakes_total", `outcome="timeout"`) == 5 })
}

// clientHello is the first flight of a handshake.
func clientHello(t *testing.T) string {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go tls.Client(theirs, &tls.Config{ServerName: "api.example"}).Handshake() // fails when ours is closed
	b := make([]byte, 4096)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// Silent connections, however many, do not keep honest clients out, and connections that stand are served on while others shake hands
// without a pause.
func TestHandshakeFlood(t *testing.T) {
	t.Parallel()
	a := gateway.NewAuthority(t)
	f := open(t, showing(a.Issue([]string{"api.example"}))+", handshakes: 20, handshake_timeout: 5m")
	hello := clientHello(t)
	for i := range 200 {
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, hello[:i%len(hello)])
	}
	gateway.Await(t, "as many as may be are under way", func() bool { return f.Number("straum_tls_handshakes_under_way") == 20 })
	for range 20 {
		if serial(t, a, f.addr) == "" {
			t.Fatal("an honest client is kept out")
		}
	}
	if n := f.Number("straum_tls_handshakes_total", `outcome="cut"`); n < 180 {
		t.Errorf("%v were cut to make room, want 180 or more", n)
	}

	load := traffic.Start(traffic.Plan{Addr: f.addr, Conns: 8, TLS: a.Trusting("api.example", "http/1.1")})
	defer load.Stop()
	gateway.Await(t, "the connections stand", func() bool { return load.Requests() > 100 })
	var flood sync.WaitGroup
	var stop atomic.Bool
	var shaken atomic.Int64
	for range 8 {
		flood.Go(func() {
			for !stop.Load() {
				c, err := tls.Dial("tcp", f.addr, a.Trusting("api.example"))
				if err != nil {
					t.Errorf("one of 8 clients that shake hands: %v", err) // each may have two under way for a moment, and 20 may be
					return
				}
				c.Close()
				shaken.Add(1)
			}
		})
	}
	before := load.Requests()
	gateway.Await(t, "handshakes, and requests beside them", func() bool { return shaken.Load() > 300 && load.Requests() > before+1000 || t.Failed() })
	stop.Store(true)
	flood.Wait()
	if r := load.Stop(); r.Failed > 0 {
		t.Errorf("%d of %d requests failed: %s", r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
	}
}
