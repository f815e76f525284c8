package http2

import (
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

	xhttp2 "golang.org/x/net/http2"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// attack has eight attackers at work until each has been turned away a few times, while honest clients go on. What they take of memory
// depends on how many there are at a time, and not on how often they come.
func attack(t *testing.T, f *front, secure bool, want xhttp2.ErrCode, harm func(s *wire.Streams) error) {
	t.Helper()
	honest := f.streams(t, secure)
	ask := func() {
		t.Helper()
		if m, err := honest.Get("/fine"); err != nil || wire.Status(m) != 200 {
			t.Fatalf("an honest client got %v, %v; %v", m, err, honest.Leaving())
		}
	}
	ask()
	before, _ := f.Memory()
	besiege(t, f, secure, want, harm, ask)
	if _, most := f.Memory(); most-before > 128<<20 && !gateway.Race { // 8 connections with up to 128 streams, and as many that end
		t.Errorf("memory grew from %d to %d", before, most)
	}
	gateway.Await(t, "nothing to be left of the attackers", func() bool {
		n := f.Numbers()
		return n.Sum("straum_listener_connections") == 1 && n.Sum("straum_endpoint_active_requests") == 0
	})
}

// besiege has the attackers turned away, and asks beside them. With the race detector they come twice and not ten times: each is a minute of
// work for it, and the same each time; what is to be found by coming often is memory, which only counts without it.
func besiege(t *testing.T, f *front, secure bool, want xhttp2.ErrCode, harm func(s *wire.Streams) error, ask func()) {
	t.Helper()
	times := 10
	if gateway.Race {
		times = 2
	}
	var stopped atomic.Bool
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range times {
				s, err := f.connect(secure)
				if err != nil {
					t.Errorf("an attacker cannot connect: %v", err)
					return
				}
				for err == nil && !stopped.Load() {
					err = harm(s)
				}
				away, err := s.AwaitEnd()
				s.Close()
				// What we still sent may have brought a reset, which destroys the last frame on its way.
				if err != nil || away != nil && away.Code != want {
					t.Errorf("an attacker was turned away with %v, %v, want %v", away, err, want)
					return
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	late := time.After(2 * gateway.Patience)
	for {
		select {
		case <-ended:
			ask()
			return
		case <-late:
			stopped.Store(true)
			<-ended
			t.Fatal("the attackers are not turned away")
		case <-time.After(5 * time.Millisecond): // a client, and no siege of its own
			ask()
		}
	}
}

// connect opens an HTTP/2 connection, by TLS or without.
func (f *front) connect(secure bool) (*wire.Streams, error) {
	if secure {
		return wire.Connect(f.secure, f.authority.Trusting("api.example"))
	}
	return wire.Connect(f.plain, nil)
}

// fine is an endpoint that answers /fine and lets everything else wait until it is given up.
func fine(t *testing.T) string {
	return wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if m.Target() != "/fine" {
			p.Gone()
			return false
		}
		p.Send(wire.OK("fine"))
		return true
	}).Addr
}

// Rapid reset (CVE-2023-44487): streams that are opened and given up at once.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		f := open(t, fine(t), setting{})
		attack(t, f, secure, xhttp2.ErrCodeEnhanceYourCalm, func(s *wire.Streams) error {
			for range 50 {
				st, err := s.Open(true, wire.Ask("GET", "localhost", "/wait")...)
				if err == nil {
					err = st.Reset(xhttp2.ErrCodeCancel)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// MadeYouReset (CVE-2025-8671): the client makes us reset the streams.
func TestProvokedResets(t *testing.T) {
	t.Parallel()
	f := open(t, fine(t), setting{})
	attack(t, f, true, xhttp2.ErrCodeEnhanceYourCalm, func(s *wire.Streams) error {
		for range 50 {
			st, err := s.Open(true, wire.Ask("GET", "localhost", "/wait")...)
			if err == nil {
				err = s.Frames(func(w *xhttp2.Framer) error { return w.WriteWindowUpdate(st.ID, 0) })
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// CONTINUATION flood (CVE-2024-27316): a field section without an end.
func TestContinuationFlood(t *testing.T) {
	t.Parallel()
	for _, size := range []int{16_000, 1, 0} {
		f := open(t, fine(t), setting{})
		attack(t, f, size > 1, xhttp2.ErrCodeEnhanceYourCalm, func(s *wire.Streams) error {
			st := s.Take()
			block := s.Block(wire.Ask("GET", "localhost", "/wait")...)
			junk := []byte(strings.Repeat("\x00\x01x\x01y", size/5+1))[:size]
			return s.Frames(func(w *xhttp2.Framer) error {
				if err := w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: st.ID, BlockFragment: block}); err != nil {
					return err
				}
				for range 100_000 {
					if err := w.WriteContinuation(st.ID, false, junk); err != nil {
						return err
					}
				}
				return errors.New("they are all taken")
			})
		})
	}
}

// PING, SETTINGS, empty and other frames that carry no request.
func TestFrameFlood(t *testing.T) {
	t.Parallel()
	f := open(t, fine(t), setting{})
	for _, kind := range []struct {
		name string
		send func(w *xhttp2.Framer) error
	}{
		{"ping", func(w *xhttp2.Framer) error { return w.WritePing(false, [8]byte{}) }},
		{"settings", func(w *xhttp2.Framer) error { return w.WriteSettings() }},
		{"priority", func(w *xhttp2.Framer) error { return w.WritePriority(1, xhttp2.PriorityParam{StreamDep: 3}) }},
		{"unknown", func(w *xhttp2.Framer) error { return w.WriteRawFrame(0xbb, 0, 0, []byte("xy")) }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			attack(t, f, true, xhttp2.ErrCodeEnhanceYourCalm, func(s *wire.Streams) error {
				return s.Frames(func(w *xhttp2.Framer) error {
					for range 100 {
						if err := kind.send(w); err != nil {
							return err
						}
					}
					return nil
				})
			})
		})
	}
}

// Clients that ask for large answers and never open the window hold a bounded amount of memory, and lose their streams in the end.
func TestWindowStall(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 4<<20)
	f := open(t, wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool { return p.TrySend(wire.OK(body)) == nil }).Addr,
		setting{listener: "    timeouts: { progress: 2s }"})
	before, _ := f.Memory()
	const conns, streams = 8, 32
	var all sync.WaitGroup
	for range conns {
		all.Go(func() {
			s, err := wire.Connect(f.secure, f.authority.Trusting("api.example"), xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			var held []*wire.Stream
			for range streams {
				st, err := s.Open(true, wire.Ask("GET", "localhost", "/large")...)
				if err != nil {
					t.Error(err)
					return
				}
				held = append(held, st)
			}
			for _, st := range held {
				if m, err := st.Answer(); err == nil || errors.Is(err, wire.ErrSilence) {
					t.Errorf("an answer that nobody takes is not given up: %v, %v", m, err)
					return
				}
			}
		})
	}
	all.Wait()
	if now, most := f.Memory(); most-before > 64<<20 && !gateway.Race {
		t.Errorf("memory grew from %d to %d for %d answers that nobody takes; now it is %d", before, most, conns*streams, now)
	}
	gateway.Await(t, "nothing to be under way", func() bool { return f.Number("straum_endpoint_active_requests") == 0 })
}

// More streams than allowed are refused, each with a code that says that it may be tried again; those that were first go on.
func TestStreamFlood(t *testing.T) {
	t.Parallel()
	letGo := make(chan struct{})
	f := open(t, wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool { <-letGo; p.Send(wire.OK("ok")); return true }).Addr,
		setting{listener: "    http2: { streams: 10 }"})
	s := f.streams(t, true)
	if n, ok := s.Setting(xhttp2.SettingMaxConcurrentStreams); !ok || n != 10 {
		t.Errorf("the client is told %d, %v", n, ok)
	}
	var all []*wire.Stream
	for range 25 {
		st, err := s.Open(true, wire.Ask("GET", "localhost", "/")...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, st)
	}
	for i, st := range all[10:] {
		_, err := st.Answer()
		if reset := (wire.Reset{}); !errors.As(err, &reset) || reset.Code != xhttp2.ErrCodeRefusedStream {
			t.Fatalf("stream %d was not refused: %v", i+10, err)
		}
	}
	close(letGo)
	for i, st := range all[:10] {
		if m, err := st.Answer(); err != nil || wire.Status(m) != 200 {
			t.Errorf("stream %d: %v, %v", i, m, err)
		}
	}
	if n := f.Number("straum_upstream_requests_total"); n != 10 {
		t.Errorf("%v requests reached the upstream, want 10", n)
	}
}

// A connection that says nothing, or nothing that is HTTP, holds no place for long, and half a preface is no HTTP/1.1.
func TestPreface(t *testing.T) {
	t.Parallel()
	f := open(t, fine(t), setting{listener: "    timeouts: { header: 300ms, idle: 1s }"})
	var all sync.WaitGroup
	for _, begin := range []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", "PRI ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n", "PRI * HTTP/1.1\r\nHost: a\r\n\r\n", "PR", ""} {
		for _, secure := range []bool{true, false} {
			all.Go(func() {
				c, err := net.Dial("tcp", f.plain)
				if secure {
					c, err = tlsDial(f)
				}
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				fmt.Fprint(c, begin)
				c.SetReadDeadline(time.Now().Add(gateway.Patience))
				if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%q, TLS %v: the connection stays open", begin, secure)
				}
			})
		}
	}
	all.Wait()
	gateway.Await(t, "no connection to be left", func() bool { return f.Number("straum_listener_connections") == 0 })
	if n := f.Number("straum_upstream_requests_total"); n != 0 {
		t.Errorf("%v requests reached the upstream", n)
	}
}
