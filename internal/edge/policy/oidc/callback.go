package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/openid"
	"straum.dev/straum/internal/session"
	"straum.dev/straum/internal/token"
)

// longestCode is how long a code may be, in bytes.
const longestCode = 4096

// answer is what a browser brings back from the provider.
type answer struct{ state, code, issuer, err string }

// readAnswer reads the query of a callback. A parameter that is there twice could be read in two ways.
func readAnswer(query string) (a answer, ok bool) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return a, false
	}
	for name, into := range map[string]*string{"state": &a.state, "code": &a.code, "iss": &a.issuer, "error": &a.err} {
		switch len(q[name]) {
		case 0:
		case 1:
			*into = q[name][0]
		default:
			return a, false
		}
	}
	return a, len(a.state) >= stateInName && len(a.state) <= longestState && len(a.code) <= longestCode && (a.code != "") != (a.err != "")
}

// callback ends an attempt: the browser is back from the provider. It fails or sends the browser where it wanted to go, and never to the
// provider again.
func (l *login) callback(x *exchange.Exchange) {
	if x.Request.Method != "GET" {
		l.refuse(x, &fault.Fault{Kind: fault.MethodNotAllowed, Allow: "GET"})
		return
	}
	now := l.now()
	_, query, _ := strings.Cut(x.Request.Target, "?") // Conceal has taken it out of Query
	a, ok := readAnswer(query)
	if !ok {
		l.fail(x, fault.LoginFailed, "bad_callback", nil)
		return
	}
	at := l.at(x)
	begun, word := l.begun(x, a.state)
	if begun == nil {
		l.fail(x, fault.LoginFailed, word, nil)
		return
	}
	if !l.places.redeem(x.Client) {
		l.failWith(x, "busy", &fault.Fault{Kind: fault.AuthUnavailable, RetryAfter: 1, Cause: errBusy}) // the same answer is good in a moment
		return
	}
	defer l.places.leaveRedeem(x.Client)
	if word = l.use(x, begun, at, now); word != "" {
		l.fail(x, fault.LoginFailed, word, nil)
		return
	}
	ctx, cancel := l.patience()
	defer cancel()
	endpoints, err := l.provider.Endpoints(ctx, now)
	switch {
	case err != nil:
		l.fail(x, fault.AuthUnavailable, "provider_unavailable", err)
	case a.issuer != "" && a.issuer != l.set.Issuer, a.issuer == "" && endpoints.NamesItself:
		l.fail(x, fault.LoginFailed, "other_issuer", errOtherIssuer) // RFC 9207 §2.4
	case a.err != "":
		l.providerFailed(x, a.err)
	default:
		l.redeem(ctx, x, endpoints, begun, a.code, at, now)
	}
}

var (
	errOtherIssuer = errors.New("the answer is not of the provider that was asked, or does not say so")
	errBusy        = errors.New("as many logins as allowed wait for the provider")
)

// begun finds the attempt that an answer belongs to.
func (l *login) begun(x *exchange.Exchange, state string) (*session.Attempt, string) {
	cookie := l.attemptCookie(x, state)
	looked := l.look(x)
	for _, one := range looked.attempts {
		if one.cookie != cookie {
			continue
		}
		content, ok := l.attempts.Open(l.bound(), one.text)
		if !ok {
			return nil, "bad_state"
		}
		a, ok := session.ReadAttempt(content)
		if !ok || subtle.ConstantTimeCompare([]byte(a.State), []byte(state)) != 1 {
			return nil, "bad_state"
		}
		return a, ""
	}
	return nil, "unknown_state"
}

// use ends an attempt, whatever comes of it. The word says why it is of no use any more.
func (l *login) use(x *exchange.Exchange, a *session.Attempt, at site, now time.Time) string {
	v := of(x)
	v.cookies = append(v.cookies, session.Line(l.attemptCookie(x, a.State), "", 0, at.secure))
	ends := a.Created + int64(attemptLasts.Seconds())
	switch {
	case now.Unix() >= ends:
		return "attempt_expired"
	case !l.desk.used.add(a.State, ends, now.Unix()):
		return "replayed"
	}
	return ""
}

// providerFailed ends an attempt that the provider says has failed (RFC 6749 §4.1.2.1).
func (l *login) providerFailed(x *exchange.Exchange, word string) {
	cause := errors.New("the provider says " + openid.ErrorWord(word))
	switch word {
	case "access_denied":
		l.failWith(x, "access_denied", &fault.Fault{Kind: fault.Forbidden, Detail: "The provider does not let this person in here, or the login was called off.", Cause: cause})
	case "temporarily_unavailable", "server_error":
		l.fail(x, fault.AuthUnavailable, "provider_unavailable", cause)
	default:
		l.fail(x, fault.LoginFailed, "provider_error", cause)
	}
}

// redeem makes a session of a code.
func (l *login) redeem(ctx context.Context, x *exchange.Exchange, endpoints *openid.Endpoints, begun *session.Attempt, code string, at site, now time.Time) {
	grant, err := l.provider.Redeem(ctx, endpoints, code, begun.Verifier, at.origin+l.set.RedirectPath)
	var refused *openid.Refused
	switch {
	case errors.As(err, &refused):
		l.fail(x, fault.LoginFailed, "code_refused", err)
		return
	case err != nil:
		l.fail(x, fault.AuthUnavailable, "provider_unavailable", err)
		return
	}
	id, reason := l.provider.Identify(ctx, grant.ID, &openid.Expectation{Nonce: begun.Nonce, Access: grant.Access, MaxAge: l.set.maxAge}, l.now())
	switch {
	case reason == openid.NoKeys:
		l.fail(x, fault.AuthUnavailable, string(reason), errNoKeys)
		return
	case reason != token.Good:
		l.fail(x, fault.LoginFailed, string(reason), errIDToken)
		return
	}
	s := &session.Session{ID: strings.ToLower(rand.Text()), Created: now.Unix(), Scope: strings.Join(l.set.Scopes, " ")}
	if !l.fill(s, grant, id, l.now()) {
		l.fail(x, fault.LoginFailed, "malformed", errIDToken)
		return
	}
	who, word := l.who(s)
	if _, ok := l.consumer(who); word == "" && !ok {
		word = "no_consumer"
	}
	if word != "" {
		x.Signals |= exchange.Forbidden
		l.fail(x, fault.Forbidden, word, nil)
		return
	}
	if !l.keep(x, s, now) {
		l.fail(x, fault.LoginTooLarge, "too_large", session.ErrTooLarge)
		return
	}
	x.Judge(name, "login")
	l.desk.logins.Add(1)
	redirect(x, begun.Return)
}

var (
	errNoKeys  = errors.New("the provider's keys could not be fetched")
	errIDToken = errors.New("the provider's ID token is not good; the verdict says why")
)

// fill puts what the provider gave into a session: what is asked for later and nothing more.
func (l *login) fill(s *session.Session, grant *openid.Grant, id *token.Token, now time.Time) bool {
	s.Seen = now.Unix()
	if grant.Scope != "" {
		s.Scope = strings.Join(strings.Fields(grant.Scope), " ")
	}
	var ends time.Time // of what is forwarded, or else of the access token
	if grant.Lifetime > 0 {
		ends = now.Add(grant.Lifetime)
	}
	if id != nil {
		head, rest, _ := strings.Cut(grant.ID, ".")
		claims, signature, ok := strings.Cut(rest, ".")
		text, err := base64.RawURLEncoding.DecodeString(claims)
		if !ok || err != nil {
			return false
		}
		s.Claims, s.IDToken = string(text), head+"."+signature
		if l.set.Forward == "id_token" {
			ends = id.Expires
		}
	}
	if l.set.Forward == "access_token" {
		s.Access = grant.Access
	}
	if l.set.Refresh && grant.Refresh != "" {
		s.Refresh = grant.Refresh
	}
	if id == nil && l.set.Forward == "id_token" {
		s.Refresh, s.RenewAt = "", 0 // this provider renews no ID tokens: the session ends with the one it has
		return true
	}
	s.TokenExpires, s.RenewAt = 0, 0
	if !ends.IsZero() {
		lasts := ends.Sub(now)
		s.TokenExpires = ends.Unix()
		s.RenewAt = ends.Add(-min(time.Minute, lasts/5)).Unix()
	}
	return true
}

// compact is the ID token of a session as it was issued, empty when it was not kept.
func compact(s *session.Session) string {
	head, signature, ok := strings.Cut(s.IDToken, ".")
	if !ok {
		return ""
	}
	return head + "." + base64.RawURLEncoding.EncodeToString([]byte(s.Claims)) + "." + signature
}

func (l *login) fail(x *exchange.Exchange, kind *fault.Kind, word string, cause error) {
	l.failWith(x, word, fault.New(kind, cause))
}

func (l *login) failWith(x *exchange.Exchange, word string, f *fault.Fault) {
	x.Judge(name, word)
	l.desk.failures.Add(1)
	l.refuse(x, f)
}
