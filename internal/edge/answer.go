package edge

import (
	"strconv"
	"unicode/utf8"
	"unsafe"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// answer makes the response that tells the client of a fault: application/problem+json (RFC 9457) with the request's id and a
// sentence that helps, and nothing of what is behind the gateway. A client that speaks gRPC is told in gRPC's way, see grpc.go.
func (t *trip) answer(f *fault.Fault) {
	x := t.x
	x.DropResponse()
	if f.Kind.Status == 0 {
		x.End = exchange.ClientGone
		return // nobody is left to be answered
	}
	if t.speaksGRPC() {
		x.Respond(200, "", nil)
		t.tellGRPC(f.Kind.Code, f.Told())
		return
	}
	b := append(t.text[:0], `{"title":"`...)
	b = append(b, f.Kind.Title...)
	b = append(b, `","status":`...)
	b = strconv.AppendInt(b, int64(f.Kind.Status), 10)
	b = append(b, `,"code":"`...)
	b = append(b, f.Kind.Word...)
	b = append(b, `","detail":`...)
	b = appendQuoted(b, f.Told())
	b = append(b, `,"request_id":`...)
	b = appendQuoted(b, x.ID)
	b = append(b, "}\n"...)
	t.text = b
	x.Respond(f.Kind.Status, "application/problem+json", b)
	h := &x.Response.Header
	h.Append(exchange.CacheControl, "Cache-Control", "no-store")
	if f.RetryAfter > 0 {
		h.Append(exchange.RetryAfter, "Retry-After", strconv.Itoa(f.RetryAfter))
	}
	if f.Kind.Status == 401 || f.Kind.Status == 403 {
		t.challenge()
	}
	if f.Kind == fault.MethodNotAllowed {
		h.Append(exchange.Allow, "Allow", f.Allow)
	}
}

// challenge tells what credential would be good, one field a challenge.
func (t *trip) challenge() {
	for _, c := range t.x.Challenges {
		t.x.Response.Header.Append(exchange.WWWAuthenticate, exchange.WWWAuthenticate.String(), c)
	}
}

// appendQuoted appends s as a JSON string (RFC 8259 §7). What is no UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// serverTiming adds the Server-Timing field where the route asks for it: durations in milliseconds.
func (t *trip) serverTiming() {
	x := t.x
	if x.Route == nil || !x.Route.ServerTiming {
		return
	}
	total, upstream := x.Shares(clock.Now())
	b := append(t.timing[:0], "gateway;dur="...)
	b = strconv.AppendFloat(b, float64(total-upstream)/1e6, 'f', 3, 64)
	if upstream > 0 {
		b = append(b, ", upstream;dur="...)
		b = strconv.AppendFloat(b, float64(upstream)/1e6, 'f', 3, 64)
	}
	t.timing = b
	x.Response.Header.Append(exchange.ServerTiming, "Server-Timing", view(b))
}

// view makes a string of b without copying. It lives as long as b is left alone.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
