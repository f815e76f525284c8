package edge

import (
	"testing"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
)

// An answer of a policy keeps its fields and loses its content for a client of gRPC. What comes from an endpoint, and what is told to
// others, stays as it is.
func TestTranslate(t *testing.T) {
	f := func(contentType string, status int, own bool, code, message string) {
		t.Helper()
		x := new(exchange.Exchange)
		x.Begin(&exchange.Conn{}, clock.Now())
		if contentType != "" {
			x.Request.Header.Add("Content-Type", contentType)
		}
		x.Respond(status, "text/html", []byte("<p>no</p>"))
		x.Response.Own = own
		x.Response.Header.Add("WWW-Authenticate", "Bearer")
		(&trip{x: x}).translate()
		r := &x.Response
		gotCode, _ := r.Header.Header("grpc-status")
		gotMessage, _ := r.Header.Header("grpc-message")
		if gotCode != code || gotMessage != message {
			t.Errorf("%s, %d: status %q, message %q", contentType, status, gotCode, gotMessage)
		}
		kind, _ := r.Header.Get(exchange.ContentType)
		if translated := r.Status == 200 && r.Body == nil && r.Length == 0 && kind == "application/grpc"; translated != (code != "") {
			t.Errorf("%s, %d: %+v", contentType, status, r)
		}
		if r.Header.Count(exchange.WWWAuthenticate) != 1 || r.Header.Count(exchange.ContentType) != 1 {
			t.Errorf("%s, %d: %v", contentType, status, r.Header.All())
		}
	}
	f("application/grpc", 401, true, "16", "the gateway answered with HTTP status 401")
	f("application/grpc+proto", 403, true, "7", "the gateway answered with HTTP status 403")
	f("application/grpc", 429, true, "8", "the gateway answered with HTTP status 429")
	f("application/grpc", 503, true, "14", "the gateway answered with HTTP status 503")
	f("application/grpc", 301, true, "2", "the gateway answered with HTTP status 301")
	f("application/grpc", 503, false, "", "")
	f("application/json", 401, true, "", "")
	f("", 401, true, "", "")
}
