package http1

import (
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

const (
	// continueWait is how long an endpoint is given to answer Expect: 100-continue before the client is told to go on
	// (RFC 9110 §10.1.1).
	continueWait = int64(time.Second)
	maxInterims  = 32
	// forever is the patience of a writer that has no bound.
	forever = 365 * 24 * time.Hour
)

// Try is one request to an endpoint over one connection: step 7. It is used again and again for one exchange after the other;
// the zero value is ready.
//
// Whether the rest of a request body is still on its way decides who runs: as long as it is, a goroutine of its own sends it while
// the exchange's goroutine waits for the answer, which may come at any time. All else happens on the exchange's goroutine.
type Try struct {
	conn     *socket.Conn
	x        *exchange.Exchange
	codec    exchange.Codec
	watch    exchange.Watch
	patience exchange.Patience

	in   []byte // borrowed; nil until there is an answer to read
	r, w int
	head head
	body body
	out  writer

	interim  exchange.Response // head of a 1xx
	awaiting bool              // for 100 (Continue)
	inMark   int64
	outMark  int64
	sentMark int64
	keep     bool   // the connection can carry another request once the body has been read
	why      string // why not
	// untouched says that nothing was sent, because the client's body was found bad first: a client must not be able to cost us
	// connections that way.
	untouched bool

	// The sending goroutine. It owns out and the request body from its start to its end.
	sending bool
	pending []byte // the run it begins with
	done    chan struct{}
	sentAt  int64 // when it was done
	source  error // what the request body failed with
	sink    error // what writing failed with
	// cut is source as a fault, from just before it makes the sender cut the endpoint's connection: the answer that breaks off then
	// is not the endpoint's fault.
	cut atomic.Pointer[fault.Fault]
}

// Do sends the request and reads the head of the final answer into x.Response. After it returns nil the answer's body can be read;
// after either the caller calls Finish. codec is the client's side, now the current time.
func (t *Try) Do(conn *socket.Conn, x *exchange.Exchange, codec exchange.Codec, o *exchange.Outgoing, now int64, patience exchange.Patience, watch exchange.Watch) *fault.Fault {
	x.Times.Sent = now
	conn.Wake() // before two goroutines may use it
	t.conn, t.x, t.codec, t.watch, t.patience = conn, x, codec, watch, patience
	t.inMark, t.outMark, t.sentMark = conn.In(), conn.Out(), conn.Sent()
	t.keep, t.why, t.source, t.sink, t.pending, t.sentAt = true, "", nil, nil, nil, 0
	t.untouched, t.out.taken = false, 0
	t.cut.Store(nil)
	t.out.conn, t.out.patience = conn, patience.Idle
	if patience.Idle == 0 {
		t.out.patience = forever
	}
	t.awaiting = x.Request.Continue
	t.out.lend()
	t.out.out = appendRequest(t.out.out, x, o, t.awaiting)
	whole, f := t.gather()
	if f != nil {
		t.untouched = true
		return f
	}
	if f := t.send(whole); f != nil {
		return f
	}
	return t.receive()
}

// gather puts as much of the request body behind the head as is there already and fits. whole says that nothing is left.
func (t *Try) gather() (whole bool, f *fault.Fault) {
	b := t.x.Request.Body
	if b == nil || t.awaiting {
		return true, nil
	}
	how := t.framing()
	if direct, ok := b.(*body); ok {
		direct.prefetch()
	}
	for b.Buffered() {
		run, err := b.Next()
		if err == io.EOF {
			t.out.finish(how, &t.x.Request.Trailer, &t.x.Request)
			return true, nil
		}
		if err != nil {
			return false, fault.Of(err)
		}
		t.out.taken += int64(len(run))
		if !t.out.gather(run, how) {
			t.pending = run
			return false, nil
		}
	}
	return false, nil
}

func (t *Try) framing() framed {
	if t.x.Request.Length == exchange.Unknown {
		return byChunks
	}
	return byLength
}

// send writes what was gathered. When that is the whole request it also waits for the beginning of the answer, in one operation.
func (t *Try) send(whole bool) *fault.Fault {
	if !whole {
		if t.x.Upstream.Reused && !t.conn.Quiet() {
			return t.failed(socket.ErrNotQuiet)
		}
		if sent, f := t.sendNow(); sent || f != nil {
			return f
		}
		t.start()
		return nil
	}
	now := t.x.Times.Sent
	sent, buf, n, err := t.conn.SendReceive(t.out.out, t.x.Upstream.Reused, t.firstRead(), t.firstTick(now))
	if sent < len(t.out.out) {
		// The kernel took a part, or the first tick was over before anything could be written.
		if sent == 0 && err == socket.ErrTimeout && t.x.Upstream.Reused && !t.conn.Quiet() {
			err = socket.ErrNotQuiet
		}
		if err == nil || err == socket.ErrTimeout {
			err = t.conn.Write(t.out.out[sent:], nil, int64(t.out.patience))
		}
		t.out.release()
		if err != nil {
			return t.failed(err)
		}
		return nil
	}
	t.out.out = nil // given back already
	if err != nil && err != socket.ErrTimeout {
		return t.failed(err)
	}
	if err == nil {
		t.in, t.r, t.w = buf, 0, n
	}
	return nil
}

// sendNow writes head and body in one go when the whole body is there and the kernel takes it. What the kernel leaves is for the
// sending goroutine.
func (t *Try) sendNow() (sent bool, f *fault.Fault) {
	if t.pending == nil || !t.pendingLast() || t.framing() != byLength {
		return false, nil
	}
	n, err := t.conn.TryWrite(t.out.out, t.pending)
	if err != nil {
		t.out.release()
		return false, t.failed(err)
	}
	if n < len(t.out.out) {
		t.out.out = t.out.out[:copy(t.out.out, t.out.out[n:])]
		return false, nil
	}
	t.pending = t.pending[n-len(t.out.out):]
	t.out.out = t.out.out[:0]
	if len(t.pending) > 0 {
		return false, nil
	}
	t.pending = nil
	t.out.release()
	return true, nil
}

// pendingLast says whether pending is the last run of the request body.
func (t *Try) pendingLast() bool {
	b, direct := t.x.Request.Body.(*body)
	return direct && b.end == endsNow || t.x.Held() || t.out.taken == t.x.Request.Length
}

// firstRead is how much to read at first of an answer.
func (t *Try) firstRead() int {
	if t.patience.Expect > bufpool.Medium {
		return bufpool.Large
	}
	return bufpool.Medium
}

// firstTick is when the first wait for the answer ends.
func (t *Try) firstTick(now int64) int64 {
	by, _ := t.headBy(now)
	if by == 0 {
		return now + tick
	}
	return min(by, now+tick)
}

// start lets a goroutine send the rest of the request.
func (t *Try) start() {
	if t.done == nil {
		t.done = make(chan struct{}, 1)
	}
	t.sending = true
	t.out.last.Store(false)
	go t.runSend()
}

// runSend sends the rest of the request body. When the client fails it, the endpoint's connection is killed, which wakes whoever
// waits for the answer.
func (t *Try) runSend() {
	how := t.framing()
	if t.pending != nil {
		if t.pendingLast() {
			t.out.last.Store(true)
		}
		t.sink = t.out.run(t.pending, how)
		t.pending = nil
	}
	if t.sink == nil {
		t.source, t.sink = t.out.copy(t.x.Request.Body, how, &t.x.Request.Trailer, &t.x.Request)
	}
	if t.source == nil && t.sink == nil {
		t.sink = t.out.flush(nil)
	}
	if t.source != nil {
		t.cut.Store(fault.Of(t.source))
		t.conn.Kill()
	}
	t.sentAt = clock.Now()
	t.done <- struct{}{}
}

// joined says whether the sending goroutine has ended, without waiting for it.
func (t *Try) joined() bool {
	if t.sending {
		select {
		case <-t.done:
			t.sending = false
		default:
		}
	}
	return !t.sending
}

// finished is joined for when the endpoint has answered. A sender that is just about to return from its last write is waited for;
// one that has more to send, or is stuck, has been answered early.
func (t *Try) finished() bool {
	for range 3 {
		if t.joined() {
			return true
		}
		runtime.Gosched()
	}
	if !t.out.last.Load() {
		return false
	}
	timer := time.NewTimer(time.Duration(tick))
	defer timer.Stop()
	select {
	case <-t.done:
		t.sending = false
	case <-timer.C:
	}
	return !t.sending
}

// receive reads heads until the final one.
func (t *Try) receive() *fault.Fault {
	for interims := 0; ; {
		if t.w > t.r {
			t.interim.Header.Reset()
			n, minor, err := parseResponse(t.in[t.r:t.w], t.x.SentMethod(), &t.head, &t.interim)
			switch {
			case err == nil && t.interim.Status < 200 && t.interim.Status != 101:
				if interims++; interims > maxInterims {
					return t.invalid(errInterim)
				}
				t.r += n
				if f := t.passInterim(); f != nil {
					return f
				}
				continue
			case err == nil:
				t.r += n
				return t.settle(minor)
			case err != errMore:
				return t.invalid(err)
			}
		}
		if f := t.more(); f != nil {
			return f
		}
	}
}

// more reads more of the answer's head.
func (t *Try) more() *fault.Fault {
	now := clock.Now()
	by, again := t.headBy(now)
	var err error
	if t.in == nil {
		t.in, t.w, err = await(t.conn, nil, t.firstRead(), now, by, t.watch)
		t.r = 0
	} else {
		t.room()
		var n int
		_, n, err = await(t.conn, t.in[t.w:], 0, now, by, t.watch)
		t.w += n
	}
	switch {
	case err == socket.ErrTimeout && t.awaiting:
		return t.goOn()
	case err == socket.ErrTimeout && again:
		return nil
	case err != nil:
		return t.failed(err)
	}
	return nil
}

// headBy is when the wait for the head ends. As long as the request is still being sent the endpoint's time has not begun, and again
// says to look once more when the wait is over.
func (t *Try) headBy(now int64) (by int64, again bool) {
	by = t.patience.HeadBy
	sooner := func(other int64) {
		if by == 0 || other < by {
			by, again = other, false
		}
	}
	switch {
	case t.awaiting:
		sooner(t.x.Times.Sent + continueWait)
	case !t.joined():
		sooner(now + tick)
		again = by == now+tick
	case t.patience.FirstByte > 0:
		sooner(max(t.sentAt, t.x.Times.Sent) + int64(t.patience.FirstByte))
	}
	return by, again
}

// room makes room behind what was read of the head.
func (t *Try) room() {
	if t.w < len(t.in) {
		return
	}
	size := bufpool.Medium
	if t.w-t.r >= bufpool.Medium/2 {
		size = 2 * upstreamHead
	}
	bigger := bufpool.Get(size)
	t.w = copy(bigger, t.in[t.r:t.w])
	t.r = 0
	bufpool.Put(t.in)
	t.in = bigger
}

// goOn tells the client to send its body.
func (t *Try) goOn() *fault.Fault {
	t.awaiting, t.x.Request.Continue = false, false
	if f := t.codec.Interim(t.x, 100, nil); f != nil {
		return f
	}
	t.start()
	return nil
}

// passInterim deals with a 1xx answer: 100 is ours to act on, the others go to the client.
func (t *Try) passInterim() *fault.Fault {
	status := t.interim.Status
	if status == 100 {
		if t.awaiting {
			return t.goOn()
		}
		return nil
	}
	return t.codec.Interim(t.x, status, &t.interim.Header)
}

// settle makes the response of the final head that was read.
func (t *Try) settle(minor uint8) *fault.Fault {
	x := t.x
	if t.interim.Status == 101 && (x.Request.Upgrade == "" || t.head.upgrade == "") {
		return t.invalid(errSwitch)
	}
	x.Times.FirstByte = clock.Now()
	x.Response, t.interim = t.interim, x.Response
	x.Response.Body, x.Response.Own = nil, false
	x.Upstream.Status = x.Response.Status
	if x.Response.Status == 426 && t.head.upgrade != "" {
		x.Response.Header.Append(exchange.Upgrade, "Upgrade", t.head.upgrade) // RFC 9110 §15.5.22
	}
	if !t.finished() {
		x.Request.Streaming = true
		t.refuse("early_answer")
	}
	switch {
	case t.head.close, minor == 0 && !t.head.keepAlive:
		t.refuse("endpoint_closes")
	case t.awaiting:
		t.refuse("body_not_wanted") // the endpoint may or may not expect a body now
	}
	end, length := endsByCount, x.Response.Length
	switch {
	case x.Response.Status == 101:
		x.Request.Upgrade = t.head.upgrade
		t.refuse("tunnel")
		return nil
	case !hasBody(x.SentMethod(), x.Response.Status):
		end, length = endsNow, 0
	case t.head.chunked:
		end = endsByChunk
	case length < 0:
		end = endsByClose
		t.refuse("no_length")
	}
	b := &t.body
	b.begin(t.conn, client, end, length, t.in, t.r, t.w)
	b.patience, b.until, b.watch, b.trailer = t.patience.Idle, t.patience.Until, t.watch, &x.Response.Trailer
	if x.Request.Streaming {
		b.cut = &t.cut
	}
	if end != endsNow {
		x.Response.Body = b
	}
	return nil
}

// refuse notes the first reason why the connection cannot be used again.
func (t *Try) refuse(why string) {
	if t.keep {
		t.keep, t.why = false, why
	}
}

func (t *Try) invalid(err error) *fault.Fault {
	t.refuse("invalid_answer")
	return fault.At(fault.UpstreamInvalid, fault.Answered, err)
}

// failed turns an error of the connection, met before the head of the answer was complete, into a fault.
func (t *Try) failed(err error) *fault.Fault {
	t.refuse("error")
	var f *fault.Fault
	if errors.As(err, &f) {
		return f
	}
	if !t.joined() {
		t.stopSending()
	}
	if t.source != nil && !errors.Is(t.source, socket.ErrInterrupted) { // which would be our own doing, just now
		return fault.Of(t.source)
	}
	phase := fault.MaybeProcessed
	switch {
	case t.w > 0:
		phase = fault.Answered
	case t.unsent(err):
		phase = fault.NotSent
	}
	if err == socket.ErrTimeout {
		return fault.At(fault.UpstreamTimeout, max(phase, fault.MaybeProcessed), errors.New("no answer within the time allowed"))
	}
	if socket.Alert(err) && t.w == 0 && !t.x.Upstream.Reused {
		// In TLS 1.3 our side of a handshake is over before the endpoint has judged it; nothing is looked at that came with a bad one.
		return fault.At(fault.UpstreamTLS, fault.NotConnected, err)
	}
	return fault.At(fault.UpstreamReset, phase, err)
}

// unsent says whether it is proven that the endpoint has not seen the request. Either nothing could be written at all. Or the
// endpoint had closed the connection before the request arrived: its end came (io.EOF, or EPIPE when the reset that our bytes
// provoked was faster) and confirmed none of our bytes, and every segment confirms what had arrived when it was sent. A reset
// alone proves nothing: it confirms nothing either, whatever was read before.
func (t *Try) unsent(err error) bool {
	sent := t.conn.Sent() - t.sentMark
	if sent == 0 {
		return true
	}
	return (err == io.EOF || errors.Is(err, syscall.EPIPE)) && t.conn.Unacknowledged() >= sent
}

// stopSending ends the sending goroutine and waits for it.
func (t *Try) stopSending() {
	t.conn.Kill()
	if !t.x.Held() {
		t.codec.StopBody()
		t.x.Request.Streaming = true // the client's side was interrupted in its body
	}
	<-t.done
	t.sending = false
}

// Early returns what the endpoint sent behind a 101 answer.
func (t *Try) Early() []byte { return t.in[t.r:t.w] }

// Account adds the bytes moved since the last Account to the exchange. It comes when the response has been written or given up, and
// ends the sending of a request body that the endpoint did not wait for.
func (t *Try) Account() {
	in := t.conn.In()
	t.x.Bytes.UpstreamIn += in - t.inMark
	t.inMark = in
	if !t.finished() {
		t.refuse("early_answer")
		t.stopSending()
	}
	out := t.conn.Out()
	t.x.Bytes.UpstreamOut += out - t.outMark
	t.outMark = out
}

// Finish ends the try, whether its answer was read or not, and gives back what it borrowed; views of the answer are invalid from
// then on. It returns whether the connection can carry another request, and if not, why. The connection stays the caller's.
func (t *Try) Finish() (keep bool, why string) {
	t.Account()
	switch {
	case !t.keep, t.untouched:
	case t.sink != nil:
		t.refuse("error")
	case t.body.conn == nil || t.body.end != endsNow || t.body.err != nil:
		t.refuse("answer_not_read")
	case t.body.r < t.body.w:
		t.refuse("surplus_bytes")
	}
	keep, why = t.keep, t.why
	t.body.release()
	t.out.release()
	if t.in != nil {
		bufpool.Put(t.in)
	}
	t.in, t.r, t.w = nil, 0, 0
	t.interim.Header.Reset()
	t.conn, t.x, t.codec, t.watch = nil, nil, nil, nil
	return keep, why
}
