package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// liar is a provider that can be made to answer wrongly, which real ones cannot; test/oidc has a real one. Codes and refresh tokens are
// good once: who shows one twice loses all.
type liar struct {
	*httptest.Server
	t   *testing.T
	key *ecdsa.PrivateKey

	mu        sync.Mutex
	codes     map[string]visitor
	refreshes map[string]visitor
	asked     []url.Values // what the token endpoint was told
	auth      []string     // Authorization fields with it
	revoked   []string
	stolen    int
	n         int

	// What it does otherwise than it should.
	lie      func(claims map[string]any)                       // about who logged in
	answer   func(w http.ResponseWriter, form url.Values) bool // in place of the token endpoint
	discover func(document map[string]any)
	lifetime int // of access tokens, in seconds
	rest     bool
	padding  string // added to access tokens
	kid      string
	hold     func(form url.Values) // keeps the token endpoint from answering until it returns
}

type visitor struct{ nonce, challenge, redirect string }

func newLiar(t *testing.T) *liar {
	l := &liar{t: t, codes: map[string]visitor{}, refreshes: map[string]visitor{}, lifetime: 600, kid: "one"}
	var err error
	if l.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		d := map[string]any{"issuer": l.URL, "authorization_endpoint": l.URL + "/authorize?tenant=1", "token_endpoint": l.URL + "/token", "jwks_uri": l.URL + "/jwks",
			"end_session_endpoint": l.URL + "/end", "revocation_endpoint": l.URL + "/revoke"}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.discover != nil {
			l.discover(d)
		}
		json.NewEncoder(w).Encode(d)
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: l.key.Public(), KeyID: l.kid, Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("/token", l.token)
	mux.HandleFunc("/revoke", func(_ http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.revoked = append(l.revoked, r.PostFormValue("token"))
	})
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	return l
}

func (l *liar) token(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	if l.hold != nil {
		l.hold(r.PostForm)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.auth = append(l.asked, r.PostForm), append(l.auth, r.Header.Get("Authorization"))
	if l.answer != nil && l.answer(w, r.PostForm) {
		return
	}
	var v visitor
	var ok bool
	if r.PostForm.Get("grant_type") == "refresh_token" {
		v, ok = l.refreshes[r.PostForm.Get("refresh_token")]
		delete(l.refreshes, r.PostForm.Get("refresh_token"))
		v.nonce = ""
		if !ok {
			l.stolen++
		}
	} else {
		v, ok = l.codes[r.PostForm.Get("code")]
		delete(l.codes, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		ok = ok && base64.RawURLEncoding.EncodeToString(sum[:]) == v.challenge && r.PostForm.Get("redirect_uri") == v.redirect
	}
	if !ok {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	l.n++
	access := fmt.Sprintf("access-%d%s", l.n, l.padding)
	out := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": l.lifetime, "id_token": l.sign(l.claims(v.nonce, access))}
	if l.rest {
		refresh := fmt.Sprintf("refresh-%d", l.n)
		l.refreshes[refresh] = v
		out["refresh_token"] = refresh
	}
	json.NewEncoder(w).Encode(out)
}

func (l *liar) claims(nonce, access string) map[string]any {
	hash := sha256.Sum256([]byte(access))
	c := map[string]any{"iss": l.URL, "sub": "alice", "aud": "gateway", "exp": time.Now().Add(10 * time.Minute).Unix(), "iat": time.Now().Unix(),
		"at_hash": base64.RawURLEncoding.EncodeToString(hash[:16]), "email": "alice@example.com", "groups": []string{"a", "b"}, "account": "c1"}
	if l.rest {
		c["exp"] = time.Now().Add(24 * time.Hour).Unix() // tests that renew go on into the future
	}
	if nonce != "" {
		c["nonce"] = nonce
	}
	if l.lie != nil {
		l.lie(c)
	}
	return c
}

func (l *liar) sign(claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: l.key, KeyID: l.kid}}, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		l.t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		l.t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		l.t.Fatal(err)
	}
	return compact
}

// arrive is a browser that was sent to log in: it gives the query it is sent back with.
func (l *liar) arrive(location string) url.Values {
	l.t.Helper()
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, l.URL+"/authorize?tenant=1&") {
		l.t.Fatalf("sent to %q", location)
	}
	q := u.Query()
	if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("client_id") != "gateway" || !strings.Contains(q.Get("scope"), "openid") {
		l.t.Errorf("sent with %v", q)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	code := fmt.Sprintf("code-%d", l.n)
	l.codes[code] = visitor{q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri")}
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}

func (l *liar) tokens() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked)
}

// change changes what it does.
func (l *liar) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}
