package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync/atomic"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/route"
	"straum.dev/straum/internal/edge/upstream"
)

// Observer reads finished exchanges: step 11. It must not wait, and must not keep the exchange or anything of it.
type Observer interface {
	Observe(x *exchange.Exchange)
}

// Edge takes requests through the steps. Its snapshot can be swapped at any time.
type Edge struct {
	log       *slog.Logger
	errands   errands
	snapshot  atomic.Pointer[Snapshot]
	observers []Observer
	refuses   func(netip.Addr) bool // nil for nobody
}

// New makes an edge. It needs a snapshot before it serves.
func New(log *slog.Logger, observers ...Observer) *Edge {
	return &Edge{log: log, errands: errands{log: log}, observers: observers}
}

// Refuse has requests of banned clients refused, those that come through trusted proxies and on connections older than the ban included.
// refuses is asked for each request and must not wait. Refuse is called before anything is served.
func (e *Edge) Refuse(refuses func(client netip.Addr) bool) { e.refuses = refuses }

// Use puts a snapshot in force for all exchanges that begin from now on.
func (e *Edge) Use(s *Snapshot) { e.snapshot.Store(s) }

// Snapshot returns the one in force, nil before the first Use.
func (e *Edge) Snapshot() *Snapshot { return e.snapshot.Load() }

// Listener is the edge as one listener's connections see it. It implements the wire packages' Handler.
type Listener struct {
	edge *Edge
	set  atomic.Pointer[ListenerSettings]
}

// Listener makes the handler of a listener.
func (e *Edge) Listener(set ListenerSettings) *Listener {
	l := &Listener{edge: e}
	l.Use(set)
	return l
}

// Use puts settings in force for all exchanges that begin from now on, also on connections that are open already.
func (l *Listener) Use(set ListenerSettings) { l.set.Store(&set) }

// Serve is the life of one request. Step 1 happened when its connection was accepted.
func (l *Listener) Serve(c exchange.Codec, x *exchange.Exchange) {
	t := l.begin(c, x)
	defer t.end()

	ok := t.step(c.Decode(x)) && //                           2 decode
		t.step(t.route()) && //                               3 route
		t.policies() && //                                    4 request policies
		t.stored() //                                         5 cache lookup
	for ok && !x.Answered() {
		f := t.balance() //                                   6 balance
		if f == nil {
			f = t.call.Send() //                              7 upstream
		}
		if t.call == nil || !t.call.Again(f) {
			if !t.rescued(f) && t.step(f) {
				t.upstreamResponse() //                       8 upstream response policies and cache store
			}
			break
		}
	}
	if x.Fault != nil {
		t.answer(x.Fault)
	}
	t.response() //                                         9 response policies
	t.stage = sending
	if f := c.Encode(x); f != nil { //                      10 encode
		t.answerInstead(f)
	}
	t.tunnel()
	t.done() //                                              11 done
}

// trip is what the flow itself needs for one exchange. It stays with the Exchange, which is pooled, from one request to the next.
type trip struct {
	listener *Listener
	set      *ListenerSettings // of the listener
	snapshot *Snapshot
	codec    exchange.Codec
	x        *exchange.Exchange
	chain    *policy.Chain
	target   *Route         // nil until step 3 found one
	call     *upstream.Call // &room, or nil until step 6
	stage    stage
	// believed says that the peer's word counts for where the request came from.
	believed bool

	visit   cache.Visit
	leaves  func() bool // whether the client has left
	room    upstream.Call
	query   route.Query
	match   route.Match
	forward upstream.Forward
	path    []byte // scratch for the canonical path
	rewrite []byte // scratch for the rewritten path
	lines   []byte // scratch for the forwarding fields
	text    []byte // scratch for answers of our own
	timing  []byte // scratch for the Server-Timing field
}

// stage says what can still be done for an exchange when something of ours panics.
type stage uint8

const (
	deciding  stage = iota // nothing was sent yet
	sending                // part of the response may be with the client
	observing              // all is over but the telling
)

func (l *Listener) begin(c exchange.Codec, x *exchange.Exchange) *trip {
	t, _ := x.Flow.(*trip)
	if t == nil {
		t = new(trip)
		t.leaves = func() bool { return t.codec.Gone(t.x) }
		x.Flow = t
	}
	t.listener, t.set, t.codec, t.x = l, l.set.Load(), c, x
	t.take()
	t.stage, t.believed = deciding, false
	return t
}

// take makes the snapshot in force the exchange's own. From step 3 on it keeps it.
func (t *trip) take() {
	t.snapshot = t.listener.edge.snapshot.Load()
	t.chain = t.snapshot.Default
}

// step notes the fault of a step, if there is one, and says whether to go on.
func (t *trip) step(f *fault.Fault) bool {
	if f != nil {
		t.x.Fail(f)
	}
	return f == nil
}

// route finds the client's address and the route (step 3).
func (t *trip) route() *fault.Fault {
	x := t.x
	t.take() // a head may have been on its way for long, and be of one who has been shut out since
	t.believed = t.set.believes(x.Conn.Peer.Addr())
	x.Client = t.client()
	if refuses := t.listener.edge.refuses; refuses != nil && refuses(x.Client) {
		if x.Client == x.Conn.Peer.Addr() {
			return bannedPeer
		}
		return bannedClient
	}
	x.Request.Header.DropOurs()
	if done, f := t.settled(); done || f != nil {
		return f
	}
	if x.Request.Path == "*" {
		x.Respond(204, "", nil) // OPTIONS * asks about the gateway itself (RFC 9110 §9.3.7)
		return nil
	}
	canonical, scratch, err := route.AppendCanonical(t.path[:0], x.Request.Path)
	if err != nil {
		return &fault.Fault{Kind: fault.BadPath, Cause: err}
	}
	t.path = scratch
	x.Request.Path = canonical.Path
	t.query = route.Query{Host: x.Request.Host, Method: x.Request.Method, Path: x.Request.Path, RawQuery: x.Request.Query,
		Header: &x.Request.Header}
	switch result := t.lookup(); result {
	case route.Found:
	case route.MethodNotAllowed:
		return &fault.Fault{Kind: fault.MethodNotAllowed, Allow: string(t.match.Allow)}
	default:
		return noRoute[result]
	}
	if canonical.EncodedSlash && !t.match.EncodedSlash {
		return &fault.Fault{Kind: fault.BadPath, Cause: route.ErrEncodedSlash}
	}
	t.target = t.snapshot.Routes[t.match.Route]
	t.chain, x.Route = t.target.Chain, t.target.Info
	for i := range t.match.Params() {
		name, value := t.match.ParamAt(i)
		x.Params = append(x.Params, exchange.Param{Name: name, Value: value})
	}
	if rest := t.match.Rest(); rest != "" {
		x.Params = append(x.Params, exchange.Param{Name: "*", Value: rest})
	}
	return nil
}

// The faults of banned clients. A proxy's connection is left to its other clients.
var bannedPeer, bannedClient = &fault.Fault{Kind: fault.Banned, Close: true}, &fault.Fault{Kind: fault.Banned}

// lookup finds the route. A browser that asks whether it may use a method gets the route of that method, if a policy there answers it;
// otherwise it asked as anybody does who uses OPTIONS.
func (t *trip) lookup() route.Result {
	if t.query.Method == "OPTIONS" {
		if method, asks := t.x.Request.Header.Get(exchange.AccessControlRequestMethod); asks {
			t.query.Method = method
			if result := t.snapshot.Table.Lookup(&t.query, &t.match); result == route.Found {
				if p := t.snapshot.Routes[t.match.Route].Chain.Preflights; p != nil && p.Preflights(t.x) {
					return result
				}
			}
			t.query.Method = t.x.Request.Method
		}
	}
	return t.snapshot.Table.Lookup(&t.query, &t.match)
}

// noRoute are the faults of a request without a route. What they tell names nothing the client did not name itself.
var noRoute = map[route.Result]*fault.Fault{
	route.NoHost:      {Kind: fault.NoRoute, Detail: "No route of this gateway is for the host that was asked for."},
	route.NoPath:      {Kind: fault.NoRoute, Detail: "This host has routes, but none for this path."},
	route.NoCondition: {Kind: fault.NoRoute, Detail: "This path has routes, but they ask for header fields or query parameters that the request lacks."},
}

// policies runs step 4 and says whether to go on to the upstream.
func (t *trip) policies() bool {
	if t.target == nil {
		return true // answered in step 3
	}
	t.chain.Request(t.x)
	return t.x.Fault == nil
}

// stored runs step 5 and says whether to go on. The cache may have answered, or wait for what another exchange has asked for.
func (t *trip) stored() bool {
	if t.target != nil && t.chain.Cache != nil && !t.x.Answered() {
		t.chain.Cache.Look(t.x, &t.visit, &t.listener.edge.errands, t.leaves)
	}
	return t.x.Fault == nil
}

// rescued says whether the cache answered after a fault of steps 6 and 7.
func (t *trip) rescued(f *fault.Fault) bool {
	return f != nil && t.x.Fault == nil && t.visit.Rescue(t.x, f)
}

// upstream is where the endpoint that is asked is one of, nil when there is none.
func (t *trip) upstream() *upstream.Upstream {
	if name := t.x.Onward.Upstream; name != "" {
		return t.snapshot.Upstreams[name]
	}
	return t.target.Upstream
}

// balance begins the call when it is the first try and chooses the endpoint (step 6).
func (t *trip) balance() *fault.Fault {
	if t.call == nil {
		to := t.upstream()
		if to == nil {
			return fault.New(fault.Internal, errors.New("no policy of the route answered, and it has no upstream"))
		}
		t.x.Times.Forward = clock.Now()
		t.forward = upstream.Forward{Path: t.x.Request.Path, Host: t.target.Host, Timeouts: t.target.Timeouts}
		if path := t.x.Onward.Path; path != "" {
			t.forward.Path = path
		} else if t.target.Rewrite != nil {
			t.rewrite = t.target.Rewrite.Append(t.rewrite[:0], t.x.Request.Path, &t.match)
			t.forward.Path = view(t.rewrite)
		}
		t.lines = t.appendForwarded(t.lines[:0])
		t.forward.Forwarded = t.lines
		t.call = &t.room
		t.call.Begin(to, t.x, t.codec, &t.forward)
	}
	return t.call.Balance()
}

// upstreamResponse runs step 8.
func (t *trip) upstreamResponse() {
	if t.x.Fault == nil { // the client may have left while it was decided whether to try again
		t.chain.UpstreamResponse(t.x)
		if t.x.Fault == nil {
			t.visit.Store(t.x)
		}
	}
}

// response runs step 9.
func (t *trip) response() {
	if !t.x.Answered() {
		return // there is nobody to answer
	}
	t.translate()
	if t.call != nil && t.x.Upstream.Status != 0 && !t.x.Response.Own { // what is stale and answers for an endpoint that could not be asked binds nobody to it
		t.call.Stick()
	}
	t.chain.Response(t.x)
	t.hsts()
	t.serverTiming()
}

// answerInstead makes and sends another response after the body of the first failed before anything was sent.
func (t *trip) answerInstead(f *fault.Fault) {
	t.x.Fail(f)
	t.answer(f)
	t.response()
	if f := t.codec.Encode(t.x); f != nil {
		t.x.Fail(f)
	}
}

// tunnel takes over after a response that switched protocols.
func (t *trip) tunnel() {
	if t.x.Response.Status != 101 || t.call == nil || t.x.End != exchange.Completed {
		return
	}
	endpoint, early := t.call.Endpoint()
	t.codec.Tunnel(t.x, endpoint, early)
}

// done gives the call's resources back and lets the observers read the exchange (step 11).
func (t *trip) done() {
	x := t.x
	t.stage = observing
	t.visit.End(x)
	if t.call != nil {
		t.call.Account()
	}
	t.codec.Account(x)
	x.Times.Done = clock.Now()
	x.Settle()
	if !x.Conn.Own {
		for _, o := range t.listener.edge.observers {
			o.Observe(x)
		}
	}
	t.finish()
}

func (t *trip) finish() {
	if t.call != nil {
		t.call.Finish()
		t.call = nil
	}
	t.x.DropHeld() // no try reads it any more
}

// end gives the trip back. A panic on the way is a mistake of ours: it costs this exchange and its connection, and nothing else.
func (t *trip) end() {
	if p := recover(); p != nil {
		t.rescue(p)
		t.x.Flow = nil // whatever state it is in, nobody else gets to see it
	}
	t.codec, t.x, t.target, t.call, t.snapshot, t.chain = nil, nil, nil, nil, nil, nil
	t.forward = upstream.Forward{}
}

// rescue ends an exchange after a panic, as far as it had not come by itself. The policies of step 9 are left out: one of them may
// be the culprit.
func (t *trip) rescue(p any) {
	stage := t.stage
	t.report(p)
	t.x.Fault = fault.New(fault.Internal, fmt.Errorf("panic: %v", p))
	t.x.KeepAlive = false
	switch stage {
	case deciding:
		t.guard(func() {
			t.answer(t.x.Fault)
			t.codec.Encode(t.x) // the body lies in memory, so there is no other answer to make
		})
	case sending:
		t.x.End = exchange.Aborted
	}
	if stage < observing {
		t.guard(t.done)
	}
	t.guard(t.x.Settle)
	t.guard(func() { t.visit.End(t.x) })
	t.guard(t.finish)
	t.x.KeepAlive = false
}

// guard keeps a panic from going on.
func (t *trip) guard(do func()) {
	defer func() {
		if p := recover(); p != nil {
			t.report(p)
		}
	}()
	do()
}

func (t *trip) report(p any) {
	t.listener.edge.log.Error("BUG: panic while serving a request", "request_id", t.x.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
