package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"
)

// The keys of the tests, made once.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return made(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return made(rsa.GenerateKey(rand.Reader, 2048)) })
	weakRSA  = sync.OnceValue(func() *rsa.PrivateKey { return made(rsa.GenerateKey(rand.Reader, 1024)) })
	p256     = sync.OnceValue(func() *ecdsa.PrivateKey { return made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384     = sync.OnceValue(func() *ecdsa.PrivateKey { return made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521     = sync.OnceValue(func() *ecdsa.PrivateKey { return made(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edwards  = sync.OnceValue(func() ed25519.PrivateKey {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return made(private, err)
	})
	secret = []byte(strings.Repeat("a secret of some length, ", 4))
)

func made[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func unb64(t testing.TB, text string) []byte {
	t.Helper()
	out, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// public makes a key to verify with.
func public(t testing.TB, id string, a Algorithm, key any) *Key {
	t.Helper()
	var k *Key
	var err error
	switch key := key.(type) {
	case []byte:
		k, err = NewSecretKey(id, a, key)
	case interface{ Public() crypto.PublicKey }:
		k, err = NewPublicKey(id, a, key.Public())
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// seal signs text by the letter of a, whatever the key is meant for.
func seal(a Algorithm, key any, text string) []byte {
	digest := []byte(nil)
	if h := a.hash(); h != 0 {
		w := h.New()
		w.Write([]byte(text))
		digest = w.Sum(nil)
	}
	switch key := key.(type) {
	case []byte:
		mac := hmac.New(a.hash().New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	case *rsa.PrivateKey:
		if a[0] == 'P' {
			return made(rsa.SignPSS(rand.Reader, key, a.hash(), digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		return made(rsa.SignPKCS1v15(nil, key, a.hash(), digest))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			panic(err)
		}
		size := (key.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(text))
	}
	panic("no such key")
}

// write makes a token of a header and claims, both JSON as they are.
func write(a Algorithm, key any, header, claims string) string {
	text := b64(header) + "." + b64(claims)
	return text + "." + b64(string(seal(a, key, text)))
}

// now is when the tests take place.
var now = time.Unix(1_800_000_000, 0)

// good are claims that are good now under the rules of strict.
const good = `{"iss":"https://id.example","aud":"orders","sub":"alice","exp":1800000300,"iat":1799999990,"scope":"read write"}`

func strict() *Rules {
	return &Rules{Issuers: []string{"https://id.example"}, Audiences: []string{"orders"}, Skew: time.Minute, MaxLifetime: 24 * time.Hour}
}
