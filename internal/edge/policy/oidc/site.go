package oidc

import (
	"net/netip"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/session"
)

// hostPrefix makes browsers refuse a cookie that another host, or a page that was not loaded by TLS, has set (RFC 6265bis §4.1.3.2).
const hostPrefix = "__Host-"

// site is the gateway as the browser of a request sees it.
type site struct {
	origin string // https://app.example.com
	secure bool
	// fit says that sessions are safe there: by TLS, or on this box.
	fit bool
}

func newSite(scheme, host, origin string) site {
	return site{origin, scheme == "https", scheme == "https" || isLoopback(host)}
}

// at is the site of a request.
func (l *login) at(x *exchange.Exchange) site {
	if l.set.origin != nil {
		return *l.set.origin
	}
	q := &x.Request
	origin := q.Scheme + "://" + q.Host
	if q.Port != "" {
		origin += ":" + q.Port
	}
	return newSite(q.Scheme, q.Host, origin)
}

// cookie is the name of the session's cookie. Browsers take neither the prefix nor Secure without TLS.
func (l *login) cookie(x *exchange.Exchange) string {
	secure := l.set.origin != nil && l.set.origin.secure || l.set.origin == nil && (x.Request.Scheme == "https" || !isLoopback(x.Request.Host))
	if secure {
		return l.set.cookie
	}
	return strings.TrimPrefix(l.set.cookie, hostPrefix)
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// attemptCookie is the name of the cookie of an attempt.
func (l *login) attemptCookie(x *exchange.Exchange, state string) string {
	return l.cookie(x) + attemptMark + state[:stateInName]
}

// attemptMark stands between the name of the session's cookie and the beginning of an attempt's state.
const attemptMark = "-login-"

const (
	maxAttempts  = 5 // under way in one browser; each is a tab
	stateInName  = 8 // characters
	maxCookies   = 64
	longestTo    = 2048 // bytes of a path with its query that a browser is sent back to
	longestState = 64
)

// shown is what a request shows of ours.
type shown struct {
	session  session.Pieces
	attempts []attempt // in the browser's order: the oldest first (RFC 6265 §5.4)
}

type attempt struct{ cookie, text string }

// look finds our cookies.
func (l *login) look(x *exchange.Exchange) (s shown) {
	cookie := l.cookie(x)
	fields, seen := x.Request.Header.All(), 0
	for i := range fields {
		if fields[i].Known != exchange.Cookie {
			continue
		}
		session.Each(fields[i].Value, func(name, value string) {
			if s.session.Take(cookie, name, value) {
				return
			}
			if rest, ok := strings.CutPrefix(name, cookie); ok && strings.HasPrefix(rest, attemptMark) && seen < maxCookies {
				seen++
				s.attempts = append(s.attempts, attempt{name, value})
			}
		})
	}
	return s
}

// Reserves implements policy.Reserver.
func (l *login) Reserves() []string {
	names := make([]string, len(l.set.headers))
	for i, h := range l.set.headers {
		names[i] = h.field
	}
	return names
}

// Hide implements policy.Authenticator: endpoints see neither sessions nor attempts.
func (l *login) Hide(x *exchange.Exchange, _ policy.Finding) {
	cookie := l.cookie(x)
	ours := func(name string) bool {
		var p session.Pieces
		return p.Take(cookie, name, "") || strings.HasPrefix(name, cookie+attemptMark)
	}
	var rest []string
	changed := false
	fields := x.Request.Header.All()
	for i := range fields {
		if fields[i].Known != exchange.Cookie {
			continue
		}
		left, found := session.Without(fields[i].Value, ours)
		changed = changed || found
		if left != "" {
			rest = append(rest, left)
		}
	}
	switch {
	case !changed:
	case len(rest) == 0:
		x.Request.Header.Del(exchange.Cookie)
	default:
		x.Request.Header.Set(exchange.Cookie, strings.Join(rest, "; "))
	}
	v, _ := x.Session.(*visit)
	if v == nil {
		return
	}
	for i, h := range l.set.headers {
		if i < len(v.values) && v.values[i] != "" {
			x.Request.Header.Append(exchange.Other, h.field, v.values[i])
		}
	}
	if v.forward != "" {
		x.Request.Header.Set(exchange.Authorization, "Bearer "+v.forward)
	}
}

// isLocal says whether a text is a path of this site, and nothing that a browser would take for another's.
func isLocal(path string) bool {
	if len(path) > longestTo || path == "" || path[0] != '/' || len(path) > 1 && (path[1] == '/' || path[1] == '\\') {
		return false
	}
	for i := range len(path) {
		if path[i] <= ' ' || path[i] > '~' {
			return false
		}
	}
	return true
}
