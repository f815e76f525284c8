package roundtrip

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// request makes the library's request of an exchange's, and counts its size.
//
// Every string in it is a copy. The library's HPACK encoder keeps names and values in its table for the life of the connection, long
// after the buffers that an exchange's strings are views of have been given to others.
func (t *Try) request(x *exchange.Exchange, o *exchange.Outgoing) *http.Request {
	r, method, query := &x.Request, x.SentMethod(), x.SentQuery()
	host := strings.Clone(o.Host)
	u := &url.URL{Scheme: t.conn.scheme, Host: host, Opaque: strings.Clone(o.Path), RawQuery: strings.Clone(query)}
	if strings.HasPrefix(u.Opaque, "//") { // else it would pass for an authority
		u.Opaque = "//" + host + u.Opaque
	}
	t.size = int64(len(method) + len(o.Path) + len(query) + len(host) + len("  HTTP/2\r\n"))
	header := make(http.Header, r.Header.Len()+8)
	for _, f := range r.Header.All() {
		switch f.Known {
		case exchange.Host, exchange.ContentLength, exchange.Forwarded, exchange.XForwardedFor, exchange.XForwardedProto,
			exchange.XForwardedHost, exchange.XRealIP, exchange.XForwardedPort, exchange.Trailer:
			continue // the library sends the length by itself; trailers are announced by nobody who does not know them yet
		}
		t.add(header, f.Known, f.Name, f.Value)
	}
	for lines := string(o.Forwarded); lines != ""; {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		if name, value, ok := strings.Cut(line, ": "); ok {
			t.add(header, exchange.Lookup(name), name, value)
		}
	}
	if r.TakesTrailers {
		header["Te"] = []string{"trailers"}
	}
	if r.Continue {
		header["Expect"] = []string{"100-continue"}
	}
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = nil // none is made up
	}
	request := &http.Request{Method: strings.Clone(method), URL: u, Host: host, Header: header, Proto: "HTTP/2.0", ProtoMajor: 2}
	if r.Body != nil {
		request.Body, request.ContentLength = &t.out, r.Length
		if r.Length == exchange.Unknown {
			request.Trailer = http.Header{} // filled when the body has ended
			t.out.trailer = request.Trailer
		}
	}
	return request
}

func (t *Try) add(header http.Header, known exchange.Known, name, value string) {
	t.size += int64(len(name) + len(value) + len(": \r\n"))
	if known != exchange.Other {
		name = known.String() // a constant
	} else {
		name = strings.Clone(name)
	}
	name = textproto.CanonicalMIMEHeaderKey(name) // one key for a name in any case, so that its values keep their order
	header[name] = append(header[name], strings.Clone(value))
}

// errStopped is what the library reads of a request body when the exchange has no use for it any more.
var errStopped = errors.New("the exchange is over")

// outbound is a request's body on its way out. The library reads it on a goroutine of its own; from the first Read to the end of the
// body, or to stop, the exchange's body is in that goroutine's hands.
type outbound struct {
	mu      sync.Mutex // held by the reader; whoever stops it waits for it here
	body    exchange.Body
	from    *exchange.Request // whose body it is, with the trailers
	trailer http.Header       // where they go
	rest    []byte            // what is left of the last run

	awaiting bool          // the client was not told to send its body yet
	wants    chan struct{} // capacity 1: it is time to tell it
	granted  chan struct{} // closed when it was told
	over     chan struct{} // closed by stop

	// The library closes a body it has no use for any more, and waits for a Read under way before it tells of the answer's end. So Close
	// makes that Read return; but not once stop has given the codec back, which may serve another exchange then.
	closing sync.Mutex
	codec   exchange.Codec // nil once stop was called
	closed  chan struct{}  // closed by Close
	cut     atomic.Bool    // Close interrupted a Read

	ended   atomic.Bool  // the library has had it all
	endedAt atomic.Int64 // when
	moved   atomic.Int64 // when the last run was handed out, 0 while the next is being read
	bytes   atomic.Int64
	failure atomic.Pointer[fault.Fault] // what the client's side failed with
}

// Read implements io.Reader.
func (o *outbound) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.moved.Store(0)
	select {
	case <-o.over:
		return 0, errStopped
	case <-o.closed:
		return 0, errStopped
	default:
	}
	if o.ended.Load() {
		return 0, io.EOF
	}
	if o.awaiting {
		o.wants <- struct{}{}
		select {
		case <-o.granted:
			o.awaiting = false
		case <-o.over:
			return 0, errStopped
		case <-o.closed:
			return 0, errStopped
		}
	}
	for len(o.rest) == 0 {
		run, err := o.body.Next()
		if err == io.EOF {
			o.end()
			return 0, io.EOF
		}
		if err != nil {
			if o.cut.Load() {
				return 0, errStopped // our own doing, and nobody's fault
			}
			o.failure.Store(fault.Of(err))
			return 0, err
		}
		o.rest = run
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	o.bytes.Add(int64(n))
	o.moved.Store(clock.Now())
	return n, nil
}

// end hands the trailers over, which are known now.
func (o *outbound) end() {
	if o.trailer != nil {
		for _, f := range o.from.Trailer.All() {
			if o.from.Reserved(f.Name) {
				continue
			}
			name := textproto.CanonicalMIMEHeaderKey(strings.Clone(f.Name))
			o.trailer[name] = append(o.trailer[name], strings.Clone(f.Value))
			o.bytes.Add(int64(len(f.Name) + len(f.Value) + len(": \r\n")))
		}
	}
	o.endedAt.Store(clock.Now())
	o.ended.Store(true)
}

// Close implements io.Closer: the library reads no more. It may do so just now.
func (o *outbound) Close() error {
	o.closing.Lock()
	defer o.closing.Unlock()
	select {
	case <-o.closed:
		return nil
	default:
		close(o.closed)
	}
	if o.codec == nil || o.ended.Load() {
		return nil
	}
	if o.mu.TryLock() { // nobody reads, and nobody will
		o.mu.Unlock()
		return nil
	}
	o.cut.Store(true)
	o.codec.StopBody()
	return nil
}

// stop takes the body back, whoever reads it at the moment. interrupted says that the client's side was stopped in the middle.
func (o *outbound) stop(codec exchange.Codec) (interrupted bool) {
	o.closing.Lock()
	o.codec = nil
	o.closing.Unlock()
	close(o.over)
	if !o.mu.TryLock() {
		interrupted = !o.ended.Load()
		if interrupted {
			codec.StopBody()
		}
		o.mu.Lock()
	}
	o.body, o.from, o.rest = nil, nil, nil
	o.mu.Unlock()
	return interrupted || o.cut.Load()
}
