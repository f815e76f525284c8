package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/test/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen serves each connection with handle, until the test ends.
func listen(t *testing.T, network, address string, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// answers reads the request and writes the response as it is given.
func answers(response string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.WriteString(conn, response)
		}
	}
}

func middle() uint64 { return 1 << 63 }

type result struct {
	id      string
	outcome Outcome
	detail  string
}

// once returns the first result of probing the address.
func once(t *testing.T, c Check, dial Dial, address string) result {
	t.Helper()
	if c.Every == 0 {
		c.Every = time.Hour
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Path == "" {
		c.Path = "/healthz"
	}
	results := make(chan result, 1)
	p, err := NewProber(c, dial, middle, func(id string, o Outcome, detail string) { results <- result{id, o, detail} })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Set([]Target{{ID: "a", Address: address}})
	select {
	case r := <-results:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no result")
		return result{}
	}
}

func TestProbeResponses(t *testing.T) {
	f := func(name, response string, c Check, want Outcome, detail string) {
		t.Helper()
		r := once(t, c, nil, listen(t, "tcp", "127.0.0.1:0", answers(response)))
		if r.outcome != want || !strings.Contains(r.detail, detail) {
			t.Errorf("%s: got %d, %q, want %d and %q", name, r.outcome, r.detail, want, detail)
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	f("plain", ok+"Content-Length: 2\r\n\r\nok", Check{}, Success, "status 200")
	f("no reason, HTTP/1.0", "HTTP/1.0 204\r\n\r\n", Check{}, Success, "status 204")
	f("interim first", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+ok+"\r\n", Check{}, Success, "status 200")
	f("sick", "HTTP/1.1 503 no\r\n\r\n", Check{}, Failure, "status 503, want 200-299")
	f("redirect", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", Check{}, Failure, "status 302, want 200-299")
	f("redirect wanted", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", Check{Expect: []Statuses{{204, 204}, {300, 399}}}, Success, "status 302")
	f("exact status", ok+"\r\n", Check{Expect: []Statuses{{204, 204}, {300, 399}}}, Failure, "status 200, want 204, 300-399")
	f("garbage", "SSH-2.0-OpenSSH_9.9\r\n", Check{}, Failure, `"SSH-2.0-OpenSSH_9.9" is not an HTTP/1.1 status line`)
	f("bad status", "HTTP/1.1 2x0 OK\r\n\r\n", Check{}, Failure, "no status from 100 to 599")
	f("bad field", ok+"nonsense\r\n\r\n", Check{}, Failure, "has no colon")
	f("bad length", ok+"Content-Length: -1\r\n\r\n", Check{}, Failure, `Content-Length is "-1"`)
	f("silence", "", Check{}, Failure, "connection closed before the end of the response head")
	f("half a head", ok+"Server: x\r\n", Check{}, Failure, "connection closed before the end")
	f("endless line", "HTTP/1.1 200 "+strings.Repeat("a", 5000)+"\r\n\r\n", Check{}, Failure, "longer than 4096 bytes")
	f("endless head", ok+strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 40), Check{}, Failure, "response head is longer than 16384 bytes")
	f("huge body unread", ok+"\r\n"+strings.Repeat("x", 1<<20), Check{}, Success, "status 200")

	alive := Check{Contains: "alive"}
	f("contains", ok+"Content-Length: 8\r\n\r\nI'malive", alive, Success, `body contains "alive"`)
	f("does not", ok+"Content-Length: 4\r\n\r\ndead", alive, Failure, `"alive" is not in the body of 4 bytes`)
	f("beyond the length", ok+"Content-Length: 4\r\n\r\ndeadalive", alive, Failure, `is not in the body of 4 bytes`)
	f("until close", ok+"\r\nso alive", alive, Success, "contains")
	f("cut", ok+"Content-Length: 99\r\n\r\nde", alive, Failure, "connection closed after 2 of 99 bytes")
	f("over two chunks", ok+"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n al\r\n4\r\nive.\r\n0\r\n\r\n", alive, Success, "contains")
	f("chunked, not there", ok+"Transfer-Encoding: chunked\r\n\r\n3\r\nali\r\n0\r\n\r\n", alive, Failure, "not in the body of 3 bytes")
	f("bad chunk", ok+"Transfer-Encoding: chunked\r\n\r\n-3\r\nali\r\n", alive, Failure, `chunk size is "-3"`)
	f("chunk cut", ok+"Transfer-Encoding: chunked\r\n\r\nFFFFFF\r\nali", alive, Failure, "body: ")
	f("huge body", ok+"\r\n"+strings.Repeat("x", 1<<20)+"alive", alive, Failure, `"alive" is not in the first 65536 bytes of the body`)
	f("huge chunk", ok+"Transfer-Encoding: chunked\r\n\r\n100000\r\n"+strings.Repeat("x", 1<<20)+"\r\n5\r\nalive\r\n0\r\n\r\n", alive, Failure, "not in the first 65536 bytes")
	f("wrong status counts first", "HTTP/1.1 500 x\r\n\r\nalive", alive, Failure, "status 500")
}

func TestProbeSendsOneRequestOnItsOwnConnection(t *testing.T) {
	requests := make(chan *http.Request, 2)
	address := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			requests <- r
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	once(t, Check{Path: "/up?deep=1", Host: "api.example.com"}, nil, address)
	r := <-requests
	if r.Method != "GET" || r.RequestURI != "/up?deep=1" || r.Host != "api.example.com" || !r.Close || r.ProtoMinor != 1 {
		t.Errorf("sent %s %s HTTP/1.%d, Host %s, close %v", r.Method, r.RequestURI, r.ProtoMinor, r.Host, r.Close)
	}
	once(t, Check{}, nil, address)
	if r := <-requests; r.Host != address {
		t.Errorf("Host is %q, want the address %q", r.Host, address)
	}
}

func TestProbeUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "probe") // t.TempDir may be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	host := make(chan string, 1)
	listen(t, "unix", path, func(conn net.Conn) {
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			host <- r.Host
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		}
	})
	if r := once(t, Check{}, nil, "unix:"+path); r.outcome != Success || <-host != "localhost" {
		t.Errorf("got %+v", r)
	}
}

func TestProbeTCP(t *testing.T) {
	if r := once(t, Check{TCP: true}, nil, listen(t, "tcp", "127.0.0.1:0", func(net.Conn) {})); r.outcome != Success || r.detail != "connected" {
		t.Errorf("got %+v", r)
	}
}

func TestProbeRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, tcp := range []bool{true, false} {
		if r := once(t, Check{TCP: tcp}, nil, l.Addr().String()); r.outcome != Failure || !strings.Contains(r.detail, "connection refused") {
			t.Errorf("got %+v", r)
		}
	}
}

func TestProbeHangs(t *testing.T) {
	for name, start := range map[string]string{"silent": "", "in the head": "HTTP/1.1 200 OK\r\nA:", "in the body": "HTTP/1.1 200 OK\r\n\r\nali"} {
		release := make(chan struct{})
		address := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { io.WriteString(conn, start); <-release })
		r := once(t, Check{Timeout: 50 * time.Millisecond, Contains: "alive"}, nil, address)
		close(release)
		if r.outcome != Failure || !strings.Contains(r.detail, "no answer within the timeout of 50ms") {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestProbeOwnTrouble(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}
	}
	if r := once(t, Check{}, dial, "127.0.0.1:1"); r.outcome != Own || !strings.Contains(r.detail, "the fault is ours") {
		t.Errorf("got %+v", r)
	}
}

// Close calls off a probe on its way and reports nothing more.
func TestProberClose(t *testing.T) {
	dialing := make(chan struct{})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(dialing)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p := script.Must(NewProber(Check{Every: time.Hour, Timeout: time.Hour, TCP: true}, dial, middle, func(string, Outcome, string) {
		t.Error("a probe called off was reported")
	}))
	p.Set([]Target{{ID: "a", Address: "x:1"}})
	<-dialing
	p.Close()
	p.Set([]Target{{ID: "b", Address: "x:1"}}) // after Close nothing starts: a second dial would close a closed channel
	p.Close()
}

// In made-up time: at once, then every interval within a tenth, slower when idle; changed targets only are disturbed.
func TestProberSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var idle atomic.Bool
		var random atomic.Uint64
		start := time.Now()
		var mu sync.Mutex
		var log []string
		take := func() (all []string) {
			mu.Lock()
			defer mu.Unlock()
			all, log = log, nil
			return all
		}
		dial := func(_ context.Context, network, address string) (net.Conn, error) {
			if network != "tcp" {
				return nil, errors.New("network " + network)
			}
			conn, other := net.Pipe()
			other.Close()
			return conn, nil
		}
		p := script.Must(NewProber(Check{Every: 10 * time.Second, IdleEvery: 60 * time.Second, Timeout: time.Second, TCP: true}, dial, random.Load,
			func(id string, o Outcome, detail string) {
				mu.Lock()
				defer mu.Unlock()
				log = append(log, fmt.Sprintf("%v %s %s", time.Since(start).Round(time.Millisecond), id, detail))
			}))
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := take(); strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		a, b := Target{ID: "a", Address: "a:1", Idle: idle.Load}, Target{ID: "b", Address: "b:1"}
		p.Set([]Target{a})
		expect("0s a connected")
		time.Sleep(8999 * time.Millisecond)
		expect()
		random.Store(1<<64 - 1) // the longest pause from now on
		time.Sleep(time.Millisecond)
		expect("9s a connected")
		time.Sleep(11 * time.Second)
		expect("20s a connected")
		p.Set([]Target{a, b})
		expect("20s b connected")
		p.Set([]Target{b})
		time.Sleep(11 * time.Second)
		expect("31s b connected")
		b.Address = "b:2"
		p.Set([]Target{b})
		expect("31s b connected")
		idle.Store(true)
		random.Store(0)
		p.Set([]Target{a})
		expect("31s a connected")
		time.Sleep(53 * time.Second)
		expect()
		time.Sleep(time.Second)
		expect("1m25s a connected")
		p.Close()
	})
}

func TestCheckValid(t *testing.T) {
	f := func(want string, c Check) {
		t.Helper()
		if c.Every == 0 {
			c.Every = time.Second
		}
		if c.Timeout == 0 {
			c.Timeout = time.Second
		}
		if err := c.Valid(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	f("probe every 1ms", Check{Every: time.Millisecond})
	f("timeout is -1s", Check{Timeout: -time.Second})
	f(`path is "x"`, Check{Path: "x"})
	f("control characters", Check{Path: "/a\r\nX: y"})
	f("control characters", Check{Path: "/", Host: "a b"})
	f("statuses 100 to 600", Check{Path: "/", Expect: []Statuses{{100, 600}}})
}

func FuzzResponse(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, response string) {
		r := bufio.NewReader(strings.NewReader(response))
		status, fields, err := readHead(r)
		if err != nil {
			return
		}
		if status < 200 || status > 599 {
			t.Errorf("status %d", status)
		}
		if body, _ := readBody(r, fields); len(body) > MaxProbeBody {
			t.Errorf("body of %d bytes", len(body))
		}
	})
}
