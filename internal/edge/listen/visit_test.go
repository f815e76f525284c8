package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// shortly is a context for a visit that somebody answers.
func shortly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// echoed says a word and wants to hear it.
func echoed(ctx context.Context, c net.Conn, secure bool) error {
	if secure {
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		c = t
	}
	word := []byte("hello")
	if _, err := c.Write(word); err != nil {
		return err
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != string(word) {
		return fmt.Errorf("heard %q", got)
	}
	return nil
}

func TestVisitCountsNowhere(t *testing.T) {
	certificate, _ := issued(t, "straum.test")
	for _, c := range []struct {
		name string
		set  Settings
	}{
		{"IPv4", Settings{Address: "127.0.0.1:0"}},
		{"all addresses", Settings{Address: ":0"}},
		{"IPv6", Settings{Address: "[::1]:0"}},
		{"unix", Settings{Address: "unix:" + filepath.Join(t.TempDir(), "s")}},
		{"behind a proxy", Settings{Address: "127.0.0.1:0", Proxy: prefixes("127.0.0.0/8")}},
		{"TLS", Settings{Address: "127.0.0.1:0", TLS: &TLS{Config: &tls.Config{Certificates: []tls.Certificate{certificate}}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "unix" && runtime.GOOS != "linux" {
				t.Skip("only Linux has sockets that need no file")
			}
			if c.name == "IPv6" {
				l, err := net.Listen("tcp", c.set.Address)
				if err != nil {
					t.Skipf("no IPv6: %v", err)
				}
				l.Close()
			}
			h := new(echoes)
			c.set.MaxPerClient = 1
			w, set, _ := guarded(t, h, c.set)
			w.ban("127.0.0.1", true)
			for range 3 {
				if all := set.Visit(shortly(t), echoed); len(all) > 0 {
					t.Fatalf("found %+v", all)
				}
			}
			if s := stat(set); s.Accepted != 0 || s.RefusedClient != 0 || s.ProxyErrors != 0 || s.Dropped != 0 || s.Handshakes[Full] != 0 {
				t.Errorf("a visit was counted: %+v", s)
			}
			if info, _ := h.opened(0); !info.Own {
				t.Errorf("the connection is not marked: %+v", info)
			}
			await(t, "the visitor has left", func() bool { return stat(set).Open == 0 })
			if n := w.questions(); n > 0 {
				t.Errorf("the guard was asked %d times", n)
			}
		})
	}
}

// TestClientsAreNoVisitors holds that nobody else is taken for one of ours while one is under way.
func TestClientsAreNoVisitors(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{})
	var client net.Conn
	all := set.Visit(shortly(t), func(ctx context.Context, c net.Conn, secure bool) error {
		client = dial(t, address)
		say(t, client, "", "hello")
		return echoed(ctx, c, secure)
	})
	if len(all) > 0 {
		t.Fatalf("found %+v", all)
	}
	if s := stat(set); s.Accepted != 1 {
		t.Errorf("accepted %d, want the client alone", s.Accepted)
	}
	for i := range 2 {
		if info, _ := h.opened(i); info.Own == (info.Peer.String() == client.LocalAddr().String()) {
			t.Errorf("found %+v, the client being %s", info, client.LocalAddr())
		}
	}
	say(t, dial(t, address), "", "hello")
	if info, _ := h.opened(2); info.Own {
		t.Error("a client that came later was taken for a visit")
	}
}

// deaf is a handler whose sessions say nothing until they are let go.
type deaf struct{ let chan bool }

func (d *deaf) Open(c *socket.Conn, _ *exchange.Conn, _ *Gate, _ []byte) Session { return &mute{d, c} }

type mute struct {
	deaf *deaf
	conn *socket.Conn
}

func (m *mute) Serve() bool { <-m.deaf.let; return false }
func (m *mute) Close()      { m.conn.Close() }

func TestVisitFindsWhatIsNotServed(t *testing.T) {
	set, _ := empty(t)
	d := &deaf{make(chan bool)}
	t.Cleanup(func() { close(d.let) })
	settings := []Settings{{Name: "well", Address: "127.0.0.1:0"}, {Name: "deaf", Address: "localhost:0"}}
	if err := set.Apply(settings, map[string]Handler{"well": new(echoes), "deaf": new(echoes)}); err != nil {
		t.Fatal(err)
	}
	if all := set.Visit(shortly(t), echoed); len(all) > 0 {
		t.Fatalf("found %+v", all)
	}
	if err := set.Apply(settings, map[string]Handler{"well": new(echoes), "deaf": d}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all := set.Visit(ctx, echoed)
	if len(all) != 1 || all[0].Listener != "deaf" || !all[0].Seen || !errors.Is(all[0].Err, errNoAnswer) {
		t.Errorf("found %+v", all)
	}
}

func TestVisitThatNeverSucceededSaysSo(t *testing.T) {
	set, _, _ := start(t, new(echoes), Settings{})
	all := set.Visit(shortly(t), func(context.Context, net.Conn, bool) error { return errors.New("wrong words") })
	if len(all) != 1 || all[0].Seen || !strings.Contains(all[0].Err.Error(), "wrong words") {
		t.Errorf("found %+v", all)
	}
}

func TestLoadIsNoIllness(t *testing.T) {
	set, address, _ := start(t, new(echoes), Settings{MaxConns: 1})
	nc := dial(t, address)
	say(t, nc, "", "hello")
	if all := set.Visit(shortly(t), echoed); len(all) > 0 {
		t.Errorf("a full listener was taken for a broken one: %+v", all)
	}
	say(t, nc, "", "still here") // no place was made for the visit
	if s := stat(set); s.Evicted != 0 {
		t.Errorf("%+v", s)
	}
}

// TestOthersGettingOnIsNoIllness has a visit fail while clients get further than it: a flood. Where they do not, it is told.
func TestOthersGettingOnIsNoIllness(t *testing.T) {
	set, address, _ := start(t, new(echoes), Settings{})
	l := set.live[0]
	client := dial(t, address)
	handshake := fmt.Errorf("%w: %w", ErrHandshake, os.ErrDeadlineExceeded)
	served := func() {
		say(t, client, "", "hello")
		await(t, "the client was served", l.lively.Load)
	}
	let := func() {
		before := l.accepted.Load()
		dial(t, address)
		await(t, "a client was let in", func() bool { return l.accepted.Load() > before })
	}
	agreed := func(o Outcome) func() { return func() { l.handshakes.counts[o].Add(1) } }
	for _, c := range []struct {
		name  string
		get   func() // what others do meanwhile
		err   error
		fault bool
	}{
		{"nobody", func() {}, os.ErrDeadlineExceeded, true},
		{"requests are served", served, os.ErrDeadlineExceeded, false},
		{"requests are served, handshakes are not", served, handshake, true},
		{"handshakes are", agreed(Full), handshake, false},
		{"handshakes are cut", agreed(Cut), handshake, false},
		{"handshakes are late", agreed(Late), handshake, true},
		{"handshakes are, requests are not", agreed(Full), os.ErrDeadlineExceeded, true},
		{"somebody is let in", let, os.ErrDeadlineExceeded, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := set.Visit(shortly(t), func(ctx context.Context, nc net.Conn, secure bool) error {
				if err := echoed(ctx, nc, secure); err != nil { // it was let in
					t.Error(err)
				}
				c.get()
				return c.err
			})
			if told := len(all) > 0; told != c.fault {
				t.Errorf("found %+v", all)
			}
		})
	}
	// One that was not let in.
	set.arrived.Store(false)
	before := l.progress()
	if l.busy(errors.New("refused"), before) {
		t.Error("a refusal was taken for load")
	}
	if runtime.GOOS == "linux" && !l.busy(os.ErrDeadlineExceeded, before) {
		t.Error("nobody waited to be let in, and the listener was taken for dead")
	}
	l.dropped.Add(1)
	if !l.busy(errors.New("refused"), before) {
		t.Error("that another was turned away was not taken for load")
	}
}

// TestVisitsTakeTurns has one listener use up the time: the next round begins with the others.
func TestVisitsTakeTurns(t *testing.T) {
	set, _ := empty(t)
	settings, handlers := []Settings{}, map[string]Handler{}
	for i, name := range []string{"a", "b", "c"} {
		settings, handlers[name] = append(settings, Settings{Name: name, Address: fmt.Sprintf("127.0.0.%d:0", i+1)}), new(echoes)
	}
	if err := set.Apply(settings, handlers); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, s := range set.Stats() {
		names[s.Address] = s.Name
	}
	hang := "a"
	round := func(ctx context.Context) (visited string) {
		set.Visit(ctx, func(ctx context.Context, c net.Conn, secure bool) error {
			name := names[c.RemoteAddr().String()]
			visited += name
			if name == hang {
				<-ctx.Done()
				return ctx.Err()
			}
			return echoed(ctx, c, secure)
		})
		return visited
	}
	short, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if got := round(short); got != "a" {
		t.Errorf("visited %s; no visit is to begin late", got)
	}
	hang = ""
	if got := round(shortly(t)); got != "bca" {
		t.Errorf("visited %s next", got)
	}
}

func TestVisitOfNothing(t *testing.T) {
	set, _, _ := start(t, new(echoes), Settings{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if all := set.Visit(ctx, echoed); len(all) > 0 {
		t.Errorf("found %+v after the time for visits", all)
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]string{":80": "127.0.0.1", "0.0.0.0:80": "127.0.0.1", "[::]:80": "::1"} {
		s := &inForce{Settings: &Settings{Address: address}}
		bound := netip.IPv6Unspecified()
		if address == "0.0.0.0:80" {
			bound = netip.IPv4Unspecified()
		}
		if got := loopback(s, bound); got.String() != want {
			t.Errorf("%s: found %s, want %s", address, got, want)
		}
	}
}
