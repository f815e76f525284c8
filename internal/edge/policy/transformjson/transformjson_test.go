package transformjson

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policytest"
)

// runs is a body in runs of a size, which fails instead of ending when it has an error.
type runs struct {
	rest []byte
	size int
	err  error
}

func (r *runs) Next() ([]byte, error) {
	if len(r.rest) == 0 {
		if r.err != nil {
			return nil, r.err
		}
		return nil, io.EOF
	}
	n := min(r.size, len(r.rest))
	run := r.rest[:n]
	r.rest = r.rest[n:]
	return run, nil
}

func (r *runs) Buffered() bool { return true }

// content reads a body to its end.
func content(t testing.TB, b exchange.Body) string {
	t.Helper()
	var all []byte
	for b != nil {
		run, err := b.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, run...)
	}
	return string(all)
}

func TestRequest(t *testing.T) {
	f := func(options, contentType, body, want string) {
		t.Helper()
		r := policytest.New(t).Policy(Kind, options)
		x := r.Request("POST /orders/7 HTTP/1.1\nHost: a\nContent-Type: " + contentType + "\nContent-Digest: sha-256=:x:\nX-Tenant: t\"1\n\n" + body)
		x.Caller = exchange.Caller{Method: "jwt", Consumer: &consumer.Consumer{ID: "acme", Name: "Acme"}}
		before := exchange.Holding()
		r.Chain.Request(x)
		var got string
		if x.Fault != nil {
			got = fmt.Sprint(x.Fault.Kind.Word, " ", policytest.Verdict(x, Kind.Name), " ", x.Fault.Detail)
		} else {
			got = content(t, x.Request.Body)
			if x.Request.Body != nil {
				if x.Request.Length != int64(len(got)) {
					t.Errorf("%s: length %d of %q", options, x.Request.Length, got)
				}
				_, digest := x.Request.Header.Header("Content-Digest")
				if digest == (got != body || x.Held()) {
					t.Errorf("%s: the digest of %q", options, got)
				}
			}
			if again, ok := x.Request.Body.(exchange.Rewinder); x.Held() && (!ok || !again.Rewind() || content(t, x.Request.Body) != got) {
				t.Errorf("%s: the body cannot be sent again", options)
			}
		}
		if got != want {
			t.Errorf("%s of %s:\n%s, want\n%s", options, body, got, want)
		}
		x.Settle()
		if x.DropHeld(); exchange.Holding() != before {
			t.Errorf("%d bytes are still held", exchange.Holding()-before)
		}
	}
	const json = "application/json"
	f(`request: {remove: /secret}`, json, `{"secret":1,"n":1.10}`, `{"n":1.10}`)
	f(`request: {remove: [/secret, /items/*/secret], rename: {/old: new}, move: {/user/name: /name}, set: {/source: gateway}}`, json,
		`{"secret":1,"items":[{"secret":2,"a":3}],"old":4,"user":{"name":"k"}}`, `{"items":[{"a":3}],"new":4,"user":{},"name":"k","source":"gateway"}`)
	f(`request: {set: {/who: "{consumer.id} of {auth.method}", /at: ["{request.method}", {b: 1, a: "{{x}}"}], /t: "{request.headers.X-Tenant}"}}`, json,
		`{}`, `{"who":"acme of jwt","at":["POST",{"b":1,"a":"{x}"}],"t":"t\"1"}`)
	f(`request: {set: {/i: 12345678901234567890, /f: 1.5, /b: true, /n: [null], /s: "1", /o: {}, /big: 1e30}}`, json, `{}`,
		`{"i":12345678901234567890,"f":1.5,"b":true,"n":[null],"s":"1","o":{},"big":1e+30}`)
	f(`request: {set: {/z: 1, /a: 2}}`, "application/vnd.api+json; charset=utf-8", `{}`, `{"z":1,"a":2}`)
	f(`request: {set: {/a: 1}}`, json, ``, ``)
	f(`request: {set: {/a: 1}}`, "text/plain", `{}`, `unsupported_content content_type This path takes JSON: one Content-Type of application/json, or one that ends in +json, in UTF-8.`)
	f(`request: {set: {/a: 1}}`, "", `{}`, `unsupported_content content_type This path takes JSON: one Content-Type of application/json, or one that ends in +json, in UTF-8.`)
	f(`request: {set: {/a: 1}, other: pass}`, "text/plain", `{}`, `{}`)
	for _, trick := range []string{json + "; charset=utf-7", json + "\nContent-Type: text/plain", "text/plain\nContent-Type: " + json} {
		f(`request: {set: {/a: 1}, other: pass}`, trick, `{}`, `unsupported_content content_type This path takes JSON: one Content-Type of application/json, or one that ends in +json, in UTF-8.`)
	}
	f(`{request: {set: {/a: 1}}, types: [text/json]}`, "Text/JSON ;a=b", `{}`, `{"a":1}`)
	f(`request: {set: {/a: 1}}`, json+"\nContent-Encoding: gzip", `{}`, `unsupported_content coded This path takes JSON without a Content-Encoding.`)
	f(`request: {set: {/a: 1}}`, json, "{\n\"secret\":hunter2}", `invalid_json invalid_json The body of the request is not JSON that this path takes: line 2, column 10: a value is expected.`)
	f(`request: {set: {/a: 1}}`, json, `{"b":1,"b":2}`, `invalid_json invalid_json The body of the request is not JSON that this path takes: line 1, column 8: the name of this member stands twice in its object.`)
	f(`{request: {remove: /b}, duplicates: keep}`, json, `{"b":1,"b":2,"c":1,"c":2}`, `{"c":1,"c":2}`)
	f(`{request: {remove: /b}, depth: 2}`, json, `[[[]]]`, `invalid_json invalid_json The body of the request is not JSON that this path takes: line 1, column 3: arrays and objects are nested deeper than allowed.`)
	f(`request: {set: {/a: 1}, max: 10B}`, json, `{"b":"0123"}`, `hold_too_large  `)
	f(`request: {set: {/a: 123456}, max: 10B}`, json, `{"b":"0"}`, `hold_too_large too_large `)
	f(`response: {set: {/a: 1}}`, json, `{}`, `{}`)
}

// A body that is announced without a length and turns out to be empty is none, whatever its type.
func TestEmptyRequest(t *testing.T) {
	r := policytest.New(t).Policy(Kind, `request: {set: {/a: 1}}`)
	x := r.Request("POST / HTTP/1.1\nHost: a\n")
	x.Request.Body, x.Request.Length = &runs{}, exchange.Unknown
	if r.Chain.Request(x); x.Fault != nil || x.Request.Body != nil {
		t.Error(x.Fault)
	}
}

func encoded(t testing.TB, coding, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	default:
		return []byte(text)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// answer is what an endpoint answers.
type answer struct {
	method, status string
	header         string // separated by |
	body           string
	coding         string
	length         int64 // exchange.Unknown for a stream
	broken         bool
}

// answered takes an answer through step 8 and says what became of it.
func answered(t testing.TB, r *policytest.Running, a answer) string {
	t.Helper()
	if a.method == "" {
		a.method = "GET"
	}
	x := r.Request(a.method + " / HTTP/1.1\nHost: a\nIf-None-Match: \"0\", W/\"1\"\n")
	x.Response.Status = 200
	if a.status != "" {
		_, _ = fmt.Sscan(a.status, &x.Response.Status)
	}
	raw := encoded(t, a.coding, a.body)
	for field := range strings.SplitSeq(a.header, "|") {
		if name, value, ok := strings.Cut(field, ": "); ok {
			x.Response.Header.Add(name, value)
		}
	}
	if a.coding != "" {
		x.Response.Header.Add("Content-Encoding", a.coding)
	}
	x.Response.Length = int64(len(raw))
	if a.length != 0 {
		x.Response.Length = a.length
	} else {
		x.Response.Header.Add("Content-Length", fmt.Sprint(len(raw)))
	}
	if a.method != "HEAD" && len(raw) > 0 {
		b := &runs{rest: raw, size: 7}
		if a.broken {
			b.err = fault.New(fault.UpstreamReset, nil)
		}
		x.Response.Body = b
	}
	r.Chain.UpstreamResponse(x)
	defer x.Settle()
	var got []string
	if word := policytest.Verdict(x, Kind.Name); word != "" {
		got = append(got, word)
	}
	if x.Fault != nil {
		return strings.Join(append(got, x.Fault.Kind.Word), " | ")
	}
	for _, f := range x.Response.Header.All() {
		if f.Known != exchange.ContentType {
			got = append(got, f.Name+": "+f.Value)
		}
	}
	body := content(t, x.Response.Body)
	if x.Response.Body != nil && x.Response.Length >= 0 && x.Response.Length != int64(len(body)) {
		t.Errorf("length %d of %d bytes", x.Response.Length, len(body))
	}
	if a.coding != "" && body == string(raw) {
		body = "as it was"
	}
	return strings.Join(append(got, body), " | ")
}

func TestResponse(t *testing.T) {
	const json = "Content-Type: application/json|"
	f := func(options string, a answer, want string) {
		t.Helper()
		r := policytest.New(t).Policy(Kind, "{response: {remove: /s, "+options+"}}")
		if got := answered(t, r, a); got != want {
			t.Errorf("%s of %+v:\n%s, want\n%s", options, a, got, want)
		}
	}
	good := `{"s":1,"n":1.10}`
	f("", answer{header: json, body: good}, `{"n":1.10}`)
	f("", answer{header: json, body: good, length: exchange.Unknown}, `{"n":1.10}`)
	f("", answer{header: json + `ETag: "1"|Accept-Ranges: bytes|Content-Digest: a|Repr-Digest: b|Digest: c|Content-MD5: d|Last-Modified: e|Vary: f`, body: good},
		`ETag: W/"1" | Last-Modified: e | Vary: f | {"n":1.10}`)
	f("", answer{header: json + `ETag: W/"1"`, body: good}, `ETag: W/"1" | {"n":1.10}`)
	f("", answer{header: "Content-Type: application/problem+json", body: good}, `{"n":1.10}`)
	f("", answer{header: json, body: good, status: "201"}, `{"n":1.10}`)
	// Codings are taken off.
	for _, coding := range []string{"gzip", "br", "zstd"} {
		f("", answer{header: json, body: good, coding: coding}, `{"n":1.10}`)
		f("max: 20B, over: pass", answer{header: json, body: `{"s":"` + strings.Repeat("0", 500) + `"}`, coding: coding}, fmt.Sprintf("response_too_large | Content-Encoding: %s | Content-Length: %d | as it was", coding, len(encoded(t, coding, `{"s":"`+strings.Repeat("0", 500)+`"}`))))
		f("max: 100B", answer{header: json, body: `{"s":"` + strings.Repeat("0", 50_000) + `"}`, coding: coding}, "response_too_large | unchangeable")
		f("max: 10KiB", answer{header: json, body: `{"s":"` + strings.Repeat("0", 9_000) + `","n":1}`, coding: coding}, `{"n":1}`)
		f("", answer{header: json + "Content-Encoding: " + coding, body: good}, "response_coded | unchangeable")
	}
	f("", answer{header: json + "Content-Encoding: deflate", body: good}, "response_coded | unchangeable")
	f("invalid: pass", answer{header: json + "Content-Encoding: deflate", body: good}, "response_coded | Content-Encoding: deflate | Content-Length: 16 | "+good)
	f("", answer{header: json + "Content-Encoding: gzip|Content-Encoding: br", body: good}, "response_coded | unchangeable")
	f("", answer{header: json + "Content-Encoding: identity", body: good}, `{"n":1.10}`)
	// What is not touched.
	f("", answer{header: `Content-Type: text/html|ETag: "1"`, body: good}, `ETag: "1" | Content-Length: 16 | `+good)
	f("", answer{header: `ETag: "1"`, body: good}, `ETag: "1" | Content-Length: 16 | `+good)
	f("", answer{header: json, body: good, status: "404"}, `Content-Length: 16 | `+good)
	f("statuses: all", answer{header: json, body: good, status: "404"}, `{"n":1.10}`)
	f("statuses: all", answer{header: json, status: "204"}, `Content-Length: 0 | `)
	f("", answer{header: json, status: "101"}, `Content-Length: 0 | `)
	f("", answer{header: json}, `Content-Length: 0 | `)
	// A client that has the changed answer stored finds it by its weak tag.
	f("", answer{header: json + `ETag: "1"`, status: "304"}, `ETag: W/"1" | Content-Length: 0 | `)
	f("", answer{header: json + `ETag: "0"`, status: "304"}, `ETag: "0" | Content-Length: 0 | `)
	// HEAD is told as GET would be, without a length that nobody knows.
	f("", answer{method: "HEAD", header: json + `ETag: "1"|Content-Encoding: gzip|Accept-Ranges: bytes`, length: 100}, `ETag: W/"1" | `)
	f("", answer{method: "HEAD", header: `Content-Type: text/html|ETag: "1"`, length: 100}, `ETag: "1" | `)
	// What cannot be changed.
	f("", answer{header: json, body: good, status: "206"}, "response_range | unchangeable")
	f("invalid: pass", answer{header: json, body: good, status: "206"}, "response_range | Content-Length: 16 | "+good)
	f("", answer{header: json, body: `{"s":`}, "response_invalid | unchangeable")
	f("", answer{header: json, body: ` `}, "response_invalid | unchangeable")
	f("invalid: pass", answer{header: json + `ETag: "1"`, body: `{"s":`}, `response_invalid | ETag: "1" | Content-Length: 5 | {"s":`)
	f("max: 15B", answer{header: json, body: good}, "response_too_large | unchangeable")
	f("max: 15B", answer{header: json, body: good, length: exchange.Unknown}, "response_too_large | unchangeable")
	f("max: 15B, over: pass", answer{header: json, body: good}, "response_too_large | Content-Length: 16 | "+good)
	f("max: 15B, over: pass", answer{header: json, body: good + strings.Repeat(" ", 40), length: exchange.Unknown}, "response_too_large | "+good+strings.Repeat(" ", 40))
	f("max: 20B, set: {/long: 0123456789}", answer{header: json, body: good}, "response_too_large | unchangeable")
	f("max: 20B, over: pass, set: {/long: 0123456789}", answer{header: json, body: good}, "response_too_large | Content-Length: 16 | "+good)
	f("", answer{header: json, body: good, broken: true}, "upstream_reset")
}

// An answer for which there is no room does not pass by that alone, and room comes back. It is one room for all policies, and what is written
// counts.
func TestRoom(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{response: {remove: /s, max: 16MiB, over: pass}}")
	strict := policytest.New(t).Policy(Kind, "{response: {remove: /s, max: 16MiB}}")
	x := r.Request("GET / HTTP/1.1\nHost: a\n")
	x.Caller.Method = "jwt"
	var others exchange.AnswerRoom
	if !others.Take(x, exchange.AnswerBudget-5000) {
		t.Fatal("no room")
	}
	a := answer{header: "Content-Type: application/json", body: `{"n":"` + strings.Repeat("x", 9000) + `"}`, length: exchange.Unknown}
	for range 2 {
		if got := answered(t, r, a); !strings.HasPrefix(got, "response_full | {") || len(got) < 9000 {
			t.Errorf("%.40s", got)
		}
		if got := answered(t, strict, a); got != "response_full | unchangeable" {
			t.Errorf("%.40s", got)
		}
		a.length = 9008
	}
	// It fits as it comes, and not as it goes on.
	others.Take(x, exchange.AnswerBudget-20_000)
	if got := answered(t, strict, a); got != "response_full | unchangeable" {
		t.Errorf("%.40s", got)
	}
	a.coding = "gzip"
	if got := answered(t, strict, a); got != "response_full | unchangeable" {
		t.Errorf("%.40s", got)
	}
	others.Take(x, 1)
	if got := answered(t, strict, a); !strings.HasPrefix(got, `{"n"`) {
		t.Errorf("%.40s", got)
	}
	if others.Release(); exchange.HoldingAnswers() != 0 {
		t.Errorf("%d bytes are not given back", exchange.HoldingAnswers())
	}
}

// While a client takes its answer, what the endpoint sent is no longer held.
func TestHeldWhileSent(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{response: {remove: /s}}")
	x := r.Request("GET / HTTP/1.1\nHost: a\n")
	body := []byte(`{"s":"` + strings.Repeat("x", 500_000) + `","n":1}`)
	x.Response.Status, x.Response.Length, x.Response.Body = 200, int64(len(body)), &runs{rest: body, size: 60_000}
	x.Response.Header.Add("Content-Type", "application/json")
	r.Chain.UpstreamResponse(x)
	if held := exchange.HoldingAnswers(); x.Fault != nil || held > 502_000 {
		t.Errorf("%v, %d bytes held", x.Fault, held)
	}
	if x.Settle(); exchange.HoldingAnswers() != 0 {
		t.Errorf("%d bytes are not given back", exchange.HoldingAnswers())
	}
}

// Only whole answers can be changed.
func TestRange(t *testing.T) {
	for options, kept := range map[string]bool{`response: {remove: /s}`: false, `{request: {remove: /s}, response: {remove: /s}}`: false, `request: {remove: /s}`: true} {
		x := policytest.New(t).Policy(Kind, options).Ask("GET / HTTP/1.1\nHost: a\nRange: bytes=0-1\nIf-Range: \"1\"\n")
		if _, is := x.Request.Header.Get(exchange.Range); is != kept {
			t.Errorf("%s: %v", options, is)
		}
		if _, is := x.Request.Header.Get(exchange.IfRange); is != kept {
			t.Errorf("%s: %v", options, is)
		}
	}
}

func TestRefused(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		if got := policytest.New(t).Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	f(`{}`, "nothing is to be changed; give it request or response")
	f(`request: {}`, "request: nothing is to be done")
	f(`request: {max: 1KiB}`, "nothing is to be done")
	f(`request: {remove: secret}`, `test.yaml:1:19: request.remove: "secret": a JSON pointer begins with a slash`)
	f(`request: {remove: [/a, /a]}`, `"/a": it is removed twice`)
	f(`request: {set: {a: 1}}`, `test.yaml:1:17: request.set.a: "a": a JSON pointer begins with a slash`)
	f(`request: {set: [1]}`, "allowed: a mapping from JSON pointers to values")
	f(`request: {set: {/a: "{nobody}"}}`, "test.yaml:1:21: request.set./a: {nobody} is no fact")
	f(`request: {set: {/a: {b: ["{response.status}"]}}}`, "is known in responses alone")
	f(`response: {set: {/a: "{consumer.id}"}}`, "cannot be set to facts of an exchange")
	f(`response: {set: {/a: .inf}}`, "response.set./a: found the number .inf")
	f(`request: {rename: {/a: b, /*: c}}`, "not every member")
	f(`request: {remove: /a, max: 1GiB}`, "max")
	f(`{request: {remove: /a}, types: [json]}`, "is no media type")
	f(`{request: {remove: /a}, depth: 1000}`, "depth")
	f(`{request: {remove: /a}, duplicate: keep}`, "did you mean")
}

const manyOptions = `{request: {remove: [/user/secret, /items/*/secret], rename: {/total: amount}, move: {/user/name: /name}, set: {/meta/who: "{consumer.id}"}}, response: {remove: [/user/secret, /items/*/secret], rename: {/total: amount}, set: {/meta/source: gateway}}}`

// sample is JSON of about 1 KiB.
var sample = func() []byte {
	b := []byte(`{"id":"0195f2ac-7c1e-7000-8000-000000000001","created":"2026-11-22T03:00:00Z","total":1234.50,"user":{"name":"Kari Nordmann","email":"kari@example.com","secret":"x"},"items":[`)
	for i := range 10 {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"sku":"A-%04d","count":%d,"price":19.90,"secret":"internal","note":"caf\\u00e9"}`, i, i)
	}
	return append(b, "]}"...)
}()

// lap takes a request and its answer through the policy.
func lap(t testing.TB) func() {
	r := policytest.New(t).Policy(Kind, manyOptions)
	x := r.Request("POST / HTTP/1.1\nHost: a\nContent-Type: application/json\n\n{}")
	x.Caller = exchange.Caller{Method: "jwt", Consumer: &consumer.Consumer{ID: "acme"}}
	in, out := &runs{size: 4096}, &runs{size: 4096}
	x.Response.Header.Add("Content-Type", "application/json")
	return func() {
		in.rest, out.rest = sample, sample
		x.Request.Body, x.Request.Length = in, int64(len(sample))
		r.Chain.Request(x)
		x.DropHeld()
		x.Response.Status, x.Response.Body, x.Response.Length = 200, out, exchange.Unknown
		r.Chain.UpstreamResponse(x)
		if x.Fault != nil || x.Response.Length < 500 {
			t.Fatal(x.Fault, x.Response.Length)
		}
		x.Settle()
	}
}

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop at random")
	}
	if n := testing.AllocsPerRun(200, lap(t)); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkTransform(b *testing.B) {
	f := lap(b)
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}
