package listen

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaissmai/bart"
)

func prefixes(text ...string) *bart.Lite {
	l := new(bart.Lite)
	for _, p := range text {
		l.Insert(netip.MustParsePrefix(p))
	}
	return l
}

func TestLife(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{})
	nc := dial(t, address)
	for i := range 3 {
		await(t, "the connection is parked", func() bool { return stat(set).Parked == 1 })
		say(t, nc, "", fmt.Sprint("hello ", i))
	}
	s := stat(set)
	if s.Accepted != 1 || s.Open != 1 {
		t.Errorf("%+v", s)
	}
	await(t, "no goroutine is held", func() bool { return stat(set).Goroutines == 0 || !parks })
	nc.Close()
	await(t, "the connection is gone", func() bool { return stat(set).Open == 0 && stat(set).Parked == 0 })
	if len(h.ends()) != 1 {
		t.Errorf("the session was closed %d times", len(h.ends()))
	}
	if info, _ := h.opened(0); info.Peer.String() != nc.LocalAddr().String() || info.Local.String() != address || info.Listener != "main" || info.ID == 0 {
		t.Errorf("%+v", info)
	}
}

func TestHungUpWithBytesLeftIsServed(t *testing.T) {
	set, address, _ := start(t, new(echoes), Settings{})
	nc := dial(t, address)
	await(t, "parked", func() bool { return stat(set).Parked == 1 })
	// Data and the end arrive together: the data must not be lost over the hang-up.
	cork(t, nc)
	nc.Write([]byte("last words"))
	nc.(*net.TCPConn).CloseWrite()
	hear(t, nc, "last words")
	over(t, nc)
}

func TestIdleExpiryInOrderOfParking(t *testing.T) {
	if !parks {
		t.Skip("here a changed timeout counts from the next parking only")
	}
	h := new(echoes)
	set, address, _ := start(t, h, Settings{IdleTimeout: time.Hour})
	var conns []net.Conn
	for i := range 20 {
		conns = append(conns, dial(t, address))
		await(t, "parked", func() bool { return stat(set).Parked == i+1 })
	}
	// The first one speaks, so it parks anew, behind all others.
	say(t, conns[0], "", "x")
	await(t, "parked again", func() bool { return stat(set).Parked == 20 })
	// The timeout shrinks and holds for those parked already.
	s := Settings{Name: "main", Address: "127.0.0.1:0", IdleTimeout: time.Nanosecond}
	if err := set.Apply([]Settings{s}, map[string]Handler{"main": h}); err != nil {
		t.Fatal(err)
	}
	await(t, "all have expired", func() bool { return stat(set).Open == 0 })
	first, _ := h.opened(0)
	ends := h.ends()
	if ends[len(ends)-1] != first.ID || !slices.IsSorted(ends[:len(ends)-1]) {
		t.Errorf("closed in the order %v", ends)
	}
	if s := stat(set); s.Expired != 20 || s.Evicted != 0 {
		t.Errorf("%+v", s)
	}
}

func TestChurn(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{IdleTimeout: 30 * time.Millisecond, MaxConns: 20})
	var group sync.WaitGroup
	for worker := range 32 {
		group.Go(func() {
			for i := range 40 {
				nc, err := dialAddress(address)
				if err != nil {
					t.Error(err)
					return
				}
				nc.SetDeadline(time.Now().Add(20 * time.Second))
				for j := range 1 + (worker+i)%4 {
					word := fmt.Sprintf("%d.%d.%d", worker, i, j)
					buf := make([]byte, 64)
					// An eviction or expiry may close the connection, but nobody may hear another's words.
					if _, err := nc.Write([]byte(word)); err != nil {
						break
					}
					n, err := nc.Read(buf)
					if err != nil {
						break
					}
					if string(buf[:n]) != word {
						t.Errorf("said %q, heard %q", word, buf[:n])
					}
				}
				nc.Close()
			}
		})
	}
	group.Wait()
	await(t, "all are gone", func() bool { return stat(set).Open == 0 })
	s := stat(set)
	t.Logf("%+v", s)
	if int(s.Accepted) != 32*40 || len(h.ends()) != 32*40 || s.Parked != 0 {
		t.Errorf("accepted %d, closed %d, parked %d", s.Accepted, len(h.ends()), s.Parked)
	}
	set.lot.mu.Lock()
	defer set.lot.mu.Unlock()
	if len(set.lot.slots) > 20+1 || len(set.lot.free) != len(set.lot.slots) {
		t.Errorf("%d slots, %d of them free, for 20 connections at a time", len(set.lot.slots), len(set.lot.free))
	}
}

func TestStaleEventIsIgnored(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{})
	dial(t, address)
	await(t, "parked", func() bool { return stat(set).Parked == 1 })
	wakeStale(set.lot)
	if stat(set).Parked != 1 {
		t.Error("an event of a former connection in the slot woke the present one")
	}
}

func TestTotalLimitEvictsTheLongestParked(t *testing.T) {
	h := new(echoes)
	set, address, out := start(t, h, Settings{MaxConns: 3})
	var conns []net.Conn
	for i := range 5 {
		nc := dial(t, address)
		say(t, nc, "", "hello")
		conns = append(conns, nc)
		await(t, "parked", func() bool { return stat(set).Parked == min(i+1, 3) })
	}
	over(t, conns[0])
	over(t, conns[1])
	for _, nc := range conns[2:] {
		say(t, nc, "", "still here")
	}
	s := stat(set)
	if s.Evicted != 2 || s.Accepted != 5 || parks && s.PausesLimit != 0 || s.Open != 3 {
		t.Errorf("%+v", s)
	}
	if n := out.count("limits.connections"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

func TestTotalLimitWaitsForBusyOnes(t *testing.T) {
	set, address, _ := start(t, new(echoes), Settings{MaxConns: 2, Sockets: 1})
	a, b := dial(t, address), dial(t, address)
	say(t, a, "", "wait")
	say(t, b, "", "wait")
	c, d := dial(t, address), dial(t, address)
	c.Write([]byte("c"))
	d.Write([]byte("d"))
	await(t, "accepting pauses", func() bool { return stat(set).PausesLimit > 0 })
	if s := stat(set); s.Open != 2 || s.Accepted != 2 {
		t.Errorf("%+v", s)
	}
	// One ends: whoever waits gets its place at once, and the last one when the second becomes idle.
	a.Close()
	hear(t, c, "c")
	say(t, b, "", "done")
	hear(t, d, "d")
}

func TestHigherLimitLetsWaitingOnesIn(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{MaxConns: 1})
	say(t, dial(t, address), "", "wait")
	late := dial(t, address)
	await(t, "accepting pauses", func() bool { return stat(set).PausesLimit > 0 })
	if err := set.Apply([]Settings{{Name: "main", Address: "127.0.0.1:0"}}, map[string]Handler{"main": h}); err != nil {
		t.Fatal(err)
	}
	say(t, late, "", "in")
}

func TestClientLimit(t *testing.T) {
	set, address, out := start(t, new(echoes), Settings{MaxPerClient: 2})
	a, b := dial(t, address), dial(t, address)
	say(t, a, "", "a")
	say(t, b, "", "b")
	for range 2 {
		c := dial(t, address)
		hear(t, c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n")
		over2 := make([]byte, 1024)
		n, _ := c.Read(over2)
		text := string(over2[:n])
		if !strings.Contains(text, "\r\nRetry-After: 5\r\nConnection: close\r\n\r\n{\"type\"") {
			t.Errorf("refused with %q", text)
		}
		over(t, c)
	}
	await(t, "those refused are gone", func() bool { return stat(set).Open == 2 })
	if s := stat(set); s.RefusedClient != 2 {
		t.Errorf("%+v", s)
	}
	if n := out.count("refused with 503"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	a.Close()
	await(t, "the place is free", func() bool { return stat(set).Open == 1 })
	say(t, dial(t, address), "", "in")
}

func TestClientKey(t *testing.T) {
	f := func(a, b string, same bool) {
		t.Helper()
		if (clientKey(netip.MustParseAddr(a)) == clientKey(netip.MustParseAddr(b))) != same {
			t.Errorf("%s and %s: same client is %v", a, b, !same)
		}
	}
	f("192.0.2.1", "192.0.2.1", true)
	f("192.0.2.1", "192.0.2.2", false)
	f("2001:db8::1", "2001:db8::ffff:1", true)
	f("2001:db8::1", "2001:db8:0:1::1", false)
	f("fe80::1%a", "fe80::2%b", true)
}

func TestClientsHoldOnlyThoseConnected(t *testing.T) {
	var c clients
	a := netip.MustParseAddr("192.0.2.1")
	for i, want := range []bool{true, true, false} {
		if c.take(a, 2) != want {
			t.Errorf("taking place %d of two: %v", i+1, !want)
		}
	}
	c.give(a)
	if !c.take(a, 2) {
		t.Error("a place given back was not to be had")
	}
	c.give(a)
	c.give(a)
	if len(c.open) != 0 {
		t.Errorf("left behind: %v", c.open)
	}
}

func TestProxyHeader(t *testing.T) {
	h := &echoes{greet: true}
	set, address, out := start(t, h, Settings{Proxy: prefixes("127.0.0.1/32"), MaxPerClient: 1})
	const line = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
	nc := dial(t, address)
	for _, b := range []byte(line + "hel") { // in as many pieces as possible
		nc.Write([]byte{b})
	}
	hear(t, nc, "192.0.2.7:4711>198.51.100.1:443\n")
	hear(t, nc, "hel")
	say(t, nc, "", "lo")
	// The limit for clients counts the client and not the proxy.
	second := dial(t, address)
	second.Write([]byte(line))
	hear(t, second, "HTTP/1.1 503 ")
	other := dial(t, address)
	other.Write([]byte("PROXY UNKNOWN\r\n"))
	hear(t, other, other.LocalAddr().String()+">"+address+"\n")

	plain := dial(t, address)
	plain.Write([]byte("GET / HTTP/1.1\r\n"))
	over(t, plain)
	dial(t, address).Close() // a health check without a word is no error
	await(t, "the check is over", func() bool { return stat(set).Open == 2 })
	if s := stat(set); s.ProxyErrors != 1 || s.RefusedClient != 1 {
		t.Errorf("%+v", s)
	}
	if n := out.count("no PROXY header"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

func TestProxyBytesBehindTheHeader(t *testing.T) {
	h := new(echoes)
	_, address, _ := start(t, h, Settings{Proxy: prefixes("127.0.0.0/8")})
	nc := dial(t, address)
	nc.Write([]byte("PROXY UNKNOWN\r\nGET /"))
	hear(t, nc, "GET /")
	if _, initial := h.opened(0); initial != "GET /" {
		t.Errorf("initial is %q", initial)
	}
}

func TestProxyHeaderFromStrangersIsContent(t *testing.T) {
	set, address, _ := start(t, new(echoes), Settings{Proxy: prefixes("192.0.2.0/24")})
	nc := dial(t, address)
	say(t, nc, "", "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n")
	if s := stat(set); s.ProxyErrors != 0 {
		t.Errorf("%+v", s)
	}
}

func TestProxyHeaderIsAwaitedForALimitedTime(t *testing.T) {
	set, address, _ := start(t, new(echoes), Settings{Proxy: prefixes("127.0.0.0/8"), ProxyTimeout: time.Millisecond})
	over(t, dial(t, address))
	await(t, "counted", func() bool { return stat(set).ProxyErrors == 1 })
}

func TestUnixSocket(t *testing.T) {
	path := "unix:" + t.TempDir() + "/s"
	set, address, _ := start(t, &echoes{greet: true}, Settings{Address: path, MaxPerClient: 1, Proxy: prefixes("192.0.2.0/24")})
	if address != path {
		t.Fatalf("listens on %s", address)
	}
	var all []net.Conn
	for i := range 3 { // the limit for clients knows no unix sockets
		nc := dial(t, address)
		nc.Write([]byte("PROXY UNKNOWN\r\n"))
		hear(t, nc, "invalid AddrPort>invalid AddrPort\n")
		await(t, "parked", func() bool { return stat(set).Parked == i+1 })
		all = append(all, nc)
	}
	for _, nc := range all {
		say(t, nc, "", "hello")
	}
}

func TestIPv6(t *testing.T) {
	f := func(listenOn, from string, reachable bool) {
		t.Helper()
		h := &echoes{greet: true}
		_, address, _ := start(t, h, Settings{Address: listenOn})
		_, port, _ := net.SplitHostPort(address)
		nc, err := dialAddress(net.JoinHostPort(from, port))
		if (err == nil) != reachable {
			t.Errorf("%s reached from %s: %v", listenOn, from, err)
		}
		if err == nil {
			hear(t, nc, nc.LocalAddr().String()+">") // never as IPv4 in IPv6
			nc.Close()
		}
	}
	if nc, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here")
	} else {
		nc.Close()
	}
	f("[::1]:0", "::1", true)
	f(":0", "::1", true)
	f(":0", "127.0.0.1", true)
	f("[::]:0", "::1", true)
	f("[::]:0", "127.0.0.1", false)
	f("0.0.0.0:0", "127.0.0.1", true)
	f("0.0.0.0:0", "::1", false)
}

func TestCrowded(t *testing.T) {
	g := Gate{l: new(listener)}
	g.l.running.Store(crowd)
	if g.Crowded() {
		t.Error("crowded at the bound")
	}
	g.l.running.Add(1)
	if !g.Crowded() {
		t.Error("not crowded above the bound")
	}
}
