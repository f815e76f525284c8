package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// jwk writes a key as a JSON object, with more members or others.
func jwk(t testing.TB, key any, more string) string {
	t.Helper()
	all := map[string]any{}
	for _, text := range [][]byte{made(json.Marshal(jose.JSONWebKey{Key: key})), []byte("{" + more + "}")} {
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
	}
	return string(made(json.Marshal(all)))
}

func TestParseSet(t *testing.T) {
	rsaJWK := func(more string) string { return jwk(t, rsaKey().Public(), more) }
	// f parses a set of one key beside a good one, which must be there in any case.
	f := func(key, want string) {
		t.Helper()
		set, warnings, err := ParseSet([]byte(`{"keys":[` + key + `,` + jwk(t, edwards().Public(), `"kid":"ok"`) + `],"other":[1]}`))
		if err != nil || !set.Has("ok") {
			t.Errorf("%s: %v", clip(key), err)
			return
		}
		got := strings.Join(warnings, "\n")
		if want == "" && (got != "" || set.Len() != 2) || want != "" && (!strings.Contains(got, want) || set.Len() != 1) {
			t.Errorf("%s: %d keys, %q; want %q", clip(key), set.Len(), got, want)
		}
	}
	f(rsaJWK(``), "")
	f(rsaJWK(`"kid":"a","alg":"RS256","use":"sig","key_ops":["verify"],"x5c":["garbage"],"x5t":"?","x5u":"::","issuer":"a"`), "")
	f(jwk(t, p256().Public(), ``), "")
	f(jwk(t, p384().Public(), `"alg":"ES384"`), "")
	f(jwk(t, p521().Public(), ``), "")
	// What is left out, and why.
	f(rsaJWK(`"use":"enc"`), "not for signatures")
	f(rsaJWK(`"use":""`), "not for signatures")
	f(rsaJWK(`"use":1`), "not for signatures")
	f(rsaJWK(`"key_ops":["encrypt"]`), "not for verifying")
	f(rsaJWK(`"key_ops":[]`), "not for verifying")
	f(rsaJWK(`"key_ops":"verify"`), "no list")
	f(rsaJWK(`"alg":"RSA-OAEP"`), "no algorithm of tokens")
	f(rsaJWK(`"alg":"none"`), "no algorithm of tokens")
	f(rsaJWK(`"alg":"HS256"`), "no algorithm of its type")
	f(rsaJWK(`"alg":"ES256"`), "no algorithm of its type")
	f(rsaJWK(`"alg":1`), `"alg" is no string`)
	f(rsaJWK(`"kid":1`), `"kid" is no string`)
	f(rsaJWK(`"kid":"`+strings.Repeat("k", 257)+`"`), "key id of 257 bytes")
	f(rsaJWK(`"e":"AQ"`), "no key")
	f(rsaJWK(`"e":"Ag"`), "cannot be right")
	f(rsaJWK(`"e":"AQAA"`), "cannot be right")
	f(rsaJWK(`"e":"////////"`), "no key of a type")
	f(rsaJWK(`"n":1`), "no key of a type")
	f(rsaJWK(`"kty":"rsa"`), "no key of a type")
	f(rsaJWK(`"kty":null`), `"kty" is no string`)
	f(jwk(t, weakRSA().Public(), `"kid":"weak"`), `("weak") is left out: an RSA key of 1024 bits`)
	f(jwk(t, &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(3), 5000), E: 65537}, ``), "no key of a type") // the library's bound
	f(jwk(t, p256().Public(), `"alg":"ES384"`), "no algorithm of its type")
	f(jwk(t, p256().Public(), `"crv":"P-384"`), "no key of a type")
	f(jwk(t, p256().Public(), `"crv":"secp256k1"`), "no key of a type")
	f(jwk(t, p256().Public(), `"x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`), "no key of a type") // not on the curve
	f(jwk(t, edwards().Public(), `"crv":"X25519"`), "no key of a type")
	f(jwk(t, edwards().Public(), `"x":"AA"`), "no key of a type")
	f(jwk(t, secret, `"alg":"HS256"`), "a secret that everybody can fetch")
	f(`{"kty":"oct"}`, "a secret that everybody can fetch")
	f(`1`, "no JSON object")
	f(`{}`, "no key of a type")
	// A private key is taken for its public half, with a warning.
	set, warnings, err := ParseSet([]byte(`{"keys":[` + jwk(t, rsaKey(), `"key_ops":["sign"]`) + `]}`))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "is a private key") || set.Keys()[0].public == nil {
		t.Error(err, warnings)
	}
	if _, reason := Verify(set, strict(), write(RS256, rsaKey(), `{"alg":"RS256"}`, good), now); reason != Good {
		t.Errorf("by the public half of a private key: %q", reason)
	}
	// Sets that are none.
	key := rsaJWK(``)
	for text, want := range map[string]string{
		"":                                      "byte 0",
		"<html>":                                "byte 0",
		`[]`:                                    "byte 0",
		`{}`:                                    `no list called "keys"`,
		`{"keys":{}}`:                           `no list called "keys"`,
		`{"Keys":[` + key + `]}`:                `no list called "keys"`,
		`{"keys":[]}`:                           "no key that could verify",
		`{"keys":[{"kty":"oct"}]}`:              "everybody can fetch",
		`{"keys":[` + key + `],"keys":[]}`:      "stands twice",
		`{"keys":[` + key + `]} x`:              "follows",
		strings.Repeat(" ", MaxSetBytes) + `{}`: "at most 1048576",
		`{"keys":[` + strings.Repeat(key+`,`, MaxKeys) + key + `]}`: "has 257 keys; at most 256",
	} {
		if set, _, err := ParseSet([]byte(text)); set != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", clip(text), err, want)
		}
	}
	// Secrets of one's own.
	for key, want := range map[string]string{
		jwk(t, secret, `"alg":"HS256"`):      "",
		jwk(t, secret[:32], `"alg":"HS256"`): "",
		jwk(t, secret[:31], `"alg":"HS256"`): "a secret of 31 bytes; HS256 asks for at least 32",
		jwk(t, secret[:63], `"alg":"HS512"`): "HS512 asks for at least 64",
		jwk(t, secret, ``):                   `without an "alg"`,
		jwk(t, secret, `"alg":"RS256"`):      "one of HS256",
	} {
		_, _, err := ParseLocalSet([]byte(`{"keys":[` + key + `]}`))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret of some") || strings.Contains(err.Error(), b64(string(secret[:31])))) {
			t.Errorf("%v", err)
		}
	}
}

// Sets are told apart by what is in them.
func TestSet(t *testing.T) {
	a, b := public(t, "a", "", rsaKey()), public(t, "b", RS256, rsaKey())
	same := public(t, "a", "", rsaKey())
	if NewSet(a, b).Digest() != NewSet(b, same, a).Digest() || NewSet(a, b).Digest() == NewSet(a).Digest() || NewSet().Digest() == NewSet(a).Digest() {
		t.Error("digests do not tell sets apart")
	}
	for _, other := range []*Key{
		b, public(t, "a", RS256, rsaKey()), public(t, "c", "", rsaKey()), public(t, "a", "", otherRSA()), public(t, "aR", "", rsaKey()), public(t, "a", HS256, secret),
	} {
		if other.Identity() == a.Identity() || NewSet(a).Holds(other.Identity()) {
			t.Errorf("%+v is taken for another", other)
		}
	}
	s := NewSet(a, b, same)
	if s.Len() != 2 || !s.Has("a") || !s.Has("b") || s.Has("") || s.Has("c") || !s.Holds(same.Identity()) {
		t.Errorf("%+v", s)
	}
}

func TestParsePEM(t *testing.T) {
	block := func(typ string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
	}
	spki := func(key any) string { return block("PUBLIC KEY", made(x509.MarshalPKIXPublicKey(key))) }
	certificate := block("CERTIFICATE", made(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, p256().Public(), p256())))
	all := "keys of the issuer\n" + spki(rsaKey().Public()) + spki(edwards().Public()) + certificate + block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&otherRSA().PublicKey))
	set, err := ParsePEM([]byte(all))
	if err != nil || set.Len() != 4 {
		t.Fatal(err)
	}
	for a, key := range map[Algorithm]any{RS256: rsaKey(), PS512: otherRSA(), ES256: p256(), EdDSA: edwards()} {
		if _, reason := Verify(set, strict(), write(a, key, `{"alg":"`+string(a)+`","kid":"any"}`, good), now); reason != Good {
			t.Errorf("%s: %q", a, reason)
		}
	}
	p224 := made(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for text, want := range map[string]string{
		"":                       "no PEM block",
		"key":                    "no PEM block",
		spki(weakRSA().Public()): "key 1: an RSA key of 1024 bits",
		spki(p224.Public()):      "key 1: an EC key on a curve other",
		spki(rsaKey().Public()) + block("PRIVATE KEY", made(x509.MarshalPKCS8PrivateKey(rsaKey()))): "key 2: a private key",
		block("EC PRIVATE KEY", made(x509.MarshalECPrivateKey(p256()))):                             "key 1: a private key",
		block("PUBLIC KEY", []byte("x")):                                                            "a PUBLIC KEY that cannot be read",
		block("CERTIFICATE", []byte("x")):                                                           "a CERTIFICATE that cannot be read",
		block("DH PARAMETERS", []byte("x")):                                                         `of type "DH PARAMETERS"`,
		spki(rsaKey().Public()) + "-----BEGIN PUBLIC KEY-----\nbroken":                              "a PEM block that cannot be read",
		strings.Repeat(spki(edwards().Public()), MaxKeys+1):                                         "more than 256",
		strings.Repeat("x", MaxSetBytes+1):                                                          "at most 1048576",
	} {
		if _, err := ParsePEM([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", clip(text), err, want)
		}
	}
}

func TestNewKeys(t *testing.T) {
	for _, length := range []int{0, 31, 47, 63} {
		a := map[int]Algorithm{0: HS256, 31: HS256, 47: HS384, 63: HS512}[length]
		if _, err := NewSecretKey("", a, secret[:length]); err == nil || bytes.Contains([]byte(err.Error()), secret[:14]) {
			t.Errorf("%d bytes for %s: %v", length, a, err)
		}
		if _, err := NewSecretKey("", a, secret[:length+32]); err != nil {
			t.Error(err)
		}
	}
	for _, a := range []Algorithm{"", RS256, "none", "HS1"} {
		if _, err := NewSecretKey("", a, secret); err == nil {
			t.Errorf("a secret for %q", a)
		}
	}
	for _, key := range []any{nil, secret, "key", rsaKey(), *rsaKey().Public().(*rsa.PublicKey), struct{}{}} {
		if _, err := NewPublicKey("", "", key); err == nil {
			t.Errorf("%s is taken for a public key", fmt.Sprintf("%T", key))
		}
	}
}
