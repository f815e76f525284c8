package socket

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// filed writes a file of n bytes that differ from place to place.
func filed(t testing.TB, n int) (*os.File, []byte) {
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

// reads collects what arrives at the far end until it is closed.
func reads(far net.Conn, atOnce int) <-chan []byte {
	done := make(chan []byte, 1)
	go func() {
		var all []byte
		buf := make([]byte, atOnce)
		for {
			n, err := far.Read(buf)
			all = append(all, buf[:n]...)
			if err != nil {
				done <- all
				return
			}
		}
	}()
	return done
}

func TestSendFile(t *testing.T) {
	f, text := filed(t, 1<<20+17)
	for _, network := range []string{"tcp", "unix"} {
		for _, part := range [][2]int{{0, len(text)}, {1, len(text)}, {4096, 8192}, {70_001, 70_002}, {5, 5}, {len(text) - 300_000, len(text)}} {
			conn, far := pair(t, network)
			arrived := reads(far, 64<<10)
			send := int64(part[1] - part[0])
			sent, read, write := SendFile(conn, f, int64(part[0]), send, patience)
			if sent != send || read != nil || write != nil || conn.Out() != send {
				t.Errorf("%s %v: sent %d, %v, %v, out %d", network, part, sent, read, write, conn.Out())
			}
			conn.CutWrite()
			if !bytes.Equal(<-arrived, text[part[0]:part[1]]) {
				t.Errorf("%s %v: something else arrived", network, part)
			}
		}
	}
}

// What was written before a file comes before it, and what is written behind it behind.
func TestSendFileInOrder(t *testing.T) {
	f, text := filed(t, 300_000)
	conn, far := pair(t, "tcp")
	arrived := reads(far, 64<<10)
	if err := conn.Write([]byte("before"), nil, patience); err != nil {
		t.Fatal(err)
	}
	if _, read, write := SendFile(conn, f, 0, int64(len(text)), patience); read != nil || write != nil {
		t.Fatal(read, write)
	}
	if err := conn.Write([]byte("behind"), nil, patience); err != nil {
		t.Fatal(err)
	}
	conn.CutWrite()
	if !bytes.Equal(<-arrived, append(append([]byte("before"), text...), "behind"...)) {
		t.Error("something else arrived")
	}
}

// A peer that takes little at a time makes short writes.
func TestSendFileSlowly(t *testing.T) {
	f, text := filed(t, 2<<20)
	conn, far := pair(t, "tcp")
	far.(*net.TCPConn).SetReadBuffer(64 << 10)
	conn.nc.(*net.TCPConn).SetWriteBuffer(32 << 10)
	arrived := reads(far, 3001)
	if sent, read, write := SendFile(conn, f, 0, int64(len(text)), patience); sent != int64(len(text)) || read != nil || write != nil {
		t.Fatalf("sent %d, %v, %v", sent, read, write)
	}
	conn.CutWrite()
	if !bytes.Equal(<-arrived, text) {
		t.Error("something else arrived")
	}
	if conn.WriteWaited() == 0 {
		t.Error("no waiting was counted")
	}
}

func TestSendFileFails(t *testing.T) {
	f, text := filed(t, 8<<20)
	conn, _ := pair(t, "tcp")
	if _, read, write := SendFile(conn, f, 0, int64(len(text)), int64(20*time.Millisecond)); read != nil || write != ErrTimeout {
		t.Errorf("nobody reads: %v, %v", read, write)
	}

	conn, far := pair(t, "tcp")
	go func(far net.Conn) {
		io.ReadFull(far, make([]byte, 50_000))
		far.Close()
	}(far)
	if _, read, write := SendFile(conn, f, 0, int64(len(text)), patience); read != nil || write == nil || write == ErrTimeout {
		t.Errorf("gone: %v, %v", read, write)
	}

	conn, _ = pair(t, "tcp")
	conn.Kill()
	if sent, read, write := SendFile(conn, f, 0, 10, patience); sent != 0 || read != nil || write == nil {
		t.Errorf("killed: %d, %v, %v", sent, read, write)
	}

	conn, far = pair(t, "tcp")
	arrived := reads(far, 64<<10)
	sent, read, write := SendFile(conn, f, int64(len(text)-100_000), 200_000, patience)
	conn.CutWrite()
	if got := <-arrived; sent != 100_000 || read != io.ErrUnexpectedEOF || write != nil || !bytes.Equal(got, text[len(text)-100_000:]) {
		t.Errorf("beyond the end: sent %d, %v, %v; %d arrived", sent, read, write, len(got))
	}

	conn, _ = pair(t, "tcp")
	closed, _ := filed(t, 10)
	closed.Close()
	if sent, read, write := SendFile(conn, closed, 0, 10, patience); sent != 0 || read == nil || write != nil {
		t.Errorf("a closed file: %d, %v, %v", sent, read, write)
	}
	if dir, err := os.Open(t.TempDir()); err == nil {
		defer dir.Close()
		if sent, read, write := SendFile(conn, dir, 0, 10, patience); sent != 0 || read == nil || write != nil {
			t.Errorf("a folder: %d, %v, %v", sent, read, write)
		}
	}

	conn, _ = pair(t, "tls")
	if sent, read, write := SendFile(conn, f, 0, 10, patience); sent != 0 || read != ErrNoSplice || write != nil || conn.TakesParcels() {
		t.Errorf("TLS: %d, %v, %v", sent, read, write)
	}
	p, err := NewParcel()
	if err != nil {
		t.Fatal(err)
	}
	p.Load(f, 0, 10)
	if sent, err := conn.SendParcel(p, patience); sent != 0 || err != ErrNoSplice {
		t.Errorf("a parcel over TLS: %d, %v", sent, err)
	}
	p.Drop()
}

// What was loaded is sent as it was, whatever became of the file since; nothing waits for the disk any more.
func TestParcelOutlivesItsFile(t *testing.T) {
	f, text := filed(t, 1<<20)
	conn, far := pair(t, "tcp")
	p, err := NewParcel()
	if err != nil {
		t.Fatal(err)
	}
	n, err := p.Load(f, 100, ParcelSize)
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	if err := os.Truncate(f.Name(), 0); err != nil {
		t.Fatal(err)
	}
	os.Remove(f.Name())
	f.Close()
	arrived := reads(far, 64<<10)
	if sent, err := conn.SendParcel(p, patience); sent != n || err != nil {
		t.Fatalf("sent %d of %d, %v", sent, n, err)
	}
	p.Drop()
	conn.CutWrite()
	if got := <-arrived; !bytes.Equal(got, text[100:100+n]) {
		t.Errorf("%d bytes arrived, something else than the %d that were loaded", len(got), n)
	}
}

// A parcel that was not sent does not spill into another's.
func TestDroppedParcel(t *testing.T) {
	f, text := filed(t, 100_000)
	p, err := NewParcel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Load(f, 0, 50_000); err != nil {
		t.Fatal(err)
	}
	p.Drop()
	conn, far := pair(t, "tcp")
	arrived := reads(far, 64<<10)
	if _, read, write := SendFile(conn, f, 50_000, 50_000, patience); read != nil || write != nil {
		t.Fatal(read, write)
	}
	conn.CutWrite()
	if !bytes.Equal(<-arrived, text[50_000:]) {
		t.Error("something else arrived")
	}
}

// BenchmarkSendFile sends 64 MiB in memory to a peer that drops it: by parcels, by one sendfile, and by reading and writing 64 KiB.
func BenchmarkSendFile(b *testing.B) {
	f, text := filed(b, 64<<20)
	size := int64(len(text))
	run := func(name string, send func(conn *Conn) error) {
		b.Run(name, func(b *testing.B) {
			conn, far := pair(b, "tcp")
			go func() {
				sink, _ := far.(*net.TCPConn).SyscallConn()
				for {
					done := false
					err := sink.Read(func(fd uintptr) bool {
						n, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, fd, 0, 4<<20, unix.MSG_TRUNC, 0, 0)
						done = errno == 0 && n == 0 || errno != 0 && errno != syscall.EAGAIN
						return errno != syscall.EAGAIN
					})
					if done || err != nil {
						return
					}
				}
			}()
			b.SetBytes(size)
			var before, after unix.Rusage
			unix.Getrusage(unix.RUSAGE_SELF, &before)
			for b.Loop() {
				if err := send(conn); err != nil {
					b.Fatal(err)
				}
			}
			unix.Getrusage(unix.RUSAGE_SELF, &after)
			spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(spent)/float64(b.N)/64, "cpu-ns/MiB")
		})
	}
	run("parcels", func(conn *Conn) error {
		_, read, write := SendFile(conn, f, 0, size, patience)
		return firstOf(read, write)
	})
	run("sendfile", func(conn *Conn) error {
		var at int64
		var failed error
		err := conn.rc.Write(func(fd uintptr) bool {
			for at < size {
				_, err := unix.Sendfile(int(fd), int(f.Fd()), &at, int(size-at))
				if err == unix.EAGAIN {
					return false
				}
				if err != nil {
					failed = err
					return true
				}
			}
			return true
		})
		return firstOf(err, failed)
	})
	buf := make([]byte, 64<<10)
	run("copying", func(conn *Conn) error {
		for at := int64(0); at < size; at += int64(len(buf)) {
			if _, err := f.ReadAt(buf, at); err != nil {
				return err
			}
			if err := conn.Write(buf, nil, patience); err != nil {
				return err
			}
		}
		return nil
	})
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
