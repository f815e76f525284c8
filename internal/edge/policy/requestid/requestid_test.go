package requestid

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// options reads the policy's options as they stand in a configuration.
type options struct{ node document.Node }

func (o options) Decode(into any) error { return o.node.Decode(into) }
func (o options) Errorf(key, format string, args ...any) error {
	return fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...))
}

func parse(t *testing.T, text string) (*requestID, error) {
	t.Helper()
	d, err := document.Parse("test.yaml", []byte(text), document.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	built, err := Kind.Build(options{d.Root()})
	if err != nil {
		return nil, err
	}
	return built.(*requestID), nil
}

// run takes a request with these field lines through steps 4 and 9. It returns the id, and the lines that the endpoint and the client
// get.
func run(t *testing.T, text string, lines ...string) (id, request, response string) {
	t.Helper()
	r, err := parse(t, text)
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{}, 1)
	own := x.ID
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		x.Request.Header.Add(name, value)
	}
	r.Request(x)
	x.Respond(200, "", nil)
	x.Response.Header.Add("x-request-id", "the endpoint's")
	r.Response(x)
	all := func(fields *exchange.Fields) string {
		var b strings.Builder
		for _, f := range fields.All() {
			fmt.Fprintf(&b, "%s: %s\n", f.Name, strings.ReplaceAll(f.Value, own, "OWN"))
		}
		return b.String()
	}
	return strings.ReplaceAll(x.ID, own, "OWN"), all(&x.Request.Header), all(&x.Response.Header)
}

func TestRequestID(t *testing.T) {
	f := func(text string, lines []string, id, request, response string) {
		t.Helper()
		gotID, gotRequest, gotResponse := run(t, text, lines...)
		if gotID != id || gotRequest != request || gotResponse != response {
			t.Errorf("%s with %q:\n%s\n%s%s\nwant\n%s\n%s%s", text, lines, gotID, gotRequest, gotResponse, id, request, response)
		}
	}
	const own = "X-Request-Id: OWN\n"
	// A fresh one, whatever the client sent; the endpoint's own is replaced in the answer.
	f("{}", nil, "OWN", own, own)
	f("{}", []string{"x-request-id: abc", "X-REQUEST-ID: def"}, "OWN", own, own)
	// Taken over when it is fit to be.
	f("{accept: true}", nil, "OWN", own, own)
	f("{accept: true}", []string{"x-request-id: aZ09-_."}, "aZ09-_.", "X-Request-Id: aZ09-_.\n", "X-Request-Id: aZ09-_.\n")
	f("{accept: true}", []string{"x-request-id: abc", "Accept: a", "x-request-id: def"}, "abc", "X-Request-Id: abc\nAccept: a\n", "X-Request-Id: abc\n")
	f("{accept: true}", []string{"x-request-id: " + strings.Repeat("a", 64)}, strings.Repeat("a", 64), "X-Request-Id: "+strings.Repeat("a", 64)+"\n", "X-Request-Id: "+strings.Repeat("a", 64)+"\n")
	for _, bad := range []string{"", strings.Repeat("a", 65), "a b", "a\"b", "a\\b", "é", "a,b", "<a>", "a/b", "a:b", "a\x00"} {
		f("{accept: true}", []string{"X-Request-Id: " + bad}, "OWN", own, own)
	}
	// Under another name; the usual one is then a field like any other.
	f("{header: x-trace}", []string{"X-Request-Id: abc", "X-Trace: def"}, "OWN", "X-Request-Id: abc\nx-trace: OWN\n", "x-request-id: the endpoint's\nx-trace: OWN\n")
	f("{header: x-trace, accept: true}", []string{"X-Trace: def"}, "def", "x-trace: def\n", "x-request-id: the endpoint's\nx-trace: def\n")
	// The client is not told.
	f("{response: false}", nil, "OWN", own, "x-request-id: the endpoint's\n")
}

func TestOptions(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := parse(t, text)
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", text, got, want)
		}
	}
	f("{}", "<nil>")
	f("{header: X-Correlation-Id}", "<nil>")
	f("{header: ''}", "header")
	f("{header: 'X Id'}", `header: "X Id" is not a field name`)
	f("{header: 'X-Id:'}", "is not a field name")
	f("{header: content-length}", "header: Content-Length has a meaning of its own")
	f("{header: Host}", "Host has a meaning")
	f("{heder: X-Id}", "heder")
	f("{accept: perhaps}", "accept")
}

// Without a route only step 9 runs; the client is told the id that the log has.
func TestResponseAlone(t *testing.T) {
	r, err := parse(t, "{}")
	if err != nil {
		t.Fatal(err)
	}
	var _ policy.Response = r
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{}, 1)
	x.Respond(404, "", nil)
	r.Response(x)
	if got, _ := x.Response.Header.Get(exchange.XRequestID); got != x.ID {
		t.Errorf("%q, want %q", got, x.ID)
	}
}

func (options) Scope() string { return "test" }

func (options) Upstream(string, string) error { return nil }

func (options) Beside(path string) string { return path }
