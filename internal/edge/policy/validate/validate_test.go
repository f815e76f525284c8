package validate

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policytest"
)

// world has the documents of the tests beside its configuration.
func world(t testing.TB) *policytest.World {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"order.json":      `{"type":"object","required":["count"],"properties":{"count":{"type":"integer","minimum":1},"note":{"$ref":"parts/note.yaml"}}}`,
		"parts/note.yaml": "type: string\nmaxLength: 5\n",
		"bad.json":        "{\n\"type\":}",
		"wrong.yaml":      "properties: {a: {type: sting}}\n",
		"out.json":        `{"$ref":"../secret.json"}`,
		"web.json":        `{"$ref":"https://example.com/a.json"}`,
		"link.json":       `{"$ref":"link/secret.json"}`,
		"api.yaml": `
openapi: 3.1.0
info: { title: a, version: "1" }
servers: [{ url: /v1 }]
paths:
  /orders:
    get:
      parameters: [{ name: page, in: query, schema: { type: integer } }, { name: X-Shop, in: header, required: true, schema: { type: string } }]
      responses: { "200": { description: all } }
    post:
      requestBody: { required: true, content: { application/json: { schema: { $ref: order.json } } } }
      responses: { "201": { description: made } }
`,
	} {
		path := filepath.Join(dir, "conf", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "secret.json"), []byte(`{"type":"s3cr3t"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "conf", "link")); err != nil {
		t.Fatal(err)
	}
	w := policytest.New(t)
	w.File = filepath.Join(dir, "conf", "straum.yaml")
	return w
}

// asked takes a request through the policy and says what became of it.
func asked(r *policytest.Running, request string) string {
	x := r.Request(request)
	r.Chain.Request(x)
	defer x.DropHeld()
	word := policytest.Verdict(x, Kind.Name)
	switch {
	case x.Fault != nil:
		return strings.TrimSpace(fmt.Sprint(word, " ", x.Fault.Kind.Word, " ", x.Fault.Detail, x.Fault.Allow))
	case x.Answered():
		body, _ := x.Response.Body.Next()
		text := strings.Replace(string(body), x.ID, "ID", 1)
		_, errors, _ := strings.Cut(text, `"errors":`)
		return fmt.Sprint(word, " ", x.Response.Status, " ", strings.TrimSuffix(errors, "}\n"))
	}
	if x.Request.Body != nil { // endpoints get it
		if run, err := x.Request.Body.Next(); err != nil || len(run) == 0 {
			return "the body is gone"
		}
	}
	return strings.TrimSpace(word + " passed")
}

const post = "POST /v1/orders HTTP/1.1\nHost: a\nContent-Type: application/json\n\n"

func TestBodies(t *testing.T) {
	f := func(options, request, want string) {
		t.Helper()
		if got := asked(world(t).Policy(Kind, options), request); got != want {
			t.Errorf("%s of %s:\n%s, want\n%s", options, request, got, want)
		}
	}
	inline := `schema: {type: object, required: [count], properties: {count: {type: integer, minimum: 1, const: 2}}}`
	f(inline, post+`{"count":2.0}`, "passed")
	f(inline, post+`{"count":0}`, `invalid 422 [{"in":"body","pointer":"/count","message":"is none of the values allowed"},{"in":"body","pointer":"/count","message":"is too small"}]`)
	f(`schema: false`, post+`1`, `invalid 422 [{"in":"body","pointer":"","message":"is not allowed here"}]`)
	f(`schema: order.json`, post+`{"count":1,"note":"abc"}`, "passed")
	f(`schema: order.json`, post+`{"note":"hunter2"}`, `invalid 422 [{"in":"body","pointer":"","message":"lacks the member \"count\""},{"in":"body","pointer":"/note","message":"is longer than 5 characters"}]`)
	f(`{schema: order.json, status: 400}`, post+`[]`, `invalid 400 [{"in":"body","pointer":"","message":"is of type array; allowed: object"}]`)
	f(`{schema: order.json, dry_run: true}`, post+`[]`, `dry_run_invalid passed`)
	f(`schema: order.json`, post+"{\n\"count\":hunter2}", `invalid_json invalid_json The body of the request is not JSON that this path takes: line 2, column 9: a value is expected.`)
	f(`schema: order.json`, post+`{"count":1,"count":-1}`, `invalid_json invalid_json The body of the request is not JSON that this path takes: line 1, column 12: the name of this member stands twice in its object.`)
	f(`schema: order.json`, post+`{"count":1e1000}`, `invalid_json invalid_json The body of the request is not JSON that this path takes: line 1, column 10: a number is larger or smaller than allowed.`)
	f(`{schema: order.json, dry_run: true}`, post+`{`, `dry_run_invalid_json passed`)
	f(`{schema: true, depth: 2}`, post+`[[[]]]`, `invalid_json invalid_json The body of the request is not JSON that this path takes: line 1, column 3: arrays and objects are nested deeper than allowed.`)
	f(`{schema: true, values: 3}`, post+`[1,2,3]`, `invalid_json invalid_json The body of the request is not JSON that this path takes: line 1, column 6: there are more values than allowed.`)
	f(`{schema: true, max: 5B}`, post+`[1,2,3]`, `hold_too_large`)
	f(`{schema: true, max: 5B, dry_run: true}`, post+`[1,2,3]`, `dry_run_too_large passed`)
	f(`schema: order.json`, "POST / HTTP/1.1\nHost: a\n\n", `invalid 422 [{"in":"body","pointer":"","message":"is required"}]`)
	f(`{schema: order.json, required: false}`, "POST / HTTP/1.1\nHost: a\n\n", `passed`)
	f(`schema: order.json`, "GET / HTTP/1.1\nHost: a\n\n", `passed`)
	f(`schema: order.json`, "POST / HTTP/1.1\nHost: a\nContent-Type: text/plain\n\n{}", `content_type unsupported_content This path takes JSON: one Content-Type of application/json, or one that ends in +json, in UTF-8.`)
	for _, trick := range []string{"application/json; charset=utf-7", "application/json\nContent-Type: text/plain", "application/json;charset=utf-16le"} {
		f(`schema: true`, "POST / HTTP/1.1\nHost: a\nContent-Type: "+trick+"\n\n{}", `content_type unsupported_content This path takes JSON: one Content-Type of application/json, or one that ends in +json, in UTF-8.`)
		f(`openapi: api.yaml`, "POST /v1/orders HTTP/1.1\nHost: a\nContent-Type: "+trick+"\n\n{}", `content_type unsupported_content This operation does not take a body of this Content-Type.`)
	}
	f(`{schema: order.json, dry_run: true}`, "POST / HTTP/1.1\nHost: a\n\n{}", `dry_run_content_type passed`)
	f(`{schema: order.json, types: text/json}`, "POST / HTTP/1.1\nHost: a\nContent-Type: Text/JSON;a\n\n{\"count\":1}", `passed`)
	f(`schema: order.json`, "POST / HTTP/1.1\nHost: a\nContent-Type: application/json\nContent-Encoding: gzip\n\n{}", `coded unsupported_content This path takes bodies without a Content-Encoding.`)
	f(`{schema: {format: email}, formats: false}`, post+`"x"`, `passed`)
	f(`{schema: {format: email}}`, post+`"x"`, `invalid 422 [{"in":"body","pointer":"","message":"has not the format email"}]`)
}

// emptyBody is a body that turns out to have nothing.
type emptyBody struct{}

func (emptyBody) Next() ([]byte, error) { return nil, io.EOF }
func (emptyBody) Buffered() bool        { return true }

// A body that is announced without a length and turns out to be empty is none.
func TestEmptyBody(t *testing.T) {
	f := func(options, head, want string) {
		t.Helper()
		r := world(t).Policy(Kind, options)
		x := r.Request(head)
		x.Request.Body, x.Request.Length = emptyBody{}, exchange.Unknown
		r.Chain.Request(x)
		got := policytest.Verdict(x, Kind.Name)
		if x.Fault != nil {
			got += " " + x.Fault.Kind.Word
		}
		if x.DropHeld(); got != want {
			t.Errorf("%s of %s: %q, want %q", options, head, got, want)
		}
	}
	for _, kind := range []string{"", "Content-Type: application/json\n"} {
		f(`schema: true`, "POST /v1/orders HTTP/1.1\nHost: a\n"+kind, "invalid")
		f(`schema: true`, "GET /v1/orders HTTP/1.1\nHost: a\n"+kind, "")
		f(`openapi: api.yaml`, "POST /v1/orders HTTP/1.1\nHost: a\n"+kind, "invalid")
		f(`openapi: api.yaml`, "GET /v1/orders HTTP/1.1\nHost: a\nX-Shop: a\n"+kind, "")
	}
	f(`schema: true`, "POST /v1/orders HTTP/1.1\nHost: a\nContent-Type: text/plain\n", "content_type unsupported_content")
}

// As many are judged at a time as there are desks, and no desk is lost, whatever comes.
func TestDesks(t *testing.T) {
	before := desks
	defer func() { desks = before }()
	for _, option := range []string{`schema: order.json`, `openapi: api.yaml`} {
		r := world(t).Policy(Kind, option)
		synctest.Test(t, func(t *testing.T) {
			desks = make(chan struct{}, 1)
			leave := sit()
			var got string
			go func() { got = asked(r, post+`{"count":1}`) }()
			if synctest.Wait(); got != "" {
				t.Error("judged without a desk")
			}
			leave()
			if synctest.Wait(); got != "passed" {
				t.Error(got)
			}
			asked(r, post+`{"count":0}`)
			asked(r, post+`{`)
			if len(desks) != 0 {
				t.Error("a desk is still taken")
			}
		})
	}
}

func TestDescribed(t *testing.T) {
	f := func(options, request, want string) {
		t.Helper()
		if got := asked(world(t).Policy(Kind, options), request); got != want {
			t.Errorf("%s of %s:\n%s, want\n%s", options, request, got, want)
		}
	}
	f(`openapi: api.yaml`, "GET /v1/orders?page=1 HTTP/1.1\nHost: a\nx-shop: b\n\n", "passed")
	f(`openapi: api.yaml`, "GET /v1/orders?page=hunter2 HTTP/1.1\nHost: a\n\n", `invalid 422 [{"in":"query","pointer":"/page","message":"is of type string; allowed: integer"},{"in":"header","pointer":"/X-Shop","message":"is required"}]`)
	f(`openapi: api.yaml`, post+`{"count":1}`, "passed")
	f(`openapi: api.yaml`, post+`{"count":0}`, `invalid 422 [{"in":"body","pointer":"/count","message":"is too small"}]`)
	f(`openapi: api.yaml`, post+`{`, `invalid_json invalid_json The body of the request is not JSON that this path takes: line 1, column 2: the name of a member is expected, in quotation marks.`)
	f(`openapi: api.yaml`, "POST /v1/orders HTTP/1.1\nHost: a\n\n", `invalid 422 [{"in":"body","pointer":"","message":"is required"}]`)
	f(`openapi: api.yaml`, "POST /v1/orders HTTP/1.1\nHost: a\nContent-Type: text/plain\n\nx", `content_type unsupported_content This operation does not take a body of this Content-Type.`)
	f(`openapi: api.yaml`, "DELETE /v1/orders HTTP/1.1\nHost: a\n\n", `unknown_operation method_not_allowed GET, POST`)
	f(`openapi: api.yaml`, "GET /v2/orders HTTP/1.1\nHost: a\n\n", `unknown_operation unknown_operation`)
	f(`{openapi: api.yaml, unknown: pass}`, "GET /v2/orders HTTP/1.1\nHost: a\n\n", `unknown_passed passed`)
	f(`{openapi: api.yaml, dry_run: true}`, "GET /v2/orders HTTP/1.1\nHost: a\n\n", `dry_run_unknown_operation passed`)
	f(`{openapi: api.yaml, base: /v2}`, "GET /v2/orders HTTP/1.1\nHost: a\nX-Shop: b\n\n", `passed`)
}

func TestRefused(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		got := world(t).Refused(Kind, options)
		if !strings.Contains(got, want) || strings.Contains(got, "s3cr3t") {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
	f(`{}`, "one of the keys schema, openapi is required")
	f(`{schema: a.json, openapi: b.yaml}`, "only one of schema, openapi is allowed")
	f(`schema: missing.json`, "missing.json cannot be read: no such file")
	f(`schema: bad.json`, "schema: bad.json:2:8: invalid character")
	f(`schema: wrong.yaml`, "schema: wrong.yaml: at /properties/a/type: value must be one of")
	f(`schema: out.json`, "leads out of the directory")
	f(`schema: web.json`, "nothing is fetched")
	f(`schema: link.json`, "escapes")
	f(`schema: {type: sting}`, "schema: schema: at /type: value must be one of")
	f(`schema: {$ref: order.json}`, "cannot refer to files")
	f(`schema: [1]`, "allowed: the name of a file, or a JSON Schema")
	f(`openapi: order.json`, "at /openapi: found")
	f(`openapi: missing.yaml`, "conf/missing.yaml cannot be read: no such file")
	f(`{schema: true, base: /a}`, "there is none")
	f(`{schema: true, status: 404}`, "allowed: 400 or 422")
	f(`{schema: true, types: json}`, "is no media type")
}

// sample is an order of about 1 KiB.
var sample = func() string {
	b := []byte(`{"id":"0195f2ac-7c1e-7000-8000-000000000001","created":"2026-11-22T03:00:00Z","total":1234.50,"user":{"name":"Kari Nordmann","email":"kari@example.com"},"items":[`)
	for i := range 11 {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"sku":"A-%04d","count":%d,"price":19.90,"colour":"blue","note":"something"}`, i, i+1)
	}
	return string(append(b, "]}"...))
}()

func BenchmarkValidate(b *testing.B) {
	r := world(b).Policy(Kind, `schema: {type: object, required: [id, items], properties: {id: {type: string, format: uuid}, items: {type: array, maxItems: 100, items: {type: object, required: [sku, count], additionalProperties: false, properties: {sku: {type: string, pattern: "^[A-Z]-[0-9]{4}$"}, count: {type: integer, minimum: 1}, price: {type: number}, colour: {enum: [red, blue]}, note: {type: string, maxLength: 50}}}}}}`)
	x := r.Request(post + sample)
	if _, f := x.HoldBody(exchange.Hold{Max: 1 << 20}); f != nil {
		b.Fatal(f)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(sample)))
	for b.Loop() {
		if r.Chain.Request(x); x.Fault != nil || x.Answered() {
			b.Fatal(x.Fault)
		}
	}
	x.DropHeld()
}

func BenchmarkDescribed(b *testing.B) {
	r := world(b).Policy(Kind, `openapi: api.yaml`)
	x := r.Request("GET /v1/orders?page=1 HTTP/1.1\nHost: a\nx-shop: b\n\n")
	b.ReportAllocs()
	for b.Loop() {
		if r.Chain.Request(x); x.Fault != nil || x.Answered() {
			b.Fatal(x.Fault)
		}
	}
}
