package validate

import (
	"strconv"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/jsonedit"
	"straum.dev/straum/internal/openapi"
	"straum.dev/straum/internal/schema"
)

// dryWords are the verdicts of what is let pass in a dry run.
var dryWords = map[string]string{
	"invalid": "dry_run_invalid", "invalid_json": "dry_run_invalid_json", "content_type": "dry_run_content_type", "coded": "dry_run_coded",
	"unknown_operation": "dry_run_unknown_operation",
}

// fail ends the exchange with a fault, unless this is a dry run.
func (c *common) fail(x *exchange.Exchange, word string, f *fault.Fault) {
	if c.dry {
		x.Judge(Kind.Name, dryWords[word])
		return
	}
	x.Judge(Kind.Name, word)
	x.Fail(f)
}

func (c *common) unsupported(x *exchange.Exchange, word, detail string) {
	c.fail(x, word, &fault.Fault{Kind: fault.UnsupportedContent, Detail: detail})
}

// refuse tells what is wrong with a request (RFC 9457), unless this is a dry run.
func (c *common) refuse(x *exchange.Exchange, problems []openapi.Problem) {
	if c.dry {
		x.Judge(Kind.Name, dryWords["invalid"])
		return
	}
	x.Judge(Kind.Name, "invalid")
	b := append([]byte(nil), `{"title":"Request not valid","status":`...)
	b = strconv.AppendInt(b, int64(c.status), 10)
	b = append(b, `,"code":"invalid_request","detail":"The request is not as the description of this API says.","request_id":`...)
	b = append(jsonedit.AppendQuoted(b, x.ID), `,"errors":[`...)
	for i, p := range problems[:min(len(problems), schema.MaxProblems)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsonedit.AppendQuoted(append(b, `{"in":`...), p.In), `,"pointer":`...)
		b = append(jsonedit.AppendQuoted(b, p.Pointer), `,"message":`...)
		b = append(jsonedit.AppendQuoted(b, p.Message), '}')
	}
	x.Respond(c.status, "application/problem+json", append(b, "]}\n"...))
	x.Response.Header.Append(exchange.CacheControl, "Cache-Control", "no-store")
}
