package cache

import (
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// world is a cache with an endpoint and a clock that stands still, without any network.
type world struct {
	t     testing.TB
	cache *Cache
	route *Route
	clock atomic.Int64
	// endpoint answers; nil is a fault.
	endpoint func(q *asked) *reply
	mu       sync.Mutex
	requests []*asked
}

// asked is a request as the endpoint got it.
type asked struct {
	method, path, query string
	header              exchange.Fields
}

func (q *asked) get(name string) string {
	value, _ := q.header.Header(name)
	return value
}

// reply is what the endpoint answers.
type reply struct {
	status  int
	fields  string // lines
	body    string
	chunked bool
	source  exchange.Body // instead of body
	fault   *fault.Fault
}

const epoch = int64(1_800_000_000) * 1e9

func newWorld(t testing.TB, change ...func(*Terms)) *world {
	w := &world{t: t}
	w.cache = New(Options{Dir: ""})
	w.cache.now = w.clock.Load
	w.clock.Store(epoch)
	if err := w.cache.Use(Settings{Memory: 16 << 20, MaxObject: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	terms := Terms{Status: true}
	for _, c := range change {
		c(&terms)
	}
	w.route = w.cache.Route("test", terms)
	t.Cleanup(w.cache.Close)
	return w
}

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

// answers has the endpoint give the same answer each time.
func (w *world) answers(fields, body string) {
	w.endpoint = func(*asked) *reply { return &reply{status: 200, fields: fields, body: body} }
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.requests)
}

func (w *world) last() *asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.requests) == 0 {
		w.t.Fatal("the endpoint was not asked")
	}
	return w.requests[len(w.requests)-1]
}

// got is what the client got.
type got struct {
	status int
	header exchange.Fields
	body   string
	broke  error
	fault  *fault.Fault
	cached exchange.Cached
	length int64
}

func (g *got) get(name string) string {
	value, _ := g.header.Header(name)
	return value
}

// all joins the values of a field.
func (g *got) all(name string) string {
	var values []string
	for _, f := range g.header.All() {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return strings.Join(values, " | ")
}

// content is a body that lies in memory, in runs of a few bytes.
type content struct {
	rest string
	run  int
}

func (c *content) Next() ([]byte, error) {
	if c.rest == "" {
		return nil, io.EOF
	}
	n := len(c.rest)
	if c.run > 0 {
		n = min(n, c.run)
	}
	run := c.rest[:n]
	c.rest = c.rest[n:]
	return []byte(run), nil
}

func (c *content) Buffered() bool { return true }

// request makes an exchange: a method and a URL, then lines of fields.
func (w *world) request(text string) *exchange.Exchange {
	w.t.Helper()
	x := &exchange.Exchange{}
	fillRequest(w.t, x, text)
	return x
}

func fillRequest(t testing.TB, x *exchange.Exchange, text string) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	x.Begin(&exchange.Conn{Peer: netip.MustParseAddrPort("192.0.2.1:1000")}, 1)
	x.Route = &exchange.Route{Name: "test"}
	q := &x.Request
	method, url, ok := strings.Cut(lines[0], " ")
	if !ok {
		t.Fatalf("no request: %q", lines[0])
	}
	q.Method, q.Scheme, q.Host, q.Minor, q.Major = method, "http", "a.test", 1, 1
	q.Header.Append(exchange.Host, "Host", "a.test")
	q.Path, q.Query, _ = strings.Cut(url, "?")
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("no field: %q", line)
		}
		q.Header.Add(strings.Clone(name), strings.TrimSpace(value))
	}
	if body != "" {
		q.Body, q.Length = &content{rest: body}, int64(len(body))
	}
}

// ask takes a request through the steps.
func (w *world) ask(text string) *got {
	w.t.Helper()
	return w.run(w.request(text), &Visit{}, nil)
}

// run is what the flow does with x, as far as the cache is concerned.
func (w *world) run(x *exchange.Exchange, v *Visit, gone func() bool) *got {
	if gone == nil {
		gone = func() bool { return false }
	}
	w.route.Look(x, v, w, gone)
	if !x.Answered() && x.Fault == nil {
		if f := w.forward(x); f != nil {
			if !v.Rescue(x, f) {
				x.Fail(f)
			}
		} else {
			v.Store(x)
		}
	}
	g := &got{fault: x.Fault, status: x.Response.Status, length: x.Response.Length}
	if x.Response.Body != nil {
		var b strings.Builder
		for {
			run, err := x.Response.Body.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				g.broke = err
				break
			}
			b.Write(run)
		}
		g.body = b.String()
	}
	for _, f := range x.Response.Header.All() {
		g.header.Append(f.Known, strings.Clone(f.Name), strings.Clone(f.Value))
	}
	v.End(x)
	v.End(x)
	g.cached = x.Cached
	return g
}

// forward asks the endpoint.
func (w *world) forward(x *exchange.Exchange) *fault.Fault {
	q := &asked{method: x.SentMethod(), path: x.Request.Path, query: x.SentQuery()}
	for _, f := range x.Request.Header.All() {
		q.header.Append(f.Known, strings.Clone(f.Name), strings.Clone(f.Value))
	}
	w.mu.Lock()
	w.requests = append(w.requests, q)
	w.mu.Unlock()
	r := w.endpoint(q)
	if r == nil {
		return fault.New(fault.ConnectFailed, nil)
	}
	if r.fault != nil {
		return r.fault
	}
	p := &x.Response
	p.Status = r.status
	for _, line := range strings.Split(strings.TrimSpace(r.fields), "\n") {
		if line == "" {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		p.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	p.Length = int64(len(r.body))
	if r.chunked {
		p.Length = exchange.Unknown
	} else if r.source == nil {
		p.Header.Add("Content-Length", strconv.Itoa(len(r.body)))
	}
	if q.method == "HEAD" || r.status == 304 || r.status == 204 {
		return nil
	}
	p.Body = &content{rest: r.body, run: 7}
	if r.source != nil {
		p.Body, p.Length = r.source, exchange.Unknown
	}
	return nil
}

// Errand implements Background.
func (w *world) Errand(x *exchange.Exchange) Errand {
	e := &errand{world: w}
	e.x.Begin(&exchange.Conn{}, 1)
	q, from := &e.x.Request, &x.Request
	q.Method, q.Scheme, q.Host, q.Path, q.Query = strings.Clone(from.Method), "http", strings.Clone(from.Host), strings.Clone(from.Path), strings.Clone(from.Query)
	for _, f := range from.Header.All() {
		q.Header.Append(f.Known, strings.Clone(f.Name), strings.Clone(f.Value))
	}
	return e
}

type errand struct {
	world *world
	x     exchange.Exchange
}

func (e *errand) Request() *exchange.Request { return &e.x.Request }
func (e *errand) Drop()                      {}
func (e *errand) Send(_ time.Duration, _ *atomic.Bool, take func(*exchange.Exchange)) {
	if f := e.world.forward(&e.x); f != nil {
		e.x.Fail(f)
	}
	take(&e.x)
}

// settle waits for renewals.
func (w *world) settle() { w.cache.over.Wait() }

// Dates at a distance from the epoch.
func date(d time.Duration) string {
	return time.Unix(0, epoch).Add(d).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
}
