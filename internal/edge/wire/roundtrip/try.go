package roundtrip

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Try is one request to an endpoint over one of the streams of a connection: step 7. It belongs to one exchange and is made for it.
//
// Three goroutines have a part in it. The library's sends the request and its body. The try's own, run, waits for the answer and reads
// its body, because neither can be waited for with a deadline. The exchange's takes what run hands over, and does all the rest.
type Try struct {
	conn     *Conn
	x        *exchange.Exchange
	codec    exchange.Codec
	watch    exchange.Watch
	patience exchange.Patience
	timer    *time.Timer

	out  outbound
	in   inbound
	size int64 // of the request's head, roughly

	cancel context.CancelFunc
	over   chan struct{} // closed when the exchange has no use for the try any more

	sentHead atomic.Bool  // the request's head was given to the connection
	sentMark atomic.Int64 // how much had been sent on the connection then
	readMark int64        // how much had been read from it before

	interims chan interim // capacity maxInterims
	seen     int          // how many there were; the library's reader's
	heads    chan head    // capacity 1: the head of the answer, or why there is none
	runs     chan run     // capacity 1

	stopped   bool
	accounted int64 // of the bytes out
	known     int64 // of the bytes in
	silent    bool  // the endpoint said nothing at all for too long
}

// head is the beginning of an answer.
type head struct {
	response  *http.Response
	announced []string // the names of the field Trailer
	err       error
}

// interim is an answer before the answer.
type interim struct {
	status int
	header textproto.MIMEHeader
}

// New makes a try for a reserved place on a connection. Do uses the reservation up.
func New(conn *Conn) *Try {
	return &Try{conn: conn, over: make(chan struct{}), interims: make(chan interim, maxInterims), heads: make(chan head, 1), runs: make(chan run, 1)}
}

// Do sends the request and reads the head of the final answer into x.Response. After it returns nil the answer's body can be read;
// after either the caller calls Finish. codec is the client's side, now the current time.
func (t *Try) Do(x *exchange.Exchange, codec exchange.Codec, o *exchange.Outgoing, now int64, patience exchange.Patience, watch exchange.Watch) *fault.Fault {
	x.Times.Sent = now
	t.x, t.codec, t.watch, t.patience = x, codec, watch, patience
	t.readMark = t.conn.carrier.read.Load()
	t.out.body, t.out.from, t.out.awaiting, t.out.over = x.Request.Body, &x.Request, x.Request.Continue, t.over
	t.out.codec, t.out.closed = codec, make(chan struct{})
	if t.out.awaiting {
		t.out.wants, t.out.granted = make(chan struct{}, 1), make(chan struct{})
	}
	request := t.request(x, o)
	if x.Request.Body == nil {
		t.out.endedAt.Store(now)
		t.out.ended.Store(true)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	trace := &httptrace.ClientTrace{Got1xxResponse: t.gotInterim, WroteHeaders: t.wroteHead}
	go t.run(request.WithContext(httptrace.WithClientTrace(ctx, trace)))
	return t.receive()
}

// run waits for the answer and hands it over piece by piece. It owns the reservation.
func (t *Try) run(request *http.Request) {
	defer t.conn.done()
	defer t.cancel()
	response, err := t.conn.client.RoundTrip(request)
	if err != nil {
		t.heads <- head{err: err}
		return
	}
	h := head{response: response}
	for name := range response.Trailer { // which the library fills as soon as the body is read
		h.announced = append(h.announced, name)
	}
	t.heads <- h
	t.read(response)
	response.Body.Close()
}

// wroteHead is called by the library when the request's head was written, under a lock that keeps others from writing.
func (t *Try) wroteHead() {
	t.sentMark.Store(t.conn.carrier.sent.Load())
	t.sentHead.Store(true)
}

// gotInterim is called by the library on the goroutine that reads for all exchanges of the connection, so it does not wait.
func (t *Try) gotInterim(status int, header textproto.MIMEHeader) error {
	t.seen++
	switch {
	case status == 101:
		return errSwitch
	case t.seen > maxInterims:
		return errInterims
	case status != 100: // on which the library acts
		t.interims <- interim{status, header} // has room for all
	}
	return nil
}

// receive waits for the head of the final answer.
func (t *Try) receive() *fault.Fault {
	for {
		now := clock.Now()
		by := t.headBy()
		t.arm(now, by)
		select {
		case h := <-t.heads:
			t.timer.Stop()
			if f := t.passInterims(); f != nil {
				return f
			}
			if h.err != nil {
				return t.failed(h.err)
			}
			return t.settle(h)
		case i := <-t.interims:
			if f := t.passInterim(i); f != nil {
				return f
			}
		case <-t.out.wants:
			if f := t.goOn(); f != nil {
				return f
			}
		case <-t.timer.C:
			if f := t.look(clock.Now(), t.headBy()); f != nil {
				return f
			}
		}
	}
}

// headBy is when the wait for the head ends. As long as the request is still being sent the endpoint's time has not begun.
func (t *Try) headBy() int64 {
	by := t.patience.HeadBy
	if t.patience.FirstByte > 0 && t.out.ended.Load() {
		if first := max(t.out.endedAt.Load(), t.x.Times.Sent) + int64(t.patience.FirstByte); by == 0 || first < by {
			by = first
		}
	}
	return by
}

// arm lets the timer strike at the time by, or at the next tick if that comes first.
func (t *Try) arm(now, by int64) {
	wait := tick
	if by != 0 && by-now < wait {
		wait = max(by-now, 0)
	}
	if t.timer == nil {
		t.timer = time.NewTimer(time.Duration(wait))
	} else {
		t.timer.Reset(time.Duration(wait))
	}
}

var (
	errNoHead = errors.New("no answer within the time allowed")
	errStuck  = errors.New("the endpoint took no more of the request body in time")
)

// look is what happens at a tick of a wait that ends at the time by.
func (t *Try) look(now, by int64) *fault.Fault {
	if f := t.out.failure.Load(); f != nil {
		return f
	}
	if by != 0 && now >= by {
		t.silent = now-t.x.Times.Sent >= doubtAfter && t.conn.carrier.read.Load() == t.readMark
		return fault.At(fault.UpstreamTimeout, fault.MaybeProcessed, errNoHead)
	}
	if f := t.stuck(now); f != nil {
		return f
	}
	return t.watch.Tick(now)
}

// stuck says whether the endpoint has left a run of the request body lying for too long.
func (t *Try) stuck(now int64) *fault.Fault {
	moved := t.out.moved.Load()
	if t.patience.Idle == 0 || moved == 0 || t.out.ended.Load() || now < moved+int64(t.patience.Idle) {
		return nil
	}
	return fault.At(fault.UpstreamTimeout, fault.MaybeProcessed, errStuck)
}

// goOn tells the client to send its body.
func (t *Try) goOn() *fault.Fault {
	t.x.Request.Continue = false
	if f := t.codec.Interim(t.x, 100, nil); f != nil {
		return f
	}
	close(t.out.granted)
	return nil
}

// passInterims gives the client the interim answers that came before the head that is there now.
func (t *Try) passInterims() *fault.Fault {
	for {
		select {
		case i := <-t.interims:
			if f := t.passInterim(i); f != nil {
				return f
			}
		default:
			return nil
		}
	}
}

func (t *Try) passInterim(i interim) *fault.Fault {
	var fields exchange.Fields
	t.known += takeFields(&fields, http.Header(i.header))
	return t.codec.Interim(t.x, i.status, &fields)
}

// Account adds the bytes moved since the last Account to the exchange: content, and heads and trailers as long as their fields are,
// since what they take on the wire depends on all that the connection has carried before. It comes when the response has been written
// or given up, and ends the sending of a request body that the endpoint did not wait for.
func (t *Try) Account() {
	if t.cancel == nil {
		return // nothing was begun
	}
	t.stop()
	out := t.out.bytes.Load()
	if t.sentHead.Load() {
		out += t.size
	}
	t.x.Bytes.UpstreamOut += out - t.accounted
	t.x.Bytes.UpstreamIn += t.known
	t.accounted, t.known = out, 0
}

// stop ends the sending of the request body.
func (t *Try) stop() {
	if t.stopped {
		return
	}
	t.stopped = true
	if t.out.stop(t.codec) {
		t.x.Request.Streaming = true // the client's side was interrupted in its body
	}
}

// Finish ends the try, whether its answer was read or not, and gives back what it borrowed; views of the answer are invalid from then
// on. A stream that is not over yet is reset. It returns whether the connection can carry further exchanges, and if not, why.
func (t *Try) Finish() (keep bool, why string) {
	if t.cancel == nil { // something of ours panicked on the way
		t.conn.Release()
		return true, ""
	}
	t.Account()
	t.cancel()
	if t.timer != nil {
		t.timer.Stop()
	}
	if t.in.buf != nil {
		bufpool.Put(t.in.buf)
		t.in.buf = nil
	}
	t.x, t.codec, t.watch = nil, nil, nil
	if t.silent {
		// Nothing came over the whole connection for as long as an answer may take. It may be dead, and nobody would be told for many
		// minutes. Others that wait on it go on waiting.
		t.conn.Retire()
		return false, "error"
	}
	return true, ""
}
