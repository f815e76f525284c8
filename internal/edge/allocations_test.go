package edge_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policy/requestid"
	"straum.dev/straum/internal/edge/route"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/observe/accesslog"
	"straum.dev/straum/internal/observe/metrics"
)

// plain is an endpoint that costs no memory: it answers as many requests of a known length as it reads.
func plain(t *testing.T, request int, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in, out, end := make([]byte, 64<<10), []byte(answer), []byte("\r\n\r\n")
				for have := 0; ; {
					n, err := conn.Read(in[have:])
					if err != nil {
						return
					}
					have += n
					head := bytes.Index(in[:have], end)
					if head < 0 || have < head+len(end)+request {
						continue
					}
					have = 0
					if _, err := conn.Write(out); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// defaults are options nobody has set.
type defaults struct{}

func (defaults) Decode(into any) error {
	if o, ok := into.(*requestid.Options); ok {
		*o = requestid.Options{Header: "X-Request-Id", Response: true}
	}
	return nil
}
func (defaults) Errorf(string, string, ...any) error { return os.ErrInvalid }

var _ policy.Options = defaults{}

// An ordinary request allocates nothing on its way, with the access log, the metrics and a policy on. Once a second some things
// happen that do: the date, the sweep of idle connections, the flush of the log.
func TestRequestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the pools
	requests := 10_000                               // of the first, and fewer of the others
	f := func(name string, change func(*setup), request, answer string) {
		t.Run(name, func(t *testing.T) {
			_, body, _ := strings.Cut(request, "\n\n")
			log, err := accesslog.New(accesslog.Options{Settings: accesslog.Settings{To: os.DevNull}, Shards: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close(t.Context())
			numbers := metrics.New(metrics.Options{Shards: 2})
			id, err := requestid.Kind.Build(defaults{})
			if err != nil {
				t.Fatal(err)
			}
			g := start(t, func(s *setup) {
				s.observers = append(s.observers, numbers, log)
				s.silent = true
				s.chain.Add("request_id", id)
				s.route.Info.Slot = numbers.Routes.Of("all")
				s.upstream.Slot = numbers.Upstreams.Of("api")
				if change != nil {
					change(s)
				}
			}, plain(t, len(body), crlf(answer)))
			conn, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			out, in := []byte(crlf(request)), make([]byte, 256<<10)
			size := 0
			ask := func() {
				if _, err := conn.Write(out); err != nil {
					t.Fatal(err)
				}
				if size > 0 {
					if _, err := io.ReadFull(conn, in[:size]); err != nil {
						t.Fatal(err)
					}
					return
				}
				conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
				size, _ = io.ReadFull(conn, in)
				conn.SetReadDeadline(time.Time{})
			}
			for range 200 {
				ask()
			}
			if !bytes.HasPrefix(in, []byte("HTTP/1.1 200 ")) {
				t.Fatalf("%.200s", in[:size])
			}
			allowed := uint64(requests / 50) // for what happens once a second; one allocation a request is fifty times that
			best := uint64(1 << 62)
			for round := 0; round < 3 && best > allowed; round++ {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range requests {
					ask()
				}
				runtime.ReadMemStats(&after)
				best = min(best, after.Mallocs-before.Mallocs)
			}
			t.Logf("%d allocations in %d requests", best, requests)
			if best > allowed {
				t.Errorf("want %d at most", allowed)
			}
			requests = 2000
		})
	}
	const (
		get    = "GET /v1/orders/42?q=1 HTTP/1.1\nHost: api.example.com\nUser-Agent: curl/8.5.0\nAccept: */*"
		post   = "POST /v1/orders HTTP/1.1\nHost: api.example.com\nContent-Type: application/json\nContent-Length: 11\n\n{\"id\":\"42\"}"
		answer = "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 11\n\n{\"id\":\"42\"}"
	)
	f("GET", nil, get, answer)
	f("POST", nil, post, answer)
	f("chunked answer", nil, get, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nb\r\n{\"id\":\"42\"}\r\n0\r\n\r\n")
	f("100 KB answer", nil, get, "HTTP/1.1 200 OK\nContent-Length: 100000\n\n"+strings.Repeat("x", 100000))
	f("trusted proxy", func(s *setup) { s.trusted = []string{"127.0.0.0/8"} }, get+"\nX-Forwarded-For: 198.51.100.7, 127.0.0.2:80", answer)
	f("Server-Timing", func(s *setup) { s.route.Info.ServerTiming = true }, get, answer)
	f("breaker, slow start", func(s *setup) {
		s.upstream.Breaker = &breaker.Settings{ErrorRatio: 0.5, Window: time.Second, MinVolume: 10, MaxActive: 100, Cooldown: time.Second, MaxCooldown: time.Second, Probes: 1, Successes: 1, ProbeTimeout: time.Second}
		s.upstream.Balance = balance.Settings{Kind: balance.LeastRequests, SlowStart: int64(time.Second)}
	}, get, answer)
	f("rewrite", func(s *setup) {
		s.spec.Paths = []string{"/v1/orders/{id}"}
		rewrite, err := route.NewRewrite("/orders/{id}", s.spec.Paths)
		if err != nil {
			t.Fatal(err)
		}
		s.route.Rewrite = rewrite
	}, get, answer)
	f("hash", func(s *setup) {
		s.upstream.Balance = balance.Settings{Kind: balance.Hash, Bound: 125}
		s.upstream.Key = upstream.Key{Source: upstream.HeaderKey, Name: "x-tenant"}
	}, get+"\nX-Tenant: "+strconv.Itoa(7), answer)
}

func (defaults) Scope() string { return "test" }

func (defaults) Upstream(string, string) error { return nil }

func (defaults) Beside(path string) string { return path }
