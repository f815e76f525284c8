package oidc

import (
	"crypto/rand"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/openid"
	"straum.dev/straum/internal/session"
)

// attemptLasts is how long somebody may take to log in.
const attemptLasts = 15 * time.Minute

var errInsecure = errors.New("the browser's request came by http:// from another box; when a proxy in front speaks TLS, set origin to what browsers see")

// Challenge implements policy.Authenticator: a browser that goes to a page is sent to the provider; anybody else is told where people log in.
// Only who has no session is sent away, and only if that may help: with a session, or where another method refuses, the browser would come
// back to the same answer.
func (l *login) Challenge(x *exchange.Exchange, finding policy.Finding) {
	if finding != policy.Nothing || anotherRefused(x) || !isNavigation(x) {
		x.Challenges = append(x.Challenges, l.set.challenge)
		return
	}
	to := x.Request.Path
	if x.Request.Query != "" {
		to += "?" + x.Request.Query
	}
	l.begin(x, to)
}

// anotherRefused says whether something was shown and no method took it.
func anotherRefused(x *exchange.Exchange) bool {
	return x.Signals&exchange.AuthFailed != 0 && !slices.ContainsFunc(x.Verdicts, func(v exchange.Verdict) bool { return v.Word == "accepted" })
}

// isNavigation says whether a browser asks for a page to show, and not a script or a page for a part of itself (Fetch Metadata).
func isNavigation(x *exchange.Exchange) bool {
	if x.Request.Method != "GET" && x.Request.Method != "HEAD" || x.Request.Upgrade != "" {
		return false
	}
	h := &x.Request.Header
	if mode, ok := h.Header("Sec-Fetch-Mode"); ok && mode != "navigate" {
		return false
	}
	if dest, ok := h.Header("Sec-Fetch-Dest"); ok && dest != "document" {
		return false
	}
	if with, ok := h.Header("X-Requested-With"); ok && with != "" {
		return false
	}
	if purpose, ok := h.Header("Sec-Purpose"); ok && strings.HasPrefix(purpose, "prefetch") {
		return false
	}
	return takesPages(x)
}

// ask answers the login path.
func (l *login) ask(x *exchange.Exchange) {
	if x.Request.Method != "GET" && x.Request.Method != "HEAD" {
		l.refuse(x, &fault.Fault{Kind: fault.MethodNotAllowed, Allow: "GET, HEAD"})
		return
	}
	to := "/"
	if q, err := url.ParseQuery(x.Request.Query); err == nil && q.Get("to") != "" {
		to = q.Get("to")
	}
	l.begin(x, to)
}

// begin sends a browser to the provider. What it has to bring back is in a cookie of this attempt alone, so that tabs do not disturb each
// other; of too many attempts the oldest go.
func (l *login) begin(x *exchange.Exchange, to string) {
	at := l.at(x)
	if !at.fit {
		l.refuse(x, fault.New(fault.LoginInsecure, errInsecure))
		return
	}
	ctx, cancel := l.patience()
	defer cancel()
	now := l.now()
	endpoints, err := l.provider.Endpoints(ctx, now)
	if err != nil {
		x.Judge(name, "provider_unavailable")
		l.refuse(x, fault.New(fault.AuthUnavailable, err))
		return
	}
	if !isLocal(to) {
		to = "/"
	}
	a := &session.Attempt{Created: now.Unix(), State: rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text(), Return: to}
	v, looked := of(x), l.look(x)
	for len(looked.attempts) >= maxAttempts {
		v.cookies = append(v.cookies, session.Line(looked.attempts[0].cookie, "", 0, at.secure))
		looked.attempts = looked.attempts[1:]
	}
	v.cookies = append(v.cookies, session.Line(l.attemptCookie(x, a.State), l.attempts.Seal(l.bound(), a.Append(nil)), int64(attemptLasts.Seconds()), at.secure))
	x.Judge(name, "login_begun")
	l.desk.begun.Add(1)
	redirect(x, l.provider.LoginURL(endpoints, &openid.Visit{Redirect: at.origin + l.set.RedirectPath, Scopes: l.set.Scopes, State: a.State, Nonce: a.Nonce,
		Verifier: a.Verifier, MaxAge: l.set.maxAge, More: l.set.Parameters}))
}

// redirect sends a browser on. Where it was does not show in the Referer field there, since it may hold a code.
func redirect(x *exchange.Exchange, to string) {
	status := 302
	if x.Request.Method == "POST" {
		status = 303
	}
	x.Respond(status, "", nil)
	h := &x.Response.Header
	h.Append(exchange.Location, exchange.Location.String(), to)
	h.Append(exchange.CacheControl, exchange.CacheControl.String(), "no-store")
	h.Append(exchange.Other, "Referrer-Policy", "no-referrer")
}
