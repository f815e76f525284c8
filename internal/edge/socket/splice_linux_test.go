package socket

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"straum.dev/straum/internal/clock"
)

func TestSplice(t *testing.T) {
	for _, networks := range [][2]string{{"tcp", "tcp"}, {"tcp", "unix"}, {"unix", "tcp"}, {"unix", "unix"}} {
		src, from := pair(t, networks[0])
		dst, to := pair(t, networks[1])
		text := bytes.Repeat([]byte("0123456789"), 200_000)
		go func() {
			from.Write(text)
			from.Write([]byte("rest"))
		}()
		done := make(chan []byte, 1)
		go func() {
			got := make([]byte, len(text))
			io.ReadFull(to, got)
			done <- got
		}()
		moved, read, write := Splice(dst, src, int64(len(text)), soon(), patience)
		if moved != int64(len(text)) || read != nil || write != nil {
			t.Fatalf("%v: moved %d, %v, %v", networks, moved, read, write)
		}
		if !bytes.Equal(<-done, text) {
			t.Errorf("%v: something else arrived", networks)
		}
		if src.In() != moved || dst.Out() != moved {
			t.Errorf("%v: %d in, %d out", networks, src.In(), dst.Out())
		}
		buf := make([]byte, 10)
		if n, err := src.Read(buf, soon()); err != nil || string(buf[:n]) != "rest" {
			t.Errorf("%v: behind it %q, %v", networks, buf[:n], err)
		}
	}
}

func TestSpliceAll(t *testing.T) {
	src, from := pair(t, "tcp")
	dst, to := pair(t, "tcp")
	if moved, read, write := Splice(dst, src, All, soon(), patience); moved != 0 || read != nil || write != nil {
		t.Errorf("nothing there: %d, %v, %v", moved, read, write)
	}
	send(t, from, "hello")
	wait(t, src)
	if moved, read, write := Splice(dst, src, All, soon(), patience); moved != 5 || read != nil || write != nil {
		t.Errorf("moved %d, %v, %v", moved, read, write)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(to, got); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	from.Close()
	wait(t, src)
	if _, read, write := Splice(dst, src, All, soon(), patience); read != io.EOF || write != nil {
		t.Errorf("after the end: %v, %v", read, write)
	}
}

// wait waits until there is something to be read, an end included.
func wait(t *testing.T, conn *Conn) {
	t.Helper()
	for until := soon(); conn.State() == PeerSilent; {
		if clock.Now() > until {
			t.Fatal("nothing comes")
		}
	}
}

func TestSpliceFails(t *testing.T) {
	f := func(name string, want int64, src, dst func(*Conn, net.Conn), check func(moved int64, read, write error) bool) {
		t.Helper()
		in, from := pair(t, "tcp")
		out, to := pair(t, "tcp")
		src(in, from)
		dst(out, to)
		if moved, read, write := Splice(out, in, want, clock.Now()+int64(5*time.Millisecond), int64(5*time.Millisecond)); !check(moved, read, write) {
			t.Errorf("%s: moved %d, %v, %v", name, moved, read, write)
		}
	}
	nothing := func(*Conn, net.Conn) {}
	f("nothing comes", 5, nothing, nothing, func(moved int64, read, write error) bool { return moved == 0 && read == ErrTimeout && write == nil })
	f("too little comes", 50, func(c *Conn, far net.Conn) { send(t, far, "hello"); far.Close(); wait(t, c) }, nothing,
		func(moved int64, read, write error) bool { return moved == 5 && read == io.EOF && write == nil })
	f("killed", 5, func(c *Conn, _ net.Conn) { c.Kill() }, nothing, func(moved int64, read, write error) bool { return moved == 0 && read != nil })
	f("nobody reads", 64<<20, func(_ *Conn, far net.Conn) { go far.Write(make([]byte, 64<<20)) }, nothing,
		func(moved int64, read, write error) bool { return write == ErrTimeout || read == ErrTimeout })
	f("destination killed", 5, func(c *Conn, far net.Conn) { send(t, far, "hello") }, func(c *Conn, _ net.Conn) { c.Kill() },
		func(moved int64, read, write error) bool { return moved == 0 && write != nil })
}
