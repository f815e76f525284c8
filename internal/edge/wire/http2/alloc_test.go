package http2

import (
	"io"
	"net"
	"runtime/debug"
	"testing"

	framing "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"straum.dev/straum/internal/edge/exchange"
)

// row is a client that asks the same over and over, as many streams at once as it is told, and costs no memory.
type row struct {
	t       testing.TB
	nc      net.Conn
	block   []byte
	content []byte
	out, in []byte
	next    uint32
	have    int
}

// newRow connects and has everything of its requests in the tables.
func newRow(t testing.TB, p *place, content []byte, fields ...string) *row {
	c := connect(t, p)
	if content == nil {
		c.get(1, fields...)
	} else {
		c.post(1, fields...)
		c.framer.WriteData(1, true, content)
	}
	c.done(1)
	method := ":method"
	value := "GET"
	if content != nil {
		value = "POST"
	}
	block := c.encode(append([]string{method, value, ":scheme", "http", ":path", "/", ":authority", "example.com"}, fields...)...)
	return &row{t: t, nc: c.nc, block: block, content: content, in: make([]byte, 256<<10), next: 3}
}

// ask sends n requests and reads n responses.
func (r *row) ask(n int) {
	r.out = r.out[:0]
	for range n {
		flags := uint8(flagEndHeaders)
		if r.content == nil {
			flags |= flagEndStream
		}
		r.out = append(appendHeader(r.out, len(r.block), frameHeaders, flags, r.next), r.block...)
		if r.content != nil {
			r.out = append(appendHeader(r.out, len(r.content), frameData, flagEndStream, r.next), r.content...)
		}
		r.next += 2
	}
	if _, err := r.nc.Write(r.out); err != nil {
		r.t.Fatal(err)
	}
	content := 0
	for ended := 0; ended < n; {
		got, err := r.nc.Read(r.in[r.have:])
		if err != nil {
			r.t.Fatal(err)
		}
		r.have += got
		at := 0
		for r.have-at >= headerSize {
			h := readHeader(r.in[at:])
			if r.have-at < headerSize+h.length {
				break
			}
			if h.kind == frameReset || h.kind == frameGoAway {
				r.t.Fatalf("got frame %d", h.kind)
			}
			if h.kind == frameData {
				content += h.length
			}
			if (h.kind == frameData || h.kind == frameHeaders) && h.has(flagEndStream) {
				ended++
			}
			at += headerSize + h.length
		}
		r.have = copy(r.in, r.in[at:r.have])
	}
	if content > 0 {
		if _, err := r.nc.Write(appendWindow(r.out[:0], 0, int64(content))); err != nil {
			r.t.Fatal(err)
		}
	}
}

// An ordinary request allocates nothing on its way in and out, alone or among others, with content or without.
func TestRequestsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the pools
	text := []byte(`{"id":42,"status":"shipped"}`)
	f := func(name string, streams int, content []byte) {
		t.Helper()
		p := serve(t, roomy(), answering(func(x *exchange.Exchange) {
			if x.Request.Body != nil {
				for {
					if _, err := x.Request.Body.Next(); err == io.EOF {
						break
					} else if err != nil {
						t.Error(err)
						break
					}
				}
			}
			x.Respond(200, "application/json", text)
		}))
		r := newRow(t, p, content, "user-agent", "curl/8.5.0", "accept", "*/*")
		for range 100 {
			r.ask(streams)
		}
		if got := testing.AllocsPerRun(1000/streams, func() { r.ask(streams) }) / float64(streams); got > 0.05 {
			t.Errorf("%s: %v allocations a request, want none", name, got)
		}
	}
	f("alone", 1, nil)
	f("32 at once", 32, nil)
	f("with content", 1, text)
	f("32 with content", 32, text)
	f("with much content", 1, make([]byte, 12<<10))
}

func BenchmarkRequests(b *testing.B) {
	for name, streams := range map[string]int{"alone": 1, "32": 32} {
		b.Run(name, func(b *testing.B) {
			p := serve(b, roomy(), answering(hello))
			r := newRow(b, p, nil, "user-agent", "curl/8.5.0", "accept", "*/*")
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N / streams {
				r.ask(streams)
			}
		})
	}
}

// What golang.org/x/net/http2's Framer would cost for the frames of one request: the reason for reading frames where they lie.
func BenchmarkFramer(b *testing.B) {
	var block []byte
	{
		p := serve(b, roomy(), answering(hello))
		block = newRow(b, p, nil).block
	}
	frame := append(appendHeader(nil, len(block), frameHeaders, flagEndHeaders|flagEndStream, 1), block...)
	b.Run("framer", func(b *testing.B) {
		b.ReportAllocs()
		in := &again{p: frame}
		f := framing.NewFramer(io.Discard, in)
		f.SetReuseFrames()
		for b.Loop() {
			if _, err := f.ReadFrame(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("in place", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h := readHeader(frame)
			if h.check() != nil || h.lead() != len(frame) {
				b.Fatal("not a frame")
			}
		}
	})
}

// again reads the same bytes over and over.
type again struct {
	p  []byte
	at int
}

func (a *again) Read(p []byte) (int, error) {
	n := copy(p, a.p[a.at:])
	a.at = (a.at + n) % len(a.p)
	return n, nil
}

// Encoding a response allocates nothing.
func TestEncodingAllocatesNothing(t *testing.T) {
	var x exchange.Exchange
	x.Respond(200, "application/json", []byte("{}"))
	x.Response.Header.Add("ETag", `"abc"`)
	x.Response.Header.Add("X-Custom", "value")
	out := make([]byte, 0, 4<<10)
	if got := testing.AllocsPerRun(100, func() { appendResponse(out, &x, 200, 1) }); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
	fields, err := hpack.NewDecoder(0, nil).DecodeFull(appendResponse(out, &x, 200, 1))
	if err != nil || len(fields) != 6 {
		t.Errorf("got %v, %v", fields, err)
	}
}
