package bodylimit

import (
	"io"
	"sync"
	"sync/atomic"

	"straum.dev/straum/internal/edge/exchange"
)

// counted is a body in front of another, of which it lets no more than limit bytes pass. It implements exchange.Body and
// exchange.Rewinder.
//
// It is one exchange's, and may be read by the goroutine that sends the body to the endpoint. That one can outlive the exchange when it was
// stopped in the middle, so what was not read to its end is left to the collector and not used again.
type counted struct {
	body  exchange.Body
	limit int64
	seen  int64
	over  bool        // more came than may
	ended atomic.Bool // the last thing a reader does is to set it
}

var pool = sync.Pool{New: func() any { return new(counted) }}

// count puts a counted body in the place of the request's.
func count(x *exchange.Exchange, limit int64) {
	c := pool.Get().(*counted)
	c.body, c.limit, c.seen, c.over = x.Request.Body, limit, 0, false
	c.ended.Store(false)
	x.Request.Body = c
	x.AtEnd(c)
}

// Next implements exchange.Body.
func (c *counted) Next() ([]byte, error) {
	if c.over {
		return nil, &tooLarge
	}
	run, err := c.body.Next()
	switch {
	case err == io.EOF:
		c.ended.Store(true)
	case err == nil:
		if c.seen += int64(len(run)); c.seen > c.limit {
			c.over = true
			return nil, &tooLarge
		}
	}
	return run, err
}

// Buffered implements exchange.Body.
func (c *counted) Buffered() bool { return c.over || c.body.Buffered() }

// Rewind implements exchange.Rewinder.
func (c *counted) Rewind() bool {
	r, ok := c.body.(exchange.Rewinder)
	if !ok || c.over || !r.Rewind() {
		return false
	}
	c.seen = 0
	c.ended.Store(false)
	return true
}

// Settle implements exchange.Settler.
func (c *counted) Settle(x *exchange.Exchange) {
	if !c.ended.Load() {
		return
	}
	if x.Request.Body == c {
		x.Request.Body = c.body
	}
	c.body = nil
	pool.Put(c)
}
