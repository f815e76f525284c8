package mirror

import (
	"io"
	"sync/atomic"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// tee is content on its way to the endpoint, copied as it passes. It never asks for any itself: the endpoint gets what it would get, when
// it would get it. The copy is sent when the exchange is over, if all of the content had passed by then.
type tee struct {
	mirror *mirror
	copy   policy.Copy
	from   exchange.Body

	// Whoever sends the content owns these two until whole is set. That may be a goroutine that outlives the answer.
	content []byte
	large   bool // there was more than may be copied

	whole atomic.Bool
	over  atomic.Bool // large, for Settle
}

// Next implements exchange.Body.
func (t *tee) Next() ([]byte, error) {
	run, err := t.from.Next()
	switch {
	case t.large:
	case err == io.EOF:
		t.whole.Store(true)
	case err != nil:
	case int64(len(t.content)+len(run)) > t.mirror.body:
		t.content, t.large = nil, true
		t.over.Store(true)
	default:
		t.content = append(t.content, run...)
	}
	return run, err
}

// Buffered implements exchange.Body.
func (t *tee) Buffered() bool { return t.from.Buffered() }

// Rewind implements exchange.Rewinder.
func (t *tee) Rewind() bool {
	r, can := t.from.(exchange.Rewinder)
	if !can || !r.Rewind() {
		return false
	}
	t.whole.Store(false)
	t.content = t.content[:0]
	return true
}

// Settle implements exchange.Settler.
func (t *tee) Settle(x *exchange.Exchange) {
	if x.Request.Body == exchange.Body(t) { // those who lent what is behind take it back after this
		x.Request.Body = t.from
	}
	switch {
	case t.whole.Load():
		t.mirror.send(x, t.copy, t.content)
	case t.over.Load():
		t.mirror.giveUp(x, t.copy, tooLarge)
	default:
		t.mirror.giveUp(x, t.copy, unfinished)
	}
}
