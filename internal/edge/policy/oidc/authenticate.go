package oidc

import (
	"context"
	"strings"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/session"
	"straum.dev/straum/internal/token"
)

// visit is what the policy keeps on an exchange until step 9, and for Hide.
type visit struct {
	cookies []string // values of Set-Cookie
	// inUse is the session that was accepted; it is sealed again when touch says so.
	inUse   *session.Session
	touch   bool
	values  []string // for the fields of the settings, in their order
	forward string   // token for the endpoint
	fault   *fault.Fault
}

func of(x *exchange.Exchange) *visit {
	v, _ := x.Session.(*visit)
	if v == nil {
		v = &visit{}
		x.Session = v
	}
	return v
}

// Conceal implements policy.Concealer: no log shows a code, however much it is to tell, and no other method sees it.
func (l *login) Conceal(x *exchange.Exchange) {
	if x.Request.Path == l.set.RedirectPath {
		x.Request.Query = ""
	}
}

// Serve implements policy.Owner.
func (l *login) Serve(x *exchange.Exchange) {
	switch x.Request.Path {
	case l.set.RedirectPath:
		l.callback(x)
	case l.set.LoginPath:
		l.ask(x)
	case l.set.LogoutPath:
		l.logout(x)
	}
}

// Authenticate implements policy.Authenticator. A session that is over, or cannot be read, is as if it were not there: it is no sign of an
// attack.
func (l *login) Authenticate(x *exchange.Exchange) policy.Finding {
	now := l.now()
	looked := l.look(x)
	o, word := l.open(&looked, now)
	if o == nil {
		if word != "" {
			x.Judge(name, word)
		}
		return policy.Nothing
	}
	s := o.session
	renewed, word := l.renewed(x, s, now)
	if renewed == nil {
		x.Judge(name, word)
		if word == wordUnavailable {
			l.refuse(x, fault.New(fault.AuthUnavailable, errCannotRenew))
		}
		return policy.Nothing
	}
	who := o.who
	if renewed != s {
		who, word = l.who(renewed)
	}
	known, ok := l.consumer(who)
	if word == "" && !ok {
		word = "no_consumer"
	}
	if word != "" {
		x.Judge(name, word)
		return policy.Refused
	}
	v := of(x)
	v.inUse, v.values, v.forward = renewed, who.values, ""
	switch l.set.Forward {
	case "access_token":
		v.forward = renewed.Access
	case "id_token":
		v.forward = compact(renewed)
	}
	if renewed != s {
		l.keep(x, renewed, now)
	} else {
		v.touch = l.set.Idle > 0 && now.Unix()-s.Seen >= max(1, int64(time.Duration(l.set.Idle).Seconds())/10)
	}
	x.Caller = who.caller
	x.Caller.Consumer = known
	return policy.Accepted
}

// open opens the session that a request shows. Without one the word says why, and is empty when nothing was shown.
func (l *login) open(looked *shown, now time.Time) (*opened, string) {
	if !looked.session.Any() {
		return nil, ""
	}
	text, ok := looked.session.Text()
	if !ok {
		return nil, "unreadable"
	}
	o := l.recent.get(text)
	if o == nil {
		if o = l.unseal(text); o == nil {
			return nil, "unreadable"
		}
		l.recent.put(o)
	}
	if word := l.set.over(o.session, now.Unix()); word != "" {
		return nil, word
	}
	if l.desk.ended.has(o.session.ID, now.Unix()) {
		return nil, "logged_out"
	}
	return o, ""
}

// unseal is nil for what is no session of this client.
func (l *login) unseal(text string) *opened {
	content, ok := l.sessions.Open(l.bound(), text)
	if !ok {
		return nil
	}
	s, ok := session.ReadSession(content)
	if !ok {
		return nil
	}
	who, word := l.who(s)
	if word != "" {
		return nil
	}
	return &opened{text: strings.Clone(text), session: s, who: who}
}

// bound is what sessions and attempts are sealed for.
func (l *login) bound() string { return l.set.identity }

// over says why a session is not good any more, or nothing when it is.
func (s *settings) over(in *session.Session, now int64) string {
	skew := int64(time.Duration(s.Skew).Seconds())
	switch {
	case now >= in.Created+int64(time.Duration(s.Lifetime).Seconds()), in.Created > now+skew:
		return "session_expired"
	case s.Idle > 0 && now >= in.Seen+int64(time.Duration(s.Idle).Seconds()):
		return "session_idle"
	case in.Refresh == "" && s.Forward != "none" && in.TokenExpires != 0 && now >= in.TokenExpires:
		return "token_expired"
	}
	return ""
}

// person is whom a session belongs to. It is immutable.
type person struct {
	caller exchange.Caller // without the consumer, who is another with another revision
	values []string        // for the fields of the settings
}

// who reads the claims of a session. With a word there is nobody who may call.
func (l *login) who(s *session.Session) (*person, string) {
	claims, err := token.Object([]byte(s.Claims))
	if err != nil {
		return nil, "malformed"
	}
	p := &person{caller: exchange.Caller{Credential: s.ID, Issuer: l.set.Issuer, Client: l.set.ClientID, Claims: claims}}
	c := &p.caller
	if c.Subject, _ = claims["sub"].(string); c.Subject == "" || !exchange.FitsField(c.Subject) {
		return nil, "subject"
	}
	if c.ScopeList = s.Scope; s.Scope != "" {
		c.Scopes = strings.Split(s.Scope, " ")
	}
	if len(l.set.headers) == 0 {
		return p, ""
	}
	p.values = make([]string, len(l.set.headers))
	for i, h := range l.set.headers {
		v, there := token.Lookup(claims, h.claim)
		if !there || v == nil {
			continue
		}
		text, ok := token.Text(v)
		if !ok || !exchange.FitsField(text) {
			return nil, "claim" // an endpoint that does not see it could take this for somebody else
		}
		p.values[i] = text
	}
	return p, ""
}

// consumer is whom the configuration knows a person as, and whether that person may call.
func (l *login) consumer(p *person) (*consumer.Consumer, bool) {
	if l.set.ConsumerClaim == "" || p == nil {
		return nil, true
	}
	if v, there := token.Lookup(p.caller.Claims, l.set.ConsumerClaim); there {
		if id, ok := v.(string); ok {
			if c := l.consumers.Consumer(id); c != nil {
				return c, true
			}
		}
	}
	return nil, !l.set.ConsumerRequired
}

// keep seals a session into cookies of the answer. One that is too large does without the ID token, which is needed for a polite logout
// only, unless endpoints want it.
func (l *login) keep(x *exchange.Exchange, s *session.Session, now time.Time) bool {
	pieces, err := session.Split(l.sessions.Seal(l.bound(), s.Append(nil)))
	if err != nil && s.IDToken != "" && l.set.Forward != "id_token" {
		less := *s
		less.IDToken = ""
		pieces, err = session.Split(l.sessions.Seal(l.bound(), less.Append(nil)))
	}
	if err != nil {
		x.Judge(name, "too_large")
		return false
	}
	age := s.Created + int64(time.Duration(l.set.Lifetime).Seconds()) - now.Unix()
	if idle := int64(time.Duration(l.set.Idle).Seconds()); idle > 0 {
		age = min(age, idle)
	}
	v, cookie, secure := of(x), l.cookie(x), l.at(x).secure
	for i, piece := range pieces {
		v.cookies = append(v.cookies, session.Line(session.PieceName(cookie, i), piece, max(age, 1), secure))
	}
	looked := l.look(x)
	for i := len(pieces); i < session.MaxPieces; i++ {
		if looked.session.Shown(i) {
			v.cookies = append(v.cookies, session.Line(session.PieceName(cookie, i), "", 0, secure))
		}
	}
	return true
}

// Response implements policy.Response: it tells a person what went wrong, and sets the cookies of this exchange. No cache may keep them
// for others.
func (l *login) Response(x *exchange.Exchange) {
	v, _ := x.Session.(*visit)
	if v == nil {
		return
	}
	v.told(x)
	if v.touch && !l.desk.renewing(v.inUse.Refresh) { // a renewal that came between has the newer session
		now := l.now()
		s := *v.inUse
		s.Seen = now.Unix()
		l.keep(x, &s, now)
	}
	if len(v.cookies) == 0 {
		return
	}
	h := &x.Response.Header
	for _, line := range v.cookies {
		h.Append(exchange.SetCookie, exchange.SetCookie.String(), line)
	}
	if x.Response.Own {
		h.Set(exchange.CacheControl, "no-store")
	} else if told, _ := h.Get(exchange.CacheControl); !strings.Contains(told, "no-store") && !strings.Contains(told, "private") {
		h.Set(exchange.CacheControl, "private, no-cache")
	}
}

// patience is how long this exchange waits for the provider.
func (l *login) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Duration(l.set.Timeout))
}
