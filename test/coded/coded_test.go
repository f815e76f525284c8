package coded

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

var content = func() []byte {
	var b bytes.Buffer
	for i := range 300 {
		fmt.Fprintf(&b, `{"id":%d,"name":"order %d","state":"open"},`, i*7919, i)
	}
	return b.Bytes()
}()

// endpoint answers in all the ways that matter to a compressor.
func endpoint(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/file": // with ranges and preconditions
			w.Header().Set("ETag", `"v1"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		case "/chunks":
			for i := 0; i < len(content); i += 1000 {
				w.Write(content[i:min(i+1000, len(content))])
				w.(http.Flusher).Flush()
			}
		case "/short":
			w.Write([]byte("{}"))
		case "/stream":
			for {
				if _, err := w.Write([]byte("{\"tick\":1}\n")); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(time.Millisecond):
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestCurl lets curl, which decodes all three codings by itself, read what the gateway compresses, over HTTP/1.1 and HTTP/2.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	addr, secure := gateway.Free(t), gateway.Free(t)
	authority := gateway.NewAuthority(t)
	gateway.Start(t, fmt.Sprintf(`
listeners:
  - address: %q
  - { address: %q, tls: { certificates: [ %s ] } }
upstreams: { app: { endpoints: [ %q ] } }
routes: [ { name: all, match: { path: /* }, upstream: app, policies: [ compress: {} ] } ]
`, addr, secure, authority.Issue([]string{"localhost"}).YAML(), endpoint(t)))
	_, port, _ := strings.Cut(secure, ":")
	for _, base := range []string{"http://" + addr, "https://localhost:" + port} {
		ask := func(path string, args ...string) (head, body string) {
			t.Helper()
			dir := t.TempDir()
			args = append([]string{"-sS", "--cacert", authority.KeyFile(), "--insecure", "--compressed", "-D", filepath.Join(dir, "head"), base + path}, args...)
			cmd := exec.Command(curl, args...)
			var out, trouble bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &trouble
			if err := cmd.Run(); err != nil {
				t.Fatalf("curl %s: %v: %s", args, err, trouble.String())
			}
			text, err := os.ReadFile(filepath.Join(dir, "head"))
			if err != nil {
				t.Fatal(err)
			}
			return strings.ToLower(string(text)), out.String()
		}
		for _, path := range []string{"/file", "/chunks"} {
			for _, coding := range []string{"gzip", "br", "zstd"} {
				head, body := ask(path, "-H", "Accept-Encoding: "+coding)
				if !strings.Contains(head, "content-encoding: "+coding+"\r\n") || !strings.Contains(head, "vary: accept-encoding\r\n") || body != string(content) {
					t.Errorf("%s%s, %s: %d bytes\n%s", base, path, coding, len(body), head)
				}
				if path == "/file" && (strings.Contains(head, "accept-ranges") || !strings.Contains(head, `etag: w/"v1"`)) {
					t.Errorf("%s%s, %s:\n%s", base, path, coding, head)
				}
			}
		}
		// What curl itself says it takes.
		if head, body := ask("/file"); !strings.Contains(head, "content-encoding: ") || body != string(content) {
			t.Errorf("%d bytes\n%s", len(body), head)
		}
		if head, body := ask("/short"); strings.Contains(head, "content-encoding") || body != "{}" {
			t.Errorf("%s\n%s", body, head)
		}
		if head, body := ask("/file", "-r", "0-9"); strings.Contains(head, "content-encoding") || body != string(content[:10]) {
			t.Errorf("a range: %s\n%s", body, head)
		}
		if head, body := ask("/file", "-H", `If-None-Match: W/"v1"`); !strings.Contains(head, " 304") || !strings.Contains(head, `etag: w/"v1"`) || body != "" {
			t.Errorf("%s\n%s", body, head)
		}
		if head, body := ask("/file", "-r", "0-9", "-H", `If-Range: W/"v1"`); !strings.Contains(head, " 200") || body != string(content) {
			t.Errorf("a range of what may have changed: %d bytes\n%s", len(body), head)
		}
		if head, _ := ask("/file", "-I"); !strings.Contains(head, "content-encoding: ") || strings.Contains(head, "content-length") {
			t.Errorf("HEAD:\n%s", head)
		}
	}
}

// TestStream: each bit of a stream can be read when it was sent, and a client that leaves gives its encoder back.
func TestStream(t *testing.T) {
	t.Parallel()
	addr := gateway.Free(t)
	g := gateway.Start(t, gateway.Simple(addr, []string{endpoint(t)}, "policies: [ compress: { prefer: [gzip] } ]"))
	request, err := http.NewRequest("GET", "http://"+addr+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", "gzip")
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal(answer.Header)
	}
	z, err := gzip.NewReader(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("{\"tick\":1}\n"))
	for range 20 {
		if _, err := io.ReadFull(z, line); err != nil {
			t.Fatal(err)
		}
	}
	if g.Number("straum_policy_compress_encoder_bytes") == 0 {
		t.Error("no encoder is at work")
	}
	answer.Body.Close()
	gateway.Await(t, "the encoder to come back", func() bool { return g.Number("straum_policy_compress_encoder_bytes") == 0 })
	if g.Number("straum_policy_compress_answers_total", "coding", "gzip") != 1 {
		t.Error("the answer was not counted")
	}
}

// TestMethod: content that an endpoint is not sent is no trouble for the connection it came on.
func TestMethod(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	e := wire.Listen(t, wire.Recording(&seen, func(m *wire.Message) string { return wire.OK("hello") }))
	addr := gateway.Free(t)
	gateway.Start(t, gateway.Simple(addr, []string{e.Addr}, "policies: [ rewrite: { method: GET, path: /v2, query: { remove: secret } } ]"))
	c := wire.Dial(t, addr)
	for _, body := range []string{"Content-Length: 4\r\n\r\nclay", "Transfer-Encoding: chunked\r\n\r\n4\r\nclay\r\n0\r\n\r\n"} {
		for range 2 {
			c.Send("POST /things?secret=1&a=b HTTP/1.1\r\nHost: a\r\n" + body)
			m := c.Answer("POST")
			if m.Status() != 200 || string(m.Body) != "hello" {
				t.Fatal(m)
			}
			if got := seen.One(t); got.Start != "GET /v2?a=b HTTP/1.1" || len(got.Body) > 0 || got.Has("Content-Length") || got.Has("Transfer-Encoding") {
				t.Errorf("the endpoint got %s", got)
			}
			if m.Get("Connection") == "close" { // content of unknown length is not read to its end
				c = wire.Dial(t, addr)
			}
		}
	}
	// A client that waits to be told to send its content is answered without it.
	c = wire.Dial(t, addr)
	c.Send("POST /things HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	if m := c.Answer("POST"); m.Status() != 200 || m.Get("Connection") != "close" {
		t.Error(m)
	}
	seen.One(t)
}

// TestMirror: a second upstream gets copies, over a reload too, and none once it is gone.
func TestMirror(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	e := wire.Listen(t, wire.Answering(wire.OK("mine")))
	s := wire.Listen(t, wire.Recording(&seen, func(*wire.Message) string { return wire.OK("other") }))
	addr := gateway.Free(t)
	config := func(policy string) string {
		return fmt.Sprintf(`
listeners: [ { address: %q } ]
upstreams: { app: { endpoints: [ %q ] }, shadow: { endpoints: [ %q ] } }
routes: [ { name: all, match: { path: /* }, upstream: app, policies: [ %s ] } ]
`, addr, e.Addr, s.Addr, policy)
	}
	g := gateway.Start(t, config("mirror: { upstream: shadow }"))
	c := wire.Dial(t, addr)
	ask := func() {
		t.Helper()
		c.Send("POST /things HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nclay")
		if m := c.Answer("POST"); m.Status() != 200 || string(m.Body) != "mine" {
			t.Error(m)
		}
	}
	labels := []string{"route", "all", "upstream", "shadow", "class", "2xx"}
	for n := range 3 {
		ask()
		gateway.Await(t, "a copy to be answered", func() bool { return g.Number("straum_policy_mirror_answered_total", labels...) == float64(n+1) })
		if got := seen.One(t); string(got.Body) != "clay" || got.Get("X-Straum-Mirrored") != "1" {
			t.Error(got)
		}
		if err := g.Reload(config(fmt.Sprintf("mirror: { upstream: shadow, max_in_flight: %d }", n+1))); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Reload(config("")); err != nil {
		t.Fatal(err)
	}
	ask()
	if err := g.Reload(config("mirror: { upstream: nobody }")); err == nil || !strings.Contains(g.Log(), "nobody") {
		t.Errorf("an upstream that is not there: %v", err)
	}
	if n := len(seen.Take()); n != 0 {
		t.Errorf("%d copies without the policy", n)
	}
}
