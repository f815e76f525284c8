package http1

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// echo answers with the method, the target and the body of the request.
func echo(p *wire.Peer, m *wire.Message) bool {
	p.Body(m, "")
	body := m.Method() + " " + m.Target() + " " + string(m.Body)
	if m.Method() == "HEAD" {
		p.Send("HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
		return true
	}
	p.Send(wire.OK(body))
	return true
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	addr := front(t, echo, "")
	c := wire.Dial(t, addr)
	for i := range 100 {
		c.Send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i))
		m := c.Answer("GET")
		if want := fmt.Sprintf("GET /%d ", i); string(m.Body) != want {
			t.Fatalf("%q, want %q", m.Body, want)
		}
		if m.Has("Connection") {
			t.Fatalf("Connection: %s on a connection that goes on", m.Get("Connection"))
		}
	}
}

func TestLastRequest(t *testing.T) {
	t.Parallel()
	addr := front(t, echo, "")
	for _, test := range []struct{ head, connection string }{
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close"},
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close\r\n\r\n", "close"},
		{"GET / HTTP/1.0\r\n\r\n", "close"},
		{"GET / HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n", "close"},
		{"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close"},
		{"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab", "close"},
	} {
		c := wire.Dial(t, addr)
		c.Send(test.head)
		method, _, _ := strings.Cut(test.head, " ")
		m := c.Answer(method)
		if m.Status() != 200 || m.Get("Connection") != test.connection {
			t.Errorf("%q: %s", test.head, m)
		}
		c.Ended()
	}
}

func TestHTTP10KeepAlive(t *testing.T) {
	t.Parallel()
	addr := front(t, echo, "")
	c := wire.Dial(t, addr)
	for range 3 {
		c.Send("GET /old HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n")
		m := c.Answer("GET")
		if string(m.Body) != "GET /old " || m.Get("Connection") != "keep-alive" {
			t.Fatalf("%s%q", m, m.Body)
		}
	}
}

// A request in HTTP/1.0 cannot be answered in chunks (RFC 9112 §6.1).
func TestHTTP10Chunked(t *testing.T) {
	t.Parallel()
	addr := front(t, wire.Answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n"), "")
	for _, connection := range []string{"", "Connection: keep-alive\r\n"} {
		c := wire.Dial(t, addr)
		c.Send("GET / HTTP/1.0\r\n" + connection + "\r\n")
		m := c.Answer("GET")
		if m.Framing != "close" || string(m.Body) != "abcdefg" || m.Get("Connection") != "close" {
			t.Errorf("%s%q", m, m.Body)
		}
	}
}

// An endpoint that speaks HTTP/1.0 is answered for in HTTP/1.1.
func TestHTTP10Endpoint(t *testing.T) {
	t.Parallel()
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		p.Send("HTTP/1.0 200 Fine\r\nContent-Type: text/plain\r\n\r\nuntil the end")
		return false
	}, "")
	c := wire.Dial(t, addr)
	for range 3 {
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		m := c.Answer("GET")
		if m.Start != "HTTP/1.1 200 OK" || m.Framing != "chunked" || string(m.Body) != "until the end" {
			t.Fatalf("%s%q", m, m.Body)
		}
	}
}

func TestPipelined(t *testing.T) {
	t.Parallel()
	addr := front(t, echo, "")
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		c := wire.Dial(t, addr)
		var all strings.Builder
		for i := range 300 { // more than one buffer holds
			fmt.Fprintf(&all, "%s /%d HTTP/1.1\r\nHost: a\r\nX-Padding: %s\r\n\r\n", method, i, strings.Repeat("x", i%40))
		}
		go c.TrySend(all.String())
		for i := range 300 {
			m := c.Answer(method)
			want := fmt.Sprintf("%s /%d ", method, i)
			if m.Get("Content-Length") != strconv.Itoa(len(want)) || method != "HEAD" && string(m.Body) != want {
				t.Fatalf("%s%q, want %q", m, m.Body, want)
			}
		}
	}
}

// posts makes pipelined requests with bodies of both kinds of framing, with others between, and the answers of echo.
func posts(n int) (all string, want []string) {
	var b strings.Builder
	for i := range n {
		body := strings.Repeat(string(rune('a'+i%26)), i*i%700)
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
		case 1:
			fmt.Fprintf(&b, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
			body = ""
		default:
			fmt.Fprintf(&b, "POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", i)
			for rest := body; rest != ""; {
				piece := rest[:min(len(rest), 1+i%100)]
				rest = rest[len(piece):]
				fmt.Fprintf(&b, "%x\r\n%s\r\n", len(piece), piece)
			}
			b.WriteString("0\r\n\r\n")
		}
		method := "POST"
		if i%4 == 1 {
			method = "GET"
		}
		want = append(want, fmt.Sprintf("%s /%d %s", method, i, body))
	}
	return b.String(), want
}

func TestPipelinedPosts(t *testing.T) {
	t.Parallel()
	addr := front(t, echo, "")
	all, want := posts(120)
	for _, size := range []int{1 << 20, 4096, 4095, 1000, 97, 11, 1} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			c := wire.Dial(t, addr)
			go func() {
				for rest := all; rest != ""; {
					piece := rest[:min(len(rest), size)]
					rest = rest[len(piece):]
					if c.TrySend(piece) != nil {
						return
					}
				}
			}()
			for i, want := range want {
				m := c.Answer("POST")
				if string(m.Body) != want {
					t.Fatalf("answer %d: %.100q, want %.100q", i, m.Body, want)
				}
				if m.Has("Connection") {
					t.Fatalf("answer %d of %d to %.20q is the last: %s", i, len(want), want, m)
				}
			}
		})
	}
}

// A request that comes while the one before is being worked on has nobody waiting for it at that time, and yet must not be forgotten.
func TestPipelinedWhileWorking(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan string), make(chan bool)
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		arrived <- m.Target()
		<-answer
		p.Send(wire.OK(m.Target()))
		return true
	}, "")
	get := "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
	post := "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
	for _, kinds := range [][2]string{{get, get}, {get, post}, {post, get}, {post, post}} {
		c := wire.Dial(t, addr)
		c.Send(fmt.Sprintf(kinds[0], 0))
		for i := range 50 {
			if got, want := <-arrived, "/"+strconv.Itoa(i); got != want {
				t.Fatalf("%s arrived, want %s", got, want)
			}
			c.Send(fmt.Sprintf(kinds[(i+1)%2], i+1))
			answer <- true
			if m := c.Answer("GET"); string(m.Body) != "/"+strconv.Itoa(i) {
				t.Fatalf("%q answers request %d", m.Body, i)
			}
		}
		<-arrived
		answer <- true
		c.Answer("GET")
	}
}

// The same, in two pieces: a part of the next head comes while the request is being worked on.
func TestNextHeadInPieces(t *testing.T) {
	t.Parallel()
	addr := front(t, echo, "")
	c := wire.Dial(t, addr)
	request := "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345"
	sent := 0
	var ahead string
	for i := range 300 {
		whole := ahead + fmt.Sprintf(request, i)[len(ahead):]
		next := fmt.Sprintf(request, i+1)
		ahead = next[:rand.IntN(len(next)-5)]
		c.Send(whole[sent:] + ahead)
		sent = len(ahead)
		if m := c.Answer("POST"); string(m.Body) != fmt.Sprintf("POST /%d 12345", i) {
			t.Fatalf("%q answers request %d", m.Body, i)
		}
	}
}

// Many connections at a time, each busy with mixed requests: nothing gets crossed.
func TestNothingIsCrossed(t *testing.T) {
	t.Parallel()
	addr := front(t, echo, "")
	var group sync.WaitGroup
	for worker := range 32 {
		group.Add(1)
		go func() {
			defer group.Done()
			c := wire.Dial(t, addr)
			for i := range 60 {
				mark := fmt.Sprintf("%d-%d-%s", worker, i, strings.Repeat("z", rand.IntN(9000)))
				c.Send(fmt.Sprintf("PUT /%d/%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", worker, i, len(mark), mark))
				if m := c.Answer("PUT"); string(m.Body) != fmt.Sprintf("PUT /%d/%d %s", worker, i, mark) {
					t.Errorf("worker %d got %.60q for request %d", worker, m.Body, i)
					return
				}
			}
		}()
	}
	group.Wait()
}

// Connections that rest cost the gateway little, because it parks them; what comes then is served as ever: whole, in pieces, several
// at a time, or only the end of the connection.
func TestParked(t *testing.T) {
	t.Parallel()
	addr, g := frontSeen(t, echo, "")
	const n = 60
	all := make([]*wire.Peer, n)
	for i := range all {
		all[i] = wire.Dial(t, addr)
		if i%2 == 0 { // the others send nothing at first
			all[i].Send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
			all[i].Answer("GET")
		}
	}
	for range 2 {
		gateway.Await(t, "all to be parked", func() bool { return g.Number("straum_listener_parked_connections") == n })
		for i, c := range all {
			switch i % 4 {
			case 0:
				c.Send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
			case 1:
				c.Send("GET /ne", "xt HTTP/1.1\r\nHo", "st: a\r\n\r\n")
			case 2:
				c.Send("POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", "cd")
			case 3:
				c.Send("GET /next HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
			}
		}
		for i, c := range all {
			if i%4 == 3 {
				c.Answer("GET")
			}
			if m := c.Answer("GET"); m.Status() != 200 || !strings.Contains(string(m.Body), " /next ") {
				t.Fatalf("connection %d: %s%q", i, m, m.Body)
			}
		}
	}
	gateway.Await(t, "all to be parked", func() bool { return g.Number("straum_listener_parked_connections") == n })
	for i, c := range all {
		if i%2 == 0 {
			c.Close()
		} else {
			c.Reset()
		}
	}
	gateway.Await(t, "all to be gone", func() bool { return g.Number("straum_listener_connections") == 0 })
}

// An endpoint that closes after each answer without saying so costs no request, not even those that must not be repeated: the
// connection is known to be closed, or the request not to have been read.
func TestEndpointClosesUnsaid(t *testing.T) {
	t.Parallel()
	closed := make(chan bool)
	var wanted sync.Map
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		if _, again := wanted.LoadOrStore(m.Target(), true); again {
			t.Errorf("%s came twice", m.Start)
		}
		p.Send(wire.OK(m.Target()))
		p.Close()
		closed <- true
		return false
	}, "")
	c := wire.Dial(t, addr)
	for i := range 60 {
		request := "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
		if i%2 == 0 {
			request = "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
		}
		c.Send(fmt.Sprintf(request, i))
		m := c.Answer("GET")
		if string(m.Body) != fmt.Sprintf("/%d", i) {
			t.Errorf("request %d: %s%q", i, m, m.Body)
			return
		}
		<-closed
	}
}
