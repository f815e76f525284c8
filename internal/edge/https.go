package edge

import (
	"strconv"
	"strings"

	"github.com/gaissmai/bart"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// ListenerSettings are what the flow does differently for requests of one listener.
type ListenerSettings struct {
	// Trusted are the addresses whose word we take for where a request came from; nil for none.
	Trusted *bart.Lite
	// HSTS is the value of Strict-Transport-Security on every response (RFC 6797); empty for none.
	HSTS string
	// Redirect is the port of https that every request is sent to; 0 for none.
	Redirect int
	// Challenge returns what an authority wants to read under challengePath on a host whose certificate it is asked for; nil when
	// nobody asks for any. It is called for every request for such a path and must be cheap.
	Challenge func(host, token string) (authorization string, ok bool)
}

// challengePath is where authorities look (RFC 8555 §8.3), over HTTP without TLS.
const challengePath = "/.well-known/acme-challenge/"

// settled answers what needs no route: the question of an authority, and requests that are to come by https. It is a part of step 3.
func (t *trip) settled() (bool, *fault.Fault) {
	set, x := t.set, t.x
	if set.Challenge != nil && !x.Conn.Secure && strings.HasPrefix(x.Request.Path, challengePath) {
		if authorization, ok := set.Challenge(x.Request.Host, x.Request.Path[len(challengePath):]); ok {
			t.text = append(t.text[:0], authorization...)
			x.Respond(200, "text/plain", t.text)
			return true, nil
		}
	}
	switch {
	case set.Redirect == 0:
		return false, nil
	case x.Request.Host == "":
		return false, noHost
	}
	b := append(t.rewrite[:0], "https://"...)
	b = append(b, x.Request.Host...)
	if set.Redirect != 443 {
		b = append(b, ':')
		b = strconv.AppendInt(b, int64(set.Redirect), 10)
	}
	if x.Request.Path != "*" {
		b = append(b, x.Request.Path...)
	}
	if x.Request.Query != "" {
		b = append(append(b, '?'), x.Request.Query...)
	}
	t.rewrite = b
	x.Respond(308, "", nil) // with the method and the body as they were (RFC 9110 §15.4.9)
	x.Response.Header.Append(exchange.Location, "Location", view(b))
	return true, nil
}

// noHost is the fault of a request that would be sent to https and does not say on which host: one of HTTP/1.0.
var noHost = &fault.Fault{Kind: fault.BadHost, Detail: "This address is served by https only. Name the host in a Host field to be told where."}

// hsts tells browsers to come by https only.
func (t *trip) hsts() {
	if value := t.set.HSTS; value != "" && t.x.Conn.Secure {
		t.x.Response.Header.SetHeader("Strict-Transport-Security", value)
	}
}
