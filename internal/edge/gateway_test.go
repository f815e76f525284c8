package edge_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaissmai/bart"

	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/resolve"
	"straum.dev/straum/internal/edge/retry"
	"straum.dev/straum/internal/edge/route"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/edge/wire/http1"
	"straum.dev/straum/test/wire"
)

// setup is what a test can change of a gateway before it starts: one upstream, one route to it.
type setup struct {
	upstream  upstream.Settings
	spec      route.Spec
	route     edge.Route
	chain     policy.Chain
	trusted   []string
	listener  edge.ListenerSettings // but for Trusted
	secure    bool                  // pretend that clients speak TLS
	http1     http1.Settings
	lookup    resolve.LookupFunc
	observers []edge.Observer
	refuses   func(netip.Addr) bool // who is banned
	silent    bool                  // the gateway keeps no records, which cost memory
}

// gateway is a whole data path in the test's process: sockets, sessions, flow, upstreams.
type gateway struct {
	t         *testing.T
	addr      string
	setup     *setup
	edge      *edge.Edge
	set       *upstream.Set
	live      map[string]*upstream.Upstream
	log       *logged
	done      chan record
	listening net.Listener
	sessions  sync.WaitGroup
	mu        sync.Mutex
	open      map[net.Conn]bool
}

// record is what a test may know of a finished exchange.
type record struct {
	id, path, fault, cause string
	status                 int
	end                    exchange.End
	client                 netip.Addr
	upstream               exchange.Upstream
	bytes                  exchange.Bytes
	times                  exchange.Times
	keepAlive              bool
}

// gate is a listener with room that is not going away.
type gate struct{}

func (gate) Crowded() bool  { return false }
func (gate) Draining() bool { return false }

// logged keeps what the gateway logs about itself.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), s)
}

// start runs a gateway in front of endpoints until the test ends.
func start(t *testing.T, change func(*setup), endpoints ...string) *gateway {
	t.Helper()
	s := &setup{
		upstream: upstream.Settings{
			Name:     "api",
			Balance:  balance.Settings{Kind: balance.RoundRobin},
			Health:   health.Settings{Rise: 1, Fall: 1},
			Pool:     upstream.Pool{Idle: 64, IdleTimeout: time.Minute, Queue: 64, QueueTimeout: wire.Patience},
			Timeouts: upstream.Timeouts{Connect: wire.Patience, FirstByte: wire.Patience, Idle: wire.Patience},
			Retry:    retry.Rules{MaxAttempts: 2},
			Budget:   retry.Share{PerRequest: 0.2, PerSecond: 10},
		},
		spec:  route.Spec{Name: "all"},
		route: edge.Route{Info: &exchange.Route{Name: "all"}},
		http1: http1.Settings{
			Limits:   http1.Limits{RequestLine: 8 << 10, HeaderBytes: 32 << 10, HeaderCount: 100},
			Timeouts: http1.Timeouts{Header: wire.Patience, Progress: wire.Patience, TunnelIdle: wire.Patience},
		},
	}
	for _, address := range endpoints {
		s.upstream.Endpoints = append(s.upstream.Endpoints, upstream.Endpoint{Address: address, Weight: 1})
	}
	if change != nil {
		change(s)
	}
	g := &gateway{t: t, setup: s, log: &logged{}, done: make(chan record, 4096), open: map[net.Conn]bool{}}
	log := slog.New(slog.NewTextHandler(g.log, nil))
	resolver := resolve.New(resolve.Settings{}, s.lookup, rand.Uint64, nil)
	g.set = upstream.NewSet(log, resolver)
	if !s.silent {
		s.observers = append([]edge.Observer{g}, s.observers...)
	}
	g.edge = edge.New(log, s.observers...)
	g.edge.Refuse(s.refuses)
	g.use(s)
	var trusted *bart.Lite
	for _, prefix := range s.trusted {
		if trusted == nil {
			trusted = new(bart.Lite)
		}
		trusted.Insert(netip.MustParsePrefix(prefix))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.listening, g.addr = listener, listener.Addr().String()
	s.listener.Trusted = trusted
	go g.runAccept(listener, g.edge.Listener(s.listener))
	t.Cleanup(func() {
		listener.Close()
		g.mu.Lock()
		for conn := range g.open {
			conn.Close()
		}
		g.mu.Unlock()
		g.sessions.Wait()
		g.set.Close()
		resolver.Close()
	})
	return g
}

// use puts the setup in force, as a new revision.
func (g *gateway) use(s *setup) {
	g.t.Helper()
	live, err := g.set.Prepare([]upstream.Settings{s.upstream})
	if err != nil {
		g.t.Fatal(err)
	}
	g.live = live
	var b route.Builder
	b.Add(s.spec)
	table, err := b.Build()
	if err != nil {
		g.t.Fatal(err)
	}
	r := s.route
	r.Chain = &s.chain
	if len(s.upstream.Endpoints) > 0 {
		r.Upstream = live[s.upstream.Name]
	}
	g.edge.Use(&edge.Snapshot{Revision: 1, Table: table, Routes: []*edge.Route{&r}, Default: &s.chain})
	g.set.Retire(live)
}

func (g *gateway) runAccept(listener net.Listener, handler exchange.Handler) {
	for shard := 0; ; shard++ {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		g.open[conn] = true
		g.mu.Unlock()
		g.sessions.Go(func() { g.runSession(conn, handler, shard%2) })
	}
}

func (g *gateway) runSession(conn net.Conn, handler exchange.Handler, shard int) {
	defer func() {
		g.mu.Lock()
		delete(g.open, conn)
		g.mu.Unlock()
	}()
	sock, err := socket.New(conn)
	if errors.Is(err, net.ErrClosed) { // the test has ended
		return
	}
	if err != nil {
		g.t.Error(err)
		return
	}
	info := &exchange.Conn{Peer: sock.Peer(), Local: sock.Local(), Listener: "test", Shard: shard, Secure: g.setup.secure}
	session := http1.Open(sock, info, gate{}, &g.setup.http1, handler, nil)
	for session.Serve() {
	}
	session.Close()
}

// Observe implements edge.Observer.
func (g *gateway) Observe(x *exchange.Exchange) {
	r := record{id: strings.Clone(x.ID), path: strings.Clone(x.Request.Path), status: x.Response.Status, end: x.End, client: x.Client,
		upstream: x.Upstream, bytes: x.Bytes, times: x.Times, keepAlive: x.KeepAlive}
	if x.Fault != nil {
		r.fault, r.cause = x.Fault.Kind.Word, x.Fault.Error()
	}
	select {
	case g.done <- r:
	default: // a test that makes many exchanges does not look at them
	}
}

// next waits for the record of the next exchange that is over.
func (g *gateway) next() record {
	g.t.Helper()
	select {
	case r := <-g.done:
		return r
	case <-time.After(wire.Patience):
		g.t.Fatal("no exchange ended")
	}
	panic("unreachable")
}

// ask sends one request on a connection of its own and returns the answer and the record.
func (g *gateway) ask(request string) (*wire.Message, record) {
	g.t.Helper()
	c := wire.Dial(g.t, g.addr)
	defer c.Close()
	return g.askOn(c, request)
}

func (g *gateway) askOn(c *wire.Peer, request string) (*wire.Message, record) {
	g.t.Helper()
	c.Send(crlf(request))
	method, _, _ := strings.Cut(request, " ")
	m := c.Answer(method)
	return m, g.next()
}

// endpoint returns the figures of the only endpoint once no request is under way: an exchange is recorded before it gives back what
// it held.
func (g *gateway) endpoint() (s upstream.EndpointStats) {
	g.t.Helper()
	await(g.t, "one quiet endpoint", func() bool {
		all := g.stats().Endpoints
		if len(all) != 1 {
			return false
		}
		s = all[0]
		return s.Active == 0
	})
	return s
}

func (g *gateway) stats() upstream.Stats { return g.live[g.setup.upstream.Name].Stats() }

// crlf writes a head with LF for CR LF, and a blank line after it when there is none.
func crlf(s string) string {
	head, body, _ := strings.Cut(s, "\n\n")
	return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body
}

const get = "GET /things HTTP/1.1\nHost: api.example.com"

// dead is an address where nobody listens.
func dead(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// await waits for a condition that nothing announces.
func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for by := time.Now().Add(wire.Patience); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(by) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// hang is a handle that reads the request and then keeps the client waiting. Each request is announced; it ends when the peer closes
// the connection, which is announced too.
func hang() (handle wire.Handle, came, left chan struct{}) {
	came, left = make(chan struct{}, 64), make(chan struct{}, 64)
	return func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		came <- struct{}{}
		p.Gone()
		left <- struct{}{}
		return false
	}, came, left
}

// wait waits for an announcement.
func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(wire.Patience):
		t.Fatalf("in vain: %s", what)
	}
}

// names is a LookupFunc whose answers a test can change.
type names struct {
	mu    sync.Mutex
	known map[string][]netip.Addr
}

func (n *names) set(name string, addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = map[string][]netip.Addr{}
	}
	n.known[name] = nil
	for _, a := range addresses {
		n.known[name] = append(n.known[name], netip.MustParseAddr(a))
	}
}

func (n *names) lookup(_ context.Context, _, network, name string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []netip.Addr
	for _, a := range n.known[name] {
		if (network == "ip4") == a.Is4() {
			out = append(out, a)
		}
	}
	return out, nil
}
