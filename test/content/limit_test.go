package content

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"straum.dev/straum/test/wire"
)

// A body that is too large never reaches the endpoint as a whole, however it comes, and one that is not too large does.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	f := open(t, `
  - { name: streamed, match: { path: /streamed }, upstream: app, policies: [ body_limit: 64KiB ] }
  - { name: none, match: { path: /none }, upstream: app, policies: [ body_limit: 0 ] }
  - { name: held, match: { path: /held }, upstream: app, policies: [ body_limit: 64KiB, validate: { schema: true, types: text/plain } ] }
`, nil, hello)
	const room = 64 << 10
	for i := range f.ways {
		w := &f.ways[i]
		for _, path := range []string{"/streamed", "/held"} {
			for _, size := range []int{10, room, room + 10, 20 * room} {
				for _, unknown := range []bool{false, true} {
					for _, more := range []string{"", "Expect: 100-continue"} {
						what := fmt.Sprint(w.name, " ", path, " ", size, " ", unknown, " ", more)
						text := `"` + strings.Repeat("x", size-2) + `"`
						r, err := http.NewRequest("POST", w.base+path, strings.NewReader(text))
						if err != nil {
							t.Fatal(err)
						}
						if unknown {
							r.Body, r.GetBody, r.ContentLength = io.NopCloser(strings.NewReader(text)), nil, -1
						}
						r.Header.Set("Content-Type", "text/plain")
						if more != "" {
							r.Header.Set("Expect", "100-continue")
						}
						a, err := w.client.Do(r)
						if err != nil {
							if size <= room {
								t.Errorf("%s: %v", what, err)
							}
							f.noWhole(t, what, room)
							continue // the connection may end while the client still sends
						}
						said, _ := io.ReadAll(a.Body)
						a.Body.Close()
						if size > room {
							(answer{a, string(said)}).expect(t, what, 413, `"body_too_large"`)
							f.noWhole(t, what, room)
							continue
						}
						(answer{a, string(said)}).expect(t, what, 200, "hello")
						if m := f.seen.One(t); string(m.Body) != text {
							t.Errorf("%s: %d bytes reached the endpoint", what, len(m.Body))
						}
					}
				}
			}
		}
		w.ask(t, "POST", "/none", body{text: "x"}).expect(t, w.name, 413, `"body_too_large"`)
		f.none(t, w.name)
		w.ask(t, "POST", "/none", body{}).expect(t, w.name, 200, "hello")
		f.seen.One(t)
		w.ask(t, "POST", "/none", body{unknown: true}).expect(t, w.name, 200, "hello")
		f.seen.One(t)
	}
	f.nothingHeld(t)
	if n := f.Number("straum_policy_held_body_bytes"); n != 0 {
		t.Error(n)
	}
	// What is behind a refused body on the same connection is no request.
	c := wire.Dial(t, strings.TrimPrefix(f.ways[0].base, "http://"))
	c.Send("POST /streamed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n" + repeated(0x20000-8) + "01234567\r\n0\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n")
	if m := c.Answer("POST"); m.Status() != 413 || m.Get("Connection") != "close" {
		t.Error(m)
	}
	f.noWhole(t, "pipelined", room)
}

// noWhole complains when a whole request of more than room bytes reached the endpoint.
func (f *front) noWhole(t *testing.T, what string, room int) {
	t.Helper()
	for _, m := range f.seen.Take() {
		t.Errorf("%s: the endpoint got a whole request of %d bytes, of %d that are allowed", what, len(m.Body), room)
	}
}
