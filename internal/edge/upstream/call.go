package upstream

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
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
	"straum.dev/straum/internal/edge/wire/roundtrip"
)

// Forward is what a route adds to an upstream's settings, and what was made of the request for it.
type Forward struct {
	Path      string // canonical, rewritten if the route says so
	Forwarded []byte // complete lines of the fields that say who asked
	Host      Host   // of the route; HostUnset leaves it to the upstream
	Timeouts  *Timeouts
}

// attemptField tells an endpoint that is another Straum that this request is a retry, so that retries do not multiply down a chain.
const attemptField = "X-Straum-Attempt"

// Call takes one exchange through steps 6 and 7: Balance, Send, and again if Again says so; then Finish, once the response has been
// written. A Call is used again for the next exchange; the zero value is ready.
type Call struct {
	http1 http1.Try // used again and again; a try over HTTP/2 is made when there is one
	lines []byte    // scratch for Forwarded with the attempt field
	callState
}

// try is one request over one connection, once it was sent, in whichever protocol.
type try interface {
	// Account adds the bytes moved since the last Account to the exchange.
	Account()
	// Finish ends the try and says whether its connection can be used again, and if not, why.
	Finish() (keep bool, why string)
}

// callState is what of a Call belongs to one exchange.
type callState struct {
	x       *exchange.Exchange
	codec   exchange.Codec
	forward *Forward
	up      *Upstream
	view    *view

	conn     connection
	endpoint *endpoint
	line     *line // to the endpoint
	index    int
	tried    balance.Tried
	permit   breaker.Permit
	key      uint64
	timeouts Timeouts

	began    int64 // when the try began
	deadline int64 // of the whole exchange, 0 for none
	tryBy    int64 // of the head of this try's answer, 0 for none
	try      try   // the one under way, from before it sends to its Finish
	loaded   bool  // the endpoint's load counts this try
	queued   bool  // the try had to wait for its connection
	fresh    bool  // the next try must not use a pooled connection
	replayed bool  // a stale connection was made up for
	touched  bool  // the request body was handed to a try
	answered bool  // the head of an answer came and was learnt from
	nested   bool
	gone     bool // the client
	grpc     grpcCall
	out      exchange.Outgoing
}

// Begin starts a call to u. Finish ends it.
func (c *Call) Begin(u *Upstream, x *exchange.Exchange, codec exchange.Codec, f *Forward) {
	v := u.view.Load()
	c.x, c.codec, c.forward, c.up, c.view = x, codec, f, u, v
	c.timeouts = v.settings.Timeouts
	c.timeouts.override(f.Timeouts)
	if c.timeouts.Exchange > 0 {
		c.deadline = x.Times.Start + int64(c.timeouts.Exchange)
	}
	c.beginGRPC()
	x.Upstream.Name, x.Upstream.Slot = u.name, v.settings.Slot
	c.key = c.balanceKey()
	_, c.nested = x.Request.Header.Header(attemptField)
	u.budget.Request(x.Times.Forward)
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
		value = c.x.Request.Header.Cookie(k.Name)
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

// Balance chooses the endpoint of the next try (step 6). The first try begins with the exchange's time Forward.
func (c *Call) Balance() *fault.Fault {
	now := c.x.Times.Forward
	if c.x.Upstream.Tries > 0 {
		now = clock.Now()
	}
	c.began = now
	if c.grpc.invalid {
		return fault.New(fault.BadDeadline, nil)
	}
	permit, verdict := c.up.breaker.Load().Allow(now, idempotent(c.x.SentMethod()))
	if !verdict.Allowed() {
		kind := fault.BreakerOpen
		if verdict.Refusal == breaker.RefusedFull {
			kind = fault.Saturated
		}
		return &fault.Fault{Kind: kind, RetryAfter: int(verdict.RetryAfterSeconds())}
	}
	if !c.fresh || c.endpoint == nil {
		index, ok := c.view.balancer.Pick(c.key, rand.Uint64(), now, c.tried)
		if !ok {
			permit.Done(now, breaker.Excluded, 0)
			return &fault.Fault{Kind: fault.NoEndpoint, RetryAfter: 1}
		}
		c.index, c.endpoint, c.line = index, c.view.endpoints[index], c.view.lines[index]
	}
	c.permit = permit
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
	c.queued = false
	conn, f := c.connect()
	if f != nil {
		return c.overdue(f)
	}
	c.conn = conn
	c.touched = c.touched || x.Request.Body != nil
	now := c.began
	if !x.Upstream.Reused || c.queued {
		now = clock.Now() // connecting or waiting took its time
	}
	if conn.shared != nil {
		return c.overdue(c.stream(now))
	}
	c.try = &c.http1
	f = c.http1.Do(conn.own, x, c.codec, c.outgoing(), now, c.patience(), c)
	if f != nil && f.Kind == fault.UpstreamTLS {
		f = tlsFault(f.Cause, c.line.name)
	}
	return c.overdue(f)
}

// stream makes the try over HTTP/2.
func (c *Call) stream(now int64) *fault.Fault {
	t := roundtrip.New(c.conn.shared)
	c.try = t
	p := c.patience()
	p.Late, p.GRPC = c.late(), c.grpc.spoken
	return t.Do(c.x, c.codec, c.outgoing(), now, p, c)
}

// outgoing is what the endpoint is told of the request otherwise than the client told it.
func (c *Call) outgoing() *exchange.Outgoing {
	o := &c.out
	*o = exchange.Outgoing{Path: c.forward.Path, Host: c.host(), Forwarded: c.forward.Forwarded}
	if n := c.attempts(); n > 1 {
		c.lines = append(append(c.lines[:0], c.forward.Forwarded...), attemptField+": "...)
		c.lines = append(strconv.AppendInt(c.lines, int64(n), 10), "\r\n"...)
		o.Forwarded = c.lines
	}
	return o
}

// attempts is how many tries were begun, without the one that met a stale connection: that one was not the endpoint's.
func (c *Call) attempts() int {
	if c.replayed {
		return c.x.Upstream.Tries - 1
	}
	return c.x.Upstream.Tries
}

// overdue names the deadline that a try met: where the whole exchange is out of time, another try would be too.
func (c *Call) overdue(f *fault.Fault) *fault.Fault {
	if f == nil || c.deadline == 0 || clock.Now() < c.deadline {
		return f
	}
	switch {
	case f.Kind == fault.UpstreamTimeout, f.Kind == fault.ConnectTimeout,
		// The endpoint was told the client's deadline too, and may be the first to break off.
		c.grpc.bounds && (f.Kind == fault.QueueTimeout || f.Kind == fault.UpstreamReset):
		return fault.At(c.late(), f.Phase, f.Cause)
	}
	return f
}

// late is what it means that the exchange is out of time.
func (c *Call) late() *fault.Kind {
	if c.grpc.bounds {
		return fault.ClientDeadline
	}
	return fault.ExchangeTimeout
}

func (c *Call) patience() exchange.Patience {
	p := exchange.Patience{FirstByte: c.timeouts.FirstByte, HeadBy: c.tryBy, Idle: c.timeouts.Idle, Until: c.deadline,
		Expect: int(c.endpoint.size.Load())}
	if c.deadline != 0 && (p.HeadBy == 0 || c.deadline < p.HeadBy) {
		p.HeadBy = c.deadline
	}
	return p
}

// connect gets a connection: an idle one, or a place on one that is shared, or a new one within the limit, or what comes free in time.
func (c *Call) connect() (connection, *fault.Fault) {
	upgrade := c.x.Request.Upgrade != ""
	if upgrade && c.line.protocol == HTTP2 && !c.line.secure {
		return connection{}, fault.At(fault.NoUpgrade, fault.NotConnected, errUpgrade)
	}
	for c.line.sharing(upgrade) {
		if conn, f := c.share(); f != nil || !conn.none() {
			return conn, f
		}
	}
	p, x := c.line.pool, c.x
	if !c.fresh {
		if conn := p.take(x.Conn.Shard, c.began); conn != nil {
			return c.reuse(connection{own: conn}), nil
		}
	}
	if !p.admit() {
		c.queued = true
		s := &c.view.settings.Pool
		conn, f := p.wait(s.Queue, c.sooner(c.began+int64(s.QueueTimeout)), c.Tick)
		if f != nil {
			return connection{}, f
		}
		if conn != nil {
			return c.reuse(connection{own: conn}), nil
		}
	}
	return c.open(upgrade)
}

var errUpgrade = errors.New("the client asked to switch protocols (Upgrade), which the endpoint, reached by HTTP/2 without TLS, cannot; " +
	"give the route an upstream whose protocol is http1")

func (c *Call) reuse(conn connection) connection {
	c.line.pool.reused.Add(1)
	c.x.Upstream.Reused, c.x.Upstream.Opened = true, ""
	return conn
}

// open opens a connection, to which the pool has admitted the call.
func (c *Call) open(upgrade bool) (connection, *fault.Fault) {
	p, x := c.line.pool, c.x
	why := p.reason()
	x.Upstream.Reused, x.Upstream.Opened = false, why.String()
	p.opened[why].Add(1)
	conn, f := c.line.open(c.connectBy(), upgrade)
	if f != nil && f.Kind == fault.NoDescriptors {
		conn, f = c.openLater(f, upgrade)
	}
	if f != nil {
		p.lose(Broken)
	}
	return conn, f
}

// openLater tries again while the process has no descriptors left, for as long as connecting may take: every exchange that ends frees
// some, and the listeners accept no more meanwhile.
func (c *Call) openLater(f *fault.Fault, upgrade bool) (connection, *fault.Fault) {
	const shortest, longest = 10 * time.Millisecond, 100 * time.Millisecond
	c.up.relieve()
	by := clock.Now() + int64(min(c.remaining(c.timeouts.Connect), 5*time.Second))
	for pause := shortest; f.Kind == fault.NoDescriptors && clock.Now()+int64(pause) < by; pause = min(2*pause, longest) {
		time.Sleep(pause)
		if gone := c.Tick(clock.Now()); gone != nil {
			return connection{}, gone
		}
		var conn connection
		if conn, f = c.line.open(c.connectBy(), upgrade); f == nil {
			return conn, nil
		}
	}
	return connection{}, f
}

// connectBy is when connecting has to be done.
func (c *Call) connectBy() int64 { return clock.Now() + int64(c.remaining(c.timeouts.Connect)) }

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
	if h.Mode == HostUnset {
		h = c.view.settings.Host
	}
	switch h.Mode {
	case HostFixed:
		return h.Value
	case HostEndpoint:
		return c.view.hosts[c.index]
	}
	if host, ok := c.x.Request.Header.Get(exchange.Host); ok {
		return host
	}
	return c.x.Request.Host
}

// Tick implements exchange.Watch: it ends a wait that nobody needs any more.
func (c *Call) Tick(now int64) *fault.Fault {
	if a := c.x.Awaited; a != nil && a.Awaited() {
		return nil // and the client's connection may be another goroutine's at the moment
	}
	if c.codec.Gone(c.x) {
		c.gone = true
		return fault.New(fault.ClientGone, nil)
	}
	return nil
}

// Again takes the outcome of a try, tells it to those that learn from it, and says whether there is to be another. f is nil when an
// answer came. When there is another try, whatever the last one left is gone and time for backing off has passed. When the client
// left meanwhile, the exchange has that fault.
func (c *Call) Again(f *fault.Fault) bool {
	if !c.loaded { // no endpoint was asked
		return false
	}
	if f == nil {
		now := c.x.Times.FirstByte
		c.learn(now, nil)
		if !c.retriesStatus() {
			return false
		}
		return c.decide(now, nil)
	}
	now := clock.Now()
	if c.stale(f) {
		c.permit.Report(now, breaker.Excluded, 0)
		c.release(Stale)
		c.replayed, c.fresh = true, c.rewind()
		if !c.fresh {
			c.x.Upstream.Why = retry.NoBody.String()
		}
		return c.fresh
	}
	c.learn(now, f)
	c.release(Broken) // before rewind, since a goroutine may still be sending the request body
	return c.decide(now, f)
}

// stale says whether the try met a connection that the endpoint had closed while it was idle: such a request was not processed, or
// may be repeated, and goes out again once on a connection of its own. A shared connection that breaks was not idle, as a rule, and
// fails all that is on it; there only what was provably not processed passes for stale.
func (c *Call) stale(f *fault.Fault) bool {
	if !c.x.Upstream.Reused || c.replayed || f.Kind != fault.UpstreamReset || f.Phase > fault.MaybeProcessed {
		return false
	}
	return f.Phase < fault.MaybeProcessed || c.conn.shared == nil && idempotent(c.x.SentMethod())
}

// decide says whether there is another try and prepares for it. The budget comes last, so that it pays for no try that cannot be made.
func (c *Call) decide(now int64, f *fault.Fault) bool {
	d := c.view.settings.Retry.Decide(c.attempt(now, f), nil, now, rand.Uint64())
	switch {
	case !d.Retry():
	case !c.rewind():
		d.Reason = retry.NoBody
	case !c.up.budget.Take(now):
		d.Reason = retry.NoBudget
	default:
		c.x.Upstream.Why = ""
		c.release(Broken)
		c.x.DropResponse()
		c.fresh, c.answered = false, false
		return c.backOff(d.Wait)
	}
	c.x.Upstream.Why = d.Reason.String()
	return false
}

// rewind gets the request body back to its beginning. It must not be asked while a goroutine sends the body: after an answer that
// came too early for that, there is no going back.
func (c *Call) rewind() bool {
	b := c.x.Request.Body
	if b == nil || !c.touched || c.x.Request.Continue {
		return true
	}
	if c.x.Request.Streaming {
		return false
	}
	r, ok := b.(exchange.Rewinder)
	return ok && r.Rewind()
}

func (c *Call) retriesStatus() bool {
	return slices.Contains(c.view.settings.Retry.Statuses, c.status())
}

func (c *Call) attempt(now int64, f *fault.Fault) retry.Attempt {
	a := retry.Attempt{
		Phase:          fault.Answered,
		Status:         c.status(),
		Idempotent:     idempotent(c.x.SentMethod()),
		BodyReplayable: true, // rewind has the last word
		Attempts:       c.attempts(),
		Elsewhere:      len(c.view.endpoints) > 1,
		Nested:         c.nested,
		Cancelled:      c.gone || f != nil && f.Kind.Side == fault.Client,
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
	forBreaker, forHealth, detail := breaker.Success, health.Success, ""
	switch {
	case f == nil:
		c.answered = true
		c.endpoint.answered.Add(1)
		c.endpoint.expect(c.x.Response.Length)
		c.endpoint.load.Observe(now, latency)
		if c.grpc.open(c.x) {
			return // its status comes with the trailers, see Finish
		}
		forBreaker, forHealth, detail = c.judge(c.status())
	case f.Kind.Side == fault.Upstream:
		c.endpoint.failed.Add(1)
		forBreaker, forHealth, detail = breaker.Failure, health.Failure, f.Error()
	default:
		forBreaker, forHealth = breaker.Excluded, health.Own
	}
	c.permit.Report(now, forBreaker, latency)
	c.up.changed(c.endpoint, c.endpoint.health.Attempt(now, c.began, forHealth), detail)
}

// status is the status to judge an answer by: that of gRPC, as far as it is known, where gRPC is spoken.
func (c *Call) status() int {
	if c.x.Response.Status == 200 && c.grpc.spoken {
		return c.grpc.status(c.x)
	}
	return c.x.Response.Status
}

// judge says what a status means for the breaker and for the endpoint's health.
func (c *Call) judge(status int) (breaker.Outcome, health.Outcome, string) {
	switch {
	case status == excluded:
		return breaker.Excluded, health.Own, ""
	case status == 502 || status == 503 || status == 504:
		outcome := breaker.Success
		if c.view.errors[status] {
			outcome = breaker.Failure
		}
		return outcome, health.Failure, c.words(status)
	case c.view.errors[status]:
		return breaker.Failure, health.Success, ""
	}
	return breaker.Success, health.Success, ""
}

// words says what was answered.
func (c *Call) words(status int) string {
	if status != c.x.Response.Status {
		return "answered with a gRPC status that counts as " + strconv.Itoa(status)
	}
	return "answered " + strconv.Itoa(status)
}

// backOff waits before the next try, unless the client leaves.
func (c *Call) backOff(wait int64) bool {
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for until := clock.Now() + wait; ; {
		<-timer.C
		now := clock.Now()
		if f := c.Tick(now); f != nil {
			c.x.Fail(f)
			return false
		}
		if now >= until {
			return true
		}
		timer.Reset(time.Duration(min(until-now, backOffTick)))
	}
}

// backOffTick is how often one who backs off looks whether the client is still there, in nanoseconds.
const backOffTick = int64(250 * time.Millisecond)

// release ends a try. The connection goes back to the pool if it can carry another request; otherwise why says what became of it,
// unless the try knows better.
func (c *Call) release(why Reason) {
	if c.try != nil {
		keep, word := c.try.Finish()
		c.try = nil
		if !keep && why != Stale {
			why = reasonOf(word)
		}
		switch {
		case c.conn.shared != nil && !keep:
			c.line.shared.discard(c.conn.shared, why)
		case c.conn.shared != nil: // its place was given back by the try
		case keep:
			c.line.pool.put(c.x.Conn.Shard, c.conn.own, max(c.x.Times.Done, c.x.Times.FirstByte))
		default:
			c.line.pool.discard(c.conn.own, why)
		}
		c.conn = connection{}
	}
	if c.loaded {
		c.loaded = false
		c.endpoint.load.End()
	}
	c.permit.End()
	c.permit = breaker.Permit{}
}

// Endpoint returns the connection of an answer 101 and what was read behind it.
func (c *Call) Endpoint() (*socket.Conn, []byte) { return c.conn.own, c.http1.Early() }

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
		if c.try == nil || c.x.Response.Body != nil {
			c.x.Times.Received = clock.Now()
		}
	}
	if c.try != nil {
		c.try.Account()
	}
}

// Finish ends the call. What the response's fields and body referred to is invalid from then on.
func (c *Call) Finish() {
	c.conclude()
	c.release(NotRead)
	c.callState = callState{}
}

// conclude learns from what became of an answer after its head.
func (c *Call) conclude() {
	if !c.answered {
		return
	}
	now := c.x.Times.Done
	forBreaker, forHealth, detail := breaker.Excluded, health.Own, ""
	// What breaks off is the endpoint's failure, but not when the time was over before it was waited for.
	switch f := c.x.Fault; {
	case f != nil && f.Kind.Side == fault.Upstream && f.Kind != fault.ExchangeTimeout:
		c.endpoint.failed.Add(1)
		forBreaker, forHealth, detail = breaker.Failure, health.Failure, "broke off its answer"
	case f == nil && c.grpc.pending:
		forBreaker, forHealth, detail = c.judge(c.status())
	case !c.grpc.pending:
		return
	}
	if c.grpc.pending {
		c.permit.Report(now, forBreaker, c.x.Times.FirstByte-c.began)
	}
	c.up.changed(c.endpoint, c.endpoint.health.Attempt(now, c.began, forHealth), detail)
}
