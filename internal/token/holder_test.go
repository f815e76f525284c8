package token

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

// A token that is bound to a certificate is good for its holder alone; one that is bound to anything else for nobody.
func TestHolder(t *testing.T) {
	own := []byte("own certificate")
	sum := sha256.Sum256(own)
	print := base64.RawURLEncoding.EncodeToString(sum[:])
	f := func(claims, certificate string, want bool) {
		t.Helper()
		all, err := Object([]byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		if got := HolderOf(all).Proven([]byte(certificate)); got != want {
			t.Errorf("%s with %q: %t", claims, certificate, got)
		}
	}
	for _, certificate := range []string{"", string(own), "other"} {
		f(`{}`, certificate, true)
		f(`{"cnf":null}`, certificate, true)
		f(`{"cnf":{"x5t#S256":"`+print+`"}}`, certificate, certificate == string(own))
		for _, cnf := range []string{`"x"`, `{}`, `[]`, `false`, `{"x5t#S256":""}`, `{"x5t#S256":1}`, `{"x5t#S256":"` + print + `="}`, `{"x5t#S256":"` + strings.ToUpper(print) + `"}`,
			`{"jkt":"` + print + `"}`, `{"x5t#S256":"` + print + `","jkt":"a"}`, `{"jwk":{}}`} {
			f(`{"cnf":`+cnf+`}`, certificate, false)
		}
	}
	h := HolderOf(map[string]any{"cnf": map[string]any{"x5t#S256": print}})
	if n := testing.AllocsPerRun(100, func() { h.Proven(own) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
