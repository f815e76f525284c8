package disk

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

var _ exchange.Filed = (*Body)(nil)

const patience = int64(10 * time.Second)

// line is a connection with its far end.
func line(t testing.TB, network string) (*socket.Conn, net.Conn) {
	t.Helper()
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
	conn, err := socket.New(near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); far.Close() })
	return conn, far
}

// get is Get of what must be there and lie in a file; it is released at the end of the test.
func get(t testing.TB, s *Store, name string) *object.Object {
	t.Helper()
	o := s.Get(key(name))
	if o == nil || o.File == nil {
		t.Fatalf("%s is not there in a file: %v", name, o)
	}
	t.Cleanup(o.File.Release)
	return o
}

// send writes a body as http1 does, and closes the connection.
func send(conn *socket.Conn, b *Body, patience int64) (sent int64, read, write error) {
	defer conn.CutWrite()
	for {
		n, read, write := b.SendTo(conn, patience)
		sent += n
		switch {
		case write != nil:
			return sent, nil, write
		case read != nil && read != socket.ErrNoSplice:
			return sent, read, nil
		case read == nil && n > 0:
			continue
		}
		run, err := b.Next()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return sent, err, nil
		}
		if err := conn.Write(run, nil, patience); err != nil {
			return sent, nil, err
		}
	}
}

func TestSendTo(t *testing.T) {
	linuxOnly(t)
	s := start(t, settings(t))
	put(t, s, "a-65537", "b-2000000")
	for _, network := range []string{"tcp", "unix"} {
		for _, name := range []string{"a-65537", "b-2000000"} {
			o := get(t, s, name)
			whole := content(name, int(o.Length))
			for _, part := range [][2]int64{{0, o.Length}, {1, o.Length - 1}, {65536, o.Length}, {o.Length - 1, o.Length}, {65537, 65537}, {0, 65536}} {
				conn, far := line(t, network)
				got := make(chan []byte, 1)
				go func() {
					all, _ := io.ReadAll(far)
					got <- all
				}()
				var b Body
				b.Begin(o, part[0], part[1])
				sent, read, write := send(conn, &b, patience)
				if read != nil || write != nil {
					t.Fatalf("%s %s %v: %v, %v", network, name, part, read, write)
				}
				if all := <-got; !bytes.Equal(all, whole[part[0]:part[1]]) {
					t.Fatalf("%s %s %v: %d bytes arrived", network, name, part, len(all))
				}
				if n := part[1] - part[0]; (sent == n) != (n >= sendFrom || n == 0) || conn.Out() != n {
					t.Errorf("%s %s %v: %d bytes sent by the kernel, %d in all", network, name, part, sent, conn.Out())
				}
				b.End()
			}
		}
	}
	if s.parcels.Load() != 0 {
		t.Errorf("%d parcels under way", s.parcels.Load())
	}
}

// What was not compared yet is read, compared and written; after that the kernel may send it.
func TestSendToComparesFirst(t *testing.T) {
	linuxOnly(t)
	o := settings(t)
	s := start(t, o)
	put(t, s, "b-2000000")
	stop(t, s)
	s = start(t, o)
	<-s.found
	for round := range 3 {
		conn, far := line(t, "tcp")
		go io.Copy(io.Discard, far)
		var b Body
		got := get(t, s, "b-2000000")
		b.Begin(got, 0, got.Length)
		sent, read, write := send(conn, &b, patience)
		if (sent > 0) != (round > 0) || read != nil || write != nil {
			t.Errorf("round %d: %d bytes sent by the kernel, %v, %v", round, sent, read, write)
		}
		b.End()
	}
	if _, _, verified := get(t, s, "b-2000000").File.Open(); !verified {
		t.Error("not verified")
	}
}

// A client that reads in drops gets all of it; one that does not read is given up.
func TestSendToSlow(t *testing.T) {
	linuxOnly(t)
	s := start(t, settings(t))
	put(t, s, "b-9000000")
	o := get(t, s, "b-9000000")
	conn, far := line(t, "tcp")
	far.(*net.TCPConn).SetReadBuffer(64 << 10)
	conn.Net().(*net.TCPConn).SetWriteBuffer(32 << 10)
	var b Body
	b.Begin(o, 0, o.Length)
	got := make(chan []byte, 1)
	go func() {
		var all []byte
		drop := make([]byte, 7001)
		for {
			n, err := far.Read(drop)
			all = append(all, drop[:n]...)
			if err != nil {
				got <- all
				return
			}
		}
	}()
	if _, read, write := send(conn, &b, patience); read != nil || write != nil {
		t.Fatal(read, write)
	}
	if !bytes.Equal(<-got, content(o.URL, int(o.Length))) {
		t.Error("something else arrived")
	}
	if conn.WriteWaited() == 0 {
		t.Error("no waiting was counted")
	}

	conn, _ = line(t, "tcp")
	b.Begin(o, 0, o.Length)
	if _, read, write := send(conn, &b, int64(20*time.Millisecond)); read != nil || write != socket.ErrTimeout {
		t.Errorf("nobody reads: %v, %v", read, write)
	}
	if _, err := b.Next(); err == nil || err == io.EOF {
		t.Errorf("after that: %v", err)
	}
	if s.parcels.Load() != 0 {
		t.Errorf("%d parcels under way", s.parcels.Load())
	}
}

func TestSendToGone(t *testing.T) {
	linuxOnly(t)
	s := start(t, settings(t))
	put(t, s, "b-9000000")
	o := get(t, s, "b-9000000")
	conn, far := line(t, "tcp")
	go func() {
		io.ReadFull(far, make([]byte, 100_000))
		far.Close()
	}()
	var b Body
	b.Begin(o, 0, o.Length)
	if _, read, write := send(conn, &b, patience); read != nil || write == nil || write == socket.ErrTimeout {
		t.Errorf("gone: %v, %v", read, write)
	}
}

// A file that somebody cuts breaks the answer off; nothing is made up and nothing hangs.
func TestSendToCut(t *testing.T) {
	linuxOnly(t)
	o := settings(t)
	s := start(t, o)
	put(t, s, "b-2000000")
	got := get(t, s, "b-2000000")
	if err := os.Truncate(files(t, o.Dir)[0], 700_001); err != nil {
		t.Fatal(err)
	}
	conn, far := line(t, "tcp")
	all := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(far)
		all <- b
	}()
	var b Body
	b.Begin(got, 0, got.Length)
	sent, read, write := send(conn, &b, patience)
	var f *fault.Fault
	if !errors.As(read, &f) || !errors.Is(read, errDamaged) || write != nil || sent != 700_001 {
		t.Errorf("sent %d, %v, %v", sent, read, write)
	}
	if arrived := <-all; !bytes.Equal(arrived, content(got.URL, int(got.Length))[:700_001]) {
		t.Errorf("%d bytes arrived", len(arrived))
	}
	if _, err := b.Next(); err == nil || err == io.EOF {
		t.Errorf("after that: %v", err)
	}
	lacks(t, s, "b-2000000")
}

// A disk that stalls while the kernel sends breaks the answer off, and keeps a reader and nobody else.
func TestSendToStalled(t *testing.T) {
	linuxOnly(t)
	o := settings(t)
	o.BodyWait = 20 * time.Millisecond
	d := &sick{}
	s := startOn(t, o, d)
	<-s.found
	put(t, s, "b-2000000")
	got := s.Get(key("b-2000000"))
	conn, far := line(t, "tcp")
	go io.Copy(io.Discard, far)
	var b Body
	b.Begin(got, 0, got.Length)
	if n, read, write := b.SendTo(conn, patience); n == 0 || read != nil || write != nil {
		t.Fatal(n, read, write)
	}
	d.stall()
	if n, read, write := b.SendTo(conn, patience); n != 0 || !errors.Is(read, errLate) || write != nil {
		t.Errorf("%d, %v, %v", n, read, write)
	}
	if n, read, _ := b.SendTo(conn, patience); n != 0 || read == nil || read == socket.ErrNoSplice {
		t.Errorf("again: %d, %v", n, read)
	}
	got.File.Release()
	d.heal()
	await(t, "the parcel comes back", func() bool { return s.parcels.Load() == 0 })
}

// Where the kernel cannot send, or must not, the body is read.
func TestNoSendTo(t *testing.T) {
	s := start(t, settings(t))
	put(t, s, "b-2000000", "c-1000")
	o := get(t, s, "b-2000000")
	f := func(what string, b *Body, conn *socket.Conn) {
		t.Helper()
		if n, read, write := b.SendTo(conn, patience); n != 0 || read != socket.ErrNoSplice || write != nil {
			t.Errorf("%s: %d, %v, %v", what, n, read, write)
		}
		b.End()
	}
	plain, _ := line(t, "tcp")
	var b Body
	b.Begin(s.Get(key("c-1000")), 0, 1000)
	f("in memory", &b, plain)
	b.Begin(o, 0, 1000)
	f("short", &b, plain)
	b.Begin(&object.Object{File: strange{}, Length: 1 << 20}, 0, 1<<20)
	f("another's file", &b, plain)
	s.parcels.Add(mostParcels)
	b.Begin(o, 0, o.Length)
	f("too many", &b, plain)
	s.parcels.Add(-mostParcels)

	conn, far := line(t, "tcp")
	go tls.Client(far, &tls.Config{InsecureSkipVerify: true}).Handshake()
	if err := conn.ServeTLS(&tls.Config{Certificates: []tls.Certificate{certificate(t)}}, nil, clock.Now()+patience, nil); err != nil {
		t.Fatal(err)
	}
	b.Begin(o, 0, o.Length)
	f("TLS", &b, conn)
}

// strange is a file that is not ours.
type strange struct{}

func (strange) Open() (*os.File, int64, bool) { return nil, 0, true }
func (strange) Release()                      {}
func (strange) ReadAt(b []byte, offset int64) (int, error) {
	if offset >= 100_000 {
		return 0, io.EOF
	}
	clear(b)
	return len(b), nil
}

func TestBody(t *testing.T) {
	s := start(t, settings(t))
	put(t, s, "a-1000", "b-200000")
	for _, name := range []string{"a-1000", "b-200000"} {
		o := s.Get(key(name))
		whole := content(name, int(o.Length))
		for _, part := range [][2]int64{{0, o.Length}, {1, 2}, {999, 1000}, {5, 5}, {o.Length - 500, o.Length}, {300, o.Length - 300}} {
			var b Body
			b.Begin(o, part[0], part[1])
			if in := part[0] == part[1] || o.File == nil; b.Buffered() != in {
				t.Errorf("%s %v: buffered %v", name, part, b.Buffered())
			}
			var got []byte
			for {
				run, err := b.Next()
				if err == io.EOF {
					break
				}
				if err != nil || len(run) == 0 {
					t.Fatalf("%s %v: %d, %v", name, part, len(run), err)
				}
				got = append(got, run...)
			}
			if !bytes.Equal(got, whole[part[0]:part[1]]) || !b.Buffered() {
				t.Errorf("%s %v: got %d bytes", name, part, len(got))
			}
			b.End()
			b.End()
		}
		if o.File != nil {
			o.File.Release()
		}
	}
	var b Body
	b.Begin(&object.Object{File: strange{}, Length: 1 << 20}, 0, 1<<20)
	n := 0
	for {
		run, err := b.Next()
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) || n < 100_000 {
				t.Errorf("after %d bytes: %v", n, err)
			}
			break
		}
		n += len(run)
	}
	b.End()
}

func linuxOnly(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux sends files inside the kernel")
	}
}
