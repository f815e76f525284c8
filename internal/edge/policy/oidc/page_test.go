package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

func body(t *testing.T, x *exchange.Exchange) string {
	t.Helper()
	var all []byte
	for x.Response.Body != nil {
		run, err := x.Response.Body.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, run...)
	}
	if int64(len(all)) != x.Response.Length {
		t.Errorf("%d bytes, the length says %d", len(all), x.Response.Length)
	}
	return string(all)
}

// People read a page, programs a problem document, and the log the same of both.
func TestPages(t *testing.T) {
	b := setup(t, "")
	const broken = "/.straum/oidc/callback?state=<script>alert(1)</script>&code=x"
	for _, c := range []struct {
		target, fields string
		status         int
		kind           *fault.Kind
		says           string // empty for no page
	}{
		{broken, page, 400, fault.LoginFailed, "Login not completed"},
		{broken, "Accept: */*", 400, fault.LoginFailed, ""},
		{broken, "", 400, fault.LoginFailed, ""},
		{"POST " + broken, page, 405, fault.MethodNotAllowed, "Method not allowed"},
		{"/.straum/oidc/logout", page + "\r\nSec-Fetch-Site: cross-site", 403, fault.Forbidden, "A page of another site may not log people out here."},
		{"/.straum/oidc/logout", "Sec-Fetch-Site: cross-site", 403, fault.Forbidden, ""},
		{"POST /page", page, 401, fault.NotAuthenticated, ""}, // not a fault of this policy's
	} {
		x := b.send(c.target, c.fields)
		if x.Response.Status != c.status || x.Fault == nil || x.Fault.Kind != c.kind {
			t.Errorf("%s %q: %d, %v", c.target, c.fields, x.Response.Status, x.Fault)
			continue
		}
		text := body(t, x)
		kind, _ := x.Response.Header.Get(exchange.ContentType)
		if c.says == "" {
			if kind != "application/problem+json" || text != "{}\n" {
				t.Errorf("%s %q: a program gets %s: %s", c.target, c.fields, kind, text)
			}
			continue
		}
		if kind != "text/html; charset=utf-8" || !strings.Contains(text, c.says) || !strings.Contains(text, x.ID) || !strings.Contains(text, `<a href="/">Go on</a>`) || strings.Contains(text, "script") {
			t.Errorf("%s %q: a person gets %s: %s", c.target, c.fields, kind, text)
		}
		for field, want := range map[string]string{"Cache-Control": "no-store", "Content-Security-Policy": pageSecurity, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
			if got, _ := x.Response.Header.Header(field); got != want {
				t.Errorf("%s: %q, want %q", field, got, want)
			}
		}
	}
	// Known words of the foreign logout are for programs too.
	if x := b.send("/.straum/oidc/logout"); !strings.Contains(x.Fault.Told(), "another site") {
		t.Errorf("told %q", x.Fault.Told())
	}
}

// The page holds an id that a client may have chosen, and what other policies have set on the answer stays.
func TestPageOfAStranger(t *testing.T) {
	b := setup(t, "")
	b.Scheme = "http"
	x := b.Request("GET / HTTP/1.1\r\nHost: app.example.com\r\n" + page)
	x.ID = `<b>"&`
	b.Chain.Request(x)
	x.Respond(x.Fault.Kind.Status, "application/problem+json", []byte("{}"))
	x.Response.Header.Add("X-Request-Id", "1")
	x.Response.Header.Append(exchange.CacheControl, "Cache-Control", "no-store")
	b.Chain.Response(x)
	text := body(t, x)
	if !strings.Contains(text, "request &lt;b&gt;&#34;&amp;<") || !strings.Contains(text, fault.LoginInsecure.Detail) {
		t.Errorf("a person gets %s", text)
	}
	if id, _ := x.Response.Header.Header("X-Request-Id"); id != "1" || x.Response.Header.Count(exchange.CacheControl) != 1 || x.Response.Header.Count(exchange.ContentType) != 1 {
		t.Errorf("fields are %v", x.Response.Header.All())
	}
}

// Who speaks gRPC was told in gRPC's way, whatever it accepts.
func TestNoPageForGRPC(t *testing.T) {
	b := setup(t, "")
	x := b.Request("POST /.straum/oidc/callback HTTP/1.1\r\nHost: app.example.com\r\nContent-Type: application/grpc\r\n" + page)
	b.Chain.Request(x)
	x.Respond(200, "", nil)
	b.Chain.Response(x)
	if x.Fault == nil || x.Response.Status != 200 || x.Response.Length != 0 {
		t.Errorf("got %d with %d bytes, %v", x.Response.Status, x.Response.Length, x.Fault)
	}
}

func TestPageStyle(t *testing.T) {
	sum := sha256.Sum256([]byte(pageStyle))
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(pageSecurity, want) {
		t.Errorf("browsers refuse the style: its hash is %s", want)
	}
}
