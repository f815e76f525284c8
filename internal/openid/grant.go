package openid

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/token"
)

// Grant is what the token endpoint gives.
type Grant struct {
	Access  string
	Refresh string // empty when there is none, or the one shown goes on to be good
	ID      string // ID token; empty when a refresh brings no new one
	Scope   string // granted, in words; empty when it is what was asked for
	// Lifetime is how long Access is good, 0 when the provider does not say.
	Lifetime time.Duration
}

// Refused is a code or a refresh token that the provider does not take. Code is the word of RFC 6749 §5.2, and no secret.
type Refused struct{ Code string }

func (r *Refused) Error() string { return "the provider refuses: " + r.Code }

// maxToken is how long a token of an answer may be, in bytes. A session does not take more.
const maxToken = 16 << 10

// Redeem gives a code for tokens.
func (p *Provider) Redeem(ctx context.Context, e *Endpoints, code, verifier, redirect string) (*Grant, error) {
	g, err := p.ask(ctx, e, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {redirect}})
	if err == nil && g.ID == "" {
		return nil, unavailable(errors.New("its token endpoint gave no id_token; the scope openid asks for one"))
	}
	return g, err
}

// Renew gives a refresh token for new tokens.
func (p *Provider) Renew(ctx context.Context, e *Endpoints, refresh string) (*Grant, error) {
	return p.ask(ctx, e, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
}

// Revoke tells the provider that a refresh token will not be used again, if it wants to know.
func (p *Provider) Revoke(ctx context.Context, e *Endpoints, refresh string) error {
	if e.Revocation == nil {
		return nil
	}
	r, err := p.post(ctx, e, e.Revocation, url.Values{"token": {refresh}, "token_type_hint": {"refresh_token"}})
	if err == nil && r.Status != 200 {
		err = fmt.Errorf("POST %s: the answer has status %d", fetch.Place(e.Revocation), r.Status)
	}
	return err
}

func (p *Provider) ask(ctx context.Context, e *Endpoints, form url.Values) (*Grant, error) {
	r, err := p.post(ctx, e, e.Token, form)
	if err != nil {
		return nil, unavailable(err)
	}
	g, err := readGrant(r)
	var refused *Refused
	if err != nil && !errors.As(err, &refused) {
		return nil, unavailable(fmt.Errorf("POST %s: %w", fetch.Place(e.Token), err))
	}
	return g, err
}

func (p *Provider) post(ctx context.Context, e *Endpoints, to *url.URL, form url.Values) (fetch.Response, error) {
	header := fetch.Header{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}, {Name: "Accept", Value: "application/json"}}
	switch s := &p.settings; {
	case s.Secret == "":
		form.Set("client_id", s.Client)
	case s.Auth == Post || s.Auth == Auto && e.postOnly:
		form.Set("client_id", s.Client)
		form.Set("client_secret", s.Secret)
	default:
		pair := url.QueryEscape(s.Client) + ":" + url.QueryEscape(s.Secret)
		header = append(header, fetch.Field{Name: "Authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))})
	}
	return p.settings.Fetch.Do(ctx, fetch.Request{Method: "POST", URL: to, Header: header, Body: []byte(form.Encode())})
}

// readGrant reads the answer of a token endpoint (RFC 6749 §5).
func readGrant(r fetch.Response) (*Grant, error) {
	if r.Status != 200 {
		return nil, readError(r)
	}
	all, err := token.Object(r.Body)
	if err != nil {
		return nil, fmt.Errorf("the answer is not the JSON it should be: %w", err)
	}
	g := &Grant{}
	var kind string
	for name, into := range map[string]*string{"access_token": &g.Access, "refresh_token": &g.Refresh, "id_token": &g.ID, "scope": &g.Scope, "token_type": &kind} {
		v, there := all[name]
		if !there || v == nil {
			continue
		}
		text, ok := v.(string)
		if !ok || !fits(text) {
			return nil, fmt.Errorf("the answer's %s is no text of at most %d visible characters", name, maxToken)
		}
		*into = text
	}
	switch {
	case g.Access == "":
		return nil, errors.New("the answer has no access_token")
	case !strings.EqualFold(kind, "bearer"):
		return nil, errors.New("the answer's token_type is not Bearer")
	}
	g.Lifetime = lifetime(all["expires_in"])
	return g, nil
}

// fits says whether a text may stand in a field and a cookie: visible ASCII, and spaces within.
func fits(text string) bool {
	if len(text) > maxToken || text != strings.Trim(text, " ") {
		return false
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// lifetime reads expires_in: seconds, which some providers write as a text.
func lifetime(v any) time.Duration {
	number, _ := v.(json.Number)
	if text, ok := v.(string); ok {
		number = json.Number(text)
	}
	const most = 10 * 365 * 24 * 3600
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil || !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, most)) * time.Second
}

// readError tells a code or token that is not good from a provider or a configuration that is not.
func readError(r fetch.Response) error {
	word := ""
	if all, err := token.Object(r.Body); err == nil {
		word, _ = all["error"].(string)
	}
	switch {
	case r.Status >= 400 && r.Status < 500 && word == "invalid_grant":
		return &Refused{word}
	case r.Status == 401 || word == "invalid_client" || word == "unauthorized_client":
		return fmt.Errorf("the answer has status %d: it does not take client_id and client_secret; compare them with the provider's, and try another client_auth", r.Status)
	}
	return fmt.Errorf("the answer has status %d%s; it has to be 200", r.Status, named(word))
}

// named is an error word of the provider, if it is one, for people.
func named(word string) string {
	if ErrorWord(word) == "" {
		return ""
	}
	return " (" + word + ")"
}

// ErrorWord is the word as it is, when it is made like those of RFC 6749: at most 64 of a-z, 0-9 and _. Otherwise it is empty.
func ErrorWord(word string) string {
	if len(word) > 64 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return ""
	}
	return word
}
