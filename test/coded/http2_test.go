package coded

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
)

// heard is a request as an endpoint got it.
type heard struct {
	proto, method, target, body string
	header                      http.Header
}

// hears starts an endpoint that speaks HTTP/2 without TLS and tells of its requests.
func hears(t *testing.T) (addr string, all chan heard) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all = make(chan heard, 64)
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		all <- heard{r.Proto, r.Method, r.RequestURI, string(body), r.Header}
		w.Write(bytes.ToUpper(body))
	})}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(listener)
	t.Cleanup(func() { s.Close() })
	return listener.Addr().String(), all
}

// TestHTTP2: the same over HTTP/2, on both sides.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	app, first := hears(t)
	shadow, second := hears(t)
	addr := gateway.Free(t)
	authority := gateway.NewAuthority(t)
	g := gateway.Start(t, fmt.Sprintf(`
listeners: [ { address: %q, tls: { certificates: [ %s ] } } ]
upstreams: { app: { endpoints: [ %q ], protocol: http2 }, shadow: { endpoints: [ %q ], protocol: http2 } }
policies: [ mirror: { upstream: shadow } ]
routes:
  - { name: get, match: { path: /get }, upstream: app, policies: [ rewrite: { method: GET } ] }
  - { name: all, match: { path: /* }, upstream: app }
`, addr, authority.Issue([]string{"localhost"}).YAML(), app, shadow))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: authority.Trusting("localhost"), ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()

	long := strings.Repeat("clay ", 12_000)
	for _, body := range []string{"", "clay", long} {
		for _, chunked := range []bool{false, true} {
			var content io.Reader = strings.NewReader(body)
			if chunked {
				content = io.MultiReader(content) // of a length nobody knows
			}
			answer, err := client.Post("https://"+addr+"/things?a=b", "text/plain", content)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || string(got) != strings.ToUpper(body) || answer.ProtoMajor != 2 {
				t.Errorf("%d bytes, %v, %s", len(got), err, answer.Proto)
			}
			h, copied := <-first, <-second
			if h.body != body || copied.body != body || copied.target != h.target || copied.method != "POST" || copied.proto != "HTTP/2.0" ||
				copied.header.Get("X-Straum-Mirrored") != "1" || h.header.Get("X-Straum-Mirrored") != "" || copied.header.Get("Content-Type") != "text/plain" {
				t.Errorf("%d bytes, length hidden %v: %d bytes of %s %s %s %v", len(body), chunked, len(copied.body), copied.method, copied.target, copied.proto, copied.header)
			}
		}
	}
	for range 2 {
		answer, err := client.Post("https://"+addr+"/get", "text/plain", strings.NewReader("clay"))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		for _, h := range []heard{<-first, <-second} {
			if h.method != "GET" || h.body != "" || h.header.Get("Content-Type") != "" || answer.StatusCode != 200 {
				t.Errorf("%+v", h)
			}
		}
	}
	gateway.Await(t, "all copies to be answered", func() bool { return g.Number("straum_policy_mirror_under_way") == 0 })
	if n := g.Numbers().Sum("straum_policy_mirror_answered_total", "class", "2xx"); n != 8 {
		t.Errorf("%v copies were answered", n)
	}
}
