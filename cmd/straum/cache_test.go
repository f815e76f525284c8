package main

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// What the commands say to the gateway is what their flags say.
func TestCacheOrders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- r.URL.Path + " " + string(body)
		_, _ = io.WriteString(w, "{}")
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Close(); <-done })
	f := func(want string, args ...string) {
		t.Helper()
		out := runCommand(append(append([]string{"cache"}, args...), "--socket", path))
		if strings.HasPrefix(out, "error") {
			t.Fatalf("%v: %s", args, out)
		}
		if got := <-asked; got != want {
			t.Errorf("%v: %s, want %s", args, got, want)
		}
	}
	f(`/v1/cache/purge {"url":"https://a/b?*"}`, "purge", "--url", "https://a/b?*")
	f(`/v1/cache/purge {"prefix":"https://a/","soft":true}`, "purge", "--prefix", "https://a/", "--soft")
	f(`/v1/cache/purge {"tag":"t"}`, "purge", "--tag", "t")
	f(`/v1/cache/purge {"all":true}`, "purge", "--all")
	f(`/v1/cache/explain {"url":"https://a/","method":"GET"}`, "explain", "https://a/")
	f(`/v1/cache/explain {"url":"https://a/","method":"HEAD","headers":[{"name":"Accept","value":"a:b, c"},{"name":"X-Empty","value":""}],"consumer":"acme","issuer":"https://id","subject":"anna"}`,
		"explain", "https://a/", "-X", "HEAD", "-H", " Accept : a:b, c ", "-H", "X-Empty:", "--consumer", "acme", "--issuer", "https://id", "--subject", "anna")
}
