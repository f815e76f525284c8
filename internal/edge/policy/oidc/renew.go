package oidc

import (
	"errors"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/openid"
	"straum.dev/straum/internal/session"
	"straum.dev/straum/internal/token"
)

var errCannotRenew = errors.New("the token for the endpoint has run out, and the provider cannot be asked for another")

const wordUnavailable = "provider_unavailable"

// renewed gives the session itself while its tokens are fresh, and one with new tokens otherwise. Nil is a session that is over, or with
// wordUnavailable one that cannot be used at the moment.
//
// A refresh token is good once with providers that rotate them, and who shows it twice is taken for a thief (RFC 9700 §4.14.2). So one request
// of a session asks, and all that come with the same token, even a while later, get what it was given.
func (l *login) renewed(x *exchange.Exchange, s *session.Session, now time.Time) (*session.Session, string) {
	for range 3 { // the session that another request was given may be due again
		if s.Refresh == "" || s.RenewAt == 0 || now.Unix() < s.RenewAt {
			return s, ""
		}
		expired := l.set.Forward != "none" && now.Unix() >= s.TokenExpires
		f, mine := l.desk.board(s.Refresh, now, l.places)
		switch {
		case f == nil: // as many renewals as allowed are under way
			if expired {
				return nil, wordUnavailable
			}
			return s, ""
		case mine:
			if l.fly(f, s); f.err == nil {
				x.Judge(name, "renewed")
			}
		case !expired && !f.landed():
			return s, "" // somebody is at it, and what there is will do
		}
		<-f.done // who flies ends within the patience of a request
		var refused *openid.Refused
		switch {
		case errors.As(f.err, &refused):
			return nil, "refresh_refused"
		case f.err != nil && expired:
			return nil, wordUnavailable
		case f.err != nil:
			return s, ""
		}
		s = f.session
	}
	return s, ""
}

// fly makes a renewal. It lands whatever happens, since others wait for it.
func (l *login) fly(f *flight, s *session.Session) {
	var next *session.Session
	err := errors.New("BUG: panic while a session was renewed")
	defer func() { l.desk.land(f, next, err, l.now()) }()
	next, err = l.renew(s)
}

// renew asks for new tokens. A session of somebody else is not taken.
func (l *login) renew(s *session.Session) (*session.Session, error) {
	ctx, cancel := l.patience()
	defer cancel()
	endpoints, err := l.provider.Endpoints(ctx, l.now())
	if err != nil {
		return nil, err
	}
	grant, err := l.provider.Renew(ctx, endpoints, s.Refresh)
	if err != nil {
		return nil, err
	}
	var id *token.Token
	if grant.ID != "" {
		claims, err := token.Object([]byte(s.Claims))
		if err != nil {
			return nil, &openid.Refused{Code: "unreadable"}
		}
		subject, _ := claims["sub"].(string)
		var reason token.Reason
		if id, reason = l.provider.Identify(ctx, grant.ID, &openid.Expectation{Subject: subject, Access: grant.Access, MaxAge: -1}, l.now()); reason == openid.NoKeys {
			return nil, errNoKeys
		} else if reason != token.Good {
			return nil, &openid.Refused{Code: string(reason)}
		}
	}
	next := *s
	if !l.fill(&next, grant, id, l.now()) {
		return nil, &openid.Refused{Code: "malformed"}
	}
	return &next, nil
}

func isRefused(err error) bool {
	var refused *openid.Refused
	return errors.As(err, &refused)
}
