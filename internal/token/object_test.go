package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestObject(t *testing.T) {
	f := func(text string, want any) {
		t.Helper()
		got, err := Object([]byte(text))
		if want == nil {
			if err == nil {
				t.Errorf("%q is read as %v", text, got)
			}
			return
		}
		if err != nil || !reflect.DeepEqual(got["a"], want) {
			t.Errorf("%q: %#v %v, want %#v", text, got["a"], err, want)
		}
	}
	f(` {"a":1} `, json.Number("1"))
	f("\t{\r\n\"a\" : [ ] }", []any{})
	f(`{"a":{}}`, map[string]any{})
	f(`{"a":[1, "b" ,null,true,false,{"c":[]}]}`, []any{json.Number("1"), "b", nil, true, false, map[string]any{"c": []any{}}})
	f(`{"a":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\ude00"}`, "\"\\/\b\f\n\r\tAé€😀")
	f(`{"a":"é€😀"}`, "é€😀")
	f(`{"a":-0.5e-7}`, json.Number("-0.5e-7"))
	f(`{"\u0061":"x"}`, "x")
	f(`{"a":"`+strings.Repeat("x", 10000)+`"}`, strings.Repeat("x", 10000))
	f(`{"a":`+strings.Repeat("9", 64)+`}`, json.Number(strings.Repeat("9", 64)))
	for _, bad := range []string{
		``, ` `, `null`, `[]`, `"a"`, `1`, `{`, `}`, `{}}`, `{}{}`, `{} x`, "{}\x00", "\ufeff{}", `{a:1}`, `{'a':1}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`,
		`{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":tru}`, `{"a":True}`, `{"a":nul}`, `{"a":nil}`, `{"a":undefined}`,
		`{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.1}`, `{"a":1e}`, `{"a":1e+}`, `{"a":+1}`, `{"a":0x1}`, `{"a":` + strings.Repeat("9", 65) + `}`,
		`{"a":"`, `{"a":"\`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u123g"}`, `{"a":"\u+123"}`, `{"a":"\ud800"}`, `{"a":"\udc00"}`, `{"a":"\ud800\u0041"}`, `{"a":"\ud800x"}`, `{"a":"\udc00\ud800"}`,
		"{\"a\":\"\n\"}", "{\"a\":\"\x00\"}", "{\"a\":\"\\\"\x1f\"}", "{\"a\":\"\xff\"}", "{\"a\":\"\xc0\xaf\"}", "{\"a\":\"\xed\xa0\x80\"}",
		`{"a":1,"a":2}`, `{"a":1,"\u0061":1}`, `{"b":{"a":1,"a":1}}`, `{"b":[{"":1,"":1}]}`, `{"a":1}//`, `{"a"/**/:1}`,
		strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17), strings.Repeat(`{"a":`, 1<<20), `{"a":` + strings.Repeat("[", 1<<20),
	} {
		f(bad, nil)
	}
}

// What is read is what the standard library reads, too.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{good, `{}`, `{"a":[1,-2.5e+9,"\ud83d\ude00",null,true,{"b":{}}]}`, `{"a":1,"a":2}`, "{\"a\":\"\x00\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Object(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var want map[string]any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q is read, and not by the standard library: %v", text, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			t.Fatalf("%q is read with something behind it", text)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %#v, want %#v", text, got, want)
		}
	})
}

// Nothing verifies but what was signed.
func FuzzVerify(f *testing.F) {
	set := NewSet(public(f, "r", "", rsaKey()), public(f, "e", "", p256()), public(f, "d", "", edwards()), public(f, "h", HS256, secret))
	signed := map[string]bool{}
	for a, key := range map[Algorithm]any{RS256: rsaKey(), PS256: rsaKey(), ES256: p256(), EdDSA: edwards(), HS256: secret} {
		token := write(a, key, `{"alg":"`+string(a)+`"}`, good)
		signed[token[:strings.LastIndexByte(token, '.')]] = true
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		got, reason := Verify(set, strict(), compact, now)
		if (got != nil) != (reason == Good) {
			t.Fatalf("%q: %v %q", compact, got, reason)
		}
		if reason == Good && !signed[compact[:strings.LastIndexByte(compact, '.')]] {
			t.Fatalf("%q: was never signed", compact)
		}
		KeyID(compact)
	})
}

// A set of anybody's keys never brings anything down, and holds nothing that breaks the bounds.
func FuzzParseSet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"sig","key_ops":["verify"],"kid":"a","alg":"EdDSA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"oct","k":"AAAA","alg":"HS256"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, _, err := ParseSet(text)
		if (set == nil) != (err != nil) {
			t.Fatal(set, err)
		}
		if err != nil {
			return
		}
		for _, k := range set.Keys() {
			if k.secret != nil || !set.Has(k.ID()) || !set.Holds(k.Identity()) {
				t.Fatalf("%+v", k)
			}
		}
		Verify(set, strict(), b64(`{"alg":"ES256"}`)+"."+b64(good)+"."+b64(strings.Repeat("a", 64)), now)
	})
}
