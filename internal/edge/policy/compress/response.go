package compress

import (
	"io"
	"strings"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// Response implements policy.Response.
func (c *compress) Response(x *exchange.Exchange) {
	r := &x.Response
	if r.Status == 304 {
		c.unchanged(x)
		return
	}
	if !c.worth(r) {
		return
	}
	// Whoever stores the answer has to know that others get another (RFC 9110 §12.5.5), whatever this client gets.
	vary(&r.Header)
	coding, must := c.choose(x.Request.Said())
	if coding == none || forbids(x.Request.Said()) {
		return
	}
	head := x.Request.Method == "HEAD"
	if !head && r.Body == nil {
		return
	}
	var first gathered
	if !must {
		switch {
		case r.Length >= 0 && r.Length < c.least:
			return
		case r.Length == exchange.Unknown && !head:
			if first.from(r.Body, int(c.least)); first.ended {
				c.plain(x, &first)
				return
			}
		}
	}
	if head { // as for GET, but for a length that nobody knows (RFC 9110 §9.3.2)
		c.mark(x, coding)
		return
	}
	coder := c.stock.lend(coding, c.level, c.memory)
	if coder == nil {
		x.Judge(Kind.Name, "busy")
		if first.taken() {
			c.plain(x, &first)
		}
		return
	}
	c.mark(x, coding)
	b := c.stock.body(coder, r.Body, &first)
	x.AtEnd(b)
	// What is there already is compressed now: then the length is known, and head and content leave together.
	b.work(wholeBelow, false)
	r.Body = b
	if b.err == io.EOF && r.Trailer.Len() == 0 {
		r.Length = int64(len(b.out.bytes))
	}
}

// wholeBelow is how much compressed content of an answer is made before its head is written, in bytes.
const wholeBelow = 64 << 10

// worth says whether an answer is one that some client gets compressed.
func (c *compress) worth(r *exchange.Response) bool {
	switch r.Status {
	case 204, 205, 206: // nothing, nothing, and ranges of what is not encoded (RFC 9110 §14.1.2)
		return false
	}
	if r.Status < 200 {
		return false
	}
	h := &r.Header
	contentType, ok := h.Get(exchange.ContentType)
	if !ok || !c.types.has(contentType) || forbids(h) {
		return false
	}
	for _, f := range h.All() {
		switch f.Known {
		case exchange.ContentEncoding:
			if !grammar.FoldIs(f.Value, "identity") {
				return false // encoded already
			}
		case exchange.ContentRange:
			return false
		}
	}
	return true
}

// forbids says whether Cache-Control says no-transform (RFC 9111 §5.2.1.6 and §5.2.2.6).
func forbids(h *exchange.Fields) bool { return lists(h, exchange.CacheControl, "no-transform") }

// lists says whether a field that is a list has an element, which is in lower case.
func lists(h *exchange.Fields, known exchange.Known, lower string) bool {
	for _, f := range h.All() {
		if f.Known != known {
			continue
		}
		for element, rest, ok := grammar.NextElement(f.Value); ok; element, rest, ok = grammar.NextElement(rest) {
			if grammar.FoldIs(element, lower) {
				return true
			}
		}
	}
	return false
}

// vary says that answers differ by Accept-Encoding.
func vary(h *exchange.Fields) {
	if !lists(h, exchange.Vary, "accept-encoding") && !lists(h, exchange.Vary, "*") {
		h.Append(exchange.Vary, "Vary", "Accept-Encoding")
	}
}

// mark changes the head of an answer whose content is going to be encoded.
func (c *compress) mark(x *exchange.Exchange, coding coding) {
	r := &x.Response
	h := &r.Header
	h.Set(exchange.ContentEncoding, coding.String())
	h.Del(exchange.ContentLength)
	r.Length = exchange.Unknown
	h.Del(exchange.AcceptRanges) // the endpoint's ranges are of other bytes
	// What an endpoint says of the bytes it sent is wrong of those we send (RFC 9530 §2 and §3, RFC 3230, RFC 1864).
	for _, name := range [...]string{"Content-Digest", "Repr-Digest", "Digest", "Content-MD5"} {
		h.DelHeader(name)
	}
	weaken(x)
	x.Judge(Kind.Name, coding.String())
}

// weaken makes a strong entity tag weak: a strong one stands for one sequence of bytes (RFC 9110 §8.8.3).
func weaken(x *exchange.Exchange) {
	if tag, ok := x.Response.Header.Get(exchange.ETag); ok && strings.HasPrefix(tag, `"`) {
		x.Response.Header.Set(exchange.ETag, x.KeepScratch(append(append(x.Scratch(), "W/"...), tag...)))
	}
}

// unchanged sees to a 304, which has the fields that make a stored answer current (RFC 9110 §15.4.5, RFC 9111 §4.3.4). A client that has
// stored an answer with a weak tag finds it by this tag only.
func (c *compress) unchanged(x *exchange.Exchange) {
	h := &x.Response.Header
	if contentType, ok := h.Get(exchange.ContentType); ok && !c.types.has(contentType) || forbids(h) {
		return
	}
	vary(h)
	tag, ok := h.Get(exchange.ETag)
	if !ok || !strings.HasPrefix(tag, `"`) {
		return
	}
	for _, f := range x.Request.Said().All() {
		if f.Known == exchange.IfNoneMatch && showsWeak(f.Value, tag) {
			weaken(x)
			return
		}
	}
}

// showsWeak says whether a list of entity tags has the weak form of a strong one.
func showsWeak(list, tag string) bool {
	for from := 0; ; {
		at := strings.Index(list[from:], tag)
		if at < 0 {
			return false
		}
		if at += from; strings.HasSuffix(list[:at], "W/") {
			return true
		}
		from = at + 1
	}
}

// plain sends an answer as it is, of which the beginning was taken already.
func (c *compress) plain(x *exchange.Exchange, first *gathered) {
	r := &x.Response
	if first.ended && r.Trailer.Len() == 0 {
		r.Header.Del(exchange.ContentLength)
		r.Length = int64(len(first.bytes))
	}
	b := c.stock.body(nil, r.Body, first)
	x.AtEnd(b)
	r.Body = b
}

// gathered is the beginning of a body of unknown length, taken to see whether it is a short one.
type gathered struct {
	bytes []byte // borrowed; fewer than were asked for
	run   []byte // what came behind it, valid until the body's next run is asked for
	ended bool
	given bool  // bytes were handed on
	err   error // what came instead of a run
}

// from takes up to least bytes of a body as far as that needs no waiting.
func (g *gathered) from(b exchange.Body, least int) {
	for len(g.bytes) < least && b.Buffered() {
		run, err := b.Next()
		if err != nil {
			g.ended, g.err = err == io.EOF, err
			return
		}
		if len(g.bytes)+len(run) >= least {
			g.run = run
			return
		}
		if g.bytes == nil {
			g.bytes = bufpool.Get(least)[:0]
		}
		g.bytes = append(g.bytes, run...)
	}
}

// taken says whether anything was taken that was not given yet.
func (g *gathered) taken() bool {
	return len(g.bytes) > 0 && !g.given || len(g.run) > 0 || g.err != nil
}
