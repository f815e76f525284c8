package issuer

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// The provider gives tokens, signs JWTs by the key set it shows, and misbehaves as told.
func TestIssuer(t *testing.T) {
	i := Start(t, "-client", "api:secret:", "-jwt")
	if token := i.Token("api", "secret", url.Values{"scope": {"read"}, "audience": {"orders"}}); strings.Count(token, ".") != 2 {
		t.Errorf("%q is no JWT", token)
	}
	i.Do(Plan{Path: "/jwks", Times: 1, Status: 500})
	for n, want := range []int{500, 200} {
		r, err := http.Get(i.URL + "/jwks")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("request %d: got %s, want %d", n, r.Status, want)
		}
	}
	if n := i.Count("/jwks"); n != 2 {
		t.Errorf("counted %d requests, want 2", n)
	}
	i.Rotate(true)
	url := i.URL
	i.Stop()
	i.Again()
	if i.URL != url {
		t.Errorf("came back at %s, want %s", i.URL, url)
	}
}
