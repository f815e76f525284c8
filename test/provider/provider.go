package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/mohae/deepcopy"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/crypto/bcrypt"
)

type settings struct {
	issuer                    string
	access, id, refresh, code time.Duration
	jwt, always               bool
	clients                   []client
	users                     []person
	afterLogout               []string
}

type client struct {
	id, secret string
	redirects  []string
}

type person struct{ name, password string }

// provider answers all requests. Its admin changes what is under mu.
type provider struct {
	settings
	oauth fosite.OAuth2Provider
	store *storage.MemoryStore
	mux   *http.ServeMux

	mu       sync.Mutex
	keys     []*jose.JSONWebKey // the last one signs
	loggedIn map[string]login   // by the value of the provider's cookie
	claims   map[string]any     // put into every ID token
	asked    map[string]int     // requests by path
	plans    map[string]plan    // what a path does instead of what it should
	iss      string             // told in place of the issuer in answers of the authorization endpoint; "-" for none
}

type login struct {
	name string
	at   time.Time
}

func newProvider(s settings) (*provider, error) {
	p := &provider{settings: s, store: storage.NewMemoryStore(), loggedIn: map[string]login{}, claims: map[string]any{}, asked: map[string]int{},
		plans: map[string]plan{}, iss: s.issuer}
	if err := p.rotate(true); err != nil {
		return nil, err
	}
	for _, c := range s.clients {
		one := &fosite.DefaultClient{ID: c.id, RedirectURIs: c.redirects, ResponseTypes: []string{"code"}, Public: c.secret == "",
			GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"},
			Scopes:     []string{"openid", "profile", "email", "offline_access", "read", "write", "orders"}, Audience: []string{"orders", "api"}}
		if c.secret != "" {
			hash, err := bcrypt.GenerateFromPassword([]byte(c.secret), bcrypt.MinCost)
			if err != nil {
				return nil, err
			}
			one.Secret = hash
		}
		p.store.Clients[c.id] = one
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	config := &fosite.Config{AccessTokenLifespan: s.access, RefreshTokenLifespan: s.refresh, AuthorizeCodeLifespan: s.code, IDTokenLifespan: s.id,
		IDTokenIssuer: s.issuer, AccessTokenIssuer: s.issuer, TokenURL: s.issuer + "/token", GlobalSecret: secret, EnforcePKCE: true,
		ScopeStrategy: fosite.ExactScopeStrategy, RefreshTokenScopes: []string{"offline_access"}, JWTScopeClaimKey: jwt.JWTScopeFieldString}
	if s.always {
		config.RefreshTokenScopes = []string{}
	}
	signing := func(context.Context) (any, error) { return p.signing(), nil }
	var core oauth2.CoreStrategy = compose.NewOAuth2HMACStrategy(config)
	if s.jwt {
		core = compose.NewOAuth2JWTStrategy(signing, core, config)
	}
	p.oauth = compose.Compose(config, p.store, &compose.CommonStrategy{CoreStrategy: core,
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(signing, config), Signer: &jwt.DefaultSigner{GetPrivateKey: signing}},
		compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2RefreshTokenGrantFactory,
		compose.OpenIDConnectExplicitFactory, compose.OpenIDConnectRefreshFactory, compose.OAuth2TokenIntrospectionFactory,
		compose.OAuth2TokenRevocationFactory, compose.OAuth2PKCEFactory)
	p.mux = http.NewServeMux()
	for path, f := range map[string]http.HandlerFunc{
		"GET /.well-known/openid-configuration": p.discovery,
		"GET /jwks":                             p.jwks,
		"/authorize":                            p.authorize,
		"POST /token":                           p.token,
		"POST /introspect":                      p.introspect,
		"POST /revoke":                          p.revoke,
		"/logout":                               p.logout,
		"POST /admin/rotate":                    p.adminRotate,
		"POST /admin/plan":                      p.adminPlan,
		"POST /admin/claims":                    p.adminClaims,
		"POST /admin/iss":                       p.adminIss,
		"GET /admin/counts":                     p.adminCounts,
	} {
		p.mux.HandleFunc(path, f)
	}
	return p, nil
}

// ServeHTTP counts a request and lets the plan for its path have its way.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.Path]++
	todo := p.plans[r.URL.Path]
	if todo.Times > 0 {
		if todo.Times--; todo.Times == 0 {
			delete(p.plans, r.URL.Path)
		} else {
			p.plans[r.URL.Path] = todo
		}
	}
	p.mu.Unlock()
	if !todo.follow(w, r) {
		p.mux.ServeHTTP(w, r)
	}
}

func (p *provider) signing() *jose.JSONWebKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1]
}

// rotate signs with a new key from now on. The older ones stay in the key set or leave it.
func (p *provider) rotate(keep bool) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !keep {
		p.keys = nil
	}
	p.keys = append(p.keys, &jose.JSONWebKey{Key: key, KeyID: rand.Text()[:12], Algorithm: "RS256", Use: "sig"})
	return nil
}

// grant is what the library keeps with a code and the tokens that come of it.
type grant struct {
	*openid.DefaultSession
	JWTClaims *jwt.JWTClaims
	JWTHeader *jwt.Headers
}

func newGrant(subject string) *grant {
	g := &grant{DefaultSession: openid.NewDefaultSession(), JWTClaims: &jwt.JWTClaims{Subject: subject, Extra: map[string]any{}},
		JWTHeader: &jwt.Headers{Extra: map[string]any{"typ": "at+jwt"}}}
	g.DefaultSession.Subject, g.Username = subject, subject
	return g
}

func (g *grant) Clone() fosite.Session {
	if g == nil {
		return nil
	}
	return deepcopy.Copy(g).(fosite.Session)
}

// GetJWTClaims implements oauth2.JWTSessionContainer.
func (g *grant) GetJWTClaims() jwt.JWTClaimsContainer { return g.JWTClaims }

// GetJWTHeader implements oauth2.JWTSessionContainer.
func (g *grant) GetJWTHeader() *jwt.Headers { return g.JWTHeader }

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may have left
}
