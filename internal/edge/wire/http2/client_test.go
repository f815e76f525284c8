package http2

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
)

// What curl sends it gets back, plain and over TLS.
func TestCurl(t *testing.T) {
	echo := answering(func(x *exchange.Exchange) {
		if x.Request.Body == nil {
			x.Respond(200, "text/plain", []byte(x.Request.Scheme+" "+x.Request.Path))
			return
		}
		text, err := readAll(x.Request.Body)
		if err != nil {
			t.Error(err)
		}
		x.Respond(200, "text/plain", text)
	})
	big := strings.Repeat("0123456789abcdef", 1<<15) // more than all windows
	file := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(file, []byte(big), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(url, scheme string, flags ...string) {
		t.Helper()
		flags = append(flags, "-sS", "-m", "20")
		if got := run(t, "curl", append(flags, "-w", " %{http_version} %{http_code}", url+"/a?b")...); got != scheme+" /a 2 200" {
			t.Errorf("got %q", got)
		}
		for _, expect := range []string{"Expect:", "Expect: 100-continue"} {
			if got := run(t, "curl", append(flags, "-H", expect, "--data-binary", "@"+file, url)...); got != big {
				t.Errorf("%s: got %d bytes back, want %d", expect, len(got), len(big))
			}
		}
	}
	f("http://"+serve(t, roomy(), echo).addr, "http", "--http2-prior-knowledge")
	f("https://"+serveTLS(t, roomy(), echo).addr, "https", "-k", "--http2")
}

// h2load finds every response whole, small and large, with few streams and many.
func TestH2load(t *testing.T) {
	text := make([]byte, 200<<10)
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) {
		if x.Request.Path == "/large" {
			x.Respond(200, "", text)
			return
		}
		hello(x)
	}))
	secure := serveTLS(t, roomy(), answering(hello))
	f := func(url string, requests, streams string) {
		t.Helper()
		got := run(t, "h2load", "-n", requests, "-c", "4", "-m", streams, url)
		if !strings.Contains(got, requests+" succeeded, 0 failed") {
			t.Errorf("%s\n%s", url, got)
		}
	}
	f("http://"+p.addr+"/", "2000", "1")
	f("http://"+p.addr+"/", "20000", "100")
	f("http://"+p.addr+"/large", "400", "32")
	f("https://"+secure.addr+"/", "5000", "32")
	if got := p.set.Stats.Streams.Load(); got != 22400 {
		t.Errorf("%d streams were counted", got)
	}
}

// nghttp sends trailers and priorities, and reads its headers in several frames.
func TestNghttp(t *testing.T) {
	p := serve(t, roomy(), answering(func(x *exchange.Exchange) {
		text, _ := readAll(x.Request.Body)
		trailer, _ := x.Request.Trailer.Header("x-sum")
		x.Respond(200, "", []byte(string(text)+" "+trailer))
		x.Response.Header.Add("X-Long", strings.Repeat("v", 20<<10))
		x.Response.Length = exchange.Unknown
		x.Response.Trailer.Add("X-After", "all")
	}))
	file := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, "nghttp", "-v", "-d", file, "--trailer", "x-sum: 42", "-w", "16", "http://"+p.addr+"/")
	for _, want := range []string{"content 42", "x-after: all", ":status: 200"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%.2000s", want, got)
		}
	}
}
