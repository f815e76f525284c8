package reload

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
	"straum.dev/straum/test/wire"
)

// secured is variant with TLS on its listener, whose settings change too.
func secured(n int, listen string, endpoints []string, p *gateway.Pair) string {
	tls := []string{"", ", handshakes: 2000", ", hsts: 1h", ", handshake_timeout: 20s", ", strict_sni: false"}[n%5]
	http2 := []string{"", ", http2: { streams: 100 }"}[n/5%2]
	return strings.Replace(variant(n, listen, endpoints), "name: main,", fmt.Sprintf("name: main, tls: { certificates: [%s]%s }%s,", p.YAML(), tls, http2), 1)
}

// TestStreams reloads while many connections of HTTP/2 have streams under way: none is lost, and nobody shakes hands in vain.
func TestStreams(t *testing.T) {
	for _, secure := range []bool{true, false} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			reloads, conns := 100, 64
			if testing.Short() || gateway.Race {
				reloads, conns = 12, 24 // every variant once
			}
			listen := gateway.Free(t)
			slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(5 * time.Millisecond) // so that there is something under way at any time
				fmt.Fprint(w, strings.Repeat("hello ", 5000))
			}))
			t.Cleanup(slow.Close)
			endpoints := []string{endpoint(t), slow.Listener.Addr().String()}
			a := gateway.NewAuthority(t)
			p := a.Issue([]string{"localhost"})
			config := func(n int) string {
				if secure {
					return secured(n, listen, endpoints, p)
				}
				return variant(n, listen, endpoints)
			}
			g := gateway.Start(t, config(0))
			plan := traffic.StreamPlan{Addr: listen, Conns: conns, Streams: 4, Pause: 20 * time.Millisecond, Request: func(n int64) ([]wire.Field, []byte) {
				if n%3 == 0 {
					return wire.Ask("POST", "localhost", "/x"), []byte(strings.Repeat("content ", 5000))
				}
				return wire.Ask("GET", "localhost", "/"), nil
			}}
			if secure {
				plan.TLS = a.Trusting("localhost", "h2")
			}
			load := traffic.StartStreams(plan)
			defer load.Stop()
			gateway.Await(t, "load", func() bool { return load.Answers() > int64(conns) })
			for n := 1; n <= reloads; n++ {
				if err := g.Reload(config(n)); err != nil {
					t.Fatalf("reload %d: %v", n, err)
				}
			}
			before := load.Answers()
			gateway.Await(t, "the load goes on", func() bool { return load.Answers() > before+int64(conns) })
			r := load.Stop()
			if r.Failed > 0 {
				t.Errorf("%d requests failed beside %d that were answered, such as:\n%s", r.Failed, r.Answers, strings.Join(r.Failures, "\n"))
			}
			t.Logf("%d reloads, %d answers, %d connections told to go, %d requests refused unseen", reloads, r.Answers, r.Away, r.Again)
		})
	}
}

// TestStreamsUnderWay takes away the listener of streams that are under way, by TLS: they go on to their end, and the client is told
// to go.
func TestStreamsUnderWay(t *testing.T) {
	listen, other := gateway.Free(t), gateway.Free(t)
	letGo, arrived := make(chan struct{}), make(chan struct{}, 10)
	first, second := strings.Repeat("first ", 10_000), strings.Repeat("second", 10_000)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fast" {
			fmt.Fprint(w, "fast")
			return
		}
		fmt.Fprint(w, first)
		w.(http.Flusher).Flush()
		arrived <- struct{}{}
		<-letGo
		fmt.Fprint(w, second)
	}))
	t.Cleanup(slow.Close)
	a := gateway.NewAuthority(t)
	stays := variant(0, listen, []string{slow.Listener.Addr().String()})
	goes := strings.Replace(stays, "upstreams:", fmt.Sprintf("  - { address: %q, name: goes, tls: { certificates: [%s] } }\nupstreams:", other, a.Issue([]string{"localhost"}).YAML()), 1)
	g := gateway.Start(t, goes)
	s := wire.DialStreams(t, other, a.Trusting("localhost"))
	var streams []*wire.Stream
	for range 5 {
		st, err := s.Open(true, wire.Ask("GET", "localhost", "/")...)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, st)
		<-arrived
	}
	if err := g.Reload(stays); err != nil {
		t.Fatal(err)
	}
	gateway.Await(t, "GOAWAY", func() bool { return s.Leaving() != nil })
	if away := s.Leaving(); away.Code != 0 {
		t.Errorf("the client is told %v", away)
	}
	close(letGo)
	for i, st := range streams {
		if m, err := st.Answer(); err != nil || string(m.Body) != first+second {
			t.Errorf("stream %d did not go on to its end: %v, %v", i, m, err)
		}
	}
	if _, err := s.AwaitEnd(); err != nil {
		t.Error(err)
	}
	gateway.Await(t, "the listener that went holds nothing", func() bool { return g.Number("straum_listener_connections", `listener="goes"`) == 0 })
}
