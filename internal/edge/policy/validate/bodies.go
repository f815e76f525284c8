package validate

import (
	"errors"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/jsonedit"
	"straum.dev/straum/internal/openapi"
	"straum.dev/straum/internal/schema"
)

// bodies judges bodies by a JSON Schema.
type bodies struct {
	common
	schema   *schema.Schema
	types    []string
	required bool
}

// Request implements policy.Request.
func (b *bodies) Request(x *exchange.Exchange) {
	q := &x.Request
	if !b.settle(x) {
		return
	}
	if q.Body == nil {
		b.without(x)
		return
	}
	contentType, _ := q.Header.Get(exchange.ContentType)
	if doubtful(&q.Header) || !jsonedit.IsJSON(contentType) && !b.other(contentType) {
		b.unsupported(x, "content_type", "This path takes JSON: one Content-Type of application/json, or one that ends in +json, in UTF-8.")
		return
	}
	text, ok := b.hold(x)
	if !ok {
		return
	}
	if len(text) == 0 { // it ends in trailers
		b.without(x)
		return
	}
	if !b.isJSON(x, text) {
		return
	}
	defer sit()()
	value, err := schema.Decode(text)
	if err != nil {
		b.fail(x, "invalid_json", fault.New(fault.InvalidJSON, nil))
		return
	}
	if problems := b.schema.Validate(value); problems != nil {
		all := make([]openapi.Problem, len(problems))
		for i, p := range problems {
			all[i] = openapi.Problem{In: "body", Problem: p}
		}
		b.refuse(x, all)
	}
}

// without judges a request without a body.
func (b *bodies) without(x *exchange.Exchange) {
	if m := x.Request.Method; b.required && (m == "POST" || m == "PUT" || m == "PATCH") {
		b.refuse(x, noBody)
	}
}

var noBody = []openapi.Problem{{In: "body", Problem: schema.Problem{Message: "is required"}}}

// doubtful says whether readers differ in what a body is, by its Content-Type.
func doubtful(h *exchange.Fields) bool {
	contentType, _ := h.Get(exchange.ContentType)
	return h.Count(exchange.ContentType) > 1 || !jsonedit.InUTF8(contentType)
}

func (b *bodies) other(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = grammar.TrimSpace(kind)
	return slices.ContainsFunc(b.types, func(t string) bool { return strings.EqualFold(t, kind) })
}

// settle finds out whether there is a body where neither a length nor a type says so: clients of HTTP/2 may say at the very end that there is
// none. It reports whether to go on.
func (c *common) settle(x *exchange.Exchange) bool {
	q := &x.Request
	if q.Body == nil || q.Length != exchange.Unknown || q.Header.Count(exchange.ContentType) > 0 {
		return true
	}
	_, ok := c.hold(x)
	return ok
}

// hold reads the body to judge it. ok is false when there is nothing to go on with.
func (c *common) hold(x *exchange.Exchange) (text []byte, ok bool) {
	for _, f := range x.Request.Header.All() {
		if f.Known == exchange.ContentEncoding && f.Value != "" && !grammar.FoldIs(f.Value, "identity") {
			c.unsupported(x, "coded", "This path takes bodies without a Content-Encoding.")
			return nil, false
		}
	}
	if c.dry && x.Request.Length > c.max {
		x.Judge(Kind.Name, "dry_run_too_large")
		return nil, false
	}
	text, f := x.HoldBody(exchange.Hold{Max: c.max, Proven: x.Caller.Method != "", Within: c.within})
	if f != nil {
		x.Fail(f) // also when nothing is refused: part of it is read, and endpoints cannot get the whole any more
		return nil, false
	}
	return text, true
}

// isJSON says whether a body is JSON, and answers if not.
func (c *common) isJSON(x *exchange.Exchange, text []byte) bool {
	err := jsonedit.Check(text, &c.limits)
	if err == nil {
		return true
	}
	detail := ""
	var wrong *jsonedit.SyntaxError
	if errors.As(err, &wrong) {
		detail = "The body of the request is not JSON that this path takes: " + wrong.Error() + "."
	}
	c.fail(x, "invalid_json", &fault.Fault{Kind: fault.InvalidJSON, Detail: detail})
	return false
}
