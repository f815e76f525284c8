package openid

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/fetch"
	"straum.dev/straum/internal/token"
)

// answers is a provider that gives one answer to everything.
type answers struct {
	asked   atomic.Int32
	answer  func() (fetch.Response, error)
	request fetch.Request
}

func (a *answers) Do(_ context.Context, r fetch.Request) (fetch.Response, error) {
	a.asked.Add(1)
	a.request = r
	return a.answer()
}

func says(status int, body string) func() (fetch.Response, error) {
	return func() (fetch.Response, error) { return fetch.Response{Status: status, Body: []byte(body)}, nil }
}

const issuer = "https://id.example"

func document(more string) string {
	return `{"issuer":"https://id.example","authorization_endpoint":"https://id.example/a","token_endpoint":"https://id.example/t","jwks_uri":"https://id.example/j"` + more + `}`
}

func TestEndpoints(t *testing.T) {
	now := time.Now()
	for body, want := range map[string]string{
		document(``):                                                 "",
		document(`,"end_session_endpoint":null`):                     "end_session_endpoint",
		document(`,"end_session_endpoint":"x"`):                      "end_session_endpoint",
		document(`,"revocation_endpoint":"http://169.254.169.254/"`): "revocation_endpoint",
		`{"issuer":"https://id.example","jwks_uri":"https://id.example/j","token_endpoint":"https://id.example/t"}`: "authorization_endpoint",
		`{"issuer":"https://evil.example"}`: "issuer",
	} {
		_, err := New(Settings{Issuer: issuer, Fetch: &answers{answer: says(200, body)}}).Endpoints(t.Context(), now)
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// Many who wait cost one fetch; a failure is remembered for a moment, and what was found before goes on to be good.
func TestEndpointsAreKept(t *testing.T) {
	now := time.Now()
	a := &answers{answer: says(200, document(``))}
	p := New(Settings{Issuer: issuer, Fetch: a})
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if e, err := p.Endpoints(t.Context(), now); err != nil || e.Token.Path != "/t" {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := a.asked.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	a.answer = says(500, "")
	for _, c := range []struct {
		after time.Duration
		asked int32
	}{{freshFor - 1, 1}, {freshFor, 2}, {freshFor + retryAfter - 1, 2}, {freshFor + retryAfter, 3}} {
		if _, err := p.Endpoints(t.Context(), now.Add(c.after)); err != nil || a.asked.Load() != c.asked {
			t.Errorf("after %s: %v, %d fetches, want %d", c.after, err, a.asked.Load(), c.asked)
		}
	}
	down := New(Settings{Issuer: issuer, Fetch: a})
	a.asked.Store(0)
	for range 5 {
		if _, err := down.Endpoints(t.Context(), now); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	}
	if n := a.asked.Load(); n != 1 {
		t.Errorf("%d fetches of one that is down", n)
	}
}

func TestGrant(t *testing.T) {
	e := &Endpoints{Token: &url.URL{Scheme: "https", Host: "id.example", Path: "/t"}}
	for body, want := range map[string]*Grant{
		`{"access_token":"a","token_type":"bearer"}`: {Access: "a"},
		`{"access_token":"a","token_type":"Bearer","expires_in":60,"id_token":"i","scope":"x y","refresh_token":"r","other":{}}`: {Access: "a", ID: "i", Scope: "x y", Refresh: "r", Lifetime: time.Minute},
		`{"access_token":"a","token_type":"Bearer","expires_in":"60"}`:                                                           {Access: "a", Lifetime: time.Minute},
		`{"access_token":"a","token_type":"Bearer","expires_in":-1}`:                                                             {Access: "a"},
		`{"access_token":"a","token_type":"Bearer","expires_in":1e300}`:                                                          {Access: "a", Lifetime: 10 * 365 * 24 * time.Hour},
		`{"access_token":"a","token_type":"Bearer","refresh_token":null}`:                                                        {Access: "a"},
		`{"access_token":"a","access_token":"b","token_type":"Bearer"}`:                                                          nil,
		`{"access_token":"a\r\nX: y","token_type":"Bearer"}`:                                                                     nil,
		`{"access_token":"` + strings.Repeat("a", maxToken+1) + `","token_type":"Bearer"}`:                                       nil,
		`{"access_token":1,"token_type":"Bearer"}`:                                                                               nil,
		`{"access_token":"a","token_type":"mac"}`:                                                                                nil,
		`{"access_token":"a"}`:    nil,
		`{"token_type":"Bearer"}`: nil,
		`[]`:                      nil,
		``:                        nil,
	} {
		p := New(Settings{Client: "c", Fetch: &answers{answer: says(200, body)}})
		g, err := p.Renew(t.Context(), e, "r")
		if want == nil {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%.80s: %+v, %v", body, g, err)
			}
			continue
		}
		if err != nil || *g != *want {
			t.Errorf("%.80s: %+v, %v, want %+v", body, g, err, want)
		}
	}
}

// Who is told no, and who that the provider cannot be asked.
func TestGrantRefused(t *testing.T) {
	e := &Endpoints{Token: &url.URL{Scheme: "https", Host: "id.example", Path: "/t"}}
	for _, c := range []struct {
		answer  func() (fetch.Response, error)
		refused bool
	}{
		{says(400, `{"error":"invalid_grant"}`), true},
		{says(400, `{"error":"invalid_client"}`), false},
		{says(401, `{"error":"invalid_client"}`), false},
		{says(401, ``), false},
		{says(400, `{"error":"invalid_request"}`), false},
		{says(429, ``), false},
		{says(500, `{"error":"invalid_grant"}`), false},
		{says(302, ``), false},
		{func() (fetch.Response, error) { return fetch.Response{}, errors.New("refused") }, false},
	} {
		_, err := New(Settings{Client: "c", Secret: "the-secret", Fetch: &answers{answer: c.answer}}).Redeem(t.Context(), e, "the-code", "the-verifier", "https://x/")
		var refused *Refused
		if err == nil || errors.As(err, &refused) != c.refused || errors.Is(err, ErrUnavailable) == c.refused {
			t.Errorf("%v", err)
		}
		for _, secret := range []string{"the-secret", "the-code", "the-verifier"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%v tells %s", err, secret)
			}
		}
	}
}

func TestClientAuth(t *testing.T) {
	for _, c := range []struct {
		secret   string
		auth     ClientAuth
		postOnly bool
		header   string
		body     string
	}{
		{"s:/&", Auto, false, "Basic YyUyRjE6cyUzQSUyRiUyNg==", ""},
		{"s", Auto, true, "", "client_id=c%2F1&client_secret=s&"},
		{"s", Basic, true, "Basic YyUyRjE6cw==", ""},
		{"s", Post, false, "", "client_id=c%2F1&client_secret=s&"},
		{"", Auto, false, "", "client_id=c%2F1&"},
	} {
		a := &answers{answer: says(200, ``)}
		p := New(Settings{Client: "c/1", Secret: c.secret, Auth: c.auth, Fetch: a})
		_, _ = p.Renew(t.Context(), &Endpoints{Token: &url.URL{Scheme: "https", Host: "x"}, postOnly: c.postOnly}, "r") // what was sent counts
		if got := a.request.Header.Get("Authorization"); got != c.header || string(a.request.Body) != c.body+"grant_type=refresh_token&refresh_token=r" {
			t.Errorf("%+v: sent %q, %s", c, got, a.request.Body)
		}
	}
}

// The example of OpenID Connect Core, appendix A.3.
func TestAccessHash(t *testing.T) {
	if got := accessHash(token.RS256, "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"); got != "77QmUPtjPfzWtF2AnpK9RQ" {
		t.Errorf("got %s", got)
	}
	for a, want := range map[token.Algorithm]int{token.ES256: 22, token.RS384: 32, token.ES512: 43, token.EdDSA: 43} {
		if got := accessHash(a, "x"); len(got) != want {
			t.Errorf("%s: %s", a, got)
		}
	}
}

func TestVisits(t *testing.T) {
	p := New(Settings{Client: "c"})
	at := &url.URL{Scheme: "https", Host: "id.example", Path: "/a", RawQuery: "tenant=1"}
	// The challenge is the example of RFC 7636, appendix B.
	got := p.LoginURL(&Endpoints{Authorization: at}, &Visit{Redirect: "https://x/cb", Scopes: []string{"openid", "email"}, State: "s", Nonce: "n",
		Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", MaxAge: time.Minute, More: map[string]string{"prompt": "a&b"}})
	want := "https://id.example/a?tenant=1&client_id=c&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&max_age=60&nonce=n&prompt=a%26b" +
		"&redirect_uri=https%3A%2F%2Fx%2Fcb&response_type=code&scope=openid+email&state=s"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if at.RawQuery != "tenant=1" {
		t.Error("the endpoint was changed")
	}
	if got := p.LogoutURL(&Endpoints{EndSession: &url.URL{Scheme: "https", Host: "x", Path: "/e"}}, "", ""); got != "https://x/e?client_id=c" {
		t.Errorf("got %s", got)
	}
	for word, want := range map[string]string{"invalid_grant": "invalid_grant", "<b>": "", "a b": "", strings.Repeat("a", 65): ""} {
		if got := ErrorWord(word); got != want {
			t.Errorf("%q: %q", word, got)
		}
	}
}
