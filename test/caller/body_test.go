package caller

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/wire"
)

// Content that is signed is read before it goes on, however it comes, and reaches the endpoint as it was; what is too large is told before
// it is sent where that can be.
func TestContent(t *testing.T) {
	t.Parallel()
	f := open(t, setting{
		consumers: fmt.Sprintf("  - { id: acme, credentials: [ { hmac: { id: acme-1, secret: %q } } ] }\n", hmacSecret),
		routes: fmt.Sprintf(`
  - { name: hmac, match: { path: /hmac }, upstream: app, policies: [ hmac: { max_body: 64KiB } ] }
  - { name: hook, match: { path: /hook }, upstream: app, policies: [ webhook_signature: { scheme: stripe, secrets: %q, max_body: 64KiB } ] }
`, hookSecret),
	})
	const room = 64 << 10
	signed := map[string]func(r *http.Request, body []byte){
		"/hmac": func(r *http.Request, body []byte) { signing{id: "acme-1", secret: hmacSecret}.sign(r, body) },
		"/hook": func(r *http.Request, body []byte) {
			r.Header.Set("Stripe-Signature", stripe(hookSecret, time.Now(), body))
		},
	}
	n := 0
	for _, name := range allWays {
		t.Run(name, func(t *testing.T) {
			w := f.way(t, name, nil)
			for path, sign := range signed {
				for _, size := range []int{10, 1000, 16_384, 40_000, room, room + 1, 10 * room} {
					for _, kind := range []string{"known", "unknown", "expect", "unknown, expect", "trailers"} {
						what := fmt.Sprintf("%d bytes to %s, %s", size, path, kind)
						n++ // the same content is signed the same, and refused the second time
						body := append(fmt.Appendf(nil, "%010d", n), bytes.Repeat([]byte{'a' + byte(n%26)}, size-10)...)
						r := w.request(t, "POST", path, body)
						sign(r, body)
						if strings.Contains(kind, "expect") {
							r.Header.Set("Expect", "100-continue")
						}
						if strings.Contains(kind, "unknown") || kind == "trailers" {
							r.Body, r.GetBody, r.ContentLength = io.NopCloser(struct{ io.Reader }{bytes.NewReader(body)}), nil, -1
						}
						if kind == "trailers" {
							r.Trailer = http.Header{"X-Behind": {"yes"}}
						}
						a, err := w.try(r)
						if err != nil {
							if size > room && kind != "expect" { // the connection may end while the client still sends
								continue
							}
							t.Fatalf("%s: %v", what, err)
						}
						if size > room {
							a.expect(t, what, 413, "hold_too_large")
							if left := f.seen.Take(); len(left) > 0 {
								t.Errorf("%s: it reached the endpoint", what)
							}
							continue
						}
						a.expect(t, what, 200, "")
						if a.StatusCode != 200 {
							continue
						}
						m := f.seen.One(t)
						if !bytes.Equal(m.Body, body) {
							t.Errorf("%s: %d bytes reach the endpoint, and they differ", what, len(m.Body))
						}
						if kind == "trailers" && (len(m.Trailers) != 1 || m.Framing != "chunked") {
							t.Errorf("%s: the trailers that reach the endpoint are %v, framing %s", what, m.Trailers, m.Framing)
						}
						if m.Has("Expect") {
							t.Errorf("%s: the endpoint is asked once more", what)
						}
					}
				}
			}
		})
	}
	// Whoever cannot sign is not asked for content.
	p := wire.Dial(t, f.plain)
	p.Send("POST /hmac HTTP/1.1\r\nHost: api.example\r\nContent-Length: 50000\r\nExpect: 100-continue\r\n\r\n")
	if m := p.Answer("POST"); m.Status() != 401 {
		t.Errorf("got %s", m)
	}
	// Content that breaks off reaches nobody.
	r, err := http.NewRequest("POST", "http://"+host+"/hmac", nil)
	if err != nil {
		t.Fatal(err)
	}
	signing{id: "acme-1", secret: hmacSecret}.sign(r, []byte("the whole content"))
	p = wire.Dial(t, f.plain)
	p.Send(fmt.Sprintf("POST /hmac HTTP/1.1\r\nHost: api.example\r\nContent-Digest: %s\r\nSignature-Input: %s\r\nSignature: %s\r\nContent-Length: 17\r\n\r\nthe whole", r.Header.Get("Content-Digest"),
		r.Header.Get("Signature-Input"), r.Header.Get("Signature")))
	p.CloseWrite()
	p.Gone()
	if left := f.seen.Take(); len(left) > 0 {
		t.Errorf("a part of content reached the endpoint: %v", left)
	}
}

// A signed request that is sent again is refused, over any way, also when it was another that brought it the first time.
func TestReplayed(t *testing.T) {
	t.Parallel()
	f := open(t, setting{
		consumers: fmt.Sprintf("  - { id: acme, credentials: [ { hmac: { id: acme-1, secret: %q } } ] }\n", hmacSecret),
		routes: fmt.Sprintf(`
  - { name: hmac, match: { path: /hmac }, upstream: app, policies: [ hmac: {} ] }
  - { name: hook, match: { path: /hook }, upstream: app, policies: [ webhook_signature: { scheme: stripe, secrets: %q } ] }
`, hookSecret),
		more: "plans: { gold: {} }\n",
	})
	for _, first := range allWays {
		for path, sign := range map[string]func(r *http.Request, body []byte){
			"/hmac": func(r *http.Request, body []byte) { signing{id: "acme-1", secret: hmacSecret}.sign(r, body) },
			"/hook": func(r *http.Request, body []byte) {
				r.Header.Set("Stripe-Signature", stripe(hookSecret, time.Now(), body))
			},
		} {
			body := []byte("content by " + first)
			w := f.way(t, first, nil)
			r := w.request(t, "POST", path, body)
			sign(r, body)
			w.do(t, r).expect(t, path, 200, "")
			if err := f.Reload(strings.Replace(f.config, "gold", "gold-"+strings.ReplaceAll(first, "+", "-")+path[1:], 1)); err != nil { // what was used outlives a reload
				t.Fatal(err)
			}
			for _, again := range allWays {
				w := f.way(t, again, nil)
				copied := w.request(t, "POST", path, body, func(c *http.Request) { c.Header = r.Header.Clone() })
				if a := w.do(t, copied); a.StatusCode != 401 {
					t.Errorf("%s by %s and then by %s: got %d", path, first, again, a.StatusCode)
				}
			}
		}
	}
}
