package drain

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
	"straum.dev/straum/test/wire"
)

// secured is config with TLS on its listener.
func secured(listen string, h *held, p *gateway.Pair, drain string) string {
	return strings.Replace(config(listen, h, drain), "    name: main\n", "    name: main\n    tls: { certificates: ["+p.YAML()+"] }\n", 1)
}

// TestStreamsUnderLoad stops the gateway while clients of HTTP/2 send without a pause: every request is answered, or refused unseen.
func TestStreamsUnderLoad(t *testing.T) {
	for _, secure := range []bool{true, false} {
		listen, h, a := gateway.Free(t), endpoint(t), gateway.NewAuthority(t)
		text := config(listen, h, "20s")
		plan := traffic.StreamPlan{Addr: listen, Conns: 16, Streams: 8, UntilRefused: true}
		if secure {
			text = secured(listen, h, a.Issue([]string{"localhost"}), "20s")
			plan.TLS = a.Trusting("localhost", "h2")
		}
		g := gateway.Start(t, text)
		load := traffic.StartStreams(plan)
		gateway.Await(t, "load", func() bool { return load.Answers() > 2000 })
		if code := g.Stop(); code != 0 {
			t.Errorf("got the exit code %d, want 0", code)
		}
		r := load.Wait()
		if r.Failed > 0 {
			t.Errorf("TLS %v: %d requests failed beside %d that were answered, such as:\n%s", secure, r.Failed, r.Answers, strings.Join(r.Failures, "\n"))
		}
		if r.Away == 0 {
			t.Errorf("TLS %v: no connection was told to go", secure)
		}
		if g.Logged("connections were cut") {
			t.Error("the log tells of connections that were cut")
		}
	}
}

// TestStreamsHeld holds streams under way while the gateway stops: the client is told at once, twice as HTTP/2 has it, and the streams
// are answered. One that is opened before the client can know is answered too.
func TestStreamsHeld(t *testing.T) {
	listen, h, a := gateway.Free(t), endpoint(t), gateway.NewAuthority(t)
	g := gateway.Start(t, secured(listen, h, a.Issue([]string{"localhost"}), "30s"))
	s := wire.DialStreams(t, listen, a.Trusting("localhost"))
	var streams []*wire.Stream
	for i := range 5 {
		st, err := s.Open(true, wire.Ask("GET", "localhost", fmt.Sprintf("/held/%d", i))...)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, st)
		<-h.arrived
	}
	g.Signal(syscall.SIGTERM)
	gateway.Await(t, "GOAWAY", func() bool { return s.Leaving() != nil })
	if away := s.Leaving(); away.Code != 0 || away.Last < streams[4].ID {
		t.Errorf("the client is told %v", away)
	}
	gateway.Await(t, "the last stream is named", func() bool { return s.Leaving().Last == streams[4].ID })
	if !g.Running() {
		t.Fatal("the gateway has ended with streams under way")
	}
	close(h.letGo)
	for i, st := range streams {
		if m, err := st.Answer(); err != nil || string(m.Body) != "at last" {
			t.Errorf("stream %d: %v, %v", i, m, err)
		}
	}
	if _, err := s.AwaitEnd(); err != nil {
		t.Error(err)
	}
	if code := g.Wait(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
	if g.Logged("connections were cut") {
		t.Error("the log tells of connections that were cut")
	}
}

// TestStreamsDeadline lets the time to drain run out: streams are cut, and told of.
func TestStreamsDeadline(t *testing.T) {
	listen, h, a := gateway.Free(t), endpoint(t), gateway.NewAuthority(t)
	g := gateway.Start(t, secured(listen, h, a.Issue([]string{"localhost"}), "500ms"))
	s := wire.DialStreams(t, listen, a.Trusting("localhost"))
	st, err := s.Open(true, wire.Ask("GET", "localhost", "/held")...)
	if err != nil {
		t.Fatal(err)
	}
	<-h.arrived
	g.Signal(syscall.SIGTERM)
	if m, err := st.Answer(); err == nil && wire.Status(m) != http.StatusServiceUnavailable || errors.Is(err, wire.ErrSilence) {
		t.Errorf("got %v, %v, want no answer or 503", m, err)
	}
	if code := g.Wait(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
	if !g.Logged(`"connections":1`) {
		t.Error("the log does not tell of a connection that was cut")
	}
	if l := g.AwaitAccess("of the stream", func(l gateway.Line) bool { return l.Text("path") == "/held" }); l.Text("proto") != "HTTP/2" {
		t.Errorf("the line is %v", l)
	}
}

// TestStreamsIdle stops a gateway with idle connections of HTTP/2, of which some have been idle for so long that the gateway has put
// them aside: they do not hold it up, and each is told to go.
func TestStreamsIdle(t *testing.T) {
	for _, secure := range []bool{true, false} {
		listen, h, a := gateway.Free(t), endpoint(t), gateway.NewAuthority(t)
		text, trusting := config(listen, h, "1h"), a.Trusting("localhost")
		if secure {
			text = secured(listen, h, a.Issue([]string{"localhost"}), "1h")
		} else {
			trusting = nil
		}
		g := gateway.Start(t, text)
		var all []*wire.Streams
		connect := func(n int) {
			for i := range n {
				s := wire.DialStreams(t, listen, trusting)
				if i%2 == 0 {
					if m, err := s.Get("/"); err != nil || wire.Status(m) != http.StatusOK {
						t.Fatal(m, err)
					}
				} else if err := s.AwaitPing(); err != nil {
					t.Fatal(err)
				}
				all = append(all, s)
			}
		}
		connect(10)
		gateway.Await(t, "they are put aside", func() bool { return g.Number("straum_listener_parked_connections") == 10 })
		connect(10)
		if code := g.Stop(); code != 0 {
			t.Errorf("got the exit code %d, want 0", code)
		}
		for i, s := range all {
			if away, err := s.AwaitEnd(); err != nil || away == nil || away.Code != 0 {
				t.Errorf("TLS %v: connection %d was told %v, %v", secure, i, away, err)
			}
		}
	}
}

// TestHandshakesUnderWay stops a gateway to which clients have connected that say nothing, where TLS is spoken: they do not hold it up.
func TestHandshakesUnderWay(t *testing.T) {
	listen, h, a := gateway.Free(t), endpoint(t), gateway.NewAuthority(t)
	text := secured(listen, h, a.Issue([]string{"localhost"}), "1h")
	g := gateway.Start(t, strings.Replace(text, "] }\n", "], handshake_timeout: 5m }\n", 1))
	for range 5 {
		dial(t, listen)
	}
	gateway.Await(t, "they are under way", func() bool { return g.Number("straum_listener_connections") == 5 })
	if code := g.Stop(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
}
