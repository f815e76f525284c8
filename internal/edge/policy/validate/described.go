package validate

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/openapi"
)

// described judges requests by a document in OpenAPI.
type described struct {
	common
	document *openapi.Document
	pass     bool // what the document has no operation for
}

// Request implements policy.Request.
func (d *described) Request(x *exchange.Exchange) {
	q := &x.Request
	found, ok := d.document.Find(q.Method, q.Path)
	if found.Operation == nil {
		if d.pass {
			x.Judge(Kind.Name, "unknown_passed")
			return
		}
		f := fault.New(fault.UnknownOperation, nil)
		if ok {
			f = &fault.Fault{Kind: fault.MethodNotAllowed, Allow: found.Allow}
		}
		d.fail(x, "unknown_operation", f)
		return
	}
	problems := found.Parameters(openapi.Head{Query: q.Query, Header: func(name string) []string { return values(&q.Header, name) }})
	if !d.settle(x) {
		return
	}
	if q.Body == nil {
		if found.NeedsBody() {
			problems = append(problems, noBody...)
		}
	} else {
		contentType, _ := q.Header.Get(exchange.ContentType)
		content, takes := found.Content(contentType)
		if !takes || content.Listed() && doubtful(&q.Header) {
			d.unsupported(x, "content_type", "This operation does not take a body of this Content-Type.")
			return
		}
		if content.Judged() {
			text, ok := d.hold(x)
			switch {
			case !ok:
				return
			case len(text) > 0:
				if content.JSON && !d.isJSON(x, text) {
					return
				}
				problems = append(problems, judge(&content, text)...)
			case found.NeedsBody():
				problems = append(problems, noBody...)
			}
		}
	}
	if len(problems) > 0 {
		d.refuse(x, problems)
	}
}

func judge(content *openapi.Content, text []byte) []openapi.Problem {
	defer sit()()
	return content.Judge(text)
}

// values are those of all fields with a name.
func values(h *exchange.Fields, name string) (all []string) {
	for _, f := range h.All() {
		if strings.EqualFold(f.Name, name) {
			all = append(all, f.Value)
		}
	}
	return all
}
