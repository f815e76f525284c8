package policy

import (
	"fmt"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
)

// noOptions only make errors.
type noOptions struct{}

func (noOptions) Decode(any) error { return nil }
func (noOptions) Errorf(key, format string, args ...any) error {
	return fmt.Errorf(key+": "+format, args...)
}
func (noOptions) Scope() string { return "test" }

func (noOptions) Upstream(string, string) error { return nil }

func (noOptions) Beside(path string) string { return path }

// request makes an exchange of a target and lines of fields.
func request(target string, lines ...string) *exchange.Exchange {
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{}, 1)
	x.Request.Target = target
	x.Request.Path, x.Request.Query, _ = strings.Cut(target, "?")
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		x.Request.Header.Add(name, strings.Trim(value, " \t"))
	}
	return x
}

// rest is what of a request goes on.
func rest(x *exchange.Exchange) string {
	all := []string{x.Request.Path}
	if x.Request.Query != "" {
		all[0] += "?" + x.Request.Query
	}
	for i := range x.Request.Header.All() {
		f := &x.Request.Header.All()[i]
		name := f.Name
		if SetAside(f) {
			name = "aside"
		}
		all = append(all, name+": "+f.Value)
	}
	return strings.Join(all, " | ")
}

// TestShown: what is found where, what is left once it was found, and what goes to endpoints.
func TestShown(t *testing.T) {
	f := func(s Shown, request *exchange.Exchange, want string, times int, left, sent string) {
		t.Helper()
		if err := s.Check(noOptions{}); err != nil {
			t.Fatal(err)
		}
		before, target := rest(request), request.Request.Target
		got, n := s.Find(request)
		if n != times || n == 1 && got != want {
			t.Errorf("%s: %q, %d times; want %q, %d times", before, got, n, want, times)
		}
		if after := rest(request); after != left {
			t.Errorf("%s: %s is left, want %s", before, after, left)
		}
		if again, m := s.Find(request); m != n || n == 1 && again != got {
			t.Errorf("%s: another method finds %q, %d times", before, again, m)
		}
		if s.Take(request, Accepted); rest(request) != sent {
			t.Errorf("%s: %s goes on, want %s", before, rest(request), sent)
		}
		if request.Request.Target != target { // signatures are made over it
			t.Errorf("%s: the target became %s", before, request.Request.Target)
		}
	}
	key := Shown{Header: "X-Api-Key", Query: "key", Cookie: "k"}
	kept := Shown{Header: "X-Api-Key", Query: "key", Cookie: "k", Forward: true}
	bearer := Shown{Header: "authorization", Scheme: "Bearer", Bare: true}
	bare := Shown{Header: "X-Token", Scheme: "Bearer", Bare: true}
	scheme := Shown{Header: "X-Token", Scheme: "Key"}
	f(key, request("/?a=b", "X-Other: a"), "", 0, "/?a=b | X-Other: a", "/?a=b | X-Other: a")
	f(key, request("/", "Via: a", "x-API-key: b c", "Accept: d"), "b c", 1, "/ | Via: a | x-API-key: b c | Accept: d", "/ | Via: a | Accept: d")
	f(kept, request("/", "X-Api-Key: b"), "b", 1, "/ | X-Api-Key: b", "/ | X-Api-Key: b")
	f(key, request("/", "X-Api-Key:"), "", 1, "/ | X-Api-Key: ", "/")
	f(key, request("/", "X-Api-Key: a", "X-Api-Key: a"), "", 2, "/ | X-Api-Key: a | X-Api-Key: a", "/")
	f(bearer, request("/", "Authorization: Bearer\ta"), "a", 1, "/ | Authorization: Bearer\ta", "/")
	f(bearer, request("/", "Authorization: Bearer \t a"), "a", 1, "/ | Authorization: Bearer \t a", "/")
	f(bearer, request("/", "Authorization: Bearer\va", "Accept: b"), "", 0, "/ | Authorization: Bearer\va | Accept: b", "/ | Authorization: Bearer\va | Accept: b")
	// Schemes, where they have to be and where they may be.
	f(bearer, request("/", "Authorization: bEARER  a"), "a", 1, "/ | Authorization: bEARER  a", "/")
	f(bearer, request("/", "Authorization: Bearer"), "", 1, "/ | Authorization: Bearer", "/")
	f(bearer, request("/", "Authorization: Bearers a"), "", 0, "/ | Authorization: Bearers a", "/ | Authorization: Bearers a")
	f(bearer, request("/", "Authorization: a"), "", 0, "/ | Authorization: a", "/ | Authorization: a")
	f(bearer, request("/", "Authorization: Basic a", "Authorization: Basic b"), "", 0, "/ | Authorization: Basic a | Authorization: Basic b", "/ | Authorization: Basic a | Authorization: Basic b")
	f(bearer, request("/", "Authorization: Basic a", "Authorization: Bearer b"), "", 2, "/ | Authorization: Basic a | Authorization: Bearer b", "/ | Authorization: Basic a")
	f(bare, request("/", "X-Token: a"), "a", 1, "/ | X-Token: a", "/")
	f(bare, request("/", "X-Token: Bearer a"), "a", 1, "/ | X-Token: Bearer a", "/")
	f(bare, request("/", "X-Token:"), "", 0, "/ | X-Token: ", "/ | X-Token: ")
	f(scheme, request("/", "X-Token: key a"), "a", 1, "/ | X-Token: key a", "/")
	f(scheme, request("/", "X-Token: a"), "", 0, "/ | X-Token: a", "/ | X-Token: a")
	f(scheme, request("/", "X-Token: Key a", "X-Token: Other b"), "", 2, "/ | X-Token: Key a | X-Token: Other b", "/ | X-Token: Other b")
	// The query, at any end, however the name is written; it never stays.
	f(kept, request("/p?key=a"), "a", 1, "/p", "/p")
	f(key, request("/p?key=a&b=c"), "a", 1, "/p?b=c", "/p?b=c")
	f(key, request("/p?b=c&key=a"), "a", 1, "/p?b=c", "/p?b=c")
	f(key, request("/p?b&%6b%65y=a%2Bb+c%zz&d"), "a+b c%zz", 1, "/p?b&d", "/p?b&d")
	f(key, request("http://a/p?key=a"), "a", 1, "http://a/p", "http://a/p")
	f(key, request("/p?key"), "", 1, "/p", "/p")
	f(key, request("/p?key=a&key=b&c"), "", 2, "/p?c", "/p?c")
	f(key, request("/p?Key=a&keys=b&ke=c&%6Bez=d"), "", 0, "/p?Key=a&keys=b&ke=c&%6Bez=d", "/p?Key=a&keys=b&ke=c&%6Bez=d")
	// Cookies.
	f(key, request("/", `Cookie: a=b; k="c"; d=e`, "Cookie: f=g"), "c", 1, `/ | Cookie: a=b; d=e | Cookie: f=g | aside: k="c"`, "/ | Cookie: a=b; d=e | Cookie: f=g")
	f(key, request("/", "Cookie: k=c", "Accept: a", "Cookie: f=g"), "c", 1, "/ | Accept: a | Cookie: f=g | aside: k=c", "/ | Accept: a | Cookie: f=g")
	f(key, request("/", "Cookie: k"), "", 1, "/ | aside: k", "/")
	f(key, request("/", `Cookie: k="`), `"`, 1, `/ | aside: k="`, "/")
	f(kept, request("/", "Cookie: k=c"), "c", 1, "/ | Cookie: k=c", "/ | Cookie: k=c")
	f(key, request("/", "Cookie: K=a; kk=b"), "", 0, "/ | Cookie: K=a; kk=b", "/ | Cookie: K=a; kk=b")
	// In two places.
	f(kept, request("/", "Cookie: k=a; k=b"), "", 2, "/ | Cookie: k=a; k=b", "/ | Cookie: k=a; k=b")
	x := request("/", "Cookie: a=b"+strings.Repeat(";k", 1000))
	if _, n := key.Find(x); n != 2 || rest(x) != "/ | Cookie: a=b" {
		t.Errorf("%d times, %d fields are left", n, x.Request.Header.Len())
	}
	f(kept, request("/?key=a", "Cookie: k=a"), "", 2, "/ | Cookie: k=a", "/ | Cookie: k=a")
	f(key, request("/?key=a", "X-Api-Key: a"), "", 2, "/ | X-Api-Key: a", "/")
}

// inCookies says whether one of the cookies of a field is the credential.
func (s *Shown) inCookies(value string) bool {
	for pair := range strings.SplitSeq(value, ";") {
		if s.isCookie(pair) {
			return true
		}
	}
	return false
}

// A cookie that one method does not forward and another accepts and forwards is left for endpoints; a client cannot send one that counts as
// set aside.
func TestShownVouched(t *testing.T) {
	hides, forwards := Shown{Header: "X-A", Cookie: "k"}, Shown{Header: "X-B", Cookie: "k", Forward: true}
	for _, s := range []*Shown{&hides, &forwards} {
		if err := s.Check(noOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, order := range [][2]*Shown{{&hides, &forwards}, {&forwards, &hides}} {
		x := request("/", "Cookie: a=b; k=c; d=e", "Cookie: k2=f")
		hides.Find(x)
		if got, times := forwards.Find(x); got != "c" || times != 1 {
			t.Errorf("the second method finds %q, %d times", got, times)
		}
		x.Vouched = "c"
		for _, s := range order {
			if s == &forwards {
				s.Take(x, Accepted)
			} else {
				s.Take(x, Refused)
			}
		}
		if got := rest(x); got != "/ | Cookie: a=b; d=e | Cookie: k2=f | Cookie: k=c" {
			t.Error(got)
		}
	}
	x := request("/", "Cookie: k=c", "Cookie: a=b")
	if all := x.Request.Header.All(); SetAside(&all[0]) {
		t.Error("a client's cookie counts as set aside")
	}
	// What stands in a field beside what was accepted is not it.
	x.Vouched = "good"
	for value, want := range map[string]bool{
		"good": true, "Bearer good": true, "Bearer\tgood": true, "bearer  \tgood": true,
		"": false, "bad": false, "Bearer bad good": false, "Bearer bad, Bearer good": false, "Bearer bad,good": false, "Bearer good bad": false, " good": false, "Bearer xgood": false,
	} {
		if got := Vouched(x, value); got != want {
			t.Errorf("%q: %t", value, got)
		}
	}
	if x.Vouched = ""; Vouched(x, "") || Vouched(x, "Bearer ") {
		t.Error("nothing is vouched for")
	}
}

func TestShownCheck(t *testing.T) {
	f := func(s Shown, want string) {
		t.Helper()
		if err := s.Check(noOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q in it", s, err, want)
		}
	}
	f(Shown{}, "header: no place is left")
	f(Shown{Header: "X Key"}, "header: \"X Key\" is not a field name")
	f(Shown{Header: "Cookie"}, "header: Cookie has a meaning")
	f(Shown{Header: "X-Consumer-Id"}, "header: X-Consumer-Id has a meaning")
	f(Shown{Header: "authorization"}, "header: Authorization carries more")
	f(Shown{Header: "A", Scheme: "a b"}, "scheme: ")
	f(Shown{Query: "a", Scheme: "b"}, "scheme: ")
	f(Shown{Query: "a&b"}, "query: ")
	f(Shown{Cookie: "a=b"}, "cookie: ")
	if err := (&Shown{Cookie: "a_b.c-d", Scheme: "Bearer", Bare: true}).Check(noOptions{}); err != nil {
		t.Error(err)
	}
}

// Whatever a client writes, nothing that could be its credential is left where endpoints and logs see it, and the rest is as it was.
func FuzzShown(f *testing.F) {
	f.Add("Bearer a.b.c", "a=b; token=a.b.c;c=d", "x=1&token=a.b.c&%74oken=d", "X")
	f.Add("bearer", "token", "token", "")
	f.Add("Basic a", `token="a"; =; ;;token=`, "&&=&token=&%zz=1&+=2", "bearer x")
	f.Fuzz(func(t *testing.T, authorization, cookie, query, field string) {
		for _, header := range []string{"Authorization", "X-Token"} {
			s := Shown{Header: header, Scheme: "Bearer", Bare: true, Query: "token", Cookie: "token"}
			if err := s.Check(noOptions{}); err != nil {
				t.Fatal(err)
			}
			x := request("/?" + query)
			h := &x.Request.Header
			h.Add("Authorization", authorization)
			h.Add("X-Token", field)
			h.Add("Cookie", cookie)
			h.Add("Accept", "kept")
			_, before := s.Find(x)
			if before == 1 && s.inCookies(cookie) && !strings.Contains(rest(x), "aside") {
				t.Fatalf("%q is not set aside: %s", cookie, rest(x))
			}
			if before == 0 && (x.Request.Query != query || h.Len() != 4 || h.All()[2].Value != cookie) {
				t.Fatalf("%q %q became %s", query, cookie, rest(x))
			}
			s.Take(x, Unasked)
			x.Request.Target = "/?" + x.Request.Query
			if text, times := s.Find(x); times != 0 {
				t.Fatalf("%q is left of %q %q %q %q", text, authorization, cookie, query, field)
			}
			if got, _ := h.Get(exchange.Accept); got != "kept" {
				t.Fatal("another field is gone")
			}
		}
	})
}

// keyed is a method whose credential may stand in the address.
type keyed struct {
	method
	places *Shown
}

func (k keyed) Conceal(x *exchange.Exchange) { k.places.Conceal(x) }

// A credential in the address is told to no log, whatever becomes of the request, and also when its method was not asked.
func TestConceal(t *testing.T) {
	for _, lines := range [][]string{nil, {"first: ok"}, {"first: bad"}, {"first: down"}, {"first: answer"}} {
		c := &Chain{}
		c.Add("authenticate", &Terms{All: true})
		c.Add("first", method("first"))
		c.Add("keyed", keyed{"keyed", &Shown{Query: "key"}})
		x := request("/?a=b&key=s3cr3t", lines...)
		if c.Request(x); x.Request.Query != "a=b" {
			t.Errorf("%q: the query is %s", lines, x.Request.Query)
		}
	}
}
