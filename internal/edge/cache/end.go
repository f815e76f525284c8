package cache

import (
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// End is told when nothing moves any more for the client (step 11): nothing reads x.Response.Body afterwards. It comes before the endpoint's
// connection is given back, and may wait for what is left of the endpoint's answer. It may be called at any stage, more than once.
func (v *Visit) End(x *exchange.Exchange) {
	if v.stage == unseen {
		return
	}
	if v.leads {
		if !v.landed && x.Fault != nil && x.Fault.Kind != fault.Internal { // a mistake of ours costs nobody else an answer
			v.flight.Fail(x.Fault)
		}
		v.flight.Finish()
	}
	if v.follows != nil {
		v.flight.Leave(v.follows)
	}
	v.body.End()
	v.fill.end()
	v.release()
	v.stored.Reset()
	v.fields.Reset()
	x.Awaited = nil
	v.visit = visit{}
}
