package edge

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// errands sends copies of requests whose answers are for the cache. It implements cache.Background.
type errands struct {
	log  *slog.Logger
	idle sync.Pool
}

// errand is a copy of a request that takes steps 6 to 8 alone. No observer gets to see its exchange. It implements cache.Errand.
type errand struct {
	shadow
	of    *errands
	chain *policy.Chain
	taken bool // take was called
}

// Errand implements cache.Background.
func (e *errands) Errand(x *exchange.Exchange) cache.Errand {
	t, ok := x.Flow.(*trip)
	if !ok || t.target == nil {
		return nil
	}
	to := t.upstream()
	if to == nil {
		return nil
	}
	c, _ := e.idle.Get().(*errand)
	if c == nil {
		c = &errand{of: e}
	}
	c.copy(t, to)
	c.chain, c.taken = t.chain, false
	c.x.Detached = true
	c.x.Route = x.Route
	for _, p := range x.Params {
		c.x.Params = append(c.x.Params, exchange.Param{Name: p.Name, Value: c.keep(p.Value)})
	}
	return c
}

// Request implements cache.Errand.
func (c *errand) Request() *exchange.Request { return &c.x.Request }

// Drop implements cache.Errand.
func (c *errand) Drop() {
	c.forget()
	c.chain = nil
	c.of.idle.Put(c)
}

// Send implements cache.Errand. take is called whatever happens, as somebody waits to hear how it went.
func (c *errand) Send(within time.Duration, stop *atomic.Bool, take func(x *exchange.Exchange)) {
	x := &c.x
	defer func() {
		if p := recover(); p != nil {
			c.of.log.Error("BUG: panic while renewing what is stored", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if !c.taken {
				x.Fault = fault.New(fault.Internal, fmt.Errorf("panic: %v", p))
				take(x)
			}
			return // whatever state it is in, nobody else gets to see the copy
		}
		c.Drop()
	}()
	c.stop = stop
	c.ask(within)
	defer c.call.Finish()
	if x.Fault == nil {
		c.chain.UpstreamResponse(x) // 8 upstream response policies
	}
	c.taken = true
	take(x)
	c.call.Account()
	x.Times.Done = clock.Now()
	x.Settle()
}
