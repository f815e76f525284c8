package load

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each request of a run meets the same mishap, and each is counted as what it was.
func TestEachMishapHasItsName(t *testing.T) {
	const many = 20
	answer := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			eachRequest(c, func(*http.Request) bool { io.WriteString(c, text); return false })
		}
	}
	for _, test := range []struct {
		name  string
		serve func(net.Conn)
		want  map[Failure]uint64
	}{
		{"no answer", func(c net.Conn) { eachRequest(c, func(*http.Request) bool { return true }) }, map[Failure]uint64{TimedOut: many}},
		{"closed at once", func(net.Conn) {}, map[Failure]uint64{Broken: many}},
		{"closed instead of an answer", answer(""), map[Failure]uint64{Broken: many}},
		{"closed in the head", answer("HTTP/1.1 200 O"), map[Failure]uint64{Broken: many}},
		{"closed in the body", answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), map[Failure]uint64{Broken: many}},
		{"closed in a chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell"), map[Failure]uint64{Broken: many}},
		{"closed before the last chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), map[Failure]uint64{Broken: many}},
		{"reset", func(c net.Conn) {
			eachRequest(c, func(*http.Request) bool {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell")
				c.(*net.TCPConn).SetLinger(0)
				return false
			})
		}, map[Failure]uint64{Broken: many}},
		{"garbage", answer("220 mail.example ESMTP\r\n"), map[Failure]uint64{Malformed: many}},
		{"till the end", answer("HTTP/1.1 200 OK\r\n\r\nhello"), map[Failure]uint64{}},
	} {
		for _, rate := range []float64{0, 1000} {
			t.Run(fmt.Sprintf("%s/%g", test.name, rate), func(t *testing.T) {
				t.Parallel()
				p := get(scripted(t, test.serve))
				p.Requested, p.Rate, p.Timeout = many, rate, 10*time.Second
				if test.want[TimedOut] > 0 {
					p.Timeout = 30 * time.Millisecond
				}
				r := result(t, p)
				if test.name == "closed at once" && r.Errors[Refused] > 0 { // the reset can come before the connection is looked at
					r.Errors[Broken] += r.Errors[Refused]
					delete(r.Errors, Refused)
				}
				if !maps.Equal(r.Errors, test.want) || r.Due != many {
					t.Errorf("due %d, done %d, errors %v, want %v", r.Due, r.Done, r.Errors, test.want)
				}
			})
		}
	}
}

// The endpoint is gone after some requests: from then on each is one that could not connect, and nothing waits.
func TestEndpointThatGoesAway(t *testing.T) {
	for _, rate := range []float64{0, 500} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var served counter
		serveOn(t, l, func(c net.Conn) {
			eachRequest(c, func(*http.Request) bool {
				if served.take() > 30 {
					l.Close()
					c.(*net.TCPConn).SetLinger(0)
					return false
				}
				return ok(c)
			})
		})
		p := get(l.Addr().String())
		p.Connections, p.Rate, p.Requested = 1, rate, 50
		r := result(t, p)
		want := map[Failure]uint64{Broken: 1, Refused: 19}
		if r.Done != 30 || !maps.Equal(r.Errors, want) {
			t.Errorf("rate %g: done %d, errors %v, want %v", rate, r.Done, r.Errors, want)
		}
	}
}

func TestHandshakesThatFail(t *testing.T) {
	config, trusting := selfSigned(t)
	for _, rate := range []float64{0, 500} {
		for name, spoil := range map[string]func(net.Conn){
			"garbage": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
			"closed":  func(net.Conn) {},
		} {
			var conns counter
			p := get(scripted(t, func(c net.Conn) {
				if conns.take() == 1 { // the trial
					tls.Server(c, config).Handshake()
					return
				}
				spoil(c)
			}))
			p.TLS, p.Rate, p.Requested = trusting, rate, 10
			r := result(t, p)
			if r.Errors[Handshake] != 10 {
				t.Errorf("%s, rate %g: due %d, done %d, errors %v", name, rate, r.Due, r.Done, r.Errors)
			}
		}
	}
	// One that never ends is ended by the timeout; its goroutine too, or the package's tests would not end.
	var conns counter
	p := get(scripted(t, func(c net.Conn) {
		if conns.take() == 1 {
			tls.Server(c, config).Handshake()
			return
		}
		io.Copy(io.Discard, c)
	}))
	p.TLS, p.Requested, p.Timeout = trusting, 4, 30*time.Millisecond
	if r := result(t, p); r.Errors[TimedOut] != 4 {
		t.Errorf("silence: due %d, done %d, errors %v", r.Due, r.Done, r.Errors)
	}
}

// What waits for a connection in vain is late, and late is not lost: each has its place in the sums.
func TestArrivalsWithoutAConnectionAreLate(t *testing.T) {
	t.Parallel()
	config, trusting := selfSigned(t)
	var conns counter
	p := get(scripted(t, func(c net.Conn) {
		if conns.take() == 1 {
			tls.Server(c, config).Handshake()
			return
		}
		io.Copy(io.Discard, c)
	}))
	p.TLS, p.Connections, p.Rate, p.Duration, p.Timeout = trusting, 1, 200, 200*time.Millisecond, 100*time.Millisecond
	r := result(t, p)
	if r.Due != 40 || r.Errors[TimedOut] != 40 || r.Late != 40 || r.Lag.TotalCount() != 0 {
		t.Errorf("due %d, done %d, late %d, errors %v", r.Due, r.Done, r.Late, r.Errors)
	}
}

// A connection that the endpoint closes while it rests costs no request.
func TestConnectionsClosedAtRestCostNothing(t *testing.T) {
	t.Parallel()
	p := get(scripted(t, func(c net.Conn) {
		eachRequest(c, func(*http.Request) bool { ok(c); return false })
	}))
	p.Connections, p.Rate, p.Duration = 1, 20, 500*time.Millisecond
	r := result(t, p)
	if r.Done != 10 || r.Opened != 10 {
		t.Errorf("done %d, opened %d, errors %v", r.Done, r.Opened, r.Errors)
	}
}

// An endpoint that answers a body before it has read it is heard, though the rest of the body cannot be sent.
func TestEarlyAnswerToALongBody(t *testing.T) {
	p := get(scripted(t, func(c net.Conn) {
		io.ReadFull(c, make([]byte, 1000))
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	}))
	p.Requests[0].Method, p.Requests[0].Body, p.Requested = "POST", make([]byte, 20<<20), 5
	if r := result(t, p); r.Statuses[413] != 5 {
		t.Errorf("done %d, statuses %v, errors %v", r.Done, r.Statuses, r.Errors)
	}
}

// Whatever an endpoint does, every request that was due has one end.
func TestEveryDueRequestHasOneEnd(t *testing.T) {
	var seed atomic.Uint64
	chaos := func(c net.Conn) {
		random := rand.New(rand.NewPCG(1, seed.Add(1)))
		eachRequest(c, func(*http.Request) bool {
			switch random.IntN(12) {
			case 0:
				return false
			case 1:
				c.(*net.TCPConn).SetLinger(0)
				return false
			case 2:
				io.WriteString(c, "nonsense")
				return true
			case 3:
				return true // no answer
			case 4:
				io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				return false
			case 5:
				time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
			case 6:
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more")
				return true
			}
			return ok(c)
		})
	}
	for _, plan := range []Plan{
		{Connections: 8, Requested: 300}, {Connections: 8, Duration: 200 * time.Millisecond}, {Connections: 30, Rate: 1000, Duration: 200 * time.Millisecond, Workers: 2},
		{Connections: 2, Rate: 1000, Duration: 200 * time.Millisecond, Warmup: 50 * time.Millisecond}, {Connections: 8, NoKeepAlive: true, Requested: 200, Workers: 3},
		{Connections: 64, NoKeepAlive: true, Rate: 1500, Duration: 200 * time.Millisecond},
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			p := plan
			p.Address, p.Timeout, p.Requests = scripted(t, chaos), 50*time.Millisecond, get("x").Requests
			r := result(t, &p)
			if p.Requested > 0 && r.Due != p.Requested || r.Due == 0 || r.Done == 0 || r.Done == r.Due {
				t.Errorf("due %d, done %d, errors %v", r.Due, r.Done, r.Errors)
			}
			if p.Rate > 0 && r.Due != uint64(p.Rate*p.Duration.Seconds()) {
				t.Errorf("due %d of a rate of %g", r.Due, p.Rate)
			}
		})
	}
}

// The bounds on memory: kinds are many, histograms few until they are needed.
func TestManyKindsAreKeptApart(t *testing.T) {
	p := way{}.plan(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Repeat("x", 10)) }))
	p.Requests, p.Requested = kinds(mostKinds), 3000
	r := result(t, p)
	if len(r.Kinds) != mostKinds || r.Done != 3000 {
		t.Errorf("%d kinds, %d answers", len(r.Kinds), r.Done)
	}
}
