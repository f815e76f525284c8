package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestApplyIsAllOrNothing(t *testing.T) {
	h := &echoes{prefix: "old "}
	set, address, _ := start(t, h, Settings{})
	parked := dial(t, address)
	await(t, "parked", func() bool { return stat(set).Parked == 1 })
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	free := "unix:" + dir + "/free"

	fresh := &echoes{prefix: "new "}
	err = set.Apply([]Settings{
		{Name: "main", Address: "127.0.0.1:0", MaxConns: 1, IdleTimeout: time.Nanosecond},
		{Name: "free", Address: free},
		{Name: "taken", Address: taken.Addr().String()},
	}, map[string]Handler{"main": fresh, "free": fresh, "taken": fresh})
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("applied with %v", err)
	}
	if all := set.Stats(); len(all) != 1 || all[0].Open != 1 {
		t.Errorf("after a failure: %+v", all)
	}
	if _, err := os.Lstat(dir + "/free"); err == nil {
		t.Error("a failure left a socket behind")
	}
	say(t, parked, "old ", "hello")
	say(t, dial(t, address), "old ", "hello")
}

func TestApplyChangesLiveListeners(t *testing.T) {
	set, address, _ := start(t, &echoes{prefix: "old "}, Settings{Sockets: 1})
	parked := dial(t, address)
	say(t, parked, "old ", "hello")
	change := func(name string, sockets int, prefix string) {
		t.Helper()
		err := set.Apply([]Settings{{Name: name, Address: "127.0.0.1:0", Sockets: sockets}}, map[string]Handler{name: &echoes{prefix: prefix}})
		if err != nil {
			t.Fatal(err)
		}
		if s := stat(set); s.Name != name || s.Address != address || runtime.GOOS == "linux" && s.Sockets != sockets {
			t.Errorf("%+v", s)
		}
	}
	change("renamed", 4, "new ")
	for range 16 { // with four sockets, some of them land on each
		say(t, dial(t, address), "new ", "hello")
	}
	say(t, parked, "old ", "hello")
	change("again", 1, "newer ")
	for range 4 {
		say(t, dial(t, address), "newer ", "hello")
	}
	await(t, "the other sockets are closed", func() bool {
		set.Stats()
		set.mu.Lock()
		defer set.mu.Unlock()
		return len(set.live[0].stopping) == 0
	})
	for range 4 {
		say(t, dial(t, address), "newer ", "hello")
	}
}

func TestRemovedListenerLosesNobody(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{MaxConns: 2, Sockets: 1})
	set.handshake = 1 // so that the queue is still full when the time for handshakes is over
	busy := []net.Conn{dial(t, address), dial(t, address)}
	for _, nc := range busy {
		say(t, nc, "", "wait")
	}
	// These wait, one in hand and the others in the kernel, when the listener is removed.
	var queued []net.Conn
	for range 10 {
		nc := dial(t, address)
		nc.Write([]byte("hello"))
		queued = append(queued, nc)
	}
	await(t, "accepting pauses", func() bool { return stat(set).PausesLimit > 0 })
	other := Settings{Name: "other", Address: "127.0.0.2:0"}
	if err := set.Apply([]Settings{other}, map[string]Handler{"other": h}); err != nil {
		t.Fatal(err)
	}
	if all := set.Stats(); len(all) != 2 || all[0].Name != "other" || !all[1].Draining {
		t.Fatalf("%+v", all)
	}
	for _, nc := range busy { // they go on until their next point between requests
		say(t, nc, "", "done")
		over(t, nc)
	}
	for _, nc := range queued {
		hear(t, nc, "hello")
		over(t, nc)
	}
	await(t, "the removed listener has ended", func() bool { return len(set.Stats()) == 1 })
	if _, err := dialAddress(address); err == nil {
		t.Error("the address still answers")
	}
}

func TestFewerSocketsLoseNobody(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{MaxConns: 1, Sockets: 4})
	set.handshake = 1
	busy := dial(t, address)
	say(t, busy, "", "wait")
	var queued []net.Conn
	for range 20 {
		nc := dial(t, address)
		nc.Write([]byte("hello"))
		queued = append(queued, nc)
	}
	if err := set.Apply([]Settings{{Name: "main", Address: "127.0.0.1:0", MaxConns: 1, Sockets: 1}}, map[string]Handler{"main": h}); err != nil {
		t.Fatal(err)
	}
	busy.Close()
	var group sync.WaitGroup
	for _, nc := range queued { // one at a time gets in
		group.Go(func() {
			buf := make([]byte, 5)
			if _, err := io.ReadFull(nc, buf); err != nil {
				t.Errorf("queued and not answered: %v", err)
			}
			nc.Close()
		})
	}
	group.Wait()
}

func TestFirstWordsAreAwaitedWhenDraining(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{})
	nc := dial(t, address)
	await(t, "parked without a word", func() bool { return stat(set).Parked == 1 })
	if err := set.Apply(nil, nil); err != nil {
		t.Fatal(err)
	}
	say(t, nc, "", "hello")
	over(t, nc)
}

func TestClosedRowTakesNobody(t *testing.T) {
	set, address, _ := start(t, new(echoes), Settings{})
	nc := dial(t, address)
	say(t, nc, "", "wait")
	set.mu.Lock()
	l := set.live[0]
	set.mu.Unlock()
	set.lot.closeRow(&l.row)
	if got := set.lot.park(&conn{l: l}); got != refused {
		t.Errorf("parking in a closed row: %v", got)
	}
}

// TestRemovalUnderFire removes and adds a listener while clients keep coming. A client may find nobody listening; but whoever gets
// in is answered, on its first words.
func TestRemovalUnderFire(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can refuse handshakes")
	}
	h := new(echoes)
	set, address, _ := start(t, h, Settings{Name: "stays", Address: "127.0.0.2:0"})
	_, port, _ := net.SplitHostPort(address)
	stays := Settings{Name: "stays", Address: "127.0.0.2:0"}
	comes := Settings{Name: "comes", Address: "127.0.0.1:" + port}
	handlers := map[string]Handler{"stays": h, "comes": h}

	var stop atomic.Bool
	var answered atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			dialer := net.Dialer{Timeout: 300 * time.Millisecond} // a dropped handshake counts as nobody there
			for !stop.Load() {
				nc, err := dialer.Dial("tcp", comes.Address)
				if err != nil {
					continue
				}
				nc.SetDeadline(time.Now().Add(20 * time.Second))
				buf := make([]byte, 5)
				if _, err = nc.Write([]byte("hello")); err == nil {
					_, err = io.ReadFull(nc, buf)
				}
				if err != nil {
					t.Errorf("let in and not answered: %v", err)
				}
				answered.Add(1)
				nc.Close()
			}
		})
	}
	for i := range 5 {
		if err := set.Apply([]Settings{stays, comes}, handlers); err != nil {
			t.Fatal(err)
		}
		at := answered.Load()
		await(t, "clients are answered", func() bool { return answered.Load() > at+20 })
		if err := set.Apply([]Settings{stays}, handlers); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // now and then while the former one is still on its way out
			await(t, "it has ended", func() bool { return len(set.Stats()) == 1 })
		}
	}
	stop.Store(true)
	group.Wait()
	t.Logf("%d answered", answered.Load())
}

func TestOpeningErrorsHelp(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	inUse, err := net.Listen("unix", dir+"/used")
	if err != nil {
		t.Fatal(err)
	}
	defer inUse.Close()

	f := func(s Settings, wants ...string) {
		t.Helper()
		set, _ := empty(t)
		if s.Name == "" {
			s.Name = "a"
		}
		err := set.Apply([]Settings{s}, map[string]Handler{"a": new(echoes)})
		if err == nil {
			t.Errorf("%s: no error", s.Address)
			return
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
	}
	f(Settings{Address: taken.Addr().String()}, `listener "a"`, taken.Addr().String(), "already in use", "ss -ltnp")
	f(Settings{Address: "192.0.2.1:80"}, "does not have the address")
	f(Settings{Address: "unix:" + dir + "/file"}, "is not a socket")
	f(Settings{Address: "unix:" + dir + "/used"}, "in use", "ss -lxp")
	f(Settings{Address: "unix:" + dir + "/none/s"}, "does not exist")
	f(Settings{Address: "unix:relative"}, "absolute path")
	f(Settings{Address: "127.0.0.1"}, "host:port")
	f(Settings{Address: ":http"}, "host:port")
	f(Settings{Address: ":70000"}, "host:port")
	f(Settings{Address: ":0", Sockets: 1000}, "1 to 256")
	f(Settings{Address: ":0", MaxConns: -1}, "0 or more")
	f(Settings{Name: "b", Address: ":0"}, "no handler")
	if text, err := os.ReadFile(dir + "/file"); err != nil || string(text) != "precious" {
		t.Errorf("a file in the way was touched: %q, %v", text, err)
	}
	if nc, err := net.Dial("unix", dir+"/used"); err != nil {
		t.Errorf("another's socket was touched: %v", err)
	} else {
		nc.Close()
	}
	for errno, want := range map[syscall.Errno]string{
		syscall.EACCES: "setcap cap_net_bind_service",
		syscall.EMFILE: "LimitNOFILE",
	} {
		s := &Settings{Name: "a", Address: ":80"}
		if err := explain(s, fmt.Errorf("bind: %w", errno)); !strings.Contains(err.Error(), want) || !errors.Is(err, errno) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func TestSecondGatewayIsNotLetIn(t *testing.T) {
	_, address, _ := start(t, new(echoes), Settings{Sockets: 2})
	set, _ := empty(t)
	err := set.Apply([]Settings{{Name: "second", Address: address, Sockets: 2}}, map[string]Handler{"second": new(echoes)})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("two sets share a port: %v", err)
	}
}

func TestClashingSettings(t *testing.T) {
	f := func(a, b string, clash bool) {
		t.Helper()
		settings := []Settings{{Name: "a", Address: a}, {Name: "b", Address: b}}
		_, err := check(settings, map[string]Handler{"a": new(echoes), "b": new(echoes)})
		if (err != nil) != clash {
			t.Errorf("%s and %s: %v", a, b, err)
		}
	}
	f(":80", ":80", true)
	f(":80", "0.0.0.0:80", true)
	f(":80", "[::]:80", true)
	f("0.0.0.0:80", "[::]:80", false)
	f(":80", "127.0.0.1:80", false)
	f("127.0.0.1:80", "127.0.0.1:80", true)
	f("127.0.0.1:80", "127.0.0.1:81", false)
	f("unix:/a", "unix:/a", true)
	f("unix:/a", "unix:/b", false)
	if _, err := check([]Settings{{Name: "a", Address: ":80"}, {Name: "a", Address: ":81"}}, map[string]Handler{"a": new(echoes)}); err == nil {
		t.Error("two listeners of one name")
	}
}

func TestWiderAddressReplacesNarrower(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs SO_REUSEPORT")
	}
	h := new(echoes)
	for try := 1; ; try++ {
		// Below the ports of outgoing connections, which may hold a port on other addresses.
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		set, _ := empty(t)
		err := set.Apply([]Settings{{Name: "narrow", Address: "127.0.0.1:" + port}}, map[string]Handler{"narrow": h})
		if err == nil {
			err = set.Apply([]Settings{{Name: "wide", Address: "0.0.0.0:" + port}}, map[string]Handler{"wide": h})
		}
		if err != nil && try < 10 {
			continue // somebody else's
		}
		if err != nil {
			t.Fatal(err)
		}
		await(t, "the narrow one has ended", func() bool { return len(set.Stats()) == 1 })
		say(t, dial(t, "127.0.0.1:"+port), "", "hello")
		return
	}
}

func TestUnixSocketFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close() // as after a crash
	set, address, _ := start(t, new(echoes), Settings{Address: "unix:" + path, Mode: 0o600})
	mode := func() os.FileMode {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if mode() != 0o600 {
		t.Errorf("mode %o", mode())
	}
	nc := dial(t, address)
	say(t, nc, "", "hello")
	h := new(echoes)
	if err := set.Apply([]Settings{{Name: "main", Address: address, Mode: 0o666}}, map[string]Handler{"main": h}); err != nil {
		t.Fatal(err)
	}
	if mode() != 0o666 {
		t.Errorf("mode %o after a change", mode())
	}
	if err := set.Apply([]Settings{{Name: "tcp", Address: "127.0.0.1:0"}}, map[string]Handler{"tcp": h}); err != nil {
		t.Fatal(err)
	}
	over(t, nc)
	if _, err := os.Lstat(path); err == nil {
		t.Error("the file outlived its listener")
	}
}

func TestUnixSocketFileOfAnotherIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	set, _, _ := start(t, new(echoes), Settings{Address: "unix:" + path})
	os.Remove(path)
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	set.Drain(t.Context())
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another's socket was removed: %v", err)
	}
}

func TestDrain(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{})
	parked, busy := dial(t, address), dial(t, address)
	say(t, parked, "", "hello")
	say(t, busy, "", "wait")
	await(t, "one is parked", func() bool { return stat(set).Parked == 1 })
	cut := make(chan int)
	go func() { cut <- set.Drain(t.Context()) }()
	over(t, parked)
	await(t, "the end of the last one is waited for", func() bool { return set.bell.waiting.Load() == 1 })
	say(t, busy, "", "done")
	over(t, busy)
	if n := <-cut; n != 0 {
		t.Errorf("%d cut", n)
	}
	if _, err := dialAddress(address); err == nil {
		t.Error("the address still answers")
	}
	if err := set.Apply(nil, nil); !errors.Is(err, errDrained) {
		t.Errorf("applied to a drained set: %v", err)
	}
	if n := set.Drain(t.Context()); n != 0 {
		t.Errorf("a second drain cut %d", n)
	}
	if len(h.ends()) != 2 {
		t.Errorf("%d sessions closed", len(h.ends()))
	}
}

func TestDrainCutsWhoeverStays(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{Proxy: prefixes("192.0.2.0/24")})
	var conns []net.Conn
	for range 3 {
		nc := dial(t, address)
		say(t, nc, "", "wait")
		conns = append(conns, nc)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cut := make(chan int)
	go func() { cut <- set.Drain(ctx) }()
	await(t, "draining", func() bool { all := set.Stats(); return len(all) == 1 && all[0].Draining })
	cancel()
	if n := <-cut; n != 3 {
		t.Errorf("%d cut", n)
	}
	for _, nc := range conns {
		over(t, nc)
	}
	if len(h.ends()) != 3 {
		t.Errorf("%d sessions closed", len(h.ends()))
	}
}

func TestDrainUnderFire(t *testing.T) {
	h := new(echoes)
	set, address, _ := start(t, h, Settings{})
	var group sync.WaitGroup
	var served atomic.Int64
	for range 8 {
		group.Go(func() {
			for {
				nc, err := net.DialTimeout("tcp", address, time.Second)
				if err != nil {
					return // nobody listens any more
				}
				nc.SetDeadline(time.Now().Add(20 * time.Second))
				buf := make([]byte, 5)
				for range 3 {
					if _, err = nc.Write([]byte("hello")); err != nil {
						break
					}
					if _, err = io.ReadFull(nc, buf); err != nil {
						break
					}
					served.Add(1)
				}
				nc.Close()
			}
		})
	}
	await(t, "clients are served", func() bool { return served.Load() > 500 })
	if n := set.Drain(t.Context()); n != 0 {
		t.Errorf("%d cut", n)
	}
	group.Wait()
	if int(set.ids.Load()) != len(h.ends()) {
		t.Errorf("%d connections, %d closed", set.ids.Load(), len(h.ends()))
	}
}
