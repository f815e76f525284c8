package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// issued is a certificate that signs itself, for both sides.
func issued(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

func secureWith(t *testing.T, more func(*TLS)) (set *Set, h *echoes, address string, client *tls.Config) {
	t.Helper()
	own, pool := issued(t, "straum.test")
	s := &TLS{Config: &tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{"echo"}}}
	if more != nil {
		more(s)
	}
	h = new(echoes)
	set, address, _ = start(t, h, Settings{TLS: s})
	return set, h, address, &tls.Config{RootCAs: pool, ServerName: "Straum.test", NextProtos: []string{"echo"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
}

func awaitOutcome(t *testing.T, set *Set, o Outcome, n uint64) {
	t.Helper()
	await(t, o.String(), func() bool { return stat(set).Handshakes[o] == n })
}

func TestHandshake(t *testing.T) {
	set, h, address, client := secureWith(t, nil)
	for i := range 2 {
		nc := tls.Client(dial(t, address), client)
		say(t, nc, "", "hello")
		await(t, "the connection is parked", func() bool { return stat(set).Parked == 1 })
		say(t, nc, "", "hello")
		info, _ := h.opened(i)
		if !info.Secure || info.TLS == nil || info.TLS.Version != tls.VersionTLS13 || info.TLS.Name != "straum.test" || info.TLS.Protocol != "echo" ||
			info.TLS.Resumed != (i == 1) || info.TLS.Client != nil {
			t.Errorf("%+v", info.TLS)
		}
		nc.Close()
		await(t, "the connection is gone", func() bool { return stat(set).Open == 0 })
	}
	s := stat(set)
	if s.Handshakes[Full] != 1 || s.Handshakes[Resumed] != 1 || s.HandshakesUnderWay != 0 || s.HandshakeCeiling != 1024 {
		t.Errorf("%+v", s)
	}
}

func TestHandshakeBehindAProxyHeader(t *testing.T) {
	own, pool := issued(t, "straum.test")
	h := new(echoes)
	_, address, _ := start(t, h, Settings{Proxy: prefixes("127.0.0.0/8"), TLS: &TLS{Config: &tls.Config{Certificates: []tls.Certificate{own}}}})
	plain := dial(t, address)
	nc := tls.Client(&joined{Conn: plain, first: []byte("PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n")}, &tls.Config{RootCAs: pool, ServerName: "straum.test"})
	say(t, nc, "", "hello")
	if info, _ := h.opened(0); info.Peer.String() != "192.0.2.1:1000" || !info.Secure {
		t.Errorf("%+v", info)
	}
}

// joined sends first together with the first bytes written.
type joined struct {
	net.Conn
	first []byte
}

func (j *joined) Write(p []byte) (int, error) {
	if j.first != nil {
		all := append(j.first, p...)
		j.first = nil
		_, err := j.Conn.Write(all)
		return len(p), err
	}
	return j.Conn.Write(p)
}

func TestClientCertificate(t *testing.T) {
	own, pool := issued(t, "client.test")
	set, h, address, client := secureWith(t, func(s *TLS) {
		s.Config.ClientAuth, s.Config.ClientCAs = tls.RequireAndVerifyClientCert, pool
	})
	client.Certificates = []tls.Certificate{own}
	nc := tls.Client(dial(t, address), client)
	say(t, nc, "", "hello")
	if info, _ := h.opened(0); info.TLS.Client == nil || info.TLS.Client.Subject.CommonName != "client.test" {
		t.Errorf("%+v", info.TLS)
	}
	client = client.Clone()
	client.Certificates, client.ClientSessionCache = nil, nil
	nc = tls.Client(dial(t, address), client)
	nc.Handshake() // in TLS 1.3 the client is done before it is refused
	if _, err := nc.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v", err)
	}
	awaitOutcome(t, set, Failed, 1)
}

func TestFailedHandshakes(t *testing.T) {
	set, h, address, client := secureWith(t, func(s *TLS) { s.Timeout = 50 * time.Millisecond })

	silent := dial(t, address)
	over(t, silent)
	awaitOutcome(t, set, Late, 1)

	dial(t, address).Close()
	awaitOutcome(t, set, Gone, 1)

	dial(t, address).Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
	awaitOutcome(t, set, NoTLS, 1)

	plain := dial(t, address)
	io.WriteString(plain, "GET / HTTP/1.1\r\nHost: straum.test\r\n\r\n")
	answer, _ := io.ReadAll(plain) // a reset may follow the answer
	if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || !strings.Contains(string(answer), "https://") {
		t.Errorf("HTTP without TLS is answered %q", answer)
	}
	awaitOutcome(t, set, NoTLS, 2)

	stranger := client.Clone()
	stranger.RootCAs = x509.NewCertPool()
	if err := tls.Client(dial(t, address), stranger).Handshake(); err == nil {
		t.Error("a stranger trusts us")
	}
	awaitOutcome(t, set, Refused, 1)

	if openssl, err := exec.LookPath("openssl"); err == nil {
		out, _ := exec.Command(openssl, "s_client", "-connect", address, "-verify_return_error").CombinedOutput() // ends with an error, as it should
		if !strings.Contains(string(out), "verify error") {
			t.Errorf("openssl says %s", out)
		}
		awaitOutcome(t, set, Refused, 2)
	}

	old := client.Clone()
	old.MaxVersion = tls.VersionTLS11
	old.MinVersion = tls.VersionTLS10
	if err := tls.Client(dial(t, address), old).Handshake(); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	awaitOutcome(t, set, Failed, 1)
	await(t, "all are gone", func() bool { return stat(set).Open == 0 })
	if len(h.infos) > 0 {
		t.Error("a session was opened without a handshake")
	}
}

// TestSilentOnesAreCut holds more handshakes than there may be. Whoever speaks gets in.
func TestSilentOnesAreCut(t *testing.T) {
	const ceiling = 8
	set, _, address, client := secureWith(t, func(s *TLS) { s.Ceiling = ceiling })
	var silent []net.Conn
	for i := range 3 * ceiling {
		silent = append(silent, dial(t, address))
		await(t, "it is seen", func() bool { return int(stat(set).Accepted) == i+1 })
		if n := stat(set).HandshakesUnderWay; n > ceiling {
			t.Fatalf("%d handshakes are under way", n)
		}
	}
	for range 3 {
		say(t, tls.Client(dial(t, address), client), "", "hello")
	}
	awaitOutcome(t, set, Cut, 2*ceiling+1) // one made room for the first of those who spoke
	for _, nc := range silent[:2*ceiling] {
		over(t, nc)
	}
}

// TestHandshakesUnderFire mixes good handshakes with bad ones of every kind over a ceiling that is too low for all.
func TestHandshakesUnderFire(t *testing.T) {
	set, _, address, client := secureWith(t, func(s *TLS) { s.Ceiling, s.Timeout = 16, 5*time.Second })
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			for i := range 20 {
				nc, err := dialAddress(address)
				if err != nil {
					t.Error(err)
					return
				}
				switch (worker + i) % 4 {
				case 0:
					nc.Close()
				case 1:
					io.WriteString(nc, "\x16\x03\x01\x02")
					nc.Close()
				default:
					secured := tls.Client(nc, client)
					secured.SetDeadline(time.Now().Add(20 * time.Second))
					if secured.Handshake() == nil { // else it was cut, as it may still be now
						secured.Write([]byte("hello"))
						buf := make([]byte, 5)
						if _, err := io.ReadFull(secured, buf); err == nil && string(buf) != "hello" {
							t.Errorf("said hello, heard %q", buf)
						}
					}
					secured.Close()
				}
			}
		})
	}
	group.Wait()
	await(t, "all were accepted and are gone", func() bool { return stat(set).Accepted == 16*20 && stat(set).Open == 0 })
	s := stat(set)
	total := uint64(0)
	for _, n := range s.Handshakes {
		total += n
	}
	if total != 16*20 || s.HandshakesUnderWay != 0 || s.Handshakes[Full]+s.Handshakes[Resumed] == 0 {
		t.Errorf("%v of %d handshakes are accounted for: %v", total, 16*20, s.Handshakes)
	}
	if len(set.turns) != 0 {
		t.Errorf("%d turns were not given back", len(set.turns))
	}
}

func TestSilentOnesDoNotHoldUpADrain(t *testing.T) {
	set, _, address, _ := secureWith(t, func(s *TLS) { s.Timeout = time.Hour })
	for i := range 3 {
		dial(t, address)
		await(t, "it is seen", func() bool { return stat(set).HandshakesUnderWay == i+1 })
	}
	if cut := set.Drain(t.Context()); cut != 0 {
		t.Errorf("%d connections held on to the end", cut)
	}
}

// TestHandshakeMeetsTheHandlerOfItsSettings changes a listener between a connection's beginning and its handshake.
func TestHandshakeMeetsTheHandlerOfItsSettings(t *testing.T) {
	set, h, address, client := secureWith(t, nil)
	early := dial(t, address)
	await(t, "it is seen", func() bool { return stat(set).HandshakesUnderWay == 1 })
	other := new(echoes)
	s := *set.live[0].settings.Load().Settings
	s.TLS = &TLS{Config: &tls.Config{Certificates: s.TLS.Config.Certificates, NextProtos: []string{"other"}}}
	if err := set.Apply([]Settings{s}, map[string]Handler{"main": other}); err != nil {
		t.Fatal(err)
	}
	say(t, tls.Client(early, client), "", "hello")
	if info, _ := h.opened(0); info.TLS.Protocol != "echo" || len(other.infos) > 0 {
		t.Errorf("%+v met the wrong handler", info.TLS)
	}
}

type panicking struct{}

func (panicking) Open(*socket.Conn, *exchange.Conn, *Gate, []byte) Session { panic("at the door") }

func TestPanicBeforeTheSession(t *testing.T) {
	own, pool := issued(t, "straum.test")
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "panic.test" {
			panic("in the handshake")
		}
		return &own, nil
	}}
	set, address, out := start(t, panicking{}, Settings{TLS: &TLS{Config: config}})
	for i, name := range []string{"panic.test", "straum.test"} {
		nc := tls.Client(dial(t, address), &tls.Config{RootCAs: pool, ServerName: name})
		nc.Handshake()
		over(t, nc)
		await(t, "it is told", func() bool { return out.count("BUG: panic while serving") == i+1 })
	}
	await(t, "all are gone", func() bool { return stat(set).Open == 0 && stat(set).HandshakesUnderWay == 0 })
	if len(set.turns) != 0 {
		t.Error("a turn was not given back")
	}
}

// TestDrippedRecordIsNoWord wakes a connection again and again with bytes of one record.
func TestDrippedRecordIsNoWord(t *testing.T) {
	own, pool := issued(t, "straum.test")
	h := new(echoes)
	set, address, _ := start(t, h, Settings{IdleTimeout: 100 * time.Millisecond, TLS: &TLS{Config: &tls.Config{Certificates: []tls.Certificate{own}}}})
	raw := dial(t, address)
	nc := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "straum.test"})
	say(t, nc, "", "hello")
	record := append([]byte{0x17, 3, 3, 0x40, 0}, make([]byte, 1<<14)...)
	for len(record) > 0 && stat(set).Open > 0 {
		if _, err := raw.Write(record[:1]); err != nil {
			break
		}
		record = record[1:]
		time.Sleep(time.Millisecond) // the dripping itself
	}
	await(t, "it is closed", func() bool { return stat(set).Open == 0 })
	if s := stat(set); len(record) == 0 || s.Expired != 1 {
		t.Errorf("%d bytes are left of the record, %d expired", len(record), s.Expired)
	}
}

func TestChangedRulesEndConnections(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{})
	resting, busy := dial(t, address), dial(t, address)
	say(t, resting, "", "hello")
	await(t, "it rests", func() bool { return stat(set).Parked == 2 })
	say(t, busy, "", "wait") // holds on to its goroutine
	s := Settings{Name: "main", Address: "127.0.0.1:0", MaxConns: 100}
	apply := func() {
		t.Helper()
		if err := set.Apply([]Settings{s}, map[string]Handler{"main": h}); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	say(t, resting, "", "still here")
	await(t, "it rests", func() bool { return stat(set).Parked == 1 || !parks })
	s.Rules = "others"
	apply()
	over(t, resting)
	say(t, busy, "", "last") // is answered, and told by the close that this was it
	over(t, busy)
	say(t, dial(t, address), "", "hello")
}
