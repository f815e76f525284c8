package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
)

// each runs a test over both kinds of socket, and over TLS.
func each(t *testing.T, test func(t *testing.T, conn *Conn, far net.Conn)) {
	for _, network := range []string{"tcp", "unix", "tls"} {
		t.Run(network, func(t *testing.T) {
			conn, far := pair(t, network)
			test(t, conn, far)
		})
	}
}

func pair(t testing.TB, network string) (*Conn, net.Conn) {
	t.Helper()
	if network == "tls" {
		return securePair(t, nil)
	}
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/s"
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	far, err := net.Dial(network, listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := New(near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); far.Close() })
	return conn, far
}

func soon() int64 { return clock.Now() + int64(10*time.Second) }

const patience = int64(10 * time.Second)

func send(t *testing.T, far net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(far, text); err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		send(t, far, "hello")
		buf := make([]byte, 3)
		for _, want := range []string{"hel", "lo"} {
			if n, err := conn.Read(buf, soon()); err != nil || string(buf[:n]) != want {
				t.Fatalf("got %q, %v", buf[:n], err)
			}
		}
		if n, err := conn.Read(buf, clock.Now()+1e6); err != ErrTimeout || n != 0 {
			t.Errorf("nothing there: %d, %v", n, err)
		}
		if n, err := conn.Read(buf, clock.Now()-1e6); err != ErrTimeout || n != 0 {
			t.Errorf("too late from the beginning: %d, %v", n, err)
		}
		send(t, far, "!")
		if n, err := conn.Read(buf, 0); err != nil || n != 1 {
			t.Errorf("after a timeout: %d, %v", n, err)
		}
		far.Close()
		for range 2 {
			if n, err := conn.Read(buf, soon()); err != io.EOF || n != 0 {
				t.Errorf("after the end: %d, %v", n, err)
			}
		}
		if conn.In() != 6 {
			t.Errorf("%d bytes in, want 6", conn.In())
		}
	})
}

// A timer that was armed for an earlier wait must neither cut a later one short nor be forgotten.
func TestDeadlinesAreLazy(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		buf := make([]byte, 10)
		send(t, far, "a")
		if _, err := conn.Read(buf, clock.Now()+20e6); err != nil { // arms a timer that is never waited for
			t.Fatal(err)
		}
		time.AfterFunc(40*time.Millisecond, func() { io.WriteString(far, "b") }) // when the first timer has gone off
		if n, err := conn.Read(buf, soon()); err != nil || n != 1 {
			t.Errorf("cut short: %d, %v", n, err)
		}
		if _, err := conn.Read(buf, clock.Now()+1e6); err != ErrTimeout {
			t.Errorf("got %v", err)
		}
	})
}

func TestReadLent(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		if buf, _, err := conn.TryLent(bufpool.Small); err != ErrTimeout || buf != nil {
			t.Errorf("nothing there: %v", err)
		}
		if buf, _, err := conn.ReadLent(bufpool.Small, clock.Now()+1e6); err != ErrTimeout || buf != nil {
			t.Errorf("nothing there: %v", err)
		}
		if buf, _, err := conn.TryLent(bufpool.Small); err != ErrTimeout || buf != nil {
			t.Errorf("nothing there after a timer went off: %v", err)
		}
		send(t, far, "hello")
		buf, n, err := conn.ReadLent(4, soon())
		if err != nil || string(buf[:n]) != "hell" {
			t.Fatalf("got %q, %v", buf[:n], err)
		}
		bufpool.Put(buf)
		if buf, n, err = conn.TryLent(bufpool.Small); err != nil || string(buf[:n]) != "o" {
			t.Fatalf("got %q, %v", buf[:n], err)
		}
		bufpool.Put(buf)
		far.Close()
		if buf, _, err := conn.ReadLent(bufpool.Small, soon()); err != io.EOF || buf != nil {
			t.Errorf("after the end: %v", err)
		}
		if buf, _, err := conn.TryLent(bufpool.Small); err != io.EOF || buf != nil {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestSendReceive(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		go func() {
			got := make([]byte, len("question"))
			io.ReadFull(far, got)
			io.WriteString(far, "answer to "+string(got))
		}()
		sent, buf, n, err := conn.SendReceive([]byte("question"), false, bufpool.Small, soon())
		if sent != len("question") || err != nil || string(buf[:n]) != "answer to question" {
			t.Errorf("sent %d, got %q, %v", sent, buf[:n], err)
		}
		bufpool.Put(buf)
		if conn.Out() != 8 || conn.In() != 18 {
			t.Errorf("%d bytes out, %d in", conn.Out(), conn.In())
		}
		if sent, buf, _, err := conn.SendReceive([]byte("more"), false, bufpool.Small, clock.Now()+1e6); sent != 4 || buf != nil || err != ErrTimeout {
			t.Errorf("without an answer: sent %d, %v", sent, err)
		}
	})
}

// What does not fit into the kernel's buffers is the caller's to go on with.
func TestSendReceiveOfTooMuch(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		large := bytes.Repeat([]byte("a"), 32<<20)
		sent, buf, n, err := conn.SendReceive(large, false, bufpool.Small, soon())
		if _, secure := far.(secured); sent == 0 && !secure || sent >= len(large) || err != nil || buf != nil || n != 0 {
			t.Fatalf("sent %d, %d back, %v", sent, n, err)
		}
		done := make(chan int64, 1)
		go func() {
			n, _ := io.Copy(io.Discard, far)
			done <- n
		}()
		if err := conn.Write(large[sent:], nil, patience); err != nil {
			t.Fatal(err)
		}
		conn.CloseWrite()
		if got := <-done; got != int64(len(large)) || conn.Out() != got {
			t.Errorf("%d bytes arrived, %d out", got, conn.Out())
		}
	})
}

// A peer that does not read makes a write wait, which is counted.
func TestWriteWaited(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, _ net.Conn) {
		if err := conn.Write(bytes.Repeat([]byte("a"), 32<<20), nil, int64(20*time.Millisecond)); err != ErrTimeout {
			t.Fatal(err)
		}
		if conn.WriteWaited() == 0 {
			t.Error("the wait was not counted")
		}
	})
}

func TestWrite(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		pieces := [][2]string{{"", ""}, {"a", ""}, {"", "b"}, {"c", "d"}, {strings.Repeat("e", 5<<20), strings.Repeat("f", 5<<20)}, {"g", strings.Repeat("h", 5<<20)}, {strings.Repeat("i", 5<<20), "j"}}
		var want strings.Builder
		for _, piece := range pieces {
			want.WriteString(piece[0] + piece[1])
		}
		done := make(chan []byte, 1)
		go func() {
			got, _ := io.ReadAll(far)
			done <- got
		}()
		for _, piece := range pieces {
			if err := conn.Write([]byte(piece[0]), []byte(piece[1]), patience); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := <-done; string(got) != want.String() {
			t.Errorf("%d bytes arrived, want %d", len(got), want.Len())
		}
	})
}

func TestWriteTimesOut(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		if err := conn.Write(make([]byte, 64<<20), nil, int64(5*time.Millisecond)); err != ErrTimeout {
			t.Errorf("nobody reads: %v", err)
		}
		far.Close()
		err := conn.Write(make([]byte, 64<<20), nil, patience)
		if _, secure := far.(secured); secure && err == ErrTimeout {
			return // half a record was written, so there is no going on
		}
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("nobody is there: %v", err)
		}
	})
}

func TestInterruptRead(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		buf := make([]byte, 10)
		conn.InterruptRead()
		if _, err := conn.Read(buf, soon()); err != ErrInterrupted {
			t.Errorf("interrupted before: %v", err)
		}
		conn.ResumeRead()
		send(t, far, "a")
		if n, err := conn.Read(buf, soon()); err != nil || n != 1 {
			t.Errorf("resumed: %d, %v", n, err)
		}
		got := make(chan error)
		go func() {
			_, err := conn.Read(buf, soon())
			got <- err
		}()
		runtime.Gosched()
		conn.InterruptRead()
		if err := <-got; err != ErrInterrupted {
			t.Errorf("interrupted while waiting: %v", err)
		}
		conn.ResumeRead()
		if _, err := conn.Read(buf, clock.Now()+1e6); err != ErrTimeout {
			t.Errorf("resumed: %v", err)
		}
	})
}

func TestKill(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		got := make(chan error)
		go func() {
			_, err := conn.Read(make([]byte, 10), 0)
			got <- err
		}()
		runtime.Gosched()
		conn.Kill()
		if err := <-got; err == nil {
			t.Error("a killed connection was read")
		}
		if err := conn.Write([]byte("a"), nil, patience); err == nil {
			t.Error("a killed connection was written")
		}
		conn.Kill()
		conn.Close()
		conn.Kill()
	})
}

func TestState(t *testing.T) {
	f := func(name string, want PeerState, change func(t *testing.T, conn *Conn, far net.Conn)) {
		t.Helper()
		each(t, func(t *testing.T, conn *Conn, far net.Conn) {
			change(t, conn, far)
			until := soon()
			for conn.State() != want && clock.Now() < until { // a packet's way takes its time even here
				runtime.Gosched()
			}
			if got := conn.State(); got != want {
				t.Errorf("%s: got %d, want %d", name, got, want)
			}
		})
	}
	type half interface{ CloseWrite() error }
	f("silent", PeerSilent, func(*testing.T, *Conn, net.Conn) {})
	f("talks", PeerTalks, func(t *testing.T, _ *Conn, far net.Conn) { send(t, far, "a") })
	f("half closed", PeerClosed, func(t *testing.T, _ *Conn, far net.Conn) { far.(half).CloseWrite() })
	f("half closed behind bytes", PeerClosed, func(t *testing.T, _ *Conn, far net.Conn) { send(t, far, "a"); far.(half).CloseWrite() })
	f("closed here", PeerGone, func(t *testing.T, conn *Conn, _ net.Conn) { conn.Close() })
	conn, far := pair(t, "tcp")
	far.(*net.TCPConn).SetLinger(0)
	far.Close()
	until := soon()
	for conn.State() != PeerGone && clock.Now() < until {
		runtime.Gosched()
	}
	if got := conn.State(); got != PeerGone {
		t.Errorf("reset: got %d", got)
	}
}

func TestUnacknowledged(t *testing.T) {
	conn, _ := pair(t, "unix")
	if got := conn.Unacknowledged(); got != -1 {
		t.Errorf("unix: %d, want -1", got)
	}
	conn, _ = pair(t, "tcp")
	if err := conn.Write([]byte("hello"), nil, patience); err != nil {
		t.Fatal(err)
	}
	until := soon()
	for conn.Unacknowledged() != 0 && clock.Now() < until {
		runtime.Gosched()
	}
	if got := conn.Unacknowledged(); got != 0 && runtime.GOOS == "linux" {
		t.Errorf("%d bytes were not taken", got)
	}
}

func TestAbortResets(t *testing.T) {
	conn, far := pair(t, "tcp")
	if err := conn.Write([]byte("part"), nil, patience); err != nil {
		t.Fatal(err)
	}
	conn.Abort()
	if _, err := io.ReadAll(far); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer sees %v, want a reset", err)
	}
}

func TestAddresses(t *testing.T) {
	conn, far := pair(t, "tcp")
	if got := conn.Peer().String(); got != far.LocalAddr().String() || conn.Local().String() != far.RemoteAddr().String() || conn.Unix() {
		t.Errorf("peer %s, local %s", got, conn.Local())
	}
	conn, _ = pair(t, "unix")
	if conn.Peer().IsValid() || conn.Local().IsValid() || !conn.Unix() {
		t.Errorf("unix: peer %s, local %s", conn.Peer(), conn.Local())
	}
}

func TestNewRefuses(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := New(a); err == nil {
		t.Error("a pipe in memory was taken for a socket")
	}
}

func TestReadEach(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		var got []string
		next := []Next{Await, Look, Await, Stop}
		send(t, far, "1")
		err := conn.ReadEach(bufpool.Small, soon(), func(buf []byte, n int) Next {
			got = append(got, string(buf[:n]))
			bufpool.Put(buf)
			if err := conn.Write([]byte("ok"), nil, patience); err != nil { // use may write
				t.Error(err)
			}
			if len(got) < len(next) {
				send(t, far, strings.Repeat("x", len(got)+1))
			}
			return next[len(got)-1]
		})
		if err != nil || !slices.Equal(got, []string{"1", "xx", "xxx", "xxxx"}) {
			t.Errorf("got %q, %v", got, err)
		}
		if conn.In() != 10 || conn.Out() != 8 {
			t.Errorf("%d in, %d out", conn.In(), conn.Out())
		}
		refuse := func([]byte, int) Next { t.Error("used without bytes"); return Stop }
		if err := conn.ReadEach(bufpool.Small, clock.Now()+1e6, refuse); err != ErrTimeout {
			t.Errorf("nothing there: %v", err)
		}
		far.Close()
		if err := conn.ReadEach(bufpool.Small, soon(), refuse); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) { // our "ok"s were not read
			t.Errorf("after the end: %v", err)
		}
	})
}

// More than a buffer's worth comes in as many buffers, without waiting in between.
func TestReadEachOfMuch(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		const total = 1 << 20
		go func() {
			far.Write(make([]byte, total))
			far.Close()
		}()
		got := 0
		err := conn.ReadEach(bufpool.Small, soon(), func(buf []byte, n int) Next {
			got += n
			bufpool.Put(buf)
			return Look
		})
		if err != io.EOF || got != total {
			t.Errorf("got %d bytes, %v", got, err)
		}
	})
}

// A connection can rest and be used again, whatever it did before.
func TestRest(t *testing.T) {
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		buf := make([]byte, 10)
		for range 3 {
			conn.Rest()
			conn.Rest()
			send(t, far, "a")
			if n, err := conn.Read(buf, soon()); err != nil || n != 1 {
				t.Fatalf("%d, %v", n, err)
			}
			conn.Rest()
			if err := conn.Write([]byte("b"), nil, patience); err != nil {
				t.Fatal(err)
			}
			conn.Rest()
			if conn.State() != PeerSilent {
				t.Error("not silent")
			}
		}
		if conn.In() != 3 || conn.Out() != 3 {
			t.Errorf("%d in, %d out", conn.In(), conn.Out())
		}
	})
}

func TestSocketAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	each(t, func(t *testing.T, conn *Conn, far net.Conn) {
		text, buf := []byte("hello"), make([]byte, 16)
		allowed := 0.0
		if _, secure := far.(secured); secure {
			allowed = 4 // crypto/tls makes a reader for every record it fetches, on both sides
		}
		if got := testing.AllocsPerRun(200, func() {
			far.Write(text)
			if _, err := conn.Read(buf, soon()); err != nil {
				t.Fatal(err)
			}
			far.Write(text)
			_, lent, _, err := conn.SendReceive(text, false, bufpool.Small, soon())
			if err != nil {
				t.Fatal(err)
			}
			bufpool.Put(lent)
			if err := conn.Write(text, text, patience); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(far, buf[:15]); err != nil {
				t.Fatal(err)
			}
			conn.State()
		}); got > allowed {
			t.Errorf("%v allocations, want %v", got, allowed)
		}
	})
}

// What a peer said before it was asked is never taken for the answer.
func TestSendReceiveWantsQuiet(t *testing.T) {
	conn, far := pair(t, "tcp")
	if _, err := far.Write([]byte("unasked")); err != nil {
		t.Fatal(err)
	}
	for by := soon(); conn.Quiet(); runtime.Gosched() {
		if clock.Now() > by {
			t.Fatal("the bytes do not arrive")
		}
	}
	sent, buf, n, err := conn.SendReceive([]byte("question"), true, bufpool.Small, soon())
	if sent != 0 || buf != nil || n != 0 || err != ErrNotQuiet {
		t.Errorf("got %d sent, %d read, %v", sent, n, err)
	}
	if n, err := conn.Read(make([]byte, 16), soon()); n != 7 || err != nil {
		t.Errorf("what came cannot be read any more: %d, %v", n, err)
	}
}
