package jwt

import (
	"testing"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/edge/exchange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever a client writes, nothing that could be its token is left once endpoints are not to see it, and the rest is as it was.
func FuzzHide(f *testing.F) {
	f.Add("Bearer a.b.c", "a=b; token=a.b.c;c=d", "x=1&token=a.b.c&%74oken=d", "X")
	f.Add("bearer", "token", "token", "")
	f.Add("Basic a", `token="a"; =; ;;token=`, "&&=&token=&%zz=1&+=2", "bearer x")
	f.Fuzz(func(t *testing.T, authorization, cookie, query, field string) {
		for _, header := range []string{"Authorization", "X-Token"} {
			u := &terms{options: Options{Header: header, Cookie: "token", Query: "token"}}
			p := &jwt{terms: u}
			var r exchange.Request
			r.Query = query
			r.Header.Add("Authorization", authorization)
			r.Header.Add("X-Token", field)
			r.Header.Add("Cookie", cookie)
			r.Header.Add("Accept", "kept")
			_, before := p.find(&r)
			p.hide(&r)
			if text, found := p.find(&r); found != none {
				t.Fatalf("%q is left of %q %q %q", text, authorization, cookie, query)
			}
			if got, _ := r.Header.Get(exchange.Accept); got != "kept" {
				t.Fatal("another field is gone")
			}
			if got, _ := r.Header.Get(exchange.Cookie); before == none && header == "Authorization" && (got != cookie || r.Query != query) {
				t.Fatalf("%q %q became %q %q", cookie, query, got, r.Query)
			}
		}
	})
}
