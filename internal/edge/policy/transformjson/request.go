package transformjson

import (
	"errors"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/jsonedit"
)

// request changes the bodies of requests.
type request struct {
	program *jsonedit.Program
	values  []value
	limits  jsonedit.Limits
	types   []string
	max     int64
	within  time.Duration
	pass    bool // what is not JSON
}

// Request implements policy.Request.
func (r *request) Request(x *exchange.Exchange) {
	q := &x.Request
	if q.Body == nil {
		return
	}
	contentType, typed := q.Header.Get(exchange.ContentType)
	if !typed && !r.pass && q.Length == exchange.Unknown { // over HTTP/2 it may show at the very end that there is no body
		if content, f := r.hold(x); f != nil || len(content) == 0 {
			if f != nil {
				x.Fail(f)
			}
			return
		}
	}
	doubtful := q.Header.Count(exchange.ContentType) > 1 || !jsonedit.InUTF8(contentType) // readers differ in what it is
	if doubtful || !isJSON(contentType, r.types) {
		if doubtful || !r.pass {
			x.Judge(Kind.Name, "content_type")
			x.Fail(&fault.Fault{Kind: fault.UnsupportedContent, Detail: "This path takes JSON: one Content-Type of application/json, or one that ends in +json, in UTF-8."})
		}
		return
	}
	if coding(&q.Header) != identity {
		x.Judge(Kind.Name, "coded")
		x.Fail(&fault.Fault{Kind: fault.UnsupportedContent, Detail: "This path takes JSON without a Content-Encoding."})
		return
	}
	content, f := r.hold(x)
	if f != nil {
		x.Fail(f)
		return
	}
	if len(content) == 0 {
		return
	}
	w := lend(x, r.values)
	defer w.giveBack()
	out, err := r.program.Append(w.room(len(content)), content, &r.limits, w)
	w.out = out
	if err != nil {
		refuse(x, err)
		return
	}
	if f := x.ReplaceHeld(out); f != nil {
		x.Fail(f)
		return
	}
	dropDigests(&q.Header)
}

func (r *request) hold(x *exchange.Exchange) ([]byte, *fault.Fault) {
	return x.HoldBody(exchange.Hold{Max: r.max, Proven: x.Caller.Method != "", Within: r.within})
}

// refuse answers for a body that cannot be changed.
func refuse(x *exchange.Exchange, err error) {
	var wrong *jsonedit.SyntaxError
	if errors.As(err, &wrong) {
		x.Judge(Kind.Name, "invalid_json")
		x.Fail(&fault.Fault{Kind: fault.InvalidJSON, Detail: "The body of the request is not JSON that this path takes: " + wrong.Error() + "."})
		return
	}
	x.Judge(Kind.Name, "too_large")
	x.Fail(fault.New(fault.HoldTooLarge, nil))
}

// dropDigests takes away what was said of bytes that are others now (RFC 9530 §2 and §3, RFC 3230, RFC 1864).
func dropDigests(h *exchange.Fields) {
	for _, name := range [...]string{"Content-Digest", "Repr-Digest", "Digest", "Content-MD5"} {
		h.DelHeader(name)
	}
}
