package openapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"straum.dev/straum/internal/schema"
)

func onDisk(name string) ([]byte, error) { return os.ReadFile(path.Join("testdata", name)) }

func orders(t testing.TB) *Document {
	t.Helper()
	d, err := Load("orders.yaml", onDisk, Options{Formats: true})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// judged says what is wrong with a request: "POST /path?query | Field: value | body".
func judged(d *Document, request string) string {
	line, rest, _ := strings.Cut(request, " | ")
	method, target, _ := strings.Cut(line, " ")
	path, query, _ := strings.Cut(target, "?")
	header := http.Header{}
	fields, body, hasBody := strings.Cut(rest, " || ")
	for field := range strings.SplitSeq(fields, " | ") {
		if name, value, ok := strings.Cut(field, ": "); ok {
			header.Add(name, value)
		}
	}
	found, ok := d.Find(method, path)
	if found.Operation == nil {
		return fmt.Sprint(ok, " ", found.Allow)
	}
	all := found.Parameters(Head{Query: query, Header: header.Values})
	if hasBody {
		c, takes := found.Content(header.Get("Content-Type"))
		switch {
		case !takes:
			return "type"
		case c.Judged():
			all = append(all, c.Judge([]byte(body))...)
		}
	} else if found.NeedsBody() {
		return "no body"
	}
	var texts []string
	for _, p := range all {
		texts = append(texts, p.In+" "+p.Pointer+" "+p.Message)
	}
	return strings.Join(texts, "; ")
}

func TestRequests(t *testing.T) {
	d := orders(t)
	if d.Operations != 5 {
		t.Errorf("%d operations", d.Operations)
	}
	f := func(request, want string) {
		t.Helper()
		if got := judged(d, request); got != want {
			t.Errorf("%s:\n%s, want\n%s", request, got, want)
		}
	}
	f("GET /v1/orders?sort=up", "")
	f("HEAD /v1/orders?sort=up", "")
	f("GET /orders", "false ")
	f("GET /v1/orders/", "false ")
	f("GET /v1", "false ")
	f("GET /v10/orders", "false ")
	f("DELETE /v1/orders", "true GET, POST")
	f("GET /v1/orders", "query /sort is required")
	f("GET /v1/orders?sort=", "")
	f("GET /v1/orders?sort=x", "query /sort is none of the values allowed")
	f("GET /v1/orders?sort=up&page=7", "")
	f("GET /v1/orders?sort=up&page=%37", "")
	f("GET /v1/orders?sort=up&page=0", "query /page is too small")
	f("GET /v1/orders?sort=up&page=x", "query /page is of type string; allowed: integer")
	f("GET /v1/orders?sort=up&page=1&page=2", "query /page stands more than once")
	f("GET /v1/orders?sort=up&tag=a&tag=b", "")
	f("GET /v1/orders?sort=up&tag=a&tag=b&tag=c", "query /tag has more than 2 elements")
	f("GET /v1/orders?sort=up&tag=abcdef", "query /tag/0 is longer than 5 characters")
	f("GET /v1/orders?sort=up&ids=1,2,3", "")
	f("GET /v1/orders?sort=up&ids=1,x", "query /ids/1 is of type string; allowed: integer")
	f("GET /v1/orders?sort=up&ids=1&ids=2", "query /ids stands more than once")
	f("GET /v1/orders?sort=up&pipe=true%7Cfalse", "")
	f("GET /v1/orders?sort=up&pipe=true|1", "query /pipe/1 is of type string; allowed: boolean")
	f("GET /v1/orders?sort=up&filter[state]=open&filter%5Bmin%5D=1.5", "")
	f("GET /v1/orders?sort=up&filter[state]=lost", "query /filter/state is none of the values allowed")
	f("GET /v1/orders?sort=up&filter[x]=1", "query /filter/x is not allowed here")
	f("GET /v1/orders?sort=up&filter[min]=1&filter[min]=2", "query /filter has a member that stands more than once")
	f(`GET /v1/orders?sort=up&where={"a":1}`, "")
	f(`GET /v1/orders?sort=up&where={"b":1}`, `query /where lacks the member "a"`)
	f(`GET /v1/orders?sort=up&where={`, `query /where is not JSON`)
	f(`GET /v1/orders?sort=up&where=`+strings.Repeat("[", 100), `query /where is larger than can be judged`)
	f("GET /v1/orders?sort=up | X-Trace: 1, 2 | X-Trace: 3", "")
	f("GET /v1/orders?sort=up | X-Trace: 1, x", "header /X-Trace/1 is of type string; allowed: integer")
	f("GET /v1/orders?sort=up | Cookie: a=b; session=abcd", "")
	f("GET /v1/orders?sort=up | Cookie: session=abc", "cookie /session is shorter than 4 characters")
	f("GET /v1/orders?sort=up&other=1", "")
	f("GET /v1/orders?sort=up"+strings.Repeat("&a", 1001), "query  has too many parameters")
	f("GET /v1/orders/latest", "")
	f("GET /v1/orders/0195f2ac-7c1e-7000-8000-000000000001", "")
	f("GET /v1/orders/0195f2ac%2D7c1e-7000-8000-000000000001", "")
	f("GET /v1/orders/7", "path /id has not the format uuid")
	f("GET /v1/report/2026-11.csv", "")
	f("GET /v1/report/1999-13.xml", "path /year is too small; path /month is too large; path /format is none of the values allowed")
	f("GET /v1/report/2026.csv", "false ")
	f("POST /v1/orders", "no body")
	f(`POST /v1/orders | Content-Type: application/json || {"count":1}`, "")
	f(`POST /v1/orders | Content-Type: Application/JSON; charset=utf-8 || {"count":1,"note":null,"default":"x"}`, "")
	f(`POST /v1/orders | Content-Type: application/json || {"count":0,"parent":{"count":2147483648,"note":1}}`, "body /count is too small; body /parent/count has not the format int32; body /parent/note is of type number; allowed: null, string")
	f(`POST /v1/orders | Content-Type: application/json || {"x":1}`, `body  lacks the member "count"; body /x is not allowed here`)
	f(`POST /v1/orders | Content-Type: application/x-www-form-urlencoded || count=1&tags=a&tags=b`, "")
	f(`POST /v1/orders | Content-Type: application/x-www-form-urlencoded || count=x`, "body /count is of type string; allowed: integer")
	f(`POST /v1/orders | Content-Type: application/x-www-form-urlencoded || count=1&count=2`, "body  has a member that stands more than once")
	f(`POST /v1/orders | Content-Type: text/csv || hello`, "")
	f(`POST /v1/orders | Content-Type: application/xml || hello`, "type")
	f(`POST /v1/orders | X: y || hello`, "type")
}

// The library judges requests too; on what both know they agree.
func TestTheirs(t *testing.T) {
	d := orders(t)
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromFile("testdata/orders.yaml")
	if err != nil {
		t.Fatal(err)
	}
	theirs := func(method, template string, params map[string]string, target, contentType, body string) bool {
		item := doc.Paths.Find(template)
		r, err := http.NewRequest(method, "https://api.example.com"+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params,
			Route: &routers.Route{Spec: doc, Path: template, PathItem: item, Method: method, Operation: item.GetOperation(method)}}
		return openapi3filter.ValidateRequest(context.Background(), in) == nil
	}
	agree := func(method, template string, params map[string]string, target, contentType, body string) {
		t.Helper()
		request := method + " " + target
		if contentType != "" {
			request += " | Content-Type: " + contentType + " || " + body
		}
		ours := judged(d, request)
		if got := theirs(method, template, params, target, contentType, body); got != (ours == "") {
			t.Errorf("%s: the library says %v, we say %q", request, got, ours)
		}
	}
	for _, query := range []string{"sort=up", "", "sort=x", "sort=up&page=7", "sort=up&page=0", "sort=up&page=101", "sort=up&page=1.5", "sort=up&page=x", "sort=up&tag=a&tag=b", "sort=up&tag=a&tag=b&tag=c",
		"sort=up&tag=abcdef", "sort=up&ids=1,2", "sort=up&ids=1,x", "sort=up&filter[state]=open", "sort=up&filter[state]=lost", "sort=up&filter[min]=1.5", "sort=up&filter[min]=x"} {
		agree("GET", "/orders", nil, "/v1/orders?"+query, "", "")
	}
	for _, body := range []string{`{"count":1}`, `{"count":0}`, `{"count":1.0}`, `{"count":1.5}`, `{"count":"1"}`, `{}`, `[]`, `null`, `{"count":1,"note":null}`, `{"count":1,"note":"abcdef"}`, `{"count":1,"note":"æøåæø"}`,
		`{"count":1,"x":1}`, `{"count":2147483648}`, `{"count":1,"parent":{"count":1}}`, `{"count":1,"parent":{"count":0}}`, `{"count":1,"default":1}`} {
		agree("POST", "/orders", nil, "/v1/orders", "application/json", body)
	}
	agree("POST", "/orders", nil, "/v1/orders", "application/xml", "<a/>")
	for year, month := range map[string]string{"2026": "11", "1999": "1", "2000": "13", "x": "1"} {
		agree("GET", "/report/{year}-{month}.{format}", map[string]string{"year": year, "month": month, "format": "csv"}, "/v1/report/"+year+"-"+month+".csv", "", "")
	}
}

const top = `{"openapi":"3.1.0","info":{"title":"a","version":"1"},"paths":`

func TestLoad(t *testing.T) {
	var read []string
	load := func(text string, o Options) (*Document, error) {
		return Load("a.json", func(name string) ([]byte, error) {
			read = append(read, name)
			switch name {
			case "a.json":
				return []byte(text), nil
			case "b.json":
				return []byte(`{"params":{"p":{"name":"p","in":"query","schema":{"$ref":"deep/c.yaml#/S"}}},"S":{"type":["integer","null"],"exclusiveMinimum":3}}`), nil
			case "deep/c.yaml":
				return []byte("S: {$ref: '../b.json#/S'}\n"), nil
			}
			return nil, errors.New(name + ": no such file")
		}, o)
	}
	// 3.1, references to files, and from there back.
	d, err := load(top+`{"/p":{"get":{"parameters":[{"$ref":"b.json#/params/p"}],"responses":{"200":{"description":"x"}}}}}}`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{"GET /p?p=4": "", "GET /p?p=": "", "GET /p?p=3": "query /p is too small", "GET /p?p=x": "query /p is of type string; allowed: null, integer"} {
		if got := judged(d, request); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
	if slices.Contains(read, "../b.json") {
		t.Errorf("read %q", read)
	}
	base := "/below"
	if d, err = load(top+`{"/p":{"get":{"responses":{"200":{"description":"x"}}}}}}`, Options{Base: &base}); err != nil {
		t.Fatal(err)
	} else if got := judged(d, "GET /below/p"); got != "" {
		t.Error(got)
	}
	f := func(text, want string) {
		t.Helper()
		if _, err := load(text, Options{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q in it", text, err, want)
		}
	}
	get := func(inside string) string {
		return top + `{"/p/{id}":{"get":{` + inside + `"responses":{"200":{"description":"x"}}}}}}`
	}
	f(`{`, "a.json:1:")
	f(`{"swagger":"2.0"}`, `a.json: at /openapi: found ""; allowed: a version 3.0 or 3.1`)
	f(`{"openapi":"4.0.0"}`, `found "4.0.0"`)
	f(`{"openapi":"3.1.0"}`, "a.json: invalid")
	f(get(""), "id")
	id := `{"name":"id","in":"path","required":true,"schema":{"type":"string"}}`
	f(get(`"parameters":[`+id+`,{"name":"a","in":"query","style":"matrix","schema":{}}],`), "a.json")
	f(get(`"parameters":[`+id+`,{"name":"a","in":"query","schema":{"type":"sting"}}],`), "sting")
	f(get(`"parameters":[`+id+`,{"name":"a","in":"query","schema":{"pattern":"(?=a)"}}],`), "(?=a)")
	f(get(`"parameters":[`+id+`,{"$ref":"https://example.com/p.json"}],`), "nothing is fetched")
	f(get(`"parameters":[`+id+`,{"$ref":"missing.json#/p"}],`), "missing.json")
	f(get(`"parameters":[`+id+`,{"$ref":"../b.json#/params/p"}],`), "b.json")
	f(get(`"parameters":[`+id+`,{"$ref":"#/components/parameters/none"}],`), "components")
	f(get(`"parameters":[`+strings.Replace(id, `"in":"path"`, `"in":"path","style":"label"`, 1)+`],`), "label")
}

func FuzzParameters(f *testing.F) {
	d := orders(f)
	f.Add("/v1/orders", "sort=up&page=1&filter[min]=1&where={}&ids=1,2", "session=a; b", "1,2", `{"count":1}`)
	f.Add("/v1/report/2026-11.csv", "%zz&&=&a=%", ";;=", ",", "count=1&tags=%")
	f.Fuzz(func(t *testing.T, path, query, cookie, trace, body string) {
		for _, method := range []string{"GET", "POST"} {
			found, _ := d.Find(method, path)
			if found.Operation == nil {
				continue
			}
			problems := found.Parameters(Head{Query: query, Header: func(name string) []string {
				if name == "cookie" {
					return []string{cookie}
				}
				return []string{trace}
			}})
			for _, kind := range []string{"application/json", "application/x-www-form-urlencoded"} {
				if c, ok := found.Content(kind); ok && c.Judged() {
					problems = append(problems, c.Judge([]byte(body))...)
				}
			}
			if len(problems) > 3*schema.MaxProblems {
				t.Fatalf("%d problems", len(problems))
			}
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	d := orders(b)
	none := func(string) []string { return nil }
	b.ReportAllocs()
	for b.Loop() {
		found, _ := d.Find("GET", "/v1/orders")
		if p := found.Parameters(Head{Query: "sort=up&page=7&tag=a&tag=b", Header: none}); p != nil {
			b.Fatal(p)
		}
	}
}
