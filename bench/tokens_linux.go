package main

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// What tokens have to say to be good; the gateways are told the same.
const (
	issuer   = "https://issuer.test"
	audience = "orders"
)

// Files of tokens, one a line, in the folder of the bench.
const (
	oneToken   = "token.txt"
	manyTokens = "tokens.txt"
)

// mint signs tokens with one key of 2048 bits, the size that RS256 asks for at least (RFC 7518 §3.3).
type mint struct {
	key *rsa.PrivateKey
	now time.Time
}

func newMint(now time.Time) (*mint, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return &mint{key, now}, err
}

// claims are those of a good token; number tells one from another.
func (m *mint) claims(number int) map[string]any {
	return map[string]any{
		"iss": issuer, "aud": audience, "sub": fmt.Sprintf("caller-%05d", number), "jti": fmt.Sprintf("%016x", number),
		"iat": m.now.Unix(), "exp": m.now.Add(time.Hour).Unix(), "scope": "orders:read orders:write",
	}
}

func (m *mint) token(claims map[string]any) (string, error) {
	signed := unsigned("RS256", claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, m.key, crypto.SHA256, sum[:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), err
}

func unsigned(algorithm string, claims map[string]any) string {
	body, _ := json.Marshal(claims) // strings and numbers alone: it cannot fail
	header := fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":"bench"}`, algorithm)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(body)
}

// bad are tokens that no gateway may let through, by what is wrong with them.
func (m *mint) bad() (map[string]string, error) {
	bad := map[string]string{"none at all": "", "cut short": unsigned("RS256", m.claims(0)), "alg none": unsigned("none", m.claims(0)) + "."}
	for what, change := range map[string]func(claims map[string]any){
		"expired":          func(claims map[string]any) { claims["exp"] = m.now.Add(-time.Hour).Unix() },
		"without expiry":   func(claims map[string]any) { delete(claims, "exp") },
		"another issuer":   func(claims map[string]any) { claims["iss"] = issuer + "/other" },
		"another audience": func(claims map[string]any) { claims["aud"] = "invoices" },
	} {
		claims := m.claims(0)
		change(claims)
		text, err := m.token(claims)
		if err != nil {
			return nil, err
		}
		bad[what] = text
	}
	forger, err := newMint(m.now)
	if err != nil {
		return nil, err
	}
	if bad["forged"], err = forger.token(m.claims(0)); err != nil {
		return nil, err
	}
	// The public key, taken for the secret of an HMAC: RFC 8725 §2.1.
	public, err := m.publicPEM()
	if err != nil {
		return nil, err
	}
	confused := hmac.New(sha256.New, public)
	confused.Write([]byte(unsigned("HS256", m.claims(0))))
	bad["HS256 with the public key"] = unsigned("HS256", m.claims(0)) + "." + base64.RawURLEncoding.EncodeToString(confused.Sum(nil))
	return bad, nil
}

func (m *mint) publicPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(m.key.Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

// publicJWKS is the same key as a set of keys (RFC 7517 §5).
func (m *mint) publicJWKS() []byte {
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	return fmt.Appendf(nil, `{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"bench","n":%q,"e":%q}]}`,
		number(m.key.N), number(big.NewInt(int64(m.key.E))))
}

// layTokens writes the key as each gateway wants it, a file with one token, and a file with count of them.
func layTokens(dir string, m *mint, count int) error {
	public, err := m.publicPEM()
	if err != nil {
		return err
	}
	var many, consumers bytes.Buffer
	one := 0
	for number := range count {
		text, err := m.token(m.claims(number))
		if err != nil {
			return err
		}
		many.WriteString(text + "\n")
		fmt.Fprintf(&consumers, "consumer=%s\n", m.claims(number)["sub"])
		if number == 0 {
			one = many.Len()
		}
	}
	for name, text := range map[string][]byte{
		"jwt.pub": public, "jwks.json": m.publicJWKS(), oneToken: many.Bytes()[:one], manyTokens: many.Bytes(), "consumers.txt": consumers.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
