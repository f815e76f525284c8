package http2

import (
	"errors"
	"io"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

var (
	errAccept   = errors.New("the endpoint's Sec-WebSocket-Accept does not belong to the key it was sent")
	errSwitch   = errors.New("the endpoint switched protocols without being asked")
	errNoSwitch = errors.New("the endpoint answered a WebSocket handshake with success but did not switch protocols")
)

// Encode implements exchange.Codec (step 10).
func (st *stream) Encode(x *exchange.Exchange) *fault.Fault {
	if x.Fault != nil && x.Fault.Close {
		st.s.shutDown()
	}
	x.KeepAlive = !st.s.ending()
	if !x.Answered() {
		return nil
	}
	status := x.Response.Status
	if status == 101 && !st.extended {
		return fault.At(fault.UpstreamInvalid, fault.Answered, errSwitch)
	}
	if st.extended {
		switch {
		case status == 101:
			if got, _ := x.Response.Header.Header("Sec-WebSocket-Accept"); got != accepts(st.key) {
				return fault.At(fault.UpstreamInvalid, fault.Answered, errAccept)
			}
			status = 200
		case status >= 200 && status < 300:
			// The client would take it for the beginning of its tunnel.
			return fault.At(fault.UpstreamInvalid, fault.Answered, errNoSwitch)
		}
	}
	body := x.Response.Body
	if !hasContent(x.Request.Method, status) || tunnels(&x.Response, status) {
		body = nil
	}
	st.lend()
	defer st.unlend()
	st.head = appendResponse(st.head, x, status, max(x.Times.FirstByte, x.Times.Start))
	st.frame(body == nil && !tunnels(&x.Response, status))
	var read, write error
	if body == nil {
		write = st.commit(st.head, nil, false)
	} else {
		var f *fault.Fault
		if f, read, write = st.copy(body, &x.Response.Trailer); f != nil {
			return f
		}
	}
	switch {
	case write != nil:
		x.End = exchange.ClientGone
		f := errGone
		if write == socket.ErrTimeout {
			f = errSlow
			st.abandon(Cancel)
		}
		x.Fail(f)
	case read != nil:
		f := fault.Of(read)
		x.End = exchange.UpstreamBroke
		if f.Kind.Side == fault.Client {
			x.End = exchange.ClientGone
		}
		x.Fail(f)
		st.abandon(InternalError)
	}
	return nil
}

var errSlow = fault.New(fault.ClientSlow, nil)

// abandon resets the stream.
func (st *stream) abandon(code Code) {
	st.s.mu.Lock()
	st.s.reset(st, code)
	st.s.mu.Unlock()
}

// frame makes frames of the block in st.head, which has room for the first header before it.
func (st *stream) frame(end bool) {
	var flags uint8
	if end {
		flags = flagEndStream
	}
	if block := st.head[headerSize:]; len(block) > frameSize {
		st.head = appendBlock(nil, st.id, block, flags)
		return
	}
	appendHeader(st.head[:0], len(st.head)-headerSize, frameHeaders, flags|flagEndHeaders, st.id)
}

// copy sends the head in st.head with the content behind it, gathered as far as that needs no waiting. f is a fault of the body before
// anything was sent, so that another response can take this one's place.
func (st *stream) copy(b exchange.Body, trailer *exchange.Fields) (f *fault.Fault, read, write error) {
	head := len(st.head)
	var run []byte
	var err error
	for b.Buffered() {
		if run, err = b.Next(); err != nil {
			break
		}
		if len(st.head)+len(run) > cap(st.head) {
			break // run is not gathered
		}
		st.head = append(st.head, run...)
		run = nil
	}
	if err != nil && err != io.EOF {
		return fault.Of(err), nil, nil
	}
	end := err == io.EOF && trailer.Len() == 0
	if write = st.commit(st.head[:head], st.head[head:], end); write != nil || end {
		return nil, nil, write
	}
	for err == nil {
		if len(run) > 0 {
			if write = st.send(run, false); write != nil {
				return nil, nil, write
			}
		}
		run, err = b.Next()
	}
	if err != io.EOF {
		return nil, err, nil
	}
	if trailer.Len() == 0 {
		return nil, nil, st.send(nil, true)
	}
	st.head = appendFields(append(st.head[:0], noHeader[:]...), trailer)
	st.frame(true)
	return nil, nil, st.commit(st.head, nil, false)
}

// lend borrows the buffer that a header block and the first content are made in. It is given back as soon as they are handed over, so
// that exchanges that wait for their endpoints do not hold one each. A block larger than the buffer makes append take another, which
// is then not pooled.
func (st *stream) lend() {
	st.head = append(bufpool.Get(bufpool.Small)[:0], noHeader[:]...)
	if !st.s.tabled.Load() {
		st.head = append(st.head, noTable)
	}
}

func (st *stream) unlend() {
	bufpool.Put(st.head[:cap(st.head)])
	st.head = nil
}

// noHeader keeps the room of a frame's header free.
var noHeader [headerSize]byte

// Interim implements exchange.Codec.
func (st *stream) Interim(x *exchange.Exchange, status int, header *exchange.Fields) *fault.Fault {
	st.lend()
	defer st.unlend()
	st.head = appendStatus(st.head, status)
	if header != nil {
		st.head = appendFields(st.head, header)
	}
	st.frame(false)
	if err := st.commit(st.head, nil, false); err != nil {
		return errGone
	}
	return nil
}
