package roundtrip

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
)

// run is a piece of the answer's body, in a buffer that goes with it, or what came instead of one.
type run struct {
	buf []byte // borrowed
	n   int
	err error // io.EOF at the end
}

// read reads the answer's body ahead of the exchange: one run is with the exchange, one waits for it, one is being read.
func (t *Try) read(response *http.Response) {
	size := bufpool.Small
	for {
		buf := bufpool.Get(size)
		n, err := response.Body.Read(buf)
		if n == 0 {
			bufpool.Put(buf)
			buf = nil
		}
		if n > 0 || err != nil {
			select {
			case t.runs <- run{buf, n, err}:
			case <-t.over:
				if buf != nil {
					bufpool.Put(buf)
				}
				return
			}
		}
		if err != nil {
			return
		}
		if n == size {
			size = bufpool.Medium // more is likely to be there
		} else {
			size = bufpool.Small
		}
	}
}

// inbound is an answer's body as the exchange reads it.
type inbound struct {
	try     *Try
	trailer *http.Header // the library's, complete at the end
	buf     []byte       // of the run that was handed out
	next    run          // taken, and not handed out yet
	taken   bool
	begun   bool  // a run was handed out
	err     error // sticky
}

// settle makes the exchange's response of the library's.
func (t *Try) settle(h head) *fault.Fault {
	x, response := t.x, h.response
	x.Times.FirstByte = clock.Now()
	x.Upstream.Status = response.StatusCode
	if response.StatusCode < 200 || response.StatusCode > 599 {
		return invalid(errStatus)
	}
	length, err := length(response, x.SentMethod())
	if err != nil {
		return invalid(err)
	}
	x.DropResponse()
	r := &x.Response
	r.Status, r.Length = response.StatusCode, length
	t.known += takeFields(&r.Header, response.Header) + int64(len("HTTP/2 200\r\n"))
	for _, name := range h.announced {
		if grammar.IsToken(name) && exchange.Lookup(name).MayTrail() {
			r.Header.Append(exchange.Trailer, exchange.Trailer.String(), name)
		}
	}
	if !t.out.ended.Load() {
		x.Request.Streaming = true
	}
	switch _, stated := r.Header.Get(exchange.ContentLength); {
	case x.SentMethod() == "HEAD", r.Status == 204, r.Status == 304:
	case length == 0 && !stated: // the stream ended with its head, as it does for an answer of trailers only
	default:
		t.in = inbound{try: t, trailer: &response.Trailer}
		r.Body = &t.in
	}
	return nil
}

// length is the length of the answer's content. The library states 0 for a stream that ended with its head.
func length(response *http.Response, method string) (int64, error) {
	stated := response.Header["Content-Length"]
	switch {
	case len(stated) > 1:
		return 0, errLengths
	case len(stated) == 1:
		if response.ContentLength < 0 {
			return 0, errLength
		}
		return response.ContentLength, nil
	case method == "HEAD" || response.StatusCode == 204 || response.StatusCode == 304:
		return exchange.Unknown, nil
	}
	return response.ContentLength, nil
}

// takeFields files the fields of an answer, without those that are about a connection, which HTTP/2 does not know (RFC 9113 §8.2.2)
// and HTTP/1.1 must not be shown. It returns their size. The order of different names is lost in the library's map.
func takeFields(into *exchange.Fields, from http.Header) (size int64) {
	for name, values := range from {
		known := exchange.Lookup(name)
		if known.HopByHop() || known == exchange.ProxyAuthenticate || known == exchange.ProxyAuthorization || known == exchange.Host {
			continue
		}
		for _, value := range values {
			into.Append(known, name, value)
			size += int64(len(name) + len(value) + len(": \r\n"))
		}
	}
	return size
}

// Buffered implements exchange.Body.
func (b *inbound) Buffered() bool {
	if b.taken || b.err != nil {
		return true
	}
	// A body that came together with its head is about to be handed over. It can then leave together with its head, too.
	for yields := 0; ; yields++ {
		select {
		case b.next = <-b.try.runs:
			b.taken = true
			return true
		default:
		}
		if b.begun || yields == 2 {
			return false
		}
		runtime.Gosched()
	}
}

// Next implements exchange.Body.
func (b *inbound) Next() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.buf != nil {
		bufpool.Put(b.buf)
		b.buf = nil
	}
	r, f := b.take()
	switch {
	case f != nil:
	case r.n > 0:
		if r.err != nil { // for the next call
			b.next, b.taken = run{err: r.err}, true
		}
		b.buf, b.begun = r.buf, true
		b.try.known += int64(r.n)
		return r.buf[:r.n], nil
	case r.err == io.EOF:
		f = b.end()
	default:
		f = b.try.broken(r.err)
		if until := b.try.patience.Until; until != 0 && f.Kind == fault.UpstreamReset && clock.Now() >= until {
			f = fault.At(b.try.patience.Late, fault.ResponseBegun, f.Cause) // the endpoint may know the deadline, and be the first to break off
		}
	}
	b.err = io.EOF
	if f != nil && !b.tell(f) {
		b.err = f
	}
	return nil, b.err
}

// tell ends a gRPC answer that fails in its middle in the way gRPC has for that: with a status in the trailers. It returns false where
// that cannot be.
func (b *inbound) tell(f *fault.Fault) bool {
	t := b.try
	if !t.patience.GRPC || f.Kind.Side == fault.Client && f.Kind.Status == 0 {
		return false
	}
	t.x.Fail(f)
	trailer := &t.x.Response.Trailer
	trailer.Reset()
	trailer.Add("grpc-status", strconv.Itoa(int(f.Kind.Code)))
	trailer.Add("grpc-message", string(fault.AppendMessage(nil, f.Told())))
	return true
}

var errNoMore = errors.New("the endpoint sent no more of its answer in time")

// take waits for the next run.
func (b *inbound) take() (run, *fault.Fault) {
	if b.taken {
		b.taken = false
		return b.next, nil
	}
	t := b.try
	from := clock.Now()
	if t.patience.Until != 0 && from >= t.patience.Until {
		return run{}, fault.At(t.patience.Late, fault.ResponseBegun, nil)
	}
	for now := from; ; now = clock.Now() {
		by := t.patience.Until
		if idle := from + int64(t.patience.Idle); t.patience.Idle > 0 && (by == 0 || idle < by) {
			by = idle
		}
		t.arm(now, by)
		select {
		case r := <-t.runs:
			t.timer.Stop()
			return r, nil
		case <-t.timer.C:
		}
		now = clock.Now()
		f := t.out.failure.Load()
		switch {
		case f != nil:
		case t.patience.Until != 0 && now >= t.patience.Until:
			f = fault.At(t.patience.Late, fault.ResponseBegun, errNoMore)
		case by != 0 && now >= by:
			f = fault.At(fault.UpstreamTimeout, fault.ResponseBegun, errNoMore)
		default:
			if f = t.stuck(now); f == nil {
				f = t.watch.Tick(now)
			}
		}
		if f != nil {
			return run{}, f
		}
	}
}

// end takes the trailers over.
func (b *inbound) end() *fault.Fault {
	x := b.try.x
	fields := 0
	for name, values := range *b.trailer {
		if len(values) == 0 {
			continue // announced, and not sent
		}
		if fields += len(values); fields > maxTrailers {
			return fault.At(fault.UpstreamInvalid, fault.ResponseBegun, errTrailers)
		}
		known := exchange.Lookup(name)
		if !known.MayTrail() {
			return fault.At(fault.UpstreamInvalid, fault.ResponseBegun, errTrailerName)
		}
		for _, value := range values {
			x.Response.Trailer.Append(known, name, value)
			b.try.known += int64(len(name) + len(value) + len(": \r\n"))
		}
	}
	return nil
}
