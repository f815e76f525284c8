package http1

import (
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/pace"
	"straum.dev/straum/internal/edge/socket"
)

// appendRequest appends the head of the request to an endpoint. await says the endpoint is asked for 100 (Continue) first.
func appendRequest(out []byte, x *exchange.Exchange, o *exchange.Outgoing, await bool) []byte {
	r := &x.Request
	method := x.SentMethod()
	out = append(out, method...)
	out = append(out, ' ')
	out = append(out, o.Path...)
	if query := x.SentQuery(); query != "" {
		out = append(out, '?')
		out = append(out, query...)
	}
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, o.Host...)
	out = append(out, "\r\n"...)
	stated := false
	for _, f := range r.Header.All() {
		switch f.Known {
		case exchange.Host, exchange.Forwarded, exchange.XForwardedFor, exchange.XForwardedProto, exchange.XForwardedHost, exchange.XRealIP,
			exchange.XForwardedPort:
			continue
		case exchange.ContentLength:
			if !stated && r.Length >= 0 {
				out = appendLength(out, f.Name, r.Length)
			}
			stated = true
			continue
		}
		out = appendField(out, f.Name, f.Value)
	}
	out = append(out, o.Forwarded...)
	switch {
	case r.Upgrade != "":
		out = append(out, "Connection: upgrade\r\n"...)
		out = appendField(out, "Upgrade", r.Upgrade)
	case r.TakesTrailers:
		out = append(out, "Connection: te\r\nTE: trailers\r\n"...)
	}
	switch {
	case !stated && (r.Length > 0 || r.Length == 0 && meansContent(method)):
		out = appendLength(out, "Content-Length", r.Length)
	case r.Length == exchange.Unknown:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	if await {
		out = append(out, "Expect: 100-continue\r\n"...)
	}
	return append(out, "\r\n"...)
}

// meansContent says whether a request by this method that has no content says so with a length (RFC 9110 §8.6).
func meansContent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "DELETE", "TRACE":
		return false
	}
	return true
}

func appendField(out []byte, name, value string) []byte {
	out = append(out, name...)
	out = append(out, ": "...)
	out = append(out, value...)
	return append(out, "\r\n"...)
}

func appendLength(out []byte, name string, length int64) []byte {
	out = append(out, name...)
	out = append(out, ": "...)
	out = strconv.AppendInt(out, length, 10)
	return append(out, "\r\n"...)
}

// framed is how a response's content will be delimited towards the client.
type framed uint8

const (
	noContent framed = iota
	byLength
	byChunks
	byClose
)

// framing decides how a response goes to the client (RFC 9112 §6.3).
func framing(x *exchange.Exchange) framed {
	switch {
	case !hasBody(x.Request.Method, x.Response.Status):
		return noContent
	case x.Response.Length >= 0:
		return byLength
	case x.Request.Minor == 0:
		return byClose
	}
	return byChunks
}

// appendResponse appends the head of a response to the client.
func appendResponse(out []byte, x *exchange.Exchange, how framed, now int64) []byte {
	r := &x.Response
	out = appendStatusLine(out, r.Status)
	stated, dated := false, false
	for _, f := range r.Header.All() {
		switch f.Known {
		case exchange.ContentLength:
			if stated || r.Length < 0 || r.Status == 204 {
				continue
			}
			stated = true
			out = appendLength(out, f.Name, r.Length)
			continue
		case exchange.Date:
			dated = true
		case exchange.Upgrade:
			out = append(out, "Connection: upgrade\r\n"...)
		}
		out = appendField(out, f.Name, f.Value)
	}
	if !dated {
		out = appendField(out, "Date", clock.Date(now)) // RFC 9110 §6.6.1
	}
	switch {
	case how == byLength && !stated:
		out = appendLength(out, "Content-Length", r.Length)
	case how == byChunks:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case r.Status == 101:
		out = append(out, "Connection: upgrade\r\n"...)
		out = appendField(out, "Upgrade", x.Request.Upgrade)
	case !x.KeepAlive:
		out = append(out, "Connection: close\r\n"...)
	case x.Request.Minor == 0:
		out = append(out, "Connection: keep-alive\r\n"...)
	}
	return append(out, "\r\n"...)
}

// writer puts content on a connection, gathered so that as few system calls as possible carry it, and never held back while the
// next run has to be waited for.
type writer struct {
	conn     *socket.Conn
	out      []byte // what was gathered and not written yet; borrowed while there is something to write
	patience time.Duration
	pace     pace.Pace
	taken    int64       // bytes of the content of a request that were got from its source, spliced ones left out
	last     atomic.Bool // copy has got the last run from its source, and writes it
}

// flush writes what was gathered, and run behind it.
func (w *writer) flush(run []byte) error {
	if len(w.out) == 0 && len(run) == 0 {
		return nil
	}
	waited, n := w.conn.WriteWaited(), len(w.out)+len(run)
	err := w.conn.Write(w.out, run, int64(w.patience))
	w.out = w.out[:0]
	if err == nil && w.pace.Asks() && !w.pace.Fast(int64(n), w.conn.WriteWaited()-waited) {
		return socket.ErrTimeout
	}
	return err
}

// copy writes a whole body behind what was gathered. Two kinds of error are told apart: read is the source's, write the
// destination's.
func (w *writer) copy(b exchange.Body, how framed, trailer *exchange.Fields, of *exchange.Request) (read, write error) {
	direct, _ := b.(*body)
	filed, _ := b.(exchange.Filed)
	for {
		if !b.Buffered() {
			if err := w.flush(nil); err != nil {
				return nil, err
			}
			if filed != nil && how == byLength {
				if read, write := w.send(filed); read != nil || write != nil {
					return read, write
				}
			}
			if direct != nil && how == byLength {
				if read, write := w.splice(direct); read != nil || write != nil {
					return read, write
				}
			}
		}
		run, err := b.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err, nil
		}
		w.taken += int64(len(run))
		if direct != nil && direct.end == endsNow || of != nil && how == byLength && w.taken == of.Length {
			w.last.Store(true)
		}
		if err := w.run(run, how); err != nil {
			return nil, err
		}
	}
	w.last.Store(true)
	w.finish(how, trailer, of)
	return nil, nil
}

// spliceFrom is how much of a body must be left for moving it inside the kernel to be cheaper than reading and writing it, in bytes.
const spliceFrom = 128 << 10

// splice moves the rest of a long body of known length from socket to socket without it ever being in our memory. Where it cannot,
// it leaves the body as it is.
func (w *writer) splice(b *body) (read, write error) {
	for b.end == endsByCount && b.r == b.w && b.left >= spliceFrom && b.err == nil {
		b.dropFirst()
		now, waited := clock.Now(), w.conn.WriteWaited()
		by := now + int64(b.patience)
		if b.patience == 0 || b.watch != nil && now+tick < by {
			by = now + tick
		}
		w.last.Store(b.left <= spliceAtOnce)
		n, read, write := socket.Splice(w.conn, b.conn, min(b.left, spliceAtOnce), by, int64(w.patience))
		b.left -= n
		b.seen += n
		if b.left == 0 {
			b.end = endsNow
		}
		waited = w.conn.WriteWaited() - waited
		if write == nil && w.pace.Asks() && !w.pace.Fast(n, waited) {
			write = socket.ErrTimeout
		}
		if write != nil {
			return nil, write
		}
		if read == socket.ErrNoSplice {
			return nil, nil
		}
		end := clock.Now()
		over := b.until != 0 && end >= b.until
		if over && n > 0 {
			read = b.overdue()
		} else if b.pace.Asks() && !b.pace.Fast(n, end-now-waited) || over {
			read = socket.ErrTimeout
		} else if read == socket.ErrTimeout && (n > 0 || b.watch != nil) {
			if n == 0 {
				return nil, nil // let the body wait in its own way
			}
			read = nil
		}
		if read == nil && b.watch != nil {
			if f := b.watch.Tick(end); f != nil {
				read = f
			}
		}
		if read != nil {
			b.err = b.failed(read)
			return b.err, nil
		}
	}
	return nil, nil
}

// send moves what a file has of a body to a plain connection without it ever being in our memory. Where it cannot, it leaves the rest to Next.
func (w *writer) send(b exchange.Filed) (read, write error) {
	for {
		waited := w.conn.WriteWaited()
		n, read, write := b.SendTo(w.conn, int64(w.patience))
		if write == nil && w.pace.Asks() && !w.pace.Fast(n, w.conn.WriteWaited()-waited) {
			write = socket.ErrTimeout
		}
		switch {
		case write != nil:
			return nil, write
		case read == socket.ErrNoSplice:
			return nil, nil
		case read != nil || n == 0:
			return read, nil
		}
	}
}

// spliceAtOnce is how much is moved between two looks at whether it still makes sense, in bytes.
const spliceAtOnce = 4 << 20

// chunkRoom is what the framing of one chunk takes at most: its size line and the line end behind it.
const chunkRoom = 16 + 2*len("\r\n")

// gather puts one run behind what was gathered, if it fits.
func (w *writer) gather(run []byte, how framed) bool {
	if len(run)+chunkRoom > cap(w.out)-len(w.out) {
		return false
	}
	if how == byChunks {
		w.out = appendChunkSize(w.out, len(run))
	}
	w.out = append(w.out, run...)
	if how == byChunks {
		w.out = append(w.out, "\r\n"...)
	}
	return true
}

// run gathers one run, or writes it together with what was gathered when it does not fit.
func (w *writer) run(run []byte, how framed) error {
	if w.gather(run, how) {
		return nil
	}
	if how == byChunks {
		w.out = appendChunkSize(w.out, len(run))
	}
	if err := w.flush(run); err != nil {
		return err
	}
	if how == byChunks {
		w.out = append(w.out, "\r\n"...)
	}
	return nil
}

// finish gathers what ends a body, with its trailers but for those whose names are reserved in the request it is of; of is nil for a
// response.
func (w *writer) finish(how framed, trailer *exchange.Fields, of *exchange.Request) {
	if how != byChunks {
		return
	}
	w.out = append(w.out, "0\r\n"...)
	for _, f := range trailer.All() {
		if !of.Reserved(f.Name) {
			w.out = appendField(w.out, f.Name, f.Value)
		}
	}
	w.out = append(w.out, "\r\n"...)
}

func appendChunkSize(out []byte, size int) []byte {
	out = strconv.AppendInt(out, int64(size), 16)
	return append(out, "\r\n"...)
}

// lend borrows the buffer to gather in. It is given back as soon as all is written, so that exchanges that wait for their endpoints
// do not hold one each: the few that are in use stay in the processor's cache. A head larger than the buffer makes append take
// another, which is then not pooled.
func (w *writer) lend() { w.out = bufpool.Get(bufpool.Small)[:0] }

func (w *writer) release() {
	if w.out != nil {
		bufpool.Put(w.out[:cap(w.out)])
	}
	w.out = nil
}

func appendStatusLine(out []byte, status int) []byte {
	if status == 200 {
		return append(out, "HTTP/1.1 200 OK\r\n"...)
	}
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(out, ' ')
	out = append(out, reasons[status]...)
	return append(out, "\r\n"...)
}

// reasons are the phrases of the HTTP Status Code Registry.
var reasons = [600]string{
	100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints",
	200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content", 205: "Reset Content",
	206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 305: "Use Proxy",
	307: "Temporary Redirect", 308: "Permanent Redirect",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict", 410: "Gone",
	411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long",
	415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed", 418: "I'm a teapot",
	421: "Misdirected Request", 422: "Unprocessable Content", 423: "Locked", 424: "Failed Dependency", 425: "Too Early",
	426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
	451: "Unavailable For Legal Reasons",
	500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
	505: "HTTP Version Not Supported", 506: "Variant Also Negotiates", 507: "Insufficient Storage", 508: "Loop Detected",
	510: "Not Extended", 511: "Network Authentication Required",
}
