package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// The endpoint sees exactly what the plan says, whichever way it comes, and the result is what it answered.
func TestEveryWayCarriesEveryKind(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 10_000) // more than the first window of a stream
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			var guard sync.Mutex
			seen, wrong := map[string]uint64{}, []string(nil)
			p := w.plan(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				got, _ := io.ReadAll(r.Body)
				name := strings.TrimPrefix(r.URL.Path, "/")
				guard.Lock()
				seen[name]++
				if r.Host != "a.example:81" || r.URL.RawQuery != "q=1" || r.Header.Get("X-Kind") != name || (r.ProtoMajor == 2) != w.h2 || name == "put" && !bytes.Equal(got, body) ||
					!w.h2 && w.closes != r.Close {
					wrong = append(wrong, fmt.Sprintf("%s %s %s %v, %d bytes", r.Proto, r.Host, r.URL, r.Header, len(got)))
				}
				guard.Unlock()
				rw.Header().Set("X-Long", strings.Repeat("x", 200))
				switch name {
				case "get":
					rw.Write(body) // chunked, or several frames
				case "put":
					rw.WriteHeader(http.StatusCreated)
				case "head":
					rw.Header().Set("Content-Length", "1000000")
				case "none":
					rw.WriteHeader(http.StatusNoContent)
				case "hints":
					rw.WriteHeader(http.StatusEarlyHints)
					rw.WriteHeader(http.StatusTeapot)
				}
			}))
			for _, r := range []Request{{Name: "get", Method: "GET"}, {Name: "put", Method: "PUT", Body: body}, {Name: "head", Method: "HEAD"}, {Name: "none", Method: "DELETE"}, {Name: "hints", Method: "POST"}} {
				r.Host, r.Target, r.Fields, r.Weight = "a.example:81", "/"+r.Name+"?q=1", []Field{{"X-Kind", r.Name}}, 1
				p.Requests = append(p.Requests, r)
			}
			p.Requested = 60
			before := openFiles(t)
			r := result(t, p)
			guard.Lock()
			defer guard.Unlock()
			if len(wrong) > 0 {
				t.Errorf("the endpoint saw %d wrong requests, the first: %s", len(wrong), wrong[0])
			}
			want := map[int]uint64{}
			for name, status := range map[string]int{"get": 200, "put": 201, "head": 200, "none": 204, "hints": 418} {
				if k := r.Kinds[name]; k.Done != seen[name] || k.Failed != 0 || k.Done == 0 {
					t.Errorf("%s: %d answers, %d failed; the endpoint saw %d", name, k.Done, k.Failed, seen[name])
				}
				want[status] += seen[name]
			}
			if !maps.Equal(r.Statuses, want) || r.Done != 60 {
				t.Errorf("statuses %v of %d answers, want %v; errors %v", r.Statuses, r.Done, want, r.Errors)
			}
			if opened := r.Opened; w.closes && opened < 60 || !w.closes && (opened > 4 || opened == 0) {
				t.Errorf("%d connections were opened", opened)
			}
			if least := uint64(len(body)) * seen["get"]; r.Received < least || r.Sent < uint64(len(body))*seen["put"] {
				t.Errorf("%d bytes received, at least %d were sent; sent %d", r.Received, least, r.Sent)
			}
			for deadline := time.Now().Add(10 * time.Second); openFiles(t) > before+8; time.Sleep(time.Millisecond) { // the endpoint has some for a moment
				if time.Now().After(deadline) {
					t.Fatalf("%d descriptors before and %d after", before, openFiles(t))
				}
			}
		})
	}
}

func TestOpenLoopSendsAtItsRate(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			var served counter
			p := w.plan(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.take() }))
			p.Requests = get("x").Requests
			p.Connections, p.Rate, p.Warmup, p.Duration, p.Workers = 50, 500, 100*time.Millisecond, 300*time.Millisecond, 2
			r := result(t, p)
			// Which arrivals are due is arithmetic: those at 0.1 s and later, up to 0.4 s.
			if r.Due != 150 || r.Done != 150 || served.Load() != 200 || r.Wanted != 500 || r.Elapsed != p.Duration {
				t.Errorf("due %d, done %d, served %d, errors %v, elapsed %s", r.Due, r.Done, served.Load(), r.Errors, r.Elapsed)
			}
			if r.Lag.TotalCount() != 150 || r.Latency.Max() < r.Service.Min() {
				t.Errorf("%d lags; latency up to %d µs, service from %d µs", r.Lag.TotalCount(), r.Latency.Max(), r.Service.Min())
			}
			if len(r.Series) != 1 || r.Series[0].Done > 150 || r.Series[0].Max < r.Series[0].P99 || r.Series[0].P99 < r.Series[0].P50 {
				t.Errorf("series %+v", r.Series)
			}
		})
	}
}

// An endpoint that stands still for a third of the time delays a third of the arrivals, by anything from nothing to the whole stall: the 99th
// percentile lies 3 % below the longest. A closed loop hardly asks meanwhile, and so has hardly anything to say about it.
func TestStallShowsInAnOpenLoopAlone(t *testing.T) {
	t.Parallel()
	const stall, period = 400 * time.Millisecond, 1200 * time.Millisecond
	run := func(rate float64) *Result {
		var began time.Time
		var once sync.Once
		p := way{}.plan(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			once.Do(func() { began = time.Now() })
			if at := time.Since(began) % period; at > period-stall {
				time.Sleep(period - at)
			}
		}))
		p.Requests = get("x").Requests
		p.Rate, p.Duration = rate, period
		return result(t, p)
	}
	opened := run(500)
	if p99, model := duration(opened.Latency.ValueAtPercentile(99)), stall*97/100; opened.Done != 600 || p99 < model*9/10 || p99 > 2*stall {
		t.Errorf("open loop: the 99th percentile of %d is %s, the model says %s", opened.Done, p99, model)
	}
	if late := duration(opened.Latency.ValueAtPercentile(70)); late > stall/2 {
		t.Errorf("open loop: two thirds were not delayed, and yet the 70th percentile is %s", late)
	}
	// What the connections themselves waited is no more than one request each.
	if p95 := duration(opened.Service.ValueAtPercentile(95)); p95 > stall/2 {
		t.Errorf("open loop: from when they were sent, the 95th percentile is %s", p95)
	}
	closed := run(0)
	if p99 := duration(closed.Latency.ValueAtPercentile(99)); closed.Done < 800 || p99 > stall/2 {
		t.Errorf("closed loop: the 99th percentile of %d is %s", closed.Done, p99)
	}
}

func TestNothingThereIsSaidAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p := get(l.Addr().String())
	p.Duration = time.Hour
	if _, err := Run(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), p.Address+" cannot be reached") {
		t.Errorf("the error is %v", err)
	}
	p = way{}.plan(t, http.NotFoundHandler())
	_, p.TLS = selfSigned(t)
	p.Requests, p.Requested = get("x").Requests, 1
	if _, err := Run(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), "no TLS") {
		t.Errorf("the error is %v", err)
	}
	p = way{secure: true}.plan(t, http.NotFoundHandler())
	p.Requests, p.Requested, p.HTTP2 = get("x").Requests, 1, true
	if _, err := Run(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), p.Address) {
		t.Errorf("the error is %v", err)
	}
}

func TestProgressIsShown(t *testing.T) {
	t.Parallel()
	p := way{}.plan(t, http.NotFoundHandler())
	p.Requests, p.Rate, p.Warmup, p.Duration = get("x").Requests, 200, 300*time.Millisecond, 600*time.Millisecond
	var shown []Progress
	r, err := Run(t.Context(), p, func(at Progress) { shown = append(shown, at) })
	if err != nil {
		t.Fatal(err)
	}
	last := shown[len(shown)-1]
	if len(shown) < 3 || shown[0].Warm || shown[0].Done != 0 || shown[0].Rate == 0 || !last.Warm || last.Done != r.Done || last.P50 == 0 || last.P50 > last.P99 ||
		last.Total != 900*time.Millisecond || last.Elapsed > last.Total || last.Elapsed < 800*time.Millisecond {
		t.Errorf("progress: %+v", shown)
	}
}

func TestCancelledRunTellsWhatWasDone(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0, 200} {
		served := make(chan struct{}, 100)
		stop := make(chan struct{})
		var n counter
		p := way{}.plan(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if n.take() > 100 {
				<-stop
				return
			}
			served <- struct{}{}
		}))
		defer close(stop)
		p.Requests, p.Rate, p.Duration = get("x").Requests, rate, time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range 100 {
				<-served
			}
			for n.Load() < 104 { // all connections wait for an answer
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		r, err := Run(ctx, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkSums(t, r)
		if r.Due != 100 || r.Done != 100 || r.Elapsed <= 0 || r.Elapsed > time.Minute {
			t.Errorf("rate %g: due %d, done %d, errors %v, elapsed %s", rate, r.Due, r.Done, r.Errors, r.Elapsed)
		}
	}
}

func TestSessionsAreResumedWhenAsked(t *testing.T) {
	for _, resume := range []bool{false, true} {
		var guard sync.Mutex
		resumed := 0
		p := way{secure: true, closes: true}.plan(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			guard.Lock()
			defer guard.Unlock()
			if r.TLS.DidResume {
				resumed++
			}
		}))
		p.Requests, p.Requested, p.Connections, p.Resume = get("x").Requests, 20, 1, resume
		result(t, p)
		guard.Lock()
		defer guard.Unlock()
		if least := map[bool]int{true: 15, false: 0}[resume]; resumed < least || !resume && resumed > 0 {
			t.Errorf("resume %v: %d of 20 handshakes were resumed", resume, resumed)
		}
	}
}

func TestBadPlansAreRefusedWithARemedy(t *testing.T) {
	for want, change := range map[string]func(*Plan){
		"no address":                func(p *Plan) { p.Address = "" },
		"give at least one":         func(p *Plan) { p.Requests = nil },
		"want 1 to 100000":          func(p *Plan) { p.Connections = 0 },
		"want 1 to 1000":            func(p *Plan) { p.Streams = 1001 },
		"use HTTP/2":                func(p *Plan) { p.Streams = 2 },
		"found a rate of -1":        func(p *Plan) { p.Rate = -1 },
		"half of the processors":    func(p *Plan) { p.Workers = 65 },
		"24h0m0s together":          func(p *Plan) { p.Warmup = 25 * time.Hour },
		"a run needs an end":        func(p *Plan) { p.Requested = 0 },
		"want up to 1m0s":           func(p *Plan) { p.Timeout = time.Hour },
		"want a token":              func(p *Plan) { p.Requests[0].Method = "G T" },
		"opens a tunnel":            func(p *Plan) { p.Requests[0].Method = "CONNECT" },
		"found host":                func(p *Plan) { p.Requests[0].Host = "a b" },
		"begins with a slash":       func(p *Plan) { p.Requests[0].Target = "x" },
		"want more than 0":          func(p *Plan) { p.Requests[0].Weight = 0 },
		"found a field named":       func(p *Plan) { p.Requests[0].Fields = []Field{{"a b", ""}} },
		"field a has control":       func(p *Plan) { p.Requests[0].Fields = []Field{{"a", "secret\n"}} },
		"which load writes itself":  func(p *Plan) { p.Requests[0].Fields = []Field{{"HOST", "x"}} },
		"give several requests one": func(p *Plan) { p.Requests = kinds(mostKinds + 1) },
	} {
		p := get("127.0.0.1:1")
		p.Requested = 1
		change(p)
		_, err := Run(t.Context(), p, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("want %q: the error is %v", want, err)
		}
	}
}

func kinds(n int) (requests []Request) {
	for i := range n {
		requests = append(requests, Request{Name: fmt.Sprint(i), Method: "GET", Host: "x", Target: "/", Weight: 1})
	}
	return requests
}
