package edge_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/test/wire"
)

// hosts that mean the same reach the endpoint as they came: what it answers one that it does not know must not be what others get.
func TestCacheSpellingsOfHost(t *testing.T) {
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		if m.Get("Host") != "api.example.com" {
			p.Send(storable("default site for " + m.Get("Host")))
			return true
		}
		p.Send(storable("right"))
		return true
	})
	change, _ := caching(t, cache.Terms{})
	g := start(t, change, e.Addr)
	for _, host := range []string{"API.example.com", "api.example.com.", "api.example.com:80", "api.example.com:0080"} {
		g.ask("GET /things HTTP/1.1\nHost: " + host)
	}
	g.ask("GET http://API.example.com/things HTTP/1.1\nHost: api.example.com")
	g.ask("GET http://api.example.com/things HTTP/1.1\nHost: api.EXAMPLE.com.")
	if m, _ := g.ask("GET /things HTTP/1.1\nHost: api.example.com"); string(m.Body) != "right" {
		t.Errorf("got %q", m.Body)
	}
}

// Trailers and interim answers are of the one who asked: followers and those who come later get the content alone.
func TestCacheTrailers(t *testing.T) {
	come := make(chan struct{})
	var requests atomic.Int64
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		requests.Add(1)
		p.Send("HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\nCache-Control: max-age=7\r\n\r\n")
		p.Send("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		<-come
		p.Send("5\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n")
		return true
	})
	change, _ := caching(t, cache.Terms{})
	g := start(t, func(s *setup) { change(s); s.silent = true }, e.Addr)
	var all sync.WaitGroup
	var sent atomic.Int64
	for range 20 {
		all.Go(func() {
			p := wire.Dial(t, g.addr)
			defer p.Close()
			p.Send(crlf(get + "\nTE: trailers"))
			sent.Add(1)
			if m := final(p); m.Status() != 200 || string(m.Body) != "helloworld" || m.Has("Set-Cookie") {
				t.Errorf("got %s and %q", m, m.Body)
			}
		})
	}
	await(t, "all clients asked", func() bool { return sent.Load() == 20 && requests.Load() > 0 })
	close(come)
	all.Wait()
	p := wire.Dial(t, g.addr)
	defer p.Close()
	p.Send(crlf(get + "\nTE: trailers"))
	if m := final(p); m.Status() != 200 || string(m.Body) != "helloworld" || m.Has("X-Sum") || m.Has("Set-Cookie") || m.Has("Link") || requests.Load() != 1 {
		t.Errorf("got %s and %q after %d requests", m, m.Body, requests.Load())
	}
}

// final is the answer after the interim ones.
func final(p *wire.Peer) *wire.Message {
	m := p.Head()
	for m.Status() < 200 {
		m = p.Head()
	}
	p.Body(m, "GET")
	return m
}

// panics is a policy of step 8 with a mistake.
type panics struct {
	times atomic.Int64 // left
}

func (p *panics) UpstreamResponse(*exchange.Exchange) {
	if p.times.Add(-1) >= 0 {
		panic("a mistake")
	}
}

// A mistake of ours while one asks for all costs that one its answer. Nobody waits for it for ever.
func TestCacheLeaderPanics(t *testing.T) {
	come := make(chan struct{})
	var requests atomic.Int64
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		if requests.Add(1) == 1 {
			<-come
		}
		p.Send(storable("hello"))
		return true
	})
	policy := &panics{}
	policy.times.Store(1)
	change, c := caching(t, cache.Terms{})
	g := start(t, func(s *setup) {
		change(s)
		s.chain.UpstreamResponses = append(s.chain.UpstreamResponses, policy)
		s.silent = true
	}, e.Addr)
	var all sync.WaitGroup
	var sent, failed atomic.Int64
	for range 20 {
		all.Go(func() {
			p := wire.Dial(t, g.addr)
			defer p.Close()
			p.Send(crlf(get))
			sent.Add(1)
			switch m := p.Answer("GET"); {
			case m.Status() == 500:
				failed.Add(1)
			case m.Status() != 200 || string(m.Body) != "hello":
				t.Errorf("got %s and %q", m, m.Body)
			}
		})
	}
	await(t, "all clients asked", func() bool { return sent.Load() == 20 && requests.Load() > 0 })
	close(come)
	all.Wait()
	if failed.Load() != 1 {
		t.Errorf("%d of 20 failed, want the one", failed.Load())
	}
	if s := c.Stat(); s.Flights != 0 {
		t.Errorf("%d flights are left", s.Flights)
	}
}

// What ends before it is whole is never stored, whichever way it says how long it is.
func TestCacheTruncated(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 10\r\n\r\n01234",
		"chunked": "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
		"chunk":   "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\na\r\n01234",
		"trailer": "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\nX-A: b\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
				p.Body(m, "")
				if requests.Add(1) > 1 {
					p.Send(storable("whole"))
					return true
				}
				p.Send(answer)
				return false
			})
			change, c := caching(t, cache.Terms{})
			g := start(t, func(s *setup) { change(s); s.silent = true }, e.Addr)
			p := wire.Dial(t, g.addr)
			p.Send(crlf(get))
			p.Head()
			p.Close()
			await(t, "the flight is over", func() bool { return c.Stat().Flights == 0 })
			p = wire.Dial(t, g.addr)
			defer p.Close()
			p.Send(crlf(get))
			if m := p.Answer("GET"); m.Status() != 200 || string(m.Body) != "whole" {
				t.Errorf("got %s and %q", m, m.Body)
			}
		})
	}
}

// Revisions come and go, with their stores, while many ask.
func TestCacheRevisionsUnderLoad(t *testing.T) {
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		_, target, _ := strings.Cut(m.Start, " ")
		target, _, _ = strings.Cut(target, " ")
		p.Send("HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-while-revalidate=5\r\nVary: X-V\r\nContent-Length: " + fmt.Sprint(3*len(target)) + "\r\n\r\n" + strings.Repeat(target, 3))
		return true
	})
	change, c := caching(t, cache.Terms{Early: 0.5})
	g := start(t, func(s *setup) { change(s); s.silent = true }, e.Addr)
	stop := make(chan struct{})
	var all sync.WaitGroup
	var answers atomic.Int64
	for n := range 8 {
		all.Go(func() {
			p := wire.Dial(t, g.addr)
			defer p.Close()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				target := fmt.Sprintf("/things/%d", (i+n)%5)
				p.Send(crlf(fmt.Sprintf("GET %s HTTP/1.1\nHost: api.example.com\nX-V: %d", target, i%3)))
				if m := p.Answer("GET"); m.Status() != 200 || string(m.Body) != strings.Repeat(target, 3) {
					t.Errorf("%s: got %s and %q", target, m, m.Body)
					return
				}
				answers.Add(1)
			}
		})
	}
	dirs := []string{t.TempDir(), t.TempDir()}
	for i := range 30 {
		set := cache.Settings{Memory: int64(i%3) << 20, MaxObject: 1 << uint(8+i%8)}
		if i%2 == 0 {
			set.Disk = &cache.Disk{Path: dirs[i/2%2], Size: 64 << 20, MaxObject: 1 << 20}
		}
		if err := c.Use(set); err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			if _, err := c.Purge(cache.Purge{Prefix: "http://api.example.com/things/", Soft: i%8 == 0}); err != nil {
				t.Fatal(err)
			}
		}
		next := *g.setup
		next.chain.Cache = c.Route("all", cache.Terms{Status: true, Wait: wire.Patience, Variants: 1 + i%3})
		g.use(&next)
		was := answers.Load()
		await(t, "more answers", func() bool { return answers.Load() > was+20 || t.Failed() })
	}
	close(stop)
	all.Wait()
	await(t, "all flights are over", func() bool { return c.Stat().Flights == 0 })
}
