package http1

import (
	"testing"

	"straum.dev/straum/test/wire"
)

// Interim answers pass on, each as soon as it comes (RFC 9110 §15.2).
func TestInterim(t *testing.T) {
	t.Parallel()
	seen := make(chan bool)
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		if m.Method() == "GET" {
			p.Send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>; rel=preload\r\nConnection: x\r\nX: 1\r\n\r\n")
			<-seen
			p.Send("HTTP/1.1 102 Processing\r\n\r\n")
			<-seen
		} else {
			p.Send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </c.css>\r\n\r\n")
		}
		p.Send(wire.OK("done"))
		return true
	}, "")
	c := wire.Dial(t, addr)
	for range 2 {
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		m := c.Head()
		if m.Start != "HTTP/1.1 103 Early Hints" || len(m.Values("Link")) != 2 || m.Has("X") || m.Has("Connection") {
			t.Fatalf("the hints are %s", m)
		}
		seen <- true
		if m := c.Head(); m.Status() != 102 {
			t.Fatalf("then came %s", m)
		}
		seen <- true
		if m := c.Answer("GET"); string(m.Body) != "done" || m.Has("Link") {
			t.Fatalf("the answer is %s%q", m, m.Body)
		}
	}

	// A 100 that nobody asked for ends here; what else is there in the same packet does not.
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
	if m := c.Head(); m.Status() != 103 || m.Get("Link") != "</c.css>" {
		t.Fatalf("first came %s", m)
	}
	c.Answer("POST")

	// HTTP/1.0 knows no interim answers.
	c = wire.Dial(t, addr)
	c.Send("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
	if m := c.Answer("POST"); string(m.Body) != "done" {
		t.Fatalf("%s", m)
	}
}

// RFC 9110 §8.6: no Content-Length in an interim answer; a client that heeded it would lose its place.
func TestInterimWithLength(t *testing.T) {
	t.Parallel()
	addr := front(t, wire.Answering("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: x\r\n\r\n"+wire.OK("done")), "")
	c := wire.Dial(t, addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if m := c.Head(); m.Status() == 103 {
		if m.Has("Content-Length") {
			t.Errorf("%s", m)
		}
		c.Answer("GET")
	}
}

func request(path string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
}

// The client sends its body only once it is told to go on (RFC 9110 §10.1.1). Who tells it depends on the endpoint.
func TestExpect(t *testing.T) {
	t.Parallel()
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		switch m.Target() {
		case "/asks":
			p.Send("HTTP/1.1 100 Continue\r\n\r\n")
		case "/refuses":
			asked := m.Has("Expect")
			if !asked { // the client did not wait, and so the gateway does not
				p.Body(m, "")
			}
			p.Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
			if asked {
				p.Ended() // the gateway must not use this connection for another request
			}
			return !asked
		case "/hints":
			p.Send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
		case "/silent":
		}
		p.Body(m, "")
		p.Send(wire.OK("got " + string(m.Body)))
		return true
	}, "")

	for _, path := range []string{"/asks", "/silent", "/asks"} {
		c := wire.Dial(t, addr)
		for range 2 {
			c.Send(request(path))
			if m := c.Head(); m.Status() != 100 || len(m.Fields) != 0 {
				t.Fatalf("%s: %s", path, m)
			}
			c.Send("hello")
			if m := c.Answer("POST"); string(m.Body) != "got hello" || m.Has("Connection") {
				t.Fatalf("%s: %s%q", path, m, m.Body)
			}
			if path == "/silent" {
				break // takes its time
			}
		}
	}

	c := wire.Dial(t, addr)
	c.Send(request("/hints"))
	if m := c.Head(); m.Status() != 103 {
		t.Fatalf("%s", m)
	}
	if m := c.Head(); m.Status() != 100 {
		t.Fatalf("%s", m)
	}
	c.Send("hello")
	c.Answer("POST")

	// Refused: the client gets the answer without having sent its body, and since nobody knows whether it comes all the same, this
	// was the last answer.
	c = wire.Dial(t, addr)
	c.Send(request("/refuses"))
	if m := c.Answer("POST"); m.Status() != 413 || m.Get("Connection") != "close" {
		t.Fatalf("%s", m)
	}
	c.Ended()

	// A client that does not wait: with the body in the same packet, and a bit later.
	for _, path := range []string{"/asks", "/silent"} {
		c = wire.Dial(t, addr)
		c.Send(request(path) + "hello")
		if m := c.Head(); m.Status() != 200 {
			t.Fatalf("%s: %s", path, m)
		} else {
			c.Body(m, "POST")
		}
		c.Send(request(path), "hello")
		m := c.Head()
		if m.Status() == 100 {
			m = c.Head()
		}
		if c.Body(m, "POST"); string(m.Body) != "got hello" {
			t.Fatalf("%s: %s%q", path, m, m.Body)
		}
	}
	c = wire.Dial(t, addr)
	c.Send(request("/refuses") + "hello")
	if m := c.Answer("POST"); m.Status() != 413 {
		t.Fatalf("%s", m)
	}
	c = wire.Dial(t, addr)
	c.Send(request("/refuses"), "hello")
	if m := c.Answer("POST"); m.Status() != 413 {
		t.Fatalf("%s", m)
	}

	// Chunked, and an expectation without a body.
	c = wire.Dial(t, addr)
	c.Send("POST /asks HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n")
	if m := c.Head(); m.Status() != 100 {
		t.Fatalf("%s", m)
	}
	c.Send("5\r\nhello\r\n0\r\n\r\n")
	if m := c.Answer("POST"); string(m.Body) != "got hello" {
		t.Fatalf("%s%q", m, m.Body)
	}
	c.Send("POST /silent HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n")
	if m := c.Answer("POST"); string(m.Body) != "got " {
		t.Fatalf("%s%q", m, m.Body)
	}
}
