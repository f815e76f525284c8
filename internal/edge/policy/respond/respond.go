// Package respond is the policy respond (step 4): it answers by itself, with a text or a file, instead of asking an endpoint: for what never changes,
// for what is being built, and for what is shut.
//
// In reading order: respond.go (options and the answer), build.go (how options are checked, and the file), condition.go (requests that have the
// answer already).
//
// It refuses to be a file server: it has one body, which is in memory. It refuses to put what a client said into a text that somebody takes apart,
// unless it knows how to write it there.
package respond

import (
	"strconv"
	"unsafe"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Status   int               `yaml:"status" default:"200" range:"200..599" doc:"status of the answer"`
	Body     string            `yaml:"body,multiline" length:"0..1048576" doc:"what is answered; at most 1 MiB"`
	File     string            `yaml:"file" length:"1..4096" doc:"a file with what is answered, relative to this one; at most 1 MiB, read again by a reload when it has changed"`
	Type     string            `yaml:"type" length:"1..256" doc:"media type of the body; found out when left out"`
	Headers  map[string]string `yaml:"headers" length:"1..64" doc:"fields of the answer; templates"`
	Template bool              `yaml:"template" default:"false" doc:"the body is a template; at most 16 KiB"`
	_        struct{}          `atmost:"body,file"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "respond", Options: Options{}, Build: build, Settles: true}

// respond is the policy. It does not change.
type respond struct {
	status  int
	kind    string // media type, empty without a body
	body    []byte
	headers []header
	tag     string // entity tag of the body, empty for none

	template *policy.Template // nil for a body that is always the same
	form     policy.Form
}

// header is a field of the answer.
type header struct {
	known    exchange.Known
	name     string
	text     string
	template *policy.Template // nil when it is always text
}

// The bounds of bodies, in bytes.
const (
	maxBody     = 1 << 20
	maxTemplate = 16 << 10
	maxFilled   = 64 << 10 // what may come of a template
)

// unfit is the fault of a request of which no body comes.
var unfit = &fault.Fault{Kind: fault.BadPath, Detail: "The request holds what the answer is made of in a form that cannot be told: twice, badly escaped, or too long."}

// Request implements policy.Request.
func (r *respond) Request(x *exchange.Exchange) {
	body := r.body
	if r.template != nil {
		made, ok := r.template.AppendBody(x.Scratch(), x, r.form, maxFilled)
		if !ok {
			x.Judge(Kind.Name, "unfit")
			x.Fail(unfit)
			return
		}
		kept := x.KeepScratch(made)
		body = unsafe.Slice(unsafe.StringData(kept), len(kept)) // nobody writes to a body
	}
	if r.tag != "" && has(x, r.tag) {
		x.Judge(Kind.Name, "not_modified")
		x.Respond(304, "", nil)
	} else {
		x.Judge(Kind.Name, "answered")
		x.Respond(r.status, r.kind, body)
		if x.Request.Method == "HEAD" && len(body) > 0 { // which is not sent, but told of (RFC 9110 §9.3.2)
			length := x.KeepScratch(strconv.AppendInt(x.Scratch(), x.Response.Length, 10))
			x.Response.Header.Append(exchange.ContentLength, exchange.ContentLength.String(), length)
		}
	}
	h := &x.Response.Header
	if r.template != nil { // nobody is to find something else in what a client said
		h.Append(exchange.Other, "X-Content-Type-Options", "nosniff")
	}
	if r.tag != "" {
		h.Append(exchange.ETag, exchange.ETag.String(), r.tag)
	}
	for i := range r.headers {
		f := &r.headers[i]
		text := f.text
		if f.template != nil {
			made, ok := f.template.AppendField(x.Scratch(), x)
			if text = x.KeepScratch(made); !ok || text == "" {
				continue
			}
		}
		h.Append(f.known, f.name, text)
	}
}
