package content

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/test/wire"
)

const api = `
openapi: 3.1.0
info: { title: orders, version: "1" }
servers: [ { url: /v1 } ]
paths:
  /orders/{id}:
    parameters: [ { name: id, in: path, required: true, schema: { type: integer } } ]
    get:
      parameters: [ { name: page, in: query, schema: { type: integer, minimum: 1 } } ]
      responses: { "200": { description: one } }
    put:
      requestBody: { required: true, content: { application/json: { schema: { $ref: parts/order.json } } } }
      responses: { "200": { description: changed } }
`

// What is not as the description says never reaches the endpoint, whatever the client says it is, and what is does as it was.
func TestValidate(t *testing.T) {
	t.Parallel()
	f := open(t, `
  - { name: api, match: { path: /v1/* }, upstream: app, policies: [ validate: { openapi: DIR/api.yaml } ] }
  - { name: hooks, match: { path: /hooks }, upstream: app, policies: [ validate: { schema: { type: object, required: [ id ], properties: { id: { type: integer } } } } ] }
`, map[string]string{"api.yaml": api, "parts/order.json": `{"type":"object","required":["count"],"properties":{"count":{"type":"integer","minimum":1}}}`}, hello)
	for i := range f.ways {
		w := &f.ways[i]
		for _, unknown := range []bool{false, true} {
			good := func(method, path string, b body) {
				t.Helper()
				b.unknown = unknown && b.text != ""
				w.ask(t, method, path, b).expect(t, w.name+" "+path+" "+b.text, 200, "hello")
				if m := f.seen.One(t); string(m.Body) != b.text {
					t.Errorf("%s: the endpoint got %s", w.name, m)
				}
			}
			bad := func(method, path string, b body, status int, says string) {
				t.Helper()
				b.unknown = unknown && b.text != ""
				what := w.name + " " + path + " " + b.kind + " " + b.text[:min(len(b.text), 100)]
				a := w.ask(t, method, path, b)
				a.expect(t, what, status, says)
				if strings.Contains(a.text, "hunter2") {
					t.Errorf("%s: %s", what, a.text)
				}
				f.none(t, what)
			}
			good("GET", "/v1/orders/7?page=2", body{})
			good("PUT", "/v1/orders/7", body{text: `{"count": 1.0e0}`, kind: json})
			good("PUT", "/v1/orders/7", body{text: `{"count":1}`, kind: "Application/JSON;charset=UTF-8"})
			good("POST", "/hooks", body{text: `{"id":12345678901234567890,"n":1.10}`, kind: "application/x+json"})
			bad("GET", "/v1/orders/hunter2", body{}, 422, `{"in":"path","pointer":"/id"`)
			bad("GET", "/v1/orders/7?page=1&page=2", body{}, 422, "more than once")
			bad("GET", "/v1/orders/7?p%61ge=0", body{}, 422, `"pointer":"/page"`)
			bad("PUT", "/v1/orders/7", body{text: `{"count":"hunter2"}`, kind: json}, 422, `{"in":"body","pointer":"/count"`)
			bad("PUT", "/v1/orders/7", body{}, 422, "is required")
			bad("DELETE", "/v1/orders/7", body{}, 405, "method_not_allowed")
			bad("GET", "/v1/others", body{}, 404, "unknown_operation")
			for text, says := range map[string]string{
				`{"id":"hunter2"}`:                        "invalid_request",
				`{"id":1,"\u0069d":"hunter2"}`:            "stands twice",
				"\xef\xbb\xbf" + `{"id":1}`:               "byte order mark",
				"\xff\xfe{\x00}\x00":                      "invalid_json",
				`{"id":1e99999999999}`:                    "larger or smaller",
				`{"id":` + strings.Repeat("9", 300) + `}`: "more digits",
				strings.Repeat("[", 100_000):              "nested deeper",
				`{"id":1} {"id":2}`:                       "behind the value",
				`{"id":1}` + "\x00":                       "behind the value",
				`{"id":1,"a":"` + "\xc0\xaf" + `"}`:       "not UTF-8",
				`{"id":1,"a":"\ud800"}`:                   "surrogate",
				`{"id":NaN}`:                              "a value is expected",
			} {
				status := 400
				if says == "invalid_request" {
					status = 422
				}
				bad("POST", "/hooks", body{text: text, kind: json}, status, says)
			}
			for _, kind := range []string{"", "text/plain", "application/json; charset=utf-7", "application/jsonx", "application/json, text/plain", "json"} {
				bad("POST", "/hooks", body{text: `{"id":1}`, kind: kind}, 415, "unsupported_content")
			}
			bad("POST", "/hooks", body{text: `{"id":1}`, kind: json, more: "Content-Type: text/plain"}, 415, "unsupported_content")
			bad("POST", "/hooks", body{text: `{"id":1}`, kind: json, more: "Content-Encoding: gzip"}, 415, "unsupported_content")
			if a, err := w.try(t, "POST", "/hooks", body{text: `{"id":1,"a":"` + repeated(1<<20) + `"}`, kind: json, unknown: unknown}); err == nil {
				a.expect(t, w.name+" a large one", 413, "hold_too_large")
			}
			f.none(t, "a large one")
		}
		w.ask(t, "GET", "/hooks", body{unknown: true}).expect(t, w.name+" an empty body", 200, "hello")
		f.seen.One(t)
	}
	f.nothingHeld(t)
}

// A reload takes a file that only another file names.
func TestReloadOfAFileOfAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	part := filepath.Join(dir, "part.json")
	write := func(text string) {
		if err := os.WriteFile(part, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"type":"string"}`)
	if err := os.WriteFile(filepath.Join(dir, "whole.json"), []byte(`{"$ref":"part.json"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	f := open(t, `[ { name: a, match: { path: /* }, upstream: app, policies: [ validate: { schema: `+dir+`/whole.json } ] } ]`, nil, func(*wire.Message) string { return wire.OK("hello") })
	w := &f.ways[0]
	w.ask(t, "POST", "/", body{text: `"a"`, kind: json}).expect(t, "a string", 200, "hello")
	write(`{"type":"integer"}`)
	if err := f.Reload(f.config); err != nil {
		t.Fatal(err)
	}
	w.ask(t, "POST", "/", body{text: `"a"`, kind: json}).expect(t, "a string", 422, "integer")
	write(`{"type":"nonsense"}`)
	if err := f.Reload(f.config); err == nil || !strings.Contains(f.Log(), "part.json") {
		t.Error(err)
	}
	w.ask(t, "POST", "/", body{text: `1`, kind: json}).expect(t, "a number", 200, "hello")
}
