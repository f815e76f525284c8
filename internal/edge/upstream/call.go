package upstream

import (
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/retry"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/wire/http1"
)

// Forward is what a route adds to an upstream's settings, and what was made of the request for it.
type Forward struct {
	Path      string // canonical, rewritten if the route says so
	Forwarded []byte // complete lines of the fields that say who asked
	Host      Host   // of the route; HostKept leaves it to the upstream
	Timeouts  *Timeouts
}

// attemptField tells an endpoint that is another Straum that this request is a retry, so that retries do not multiply down a chain.
const attemptField = "X-Straum-Attempt"

// Call takes one exchange through steps 6 and 7: Balance, Send, and again if Again says so; then Finish, once the response has been
// written. Calls are pooled; a Call must not be used after Finish.
type Call struct {
	try      http1.Try
	outgoing http1.Outgoing
	lines    []byte // scratch for Forwarded with the attempt field
	callState
}

// callState is what of a Call belongs to one exchange.
type callState struct {
	x       *exchange.Exchange
	codec   exchange.Codec
	forward *Forward
	up      *Upstream
	view    *view

	conn     *socket.Conn
	endpoint *endpoint
	index    int
	tried    balance.Tried
	permit   breaker.Permit
	key      uint64
	timeouts Timeouts

	began    int64 // when the try began
	deadline int64 // of the whole exchange, 0 for none
	tryBy    int64 // of the head of this try's answer, 0 for none
	trying   bool  // try.Do was called and try.Finish was not
	loaded   bool  // the endpoint's load counts this try
	fresh    bool  // the next try must not use a pooled connection
	replayed bool
	touched  bool // the request body was handed to a try
	nested   bool
	refused  bool // by the breaker
	gone     bool // the client
}

var calls = sync.Pool{New: func() any { return new(Call) }}

// Begin starts a call. Finish ends it.
func (u *Upstream) Begin(x *exchange.Exchange, codec exchange.Codec, f *Forward) *Call {
	c := calls.Get().(*Call)
	v := u.view.Load()
	c.x, c.codec, c.forward, c.up, c.view = x, codec, f, u, v
	c.timeouts = v.settings.Timeouts
	c.timeouts.override(f.Timeouts)
	if c.timeouts.Exchange > 0 {
		c.deadline = x.Times.Start + int64(c.timeouts.Exchange)
	}
	x.Upstream.Name, x.Upstream.Slot = u.name, v.settings.Slot
	c.key = c.balanceKey()
	_, c.nested = x.Request.Header.Header(attemptField)
	u.budget.Request(x.Times.Forward)
	return c
}

// override takes over what the route sets.
func (t *Timeouts) override(o *Timeouts) {
	if o == nil {
		return
	}
	for _, pair := range [...]struct{ to, from *time.Duration }{
		{&t.Connect, &o.Connect}, {&t.FirstByte, &o.FirstByte}, {&t.Idle, &o.Idle}, {&t.Exchange, &o.Exchange}, {&t.Try, &o.Try},
	} {
		if *pair.from > 0 {
			*pair.to = *pair.from
		}
	}
}

// balanceKey is what a hash or sticky balancer decides by.
func (c *Call) balanceKey() uint64 {
	k := &c.view.settings.Key
	var value string
	switch k.Source {
	case NoKey:
		return 0
	case ClientKey:
		if c.x.Client.IsValid() {
			raw := c.x.Client.As16()
			return balance.Key(raw[:])
		}
	case HeaderKey:
		value, _ = c.x.Request.Header.Header(k.Name)
	case CookieKey:
		value = cookie(&c.x.Request.Header, k.Name)
		if k.Sticky {
			key, _ := strconv.ParseUint(value, 16, 64) // 0 names no endpoint
			return key
		}
	}
	if value == "" {
		return rand.Uint64()
	}
	return balance.Key(value)
}

// cookie returns the value of the first cookie of that name.
func cookie(h *exchange.Fields, name string) string {
	for _, f := range h.All() {
		if f.Known != exchange.Cookie {
			continue
		}
		for rest := f.Value; rest != ""; {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			if n, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && n == name {
				return v
			}
		}
	}
	return ""
}

// Balance chooses the endpoint of the next try (step 6). The first try begins with the exchange's time Forward.
func (c *Call) Balance() *fault.Fault {
	now := c.x.Times.Forward
	if c.x.Upstream.Tries > 0 {
		now = clock.Now()
	}
	c.began = now
	permit, verdict := c.up.breaker.Load().Allow(now, idempotent(c.x.Request.Method))
	if !verdict.Allowed() {
		c.refused = true
		kind := fault.BreakerOpen
		if verdict.Refusal == breaker.RefusedFull {
			kind = fault.Saturated
		}
		return &fault.Fault{Kind: kind, RetryAfter: int(verdict.RetryAfterSeconds())}
	}
	c.permit = permit
	if !c.fresh || c.endpoint == nil {
		index, ok := c.view.balancer.Pick(c.key, rand.Uint64(), now, c.tried)
		if !ok {
			c.permit.Done(now, breaker.Excluded, 0)
			return &fault.Fault{Kind: fault.NoEndpoint, RetryAfter: 1}
		}
		c.index, c.endpoint = index, c.view.endpoints[index]
	}
	c.tried.Add(c.index)
	c.x.Upstream.Endpoint = c.endpoint.address
	return nil
}

// Send makes one try: it gets a connection, sends the request and reads the head of the answer into the exchange (step 7). The
// answer's body is read by whoever writes the response.
func (c *Call) Send() *fault.Fault {
	x := c.x
	c.tryBy = 0
	if c.timeouts.Try > 0 {
		c.tryBy = c.began + int64(c.timeouts.Try)
	}
	x.Upstream.Tries++
	c.endpoint.load.Begin()
	c.loaded = true
	conn, f := c.connect()
	if f != nil {
		return f
	}
	c.conn = conn
	c.outgoing.Path = c.forward.Path
	c.outgoing.Host = c.host()
	c.outgoing.Forwarded = c.forward.Forwarded
	if x.Upstream.Tries > 1 {
		c.lines = append(append(c.lines[:0], c.forward.Forwarded...), attemptField+": "...)
		c.lines = append(strconv.AppendInt(c.lines, int64(x.Upstream.Tries), 10), "\r\n"...)
		c.outgoing.Forwarded = c.lines
	}
	c.trying = true
	c.touched = c.touched || x.Request.Body != nil
	now := c.began
	if !x.Upstream.Reused {
		now = clock.Now() // connecting took its time
	}
	f = c.try.Do(conn, x, c.codec, &c.outgoing, now, c.patience(now), c)
	if f != nil && f.Kind == fault.UpstreamTimeout && c.deadline != 0 && clock.Now() >= c.deadline {
		f = fault.At(fault.ExchangeTimeout, f.Phase, f.Cause)
	}
	return f
}

func (c *Call) patience(now int64) http1.Patience {
	p := http1.Patience{Idle: c.timeouts.Idle, Until: c.deadline}
	if c.timeouts.FirstByte > 0 {
		p.HeadBy = now + int64(c.timeouts.FirstByte)
	}
	for _, by := range [...]int64{c.tryBy, c.deadline} {
		if by != 0 && (p.HeadBy == 0 || by < p.HeadBy) {
			p.HeadBy = by
		}
	}
	return p
}

// connect gets a connection: an idle one, or a new one within the limit, or one that comes free in time.
func (c *Call) connect() (*socket.Conn, *fault.Fault) {
	p, at, x := c.endpoint.pool, c.x.Conn.Shard, c.x
	s := &c.view.settings.Pool
	if !c.fresh {
		if conn := p.take(at, c.began); conn != nil {
			x.Upstream.Reused, x.Upstream.Opened = true, ""
			return conn, nil
		}
	}
	if !p.admit(s.Connections) {
		conn, f := p.wait(s, c.sooner(c.began+int64(s.QueueTimeout)), c.Tick)
		if f != nil {
			return nil, f
		}
		if conn != nil {
			x.Upstream.Reused, x.Upstream.Opened = true, ""
			p.reused.Add(1)
			return conn, nil
		}
	}
	why := p.reason()
	x.Upstream.Reused, x.Upstream.Opened = false, why.String()
	p.opened[why].Add(1)
	conn, f := c.endpoint.dial(c.remaining(c.timeouts.Connect))
	if f != nil {
		p.lose(Broken)
		return nil, f
	}
	return conn, nil
}

// sooner is by, or the deadline of the try or of the exchange if that comes first.
func (c *Call) sooner(by int64) int64 {
	for _, other := range [...]int64{c.tryBy, c.deadline} {
		if other != 0 && other < by {
			by = other
		}
	}
	return by
}

// remaining is d, or what is left until the deadlines if that is less.
func (c *Call) remaining(d time.Duration) time.Duration {
	now := clock.Now()
	if d == 0 {
		d = time.Hour
	}
	return max(time.Duration(c.sooner(now+int64(d))-now), time.Millisecond)
}

func (c *Call) host() string {
	h := c.forward.Host
	if h.Mode == HostKept {
		h = c.view.settings.Host
	}
	switch h.Mode {
	case HostFixed:
		return h.Value
	case HostEndpoint:
		if c.endpoint.network == "unix" {
			return "localhost"
		}
		if host, port, err := net.SplitHostPort(c.endpoint.name); err == nil && port == "80" {
			return host
		}
		return c.endpoint.name
	}
	if host, ok := c.x.Request.Header.Get(exchange.Host); ok {
		return host
	}
	return c.x.Request.Host
}

// Tick implements http1.Watch: it ends a wait that nobody needs any more.
func (c *Call) Tick(now int64) *fault.Fault {
	if c.codec.Gone(c.x) {
		c.gone = true
		return fault.New(fault.ClientGone, nil)
	}
	return nil
}

// Again takes the outcome of a try, tells it to those that learn from it, and says whether there is to be another. f is nil when an
// answer came. When there is another try, whatever the last one left is gone and time for backing off has passed.
func (c *Call) Again(f *fault.Fault) bool {
	if !c.loaded { // no endpoint was asked
		return false
	}
	now := c.x.Times.FirstByte
	if f != nil {
		now = clock.Now()
	}
	if f != nil && c.stale(f) {
		c.permit.Done(now, breaker.Excluded, 0)
		c.release(Stale)
		c.replayed, c.fresh = true, true
		return true
	}
	c.learn(now, f)
	rules := &c.view.settings.Retry
	if f == nil && !c.retriesStatus(rules) {
		return false
	}
	d := rules.Decide(c.attempt(now, f), c.up.budget, now, rand.Uint64())
	c.x.Upstream.Why = d.Reason.String()
	if !d.Retry() || !c.rewind() {
		return false
	}
	c.release(Broken)
	c.x.DropResponse()
	c.fresh = false
	return c.backOff(d.Wait)
}

// stale says whether the try met a connection that the endpoint had closed while it was idle: such a request was not processed, or
// may be repeated, and goes out again once on a connection of its own.
func (c *Call) stale(f *fault.Fault) bool {
	if !c.x.Upstream.Reused || c.replayed || f.Kind != fault.UpstreamReset || f.Phase > fault.MaybeProcessed {
		return false
	}
	if f.Phase == fault.MaybeProcessed && !idempotent(c.x.Request.Method) {
		return false
	}
	return c.rewind()
}

// rewind gets the request body back to its beginning.
func (c *Call) rewind() bool {
	b := c.x.Request.Body
	if b == nil || !c.touched || c.x.Request.Continue {
		return true
	}
	r, ok := b.(exchange.Rewinder)
	return ok && r.Rewind()
}

func (c *Call) retriesStatus(rules *retry.Rules) bool {
	for _, s := range rules.Statuses {
		if s == c.x.Response.Status {
			return true
		}
	}
	return false
}

func (c *Call) attempt(now int64, f *fault.Fault) retry.Attempt {
	a := retry.Attempt{
		Phase:          fault.Answered,
		Status:         c.x.Response.Status,
		Idempotent:     idempotent(c.x.Request.Method),
		BodyReplayable: true, // rewind has the last word
		Attempts:       c.x.Upstream.Tries,
		Elsewhere:      len(c.view.endpoints) > 1,
		Nested:         c.nested,
		Cancelled:      c.gone || f != nil && f.Kind.Side == fault.Client,
		BreakerOpen:    c.refused,
		Deadline:       c.deadline,
	}
	if f == nil {
		if value, ok := c.x.Response.Header.Get(exchange.RetryAfter); ok {
			a.RetryAfter, _ = retry.ParseRetryAfter(value, clock.Wall(now))
		}
		return a
	}
	// An answer that broke off or was invalid has no status to judge by; it counts as none.
	a.Phase = min(f.Phase, fault.MaybeProcessed)
	return a
}

// idempotent says whether a method may be repeated (RFC 9110 §9.2.2).
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "QUERY", "PROPFIND", "REPORT":
		return true
	}
	return false
}

// learn tells the breaker, the health state and the load what became of a try.
func (c *Call) learn(now int64, f *fault.Fault) {
	latency := now - c.began
	status := c.x.Response.Status
	forBreaker, forHealth, detail := breaker.Success, health.Success, ""
	switch {
	case f == nil:
		c.endpoint.answered.Add(1)
		c.endpoint.load.Observe(now, latency)
		if c.view.errors[status] {
			forBreaker = breaker.Failure
		}
		if status == 502 || status == 503 || status == 504 {
			forHealth, detail = health.Failure, "answered "+strconv.Itoa(status)
		}
	case f.Kind.Side == fault.Upstream:
		c.endpoint.failed.Add(1)
		forBreaker, forHealth, detail = breaker.Failure, health.Failure, f.Error()
	default:
		forBreaker, forHealth = breaker.Excluded, health.Own
	}
	c.permit.Report(now, forBreaker, latency)
	c.up.changed(c.endpoint, c.endpoint.health.Attempt(now, c.began, forHealth), detail)
}

// backOff waits before the next try, unless the client leaves.
func (c *Call) backOff(wait int64) bool {
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(time.Duration(wait))
	defer timer.Stop()
	<-timer.C
	return c.Tick(clock.Now()) == nil
}

// release ends a try. The connection goes back to the pool if it can carry another request; otherwise why says what became of it,
// unless the try knows better.
func (c *Call) release(why Reason) {
	if c.trying {
		c.trying = false
		c.try.Account()
		keep, word := c.try.Finish()
		if keep {
			c.endpoint.pool.put(c.x.Conn.Shard, c.conn, c.view.settings.Pool.Idle, max(c.x.Times.Done, c.x.Times.FirstByte))
		} else {
			if why != Stale {
				why = reasonOf(word)
			}
			c.endpoint.pool.discard(c.conn, why)
		}
		c.conn = nil
	}
	if c.loaded {
		c.loaded = false
		c.endpoint.load.End()
	}
	c.permit.End()
	c.permit = breaker.Permit{}
}

// Endpoint returns the connection of an answer 101 and what was read behind it.
func (c *Call) Endpoint() (*socket.Conn, []byte) { return c.conn, c.try.Early() }

// Stick adds the cookie that names the endpoint, where the balancer is sticky and the client does not have it already.
func (c *Call) Stick() {
	k := &c.view.settings.Key
	if !k.Sticky {
		return
	}
	key := balance.Member{ID: c.endpoint.address}.Key()
	if key == c.key {
		return
	}
	value := make([]byte, 0, 96)
	value = append(value, k.Name...)
	value = append(value, '=')
	value = strconv.AppendUint(value, key, 16)
	value = append(value, "; Path=/; HttpOnly; SameSite=Lax"...)
	if k.TTL > 0 {
		value = append(value, "; Max-Age="...)
		value = strconv.AppendInt(value, int64(k.TTL/time.Second), 10)
	}
	c.x.Response.Header.Append(exchange.SetCookie, "Set-Cookie", string(value))
}

// Account stamps what is known of the last try once the response has been written or given up, for those who observe the exchange.
func (c *Call) Account() {
	if c.x.Times.Received == 0 && c.x.Times.FirstByte != 0 {
		c.x.Times.Received = c.x.Times.FirstByte
		if !c.trying || c.x.Response.Body != nil {
			c.x.Times.Received = clock.Now()
		}
	}
	if c.trying {
		c.try.Account()
	}
}

// Finish ends the call. What the response's fields and body referred to is invalid from then on.
func (c *Call) Finish() {
	now := c.x.Times.Done
	if c.trying && c.x.End == exchange.UpstreamBroke {
		c.endpoint.failed.Add(1)
		c.up.changed(c.endpoint, c.endpoint.health.Attempt(now, c.began, health.Failure), "broke off its answer")
	}
	c.release(NotRead)
	c.callState = callState{}
	calls.Put(c)
}
