package transformjson

import (
	"io"
	"sync"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/exchange"
)

// work is the room to change one body in. For an answer it stays with the exchange to its end, as the body that is sent.
type work struct {
	x      *exchange.Exchange
	values []value

	raw     []byte              // what the endpoint sent, or the beginning of it; borrowed
	decoded []byte              // without its content coding; borrowed
	out     []byte              // as changed; borrowed
	held    exchange.AnswerRoom // of an answer: what the three take

	rest []byte        // of what is sent from here
	body exchange.Body // what comes behind, nil for nothing
	raws rawReader
	text []byte // scratch, kept from one body to the next
}

var works = sync.Pool{New: func() any { return new(work) }}

func lend(x *exchange.Exchange, values []value) *work {
	w := works.Get().(*work)
	w.x, w.values = x, values
	return w
}

// copySize is how large a buffer is begun with for what is changed, a little larger than what comes in.
func copySize(size int) int64 { return int64(size) + 1024 }

// room is an empty buffer for what is changed.
func (w *work) room(size int) []byte {
	w.out = bufpool.Get(int(copySize(size)))
	return w.out[:0]
}

// take counts what an answer has taken and n bytes that it is going to take, and says whether there is room.
func (w *work) take(n int64) bool {
	return w.held.Take(w.x, int64(cap(w.raw)+cap(w.decoded)+cap(w.out))+n)
}

// dropInput gives back what was read once it was changed.
func (w *work) dropInput() {
	for _, b := range []*[]byte{&w.raw, &w.decoded} {
		if *b != nil {
			bufpool.Put((*b)[:cap(*b)])
			*b = nil
		}
	}
}

// AppendValue implements jsonedit.Values.
func (w *work) AppendValue(dst []byte, set int) []byte {
	return w.values[set].append(dst, w.x, &w.text)
}

func (w *work) giveBack() {
	w.dropInput()
	if w.out != nil {
		bufpool.Put(w.out[:cap(w.out)])
	}
	w.held.Release()
	*w = work{text: w.text[:0]} // no longer than policy.MaxFilled
	works.Put(w)
}

// Settle implements exchange.Settler.
func (w *work) Settle(*exchange.Exchange) { w.giveBack() }

// Next implements exchange.Body: first what is here, then what comes behind it.
func (w *work) Next() ([]byte, error) {
	if len(w.rest) > 0 {
		run := w.rest
		w.rest = nil
		return run, nil
	}
	if w.body != nil {
		return w.body.Next()
	}
	return nil, io.EOF
}

// Buffered implements exchange.Body.
func (w *work) Buffered() bool { return len(w.rest) > 0 || w.body == nil || w.body.Buffered() }

// grow makes room for n bytes more in a borrowed buffer, and hardly more than that.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := bufpool.Get(len(b) + n)
	bigger = bigger[:copy(bigger, b)]
	if b != nil {
		bufpool.Put(b[:cap(b)])
	}
	return bigger
}
