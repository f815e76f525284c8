package token

import (
	"fmt"
	"testing"
)

func TestLookup(t *testing.T) {
	claims, err := Object([]byte(`{"sub":"a","realm_access":{"roles":["x","y"],"a.b":1},"https://e.example/roles":["z"],"https://e.example/app":{"id":7},
		"a":{"b":{"c":"deep"},"n":null},"a.b":{"d":"dotted"},"t":true,"o":{},"l":[1,"two",false],"c":["a,b"],"m":[["x"]]}`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"sub": "a true", "realm_access.roles": "x,y true", "realm_access.a.b": "1 true", "https://e.example/roles": "z true", "https://e.example/app.id": "7 true",
		"a.b.c": "deep true", "a.b.d": "dotted true", "t": "true true", "l": "1,two,false true",
		"a.n": " false", "o": " false", "c": " false", "m": " false", // there, and not to be written as text
		"none": "", "sub.a": "", "a.b.x": "", "realm_access.": "", ".sub": "", "": "", "l.0": "", "..": "",
	} {
		got := ""
		if v, there := Lookup(claims, path); there {
			text, ok := Text(v)
			got = fmt.Sprintf("%s %t", text, ok)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestScopesOf(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: `[] "" true`, `{"scope":""}`: `[] "" true`, `{"scope":"a"}`: `["a"] "a" true`, `{"scope":" a  b "}`: `["a" "b"] "a b" true`,
		`{"scp":"a b"}`: `["a" "b"] "a b" true`, `{"scp":["a","b:c/d"]}`: `["a" "b:c/d"] "a b:c/d" true`, `{"scopes":["a"]}`: `["a"] "a" true`,
		`{"scope":"a","scp":["b"]}`: `["a"] "a" true`, `{"scope":null,"scp":"b"}`: `["b"] "b" true`, `{"scope":[]}`: `[] "" true`,
		`{"scope":1}`: `[] "" false`, `{"scope":{}}`: `[] "" false`, `{"scp":["a b"]}`: `[] "" false`, `{"scp":[""]}`: `[] "" false`, `{"scp":[1]}`: `[] "" false`,
		`{"scope":"a\tb"}`: `[] "" false`, `{"scope":"a\u0000"}`: `[] "" false`, `{"scope":"\u00e9"}`: `[] "" false`, `{"scope":"\""}`: `[] "" false`, `{"scope":"\\"}`: `[] "" false`,
	} {
		claims, err := Object([]byte(text))
		if err != nil {
			continue // a raw tab is no JSON
		}
		scopes, list, ok := ScopesOf(claims)
		if got := fmt.Sprintf("%q %q %t", scopes, list, ok); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
