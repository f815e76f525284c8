package condition

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// facts are those of one request, written out.
type facts struct {
	words  map[Variable]string
	lists  map[Variable][]string
	fields map[string]string
	query  string
	claims map[string]any
	asked  []string // what the expression asked for, in order
}

func (f *facts) Word(v Variable) string {
	f.asked = append(f.asked, v.String())
	return f.words[v]
}

func (f *facts) List(v Variable) []string {
	f.asked = append(f.asked, v.String())
	return f.lists[v]
}

func (f *facts) Field(name string) (string, bool) {
	f.asked = append(f.asked, "field "+name)
	value, ok := f.fields[strings.ToLower(name)]
	return value, ok
}

func (f *facts) FieldNames() []string {
	f.asked = append(f.asked, "field names")
	var all []string
	for name := range f.fields {
		all = append(all, name)
	}
	return all
}

func (f *facts) Query() string {
	f.asked = append(f.asked, "query")
	return f.query
}

func (f *facts) Time() time.Time { return time.Date(2026, 11, 21, 22, 30, 0, 0, time.UTC) }

func (f *facts) Claims() map[string]any {
	f.asked = append(f.asked, "claims")
	return f.claims
}

func claims(t testing.TB, text string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func usual(t testing.TB) *facts {
	return &facts{
		words: map[Variable]string{
			RequestMethod: "POST", RequestHost: "api.example.com", RequestPath: "/orders/7", RequestScheme: "https",
			ClientIP: "192.0.2.7", ConsumerID: "acme", ConsumerName: "Acme Ltd", ConsumerPlan: "gold",
			AuthMethod: "jwt", AuthSubject: "s1", AuthIssuer: "https://id.example.com", AuthClient: "web",
		},
		lists:  map[Variable][]string{ConsumerGroups: {"partners", "staff"}, ConsumerTags: {"eu"}, AuthScopes: {"orders:read", "orders:write"}},
		fields: map[string]string{"x-role": "admin", "accept": "text/html", "x-long": strings.Repeat("a", MaxValue+1)},
		query:  "page=2&a%20b=c%2Fd+e&twice=1&twice=2&bad=%zz&empty=&&flag",
		claims: claims(t, `{"role":"admin","level":3,"big":9007199254740993,"ratio":0.5,"groups":["a","b"],"address":{"country":"NO"},
			"https://x.example/roles":["r"],"yes":true,"nothing":null,"text":"12"}`),
	}
}

func TestJudge(t *testing.T) {
	f := func(want Outcome, text string) {
		t.Helper()
		c, err := Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		for range 2 { // the second time in a used view
			if got := c.Judge(usual(t)); got != want {
				t.Errorf("%s: %s, want %s", text, got, want)
			}
		}
	}
	f(Holds, `request.method == "POST"`)
	f(Fails, `request.method == "GET"`)
	f(Holds, `request.method in ["POST", "PUT"] && request.scheme == "https" && request.host == "api.example.com"`)
	f(Holds, `request.path.startsWith("/orders/") && !request.path.endsWith("/admin") && request.path.contains("ders")`)
	f(Holds, `request.path.matches("^/orders/[0-9]+$")`)
	f(Holds, `request.path.split("/")[1] == "orders" && request.path.substring(1).indexOf("/") == 6`)
	f(Holds, `request.host.upperAscii() == "API.EXAMPLE.COM" && " x ".trim() == "x"`)

	f(Holds, `request.headers["x-role"] == "admin"`)
	f(Holds, `request.headers["X-Role"] == "admin"`)
	f(Holds, `"x-role" in request.headers && !("x-other" in request.headers)`)
	f(Holds, `has(request.headers.accept) && !has(request.headers.other) && request.headers.accept == "text/html"`)
	f(Missing, `request.headers["x-other"] == ""`)
	f(Missing, `request.headers["x-other"] != "admin"`)
	f(Missing, `!(request.headers["x-other"] == "admin")`)
	f(Broken, `request.headers["x-long"] != "a"`)
	f(Broken, `has(request.headers.accept) && request.headers["x-long"].startsWith("a")`)
	f(Holds, `request.headers.exists(n, n.startsWith("x-ro")) && size(request.headers) == 3`)
	f(Broken, `request.headers.exists(n, n == "x-long" && request.headers[n] != "")`)

	f(Holds, `request.query_params["page"] == "2" && request.query_params["a b"] == "c/d e" && request.query_params.empty == "" && "flag" in request.query_params`)
	f(Missing, `request.query_params["other"] == "2"`)
	f(Broken, `request.query_params["twice"] == "1"`)
	f(Broken, `request.query_params["twice"] == "2"`)
	f(Broken, `request.query_params["bad"] != ""`)
	f(Holds, `has(request.query_params.page) && !has(request.query_params.other)`)
	f(Holds, `size(request.query_params) == 6`)

	f(Holds, `ip_in(client.ip, "192.0.2.0/24") && !ip_in(client.ip, "10.0.0.0/8") && client.ip == "192.0.2.7"`)
	f(Holds, `ip_in("2001:db8::1", "2001:db8::/32") && ip_in("::ffff:10.0.0.1", "10.0.0.0/8")`)
	f(Broken, `ip_in("somewhere", "10.0.0.0/8")`)
	f(Broken, `!ip_in(auth.subject, "10.0.0.0/8")`)

	f(Holds, `consumer.id == "acme" && consumer.name == "Acme Ltd" && consumer.plan == "gold" && "staff" in consumer.groups && consumer.tags == ["eu"]`)
	f(Holds, `auth.method == "jwt" && auth.issuer == "https://id.example.com" && auth.client == "web" && auth.subject == "s1"`)
	f(Holds, `"orders:read" in auth.scopes && auth.scopes.all(s, s.startsWith("orders:")) && auth.scopes.size() == 2`)

	f(Holds, `auth.claims.role == "admin" && auth.claims.level >= 3 && auth.claims.ratio < 1.0 && auth.claims.yes`)
	f(Holds, `auth.claims.big == 9007199254740993`)
	f(Fails, `auth.claims.big == 9007199254740992`)
	f(Holds, `"a" in auth.claims.groups && auth.claims.address.country == "NO" && auth.claims["https://x.example/roles"][0] == "r"`)
	f(Holds, `has(auth.claims.role) && !has(auth.claims.other) && has(auth.claims.address.country) && !has(auth.claims.address.city)`)
	f(Holds, `auth.claims.nothing == null && int(auth.claims.text) == 12`)
	f(Missing, `auth.claims.other == "x"`)
	f(Missing, `auth.claims.other != "x"`)
	f(Missing, `!auth.claims.other`)
	f(Missing, `has(auth.claims.other.below)`)
	f(Fails, `has(auth.claims.other) && auth.claims.other.below == 1`)
	f(Fails, `auth.claims.role == 3`)
	f(Broken, `auth.claims.role > 3`)
	f(Broken, `!auth.claims.role`)
	f(Missing, `auth.claims.role.below == 1`)
	f(Broken, `auth.claims.level / 0 == 1`)
	f(Broken, `int(auth.claims.role) == 1`)
	f(Holds, `auth.claims.other == "x" || true`)
	f(Fails, `auth.claims.other == "x" && false`)
	f(Holds, `auth.claims.groups.exists(g, g == "b") && auth.claims.groups.filter(g, g != "b") == ["a"]`)

	f(Holds, `request.time > timestamp("2026-01-01T00:00:00Z") && request.time.getHours() == 22`)
	f(Holds, "true &&\n  // a comment\n  request.method == \"POST\"")
}

// A caller nobody knows has no claims, and lists that are empty.
func TestNobody(t *testing.T) {
	f := func(want Outcome, text string) {
		t.Helper()
		c, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Judge(&facts{}); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	f(Holds, `consumer.id == "" && auth.scopes == [] && !has(auth.claims.sub) && !("x" in consumer.groups) && size(auth.claims) == 0`)
	f(Missing, `auth.claims.sub != "x"`)
	f(Broken, `!ip_in(client.ip, "10.0.0.0/8")`)
	f(Holds, `size(request.query_params) == 0 && !("" in request.query_params)`)
}

func TestRefused(t *testing.T) {
	f := func(line, column int, want, text string) {
		t.Helper()
		_, err := Compile(text)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", text, err)
			return
		}
		if e.Line != line || e.Column != column || !strings.Contains(e.Text, want) {
			t.Errorf("%s: %d:%d %s; want %d:%d %s", text, e.Line, e.Column, e.Text, line, column, want)
		}
		if strings.ContainsAny(e.Text, "\n\x00") {
			t.Errorf("%s: more than a line: %q", text, e.Text)
		}
	}
	f(1, 1, "empty", ``)
	f(1, 1, "empty", " \n\t")
	f(1, 1, "at most 4096", strings.Repeat("a", MaxBytes+1))
	f(1, 1, "has to be true or false", `request.method`)
	f(1, 1, "has to be true or false", `1 + 1`)
	f(1, 16, "a single = means nothing here; write == to compare", `request.method = "GET"`)
	f(1, 36, "write == to compare", `request.path=="/" && request.method="GET"`)
	f(1, 8, "Syntax error", `true &&`)
	f(1, 1, `there is no "request.metod"; did you mean request.method?`, `request.metod == "GET"`)
	f(1, 1, `there is no "requst.path"; did you mean request.path?`, `requst.path == "/"`)
	f(1, 9, `there is no "consumer.ID"; did you mean consumer.id?`, `true && consumer.ID == "x"`)
	f(1, 1, `there is no "request.body"; there are request.method`, `request.body == "x"`)
	f(2, 3, `there is no "user"; there are request.method, request.host`, "true &&\n  user == \"x\"")
	f(2, 8, `there is no "user"`, "// é\n'é' == user.name")
	f(1, 16, "found no matching overload for '_==_'", `request.method == 1`)
	f(1, 1, `there is no function "before"`, `before("x")`)
	f(1, 28, "replace is not available", `request.path == "x".replace("x", request.path)`)
	f(1, 21, "join is not available", `consumer.groups.join(",") == "x"`)
	f(1, 12, "format is not available", `"%s".format([1]) == "x"`)
	f(1, 42, "the pattern of matches has to be written out", `request.path.matches(request.query_params["p"])`)
	f(1, 22, "at most 256 are allowed", `request.path.matches("`+strings.Repeat("a", 257)+`")`)
	f(1, 1, "", `request.path.matches("(")`)
	f(1, 1, "", `request.path.matches("((a{50}){50}){50}")`)
	f(1, 24, "has to be written out", `ip_in(client.ip, client.ip)`)
	f(1, 18, `"10.0.0.1" is not a network`, `ip_in(client.ip, "10.0.0.1")`)
	f(1, 18, `"10.0.0.1/8" has bits beyond its length; write "10.0.0.0/8"`, `ip_in(client.ip, "10.0.0.1/8")`)
	f(1, 18, "write them as IPv4", `ip_in(client.ip, "::ffff:10.0.0.0/104")`)
	f(1, 1, "could take more than", `auth.claims.a.all(a, auth.claims.b.all(b, auth.claims.c.all(c, a == b && b == c)))`)
	f(1, 1, "", strings.Repeat("(", 200)+"true"+strings.Repeat(")", 200))
	f(1, 1, "such as == true", `auth.claims.admin`)
	f(1, 1, "", strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+" == []")
}

// Only what an expression comes to is asked for.
func TestLazy(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		c, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		facts := usual(t)
		c.Judge(facts)
		if got := strings.Join(facts.asked, ", "); got != want {
			t.Errorf("%s: asked for %s, want %s", text, got, want)
		}
	}
	f(`true`, "")
	f(`request.method == "POST"`, "request.method")
	f(`request.method == "GET" && request.headers["x-role"] == "admin"`, "request.method")
	f(`request.headers["x-role"] == "admin"`, "field x-role")
	f(`has(auth.claims.role)`, "claims")
}

// A list longer than the estimate reckons with, as only a claim can be, meets the limit while it is judged.
func TestCostLimit(t *testing.T) {
	c, err := Compile(`auth.claims.list.all(a, a != 3)`)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]any, 100_000)
	for i := range list {
		list[i] = "a"
	}
	if got := c.Judge(&facts{claims: map[string]any{"list": list[:100]}}); got != Holds {
		t.Errorf("a short list: %s", got)
	}
	if got := c.Judge(&facts{claims: map[string]any{"list": list}}); got != TooCostly {
		t.Errorf("a long list: %s", got)
	}
}

func FuzzCompile(f *testing.F) {
	for _, text := range []string{`request.method == "GET"`, `auth.claims.a[0].b`, `ip_in(client.ip, "10.0.0.0/8")`, "a\nb", `has(request.headers.x)`, `[1].map(x, x)`, `"a" + b'c'`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Compile(text)
		if err == nil {
			c.Judge(usual(t))
			return
		}
		var e *Error
		if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.Text == "" || strings.Contains(e.Text, "BUG") {
			t.Errorf("%q: %#v", text, err)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	for name, text := range map[string]string{
		"one":    `request.method == "POST"`,
		"scope":  `"orders:write" in auth.scopes`,
		"claim":  `auth.claims.role == "admin"`,
		"header": `request.headers["x-role"] == "admin"`,
		"four":   `request.method == "POST" && request.path.startsWith("/orders/") && auth.claims.role == "admin" && ip_in(client.ip, "192.0.2.0/24")`,
	} {
		b.Run(name, func(b *testing.B) {
			c, err := Compile(text)
			if err != nil {
				b.Fatal(err)
			}
			f := still{usual(b)}
			b.ReportAllocs()
			for b.Loop() {
				if c.Judge(f) != Holds {
					b.Fatal("does not hold")
				}
			}
		})
	}
}

// still are facts that do not note what is asked.
type still struct{ f *facts }

func (s still) Word(v Variable) string   { return s.f.words[v] }
func (s still) List(v Variable) []string { return s.f.lists[v] }
func (s still) Field(name string) (string, bool) {
	value, ok := s.f.fields[name]
	return value, ok
}
func (s still) FieldNames() []string   { return nil }
func (s still) Query() string          { return s.f.query }
func (s still) Time() time.Time        { return time.Time{} }
func (s still) Claims() map[string]any { return s.f.claims }

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(`request.method == "POST" && auth.claims.role == "admin"`); err != nil {
			b.Fatal(err)
		}
	}
}

// One condition judges many requests at once, each by its own facts.
func TestConcurrent(t *testing.T) {
	c, err := Compile(`request.headers["x-role"] == consumer.id && request.query_params["id"] == consumer.id && auth.claims.id == consumer.id`)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 300 {
				id := fmt.Sprint(g, "-", i)
				f := &facts{words: map[Variable]string{ConsumerID: id}, fields: map[string]string{"x-role": id}, query: "id=" + id, claims: map[string]any{"id": id}}
				if got := c.Judge(f); got != Holds {
					t.Errorf("%s: %s", id, got)
				}
				f.claims["id"] = "another"
				if got := c.Judge(f); got != Fails {
					t.Errorf("%s of another: %s", id, got)
				}
			}
		})
	}
	all.Wait()
}

// Facts that fail are no reason to let anyone pass, nor to stop the gateway.
func TestPanic(t *testing.T) {
	c, err := Compile(`request.method == "POST" || true`)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Judge(nil); got != Broken {
		t.Errorf("%s", got)
	}
	if got := c.Judge(usual(t)); got != Holds {
		t.Errorf("afterwards: %s", got)
	}
}
