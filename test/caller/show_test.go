package caller

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/bcrypt"

	"straum.dev/straum/test/gateway"
)

// apiKey has the program make a key and returns it with its hash.
func apiKey(t *testing.T) (key, hash string) {
	t.Helper()
	r := straum(t, "", nil, "key", "new", "--consumer", "acme", "--json")
	var k struct{ Key, Hash string }
	if err := json.Unmarshal([]byte(r.out), &k); err != nil || k.Key == "" || k.Hash == "" {
		t.Fatalf("no key: %v, %+v", err, r)
	}
	return k.Key, k.Hash
}

// keyHash is the hash of a key as the configuration has it.
func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// passwordHash is a hash that is quick to work on.
func passwordHash(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

// basic is the Authorization of a user name and a password.
func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// signer mints tokens.
type signer struct {
	kid    string
	alg    jose.SignatureAlgorithm
	key    crypto.Signer
	signer jose.Signer
}

func newSigner(t testing.TB, alg jose.SignatureAlgorithm, kid string) *signer {
	t.Helper()
	s := &signer{kid: kid, alg: alg}
	var err error
	if strings.HasPrefix(string(alg), "ES") {
		s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		s.key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.signer = s.as(t, kid)
	return s
}

// as is a signer with the key whose tokens name another one.
func (s *signer) as(t testing.TB, kid string) jose.Signer {
	t.Helper()
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: jose.JSONWebKey{Key: s.key, KeyID: kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (s *signer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: string(s.alg), Use: "sig"}
}

// jwks is the key set of signers.
func jwks(t testing.TB, signers ...*signer) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, s := range signers {
		set.Keys = append(set.Keys, s.jwk())
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

type claims map[string]any

// token is a good token of the issuer "https://id.example" for "orders" with these claims changed or, if nil, taken away.
func (s *signer) token(t testing.TB, changed claims) string {
	t.Helper()
	return mint(t, s.signer, changed)
}

func mint(t testing.TB, s jose.Signer, changed claims) string {
	t.Helper()
	now := time.Now().Unix()
	all := claims{"iss": "https://id.example", "aud": "orders", "sub": "somebody", "iat": now, "exp": now + 600, "client_id": "acme", "scope": "orders:read"}
	for k, v := range changed {
		if all[k] = v; v == nil {
			delete(all, k)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := j.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// signing is how a request is signed by RFC 9421.
type signing struct {
	id, secret string
	age        time.Duration
	digestOf   []byte // of other content than the request has; nil is what it has
	leave      string // a component that is not covered
	nonce      string
	foul       bool // the signature has a wrong bit
}

// sign adds the fields of a signature over all that has to be covered, and over the content if there is any.
func (s signing) sign(r *http.Request, body []byte) {
	names := []string{"@method", "@authority", "@path", "@query"}
	query := "?" + r.URL.RawQuery
	values := map[string]string{"@method": r.Method, "@authority": authority(r), "@path": r.URL.EscapedPath(), "@query": query}
	if body != nil {
		content := body
		if s.digestOf != nil {
			content = s.digestOf
		}
		sum := sha256.Sum256(content)
		digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
		r.Header.Set("Content-Digest", digest)
		names, values["content-digest"] = append(names, "content-digest"), digest
	}
	if s.nonce == "" {
		s.nonce = rand.Text()
	}
	var base strings.Builder
	var covered []string
	for _, n := range names {
		if n != s.leave {
			fmt.Fprintf(&base, "%q: %s\n", n, values[n])
			covered = append(covered, fmt.Sprintf("%q", n))
		}
	}
	params := fmt.Sprintf("(%s);created=%d;nonce=%q;keyid=%q", strings.Join(covered, " "), time.Now().Add(-s.age).Unix(), s.nonce, s.id)
	fmt.Fprintf(&base, "%q: %s", "@signature-params", params)
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte(base.String()))
	sum := mac.Sum(nil)
	if s.foul {
		sum[7] ^= 4
	}
	r.Header.Set("Signature-Input", "sig1="+params)
	r.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(sum)+":")
}

// github signs content as GitHub does.
func github(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// stripe signs content as Stripe does.
func stripe(secret string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

// bearer is the Authorization of a token.
func bearer(token string) string { return "Bearer " + token }

// foul changes one character in the middle of the last part of a token, which is its signature.
func foul(token string) string {
	b := []byte(token)
	i := bytes.LastIndexByte(b, '.') + 20
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

// certificates are those of clients.
type certificates struct{ acme, stranger *gateway.Pair }

func (f *front) certificates() certificates {
	return certificates{acme: f.clients.Issue([]string{"orders.acme.example"}), stranger: f.clients.Issue([]string{"stranger.example"})}
}
