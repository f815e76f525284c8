package policy

import "straum.dev/straum/internal/edge/exchange"

// Shaper is a policy of step 4 that does nothing but change what an endpoint is asked: it counts nothing, keeps nothing and looks at no credential. It
// runs as well for requests that are only talked about, as when it is explained what the cache would do with one.
type Shaper interface {
	Request
	Shapes()
}

// Shape runs those of step 4 that are Shapers.
func (c *Chain) Shape(x *exchange.Exchange) {
	for _, p := range c.Requests {
		if s, is := p.(Shaper); is && x.Fault == nil {
			s.Request(x)
		}
	}
}
