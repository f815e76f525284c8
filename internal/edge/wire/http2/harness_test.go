package http2

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// patience is what no test waits for unless something is broken.
const patience = 20 * time.Second

// gate is a listener.
type gate struct{ crowded, draining atomic.Bool }

func (g *gate) Crowded() bool  { return g.crowded.Load() }
func (g *gate) Draining() bool { return g.draining.Load() }

// handlerFunc is a flow of one step.
type handlerFunc func(c exchange.Codec, x *exchange.Exchange)

func (f handlerFunc) Serve(c exchange.Codec, x *exchange.Exchange) { f(c, x) }

// answering is a flow that decodes, lets answer make the response, and encodes.
func answering(answer func(x *exchange.Exchange)) exchange.Handler {
	return handlerFunc(func(c exchange.Codec, x *exchange.Exchange) {
		if f := c.Decode(x); f != nil {
			x.Fail(f)
			x.Respond(f.Kind.Status, "text/plain", []byte(f.Told()))
		} else {
			answer(x)
		}
		if f := c.Encode(x); f != nil {
			x.Fail(f)
			x.Respond(502, "text/plain", []byte(f.Told()))
			c.Encode(x)
		}
		c.Account(x)
	})
}

// hello answers everything with a short text.
func hello(x *exchange.Exchange) { x.Respond(200, "text/plain", []byte("hello\n")) }

func roomy() *Settings {
	return &Settings{
		Limits:   Limits{HeaderBytes: 32 << 10, HeaderCount: 100, Target: 8 << 10},
		Timeouts: Timeouts{Header: patience, Progress: patience, TunnelIdle: patience},
		Stats:    new(Stats),
	}
}

// place is a listener whose connections are served by sessions.
type place struct {
	addr     string
	gate     gate
	set      *Settings
	listener net.Listener
	sessions sync.WaitGroup
	idle     atomic.Int64 // how often a session let itself be parked
	leave    atomic.Bool  // sessions are closed when they are idle
	clumsy   atomic.Bool  // sessions may panic
	tls      *tls.Config
	panics   chan any
}

// serve serves until the test ends. A session that says it is idle is served again as soon as there is something to read.
func serve(t testing.TB, set *Settings, handler exchange.Handler) *place {
	t.Helper()
	return serveBy(t, nil, set, handler)
}

// serveTLS is serve behind a handshake.
func serveTLS(t testing.TB, set *Settings, handler exchange.Handler) *place {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return serveBy(t, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, NextProtos: []string{"h2"}}, set, handler)
}

func serveBy(t testing.TB, config *tls.Config, set *Settings, handler exchange.Handler) *place {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &place{addr: listener.Addr().String(), set: set, listener: listener, tls: config, panics: make(chan any, 1)}
	go func() {
		for {
			nc, err := listener.Accept()
			if err != nil {
				return
			}
			p.sessions.Go(func() { p.runSession(nc, handler) })
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		p.gate.draining.Store(true)
		p.sessions.Wait()
	})
	return p
}

func (p *place) runSession(nc net.Conn, handler exchange.Handler) {
	conn, err := socket.New(nc)
	if err != nil {
		nc.Close()
		return
	}
	if p.clumsy.Load() {
		defer func() {
			if said := recover(); said != nil {
				conn.Close()
				p.panics <- said
			}
		}()
	}
	if p.tls != nil {
		if conn.ServeTLS(p.tls, nil, clock.Now()+int64(patience), nil) != nil {
			conn.Close()
			return
		}
	}
	s := Open(conn, &exchange.Conn{Peer: conn.Peer(), Local: conn.Local(), Secure: p.tls != nil}, &p.gate, p.set, handler, nil)
	for s.Serve() {
		p.idle.Add(1)
		for conn.State() == socket.PeerSilent && !p.gate.Draining() && !p.leave.Load() {
			time.Sleep(time.Millisecond)
		}
		if p.leave.Load() {
			break
		}
	}
	s.Close()
}

// run runs a program and returns what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
