package token

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// The attacks of RFC 8725 and of practice, each with the answer that it gets. The signatures are right unless the attack is on them.
func TestAttacks(t *testing.T) {
	set := NewSet(
		public(t, "r", RS256, rsaKey()), public(t, "e", "", p256()), public(t, "d", "", edwards()), public(t, "h", HS256, secret),
	)
	f := func(name string, want Reason, compact string) {
		t.Helper()
		got, reason := Verify(set, strict(), compact, now)
		if reason != want || (got != nil) != (want == Good) {
			t.Errorf("%s: %q, want %q", name, reason, want)
		}
	}
	honest := write(RS256, rsaKey(), `{"alg":"RS256","kid":"r","typ":"JWT"}`, good)
	parts := strings.Split(honest, ".")
	r := func(header string) string { return write(RS256, rsaKey(), header, good) }
	claims := func(text string) string { return write(RS256, rsaKey(), `{"alg":"RS256","kid":"r"}`, text) }

	f("honest", Good, honest)
	f("honest at+jwt", Good, r(`{"alg":"RS256","kid":"r","typ":"at+JWT"}`))
	f("honest application/at+jwt", Good, r(`{"alg":"RS256","kid":"r","typ":"application/at+jwt"}`))
	f("honest, certificates named", Good, r(`{"alg":"RS256","kid":"r","x5t":"abc","x5c":["AAAA"]}`))

	// No signature at all.
	for _, none := range []string{"none", "None", "NONE", "nOnE", "", " ", "none ", "RS256 ", "rs256", "RS256\u0000"} {
		header := fmt.Sprintf(`{"alg":%s,"kid":"r"}`, made(json.Marshal(none)))
		f("alg "+none, BadMethod, r(header))
		f("alg "+none+" without a signature", Malformed, b64(header)+"."+parts[1]+".")
		f("alg "+none+" of two parts", Malformed, b64(header)+"."+parts[1])
	}
	f("alg missing", Malformed, r(`{"kid":"r"}`))
	f("alg null", Malformed, r(`{"alg":null,"kid":"r"}`))
	f("alg a list", Malformed, r(`{"alg":["RS256"],"kid":"r"}`))
	f("alg a number", Malformed, r(`{"alg":256,"kid":"r"}`))
	f("signature cut off", Malformed, parts[0]+"."+parts[1]+".")
	f("signature missing", Malformed, parts[0]+"."+parts[1])
	f("signature shorter", BadSeal, parts[0]+"."+parts[1]+"."+b64(string(unb64(t, parts[2])[:255])))
	f("signature longer", BadSeal, honest+"AAAA")
	f("signature of zeros", BadSeal, parts[0]+"."+parts[1]+"."+b64(strings.Repeat("\x00", 256)))
	f("signature of another token", BadSeal, parts[0]+"."+b64(strings.Replace(good, "alice", "mallory", 1))+"."+parts[2])
	f("header of another token", BadSeal, b64(`{"alg":"RS256", "kid":"r"}`)+"."+parts[1]+"."+parts[2])

	// A public key for a secret: in every form that it is published in.
	spki := made(x509.MarshalPKIXPublicKey(rsaKey().Public()))
	for _, key := range [][]byte{
		spki, rsaKey().N.Bytes(), x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)}),
		[]byte(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})))),
	} {
		f("RS as HS", BadMethod, write(HS256, key, `{"alg":"HS256","kid":"r"}`, good))
		f("RS as HS without kid", BadSeal, write(HS256, key, `{"alg":"HS256"}`, good))
		f("RS as HS under the secret's name", BadSeal, write(HS256, key, `{"alg":"HS256","kid":"h"}`, good))
	}
	f("HS with an empty secret", BadSeal, write(HS256, []byte{}, `{"alg":"HS256","kid":"h"}`, good))
	f("HS512 where HS256 is meant", BadMethod, write(HS512, secret, `{"alg":"HS512","kid":"h"}`, good))
	f("PS256 where RS256 is meant", BadMethod, write(PS256, rsaKey(), `{"alg":"PS256","kid":"r"}`, good))
	f("another key of the type", BadSeal, write(RS256, otherRSA(), `{"alg":"RS256","kid":"r"}`, good))
	f("a key of the set under the name of another", BadMethod, write(ES256, p256(), `{"alg":"ES256","kid":"r"}`, good))

	// Keys that the token brings itself.
	own := `{"kty":"RSA","n":"` + b64(string(otherRSA().N.Bytes())) + `","e":"AQAB"}`
	for _, header := range []string{`"jwk":` + own, `"jku":"https://evil.example/jwks"`, `"x5u":"https://evil.example/cert"`, `"jwk":null`} {
		f(header[:5], EmbeddedKey, write(RS256, otherRSA(), `{"alg":"RS256","kid":"r",`+header+`}`, good))
	}
	f("x5c of the forger", BadSeal, write(RS256, otherRSA(), `{"alg":"RS256","kid":"r","x5c":["AAAA"]}`, good))

	// kid as a path, a query and worse: it is a name to look up and nothing else.
	for _, kid := range []string{"../../../dev/null", "/dev/null", "' OR 1=1 --", "key.pem|id", "\x00", "r\x00", "R", " r", "http://127.0.0.1/", strings.Repeat("k", 256)} {
		f("kid "+kid[:1], UnknownKey, r(fmt.Sprintf(`{"alg":"RS256","kid":%s}`, made(json.Marshal(kid)))))
	}
	f("kid too long", Malformed, r(`{"alg":"RS256","kid":"`+strings.Repeat("k", 257)+`"}`))
	f("kid a number", Malformed, r(`{"alg":"RS256","kid":1}`))
	f("kid null", Malformed, r(`{"alg":"RS256","kid":null}`))
	f("kid empty is as none", UnknownKey, r(`{"alg":"RS256","kid":""}`))

	// Extensions.
	f("crit", Critical, r(`{"alg":"RS256","kid":"r","crit":["exp"],"exp":1}`))
	f("crit empty", Critical, r(`{"alg":"RS256","kid":"r","crit":[]}`))
	f("b64 false", Critical, r(`{"alg":"RS256","kid":"r","b64":false}`))
	f("b64 false and crit", Critical, r(`{"alg":"RS256","kid":"r","b64":false,"crit":["b64"]}`))

	// Tokens for other ends.
	for _, typ := range []string{"logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", "application/x/jwt", ""} {
		f("typ "+typ, BadType, r(`{"alg":"RS256","kid":"r","typ":"`+typ+`"}`))
	}
	f("typ a number", Malformed, r(`{"alg":"RS256","kid":"r","typ":1}`))
	f("encrypted, five parts", Malformed, honest+"."+parts[1]+"."+parts[2])
	f("nested token", Malformed, claims(honest))

	// One way to write a token.
	f("padding", Malformed, honest+"=")
	f("padding in the header", Malformed, parts[0]+"=."+parts[1]+"."+parts[2])
	f("plain base64", Malformed, parts[0]+"."+parts[1]+"."+strings.Repeat("+", 342))
	f("line break", Malformed, honest[:40]+"\n"+honest[40:])
	f("carriage return at the end", Malformed, honest+"\r\n")
	f("space", Malformed, " "+honest)
	f("NUL", Malformed, honest+"\x00")
	f("bits behind the end", Malformed, honest[:len(honest)-1]+next(honest[len(honest)-1]))
	f("empty", Malformed, "")
	f("dots", Malformed, "..")
	f("more dots", Malformed, strings.Repeat(".", 8192))
	f("empty header", Malformed, "."+parts[1]+"."+parts[2])
	f("empty claims", Malformed, parts[0]+".."+parts[2])
	f("JSON form", Malformed, `{"payload":"`+parts[1]+`","signatures":[{"protected":"`+parts[0]+`","signature":"`+parts[2]+`"}]}`)

	// JSON that two readers understand differently.
	f("name twice in the header", Malformed, r(`{"alg":"RS256","alg":"none","kid":"r"}`))
	f("name twice, once escaped", Malformed, r(`{"alg":"RS256","\u0061lg":"none","kid":"r"}`))
	f("name twice in the claims", Malformed, claims(`{"sub":"alice","sub":"admin"`+good[len(`{"sub":"alice"`)-14:]))
	f("claim twice", Malformed, claims(good[:len(good)-1]+`,"sub":"admin"}`))
	f("claim twice further down", Malformed, claims(good[:len(good)-1]+`,"a":[{"b":{"c":1,"c":2}}]}`))
	f("claim in another case is another", Good, claims(good[:len(good)-1]+`,"Sub":"admin","EXP":1}`))
	f("something behind", Malformed, claims(good+`{}`))
	f("no object", Malformed, claims(`["exp"]`))
	f("not UTF-8", Malformed, claims(good[:len(good)-1]+",\"a\":\"\xff\"}"))
	f("half a character", Malformed, claims(good[:len(good)-1]+`,"a":"\ud800"}`))
	f("NaN", Malformed, claims(strings.Replace(good, "1800000300", "NaN", 1)))
	f("Infinity", Malformed, claims(strings.Replace(good, "1800000300", "Infinity", 1)))
	f("comment", Malformed, claims(`/**/`+good))
	f("deep", Good, claims(good[:len(good)-1]+`,"a":`+strings.Repeat("[", 15)+strings.Repeat("]", 15)+`}`))
	f("too deep", Malformed, claims(good[:len(good)-1]+`,"a":`+strings.Repeat("[", 16)+strings.Repeat("]", 16)+`}`))
	f("very deep", Malformed, claims(good[:len(good)-1]+`,"a":`+strings.Repeat("[", 5000)))
	f("deep header", Malformed, r(`{"alg":"RS256","kid":"r","a":`+strings.Repeat(`{"a":`, 16)+`1`+strings.Repeat("}", 17)))

	// Size.
	f("long", Good, claims(good[:len(good)-1]+`,"a":"`+strings.Repeat("a", 5000)+`"}`))
	f("too long", TooLong, claims(good[:len(good)-1]+`,"a":"`+strings.Repeat("a", 8000)+`"}`))
	f("megabytes", TooLong, strings.Repeat("a", 4<<20))

	// Curves.
	esText := b64(`{"alg":"ES256","kid":"e"}`) + "." + b64(good)
	es := seal(ES256, p256(), esText)
	e := func(raw []byte) string { return esText + "." + b64(string(raw)) }
	f("honest ES256", Good, e(es))
	f("ES256 in DER", BadSeal, e(made(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(es[:32]), new(big.Int).SetBytes(es[32:])}))))
	f("ES256 of zeros (CVE-2022-21449)", BadSeal, e(make([]byte, 64)))
	f("ES256 of the order", BadSeal, e(append(p256().Params().N.Bytes(), p256().Params().N.Bytes()...)))
	f("ES256 cut", BadSeal, e(es[:63]))
	f("ES256 with a zero in front", BadSeal, e(append([]byte{0}, es...)))
	f("ES256 with a zero between", BadSeal, e(slices.Concat(es[:32], []byte{0}, es[32:])))
	f("ES384 by a key on P-256", BadMethod, write(ES384, p256(), `{"alg":"ES384","kid":"e"}`, good))
	f("ES256 by a key on P-384", BadSeal, write(ES256, p384(), `{"alg":"ES256","kid":"e"}`, good))
	f("ES256K", BadMethod, write(ES256, p256(), `{"alg":"ES256K","kid":"e"}`, good))
	text := b64(`{"alg":"EdDSA","kid":"d"}`) + "." + b64(good)
	f("EdDSA cut", BadSeal, text+"."+b64(string(seal(EdDSA, edwards(), text)[:63])))
	f("EdDSA of zeros", BadSeal, b64(`{"alg":"EdDSA","kid":"d"}`)+"."+b64(good)+"."+b64(strings.Repeat("\x00", 64)))

	// A PSS signature whose salt has another length than the hash.
	pss := NewSet(public(t, "", "", rsaKey()))
	text = b64(`{"alg":"PS256"}`) + "." + b64(good)
	h := crypto.SHA256.New()
	h.Write([]byte(text))
	raw := made(rsa.SignPSS(randomness{}, rsaKey(), crypto.SHA256, h.Sum(nil), &rsa.PSSOptions{SaltLength: 20}))
	if _, reason := Verify(pss, strict(), text+"."+b64(string(raw)), now); reason != BadSeal {
		t.Errorf("a short salt: %q", reason)
	}

	// Rules that name fewer algorithms than the keys could do.
	rules := strict()
	rules.Algorithms = []Algorithm{ES256}
	if _, reason := Verify(set, rules, honest, now); reason != BadMethod {
		t.Errorf("an algorithm that is not allowed: %q", reason)
	}
	if _, reason := Verify(set, rules, e(es), now); reason != Good {
		t.Errorf("one that is: %q", reason)
	}
}

// next is another letter with the same high bits, so that the last byte decodes to the same.
func next(c byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return letters[strings.IndexByte(letters, c)^1:][:1]
}

type randomness struct{}

func (randomness) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// What claims may be, and what a stolen or stopped clock makes of dates.
func TestClaims(t *testing.T) {
	set := NewSet(public(t, "", HS256, secret))
	at := now
	rules := strict()
	f := func(want Reason, format string, args ...any) {
		t.Helper()
		text := fmt.Sprintf(format, args...)
		got, reason := Verify(set, rules, write(HS256, secret, `{"alg":"HS256"}`, text), at)
		if reason != want || (got != nil) != (want == Good) {
			t.Errorf("%s at %d: %q, want %q", text, at.Unix(), reason, want)
		}
		if got != nil && !got.GoodAt(at, rules.Skew) {
			t.Errorf("%s at %d: good, and not good at that time", text, at.Unix())
		}
	}
	const who = `"iss":"https://id.example","aud":"orders"`
	const n = 1_800_000_000
	// exp, with a skew of 60 s: good until a minute after it, exclusive.
	for after, want := range map[int64]Reason{-1000: Good, -60: Good, 0: Good, 59: Good, 60: Expired, 61: Expired, 1e6: Expired} {
		at = time.Unix(n+after, 0)
		f(want, `{%s,"exp":%d}`, who, n)
	}
	// nbf and iat: good from a minute before them, inclusive.
	for after, want := range map[int64]bool{-1e6: false, -61: false, -60: true, 0: true, 60: true} {
		at = time.Unix(n+after, 0)
		notYet, future := NotYet, FromFuture
		if want {
			notYet, future = Good, Good
		}
		f(notYet, `{%s,"exp":%d,"nbf":%d}`, who, at.Unix()+100, n)
		f(future, `{%s,"exp":%d,"iat":%d}`, who, at.Unix()+100, n)
	}
	at = now
	// A clock that was set to 1970, to 2038 and to the year 9999.
	for clock, want := range map[int64]Reason{0: NotYet, 1 << 31: Expired, 253402300799: Expired} {
		at = time.Unix(clock, 0)
		rules.MaxLifetime = 0
		f(want, `{%s,"exp":%d,"nbf":%d}`, who, n+300, n)
	}
	at, rules = now, strict()
	rules.Skew = 0
	f(Expired, `{%s,"exp":%d}`, who, n)
	f(Good, `{%s,"exp":%d}`, who, n+1)
	f(Good, `{%s,"exp":%d.5}`, who, n)
	f(Expired, `{%s,"exp":%d.5}`, who, n-1)
	rules = strict()
	// Numbers.
	for text, want := range map[string]Reason{
		"1800000300.25": Good, "1.8000003e9": Good, "1.8000003E+9": Good, "180000030e1": Good, "1800000300.000000000000001": Good,
		"1": Expired, "0": Expired, "0.0": Expired, "1e-9": Expired, "-0": Expired,
		"-1": BadClaim, "-1e99": BadClaim, "1e400": BadClaim, "1e12": BadClaim, "253402300800": BadClaim, "9223372036854775808": BadClaim,
		`"1800000300"`: BadClaim, "null": BadClaim, "true": BadClaim, "[1800000300]": BadClaim, "{}": BadClaim,
		"01800000300": Malformed, "+1": Malformed, "0x6B49D200": Malformed, "1.": Malformed, ".5": Malformed, "1e": Malformed, "1_0": Malformed,
		strings.Repeat("1", 65): Malformed,
	} {
		f(want, `{%s,"exp":%s}`, who, text)
	}
	// Lifetimes.
	f(NoExpiry, `{%s}`, who)
	f(Good, `{%s,"exp":%d,"iat":%d}`, who, n+86400, n)
	f(TooLasting, `{%s,"exp":%d,"iat":%d}`, who, n+86401, n)
	f(TooLasting, `{%s,"exp":%d,"iat":%d}`, who, n+10, n-86400)
	f(Good, `{%s,"exp":%d}`, who, n+86460)
	f(TooLasting, `{%s,"exp":%d}`, who, n+86461)
	f(TooLasting, `{%s,"exp":253402300799}`, who)
	rules.MaxLifetime, rules.Lasting = 0, true
	f(Good, `{%s,"exp":253402300799}`, who)
	f(Good, `{%s}`, who)
	f(Expired, `{%s,"exp":1}`, who)
	rules = strict()
	// Issuer and audience, byte by byte.
	for text, want := range map[string]Reason{
		`"https://id.example"`: Good, `"https://id.example/"`: BadIssuer, `"https://ID.example"`: BadIssuer, `"HTTPS://id.example"`: BadIssuer, `""`: BadIssuer,
		`"https:\/\/id.example"`: Good, `["https://id.example"]`: BadClaim, `null`: BadClaim, `1`: BadClaim,
	} {
		f(want, `{"iss":%s,"aud":"orders","exp":%d}`, text, n+10)
	}
	f(BadIssuer, `{"aud":"orders","exp":%d}`, n+10)
	for text, want := range map[string]Reason{
		`"orders"`: Good, `["orders"]`: Good, `["other","orders"]`: Good, `["other"]`: BadAudience, `[]`: BadAudience, `"orders "`: BadAudience, `"order"`: BadAudience, `"Orders"`: BadAudience,
		`"orders other"`: BadAudience, `null`: BadClaim, `[1,"orders"]`: BadClaim, `[["orders"]]`: BadClaim, `{"orders":1}`: BadClaim, `1`: BadClaim, `true`: BadClaim,
	} {
		f(want, `{"iss":"https://id.example","aud":%s,"exp":%d}`, text, n+10)
	}
	f(BadAudience, `{"iss":"https://id.example","exp":%d}`, n+10)
	// The kinds of the others.
	for _, text := range []string{`"sub":1`, `"sub":null`, `"sub":["a"]`, `"jti":1`, `"client_id":{}`, `"azp":7`, `"scope":1`, `"scope":"a\u0009b"`, `"scp":["a b"]`, `"scope":"é"`, `"scp":[1]`, `"scope":"a\"b"`, `"scopes":{}`} {
		f(BadClaim, `{%s,"exp":%d,%s}`, who, n+10, text)
	}
	// Claims that are asked for.
	rules.Claims = []Claim{{Path: "tenant.id", Values: []string{"7", "eight"}}, {Path: "email"}}
	for text, want := range map[string]Reason{
		`"tenant":{"id":"eight"},"email":"a"`: Good, `"tenant":{"id":7},"email":""`: Good, `"tenant.id":["x","7"],"email":[]`: Good,
		`"tenant":{"id":7}`: BadClaim, `"tenant":{"id":7},"email":null`: BadClaim, `"tenant":{"id":70},"email":"a"`: BadClaim, `"tenant":{"id":{"7":"7"}},"email":"a"`: BadClaim,
		`"tenant":{"id":null},"email":"a"`: BadClaim, `"tenant":"7","email":"a"`: BadClaim, `"email":"a"`: BadClaim,
	} {
		f(want, `{%s,"exp":%d,%s}`, who, n+10, text)
	}
	rules = strict()
	rules.Types = []string{"application/at+jwt"}
	f(BadType, `{%s,"exp":%d}`, who, n+10) // these have no typ
}

// A key is tried only on tokens that it may have signed; a token that names no key may be of a few.
func TestKeysTried(t *testing.T) {
	token := write(RS256, rsaKey(), `{"alg":"RS256"}`, good)
	named := write(RS256, rsaKey(), `{"alg":"RS256","kid":"r"}`, good)
	f := func(name, compact string, want Reason, keys ...*Key) {
		t.Helper()
		if _, reason := Verify(NewSet(keys...), strict(), compact, now); reason != want {
			t.Errorf("%s: %q, want %q", name, reason, want)
		}
	}
	right, other := public(t, "r", "", rsaKey()), public(t, "o", "", otherRSA())
	unnamed := public(t, "", "", rsaKey())
	f("no key", token, UnknownKey)
	f("no key, named", named, UnknownKey)
	f("the one key", token, Good, right)
	f("another key", token, BadSeal, other)
	f("one of two", token, Good, other, right)
	f("keys of other types", token, UnknownKey, public(t, "e", "", p256()), public(t, "d", "", edwards()))
	f("by name", named, Good, other, right)
	f("the name is not there", named, UnknownKey, other)
	f("the name is not there, a key has none", named, Good, other, unnamed)
	f("the name is not there, and the one without is another", named, UnknownKey, public(t, "", "", otherRSA()))
	f("two of one name", named, Good, public(t, "r", "", otherRSA()), public(t, "r", "", p256()), right)
	var many []*Key
	for i := range maxTried {
		many = append(many, public(t, fmt.Sprint(i), "", otherRSA()))
	}
	f("the last that is tried", token, Good, append(many[1:], right)...)
	f("one beyond", token, BadSeal, append(many, right)...)
}

// KeyID is for tokens nobody has vouched for.
func TestKeyID(t *testing.T) {
	for compact, want := range map[string]string{
		write(HS256, secret, `{"alg":"HS256","kid":"abc"}`, good): "abc",
		b64(`{"alg":"RS256","kid":"a/b"}`) + ".AA.AA":             "a/b",
		b64(`{"alg":"RS256"}`) + ".AA.AA":                         "",
		b64(`{"alg":"RS256","kid":7}`) + ".AA.AA":                 "",
		"": "", "a.b.c": "", strings.Repeat("a", 1<<20) + ".a.a": "",
	} {
		if got := KeyID(compact); got != want {
			t.Errorf("%q: %q, want %q", clip(compact), got, want)
		}
	}
}
