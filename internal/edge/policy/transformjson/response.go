package transformjson

import (
	"errors"
	"io"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/jsonedit"
)

// response changes the bodies of answers.
type response struct {
	program     *jsonedit.Program
	values      []value
	limits      jsonedit.Limits
	types       []string
	max         int64
	errors      bool // answers of errors are changed too
	passLarge   bool
	passInvalid bool
}

// whole asks endpoints for whole answers.
type whole struct{ *response }

// Request implements policy.Request: a part of an answer cannot be changed, and whoever asks for a part has to be able to take the whole
// (RFC 9110 §14.2).
func (whole) Request(x *exchange.Exchange) { wantWhole(x) }

// Request implements policy.Request.
func (b both) Request(x *exchange.Exchange) {
	wantWhole(x)
	b.request.Request(x)
}

func wantWhole(x *exchange.Exchange) {
	for _, f := range x.Request.Header.All() {
		if f.Known == exchange.Range || f.Known == exchange.IfRange {
			x.Request.Header.Del(exchange.Range)
			x.Request.Header.Del(exchange.IfRange)
			return
		}
	}
}

// The ends of an answer that is not changed. Each passes or fails, as the options say.
const (
	large = iota
	invalid
)

// UpstreamResponse implements policy.UpstreamResponse.
func (p *response) UpstreamResponse(x *exchange.Exchange) {
	r := &x.Response
	switch {
	case r.Status == 304:
		p.unchanged(x)
		return
	case r.Status < 200 || r.Status == 204 || r.Status == 205, !p.errors && r.Status > 299:
		return
	}
	contentType, _ := r.Header.Get(exchange.ContentType)
	if !isJSON(contentType, p.types) {
		return
	}
	switch {
	case r.Status == 206:
		p.give(x, invalid, "response_range", nil)
		return
	case x.Request.Method == "HEAD":
		r.Length = exchange.Unknown // nobody knows it (RFC 9110 §8.6)
		p.mark(x)
		return
	case r.Body == nil:
		return
	}
	how := coding(&r.Header)
	if how == unknown {
		p.give(x, invalid, "response_coded", nil)
		return
	}
	if r.Length > p.max {
		p.give(x, large, "response_too_large", nil)
		return
	}
	w := lend(x, p.values)
	x.AtEnd(w)
	switch word, f := p.read(w, r); {
	case f != nil:
		x.Fail(f)
		return
	case word != "":
		p.give(x, large, word, w)
		return
	case len(w.raw) == 0:
		p.give(x, invalid, "response_invalid", w)
		return
	}
	content := w.raw
	if how != identity {
		switch err := w.decode(how, p.max); {
		case errors.Is(err, errTooLarge):
			p.give(x, large, "response_too_large", w)
			return
		case errors.Is(err, errFull):
			p.give(x, large, "response_full", w)
			return
		case err != nil:
			p.give(x, invalid, "response_coded", w)
			return
		}
		content = w.decoded
	}
	if !w.take(2 * copySize(len(content))) { // there are two for a moment, the second with what is moved
		p.give(x, large, "response_full", w)
		return
	}
	out, err := p.program.Append(w.room(len(content)), content, &p.limits, w)
	w.out = out
	switch {
	case errors.Is(err, jsonedit.ErrOutput):
		p.give(x, large, "response_too_large", w)
		return
	case err != nil:
		p.give(x, invalid, "response_invalid", w)
		return
	}
	if !w.take(0) { // what is set may be more than there was room for
		p.give(x, large, "response_full", w)
		return
	}
	w.dropInput() // a client may take long to read
	w.take(0)
	w.rest, w.body = out, nil
	r.Body, r.Length = w, int64(len(out))
	r.Trailer.Reset() // a message of known length has no place for them in HTTP/1.1
	r.Header.DelHeader("Trailer")
	p.mark(x)
}

// read reads a body to its end, or until it is larger than it may be or there is no room: why is the verdict then. What was read is in w.raw.
func (p *response) read(w *work, r *exchange.Response) (why string, f *fault.Fault) {
	most := p.max + 1 // so much shows that it is too large
	if r.Length >= 0 {
		most = r.Length
	}
	for {
		run, err := r.Body.Next()
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return "", fault.Of(err)
		}
		if need := len(w.raw) + len(run); need > cap(w.raw) {
			bigger := max(need, int(min(2*int64(cap(w.raw)), most)))
			if !w.take(int64(bigger)) {
				why = "response_full"
			}
			w.raw = grow(w.raw, bigger-len(w.raw)) // also if it is the last run, which goes on with what was read before it
		}
		if w.raw = append(w.raw, run...); int64(len(w.raw)) > p.max {
			why = "response_too_large"
		}
		if why != "" {
			return why, nil
		}
	}
}

// give ends the work on an answer that cannot be changed. w holds what was read of it already, when it is not nil.
func (p *response) give(x *exchange.Exchange, why int, word string, w *work) {
	x.Judge(Kind.Name, word)
	if why == large && !p.passLarge || why == invalid && !p.passInvalid {
		x.Fail(fault.New(fault.Unchangeable, causes[word]))
		return
	}
	if w != nil && len(w.raw) > 0 {
		w.rest, w.body = w.raw, x.Response.Body
		x.Response.Body = w
	}
}

// causes tell the operator.
var causes = map[string]error{
	"response_range":     errors.New("the endpoint sent a part of an answer (206) without being asked for one"),
	"response_coded":     errors.New("the answer has a Content-Encoding that cannot be taken off"),
	"response_too_large": errors.New("the answer is larger than transform_json may change; raise max, or let it pass with over"),
	"response_full":      errors.New("as much of answers is held as may be, by all or for this address"),
	"response_invalid":   errors.New("the answer is not JSON, though its Content-Type says so"),
}

// mark changes the head of an answer whose content is other than the endpoint's.
func (p *response) mark(x *exchange.Exchange) {
	h := &x.Response.Header
	h.Del(exchange.ContentLength)
	h.Del(exchange.ContentEncoding)
	h.Del(exchange.AcceptRanges) // the endpoint's ranges are of other bytes
	dropDigests(h)
	weaken(x)
}

// weaken makes a strong entity tag weak: a strong one stands for one sequence of bytes (RFC 9110 §8.8.3).
func weaken(x *exchange.Exchange) {
	if tag, ok := x.Response.Header.Get(exchange.ETag); ok && strings.HasPrefix(tag, `"`) {
		x.Response.Header.Set(exchange.ETag, x.KeepScratch(append(append(x.Scratch(), "W/"...), tag...)))
	}
}

// unchanged sees to a 304: a client that has stored an answer with a weak tag finds it by this tag alone (RFC 9111 §4.3.4).
func (p *response) unchanged(x *exchange.Exchange) {
	tag, ok := x.Response.Header.Get(exchange.ETag)
	if !ok || !strings.HasPrefix(tag, `"`) {
		return
	}
	for _, f := range x.Request.Header.All() {
		if f.Known == exchange.IfNoneMatch && showsWeak(f.Value, tag) {
			weaken(x)
			return
		}
	}
}

// showsWeak says whether a list of entity tags has the weak form of a strong one.
func showsWeak(list, tag string) bool {
	for {
		at := strings.Index(list, tag)
		if at < 0 {
			return false
		}
		if strings.HasSuffix(list[:at], "W/") {
			return true
		}
		list = list[at+len(tag):]
	}
}
