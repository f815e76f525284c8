package http1

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/test/wire"
)

// say answers with what the path names in this list.
var say = map[string]string{
	"/204":           "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
	"/204-length":    "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
	"/304":           "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
	"/304-length":    "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1234\r\n\r\n",
	"/304-chunked":   "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
	"/205":           "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
	"/empty":         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"/empty-chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"/head":          "HTTP/1.1 200 OK\r\nContent-Length: 98765\r\n\r\n",
	"/head-chunked":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	"/head-none":     "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n",
	"/no-phrase":     "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
	"/no-space":      "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
	"/odd-status":    "HTTP/1.1 299 Own Phrase\r\nContent-Length: 2\r\n\r\nok",
}

// Answers that end with their head leave the connection fit for the next request, on both sides.
func TestAnswersWithoutBody(t *testing.T) {
	t.Parallel()
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		p.Send(say[m.Target()])
		return true
	}, "")
	c := wire.Dial(t, addr)
	for range 2 {
		for _, test := range []struct {
			method, path, start, length, body string
		}{
			{"GET", "/204", "HTTP/1.1 204 No Content", "", ""},
			{"GET", "/204-length", "HTTP/1.1 204 No Content", "", ""}, // RFC 9110 §8.6: not in a 204
			{"GET", "/304", "HTTP/1.1 304 Not Modified", "", ""},
			{"GET", "/304-length", "HTTP/1.1 304 Not Modified", "1234", ""},
			{"GET", "/304-chunked", "HTTP/1.1 304 Not Modified", "", ""},
			{"GET", "/205", "HTTP/1.1 205 Reset Content", "0", ""},
			{"GET", "/empty", "HTTP/1.1 200 OK", "0", ""},
			{"GET", "/empty-chunked", "HTTP/1.1 200 OK", "", ""},
			{"HEAD", "/head", "HTTP/1.1 200 OK", "98765", ""},
			{"HEAD", "/head-chunked", "HTTP/1.1 200 OK", "", ""},
			{"HEAD", "/head-none", "HTTP/1.1 200 OK", "", ""},
			{"HEAD", "/204", "HTTP/1.1 204 No Content", "", ""},
			{"GET", "/no-phrase", "HTTP/1.1 200 OK", "2", "ok"},
			{"GET", "/no-space", "HTTP/1.1 200 OK", "2", "ok"},
			{"GET", "/odd-status", "HTTP/1.1 299 ", "2", "ok"},
			{"POST", "/204", "HTTP/1.1 204 No Content", "", ""},
		} {
			c.Send(test.method + " " + test.path + " HTTP/1.1\r\nHost: a\r\n\r\n")
			m := c.Answer(test.method)
			if m.Start != test.start || m.Get("Content-Length") != test.length || string(m.Body) != test.body {
				t.Errorf("%s %s: %s%q", test.method, test.path, m, m.Body)
			}
			if m.Framing == "none" && m.Status() != 200 && m.Has("Transfer-Encoding") {
				t.Errorf("%s %s: a coding without a body: %s", test.method, test.path, m)
			}
			if m.Has("Connection") {
				t.Fatalf("%s %s: the connection does not go on: %s", test.method, test.path, m)
			}
		}
	}
}

// An endpoint whose answers end with the connection, with or without saying so.
func TestAnswersUntilClose(t *testing.T) {
	t.Parallel()
	body := content(300_000, 6)
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		if m.Target() == "/said" {
			p.Send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", body)
		} else {
			p.Send("HTTP/1.1 200 OK\r\n\r\n" + body)
		}
		return false
	}, "")
	c := wire.Dial(t, addr)
	for _, path := range []string{"/said", "/unsaid", "/said"} {
		c.Send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		m := c.Answer("GET")
		if m.Framing != "chunked" || string(m.Body) != body || m.Has("Connection") {
			t.Errorf("%s: %s%s", path, m, difference(m.Body, body))
		}
	}
	c.Send("GET /said HTTP/1.0\r\n\r\n")
	if m := c.Answer("GET"); m.Framing != "close" || string(m.Body) != body {
		t.Errorf("HTTP/1.0: %s%s", m, difference(m.Body, body))
	}
}

// An answer that the gateway cannot be sure of is a 502 and its connection is not used again; the client's goes on.
func TestInvalidAnswers(t *testing.T) {
	t.Parallel()
	answers := []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/2 200\r\n\r\n",
		"HTTP/1.1 999 Strange\r\nContent-Length: 2\r\n\r\nok",
		"SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 200_000) + "\r\nContent-Length: 2\r\n\r\nok",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100) + wire.OK("late"),
	}
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		var i int
		fmt.Sscanf(m.Target(), "/%d", &i)
		if i == len(answers) {
			p.Send(wire.OK("fine"))
			return true
		}
		p.TrySend(answers[i])
		p.Gone()
		return false
	}, "    ejection: off\n")
	c := wire.Dial(t, addr)
	for i, answer := range answers {
		c.Send(fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", i))
		m := c.Head()
		for m.Status() == 103 {
			m = c.Head()
		}
		c.Body(m, "POST")
		if m.Status() != 502 || m.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.100q: %s", answer, m)
		}
		c.Send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", len(answers)))
		if m := c.Answer("GET"); string(m.Body) != "fine" {
			t.Fatalf("after %.100q: %s%q", answer, m, m.Body)
		}
	}
}

// Surplus bytes behind an answer are nobody's; the next request must not be answered by them.
func TestSurplusBytes(t *testing.T) {
	t.Parallel()
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		p.Send(wire.OK(m.Target()) + wire.OK("poison"))
		return true
	}, "")
	c := wire.Dial(t, addr)
	for i := range 20 {
		path := fmt.Sprintf("/%d", i)
		c.Send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if m := c.Answer("GET"); string(m.Body) != path {
			t.Fatalf("%s is answered %q", path, m.Body)
		}
	}
}

// The same, but the surplus comes when the connection is idle already.
func TestUnaskedAnswer(t *testing.T) {
	t.Parallel()
	idle := make(chan bool)
	poisoned := make(chan bool)
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		p.Send(wire.OK(m.Target()))
		if m.Target() == "/first" {
			<-idle
			p.Send(wire.OK("poison"))
			close(poisoned)
		}
		return true
	}, "")
	c := wire.Dial(t, addr)
	c.Send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
	c.Answer("GET")
	idle <- true
	<-poisoned
	for range 3 {
		c.Send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		if m := c.Answer("GET"); string(m.Body) != "/next" {
			t.Fatalf("answered %q", m.Body)
		}
	}
}
