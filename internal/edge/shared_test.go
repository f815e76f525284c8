package edge_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/test/wire"
)

// serveH2C starts net/http's server for HTTP/2 without TLS, with so many streams a connection.
func serveH2C(t *testing.T, streams int, handler http.HandlerFunc) (*http.Server, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams}}
	server.Protocols.SetUnencryptedHTTP2(true)
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return server, listener.Addr().String()
}

// holding is a handler whose requests for /hold are announced and wait until they may go on.
func holding() (handler http.HandlerFunc, came, goOn chan struct{}) {
	came, goOn = make(chan struct{}, 64), make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			came <- struct{}{}
			select {
			case <-goOn:
			case <-r.Context().Done():
			}
		}
		io.WriteString(w, r.RemoteAddr)
	}, came, goOn
}

const holdHead = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"

// calm waits until no stream is under way, and returns the figures of the only endpoint.
func (g *gateway) calm() upstream.EndpointStats {
	g.t.Helper()
	await(g.t, "all streams to end", func() bool { return g.stats().Endpoints[0].Streams == 0 })
	return g.endpoint()
}

// A connection is filled up to what the endpoint allows, then there is another, up to the limit; then exchanges wait.
func TestStreamsShareConnections(t *testing.T) {
	handler, came, goOn := holding()
	_, addr := serveH2C(t, 3, handler)
	g := start(t, func(s *setup) {
		overHTTP2(s)
		s.upstream.Pool.Connections, s.upstream.Pool.Queue = 2, 1
	}, addr)
	var clients []*wire.Peer
	for i := range 7 {
		c := wire.Dial(t, g.addr)
		c.Send(holdHead)
		if i < 6 {
			wait(t, "the request", came)
		}
		clients = append(clients, c)
	}
	await(t, "one to wait", func() bool { return g.stats().Endpoints[0].Waiting == 1 })
	if s := g.stats().Endpoints[0]; s.Open != 2 || s.Streams != 6 || s.Idle != 0 || s.Opened["cold"] != 1 || s.Opened["busy"] != 1 || s.Reused != 4 {
		t.Errorf("%+v", s)
	}
	if m, r := g.ask(get); readProblem(t, m).Code != "saturated" || r.upstream.Tries == 0 {
		t.Errorf("%s %+v", m, r)
	}
	goOn <- struct{}{} // one goes, and the one that waits takes its place
	wait(t, "the request that waited", came)
	close(goOn)
	seen := map[string]int{}
	for _, c := range clients {
		m := c.Answer("GET")
		if m.Status() != 200 {
			t.Errorf("%s", m)
		}
		seen[string(m.Body)]++
	}
	if s := g.calm(); len(seen) != 2 || s.Open != 2 || s.Idle != 2 || s.Reused != 5 || s.Waiting != 0 {
		t.Errorf("%v %+v", seen, s)
	}
}

// Many that come at once to an endpoint without connections wait for the first and share it.
func TestColdStart(t *testing.T) {
	_, addr := serveH2C(t, 100, func(w http.ResponseWriter, r *http.Request) {})
	g := start(t, overHTTP2, addr)
	var group sync.WaitGroup
	for range 40 {
		c := wire.Dial(t, g.addr)
		group.Go(func() {
			c.Send(crlf(get))
			if m := c.Answer("GET"); m.Status() != 200 {
				t.Errorf("%s%s", m, m.Body)
			}
		})
	}
	group.Wait()
	if s := g.calm(); s.Open != 1 || s.Opened["cold"] != 1 || s.Reused != 39 {
		t.Errorf("%+v", s)
	}
}

// An endpoint that is restarted in an orderly way (GOAWAY) fails no request, whatever the method.
func TestEndpointsRestart(t *testing.T) {
	listener, err := (&net.ListenConfig{Control: reusePort}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("ports cannot be shared here: %v", err)
	}
	addr := listener.Addr().String()
	run := func(listener net.Listener) *http.Server {
		server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Write(body)
		})}
		server.Protocols.SetUnencryptedHTTP2(true)
		go server.Serve(listener)
		return server
	}
	server := run(listener)
	g := start(t, func(s *setup) {
		overHTTP2(s)
		s.silent = true
		s.upstream.Retry.MaxAttempts = 3
	}, addr)
	var stop atomic.Bool
	var asked atomic.Int64
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			c := wire.Dial(t, g.addr)
			for i := 0; !stop.Load(); i++ {
				id := fmt.Sprintf("w%di%d", worker, i)
				c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(id), id))
				if m := c.Answer("POST"); m.Status() != 200 || string(m.Body) != id {
					t.Errorf("%s%s", m, m.Body)
					return
				}
				asked.Add(1)
			}
		})
	}
	for range 8 {
		before := asked.Load()
		await(t, "traffic to go on", func() bool { return asked.Load() > before+20 })
		// The new one listens before the old one goes.
		next, err := (&net.ListenConfig{Control: reusePort}).Listen(context.Background(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		old := server
		server = run(next)
		ctx, cancel := context.WithTimeout(t.Context(), wire.Patience)
		if err := old.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
	stop.Store(true)
	group.Wait()
	server.Close()
}

// What an endpoint refused to look at may go out again, whatever the method, and to where the rules say.
func TestRefusedStreams(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	var refused atomic.Int32
	go func() {
		for {
			conn, err := busy.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
				f := http2.NewFramer(conn, conn)
				f.WriteSettings()
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					if head, ok := frame.(*http2.HeadersFrame); ok {
						refused.Add(1)
						f.WriteRSTStream(head.StreamID, http2.ErrCodeRefusedStream)
					}
				}
			}()
		}
	}()
	_, good := serveH2C(t, 100, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	})
	g := start(t, overHTTP2, busy.Addr().String(), good)
	for range 6 {
		m, r := g.ask("POST / HTTP/1.1\nHost: a\nContent-Length: 4\n\nbody")
		if m.Status() != 200 || string(m.Body) != "body" {
			t.Errorf("%s %+v", m, r)
		}
	}
	if refused.Load() == 0 {
		t.Error("nothing was refused")
	}
	g.setup.upstream.Endpoints = g.setup.upstream.Endpoints[:1]
	g.setup.upstream.Retry.MaxAttempts = 1
	g.use(g.setup)
	if m, r := g.ask(get); readProblem(t, m).Code != "upstream_refused" || m.Status() != 503 {
		t.Errorf("%s %+v", m, r)
	}
}

// Why a connection of HTTP/2 had to be opened is told as for HTTP/1.1.
func TestReuseAuditOfHTTP2(t *testing.T) {
	f := func(want string, change func(*setup), lose func(g *gateway, server *http.Server, addr string)) {
		t.Run(want, func(t *testing.T) {
			t.Parallel() // each waits for the sweep, which comes once a second
			handler, _, _ := holding()
			server, addr := serveH2C(t, 100, handler)
			g := start(t, func(s *setup) {
				overHTTP2(s)
				if change != nil {
					change(s)
				}
			}, addr)
			g.ask(get)
			g.calm()
			lose(g, server, addr)
			m, r := g.ask(get)
			if m.Status() != 200 || r.upstream.Opened != want {
				t.Errorf("opened because %q, want %q; %s", r.upstream.Opened, want, m)
			}
			if s := g.calm(); s.Opened[want] != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
	closed := func(g *gateway) {
		await(g.t, "the connection to go", func() bool { return g.stats().Endpoints[0].Open == 0 })
	}
	again := func(g *gateway, server *http.Server, addr string) {
		next, err := net.Listen("tcp", addr)
		if err != nil {
			g.t.Fatal(err)
		}
		other := &http.Server{Handler: server.Handler, Protocols: server.Protocols}
		go other.Serve(next)
		g.t.Cleanup(func() { other.Close() })
	}
	f("idle_closed", nil, func(g *gateway, server *http.Server, addr string) {
		server.Close() // without a word
		closed(g)
		again(g, server, addr)
	})
	f("endpoint_closes", nil, func(g *gateway, server *http.Server, addr string) {
		server.Shutdown(g.t.Context()) // GOAWAY
		closed(g)
		again(g, server, addr)
	})
	f("idle_timeout", func(s *setup) { s.upstream.Pool.IdleTimeout = time.Millisecond }, func(g *gateway, _ *http.Server, _ string) { closed(g) })
	f("idle_full", func(s *setup) { s.upstream.Pool.Idle = 0 }, func(g *gateway, _ *http.Server, _ string) { closed(g) })
}

// Whatever clients and an endpoint of HTTP/2 do to each other, every answer that arrives is the one to its request.
func TestNoCrossTalkOverHTTP2(t *testing.T) {
	_, addr := serveH2C(t, 4, func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Id")
		if rand.IntN(3) > 0 {
			io.Copy(io.Discard, r.Body)
		}
		w.Header().Set("X-Id", id)
		switch rand.IntN(8) {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case 2:
			w.Header().Set("Connection", "close") // GOAWAY
		case 3:
			w.Header().Set("Trailer", "X-Sum")
			defer w.Header().Set("X-Sum", id)
		}
		io.WriteString(w, strings.Repeat(id+",", rand.IntN(6000)))
	})
	g := start(t, func(s *setup) {
		overHTTP2(s)
		s.upstream.Retry.MaxAttempts = 3
		s.upstream.Budget.PerSecond = 10000
		s.upstream.Pool.Connections = 3
	}, addr)
	rounds := 200
	if testing.Short() {
		rounds = 40
	}
	var group sync.WaitGroup
	var answered atomic.Int32
	for worker := range 8 {
		group.Go(func() {
			var c *wire.Peer
			for i := range rounds {
				if c == nil {
					c = wire.Dial(t, g.addr)
				}
				id := fmt.Sprintf("w%di%d", worker, i)
				body := strings.Repeat("b", rand.IntN(2)*rand.IntN(50000))
				request := fmt.Sprintf("PUT /%s HTTP/1.1\r\nHost: a\r\nX-Id: %s\r\nContent-Length: %d\r\n\r\n%s", id, id, len(body), body)
				abort := rand.IntN(6) == 0
				if abort {
					request = request[:rand.IntN(len(request))+1]
				}
				err := c.TrySend(request)
				if abort {
					c.Close()
					c = nil
					continue
				}
				var m *wire.Message
				if err == nil {
					if m, err = c.TryHead(); err == nil {
						err = c.TryBody(m, "PUT")
					}
				}
				if err != nil {
					c.Close()
					c = nil
					continue
				}
				if m.Status() == 200 {
					answered.Add(1)
					if left := strings.Trim(strings.ReplaceAll(string(m.Body), id+",", ""), ","); m.Get("X-Id") != id || left != "" {
						t.Errorf("%s got the answer to %s, %.50q", id, m.Get("X-Id"), left)
					}
				}
				if m.Get("Connection") == "close" {
					c.Close()
					c = nil
				}
			}
		})
	}
	group.Wait()
	s := g.calm()
	if s.Active != 0 || s.Waiting != 0 || s.Open > 3 || s.Open < 0 || int(s.Open) < s.Idle {
		t.Errorf("%+v", s)
	}
	if int(answered.Load()) < rounds {
		t.Errorf("only %d answers", answered.Load())
	}
}
