package listen

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestABusyBoxBlamesNobody has a client whose words wait for a turn until it is too late.
func TestABusyBoxBlamesNobody(t *testing.T) {
	own, pool := issued(t, "straum.test")
	secure := &TLS{Config: &tls.Config{Certificates: []tls.Certificate{own}}, Timeout: 50 * time.Millisecond}
	w, set, address := guarded(t, new(echoes), Settings{TLS: secure})
	for range cap(set.turns) {
		set.turns <- struct{}{} // handshakes of others compute
	}
	// One record in two pieces: after the first is read, its reader waits for a turn.
	hello := make(chan []byte, 1)
	go tls.Client(&captured{hello: hello}, &tls.Config{RootCAs: pool, ServerName: "straum.test"}).HandshakeContext(t.Context())
	whole := <-hello
	nc := dial(t, address)
	nc.Write(whole[:20])
	await(t, "the first piece is read", func() bool { got, unread := arrived(t, set); return got == 20 && unread == 0 })
	nc.Write(whole[20:])
	await(t, "the second piece is there", func() bool { _, unread := arrived(t, set); return unread == len(whole)-20 })
	<-time.After(2 * secure.Timeout) // the time of the handshake is over
	for range cap(set.turns) {
		<-set.turns
	}
	awaitOutcome(t, set, Late, 1)
	if told, _ := w.hears(t, 0); len(told) != 0 {
		t.Errorf("told of %v", told)
	}
}

// arrived is how many bytes have come on the only connection, and how many of them nobody has read.
func arrived(t *testing.T, set *Set) (all, unread int) {
	t.Helper()
	for _, s := range set.lot.all() {
		s.Raw().Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			if err != nil {
				t.Fatal(err)
			}
			all = int(info.Bytes_received)
			if unread, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ); err != nil {
				t.Fatal(err)
			}
		})
	}
	return all, unread
}

// TestAFloodOfTheBanned has good clients wait in the queue among banned ones: they are served as ever.
func TestAFloodOfTheBanned(t *testing.T) {
	w, set, address := guarded(t, new(echoes), Settings{MaxConns: 1, Sockets: 1})
	w.ban("127.0.0.5", true)
	// While the only place is taken by a busy one, and another has been accepted and waits for it, a queue forms.
	busy := dial(t, address)
	say(t, busy, "", "wait")
	second := dial(t, address)
	await(t, "accepting pauses", func() bool { return stat(set).PausesLimit > 0 })
	var bad, good []net.Conn
	const pairs = maxSwept + 50
	for range pairs {
		bad = append(bad, from(t, "127.0.0.5", address))
	}
	for range 20 {
		good = append(good, from(t, "127.0.0.6", address))
		bad = append(bad, from(t, "127.0.0.5", address), from(t, "127.0.0.5", address))
	}
	if err := set.Apply([]Settings{{Name: "main", Address: "127.0.0.1:0", Sockets: 1}}, map[string]Handler{"main": new(echoes)}); err != nil {
		t.Fatal(err)
	}
	say(t, second, "", "in")
	for _, nc := range good {
		say(t, nc, "", "hello")
	}
	for _, nc := range bad {
		reset(t, nc)
	}
	if s := stat(set); int(s.Dropped) != len(bad) || s.Accepted != 22 {
		t.Errorf("%d of %d dropped; %+v", s.Dropped, len(bad), s)
	}
	// Those that were swept through are as those that were accepted.
	for _, s := range set.lot.all() {
		s.Raw().Control(func(fd uintptr) {
			for option, want := range map[int]int{unix.TCP_KEEPIDLE: probeAfter, unix.TCP_KEEPINTVL: probeInterval, unix.TCP_KEEPCNT: probeCount, unix.TCP_NODELAY: 1} {
				if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option); err != nil || (got != 0) != (want != 0) || option != unix.TCP_NODELAY && got != want {
					t.Errorf("option %d is %d, %v; want %d", option, got, err, want)
				}
			}
			if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("flags %x, %v", flags, err)
			}
		})
	}
}

// TestNoDescriptorForOneThatIsHeld has to wait until there is one.
func TestNoDescriptorForOneThatIsHeld(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	set, _ := empty(t)
	w := &watch{}
	set.Watch(w)
	a := &acceptor{l: &listener{set: set}, ln: ln.(queue)}
	nc := dial(t, ln.Addr().String())
	await(t, "it is swept through", func() bool { a.sweep(); return a.held != nil })

	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: was.Max}); err != nil {
		t.Skipf("the limit cannot be lowered: %v", err)
	}
	_, refused := a.next()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if !exhausted(refused) || a.held == nil {
		t.Fatalf("without a descriptor: %v, held %v", refused, a.held)
	}
	got, err := a.next()
	if err != nil || a.held != nil {
		t.Fatalf("%v, held %v", err, a.held)
	}
	io.WriteString(got, "hello")
	hear(t, nc, "hello")
	got.Close()
}

// BenchmarkDrop is what a connection from a banned address costs the gateway when many wait: accepting it, asking the guard, and the
// reset. The clients' part is not in it, but that on loopback the reset is delivered on our time, which is about a third.
func BenchmarkDrop(b *testing.B) {
	set, _ := empty(b)
	set.Watch(everybody{})
	l := &listener{set: set}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	adjust(ln.(queue), &Settings{Address: "127.0.0.1:0"})
	a := &acceptor{l: l, ln: ln.(queue)}
	to := &unix.SockaddrInet4{Port: ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	var clients [1000]int
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		b.StopTimer()
		n := min(len(clients), b.N-done)
		for i := range n {
			if clients[i], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err == nil {
				err = unix.Connect(clients[i], to)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		for goal := uint64(done + n); l.dropped.Load() < goal; a.sweep() {
			nc, err := a.next()
			if err != nil || !l.drops(nc) {
				b.Fatal("not dropped", err)
			}
		}
		b.StopTimer()
		for _, fd := range clients[:n] {
			unix.Close(fd)
		}
		done += n
		b.StartTimer()
	}
}

type everybody struct{}

func (everybody) Drops(netip.Addr) bool         { return true }
func (everybody) Abandoned(netip.Addr, Outcome) {}
