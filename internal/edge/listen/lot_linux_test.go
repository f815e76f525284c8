package listen

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"straum.dev/straum/internal/edge/socket"
)

// parks says that parked connections hold no goroutine.
const parks = true

var roles = map[string]func(){
	"dial": dialMany,
	"few":  serveWithFewDescriptors,
}

// wakeStale delivers an event for the connection that had slot 0 before the present one.
func wakeStale(t *lot) {
	t.mu.Lock()
	generation := t.slots[0].generation - 1
	t.mu.Unlock()
	t.wake([]unix.EpollEvent{{Events: unix.EPOLLIN, Fd: 0, Pad: int32(generation)}})
}

// cork holds back what is written until more comes or the end.
func cork(t *testing.T, nc net.Conn) {
	rc, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestWakingWhileBeingParked(t *testing.T) {
	set, _, _ := start(t, new(echoes), Settings{})
	set.mu.Lock()
	c := &conn{l: set.live[0]}
	set.mu.Unlock()
	set.lot.enter(c)
	defer set.lot.leave(c)
	set.lot.mu.Lock()
	c.place.state = arming
	set.lot.mu.Unlock()
	set.lot.wake([]unix.EpollEvent{{Events: unix.EPOLLIN, Fd: int32(c.place.slot), Pad: int32(c.place.generation)}})
	if c.place.state != woken {
		t.Error("the event was lost")
	}
}

func TestHandshakesAreRefusedAndQueuedOnesKept(t *testing.T) {
	sockets, _, err := openSockets(&Settings{Address: "127.0.0.1:0"}, 1, "", true)
	if err != nil {
		t.Fatal(err)
	}
	ln := sockets[0]
	defer ln.Close()
	dial(t, ln.Addr().String())
	refuseHandshakes(ln)
	if nc, err := net.DialTimeout("tcp", ln.Addr().String(), 20*time.Millisecond); err == nil {
		nc.Close()
		t.Error("a handshake was let through")
	}
	if !waiting(ln) {
		t.Error("the connection queued before is not there any more")
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if waiting(ln) {
		t.Error("there is a second one")
	}
}

// dialMany opens as many connections as its second argument says, without Go's poller, and holds them until its input ends.
func dialMany() {
	to := netip.MustParseAddrPort(os.Args[1])
	n, _ := strconv.Atoi(os.Args[2])
	sa := &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	for i := range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			// No port is left waiting at the end: the test leaves with resets.
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			// Several addresses, because one may have too few ports left.
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(1 + i/1000)}})
		}
		if err == nil {
			err = unix.Connect(fd, sa)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
}

func residentKB(t *testing.T) int {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kb, _ := strconv.Atoi(strings.Fields(after)[0])
	return kb
}

func TestParkedConnectionsAreSmall(t *testing.T) {
	n, limit := 15_000, 2048
	if testing.Short() || raceEnabled {
		n = 1000
	}
	h := openFunc(func(c *socket.Conn) Session { return bare{c} })
	set, address, _ := start(t, h, Settings{IdleTimeout: time.Hour})
	var before, after runtime.MemStats
	rss := residentKB(t)
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	from := time.Now()
	in, out := child(t, "dial", address, strconv.Itoa(n))
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	defer func() { t.Logf("%+v", stat(set)) }()
	await(t, "all are parked", func() bool { return stat(set).Parked == n && stat(set).Goroutines == 0 })
	took := time.Since(from)
	rss = residentKB(t) - rss
	runtime.ReadMemStats(&after)
	memory := int(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse) / n
	t.Logf("%d parked in %v: heap %d B, stacks %d B, together %d B, RSS %d B a connection; %d goroutines more", n, took,
		int(after.HeapAlloc-before.HeapAlloc)/n, (int(after.StackInuse)-int(before.StackInuse))/n, memory, rss*1024/n,
		runtime.NumGoroutine()-goroutines)
	if !raceEnabled && memory > limit {
		t.Errorf("a parked connection takes %d B of Go memory; at most %d are wanted", memory, limit)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 10 {
		t.Errorf("%d goroutines for %d parked connections", more, n)
	}
	in.Close()
	await(t, "all are gone", func() bool { return stat(set).Open == 0 })
}

// serveWithFewDescriptors listens with room for a few connections only, tells the address, and the figures when its input ends.
func serveWithFewDescriptors() {
	set, err := New(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1})))
	if err == nil {
		err = set.Apply([]Settings{{Name: "few", Address: "127.0.0.1:0"}}, map[string]Handler{"few": new(echoes)})
	}
	if err == nil {
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 48, Max: 48})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(set.Stats()[0].Address)
	os.Stdin.Read(make([]byte, 1))
	json.NewEncoder(os.Stdout).Encode(set.Stats()[0])
}

func TestDescriptorsRunOut(t *testing.T) {
	in, out := child(t, "few")
	lines := bufio.NewReader(out)
	address, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)

	// Idle connections give way: each new one is served, however many there have been.
	var idle []net.Conn
	for range 100 {
		nc := dial(t, address)
		say(t, nc, "", "hello")
		idle = append(idle, nc)
	}
	over(t, idle[0])
	say(t, idle[99], "", "still here")

	// Busy ones do not: the others wait in the kernel's queue, and all are served in the end.
	var busy []net.Conn
	for range 100 {
		nc := dial(t, address)
		nc.Write([]byte("wait"))
		busy = append(busy, nc)
	}
	answered := make(chan int)
	for i, nc := range busy {
		go func() {
			buf := make([]byte, 4)
			if n, err := nc.Read(buf); err != nil || string(buf[:n]) != "wait" {
				t.Errorf("connection %d heard %q, %v", i, buf[:n], err)
			}
			nc.Close()
			answered <- i
		}()
	}
	for range busy {
		<-answered
	}
	in.Close()
	var s Stats
	if err := json.NewDecoder(lines).Decode(&s); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", s)
	if s.Accepted != 200 || s.Evicted < 50 || s.PausesDescriptors == 0 {
		t.Errorf("%+v", s)
	}
}

func TestSocketOptionsAreInherited(t *testing.T) {
	got := make(chan [4]int, 1)
	h := openFunc(func(c *socket.Conn) Session {
		var v [4]int
		c.Raw().Control(func(fd uintptr) {
			v[0], _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			v[1], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			v[2], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
			v[3], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
		})
		got <- v
		return bare{c}
	})
	_, address, _ := start(t, h, Settings{})
	dial(t, address)
	if v := <-got; v != [4]int{1, probeAfter, probeInterval, 1} {
		t.Errorf("SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_NODELAY are %v", v)
	}
}

func TestBacklogAndFastOpen(t *testing.T) {
	h := new(echoes)
	set, _, _ := start(t, h, Settings{Backlog: 17, Sockets: 3, FastOpen: 64})
	somaxconn, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Fatal(err)
	}
	fast := FastOpenForbidden
	if kernelFastOpens() {
		fast = FastOpenOn
	}
	if s := stat(set); s.Backlog != 17 || s.Sockets != 3 || s.FastOpen != fast {
		t.Errorf("%+v", s)
	}
	if err := set.Apply([]Settings{{Name: "main", Address: "127.0.0.1:0"}}, map[string]Handler{"main": h}); err != nil {
		t.Fatal(err)
	}
	if s := stat(set); strconv.Itoa(s.Backlog) != strings.TrimSpace(string(somaxconn)) || s.FastOpen != FastOpenOff {
		t.Errorf("%+v", s)
	}
}
