package content

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

func zipped(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text)
	_ = z.Close()
	return b.Bytes()
}

// said is an answer in HTTP/1.1 with content.
func said(status, fields string, content []byte) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", status, fields, len(content), content)
}

const secret = `{"secret":"hunter2","n":1.10,"big":12345678901234567890}`

// answers are what the endpoint says, by path.
var answers = map[string]string{
	"/plain":   said("200 OK", "ETag: \"1\"\r\nAccept-Ranges: bytes\r\nContent-Digest: sha-256=:x:\r\n", []byte(secret)),
	"/zipped":  said("200 OK", "Content-Encoding: gzip\r\n", zipped([]byte(secret))),
	"/chunked": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + secret[:5] + "\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\nX-Late: 1\r\n\r\n", len(secret)-5, secret[5:]),
	"/bomb":    said("200 OK", "Content-Encoding: gzip\r\n", zipped([]byte(`{"secret":"hunter2","x":"`+strings.Repeat("0", 64<<20)+`"}`))),
	"/large":   said("200 OK", "", []byte(`{"secret":"hunter2","x":"`+strings.Repeat("0", 2<<20)+`"}`)),
	"/broken":  said("200 OK", "", []byte(`{"secret":"hunter2"`)),
	"/bom":     said("200 OK", "", []byte("\xef\xbb\xbf"+secret)),
	"/twice":   said("200 OK", "", []byte(`{"secret":"hunter2","secret":"hunter2"}`)),
	"/part":    said("206 Partial Content", "Content-Range: bytes 0-18/55\r\n", []byte(secret[:19])),
	"/coded":   said("200 OK", "Content-Encoding: compress\r\n", []byte(secret)),
	"/empty":   "HTTP/1.1 204 No Content\r\nContent-Type: application/json\r\n\r\n",
	"/same":    "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n",
}

// What is to be hidden is not shown, whichever way an endpoint sends it, and what is framed anew is framed right.
func TestTransformAnswers(t *testing.T) {
	t.Parallel()
	f := open(t, `
  - { name: all, match: { path: /* }, upstream: app, policies: [ transform_json: { response: { remove: /secret } } ] }
`, nil, func(m *wire.Message) string {
		method, rest, _ := strings.Cut(m.Start, " ")
		path, _, _ := strings.Cut(rest, " ")
		a := answers[path]
		if head, _, _ := strings.Cut(a, "\r\n\r\n"); method == "HEAD" {
			a = head + "\r\n\r\n"
		}
		return a
	})
	const shown = `{"n":1.10,"big":12345678901234567890}`
	for i := range f.ways {
		w := &f.ways[i]
		for _, path := range []string{"/plain", "/zipped", "/chunked", "/plain"} {
			a := w.ask(t, "GET", path, body{more: "Range: bytes=0-3|Accept-Encoding: gzip"})
			if a.StatusCode != 200 || a.text != shown || a.ContentLength != int64(len(shown)) || a.Header.Get("Content-Encoding")+a.Header.Get("Content-Digest")+a.Header.Get("Accept-Ranges") != "" || len(a.Trailer) > 0 {
				t.Errorf("%s %s: %s %v %v", w.name, path, a.text, a.Header, a.Trailer)
			}
			if tag := a.Header.Get("ETag"); path == "/plain" && tag != `W/"1"` {
				t.Errorf("%s %s: ETag %s", w.name, path, tag)
			}
			if m := f.seen.One(t); m.Has("Range") {
				t.Errorf("%s: the endpoint was asked for a part", path)
			}
		}
		if a := w.ask(t, "HEAD", "/plain", body{}); a.StatusCode != 200 || a.Header.Get("Content-Length") != "" || a.Header.Get("ETag") != `W/"1"` || a.text != "" {
			t.Errorf("%s HEAD: %v", w.name, a.Header)
		}
		for _, path := range []string{"/bomb", "/large", "/broken", "/bom", "/twice", "/part", "/coded"} {
			a := w.ask(t, "GET", path, body{})
			a.expect(t, w.name+" "+path, 502, `"unchangeable"`)
			if strings.Contains(a.text, "hunter2") || a.Header.Get("Content-Encoding") != "" {
				t.Errorf("%s %s: %s", w.name, path, a.text)
			}
		}
		w.ask(t, "GET", "/empty", body{}).expect(t, w.name, 204, "")
		if a := w.ask(t, "GET", "/same", body{more: `If-None-Match: W/"1"`}); a.StatusCode != 304 || a.Header.Get("ETag") != `W/"1"` {
			t.Errorf("%s: %d %v", w.name, a.StatusCode, a.Header)
		}
		w.ask(t, "GET", "/plain", body{}).expect(t, w.name, 200, shown) // all is well afterwards
		f.seen.Take()
	}
	f.nothingHeld(t)
	if _, most := f.Memory(); most > 300<<20 {
		t.Errorf("%d MiB were taken", most>>20)
	}
}

// An answer is held until its client has it, and is given back when the client leaves.
func TestAnswersAreGivenBack(t *testing.T) {
	t.Parallel()
	large := said("200 OK", "", []byte(`{"secret":1,"x":"`+strings.Repeat("0", 15<<20)+`"}`))
	f := open(t, `
  - { name: all, match: { path: /* }, upstream: app, policies: [ transform_json: { response: { remove: /secret, max: 16MiB } } ] }
`, nil, func(*wire.Message) string { return large })
	for i := range f.ways {
		w := &f.ways[i]
		r, err := http.NewRequest("GET", w.base+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(a.Body, make([]byte, 100)); err != nil || a.StatusCode != 200 {
			t.Fatal(a.StatusCode, err)
		}
		if held := f.Number("straum_policy_held_answer_bytes"); held < 15<<20 || held > 17<<20 {
			t.Errorf("%s: %v bytes are held", w.name, held)
		}
		// Meanwhile the share of the address is used up.
		other, err := w.client.Get(w.base + "/")
		if err != nil {
			t.Fatal(err)
		}
		if other.Body.Close(); other.StatusCode != 502 {
			t.Errorf("%s: another gets %d", w.name, other.StatusCode)
		}
		a.Body.Close()
		gateway.Await(t, "the answer to be given back", func() bool { return f.Number("straum_policy_held_answer_bytes") == 0 })
	}
}

// Requests are changed before the endpoint sees them, and framed right.
func TestTransformRequests(t *testing.T) {
	t.Parallel()
	f := open(t, `
  - name: all
    match: { path: /* }
    upstream: app
    policies:
      - body_limit: 2MiB
      - validate: { schema: { properties: { n: { type: number } } } }
      - transform_json: { request: { remove: /debug, rename: { /old: new }, set: { /via: "{request.method}" } } }
`, nil, hello)
	for i := range f.ways {
		w := &f.ways[i]
		for _, unknown := range []bool{false, true} {
			for _, more := range []string{"", "Expect: 100-continue"} {
				for text, want := range map[string]string{
					`{"debug":1,"n":1.10}`: `{"n":1.10,"via":"POST"}`,
					`{"old":"x"}`:          `{"new":"x","via":"POST"}`,
					`{"debug":"` + repeated(500_000) + `","n":1e2}`: `{"n":1e2,"via":"POST"}`,
					`{"x":"` + repeated(500_000) + `"}`:             `{"x":"` + repeated(500_000) + `","via":"POST"}`,
				} {
					w.ask(t, "POST", "/", body{text: text, kind: json, unknown: unknown, more: "Content-Digest: sha-256=:x:|" + more}).expect(t, w.name, 200, "hello")
					if m := f.seen.One(t); string(m.Body) != want || m.Get("Content-Length") != fmt.Sprint(len(want)) || m.Has("Transfer-Encoding") || m.Has("Content-Digest") {
						t.Errorf("%s: the endpoint got %.500s", w.name, m)
					}
				}
			}
			w.ask(t, "POST", "/", body{text: `{"debug":1,"n":"x"}`, kind: json, unknown: unknown}).expect(t, w.name, 422, `"/n"`)
			w.ask(t, "POST", "/", body{text: `{"debug":1,"debug":2}`, kind: json, unknown: unknown}).expect(t, w.name, 400, "invalid_json")
			f.none(t, w.name)
		}
	}
	f.nothingHeld(t)
}
