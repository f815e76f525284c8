// Package big proves from outside that size costs nothing: large bodies pass through little memory, and so do many connections.
package big

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// size of a body: 1 GiB, or a part of it where time is short.
func size() int64 {
	if testing.Short() || gateway.Race {
		return 256 << 20
	}
	return 1 << 30
}

// pattern fills p with what belongs at an offset of a body, so that a byte that is lost, doubled or moved shows.
func pattern(p []byte, offset int64) {
	for i := range p {
		n := offset + int64(i)
		p[i] = byte(n>>12) ^ byte(n>>20) ^ byte(n)
	}
}

// block is how much of the pattern is made once and used again and again: it repeats, but not soon.
const block = 1 << 20

// send writes size bytes of the pattern.
func send(w io.Writer, size int64) error {
	p := make([]byte, block)
	pattern(p, 0)
	for size > 0 {
		n := min(size, block)
		stamp(p, size)
		if _, err := w.Write(p[:n]); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// stamp numbers a block.
func stamp(p []byte, n int64) {
	for i := range 8 {
		p[i] = byte(n >> (8 * i))
	}
}

// receive reads size bytes and wants the pattern.
func receive(r io.Reader, size int64) error {
	got, want := make([]byte, block), make([]byte, block)
	pattern(want, 0)
	for left := size; left > 0; {
		n := min(left, block)
		if _, err := io.ReadFull(r, got[:n]); err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", size-left, size, err)
		}
		stamp(want, left)
		if string(got[:n]) != string(want[:n]) {
			return fmt.Errorf("another content within the block at %d", size-left)
		}
		left -= n
	}
	return nil
}

// endpoint takes and sends bodies of a size, with a length or in chunks.
func endpoint(t *testing.T, size int64) string {
	e := traffic.NewScripted(t, func(c net.Conn, _ int64) {
		in := bufio.NewReaderSize(c, 64<<10)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			switch {
			case r.Method == http.MethodPost:
				if err := receive(r.Body, size); err != nil {
					t.Errorf("the endpoint got a bad body: %v", err)
					return
				}
				io.WriteString(c, traffic.OK)
			case r.URL.Path == "/chunked":
				io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				if send(chunks{c}, size) != nil {
					return
				}
				io.WriteString(c, "0\r\n\r\n")
			default:
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
				if send(c, size) != nil {
					return
				}
			}
		}
	})
	return e.Addr
}

type chunks struct{ w io.Writer }

func (c chunks) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), 50_000)
		if _, err := fmt.Fprintf(c.w, "%x\r\n%s\r\n", n, rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

func run(t *testing.T, size int64, talk func(c net.Conn, in *bufio.Reader) error) {
	t.Helper()
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{endpoint(t, size)}, ""))
	c, err := net.Dial("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := talk(c, bufio.NewReaderSize(c, 64<<10)); err != nil {
		t.Fatal(err)
	}
	_, most := g.Memory()
	t.Logf("%d MiB took %d KiB of memory at most and %s of processor time", size>>20, most>>10, g.CPU())
	if most > 64<<20 && !gateway.Race {
		t.Errorf("memory was %d bytes at most, want 64 MiB", most)
	}
	if n := g.Number("straum_faults_total"); n != 0 {
		t.Errorf("got %v faults", n)
	}
}

func get(path string, size int64) func(c net.Conn, in *bufio.Reader) error {
	return func(c net.Conn, in *bufio.Reader) error {
		io.WriteString(c, traffic.Get(path))
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("got %s", r.Status)
		}
		if err := receive(r.Body, size); err != nil {
			return err
		}
		if n, err := io.Copy(io.Discard, r.Body); n > 0 || err != nil {
			return fmt.Errorf("%d bytes too many, %w", n, err)
		}
		return nil
	}
}

// post sends a head and a body, and reads what is answered before its end, too.
func post(head string, size int64, wrap func(io.Writer) io.Writer, end string) func(c net.Conn, in *bufio.Reader) error {
	return func(c net.Conn, in *bufio.Reader) error {
		sent := make(chan error, 1)
		go func() {
			io.WriteString(c, head)
			err := send(wrap(c), size)
			if err == nil {
				_, err = io.WriteString(c, end)
			}
			sent <- err
		}()
		r, _, err := traffic.Answer(in, "POST")
		if err != nil {
			return err
		}
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("got %s", r.Status)
		}
		return <-sent
	}
}

func TestDownload(t *testing.T) { run(t, size(), get("/length", size())) }

// TestChunkedDownload cannot be moved inside the kernel.
func TestChunkedDownload(t *testing.T) { run(t, size()/4, get("/chunked", size()/4)) }

func TestUpload(t *testing.T) {
	run(t, size(), post(fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", size()), size(),
		func(w io.Writer) io.Writer { return w }, ""))
}

func TestChunkedUpload(t *testing.T) {
	run(t, size()/4, post("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", size()/4,
		func(w io.Writer) io.Writer { return chunks{w} }, "0\r\n\r\n"))
}

// TestIdleConnections keeps 15,000 connections open that have each carried a request: they cost next to nothing, and still serve.
func TestIdleConnections(t *testing.T) {
	if gateway.Race {
		t.Skip("memory under the race detector tells nothing")
	}
	const want, spare = 15_000, 1000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	conns := int(min(want, limit.Max-spare))
	if testing.Short() {
		conns = min(conns, 2000)
	}
	e := traffic.NewScripted(t, traffic.ServeOK)
	listen := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(listen, []string{e.Addr}, ""))
	open := make([]net.Conn, conns)
	defer func() {
		for _, c := range open {
			if c != nil {
				c.Close()
			}
		}
	}()
	var work sync.WaitGroup
	const workers = 8
	for w := range workers {
		work.Go(func() {
			// Each worker has a client address of its own, and so ports of its own.
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(10+w))}, Timeout: gateway.Patience}
			in := bufio.NewReader(nil)
			for i := w; i < conns; i += workers {
				c, err := d.Dial("tcp", listen)
				if err != nil {
					t.Error(err)
					return
				}
				open[i] = c
				in.Reset(c)
				if r, _, err := traffic.Exchange(c, in, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK {
					t.Errorf("connection %d: %v %v", i, r, err)
					return
				}
			}
		})
	}
	work.Wait()
	if t.Failed() {
		return
	}
	gateway.Await(t, "all are parked", func() bool { return g.Number("straum_listener_parked_connections") == float64(conns) })
	// The goal is 60 MB for the program as it is shipped; with its symbols, as tests build it, some more of it lies in memory. About 20 MiB
	// are pages of the program's file, 5 of them since it knows CEL, Redis and OpenID, which the kernel drops when memory is short. What was
	// needed for a moment while they all came and is free again goes back to the system within minutes, and is left out.
	now, _ := g.Memory()
	free := int64(g.Number("go_memstats_heap_idle_bytes") - g.Number("go_memstats_heap_released_bytes"))
	if now-free > 74<<20 {
		t.Errorf("%d KiB of memory, %d KiB of it free, for %d idle connections", now>>10, free>>10, conns)
	}
	t.Logf("%d idle connections: %d KiB, %d KiB of it free", conns, now>>10, free>>10)
	in := bufio.NewReader(nil)
	for i := 0; i < conns; i += 50 {
		in.Reset(open[i])
		if r, _, err := traffic.Exchange(open[i], in, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("connection %d is not served any more: %v %v", i, r, err)
		}
	}
}
