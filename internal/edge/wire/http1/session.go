package http1

import (
	"bytes"
	"io"
	"sync"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/pace"
	"straum.dev/straum/internal/edge/socket"
)

const (
	// lingerTime is how long a connection that is closed while the client still sends is read from, so that the client gets to see
	// the answer and not a reset (RFC 9112 §9.6).
	lingerTime = int64(2 * time.Second)
	// drainTime is how long the rest of a body nobody wanted is waited for.
	drainTime = 5 * time.Second
)

// Session is the server role on one client connection. It implements exchange.Codec for the exchange under way. Between requests
// it holds nothing but this struct.
type Session struct {
	conn    *socket.Conn
	info    *exchange.Conn
	gate    exchange.Gate
	set     *Settings
	handler exchange.Handler
	desk    *desk // nil between requests
	use     func(buf []byte, n int) socket.Next
	last    int64 // when the last exchange was done, 0 before the first
}

// desk is what one exchange needs. Desks are pooled; a session has one only from the first bytes of a request to the end of its
// response.
type desk struct {
	x    exchange.Exchange
	in   []byte // head buffer, borrowed; nil while waiting
	r, w int    // what of it is read and not used yet
	head head
	read error // what the first look at the head found: nil, errMore or a refusal
	body body
	out  writer

	opened  bool  // the exchange has begun and waits for Serve
	last    bool  // the client announced no further request, or none can follow
	begun   bool  // the request body was begun, so what is left unread is in body and not in in
	broken  bool  // the response broke off
	over    bool  // no other request can follow
	inMark  int64 // bytes read and written on the connection before this exchange
	outMark int64
}

var desks = sync.Pool{New: func() any { return new(desk) }}

// Open makes a session. early is what was read from the connection already; it is copied.
func Open(c *socket.Conn, info *exchange.Conn, gate exchange.Gate, set *Settings, handler exchange.Handler, early []byte) *Session {
	s := &Session{conn: c, info: info, gate: gate, set: set, handler: handler}
	s.use = s.serveSimple
	if len(early) > 0 {
		s.sit()
		s.desk.in = bufpool.Get(len(early))
		s.desk.w = copy(s.desk.in, early)
	}
	return s
}

// Close closes the connection.
func (s *Session) Close() {
	s.leave()
	s.conn.Rest() // what it worked with goes to another connection
	s.conn.Close()
}

// sit gets a desk.
func (s *Session) sit() {
	if s.desk == nil {
		s.desk = desks.Get().(*desk)
	}
}

// Serve answers requests until there is nothing to read for a while, and then returns true, or until the connection cannot carry
// another request, and then returns false.
//
// There are two ways to the handler. Requests that lie in one read as a whole, which are most, are served from within the wait for
// them, by serveSimple. All others are left on the desk and served from here, where more can be read.
func (s *Session) Serve() (idle bool) {
	for {
		if s.desk == nil {
			err := s.await()
			if err != nil {
				s.leave()
				s.conn.Rest()
				return err == socket.ErrTimeout
			}
		}
		d := s.desk
		if d == nil {
			continue // all that came was served
		}
		if d.over { // the last request was served, and no other can follow
			s.end(&d.x)
			return false
		}
		if !d.opened {
			s.begin()
		}
		d.opened = false
		s.handler.Serve(s, &d.x)
		s.last = d.x.Times.Done
		if !s.settle(&d.x) {
			s.end(&d.x)
			return false
		}
		if d.w == 0 {
			s.leave()
		}
	}
}

// await waits for requests and serves the simple ones. It returns nil when there is one on the desk that is not, or when the last one
// served ends the connection, and ErrTimeout when nothing came for a while.
func (s *Session) await() error {
	if s.gate.Crowded() || s.gate.Draining() {
		buf, n, err := s.conn.TryLent(bufpool.Small)
		if until := s.last + exchange.HotWait; err == socket.ErrTimeout && s.gate.Draining() && s.last != 0 && clock.Now() < until {
			// The client was not told with its last answer, and may be sending its next request. It is served and told.
			buf, n, err = s.conn.ReadLent(bufpool.Small, until)
		}
		if err == nil {
			s.put(buf, n)
		}
		return err
	}
	from := clock.Now()
	for {
		err := s.conn.ReadEach(bufpool.Small, max(from, s.last)+exchange.HotWait, s.use)
		if err != socket.ErrTimeout || clock.Now() >= max(from, s.last)+exchange.HotWait {
			return err
		}
	}
}

// put lays what was read on the desk.
func (s *Session) put(buf []byte, n int) {
	s.sit()
	s.desk.in, s.desk.r, s.desk.w = buf, 0, n
}

// serveSimple serves the requests in buf as far as nothing has to be read for them.
func (s *Session) serveSimple(buf []byte, n int) socket.Next {
	s.put(buf, n)
	d := s.desk
	for d.w > 0 {
		s.begin()
		if d.read == errMore || d.x.Request.Length != 0 || d.x.Request.Upgrade != "" {
			d.opened = true
			return socket.Stop
		}
		s.handler.Serve(s, &d.x)
		s.last = d.x.Times.Done
		if !s.settle(&d.x) {
			d.over = true
			return socket.Stop
		}
	}
	switch {
	case s.gate.Crowded(), s.gate.Draining():
		s.leave()
		return socket.Stop
	case s.info.Requests == 1:
		// Clients that send one request and close their side do both at once.
		s.leave()
		return socket.Look
	}
	s.leave() // thousands may wait on their goroutines
	return socket.Await
}

// begin starts the exchange of the request on the desk and takes a first look at its head.
func (s *Session) begin() {
	d := s.desk
	d.inMark = s.conn.In() - int64(d.w)
	d.outMark = s.conn.Out()
	d.last, d.begun, d.broken, d.over = true, false, false, false
	d.x.Begin(s.info, clock.Now())
	d.r, d.read = parseRequest(d.in[:d.w], &s.set.Limits, &d.head, &d.x.Request)
}

// Decode implements exchange.Codec (step 2).
func (s *Session) Decode(x *exchange.Exchange) *fault.Fault {
	d := s.desk
	x.Times.Decoded = x.Times.Start
	by := x.Times.Start + int64(s.set.Timeouts.Header)
	for d.read != nil {
		if r, ok := d.read.(*refusal); ok {
			return r.made
		}
		f := s.moreHead(x, by)
		// Also after a fault: what was read may have moved to another buffer, and the views of the first look with it.
		header, trailer := x.Request.Header, x.Request.Trailer
		header.Reset()
		x.Request = exchange.Request{Header: header, Trailer: trailer}
		d.r, d.read = parseRequest(d.in[:d.w], &s.set.Limits, &d.head, &x.Request)
		if f != nil {
			return f
		}
		x.Times.Decoded = clock.Now()
	}
	if s.info.Secure {
		x.Request.Scheme = "https"
	}
	d.last = d.head.close || x.Request.Minor == 0 && !d.head.keepAlive
	if x.Request.Length != 0 {
		s.beginBody(x)
	}
	return nil
}

// moreHead reads more of a head until at least one more line has ended, so that a client that drips bytes does not make us parse the
// same ones again for each.
func (s *Session) moreHead(x *exchange.Exchange, by int64) *fault.Fault {
	d := s.desk
	for {
		if d.w == len(d.in) {
			size := bufpool.Medium
			if d.w >= bufpool.Medium {
				size = 4 * d.w // the limits end this before it gets large
			}
			bigger := bufpool.Get(size)
			copy(bigger, d.in[:d.w])
			bufpool.Put(d.in)
			d.in = bigger
		}
		n, err := s.conn.Read(d.in[d.w:], by)
		if err != nil {
			if err == socket.ErrTimeout {
				return fault.New(fault.HeaderTimeout, nil)
			}
			return fault.New(fault.ClientGone, err)
		}
		fresh := d.in[d.w : d.w+n]
		d.w += n
		limits := &s.set.Limits
		if hasLF(fresh) || d.w > limits.RequestLine && !hasLF(d.in[:d.w]) || d.w > limits.RequestLine+limits.HeaderBytes {
			return nil // there is something to decide
		}
	}
}

func hasLF(b []byte) bool { return bytes.IndexByte(b, '\n') >= 0 }

func (s *Session) beginBody(x *exchange.Exchange) {
	d := s.desk
	end := endsByCount
	if x.Request.Length == exchange.Unknown {
		end = endsByChunk
	}
	d.begun = true
	d.body.begin(s.conn, server, end, x.Request.Length, d.in, d.r, d.w)
	d.body.patience = s.set.Timeouts.Progress
	d.body.pace = pace.New(s.set.Timeouts.MinRate, s.set.Timeouts.Progress)
	d.body.limit = s.set.Limits.Body
	d.body.trailer = &x.Request.Trailer
	if d.w > d.r {
		x.Request.Continue = false // the client did not wait for it
	}
	x.Request.Body = &d.body
}

// Encode implements exchange.Codec (step 10).
func (s *Session) Encode(x *exchange.Exchange) *fault.Fault {
	d := s.desk
	if !x.Answered() {
		x.KeepAlive = false
		return nil
	}
	how := framing(x)
	x.KeepAlive = s.mayKeep(x, how)
	mark := s.conn.Out()
	d.broken = true // until it is written: a panic on the way leaves it so
	d.out.conn = s.conn
	d.out.patience = s.set.Timeouts.Progress
	d.out.pace = pace.New(s.set.Timeouts.MinRate, s.set.Timeouts.Progress)
	d.out.lend()
	d.out.out = appendResponse(d.out.out, x, how, max(x.Times.FirstByte, x.Times.Start))
	var read, write error
	if how != noContent && x.Response.Body != nil {
		read, write = d.out.copy(x.Response.Body, how, &x.Response.Trailer, nil)
	}
	if write == nil && (read == nil || s.conn.Out() > mark) {
		write = d.out.flush(nil)
	}
	d.out.release()
	d.broken = write != nil || read != nil && s.conn.Out() > mark
	switch {
	case write != nil:
		x.KeepAlive = false
		x.End = exchange.ClientGone
		kind := fault.ClientGone
		if write == socket.ErrTimeout {
			kind = fault.ClientSlow
		}
		x.Fail(fault.New(kind, write))
	case read != nil:
		x.KeepAlive = false
		f := fault.Of(read)
		if s.conn.Out() == mark {
			return f // nothing was sent: another answer can take its place
		}
		x.End = exchange.UpstreamBroke
		if f.Kind.Side == fault.Client {
			x.End = exchange.ClientGone
		}
		x.Fail(f)
	}
	return nil
}

// mayKeep says whether another request can follow on this connection.
func (s *Session) mayKeep(x *exchange.Exchange, how framed) bool {
	d := s.desk
	switch {
	case d.last, how == byClose, x.Response.Status == 101, s.gate.Draining():
		return false
	case x.Fault != nil && (x.Fault.Kind.Close || x.Fault.Close):
		return false
	case !d.begun:
		return true
	case x.Request.Streaming:
		return false // the endpoint answered before it had the whole body
	case d.body.done():
		return true
	}
	// What is left of the body has to be read before the next request; that is worth it when it is little and sure to come.
	return !x.Request.Continue && d.body.end == endsByCount && d.body.left <= drainLimit && d.body.err == nil
}

// Account implements exchange.Codec (step 11).
func (s *Session) Account(x *exchange.Exchange) {
	x.Bytes.In = s.conn.In() - s.desk.inMark
	if s.desk.read == nil { // of a head that was refused all that was read counts
		x.Bytes.In -= int64(len(s.desk.unread()))
	}
	x.Bytes.Out = s.conn.Out() - s.desk.outMark
}

// unread is what was read from the connection beyond the request.
func (d *desk) unread() []byte {
	if d.begun {
		if !d.body.done() {
			return nil
		}
		return d.body.buf[d.body.r:d.body.w]
	}
	return d.in[d.r:d.w]
}

// Interim implements exchange.Codec.
func (s *Session) Interim(x *exchange.Exchange, status int, header *exchange.Fields) *fault.Fault {
	if x.Request.Minor == 0 {
		return nil
	}
	buf := bufpool.Get(bufpool.Small)
	out := appendStatusLine(buf[:0], status)
	if header != nil {
		for _, f := range header.All() {
			if f.Known != exchange.ContentLength { // RFC 9110 §8.6
				out = appendField(out, f.Name, f.Value)
			}
		}
	}
	out = append(out, "\r\n"...)
	err := s.conn.Write(out, nil, int64(s.set.Timeouts.Progress))
	bufpool.Put(buf)
	if err != nil {
		return fault.New(fault.ClientGone, err)
	}
	return nil
}

// Gone implements exchange.Codec.
func (s *Session) Gone(x *exchange.Exchange) bool {
	switch s.conn.State() {
	case socket.PeerGone:
		return true
	case socket.PeerClosed:
		return s.set.HalfClosed == CancelHalfClosed || s.set.HalfClosed == AutoHalfClose && !s.desk.last
	}
	return false
}

// StopBody implements exchange.Codec.
func (s *Session) StopBody() { s.conn.InterruptRead() }

// settle ends an exchange and makes room for the next request. It returns false when none can follow.
func (s *Session) settle(x *exchange.Exchange) (keep bool) {
	d := s.desk
	if x.Request.Streaming {
		s.conn.ResumeRead()
	}
	if x.KeepAlive && d.begun && !d.body.done() {
		x.KeepAlive = s.drain()
	}
	if !x.KeepAlive {
		return false
	}
	rest := d.unread()
	if len(rest) > len(d.in) { // it lies in a buffer of the body
		bufpool.Put(d.in)
		d.in = bufpool.Get(len(rest))
	}
	d.r, d.w = 0, copy(d.in, rest)
	d.body.release()
	if d.w == 0 {
		bufpool.Put(d.in)
		d.in = nil
	}
	return true
}

// drain reads the little that is left of a body nobody wanted.
func (s *Session) drain() bool {
	b := &s.desk.body
	b.patience = min(drainTime, s.set.Timeouts.Progress)
	for {
		_, err := b.Next()
		if err != nil {
			return err == io.EOF
		}
	}
}

// end closes the sending side in a way that lets the client see the whole answer: while it may still be sending, what it sends is
// read and thrown away for a while, because closing with unread bytes would reset the connection and destroy the answer.
func (s *Session) end(x *exchange.Exchange) {
	d := s.desk
	if d.broken {
		if framing(x) == byClose {
			s.leave()
			s.conn.Abort()
			return
		}
		s.leave()
		return
	}
	sending := len(d.unread()) > 0 || s.conn.State() == socket.PeerTalks || d.begun && !d.body.done() || x.Fault != nil && x.Fault.Kind.Side == fault.Client && x.Fault.Kind.Status != 0
	answered := x.Answered()
	s.leave()
	if !sending || !answered || s.conn.CloseWrite() != nil {
		return
	}
	by := clock.Now() + lingerTime
	for total := 0; total < drainLimit; {
		buf, n, err := s.conn.ReadLent(bufpool.Medium, by)
		if err != nil {
			return
		}
		total += n
		bufpool.Put(buf)
	}
}

// leave gives the desk back with everything on it.
func (s *Session) leave() {
	d := s.desk
	if d == nil {
		return
	}
	s.desk = nil
	d.body.release()
	if d.in != nil {
		bufpool.Put(d.in)
	}
	d.in, d.r, d.w, d.begun, d.opened, d.over = nil, 0, 0, false, false, false
	d.x.Conn = nil
	desks.Put(d)
}
