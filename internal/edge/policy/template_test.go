package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
)

// known is an exchange of which everything is known.
func known() *exchange.Exchange {
	x := request("/shop/a%2Fb/x%20y?page=2&q=a+b%21&twice=1&twice=2&bad=%zz&e=&%70lus=%2B", "X-Tenant: acme", "Accept: a", "x-tenant: other", "Cookie: secret")
	x.ID = "0123"
	x.Conn = &exchange.Conn{Listener: "public"}
	x.Times.Start = clock.Now()
	r := &x.Request
	r.Method, r.Scheme, r.Host, r.Port = "GET", "https", "shop.example", "8443"
	x.Route = &exchange.Route{Name: "orders"}
	x.Params = []exchange.Param{{Name: "id", Value: "a%2Fb"}, {Name: "*", Value: "x%20y"}}
	x.Caller = exchange.Caller{Method: "jwt", Subject: "ann", Issuer: "https://id.example", Client: "app", Credential: "key-1", ScopeList: "a b",
		Consumer: &consumer.Consumer{ID: "acme", Name: "Acme & Söhne", GroupList: "a,b", Plan: &consumer.Plan{Name: "gold"}},
		Claims: map[string]any{"sub": "ann", "ok": true, "none": nil, "list": []any{"a"}, "object": map[string]any{"city": "Oslo"}, "empty": "",
			"https://example.com/role": "editor", "evil": "a\r\nX-Admin: 1", "nul": "a\x00b", "quote": `a"b\c`, "space": " a ", "dots": ".."}}
	x.Upstream.Endpoint = "10.0.0.5:8080"
	x.Response.Status = 201
	return x
}

// fill shows what comes of a template in all the ways it can be written; "-" for none.
func fill(t *testing.T, text string, x *exchange.Exchange) (asIs, field, path, query, param string) {
	t.Helper()
	template, err := NewResponseTemplate(text)
	if err != nil {
		t.Fatal(err)
	}
	try := func(append func([]byte, *exchange.Exchange) ([]byte, bool)) string {
		out, ok := append([]byte("before"), x)
		if !strings.HasPrefix(string(out), "before") || !ok && len(out) != len("before") {
			t.Errorf("%s: %q", text, out)
		}
		if !ok {
			return "-"
		}
		return string(out[len("before"):])
	}
	return string(template.Append(nil, x)), try(template.AppendField), try(template.AppendPath), try(template.AppendQuery), try(template.AppendParam)
}

func TestTemplateFacts(t *testing.T) {
	x := known()
	f := func(text, want string) {
		t.Helper()
		if asIs, field, _, _, _ := fill(t, text, x); asIs != want || field != want {
			t.Errorf("%s: %q, in a field %q, want %q", text, asIs, field, want)
		}
	}
	f("", "")
	f("a {{b}} }}{{ c", "a {b} }{ c")
	f("{request.id}", "0123")
	f("<{request.id}>{{{request.id}}}", "<0123>{0123}")
	f("{request.method} {request.scheme}://{request.host}{request.path}?{request.query}", "GET https://shop.example/shop/a%2Fb/x%20y?page=2&q=a+b%21&twice=1&twice=2&bad=%zz&e=&%70lus=%2B")
	f("{request.authority}", "shop.example:8443")
	f("{request.headers.X-TENANT}", "acme, other")
	f("{request.headers.accept}", "a")
	f("{request.headers.X-None}|", "|")
	f("{request.query_params.page}{request.query_params.q}{request.query_params.e}{request.query_params.none}", "2a b!")
	f("{request.query_params.plus}", "+")
	f("{path.id} {path.*} {path.none}|", "a%2Fb x%20y |")
	f("{route} {listener}", "orders public")
	f("{consumer.id} {consumer.name} {consumer.plan} {consumer.groups}", "acme Acme & Söhne gold a,b")
	f("{auth.method} {auth.subject} {auth.issuer} {auth.client} {auth.credential} {auth.scopes}", "jwt ann https://id.example app key-1 a b")
	f("{auth.claims.sub} {auth.claims.ok} {auth.claims.object.city} {auth.claims.https://example.com/role} {auth.claims.none}{auth.claims.missing}{auth.claims.empty}|", "ann true Oslo editor |")
	f("{response.status} {upstream.endpoint}", "201 10.0.0.5:8080")
	wall := clock.Wall(x.Times.Start)
	f("{request.time} {request.unix_time}", wall.UTC().Format(time.RFC3339)+fmt.Sprintf(" %d", wall.Unix()))
	// Nobody is known, and nothing else.
	x = &exchange.Exchange{}
	x.Begin(&exchange.Conn{}, 1)
	f("{client.ip}{route}{listener}{consumer.id}{consumer.name}{consumer.plan}{consumer.groups}{auth.claims.a}{path.*}{auth.subject}|", "|")
}

func TestTemplateClient(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		x := request("/")
		x.Client = netip.MustParseAddr(address)
		if got, _, _, _, _ := fill(t, "{client.ip}", x); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	f("192.0.2.1", "192.0.2.1")
	f("::ffff:192.0.2.1", "192.0.2.1")
	f("2001:db8::1%eth0", "2001:db8::1")
}

// What facts hold can begin no field, no line, no parameter and no segment.
func TestTemplateEscapes(t *testing.T) {
	x := known()
	f := func(text, asIs, field, path, query, param string) {
		t.Helper()
		gotAsIs, gotField, gotPath, gotQuery, gotParam := fill(t, text, x)
		if gotAsIs != asIs || gotField != field || gotPath != path || gotQuery != query || gotParam != param {
			t.Errorf("%s:\n%q %q %q %q %q, want\n%q %q %q %q %q", text, gotAsIs, gotField, gotPath, gotQuery, gotParam, asIs, field, path, query, param)
		}
	}
	const evil = "a%0D%0AX-Admin%3A%201"
	f("{auth.claims.evil}", "a\r\nX-Admin: 1", "-", evil, evil, evil)
	f("x{auth.claims.nul}", "xa\x00b", "-", "xa%00b", "xa%00b", "xa%00b")
	f("{auth.claims.space}", " a ", "a", "%20a%20", "%20a%20", "%20a%20")
	f("  {auth.claims.empty}\t", "  \t", "", "  \t", "  \t", "%20%20%09")
	f("a=b&c /{path.id}", "a=b&c /a%2Fb", "a=b&c /a%2Fb", "a=b&c /a%2Fb", "a=b&c /a%2Fb", "a%3Db%26c%20%2Fa%2Fb")
	f("{path.*}", "x%20y", "x%20y", "x%20y", "x%20y", "x%20y")
	f("{consumer.name}", "Acme & Söhne", "Acme & Söhne", "Acme%20%26%20S%C3%B6hne", "Acme%20%26%20S%C3%B6hne", "Acme%20%26%20S%C3%B6hne")
	f("{auth.issuer}", "https://id.example", "https://id.example", "https%3A%2F%2Fid.example", "https%3A%2F%2Fid.example", "https%3A%2F%2Fid.example")
	const query = "page=2&q=a+b%21&twice=1&twice=2&bad=%zz&e=&%70lus=%2B"
	escaped := "page%3D2%26q%3Da%2Bb%2521%26twice%3D1%26twice%3D2%26bad%3D%25zz%26e%3D%26%2570lus%3D%252B"
	f("{request.query}", query, query, escaped, query, escaped)
	// What cannot be told.
	f("a{auth.claims.list}", "a", "-", "-", "-", "-")
	f("a{auth.claims.object}", "a", "-", "-", "-", "-")
	f("a{request.query_params.twice}", "a", "-", "-", "-", "-")
	f("a{request.query_params.bad}b", "ab", "-", "-", "-", "-")
	// A parameter of the path is no parameter of a query.
	x.Params[0].Value = "a&b=c+d;e#\"<"
	f("{path.id}", "a&b=c+d;e#\"<", "a&b=c+d;e#\"<", "a&b=c+d;e%23%22%3C", "a%26b%3Dc%2Bd;e%23%22%3C", "a%26b%3Dc%2Bd;e%23%22%3C")
}

// Hosts are made of the request's own, and of labels.
func TestTemplateHost(t *testing.T) {
	f := func(text, value, want string) {
		t.Helper()
		x := known()
		x.Params[0].Value = value
		template, err := NewTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		out, ok := template.AppendHost(nil, x)
		if !ok {
			out = []byte("-")
		}
		if string(out) != want {
			t.Errorf("%s of %q: %q, want %q", text, value, out, want)
		}
	}
	f("{request.host}", "", "shop.example")
	f("www.{request.authority}", "", "www.shop.example:8443")
	f("{path.id}.example", "a-1", "a-1.example")
	for _, bad := range []string{"", "a.b", "a%2e", "a:1", "u@a", "a/", "-a", "a-", "é", "a\\", "[", "%"} {
		f("{path.id}.example", bad, "-")
	}
}

func TestTemplateBody(t *testing.T) {
	f := func(text string, form Form, want string) {
		t.Helper()
		template, err := NewBodyTemplate(text, 100)
		if err == nil {
			err = template.CheckBody(form)
		}
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", text, err, want)
			}
			return
		}
		got, ok := template.AppendBody(nil, known(), form, 100)
		if !ok {
			got = []byte("-")
		}
		if string(got) != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	f(`{{"a": "{auth.claims.quote}", "b\"": ["{consumer.name}"]}}`, JSON, `{"a": "a\"b\\c", "b\"": ["Acme & Söhne"]}`)
	f(`"{auth.claims.evil}{auth.claims.nul}"`, JSON, `"a\u000d\u000aX-Admin: 1a\u0000b"`)
	f(`{{"a": {path.id}}}`, JSON, "outside of a string")
	f(`"a" {path.id} "b"`, JSON, "outside of a string")
	f(`"a\\" {path.id} "b"`, JSON, "outside of a string")
	f(`"a\{path.id}"`, JSON, "a backslash stands before a fact")
	f(`"a\\{path.id}"`, JSON, `"a\\a%2Fb"`)
	f(`{path.id}`, Text, "a%2Fb")
	f(strings.Repeat("a", 101), Text, "at most 100 are allowed")
	f("{request.query}{request.query}", Text, "-") // 106 bytes
	f("{auth.claims.list}", Text, "-")
}

func TestTemplateJSONIsUTF8(t *testing.T) {
	x := known()
	x.Caller.Subject = "a\xff\u2028é"
	template, err := NewTemplate(`"{auth.subject}"`)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := template.AppendBody(nil, x, JSON, 100); !ok || string(got) != "\"a\ufffd\u2028é\"" {
		t.Errorf("%q", got)
	}
}

// What a template gives is bounded, whatever the facts are.
func TestTemplateBounds(t *testing.T) {
	x := known()
	long := strings.Repeat("a", MaxFilled)
	x.Caller.Subject = long
	f := func(text string, asIs int, fits bool) {
		t.Helper()
		template, err := NewTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := template.Append([]byte("before"), x); len(got) != len("before")+asIs {
			t.Errorf("%s: %d bytes", text, len(got))
		}
		if got, ok := template.AppendField(nil, x); ok != fits || ok && len(got) != MaxFilled {
			t.Errorf("%s: %d bytes, %v", text, len(got), ok)
		}
	}
	f("{auth.subject}", MaxFilled, true)
	f("a{auth.subject}", MaxFilled, false)
	f("{auth.subject}{auth.subject}", MaxFilled, false)
	for range 100 {
		x.Request.Header.Add("X-Many", long[:MaxFilled/10])
	}
	f("{request.headers.X-Many}", MaxFilled, false)
}

func TestTemplateErrors(t *testing.T) {
	f := func(text string, want string) {
		t.Helper()
		_, err := NewTemplate(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	f("a}b", "found } without { at byte 2")
	f("a{b", "the brace at byte 2 of \"a{b\" is not closed")
	f("a{{{b}", "{b} is no fact")
	f("{}", "{} is no fact of an exchange; there are auth.claims.PATH,")
	f("{request.Id}", "did you mean {request.id}?")
	f("{reqest.id}", "did you mean {request.id}?")
	f("{ request.id }", "did you mean {request.id}?")
	f("{claim.email}", "did you mean {auth.claims.email}?")
	f("{caller.subject}", "did you mean {auth.subject}?")
	f("{request.header.X-A}", "did you mean {request.headers.X-A}?")
	f("{request.query.page}", "did you mean {request.query_params.page}?")
	f("{client.address}", "did you mean {client.ip}?")
	f("{path.rest-of}", "names no parameter of a path")
	f("{scheme}", "did you mean {request.scheme}?")
	f("{request.headers.}", "names no field")
	f("{request.headers.X Y}", "names no field")
	f("{request.query_params.}", "a name is missing")
	f("{path.}", "a name is missing")
	f("{auth.claims.}", "a name is missing")
	f("{request.headers.authorization}", "may be a credential")
	f("{request.headers.Cookie}", "may be a credential")
	f("{request.headers.X-Forwarded-For}", "anybody can make up")
	f("{request.headers.Connection}", "is about the connection")
	f("{response.status}", "known in responses alone")
	f("{upstream.endpoint}", "known in responses alone")
	f(strings.Repeat("a", MaxTemplate+1), "the template has 1025 bytes; at most 1024 are allowed")
	f("{"+strings.Repeat("a", 900)+"}", "…} is no fact")
	if _, err := NewTemplate(strings.Repeat("a", MaxTemplate)); err != nil {
		t.Error(err)
	}
}

func TestTemplateConstant(t *testing.T) {
	f := func(text, want string, constant bool) {
		t.Helper()
		template, err := NewTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := template.Constant(); got != want || ok != constant {
			t.Errorf("%s: %q, %v", text, got, ok)
		}
	}
	f("", "", true)
	f("{{a}}", "{a}", true)
	f("a{request.id}", "", false)
}

func TestTemplateAllocatesNothing(t *testing.T) {
	if templateRacing {
		t.Skip("the race detector allocates")
	}
	x := known()
	for _, text := range []string{
		"{request.id} {request.authority} {request.time} {request.unix_time} {request.headers.X-Tenant} {request.query_params.q} {path.*}",
		"{client.ip} {route} {consumer.id} {consumer.groups} {auth.claims.ok} {auth.claims.object.city} {response.status} {auth.claims.quote}",
	} {
		template, err := NewResponseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(1000, func() {
			x.Begin(x.Conn, 1)
			known := func(p []byte, _ bool) { x.KeepScratch(p) }
			known(template.AppendField(x.Scratch(), x))
			known(template.AppendPath(x.Scratch(), x))
			known(template.AppendParam(x.Scratch(), x))
			known(template.AppendBody(x.Scratch(), x, JSON, MaxFilled))
		}); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func BenchmarkTemplate(b *testing.B) {
	x := known()
	template, err := NewTemplate("{consumer.id}/{path.id} {request.id} {client.ip}")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var p []byte
	for b.Loop() {
		p, _ = template.AppendField(p[:0], x)
	}
}

// Whatever text and facts are, what is written is fit for where it stands.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"{auth.subject}", "{{a}}{request.query_params.a}/{path.id}", "{auth.claims.a.b}{auth.claims.a}", "a{", "}", "{request.headers.X-A}{request.query}"} {
		f.Add(text, "a\r\nb: c", "a=%0d%0a&b=1&a=%zz", "a%2F..b")
	}
	f.Fuzz(func(t *testing.T, text, value, query, param string) {
		template, err := NewTemplate(text)
		if err != nil {
			if !utf8.ValidString(text) {
				return
			}
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		x := request("/")
		x.Request.Query = query
		x.Request.Header.Add("X-A", value)
		x.Params = []exchange.Param{{Name: "id", Value: param}}
		x.Caller.Subject = value
		x.Caller.Claims = map[string]any{"a": value, "b": map[string]any{"a": value}}
		if out := template.Append(nil, x); len(out) > MaxFilled {
			t.Errorf("%d bytes", len(out))
		}
		if out, ok := template.AppendField(nil, x); ok && (!exchange.FitsField(string(out)) || len(out) > MaxFilled) {
			t.Errorf("%q: %q in a field", text, out)
		}
		check := func(place string, out []byte, ok bool, forbidden string) {
			if ok && strings.ContainsAny(string(out), forbidden) {
				t.Errorf("%q: %q in %s", text, out, place)
			}
		}
		const controls = "\x00\r\n\t\x7f \"<>\\^`{|}#"
		if literal := outside(text); !strings.ContainsAny(literal, controls+"/?&=+") && !strings.Contains(text, "{{") && !strings.Contains(text, "}}") {
			out, ok := template.AppendPath(nil, x)
			check("a path", out, ok, controls+"?")
			out, ok = template.AppendQuery(nil, x)
			if !strings.Contains(text, "{request.query}") {
				check("a query", out, ok, controls+"&=+")
			}
			out, ok = template.AppendParam(nil, x)
			check("a parameter", out, ok, controls+"&=+")
		}
		quoted, err := NewTemplate(`"{auth.subject}"`)
		if err != nil {
			t.Fatal(err)
		}
		if out, ok := quoted.AppendBody(nil, x, JSON, MaxFilled); ok {
			inside := strings.NewReplacer(`\\`, "", `\"`, "").Replace(string(out[1 : len(out)-1]))
			check("a string of JSON", []byte(inside), true, "\"\x00\r\n\t")
			if !utf8.Valid(out) {
				t.Errorf("%q is no UTF-8", out)
			}
		}
	})
}

// outside is what of a template stands outside of braces.
func outside(text string) string {
	var b strings.Builder
	depth := 0
	for _, r := range text {
		switch r {
		case '{':
			depth++
		case '}':
			depth--
		default:
			if depth == 0 {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}
