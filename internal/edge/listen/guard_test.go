package listen

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// watch is a guard that a test gives orders to.
type watch struct {
	mu     sync.Mutex
	banned map[netip.Addr]bool
	asked  []netip.Addr
	told   []Outcome
	about  []netip.Addr
}

func (w *watch) Drops(a netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, a)
	return w.banned[a]
}

func (w *watch) Abandoned(a netip.Addr, how Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told, w.about = append(w.told, how), append(w.about, a)
}

// hears awaits that it was told so often, which comes after the outcome is counted, and returns what of and about whom.
func (w *watch) hears(t *testing.T, n int) (told []Outcome, about []netip.Addr) {
	t.Helper()
	await(t, "it is told of", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		told, about = slices.Clone(w.told), slices.Clone(w.about)
		return len(told) >= n
	})
	return told, about
}

func (w *watch) ban(address string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.banned == nil {
		w.banned = map[netip.Addr]bool{}
	}
	w.banned[netip.MustParseAddr(address)] = on
}

func (w *watch) questions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

// guarded is start with somebody who watches the doors.
func guarded(t testing.TB, h Handler, s Settings) (*watch, *Set, string) {
	t.Helper()
	w := &watch{}
	set, _ := empty(t)
	set.Watch(w)
	s.Name = "main"
	if s.Address == "" {
		s.Address = "127.0.0.1:0"
	}
	if err := set.Apply([]Settings{s}, map[string]Handler{s.Name: h}); err != nil {
		t.Fatal(err)
	}
	return w, set, set.Stats()[0].Address
}

// from dials from an address.
func from(t *testing.T, source, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	nc, err := d.Dial("tcp", address)
	if err != nil {
		t.Skipf("no connection from %s here: %v", source, err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return nc
}

// reset wants the connection to have been reset, not ended.
func reset(t *testing.T, nc net.Conn) {
	t.Helper()
	if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection fails with %v; want a reset", err)
	}
}

// shutOut wants a connection from an address to be reset. That may be sooner than the dialer says that it is there.
func shutOut(t *testing.T, source, address string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	nc, err := d.Dial("tcp", address)
	switch {
	case errors.Is(err, syscall.ECONNRESET):
	case err != nil:
		t.Skipf("no connection from %s here: %v", source, err)
	default:
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		reset(t, nc)
	}
}

func TestTheBannedAreReset(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", ":0"} { // on the second, IPv4 comes as IPv6
		h := new(echoes)
		w, set, _ := guarded(t, h, Settings{Address: address})
		_, port, _ := net.SplitHostPort(set.Stats()[0].Address)
		to := net.JoinHostPort("127.0.0.1", port)
		w.ban("127.0.0.5", true)
		before := from(t, "127.0.0.6", to)
		say(t, before, "", "hello")
		shutOut(t, "127.0.0.5", to)
		shutOut(t, "127.0.0.5", to)
		w.ban("127.0.0.6", true)
		say(t, before, "", "still here") // who is in is the flow's to judge
		shutOut(t, "127.0.0.6", to)
		w.ban("127.0.0.5", false)
		say(t, from(t, "127.0.0.5", to), "", "hello")
		if s := stat(set); s.Dropped != 3 || s.Accepted != 2 || s.Open != 2 {
			t.Errorf("%+v", s)
		}
	}
}

// TestTheBannedTakeNoPlace comes when the listener is full.
func TestTheBannedTakeNoPlace(t *testing.T) {
	w, set, address := guarded(t, new(echoes), Settings{MaxConns: 1, Sockets: 1})
	w.ban("127.0.0.5", true)
	only := dial(t, address)
	say(t, only, "", "wait") // busy, so it cannot be evicted
	for range 5 {
		shutOut(t, "127.0.0.5", address)
	}
	say(t, only, "", "still here")
	if s := stat(set); s.PausesLimit != 0 || s.Dropped != 5 {
		t.Errorf("%+v", s)
	}
}

func TestTheBannedBehindAProxy(t *testing.T) {
	h := new(echoes)
	w, set, address := guarded(t, h, Settings{Proxy: prefixes("127.0.0.0/8")})
	w.ban("203.0.113.9", true)
	told := func(client string) net.Conn {
		nc := dial(t, address)
		io.WriteString(nc, "PROXY TCP4 "+client+" 192.0.2.2 1000 443\r\n")
		return nc
	}
	reset(t, told("203.0.113.9"))
	nc := told("203.0.113.10")
	say(t, nc, "", "hello")
	w.ban("127.0.0.1", true) // the proxy itself
	shutOut(t, "127.0.0.1", address)
	await(t, "the dropped are gone", func() bool { return stat(set).Open == 1 })
	if s := stat(set); s.Dropped != 2 || s.ProxyErrors != 0 {
		t.Errorf("%+v", s)
	}
	if w.asked[0] != netip.MustParseAddr("127.0.0.1") || w.asked[1] != netip.MustParseAddr("203.0.113.9") {
		t.Errorf("asked about %v", w.asked)
	}
}

func TestAUnixSocketHasNoAddressToBan(t *testing.T) {
	w, set, address := guarded(t, new(echoes), Settings{Address: "unix:" + t.TempDir() + "/s"})
	say(t, dial(t, address), "", "hello")
	if w.questions() != 0 || stat(set).Dropped != 0 {
		t.Errorf("asked about %v", w.asked)
	}
}

// half begins a handshake and leaves when our half of it is there.
func half(t *testing.T, nc net.Conn) {
	t.Helper()
	hello := make(chan []byte, 1)
	go tls.Client(&captured{hello: hello}, &tls.Config{ServerName: "straum.test"}).HandshakeContext(t.Context())
	nc.Write(<-hello)
	if _, err := io.ReadFull(nc, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

// captured takes the first thing said and answers nothing.
type captured struct {
	net.Conn
	hello chan []byte
}

func (c *captured) Write(p []byte) (int, error) {
	c.hello <- append([]byte(nil), p...)
	return len(p), nil
}

func (c *captured) Read([]byte) (int, error)    { return 0, io.EOF }
func (c *captured) Close() error                { return nil }
func (c *captured) SetDeadline(time.Time) error { return nil }

// TestWhoIsToldOf tells handshakes that their clients spoiled from those that may be our fault, or nobody's.
func TestWhoIsToldOf(t *testing.T) {
	own, pool := issued(t, "straum.test")
	secure := &TLS{Config: &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}, Timeout: time.Minute}
	w, set, address := guarded(t, new(echoes), Settings{TLS: secure})
	outcome := func(o Outcome, n uint64) {
		t.Helper()
		awaitOutcome(t, set, o, n)
	}

	dial(t, address).Close() // a monitor
	outcome(Gone, 1)
	tls.Client(dial(t, address), &tls.Config{ServerName: "straum.test"}).Handshake() // does not like the certificate, and says so
	outcome(Refused, 1)
	tls.Client(dial(t, address), &tls.Config{RootCAs: pool, ServerName: "straum.test", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}).Handshake()
	outcome(Failed, 1)
	nc := tls.Client(dial(t, address), &tls.Config{RootCAs: pool, ServerName: "straum.test"})
	say(t, nc, "", "hello")
	nc.Close()
	await(t, "all is over", func() bool { return stat(set).Open == 0 })
	if told, _ := w.hears(t, 0); len(told) != 0 {
		t.Errorf("told of %v, which nobody is to blame for", told)
	}

	half(t, dial(t, address))
	outcome(Gone, 2)
	dial(t, address).Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
	outcome(NoTLS, 1)
	await(t, "all is over", func() bool { return stat(set).Open == 0 })
	if told, about := w.hears(t, 2); len(told) != 2 || !slices.Contains(told, Gone) || !slices.Contains(told, NoTLS) || about[0] != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("told of %v by %v", told, about)
	}

	// Where there is so little time, all that is slow is late: nothing else is tried there.
	short := *secure
	short.Timeout = 100 * time.Millisecond
	w, set, address = guarded(t, new(echoes), Settings{TLS: &short})
	over(t, dial(t, address)) // says nothing
	awaitOutcome(t, set, Late, 1)
	await(t, "all is over", func() bool { return stat(set).Open == 0 })
	if told, _ := w.hears(t, 1); len(told) != 1 || told[0] != Late {
		t.Errorf("told of %v", told)
	}
}
