// Package requestid is the policy request_id (steps 4 and 9): every exchange has an id; this policy shows it to the endpoint and the
// client, and can take over the one that a client or the gateway before us gave.
//
// It refuses ids that are long or hold anything but letters, digits and - _ . so that they can stand in logs and answers as they
// are.
package requestid

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Header   string `yaml:"header" default:"X-Request-Id" doc:"name of the field that carries the id"`
	Accept   bool   `yaml:"accept" default:"false" doc:"take over a valid id that the client sent; otherwise it is replaced"`
	Response bool   `yaml:"response" default:"true" doc:"send the id to the client too"`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "request_id", Options: Options{}, Build: build}

// maxLength is the longest id taken over, in bytes.
const maxLength = 64

type requestID struct {
	header           string
	accept, response bool
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	if strings.Trim(options.Header, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" || options.Header == "" {
		return nil, o.Errorf("header", "%q is not a field name: letters, digits and hyphens are allowed", options.Header)
	}
	if known := exchange.Lookup(options.Header); known != exchange.Other && known != exchange.XRequestID {
		return nil, o.Errorf("header", "%s has a meaning of its own in HTTP or to this gateway; choose another name, such as X-Request-Id", known)
	}
	return &requestID{options.Header, options.Accept, options.Response}, nil
}

// Request implements policy.Request.
func (r *requestID) Request(x *exchange.Exchange) {
	if r.accept {
		if id, ok := x.Request.Header.Header(r.header); ok && valid(id) {
			x.ID = id
		}
	}
	x.Request.Header.SetHeader(r.header, x.ID)
}

// Response implements policy.Response.
func (r *requestID) Response(x *exchange.Exchange) {
	if r.response {
		x.Response.Header.SetHeader(r.header, x.ID)
	}
}

func valid(id string) bool {
	if id == "" || len(id) > maxLength {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
