package http1

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/pace"
	"straum.dev/straum/internal/edge/socket"
)

// filed is a body in a file, which the kernel sends atOnce bytes at a time, until it may no more.
type filed struct {
	f       *os.File
	at, end int64
	atOnce  int64
	until   int64 // the kernel sends what is before
	sent    int64 // by the kernel
	buf     []byte
}

func (b *filed) Buffered() bool { return b.at == b.end }

func (b *filed) Next() ([]byte, error) {
	if b.at == b.end {
		return nil, io.EOF
	}
	b.buf = make([]byte, min(64<<10, b.end-b.at))
	n, err := b.f.ReadAt(b.buf, b.at)
	b.at += int64(n)
	if err != nil && n == 0 {
		return nil, fault.New(fault.Internal, err)
	}
	return b.buf[:n], nil
}

func (b *filed) SendTo(dst *socket.Conn, patience int64) (n int64, read, write error) {
	if b.at >= b.until {
		return 0, socket.ErrNoSplice, nil
	}
	n, read, write = socket.SendFile(dst, b.f, b.at, min(b.atOnce, b.end-b.at), patience)
	b.at += n
	b.sent += n
	if read != nil && read != socket.ErrNoSplice {
		read = fault.New(fault.Internal, read)
	}
	return n, read, write
}

// fileOf writes a file of n bytes that differ from place to place.
func fileOf(t testing.TB, n int) (*os.File, []byte) {
	t.Helper()
	text := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(text)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, text
}

// A body in a file goes out behind its head, whether the kernel sends all of it, a part, or nothing.
func TestWriterSendsFiles(t *testing.T) {
	f, text := fileOf(t, 700_000)
	for _, test := range []struct {
		how    framed
		until  int64
		atOnce int64
		sent   int64
	}{
		{byLength, 700_000, 256 << 10, 700_000},
		{byLength, 700_000, 1, 0}, // see below
		{byLength, 300_000, 100_000, 300_000},
		{byLength, 0, 100_000, 0},
		{byChunks, 700_000, 100_000, 0},
		{byClose, 700_000, 100_000, 0},
	} {
		if test.atOnce == 1 {
			test.until, test.sent = 1000, 1000
		}
		out, in := pair(t, false)
		b := &filed{f: f, end: 700_000, atOnce: test.atOnce, until: test.until}
		arrived := make(chan []byte, 1)
		go func() {
			all, _ := io.ReadAll(in)
			arrived <- all
		}()
		w := writer{conn: out, patience: 10 * time.Second}
		w.lend()
		w.out = append(w.out, "head\r\n\r\n"...)
		read, write := w.copy(b, test.how, &exchange.Fields{}, nil)
		if write == nil {
			write = w.flush(nil)
		}
		w.release()
		out.CutWrite()
		got := <-arrived
		if read != nil || write != nil || b.sent != test.sent || !bytes.HasPrefix(got, []byte("head\r\n\r\n")) {
			t.Errorf("%+v: %v, %v, %d sent by the kernel", test, read, write, b.sent)
		}
		if body := got[len("head\r\n\r\n"):]; test.how != byChunks && !bytes.Equal(body, text) {
			t.Errorf("%+v: something else arrived: %d bytes", test, len(body))
		} else if test.how == byChunks && len(body) <= len(text) {
			t.Errorf("%+v: no chunks arrived: %d bytes", test, len(body))
		}
	}
}

// A client that takes what the kernel sends below the minimum rate is given up.
func TestWriterSendsFilesAtAPace(t *testing.T) {
	f, _ := fileOf(t, 8<<20)
	out, in := pair(t, false)
	go func() { // a little, then nothing until the end
		io.ReadFull(in, make([]byte, 100_000))
	}()
	w := writer{conn: out, patience: 200 * time.Millisecond, pace: pace.New(1<<40, time.Millisecond)}
	w.lend()
	defer w.release()
	b := &filed{f: f, end: 8 << 20, atOnce: 64 << 10, until: 8 << 20}
	if read, write := w.copy(b, byLength, &exchange.Fields{}, nil); read != nil || write != socket.ErrTimeout {
		t.Errorf("got %v, %v", read, write)
	}
}

// A file that ends too early breaks the answer off: the client sees that something is missing, and the connection ends.
func TestFileEndsTooEarly(t *testing.T) {
	for _, until := range []int64{1 << 20, 0} {
		f, text := fileOf(t, 300_000)
		conn, far := pair(t, false)
		var x *exchange.Exchange
		over := run(session(conn, open{}, ordinary(), handle(func(c exchange.Codec, y *exchange.Exchange) {
			x = y
			if f := c.Decode(y); f != nil {
				t.Error(f)
			}
			y.Response.Status, y.Response.Length = 200, 1<<20
			y.Response.Body = &filed{f: f, end: 1 << 20, atOnce: 100_000, until: until}
			if f := c.Encode(y); f != nil {
				t.Error(f)
			}
		}), ""))
		write(t, far, false, crlf("GET / HTTP/1.1\nHost: a\n\n"))
		far.SetReadDeadline(time.Now().Add(10 * time.Second))
		got, err := io.ReadAll(far)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("the connection hangs")
		}
		<-over
		if x.End != exchange.UpstreamBroke || x.Fault == nil || x.Fault.Kind != fault.Internal || x.KeepAlive {
			t.Errorf("ended %v, %v", x.End, x.Fault)
		}
		if _, body, _ := bytes.Cut(got, []byte("\r\n\r\n")); !bytes.HasPrefix(text, body) || len(body) < 200_000 {
			t.Errorf("%d bytes arrived", len(body))
		}
	}
}
