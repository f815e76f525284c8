package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policytest"
)

// The keys of the tests, made once.
var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { k, _ := rsa.GenerateKey(rand.Reader, 2048); return k })
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey { k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); return k })
)

// edwards makes the n-th key of an issuer that changes its keys.
func edwards(n int) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0], seed[1] = byte(n), byte(n>>8)
	return ed25519.NewKeyFromSeed(seed)
}

const secret = "0123456789abcdef0123456789abcdef"

// sign makes a token. Claims that end in a comma or none are completed with issuer, audience and exp in five minutes.
func sign(t testing.TB, kid string, key any, claims string) string {
	t.Helper()
	alg := jose.HS256
	switch key.(type) {
	case *rsa.PrivateKey:
		alg = jose.RS256
	case *ecdsa.PrivateKey:
		alg = jose.ES256
	case ed25519.PrivateKey:
		alg = jose.EdDSA
	}
	options := &jose.SignerOptions{}
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// claims are good ones for five minutes, and more.
func claims(more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"iss":"https://id.example","aud":"orders","exp":%d%s}`, time.Now().Unix()+300, more)
}

// set writes public keys as a JWK set; names and keys take turns.
func set(t testing.TB, pairs ...any) string {
	t.Helper()
	var all jose.JSONWebKeySet
	for i := 0; i < len(pairs); i += 2 {
		all.Keys = append(all.Keys, jose.JSONWebKey{KeyID: pairs[i].(string), Key: pairs[i+1].(interface{ Public() crypto.PublicKey }).Public()})
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ours are the options of most tests.
const ours = `issuer: https://id.example
audience: orders
secret: ` + secret + "\n"

// get is a request with a token.
func get(token string) string {
	return "GET /a HTTP/1.1\nHost: a\nAuthorization: Bearer " + token + "\n"
}

// outcome says in a line what became of a request: accepted with what endpoints are told, or what the client is told with the word of
// the log.
func outcome(x *exchange.Exchange) string {
	if x.Fault != nil {
		return fmt.Sprintf("%d %s [%s]", x.Fault.Kind.Status, policytest.Verdict(x, name), strings.Join(x.Challenges, ", "))
	}
	return "ok " + policytest.Verdict(x, name)
}

// fields are the field lines of the request that endpoints see.
func fields(x *exchange.Exchange) string {
	var b strings.Builder
	for _, f := range x.Request.Header.All() {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String()
}
