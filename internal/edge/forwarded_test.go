package edge

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/gaissmai/bart"

	"straum.dev/straum/internal/edge/exchange"
)

func TestParseHop(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		a, ok := parseHop(text)
		got := ""
		if ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	f("192.0.2.1", "192.0.2.1")
	f("192.0.2.1:8080", "192.0.2.1")
	f("192.0.2.1:65535", "192.0.2.1")
	f("2001:db8::1", "2001:db8::1")
	f("[2001:db8::1]", "2001:db8::1")
	f("[2001:db8::1]:443", "2001:db8::1")
	f("::ffff:192.0.2.1", "192.0.2.1")
	f("[::ffff:192.0.2.1]:80", "192.0.2.1")
	f("fe80::1%eth0", "fe80::1")
	f("[fe80::1%eth0]:80", "fe80::1")
	for _, bad := range []string{"", "unknown", "_hidden", "192.0.2", "192.0.2.256", "192.0.2.01", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:x", "192.0.2.1:-1",
		"192.0.2.1:+80", "192.0.2.1%eth0", "[192.0.2.1]", "[192.0.2.1]:80", "[2001:db8::1", "[2001:db8::1]443", "[2001:db8::1]:", "2001:db8::1]", "[]", "[:]", "::1::2",
		" 192.0.2.1", "192.0.2.1 ", `"192.0.2.1"`, "for=192.0.2.1", ":80", "%", "a%b"} {
		f(bad, "")
	}
}

// walk makes a trip of a request from peer with these X-Forwarded-For lines, through a listener that trusts 10.0.0.0/8 and fd00::/8.
func walk(peer string, lines ...string) *trip {
	trusted := new(bart.Lite)
	for _, p := range []string{"10.0.0.0/8", "fd00::/8"} {
		trusted.Insert(netip.MustParsePrefix(p))
	}
	conn := &exchange.Conn{Local: netip.MustParseAddrPort("192.0.2.80:8443")}
	if peer != "" {
		conn.Peer = netip.AddrPortFrom(netip.MustParseAddr(peer), 4000)
	}
	x := &exchange.Exchange{}
	x.Begin(conn, 1)
	x.Request.Scheme = "http"
	x.Request.Header.Add("Host", "api.example.com")
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			name, value = "X-Forwarded-For", line
		}
		x.Request.Header.Add(name, value)
	}
	t := &trip{set: &ListenerSettings{Trusted: trusted}, x: x}
	t.believed = t.set.believes(conn.Peer.Addr())
	x.Client = t.client()
	return t
}

func TestClient(t *testing.T) {
	f := func(peer string, lines []string, want string) {
		t.Helper()
		got := walk(peer, lines...).x.Client
		if text := got.String(); text != want && !(want == "" && !got.IsValid()) {
			t.Errorf("%s behind %q is %s, want %s", peer, lines, text, want)
		}
	}
	list := func(lines ...string) []string { return lines }
	// Nobody's word counts but that of those we trust.
	f("192.0.2.1", nil, "192.0.2.1")
	f("192.0.2.1", list("198.51.100.7"), "192.0.2.1")
	f("192.0.2.1", list("10.0.0.1, 10.0.0.2"), "192.0.2.1")
	f("10.0.0.1", nil, "10.0.0.1")
	f("10.0.0.1", list("198.51.100.7"), "198.51.100.7")
	f("fd00::1", list("2001:db8::7"), "2001:db8::7")
	// From the right, through the trusted, to the first that is not; what stands left of it may be made up.
	f("10.0.0.1", list("203.0.113.9, 198.51.100.7"), "198.51.100.7")
	f("10.0.0.1", list("203.0.113.9, 198.51.100.7, 10.0.0.3,10.0.0.2"), "198.51.100.7")
	f("10.0.0.1", list("203.0.113.9", "198.51.100.7", "10.0.0.2"), "198.51.100.7")
	f("10.0.0.1", list("10.0.0.9, 198.51.100.7, 10.0.0.2"), "198.51.100.7")
	// All trusted: the farthest.
	f("10.0.0.1", list("10.0.0.4, 10.0.0.3"), "10.0.0.4")
	// A bad token ends the walk at the last good one.
	f("10.0.0.1", list("198.51.100.7, unknown"), "10.0.0.1")
	f("10.0.0.1", list("198.51.100.7, unknown, 10.0.0.2"), "10.0.0.2")
	f("10.0.0.1", list("198.51.100.7, , 10.0.0.2"), "10.0.0.2")
	f("10.0.0.1", list("198.51.100.7,"), "10.0.0.1")
	f("10.0.0.1", list("198.51.100.7", ""), "10.0.0.1")
	f("10.0.0.1", list("198.51.100.7", "bad token", "10.0.0.2"), "10.0.0.2")
	f("10.0.0.1", list(""), "10.0.0.1")
	// Forms.
	f("10.0.0.1", list("198.51.100.7:1234"), "198.51.100.7")
	f("10.0.0.1", list("198.51.100.7, \t10.0.0.2:80 "), "198.51.100.7")
	f("10.0.0.1", list("2001:db8::7, [fd00::2]:80"), "2001:db8::7")
	f("10.0.0.1", list("::ffff:198.51.100.7, ::ffff:10.0.0.2"), "198.51.100.7")
	f("10.0.0.1", list("2001:db8::7%evil, fd00::2%eth0"), "2001:db8::7")
	// A peer on a unix socket has no address; here some are trusted, so it is.
	f("", nil, "")
	f("", list("198.51.100.7"), "198.51.100.7")
	f("", list("bad"), "")
	// So many hops and no more.
	f("10.0.0.1", list("198.51.100.7"+strings.Repeat(",10.0.0.2", maxHops-1)), "198.51.100.7")
	f("10.0.0.1", list("198.51.100.7"+strings.Repeat(",10.0.0.2", maxHops)), "10.0.0.2")
}

func TestForwardedFields(t *testing.T) {
	f := func(peer string, lines []string, want string) {
		t.Helper()
		trip := walk(peer, lines...)
		got := string(trip.appendForwarded(nil))
		if want = strings.ReplaceAll(strings.TrimLeft(want, "\n"), "\n", "\r\n"); got != want {
			t.Errorf("%s with %q: got\n%s\nwant\n%s", peer, lines, got, want)
		}
	}
	spoof := []string{"198.51.100.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1", "X-Real-IP: 198.51.100.7", "Forwarded: for=198.51.100.7"}
	const own = `
X-Forwarded-For: 192.0.2.1
X-Forwarded-Proto: http
X-Forwarded-Host: api.example.com
X-Forwarded-Port: 8443
X-Real-IP: 192.0.2.1
Forwarded: for=192.0.2.1;proto=http
`
	f("192.0.2.1", nil, own)
	f("192.0.2.1", spoof, own)
	f("10.0.0.1", spoof, `
X-Forwarded-For: 198.51.100.7, 10.0.0.1
X-Forwarded-Proto: https
X-Forwarded-Host: evil.example
X-Forwarded-Port: 1
X-Real-IP: 198.51.100.7
Forwarded: for=198.51.100.7, for=10.0.0.1;proto=http
`)
	f("fd00::1", []string{"198.51.100.7", "10.0.0.2", "Forwarded: for=a", `Forwarded: for="[::1]"`}, `
X-Forwarded-For: 198.51.100.7, 10.0.0.2, fd00::1
X-Forwarded-Proto: http
X-Forwarded-Host: api.example.com
X-Forwarded-Port: 8443
X-Real-IP: 198.51.100.7
Forwarded: for=a, for="[::1]", for="[fd00::1]";proto=http
`)
	f("", []string{"bad"}, `
X-Forwarded-For: bad, unknown
X-Forwarded-Proto: http
X-Forwarded-Host: api.example.com
X-Forwarded-Port: 8443
Forwarded: for=unknown;proto=http
`)
}

// On a listener that trusts nobody, a unix socket's peer is nobody either.
func TestUnixPeerTrustedOnlyWithOthers(t *testing.T) {
	trip := walk("", "198.51.100.7")
	trip.set = &ListenerSettings{}
	if trip.set.believes(netip.Addr{}) {
		t.Error("believed")
	}
}

// Whatever the fields hold: the client is the peer or an address in the list with only trusted ones to its right, and the lines sent
// on are six well-formed fields.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"", "198.51.100.7", "198.51.100.7, 10.0.0.2", "10.0.0.3,[fd00::1]:80\n10.0.0.2:1", "a%b, ::ffff:10.1.1.1", "unknown,,", "[::1", "1.2.3.4:99999", "fe80::1%x\n"} {
		f.Add("10.0.0.1", seed)
		f.Add("192.0.2.1", seed)
	}
	f.Fuzz(func(t *testing.T, peer, text string) {
		address, err := netip.ParseAddr(peer)
		if err != nil || address.Zone() != "" || strings.ContainsAny(text, "\r\x00:") && strings.Contains(text, ": ") {
			return
		}
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			lines[i] = "X-Forwarded-For: " + strings.Trim(strings.Map(func(r rune) rune {
				if r < ' ' && r != '\t' {
					return -1
				}
				return r
			}, line), " \t")
		}
		trip := walk(peer, lines...)
		client := trip.x.Client
		if want := naive(trip.set, address, lines); client != want {
			t.Fatalf("%s behind %q: %v, a slower walk says %v", peer, lines, client, want)
		}
		sent := string(trip.appendForwarded(nil))
		for line := range strings.SplitAfterSeq(strings.TrimSuffix(sent, "\r\n"), "\r\n") {
			name, _, ok := strings.Cut(line, ": ")
			if !ok || !strings.HasPrefix(name, "X-") && name != "Forwarded" {
				t.Fatalf("a line of its own: %q in %q", line, sent)
			}
		}
		if client.IsValid() && !strings.Contains(sent, "\r\nX-Real-IP: "+client.String()+"\r\n") {
			t.Fatalf("%q", sent)
		}
	})
}

// naive is the walk as one would write it without regard to cost.
func naive(l *ListenerSettings, peer netip.Addr, lines []string) netip.Addr {
	if !l.trusts(peer) {
		return peer
	}
	var all []string
	for _, line := range lines {
		all = append(all, strings.Split(strings.TrimPrefix(line, "X-Forwarded-For: "), ",")...)
	}
	client := peer
	for n := 1; len(all) > 0 && n <= maxHops; n++ {
		a, ok := parseHop(strings.Trim(all[len(all)-1], " \t"))
		if !ok {
			break
		}
		client = a
		if !l.trusts(a) {
			break
		}
		all = all[:len(all)-1]
	}
	return client
}

func FuzzParseHop(f *testing.F) {
	for _, seed := range []string{"192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80", "fe80::1%a", "::ffff:1.2.3.4", "[::]", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := parseHop(s)
		if !ok {
			return
		}
		if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			t.Fatalf("%q is %v", s, a)
		}
		// What net/netip takes whole, or with a port, means the same here.
		if whole, err := netip.ParseAddr(s); err == nil && whole.Unmap().WithZone("") != a {
			t.Fatalf("%q is %v, netip says %v", s, a, whole)
		} else if ported, perr := netip.ParseAddrPort(s); err != nil && perr == nil && ported.Addr().Unmap().WithZone("") != a {
			t.Fatalf("%q is %v, netip says %v", s, a, ported)
		}
	})
}

func TestParseHopAllocatesNothing(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "192.0.2.1:80", "[2001:db8::1%eth0]:80"} {
		if n := testing.AllocsPerRun(100, func() { parseHop(s) }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}
