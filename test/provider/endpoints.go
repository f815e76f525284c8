package main

import (
	"crypto/rand"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/token/jwt"
)

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"issuer": p.issuer, "authorization_endpoint": p.issuer + "/authorize", "token_endpoint": p.issuer + "/token", "jwks_uri": p.issuer + "/jwks",
		"introspection_endpoint": p.issuer + "/introspect", "revocation_endpoint": p.issuer + "/revoke", "end_session_endpoint": p.issuer + "/logout",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post", "none"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (p *provider) jwks(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	set := jose.JSONWebKeySet{}
	for _, k := range p.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	p.mu.Unlock()
	answer(w, set)
}

// cookie is how a browser that has logged in is known again.
const cookie = "provider"

// authorize shows the login page, unless the browser has logged in before, and sends the browser back with a code.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	request, err := p.oauth.NewAuthorizeRequest(r.Context(), r)
	if err != nil {
		p.oauth.WriteAuthorizeError(r.Context(), w, request, err)
		return
	}
	who, ok := p.known(r)
	if asked := r.URL.Query(); asked.Get("prompt") == "login" || asked.Get("max_age") != "" && ok && time.Since(who.at) > time.Minute {
		ok = false
	}
	if r.Method == http.MethodPost {
		if who, ok = p.login(w, r); !ok {
			page(w, http.StatusUnauthorized, "Wrong name or password", r.URL.RequestURI())
			return
		}
	}
	if !ok {
		if r.URL.Query().Get("prompt") == "none" {
			p.oauth.WriteAuthorizeError(r.Context(), w, request, fosite.ErrLoginRequired)
			return
		}
		page(w, http.StatusOK, "Log in", r.URL.RequestURI())
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	g := newGrant(who.name)
	g.Claims = &jwt.IDTokenClaims{Subject: who.name, AuthTime: who.at, RequestedAt: time.Now(), Extra: map[string]any{
		"email": who.name + "@example.com", "name": "The " + who.name, "groups": []any{"staff", "readers"}}}
	p.mu.Lock()
	maps.Copy(g.Claims.Extra, p.claims)
	iss := p.iss
	p.mu.Unlock()
	response, err := p.oauth.NewAuthorizeResponse(r.Context(), request, g)
	if err != nil {
		p.oauth.WriteAuthorizeError(r.Context(), w, request, err)
		return
	}
	if iss != "-" {
		response.AddParameter("iss", iss)
	}
	p.oauth.WriteAuthorizeResponse(r.Context(), w, request, response)
}

func (p *provider) known(r *http.Request) (login, bool) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return login{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	who, ok := p.loggedIn[c.Value]
	return who, ok
}

func (p *provider) login(w http.ResponseWriter, r *http.Request) (login, bool) {
	if !slices.Contains(p.users, person{r.PostFormValue("user"), r.PostFormValue("password")}) {
		return login{}, false
	}
	value, who := rand.Text(), login{r.PostFormValue("user"), time.Now().Truncate(time.Second)}
	p.mu.Lock()
	p.loggedIn[value] = who
	p.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return who, true
}

func page(w http.ResponseWriter, status int, title, action string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<!doctype html><title>%s</title><h1 id="title">%[1]s</h1><form method="post" action="%s">
<input id="user" name="user"><input id="password" name="password" type="password"><button id="go">Log in</button></form>
`, html.EscapeString(title), html.EscapeString(action))
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	g := newGrant("")
	request, err := p.oauth.NewAccessRequest(r.Context(), r, g)
	if err != nil {
		p.oauth.WriteAccessError(r.Context(), w, request, err)
		return
	}
	if request.GetGrantTypes().ExactOne("client_credentials") {
		subject := request.GetClient().GetID()
		g.DefaultSession.Subject, g.JWTClaims.Subject = subject, subject
		for _, scope := range request.GetRequestedScopes() {
			request.GrantScope(scope)
		}
		for _, audience := range request.GetRequestedAudience() {
			request.GrantAudience(audience)
		}
	}
	response, err := p.oauth.NewAccessResponse(r.Context(), request)
	if err != nil {
		p.oauth.WriteAccessError(r.Context(), w, request, err)
		return
	}
	p.oauth.WriteAccessResponse(r.Context(), w, request, response)
}

func (p *provider) introspect(w http.ResponseWriter, r *http.Request) {
	response, err := p.oauth.NewIntrospectionRequest(r.Context(), r, newGrant(""))
	if err != nil {
		p.oauth.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	p.oauth.WriteIntrospectionResponse(r.Context(), w, response)
}

func (p *provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.oauth.WriteRevocationResponse(r.Context(), w, p.oauth.NewRevocationRequest(r.Context(), r))
}

// logout forgets the browser and sends it where the relying party wants it, if that is known (RP-Initiated Logout 1.0).
func (p *provider) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookie); err == nil {
		p.mu.Lock()
		delete(p.loggedIn, c.Value)
		p.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", MaxAge: -1})
	if to := r.FormValue("post_logout_redirect_uri"); to != "" && slices.Contains(p.afterLogout, to) {
		u, err := url.Parse(to)
		if err == nil {
			if state := r.FormValue("state"); state != "" {
				u.RawQuery = url.Values{"state": {state}}.Encode()
			}
			http.Redirect(w, r, u.String(), http.StatusFound)
			return
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	hint := "without"
	if r.FormValue("id_token_hint") != "" {
		hint = "with"
	}
	fmt.Fprintf(w, `<!doctype html><title>Logged out</title><h1 id="title">Logged out %s a hint</h1>`, hint)
}
