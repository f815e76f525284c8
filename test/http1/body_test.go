package http1

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/test/wire"
)

// sizes lie around the borders of buffers.
var sizes = []int{0, 1, 2, 100, 2047, 2048, 2049, 4095, 4096, 4097, 8191, 8192, 8193, 16383, 16384, 16385, 32767, 32768, 32769,
	65535, 65536, 65537, 128<<10 - 1, 128 << 10, 128<<10 + 1, 256<<10 + 1, 1 << 20}

// content is n bytes that repeat nowhere, so that a run that is lost, doubled or moved shows.
func content(n int, seed uint64) string {
	b := make([]byte, n+8)
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return string(b[:n])
}

// chunked frames s in chunks whose sizes size tells.
func chunked(s string, size func() int) string {
	var b strings.Builder
	for s != "" {
		n := min(len(s), max(1, size()))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, s[:n])
		s = s[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// cuts are ways to send a message of a head and a body in several writes.
var cuts = []struct {
	name string
	cut  func(head, body string) []string
}{
	{"at once", func(head, body string) []string { return []string{head + body} }},
	{"head first", func(head, body string) []string { return []string{head, body} }},
	{"with one byte", func(head, body string) []string {
		return []string{head + body[:min(1, len(body))], body[min(1, len(body)):]}
	}},
	{"last byte alone", func(head, body string) []string {
		return []string{head + body[:max(0, len(body)-1)], body[max(0, len(body)-1):]}
	}},
	{"inside the head", func(head, body string) []string {
		return []string{head[:9], head[9 : len(head)-1], head[len(head)-1:] + body}
	}},
	{"pieces of 5000", func(head, body string) []string { return pieces(head+body, func() int { return 5000 }) }},
	{"pieces by chance", func(head, body string) []string {
		return pieces(head+body, func() int { return 1 + rand.IntN(1<<rand.IntN(18)) })
	}},
}

func pieces(s string, size func() int) []string {
	var all []string
	for s != "" {
		n := min(len(s), size())
		all = append(all, s[:n])
		s = s[n:]
	}
	return all
}

// framings are ways to say how long a body is. head is the fields that say it.
var framings = []struct {
	name  string
	frame func(body string) (head, framed string)
}{
	{"length", func(body string) (string, string) { return fmt.Sprintf("Content-Length: %d\r\n", len(body)), body }},
	{"one chunk", func(body string) (string, string) {
		return "Transfer-Encoding: chunked\r\n", chunked(body, func() int { return len(body) })
	}},
	{"chunks", func(body string) (string, string) {
		return "Transfer-Encoding: chunked\r\n", chunked(body, func() int { return 1 + rand.IntN(1+len(body)/7) })
	}},
}

// mirror answers with the body it was sent. X-Framing and X-Cut tell by which of framings and cuts.
func mirror(p *wire.Peer, m *wire.Message) bool {
	p.Body(m, "")
	framing, _ := strconv.Atoi(m.Get("X-Framing"))
	cut, _ := strconv.Atoi(m.Get("X-Cut"))
	if framing == len(framings) { // until the connection closes
		p.Send(cuts[cut].cut("HTTP/1.1 200 OK\r\n\r\n", string(m.Body))...)
		return false
	}
	head, framed := framings[framing].frame(string(m.Body))
	p.Send(cuts[cut].cut(fmt.Sprintf("HTTP/1.1 200 OK\r\n%sX-Sum: %x\r\n\r\n", head, sha256.Sum256(m.Body)), framed)...)
	return true
}

// Every size, framed and cut in every way, arrives byte for byte in both directions, and the connection goes on after each.
func TestBodies(t *testing.T) {
	t.Parallel()
	addr := front(t, mirror, "")
	bodies := map[int]string{}
	for _, n := range sizes {
		bodies[n] = content(n, 1)
	}
	work := make(chan [3]int) // size, framing, cut of the request
	var group sync.WaitGroup
	for worker := range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			c := wire.Dial(t, addr)
			for w := range work {
				body := bodies[w[0]]
				head, framed := framings[w[1]].frame(body)
				back, backCut := rand.IntN(len(framings)+1), rand.IntN(len(cuts))
				what := fmt.Sprintf("worker %d: %d bytes, %s, %s, answered by %d, %s", worker, w[0], framings[w[1]].name, cuts[w[2]].name, back, cuts[backCut].name)
				request := cuts[w[2]].cut(fmt.Sprintf("POST /mirror HTTP/1.1\r\nHost: a\r\nX-Framing: %d\r\nX-Cut: %d\r\n%s\r\n", back, backCut, head), framed)
				c.Send(request...)
				m, err := c.TryHead()
				if err == nil {
					err = c.TryBody(m, "POST")
				}
				if err != nil {
					t.Errorf("%s: %v after %d bytes", what, err, len(m.Body))
					c = wire.Dial(t, addr)
					continue
				}
				if m.Status() != 200 || string(m.Body) != body {
					t.Errorf("%s: %d, %s", what, m.Status(), difference(m.Body, body))
				}
				if m.Has("Connection") {
					t.Errorf("%s: the connection does not go on: %s", what, m)
					c = wire.Dial(t, addr)
				}
			}
		}()
	}
	for _, n := range sizes {
		for f := range framings {
			for cut := range cuts {
				work <- [3]int{n, f, cut}
			}
		}
	}
	close(work)
	group.Wait()
}

// difference tells where two bodies part.
func difference(got []byte, want string) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("%d bytes, want %d, they part at %d", len(got), len(want), i)
}

// A long body flows through in both directions at the same time, and neither is held in memory until it is whole.
func TestBothDirectionsAtOnce(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	body := content(size, 2)
	for i, framing := range framings {
		if i == 1 {
			continue
		}
		t.Run(framing.name, func(t *testing.T) {
			t.Parallel()
			addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
				if m.Has("Content-Length") {
					p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
					for left := size; left > 0; {
						piece := p.Bytes(min(left, 30_000))
						left -= len(piece)
						p.Send(piece)
					}
					return true
				}
				p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				for {
					piece := p.Chunk()
					if piece == "" {
						p.Bytes(2)
						p.Send("0\r\n\r\n")
						return true
					}
					p.Send(fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece))
				}
			}, "")
			head, framed := framing.frame(body)
			c := wire.Dial(t, addr)
			go func() {
				for _, piece := range append([]string{"POST / HTTP/1.1\r\nHost: a\r\n" + head + "\r\n"}, pieces(framed, func() int { return 100_000 })...) {
					if c.TrySend(piece) != nil {
						return
					}
				}
			}()
			m := c.Answer("POST")
			if string(m.Body) != body {
				t.Error(difference(m.Body, body))
			}
		})
	}
}

// A client that does not read for a while, and an endpoint that does not, hold the other side up and lose nothing.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	const size = 16 << 20 // more than socket buffers hold
	body := content(size, 3)
	full := make(chan bool)
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		if m.Method() == "POST" {
			<-full
			p.Body(m, "")
			p.Send(wire.OK(fmt.Sprintf("%x", sha256.Sum256(m.Body))))
			return true
		}
		p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		sent := make(chan error, 1)
		go func() { sent <- p.TrySend(body[:size-1]) }()
		full <- true
		if err := <-sent; err != nil {
			t.Error(err)
		}
		p.Send(body[size-1:])
		return true
	}, "")
	c := wire.Dial(t, addr)

	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-full // the endpoint is sending, and we read nothing yet
	m := c.Answer("GET")
	if string(m.Body) != body {
		t.Error(difference(m.Body, body))
	}

	sent := make(chan error, 1)
	go func() {
		sent <- c.TrySend(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, body))
	}()
	full <- true
	m = c.Answer("POST")
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(body))); string(m.Body) != want {
		t.Errorf("the endpoint got %q, want %q", m.Body, want)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// A client that leaves in the middle of an answer costs the gateway that connection and nothing else.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	body := content(4<<20, 4)
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		return p.TrySend(wire.OK(body)) == nil
	}, "")
	for i := range 20 {
		c := wire.Dial(t, addr)
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		c.Bytes(100_000)
		if i%2 == 0 {
			c.Reset()
		} else {
			c.Close()
		}
	}
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if m := c.Answer("GET"); string(m.Body) != body {
		t.Error(difference(m.Body, body))
	}
}

// An answer that breaks off looks broken to the client too: it must never be taken for a whole one.
func TestAnswerBreaksOff(t *testing.T) {
	t.Parallel()
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		switch m.Target() {
		case "/length":
			p.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 60000))
		case "/chunked":
			p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
		case "/chunk":
			p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\nabcde")
		case "/no-chunk":
			p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
		case "/reset":
			p.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 60000))
			p.Reset()
		}
		return false
	}, "")
	for _, path := range []string{"/length", "/chunked", "/chunk", "/no-chunk", "/reset"} {
		for _, version := range []string{"1.1", "1.0"} {
			c := wire.Dial(t, addr)
			c.Send("GET " + path + " HTTP/" + version + "\r\nHost: a\r\n\r\n")
			m := c.Head()
			if m.Status() == 502 {
				continue // nothing had been passed on yet
			}
			err := c.TryBody(m, "GET")
			if err == nil {
				t.Errorf("%s: HTTP/%s: it looks whole: %d bytes by %s", path, version, len(m.Body), m.Framing)
			}
		}
	}
}

// Chunks of one byte are many small writes; they are not lost or reordered, and trailers come behind them.
func TestTinyChunksAndTrailers(t *testing.T) {
	t.Parallel()
	body := content(3000, 5)
	all := chunked(body, func() int { return 1 })
	withTrailers := strings.TrimSuffix(all, "\r\n") + "X-Sum: 42\r\nX-Other: a b\r\n\r\n"
	got := make(chan *wire.Message, 1)
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		got <- m
		p.Send(pieces("HTTP/1.1 200 OK\r\nTrailer: X-Sum, X-Other\r\nTransfer-Encoding: chunked\r\n\r\n"+withTrailers, func() int { return 1 + rand.IntN(500) })...)
		return true
	}, "")
	c := wire.Dial(t, addr)
	for range 3 {
		c.Send(pieces("POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum, X-Other\r\nTransfer-Encoding: chunked\r\n\r\n"+withTrailers, func() int { return 1 + rand.IntN(500) })...)
		sent, back := <-got, c.Answer("POST")
		for _, m := range []*wire.Message{sent, back} {
			if m.Framing != "chunked" || string(m.Body) != body {
				t.Errorf("%s: %s, %s", m.Start, m.Framing, difference(m.Body, body))
			}
			if want := []wire.Field{{Name: "X-Sum", Value: "42"}, {Name: "X-Other", Value: "a b"}}; fmt.Sprint(m.Trailers) != fmt.Sprint(want) {
				t.Errorf("%s: trailers %v, want %v", m.Start, m.Trailers, want)
			}
			if m.Get("Trailer") != "X-Sum, X-Other" {
				t.Errorf("%s: Trailer is %q", m.Start, m.Get("Trailer"))
			}
		}
	}
}

// Chunk extensions and leading zeros are the sender's and the hop's, and go no further.
func TestChunkExtensionsStay(t *testing.T) {
	t.Parallel()
	raw := make(chan string, 1)
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		var b bytes.Buffer
		p.In = bufio.NewReader(io.TeeReader(p.In, &b))
		p.Body(m, "")
		raw <- b.String()
		p.Send(wire.OK(string(m.Body)))
		return false
	}, "")
	c := wire.Dial(t, addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0003;a=b;c=\"d\"\r\nabc\r\n00000A\r\n0123456789\r\n0;x\r\n\r\n")
	if m := c.Answer("POST"); string(m.Body) != "abc0123456789" {
		t.Errorf("%q", m.Body)
	}
	if got := <-raw; strings.ContainsAny(got, ";=\"") || strings.Contains(got, "\r\n00") {
		t.Errorf("the endpoint got %q", got)
	}
}

// A POST without content says so (RFC 9110 §8.6); one that the client gave a length of 0 keeps it.
func TestEmptyBodies(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	addr := front(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("") }), "")
	c := wire.Dial(t, addr)
	for _, test := range []struct{ request, length, framing string }{
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "0", "length"},
		{"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "0", "length"},
		{"PUT / HTTP/1.1\r\nHost: a\r\n\r\n", "0", "length"},
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", "none"},
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "0", "length"},
		{"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "", "none"},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", "chunked"},
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "3", "length"},
		{"DELETE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "", "chunked"},
	} {
		c.Send(test.request)
		back := c.Answer("POST")
		m := seen.One(t)
		if m.Get("Content-Length") != test.length || m.Framing != test.framing {
			t.Errorf("%q reached the endpoint as %s", test.request, m)
		}
		if back.Get("Content-Length") != "0" || back.Has("Transfer-Encoding") {
			t.Errorf("%q: %s", test.request, back)
		}
	}
}
