package rewrite

import (
	"io"

	"straum.dev/straum/internal/edge/exchange"
)

// aside stands in for the content of a request while an endpoint is asked by GET, which has none that means anything (RFC 9110 §9.3.1).
// Some endpoints refuse a request for it. The content itself goes back to its place before the answer is written: the connection has to be
// rid of it.
type aside struct {
	body     exchange.Body
	length   int64
	awaiting bool
}

// setAside takes the content off a request, and the fields that describe it, as a browser does when a redirect makes a GET of a POST
// (Fetch standard, HTTP-redirect fetch).
func setAside(x *exchange.Exchange) {
	r := &x.Request
	r.Header.Del(exchange.ContentType)
	r.Header.Del(exchange.ContentEncoding)
	r.Header.DelHeader("Content-Language")
	r.Header.DelHeader("Content-Location")
	r.Header.Del(exchange.ContentLength)
	if r.Body == nil {
		return
	}
	a := &aside{r.Body, r.Length, r.Continue}
	r.Body, r.Length, r.Continue = a, 0, false
	x.AtEnd(a)
}

// Settle implements exchange.Settler.
func (a *aside) Settle(x *exchange.Exchange) {
	if x.Request.Body == exchange.Body(a) {
		x.Request.Body, x.Request.Length, x.Request.Continue = a.body, a.length, a.awaiting
	}
}

// Next implements exchange.Body.
func (a *aside) Next() ([]byte, error) { return nil, io.EOF }

// Buffered implements exchange.Body.
func (a *aside) Buffered() bool { return true }

// Rewind implements exchange.Rewinder.
func (a *aside) Rewind() bool { return true }
