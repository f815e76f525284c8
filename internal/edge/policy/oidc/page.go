package oidc

import (
	"html"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// What pages look like, and what they may do: nothing but have this style, whose SHA-256 is in pageSecurity.
const (
	pageStyle    = `body{font:1em/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto 0;padding:0 1.5em}h1{font-size:1.5em}small{opacity:.7}:root{color-scheme:light dark}`
	pageSecurity = `default-src 'none'; style-src 'sha256-6q5VOPv/OBDF6MhVgNiMBFO4PUVdTDURBGoaNDyJ1bY='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
)

// refuse ends an exchange with a fault of this policy, which a person in front of a browser is told in a page.
func (l *login) refuse(x *exchange.Exchange, f *fault.Fault) {
	of(x).fault = f
	x.Fail(f)
}

// told puts a page in place of the problem document that says the same, for who asks for pages. The fault stays as it is for the log, and
// fields that were set stay. The page holds nothing of the request but its id. A link from it says not where it was, which may hold a code.
func (v *visit) told(x *exchange.Exchange) {
	f := v.fault
	if f == nil || x.Response.Status != f.Kind.Status || !takesPages(x) { // gRPC has another status
		return
	}
	fields := slices.Clone(x.Response.Header.All())
	x.Respond(f.Kind.Status, "text/html; charset=utf-8", appendPage(nil, f, x.ID))
	h := &x.Response.Header
	for _, one := range fields {
		if one.Known != exchange.ContentType {
			h.Append(one.Known, one.Name, one.Value)
		}
	}
	h.Set(exchange.CacheControl, "no-store")
	h.SetHeader("Content-Security-Policy", pageSecurity)
	h.SetHeader("Referrer-Policy", "no-referrer")
	h.SetHeader("X-Content-Type-Options", "nosniff")
}

// takesPages says whether a request is of one who reads pages.
func takesPages(x *exchange.Exchange) bool {
	accept, _ := x.Request.Header.Get(exchange.Accept)
	return strings.Contains(accept, "text/html")
}

func appendPage(b []byte, f *fault.Fault, id string) []byte {
	title := html.EscapeString(f.Kind.Title)
	for _, part := range []string{
		"<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>", title, "</title>\n<style>",
		pageStyle, "</style>\n<h1>", title, "</h1>\n<p>", html.EscapeString(f.Told()), "</p>\n<p><a href=\"/\">Go on</a></p>\n<p><small>", f.Kind.Word,
		" · request ", html.EscapeString(id), "</small></p>\n</html>\n",
	} {
		b = append(b, part...)
	}
	return b
}
