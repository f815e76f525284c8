package oidc

import (
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/session"
)

// logout ends the session of a browser, here and at the provider. A page of another origin cannot make a browser do it.
func (l *login) logout(x *exchange.Exchange) {
	at := l.at(x)
	switch {
	case x.Request.Method != "GET" && x.Request.Method != "POST":
		l.refuse(x, &fault.Fault{Kind: fault.MethodNotAllowed, Allow: "GET, POST"})
		return
	case !isOwn(x, at.origin):
		x.Judge(name, "foreign_logout")
		l.refuse(x, &fault.Fault{Kind: fault.Forbidden, Detail: "A page of another site may not log people out here. Log out on a page of this site."})
		return
	}
	now := l.now()
	looked := l.look(x)
	var s *session.Session
	if o, _ := l.open(&looked, now); o != nil {
		s = o.session
	}
	v, cookie := of(x), l.cookie(x)
	for i := range session.MaxPieces {
		if looked.session.Shown(i) {
			v.cookies = append(v.cookies, session.Line(session.PieceName(cookie, i), "", 0, at.secure))
		}
	}
	for _, a := range looked.attempts {
		v.cookies = append(v.cookies, session.Line(a.cookie, "", 0, at.secure))
	}
	hint := ""
	if s != nil {
		hint = compact(s)
		l.desk.ended.add(s.ID, s.Created+int64(time.Duration(l.set.Lifetime).Seconds()), now.Unix())
	}
	x.Judge(name, "logout")
	l.leave(x, s, hint, at)
}

// leave sends the browser on to the provider, if that has a page for it and can be asked where it is.
func (l *login) leave(x *exchange.Exchange, s *session.Session, hint string, at site) {
	after := l.set.PostLogout
	if isLocal(after) {
		after = at.origin + after
	}
	ctx, cancel := l.patience()
	defer cancel()
	endpoints, err := l.provider.Endpoints(ctx, l.now())
	if err == nil && s != nil && s.Refresh != "" {
		revoked := l.places.revoke()
		if revoked {
			revoked = l.provider.Revoke(ctx, endpoints, s.Refresh) == nil
			l.places.leaveRevoke()
		}
		if !revoked {
			x.Judge(name, "not_revoked")
		}
	}
	switch {
	case err == nil && endpoints.EndSession != nil:
		redirect(x, l.provider.LogoutURL(endpoints, hint, after))
	case after != "":
		redirect(x, after)
	default:
		x.Respond(200, "text/plain; charset=utf-8", []byte("You are logged out.\n"))
	}
}

// isOwn says whether a page of this origin, or the person in front of the browser, made the request. Browsers say so in Sec-Fetch-Site; those
// that do not, in Origin or Referer.
func isOwn(x *exchange.Exchange, origin string) bool {
	h := &x.Request.Header
	if from, ok := h.Header("Sec-Fetch-Site"); ok {
		return from == "same-origin" || from == "none"
	}
	if from, ok := h.Get(exchange.Origin); ok {
		return from == origin
	}
	from, ok := h.Get(exchange.Referer)
	return ok && len(from) > len(origin) && from[:len(origin)] == origin && from[len(origin)] == '/'
}
