package client_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/admin"
	"straum.dev/straum/internal/control/client"
	"straum.dev/straum/internal/document"
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

func socketIn(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "straum") // with a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "admin.sock")
}

// gateway answers every call at a socket.
func gateway(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	path := socketIn(t)
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Close(); <-done })
	return path
}

func TestErrorsInPlainWords(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		_, err := client.New(path).Status(context.Background())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "localhost") {
			t.Errorf("the error is %v, want %q and the path in it", err, want)
		}
	}
	f(socketIn(t), "no gateway answers at")
	f(socketIn(t), "--socket PATH or -c FILE")

	dead := socketIn(t)
	ln, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	f(dead, "nobody listens at it")

	file := socketIn(t)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(file, "nobody listens at it") // the kernel says the same of a file
	f("/"+strings.Repeat("x", 120), "more than the 107 bytes")

	f(gateway(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "hello", 404) }), "another program")
	f(gateway(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }), "another program")
	f(gateway(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), "closed the connection before")
}

func TestPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may open any socket")
	}
	path := gateway(t, func(http.ResponseWriter, *http.Request) {})
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := client.New(path).Status(context.Background()); err == nil || !strings.Contains(err.Error(), "sudo") {
		t.Errorf("the error is %v", err)
	}
}

func TestRefusals(t *testing.T) {
	path := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
		w.WriteHeader(422)
		_, _ = io.WriteString(w, `{"title":"Unprocessable Entity","status":422,"detail":"refused with 1 problem","errors":[
			{"message":"unknown key","location":"a.yaml:2:5","path":"listeners[0].adress","suggestion":"address","new":1}],"new":{}}`)
	})
	_, err := client.New(path).Reload(context.Background())
	var r *client.Refusal
	if !errors.As(err, &r) || r.Status != 422 || len(r.Errors) != 1 {
		t.Fatalf("%#v", err)
	}
	if want := "refused with 1 problem\na.yaml:2:5: listeners[0].adress: unknown key; did you mean \"address\"?"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

// Every method asks for what it says, and names travel whole.
func TestCalls(t *testing.T) {
	var asked string
	c := client.New(gateway(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = strings.TrimSpace(r.Method + " " + r.RequestURI + " " + r.Header.Get("Content-Type") + " " + string(body))
		_, _ = io.WriteString(w, `{}`)
	}))
	ctx := context.Background()
	f := func(err error, want string) {
		t.Helper()
		if err != nil || asked != want {
			t.Errorf("asked %q, %v; want %q", asked, err, want)
		}
	}
	_, err := c.Status(ctx)
	f(err, "GET /v1/status")
	_, err = c.Routes(ctx, 20, 10)
	f(err, "GET /v1/routes?offset=20&limit=10")
	_, err = c.Upstreams(ctx)
	f(err, "GET /v1/upstreams")
	_, err = c.Upstream(ctx, "a/../b?c")
	f(err, "GET /v1/upstreams/a%2F..%2Fb%3Fc")
	_, err = c.SetBreaker(ctx, "orders", "open")
	f(err, `POST /v1/upstreams/orders/breaker application/json {"state":"open"}`)
	_, err = c.Certificates(ctx)
	f(err, "GET /v1/certificates")
	_, err = c.Bans(ctx, "2001:db8::/32", 20, 10)
	f(err, "GET /v1/bans?network=2001%3Adb8%3A%3A%2F32&offset=20&limit=10")
	_, err = c.WhyBanned(ctx, "2001:db8::7")
	f(err, "GET /v1/bans/why?address=2001%3Adb8%3A%3A7")
	_, err = c.AddBan(ctx, client.BanOrder{Network: "192.0.2.0/24", For: 60, Reason: "abuse"})
	f(err, `POST /v1/bans application/json {"network":"192.0.2.0/24","for_seconds":60,"reason":"abuse"}`)
	_, err = c.RemoveBan(ctx, "192.0.2.0/24")
	f(err, `POST /v1/bans/remove application/json {"network":"192.0.2.0/24"}`)
	_, err = c.Cache(ctx)
	f(err, "GET /v1/cache")
	_, err = c.PurgeCache(ctx, client.PurgeOrder{Tag: "product-4711", Soft: true})
	f(err, `POST /v1/cache/purge application/json {"tag":"product-4711","soft":true}`)
	_, err = c.ExplainCache(ctx, client.CacheQuestion{URL: "http://a/", Headers: []client.RequestField{{Name: "Accept", Value: "b"}}})
	f(err, `POST /v1/cache/explain application/json {"url":"http://a/","headers":[{"name":"Accept","value":"b"}]}`)
	_, err = c.Box(ctx)
	f(err, "GET /v1/box")
	_, err = c.Config(ctx)
	f(err, "GET /v1/config")
	_, err = c.YAML(ctx)
	f(err, "GET /v1/config.yaml")
	_, err = c.Reload(ctx)
	f(err, "POST /v1/reload")
}

// The types here are those of the API, field by field.
func TestTypesAgree(t *testing.T) {
	f := func(ours, theirs any) {
		t.Helper()
		agree(t, reflect.TypeOf(ours), reflect.TypeOf(theirs))
	}
	f(client.Status{}, admin.Status{})
	f(client.Routes{}, admin.Routes{})
	f(client.UpstreamList{}, admin.UpstreamList{})
	f(client.CertificateList{}, admin.CertificateList{})
	f(client.Configuration{}, admin.Configuration{})
	f(client.Reloaded{}, admin.Reloaded{})
	f(client.Mistake{}, admin.Mistake{})
	f(client.BanList{}, admin.BanList{})
	f(client.BanReasons{}, admin.BanReasons{})
	f(client.CacheStat{}, admin.CacheStat{})
	f(client.Purged{}, admin.Purged{})
	f(client.Box{}, admin.Box{})
	f(client.CacheExplanation{}, admin.CacheExplanation{})
}

func agree(t *testing.T, ours, theirs reflect.Type) {
	t.Helper()
	switch {
	case ours.Kind() != theirs.Kind():
		t.Errorf("%s is a %s, %s a %s", ours, ours.Kind(), theirs, theirs.Kind())
	case ours == theirs:
	case ours.Kind() == reflect.Pointer || ours.Kind() == reflect.Slice:
		agree(t, ours.Elem(), theirs.Elem())
	case ours.Kind() != reflect.Struct:
		t.Errorf("%s and %s: compare them here", ours, theirs)
	case ours.NumField() != theirs.NumField():
		t.Errorf("%s has %d fields, %s has %d", ours, ours.NumField(), theirs, theirs.NumField())
	default:
		for i := range ours.NumField() {
			if a, b := ours.Field(i).Tag.Get("json"), theirs.Field(i).Tag.Get("json"); a != b {
				t.Errorf("field %d of %s is %q, of %s %q", i, ours, a, theirs, b)
			}
			agree(t, ours.Field(i).Type, theirs.Field(i).Type)
		}
	}
}

func TestDefaultSocket(t *testing.T) {
	d, err := document.Parse("empty", nil, document.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	var c config.Config
	_ = d.Root().Decode(&c) // listeners are missing
	if c.Admin.Socket != client.DefaultSocket {
		t.Errorf("the default of admin.socket is %s, of the client %s", c.Admin.Socket, client.DefaultSocket)
	}
}
