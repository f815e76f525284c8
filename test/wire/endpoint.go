package wire

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Endpoint is what stands behind the gateway in a test.
type Endpoint struct {
	// Addr is where it listens, as host:port.
	Addr     string
	listener net.Listener
	group    sync.WaitGroup
	over     atomic.Bool
	conns    atomic.Int64

	mu   sync.Mutex
	open map[net.Conn]bool
}

// Handle answers one request. It gets the request's head; body and answer are its own business. It returns whether another request
// may follow on the connection.
type Handle func(p *Peer, request *Message) (again bool)

// Listen starts an endpoint until the test ends.
func Listen(t testing.TB, handle Handle) *Endpoint {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &Endpoint{Addr: listener.Addr().String(), listener: listener, open: map[net.Conn]bool{}}
	e.group.Add(1)
	go e.runAccept(t, handle)
	t.Cleanup(func() { e.close(t) })
	return e
}

// Conns is how many connections were accepted so far.
func (e *Endpoint) Conns() int { return int(e.conns.Load()) }

// close ends the endpoint. A handler that waits for a test that failed meanwhile is left behind.
func (e *Endpoint) close(t testing.TB) {
	e.over.Store(true)
	e.listener.Close()
	e.mu.Lock()
	for conn := range e.open {
		conn.Close()
	}
	e.mu.Unlock()
	ended := make(chan bool)
	go func() {
		e.group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(Patience):
		t.Error("a handler of the endpoint does not end")
	}
}

func (e *Endpoint) runAccept(t testing.TB, handle Handle) {
	defer e.group.Done()
	for {
		conn, err := e.listener.Accept()
		if err != nil {
			return
		}
		e.conns.Add(1)
		e.mu.Lock()
		e.open[conn] = true
		e.mu.Unlock()
		e.group.Add(1)
		go e.runServe(newPeer(t, conn, e.over.Load), handle)
	}
}

func (e *Endpoint) runServe(p *Peer, handle Handle) {
	defer e.group.Done()
	defer func() {
		p.Conn.Close()
		e.mu.Lock()
		delete(e.open, p.Conn)
		e.mu.Unlock()
	}()
	for {
		p.Conn.SetReadDeadline(time.Time{}) // an idle connection may wait as long as it likes
		if _, err := p.In.Peek(1); err != nil {
			return
		}
		if m := p.Head(); !handle(p, m) {
			return
		}
	}
}

// Answering makes a handle that reads each request to its end and then sends the same answer.
func Answering(answer string) Handle {
	return func(p *Peer, request *Message) bool {
		p.Body(request, "")
		p.Send(answer)
		return true
	}
}

// OK is a whole answer with a body.
func OK(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// Recorder keeps the requests that reached an endpoint, in the order in which they were complete.
type Recorder struct {
	mu  sync.Mutex
	all []*Message
}

// Recording makes a handle that records each whole request before it sends the answer.
func Recording(r *Recorder, answer func(request *Message) string) Handle {
	return func(p *Peer, request *Message) bool {
		p.Body(request, "")
		r.mu.Lock()
		r.all = append(r.all, request)
		r.mu.Unlock()
		p.Send(answer(request))
		return true
	}
}

// Take returns what was recorded since the last call.
func (r *Recorder) Take() []*Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// One returns the only request since the last call.
func (r *Recorder) One(t testing.TB) *Message {
	t.Helper()
	all := r.Take()
	if len(all) != 1 {
		t.Fatalf("%d requests reached the endpoint, want 1: %v", len(all), all)
	}
	return all[0]
}
