package respond

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policytest"
)

// told is what a client gets.
func told(t *testing.T, x *exchange.Exchange) string {
	t.Helper()
	if x.Fault != nil {
		return x.Fault.Kind.Word
	}
	all := []string{fmt.Sprint(x.Response.Status)}
	for _, f := range x.Response.Header.All() {
		all = append(all, f.Name+": "+f.Value)
	}
	var body []byte
	for x.Response.Body != nil {
		run, err := x.Response.Body.Next()
		if err == io.EOF {
			break
		}
		body = append(body, run...)
	}
	if x.Response.Length != int64(len(body)) || !x.Response.Own {
		t.Errorf("%d bytes of %d, own %v", len(body), x.Response.Length, x.Response.Own)
	}
	return strings.Join(append(all, string(body)), " | ")
}

func TestRespond(t *testing.T) {
	w := policytest.New(t)
	f := func(options, lines, want string) {
		t.Helper()
		r := w.Policy(Kind, options)
		x := r.Request("GET /a?b=c HTTP/1.1\nHost: a\n" + lines)
		x.Params = append(x.Params, exchange.Param{Name: "id", Value: "7"})
		x.Caller.Subject = `o"k`
		x.Caller.Claims = map[string]any{"evil": "a\r\nX: b", "list": []any{}}
		r.Chain.Request(x)
		if got := told(t, x); got != want {
			t.Errorf("%s:\n%s, want\n%s", options, got, want)
		}
	}
	f("{body: ok}", "", "200 | Content-Type: text/plain; charset=utf-8 | ETag: \"Jok2eyBcFs4y7UIAlCuLiw\" | ok")
	f("{status: 503, body: later, headers: {Retry-After: '60'}}", "", "503 | Content-Type: text/plain; charset=utf-8 | Retry-After: 60 | later")
	f("{status: 404, body: ' {\"a\":1}'}", "", "404 | Content-Type: application/json |  {\"a\":1}")
	f("{status: 404, body: '[]'}", "", "404 | Content-Type: application/json | []")
	f("{status: 404, body: '<a>', type: application/xml}", "", "404 | Content-Type: application/xml | <a>")
	f("{}", "", "200 | ")
	f("{status: 204}", "", "204 | ")
	f("{status: 204, headers: {X-Id: '{path.id}', Link: '{auth.claims.evil}', X-None: '{consumer.id}'}}", "", "204 | X-Id: 7 | ")
	f("{status: 200, body: '{a}'}", "", "200 | Content-Type: application/json | ETag: \"Rgw6kyEWFKx4PA8dG7vLRQ\" | {a}") // no template
	// Templates.
	const nosniff = "X-Content-Type-Options: nosniff | "
	f(`{template: true, body: '{{"id": "{path.id}", "who": "{auth.subject}", "x": "{auth.claims.evil}"}}'}`, "", "200 | Content-Type: application/json | "+nosniff+`{"id": "7", "who": "o\"k", "x": "a\u000d\u000aX: b"}`)
	f("{template: true, body: 'hello {auth.subject}', type: text/plain}", "", "200 | Content-Type: text/plain | "+nosniff+`hello o"k`)
	f("{template: true, status: 404, body: '{{}}'}", "", "404 | Content-Type: application/json | {}")
	f(`{template: true, body: '["{auth.claims.list}"]'}`, "", "bad_path")
	f(`{template: true, body: '["{request.headers.X-Long}"]'}`, "X-Long: "+strings.Repeat("a", maxFilled)+"\n", "bad_path")
}

// An answer to HEAD tells of the body (RFC 9110 §9.3.2).
func TestHead(t *testing.T) {
	w := policytest.New(t)
	f := func(options, want string) {
		t.Helper()
		x := w.Policy(Kind, options).Ask("HEAD /ab HTTP/1.1\nHost: a\n")
		if got, _ := x.Response.Header.Get(exchange.ContentLength); got != want {
			t.Errorf("%s: %q, want %q", options, got, want)
		}
	}
	f("{body: abc}", "3")
	f("{template: true, body: '{request.path}', type: text/plain}", "3")
	f("{}", "")
	f("{status: 204}", "")
}

// Conditional requests, RFC 9110 §13.1.2 and §13.2.2.
func TestConditions(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{body: ok, headers: {Cache-Control: max-age=60}}")
	x := r.Ask("GET / HTTP/1.1\nHost: a\n")
	tag, _ := x.Response.Header.Get(exchange.ETag)
	f := func(method, condition string, status int) {
		t.Helper()
		x := r.Ask(method + " / HTTP/1.1\nHost: a\n" + strings.ReplaceAll(condition, "TAG", tag))
		if x.Response.Status != status {
			t.Errorf("%s %s: %d, want %d", method, condition, x.Response.Status, status)
		}
		if got, _ := x.Response.Header.Get(exchange.ETag); got != tag { // §15.4.5: the same fields as with 200
			t.Errorf("%s %s: the tag %s", method, condition, got)
		}
		if got, _ := x.Response.Header.Get(exchange.CacheControl); got != "max-age=60" {
			t.Errorf("%s %s: Cache-Control %s", method, condition, got)
		}
		if status == 304 && (x.Response.Body != nil || policytest.Verdict(x, "respond") != "not_modified") {
			t.Errorf("%s %s: a body", method, condition)
		}
	}
	f("GET", "If-None-Match: TAG\n", 304)
	f("HEAD", "If-None-Match: TAG\n", 304)
	f("GET", "If-None-Match: W/TAG\n", 304) // compared weakly
	f("GET", "If-None-Match: \"a\", W/\"b\" , TAG\n", 304)
	f("GET", "If-None-Match: \"a,b\",TAG\n", 304)
	f("GET", "If-None-Match: \"a\"\nIf-None-Match: TAG\n", 304)
	f("GET", "If-None-Match: *\n", 304)
	f("POST", "If-None-Match: TAG\n", 200)
	f("GET", "If-None-Match: \"a\"\n", 200)
	f("GET", "If-None-Match: TAGx\n", 304) // what follows is no list; this one was there
	f("GET", "If-None-Match: x, TAG\n", 200)
	f("GET", "If-None-Match: \"\n", 200)
	f("GET", "If-None-Match: W/\n", 200)
	f("GET", "If-None-Match:\n", 200)
	f("GET", "If-Modified-Since: Sat, 21 Nov 2026 00:00:00 GMT\n", 200) // there is no date to compare
}

// A file is read when a revision is put in force, and is held by it.
func TestFile(t *testing.T) {
	w := policytest.New(t)
	dir := t.TempDir()
	w.File = filepath.Join(dir, "straum.yaml")
	path := filepath.Join(dir, "a.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"a": 1}`)
	r := w.Policy(Kind, "{status: 400, file: a.json}")
	write(`{"b": 2}`)
	if got := told(t, r.Ask("GET / HTTP/1.1\nHost: a\n")); got != `400 | Content-Type: application/json | {"a": 1}` {
		t.Error(got)
	}
	if got := told(t, w.Policy(Kind, "{status: 400, file: "+path+", type: text/plain}").Ask("GET / HTTP/1.1\nHost: a\n")); got != `400 | Content-Type: text/plain | {"b": 2}` {
		t.Error(got)
	}
	write(`"{request.method}"`)
	if got := told(t, w.Policy(Kind, "{status: 400, file: a.json, template: true}").Ask("GET / HTTP/1.1\nHost: a\n")); got != `400 | Content-Type: application/json | X-Content-Type-Options: nosniff | "GET"` {
		t.Error(got)
	}
	refused := func(options, want string) {
		t.Helper()
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", options, got, want)
		}
	}
	refused("{file: none.json}", "no such file")
	refused("{file: ./}", "no file that can be read")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("{file: pipe}", "no file that can be read")
	write(`"{nothing}"`)
	refused("{file: a.json, template: true}", "{nothing} is no fact")
	write(`{request.method}`)
	refused("{file: a.json, template: true}", "outside of a string")
	write(strings.Repeat("a", maxBody+1))
	refused("{file: a.json}", "more than 1048576 bytes")
	write(strings.Repeat("a", maxBody))
	if x := w.Policy(Kind, "{file: a.json}").Ask("GET / HTTP/1.1\nHost: a\n"); x.Response.Length != maxBody {
		t.Errorf("%d bytes", x.Response.Length)
	}
	write("")
	if got := told(t, w.Policy(Kind, "{file: a.json}").Ask("GET / HTTP/1.1\nHost: a\n")); got != "200 | Content-Type: application/json | " {
		t.Error(got)
	}
}

func TestTypeOfName(t *testing.T) {
	for name, want := range map[string]string{"a.JSON": "application/json", "a.html": "text/html; charset=utf-8", "a.txt": "text/plain; charset=utf-8", "a.svg": "image/svg+xml", "a": "application/octet-stream", "a.exe": "application/octet-stream"} {
		if got := typeOfName(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(options, want string) {
		t.Helper()
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", options, got, want)
		}
	}
	f("{body: a, file: b}", "only one of")
	f("{status: 199}", "200 to 599")
	f("{status: 600}", "200 to 599")
	f("{status: 206, body: a}", "a part of one")
	for _, status := range []string{"204", "205", "304"} {
		f("{status: "+status+", body: a}", "has no body")
		f("{status: "+status+", file: a}", "has no body")
		f("{status: "+status+", type: a/b}", "has no body")
	}
	f("{body: a, type: json}", "no media type")
	f("{body: a, type: 'a/b c'}", "no media type")
	f("{body: a, type: \"a/b;\\nc\"}", "control character")
	f("{headers: {Content-Length: '1'}}", "where the message ends")
	f("{headers: {content-type: a/b}}", "the option type")
	f("{headers: {ETag: a}}", "made of the body")
	f("{headers: {X-A: ' a'}}", "no space at its ends")
	f("{headers: {X-A: '{a}'}}", "is no fact")
	f("{template: true}", "no body to be a template")
	f("{template: true, body: 'a {request.id}', type: text/html}", "how facts are written in text/html is not known")
	f("{template: true, body: '{{ {request.id} }}', type: application/problem+json}", "outside of a string")
	f("{template: true, body: '{request.id', type: text/plain}", "is not closed")
	f("{template: true, type: text/plain, body: '"+strings.Repeat("a", maxTemplate+1)+"'}", "at most 16384")
}

func usual(t testing.TB, options string) func() {
	r := policytest.New(t).Policy(Kind, options)
	x := r.Request("GET /a HTTP/1.1\nHost: a.example\n")
	return func() {
		x.Begin(x.Conn, 1)
		r.Chain.Request(x)
		if x.Response.Status != 200 {
			t.Fatal(x.Response.Status)
		}
	}
}

const (
	constant = "{body: '{\"ok\":true}', headers: {Cache-Control: no-store}}"
	filled   = "{template: true, body: '{{\"id\":\"{request.id}\"}}', headers: {X-Id: '{request.id}'}}"
)

func TestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, options := range []string{constant, filled} {
		if n := testing.AllocsPerRun(1000, usual(t, options)); n != 0 {
			t.Errorf("%s: %v allocations a request", options, n)
		}
	}
}

func BenchmarkRespond(b *testing.B) {
	for name, options := range map[string]string{"constant": constant, "template": filled} {
		b.Run(name, func(b *testing.B) {
			run := usual(b, options)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
