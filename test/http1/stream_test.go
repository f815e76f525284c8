package http1

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/test/wire"
)

// Each event reaches the client before the endpoint sends the next, however the endpoint frames them: nothing is held back.
func TestEventsFlushed(t *testing.T) {
	t.Parallel()
	seen := make(chan bool)
	event := func(i int) string { return fmt.Sprintf("data: event %d %s\n\n", i, strings.Repeat("x", i*i%5000)) }
	const events = 40
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		head, frame := "", "%s"
		switch m.Target() {
		case "/chunked":
			head = "Transfer-Encoding: chunked\r\n"
		case "/length":
			total := 0
			for i := range events {
				total += len(event(i))
			}
			head = fmt.Sprintf("Content-Length: %d\r\n", total)
		}
		p.Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + head + "\r\n")
		<-seen // the head alone passes at once
		for i := range events {
			if m.Target() == "/chunked" {
				p.Send(fmt.Sprintf("%x\r\n%s\r\n", len(event(i)), event(i)))
			} else {
				p.Send(fmt.Sprintf(frame, event(i)))
			}
			<-seen
		}
		if m.Target() == "/chunked" {
			p.Send("0\r\n\r\n")
		}
		return m.Target() != "/close"
	}, "")
	for _, path := range []string{"/chunked", "/length", "/close"} {
		t.Run(path[1:], func(t *testing.T) {
			c := wire.Dial(t, addr)
			c.Send("GET " + path + " HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
			m := c.Head()
			seen <- true
			for i := range events {
				got := ""
				for len(got) < len(event(i)) {
					if m.Has("Transfer-Encoding") {
						got += c.Chunk()
					} else {
						got += c.Bytes(len(event(i)))
					}
				}
				if got != event(i) {
					t.Fatalf("event %d is %.100q, want %.100q", i, got, event(i))
				}
				seen <- true
			}
			if m.Has("Transfer-Encoding") && c.Chunk() != "" {
				t.Error("more than the endpoint sent")
			}
		})
	}
}

// The same the other way: what the client sends of a body reaches the endpoint before it sends more.
func TestUploadFlushed(t *testing.T) {
	t.Parallel()
	arrived := make(chan string)
	const parts = 40
	part := func(i int) string { return fmt.Sprintf("part %d %s", i, strings.Repeat("y", i*i*3%9000)) }
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		arrived <- m.Target()
		for i := range parts {
			got := ""
			for len(got) < len(part(i)) {
				if m.Has("Transfer-Encoding") {
					got += p.Chunk()
				} else {
					got += p.Bytes(len(part(i)))
				}
			}
			arrived <- got
		}
		if m.Has("Transfer-Encoding") {
			p.Chunk()
			p.Bytes(2)
		}
		p.Send(wire.OK("all"))
		return true
	}, "")
	c := wire.Dial(t, addr)
	for _, coded := range []bool{false, true} {
		head := "Transfer-Encoding: chunked\r\n"
		if !coded {
			total := 0
			for i := range parts {
				total += len(part(i))
			}
			head = fmt.Sprintf("Content-Length: %d\r\n", total)
		}
		c.Send("POST /up HTTP/1.1\r\nHost: a\r\n" + head + "\r\n")
		<-arrived // the head alone passes at once
		for i := range parts {
			if coded {
				c.Send(fmt.Sprintf("%x\r\n%s\r\n", len(part(i)), part(i)))
			} else {
				c.Send(part(i))
			}
			if got := <-arrived; got != part(i) {
				t.Fatalf("part %d is %.100q, want %.100q", i, got, part(i))
			}
		}
		if coded {
			c.Send("0\r\n\r\n")
		}
		if m := c.Answer("POST"); string(m.Body) != "all" {
			t.Fatalf("%s", m)
		}
	}
}

// A conversation inside one exchange: both sides wait for each other in turn.
func TestTurns(t *testing.T) {
	t.Parallel()
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			got := p.Chunk()
			if got == "" {
				p.Bytes(2)
				p.Send("0\r\n\r\n")
				return true
			}
			p.Send(fmt.Sprintf("%x\r\n%s\r\n", len(got), strings.ToUpper(got)))
		}
	}, "")
	c := wire.Dial(t, addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	if m := c.Head(); m.Status() != 200 {
		t.Fatalf("%s", m)
	}
	for i := range 50 {
		c.Send(fmt.Sprintf("%x\r\n%s\r\n", len("turn 00"), fmt.Sprintf("turn %02d", i)))
		if got, want := c.Chunk(), fmt.Sprintf("TURN %02d", i); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	c.Send("0\r\n\r\n")
	if c.Chunk() != "" {
		t.Error("the answer does not end")
	}
}

// When the client of a stream leaves, the endpoint is told even though nothing moves.
func TestStreamClientLeaves(t *testing.T) {
	t.Parallel()
	told := make(chan bool)
	addr := front(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n")
		p.Gone()
		told <- true
		return false
	}, "")
	for _, leave := range []func(*wire.Peer){(*wire.Peer).Close, (*wire.Peer).Reset} {
		c := wire.Dial(t, addr)
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		c.Head()
		c.Chunk()
		leave(c)
		<-told
	}
}
