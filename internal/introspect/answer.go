package introspect

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"straum.dev/straum/internal/token"
)

// Answer is what a server said of a token (RFC 7662 §2.2). It is immutable and shared. Of one that is not active, only Why counts.
type Answer struct {
	Active bool
	// Why is the word for an inactive one: inactive, expired, not_yet, unfit (a value could not stand in a header field) or wrong_type (a
	// refresh token).
	Why                                            string
	Subject, Issuer, Client, Username, Type, JWTID string
	Audience                                       []string
	Scopes                                         []string
	ScopeList                                      string // Scopes joined by spaces
	Expires                                        int64  // Unix seconds; 0 when the server does not say
	// Claims is everything the server said. Numbers are json.Number.
	Claims map[string]any
	// Holder is who alone may show the token.
	Holder token.Holder

	until, stale int64 // Unix nanoseconds: fresh before until, and good in need before stale
	size         uint32
}

func (a *Answer) fresh(now int64) bool { return now < a.until }

// The longest answer read, and the furthest date taken for one: 2^53, the last whole number that every reader of JSON agrees on.
const (
	maxAnswer = 64 << 10
	maxDate   = 1 << 53
	// skew is how far ahead of ours the server's clock may be, for tokens that are not good yet.
	skew = 60 * time.Second
)

// read reads an answer, and settles how long it is good. What is not as the RFC says is an error: nothing in it can be relied on then.
func (s *Settings) read(body []byte, now time.Time) (*Answer, error) {
	if len(body) > maxAnswer {
		return nil, unusable("its answer is longer than %d bytes", maxAnswer)
	}
	claims, err := token.Object(body)
	if err != nil {
		return nil, unusable("its answer is not a JSON object as it should be: %v", err)
	}
	active, is := claims["active"].(bool)
	if !is {
		return nil, unusable("its answer has no active that is true or false")
	}
	if !active {
		return s.inactive("inactive", now), nil
	}
	a := &Answer{Active: true, Claims: claims, size: uint32(512 + 4*len(body))}
	for name, into := range map[string]*string{"sub": &a.Subject, "iss": &a.Issuer, "client_id": &a.Client, "username": &a.Username,
		"token_type": &a.Type, "jti": &a.JWTID, "scope": &a.ScopeList} {
		if err := text(claims, name, into); err != nil {
			return nil, err
		}
	}
	if a.Audience, err = texts(claims, "aud"); err != nil {
		return nil, err
	}
	var notBefore, issued int64
	for name, into := range map[string]*int64{"exp": &a.Expires, "nbf": &notBefore, "iat": &issued} {
		if err := date(claims, name, into); err != nil {
			return nil, err
		}
	}
	a.Scopes = strings.FieldsFunc(a.ScopeList, func(r rune) bool { return r == ' ' })
	a.ScopeList = strings.Join(a.Scopes, " ")
	a.Holder = token.HolderOf(claims)
	return s.judge(a, notBefore, now), nil
}

// judge takes an active answer for what it is worth, and settles how long.
func (s *Settings) judge(a *Answer, notBefore int64, now time.Time) *Answer {
	_, hasEnd := a.Claims["exp"]
	end := time.Unix(a.Expires, 0)
	switch {
	case hasEnd && !end.After(now):
		return s.inactive("expired", now)
	case notBefore > now.Add(skew).Unix():
		return s.inactive("not_yet", now)
	case a.Claims["token_use"] == "refresh_token", strings.EqualFold(a.Type, "refresh_token"):
		return s.inactive("wrong_type", now) // servers answer for those too, and they are not for us
	case !fit(a.Subject) || !fit(a.Issuer) || !fit(a.Client) || !fit(a.ScopeList):
		return s.inactive("unfit", now)
	}
	a.until = now.Add(s.TTL).UnixNano()
	a.stale = now.Add(s.TTL + s.ServeStale).UnixNano()
	if hasEnd && end.Before(now.Add(s.TTL+s.ServeStale)) { // else it is too far away for nanoseconds
		a.until, a.stale = min(a.until, end.UnixNano()), min(a.stale, end.UnixNano())
	}
	return a
}

// inactive is the answer for a token that is not good.
func (s *Settings) inactive(why string, now time.Time) *Answer {
	return &Answer{Why: why, until: now.Add(s.InactiveTTL).UnixNano()}
}

func text(claims map[string]any, name string, into *string) error {
	v, there := claims[name]
	if !there || v == nil {
		return nil
	}
	var is bool
	if *into, is = v.(string); !is {
		return unusable("its answer has a %s that is no string", name)
	}
	return nil
}

func texts(claims map[string]any, name string) ([]string, error) {
	switch v := claims[name].(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		out := make([]string, 0, len(v))
		for _, item := range v {
			one, is := item.(string)
			if !is {
				return nil, unusable("its answer has a %s with what is no string", name)
			}
			out = append(out, one)
		}
		return out, nil
	}
	return nil, unusable("its answer has a %s that is neither a string nor a list", name)
}

// date reads seconds since 1970, with or without a fraction.
func date(claims map[string]any, name string, into *int64) error {
	v, there := claims[name]
	if !there || v == nil {
		delete(claims, name)
		return nil
	}
	number, is := v.(json.Number)
	if is {
		if f, err := number.Float64(); err == nil && f >= 0 && f <= maxDate {
			*into = int64(math.Floor(f))
			return nil
		}
	}
	return unusable("its answer has an %s that is no date in seconds", name)
}

// fit says whether text may stand in a header field (RFC 9110 §5.5).
func fit(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return text == "" || text[0] != ' ' && text[len(text)-1] != ' '
}
