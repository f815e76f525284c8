package token

import "testing"

// What it takes to verify a token that is not remembered, with the claims that an identity provider sends.
func BenchmarkVerify(b *testing.B) {
	const claims = `{"iss":"https://id.example","aud":["orders","account"],"sub":"0b4fbb9b-2c4f-4b52-b9a4-0f6e1d0c6a53","exp":1800000300,"iat":1799999990,"jti":"0e1f3a52-9b7c-4d2e-8c6b-0c9f4c1f9a11",
		"azp":"shop","scope":"openid profile email orders:read orders:write","realm_access":{"roles":["offline_access","uma_authorization","customer"]},"email":"alice@example.com","preferred_username":"alice"}`
	for _, c := range []struct {
		a   Algorithm
		key any
	}{{RS256, rsaKey()}, {PS256, rsaKey()}, {ES256, p256()}, {ES384, p384()}, {EdDSA, edwards()}, {HS256, secret}} {
		b.Run(string(c.a), func(b *testing.B) {
			only := Algorithm("")
			if c.a.Symmetric() {
				only = c.a
			}
			set, rules := NewSet(public(b, "k", only, c.key)), strict()
			compact := write(c.a, c.key, `{"alg":"`+string(c.a)+`","kid":"k","typ":"JWT"}`, claims)
			b.ReportAllocs()
			for b.Loop() {
				if _, reason := Verify(set, rules, compact, now); reason != Good {
					b.Fatal(reason)
				}
			}
		})
	}
}
