// Package traffic holds the clients and endpoints of the black-box tests: a client that repeats nothing and forgives nothing,
// and endpoints with faults on order. It is no step of the request. It refuses to share code with the gateway, whose mistakes it
// would hide, and to use an HTTP client that tries again by itself.
package traffic

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// patience is how long an answer is waited for.
const patience = 30 * time.Second

// Plan says what a Load does.
type Plan struct {
	Addr    string      // of the gateway, host:port
	TLS     *tls.Config // nil for none
	Conns   int         // connections at a time
	Pause   time.Duration
	Request func(conn, n int) string // the n-th request of a connection, as it goes over the wire; nil is Get("/")
	// Check judges an answer, whose body has been read; nil wants 200.
	Check func(r *http.Response, body string) error
	// UntilRefused ends a connection's work, without a failure, when the gateway takes no connections any more.
	UntilRefused bool
}

// Load sends requests over connections that are kept open, each connection one after the other.
type Load struct {
	plan     Plan
	stop     chan struct{}
	stopped  atomic.Bool
	done     sync.WaitGroup
	requests atomic.Int64
	answers  [600]atomic.Int64

	mu       sync.Mutex
	failures []string
	failed   int
	closing  int
}

// Result is what came of a load.
type Result struct {
	Requests int64
	Failed   int      // requests without the answer that was wanted
	Failures []string // the first of them
	Closing  int      // answers that announced the end of their connection
}

// Get is a GET request of a path.
func Get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }

// Post is a POST request with a body.
func Post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// Start begins a load.
func Start(plan Plan) *Load {
	if plan.Request == nil {
		plan.Request = func(int, int) string { return Get("/") }
	}
	if plan.Check == nil {
		plan.Check = func(r *http.Response, body string) error {
			if r.StatusCode != http.StatusOK {
				return fmt.Errorf("status %d: %.200q", r.StatusCode, body)
			}
			return nil
		}
	}
	l := &Load{plan: plan, stop: make(chan struct{})}
	for i := range plan.Conns {
		l.done.Go(func() { l.run(i) })
	}
	return l
}

// Requests is how many have been answered so far.
func (l *Load) Requests() int64 { return l.requests.Load() }

// Answers is how many answers had a status so far.
func (l *Load) Answers(status int) int64 { return l.answers[status].Load() }

// Failed is how many requests have failed so far.
func (l *Load) Failed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Stop ends the load after the requests under way.
func (l *Load) Stop() Result {
	if l.stopped.CompareAndSwap(false, true) {
		close(l.stop)
	}
	return l.Wait()
}

// Wait waits for the end of the load: by Stop, or with UntilRefused.
func (l *Load) Wait() Result {
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return Result{l.requests.Load(), l.failed, l.failures, l.closing}
}

func (l *Load) fail(conn, n int, request string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	if len(l.failures) < 10 {
		line, _, _ := strings.Cut(request, "\r\n")
		l.failures = append(l.failures, fmt.Sprintf("%s connection %d, request %d, %s: %v", time.Now().Format("15:04:05.000"), conn, n, line, err))
	}
}

func (l *Load) over() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func dial(p *Plan) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: patience}
	if p.TLS == nil {
		return dialer.Dial("tcp", p.Addr)
	}
	return tls.DialWithDialer(dialer, "tcp", p.Addr, p.TLS)
}

func (l *Load) run(id int) {
	var conn net.Conn
	var in *bufio.Reader
	hangUp := func() {
		if conn != nil {
			conn.Close()
		}
		conn = nil
	}
	defer hangUp()
	served := 0 // by this connection
	for n := 0; !l.over(); n++ {
		request := l.plan.Request(id, n)
		if conn == nil {
			c, err := dial(&l.plan)
			if err != nil {
				if l.plan.UntilRefused && errors.Is(err, syscall.ECONNREFUSED) {
					return
				}
				l.fail(id, n, request, fmt.Errorf("no connection: %w", err))
				time.Sleep(10 * time.Millisecond) // not a spin while nobody listens
				continue
			}
			conn, in, served = c, bufio.NewReader(c), 0
		}
		r, body, err := Exchange(conn, in, request)
		if err != nil {
			l.fail(id, n, request, fmt.Errorf("after %d answers on the connection: %w", served, err))
			hangUp()
			time.Sleep(time.Millisecond)
			continue
		}
		served++
		l.requests.Add(1)
		if r.StatusCode < len(l.answers) {
			l.answers[r.StatusCode].Add(1)
		}
		if err := l.plan.Check(r, body); err != nil {
			l.fail(id, n, request, err)
		}
		if r.Close {
			l.mu.Lock()
			l.closing++
			l.mu.Unlock()
			hangUp()
		}
		if l.plan.Pause > 0 {
			time.Sleep(l.plan.Pause)
		}
	}
}

// Exchange sends one request and reads the answer with its body.
func Exchange(conn net.Conn, in *bufio.Reader, request string) (*http.Response, string, error) {
	conn.SetDeadline(time.Now().Add(patience))
	_, writeErr := io.WriteString(conn, request)
	r, body, err := Answer(in, request)
	if err != nil && writeErr != nil {
		err = writeErr
	}
	return r, body, err
}

// Answer reads the answer to a request, whose method decides where it ends.
func Answer(in *bufio.Reader, request string) (*http.Response, string, error) {
	method, _, _ := strings.Cut(request, " ")
	r, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return nil, "", fmt.Errorf("no answer: %w", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return r, "", fmt.Errorf("the answer %d broke off after %d bytes: %w", r.StatusCode, len(body), err)
	}
	return r, string(body), nil
}

// Once sends one request over a connection of its own.
func Once(addr, request string) (*http.Response, string, error) {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	conn, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		return nil, "", err
	}
	defer conn.Close()
	return Exchange(conn, bufio.NewReader(conn), request)
}
