//go:build waf

package waf

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

const head = "Host: api.example.com\nUser-Agent: acme/1\nAccept: */*\n"

func get(target string) string { return "GET " + target + " HTTP/1.1\n" + head + "\n" }

func post(contentType, body string) string {
	return fmt.Sprintf("POST /orders HTTP/1.1\n%sContent-Type: %s\nContent-Length: %d\n\n%s", head, contentType, len(body), body)
}

// ask says what became of a request.
func ask(r *policytest.Running, text string) string {
	return told(r.Ask(text))
}

func told(x *exchange.Exchange) string {
	var words []string
	for _, v := range x.Verdicts {
		words = append(words, v.Word)
	}
	s := strings.Join(words, " ")
	if x.Fault != nil {
		s += " " + x.Fault.Kind.Word
	}
	if x.Signals != 0 {
		s += fmt.Sprintf(" signal %d", x.Signals)
	}
	return s
}

const attack = "/search?q=1%27%20OR%20%271%27=%271"

func TestRequest(t *testing.T) {
	w := policytest.New(t)
	suspect := fmt.Sprintf(" signal %d", exchange.Suspect)
	f := func(options, request, want string) {
		t.Helper()
		if got := ask(w.Policy(Kind, options), request); got != want {
			t.Errorf("%s\n%.200s\n%q, want %q", options, request, got, want)
		}
	}
	const block = "{mode: block}"
	f("{}", get("/orders"), "")
	f("{}", get(attack), "would_block")
	f(block, get("/orders"), "")
	f(block, get(attack), "blocked waf_blocked"+suspect)
	f("{mode: block, threshold: 100}", get(attack), "matched")
	f("{mode: block, exclude_rules: [942100]}", get(attack), "")
	f("{mode: block, exclude_rules: [942100], paranoia: 2}", get(attack), "blocked waf_blocked"+suspect)
	// Content.
	bad, good := `{"q":"1' OR '1'='1"}`, `{"q":"1"}`
	f(block, post("application/json", good), "")
	f(block, post("application/json", bad), "blocked waf_blocked"+suspect)
	f(block, post("application/JSON; charset=utf-8", bad), "blocked waf_blocked"+suspect)
	f(block, post("application/json", bad[:len(bad)-1]), "blocked waf_blocked"+suspect)
	f("{mode: block, content_types: [application/octet-stream]}", post("application/octet-stream", bad), "uninspected")
	f(block, post("application/octet-stream", bad), "uninspected blocked waf_blocked"+suspect)
	f("{}", post("application/octet-stream", bad), "uninspected would_block")
	f(block, "POST /orders HTTP/1.1\n"+head+"Content-Length: 22\n\nq=1%27+or+%271%27=%271", "blocked waf_blocked"+suspect)
	// Size.
	large := `{"q":"` + strings.Repeat("a ", 600) + `"}`
	f("{mode: block, max_body: 1KiB}", post("application/json", large), "over hold_too_large")
	f("{mode: block, max_body: 1KiB, over: pass}", post("application/json", large), "over")
	f("{max_body: 1KiB}", post("application/json", large), "over")
	f("{mode: block, max_body: 2KiB}", post("application/json", large), "")
	f("{mode: block, max_body: 1KiB, over: pass}", strings.Replace(post("application/json", large), "/orders", attack, 1), "over blocked waf_blocked"+suspect)
}

// unsized is a request whose length is not announced.
func unsized(r *policytest.Running, body string) *exchange.Exchange {
	x := r.Request(post("application/json", body))
	x.Request.Length = exchange.Unknown
	x.Request.Header.Del(exchange.ContentLength)
	r.Chain.Request(x)
	return x
}

// In mode block a body without a length is held as far as may be; in mode detect it goes its way, as nobody is to be refused.
func TestUnsized(t *testing.T) {
	w := policytest.New(t)
	bad, large := `{"q":"1' OR '1'='1"}`, `{"q":"`+strings.Repeat("a ", 600)+`"}`
	for _, c := range []struct{ options, body, want string }{
		{"{mode: block}", bad, fmt.Sprintf("blocked waf_blocked signal %d", exchange.Suspect)},
		{"{mode: block}", large, ""},
		{"{mode: block, max_body: 1KiB}", large, "over hold_too_large"},
		{"{mode: block, max_body: 1KiB, over: pass}", large, "over hold_too_large"},
		{"{}", bad, "unsized"},
	} {
		if got := told(unsized(w.Policy(Kind, c.options), c.body)); got != c.want {
			t.Errorf("%s %.40s: %q, want %q", c.options, c.body, got, c.want)
		}
	}
	// Another policy holds it already: then it is looked at.
	r := w.Policy(Kind, "{}")
	x := r.Request(post("application/json", bad))
	x.Request.Length = exchange.Unknown
	x.Request.Trailer.Add("X-Sum", "1") // or the length would be known now
	if _, f := x.HoldBody(exchange.Hold{Max: 1 << 20, Proven: true}); f != nil {
		t.Fatal(f)
	}
	if r.Chain.Request(x); told(x) != "would_block" {
		t.Error(told(x))
	}
}

// What the gateway settles itself is told to the rules as it is: the host of HTTP/2, a client that waits for 100, a chunked body.
func TestFraming(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{mode: block, paranoia: 1}")
	x := r.Request(post("application/json", `{"a":1}`))
	x.Request.Header.Del(exchange.Host)
	x.Request.Header.Del(exchange.ContentLength)
	x.Request.Host, x.Request.Major, x.Request.Minor = "api.example.com", 2, 0
	if r.Chain.Request(x); told(x) != "" {
		t.Errorf("HTTP/2: %s", told(x))
	}
	x = r.Request(post("application/json", `{"a":1}`))
	x.Request.Header.Del(exchange.ContentLength)
	x.Request.Length, x.Request.Major, x.Request.Minor = exchange.Unknown, 2, 0
	if policytest.New(t).Policy(Kind, "{}").Chain.Request(x); told(x) != "unsized" {
		t.Errorf("HTTP/2 without a length: %s", told(x))
	}
	x = r.Request(post("application/json", `{"a":1}`))
	x.Request.Header.Append(exchange.Expect, "Expect", "100-continue")
	if r.Chain.Request(x); told(x) != "" {
		t.Errorf("Expect: %s", told(x))
	}
	x = r.Request("POST /orders HTTP/1.1\n" + head + "Content-Length: 0\n\n")
	if r.Chain.Request(x); told(x) != "" {
		t.Errorf("no content: %s", told(x))
	}
}

// The content goes on to the endpoint after it was looked at.
func TestContentGoesOn(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{mode: block}")
	x := r.Request(post("application/json", `{"a":1}`))
	r.Chain.Request(x)
	defer x.DropHeld()
	if run, err := x.Request.Body.Next(); err != nil || string(run) != `{"a":1}` {
		t.Errorf("%q, %v", run, err)
	}
}

// An attack is not put together from nothing: what a client sent is in no line, no figure and no sentence.
func TestNothingIsTold(t *testing.T) {
	w := policytest.New(t)
	var log bytes.Buffer
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	r := w.Policy(Kind, "{}")
	const secret = "hunter2secret"
	for _, request := range []string{
		get("/search?q=" + secret + "%27%20OR%20%271%27=%271"),
		post("application/json", `{"`+secret+`":"<script>`+secret+`</script>"}`),
		post("application/json", `{"`+secret),
		"GET / HTTP/1.1\nHost: a\nUser-Agent: ${jndi:ldap://" + secret + "}\nCookie: a=" + secret + "' or 1=1--\n\n",
	} {
		if got := ask(r, request); got != "would_block" {
			t.Errorf("%s: %s", request, got)
		}
	}
	if strings.Contains(log.String(), secret) || strings.Contains(log.String(), "192.0.2.1") {
		t.Errorf("the log tells:\n%s", &log)
	}
	if n := strings.Count(log.String(), "rules="); n != 4 || !strings.Contains(log.String(), "942100 SQL Injection Attack Detected via libinjection") {
		t.Errorf("%d lines:\n%s", n, &log)
	}
	got := map[string]float64{}
	w.State.Each(func(r policy.Reporter) {
		r.Report(func(f policy.Figure) { got[fmt.Sprint(f.Name, f.Labels)] += f.Value })
	})
	if got["waf_requests_total[[outcome attack]]"] != 4 || got["waf_met_total[[category sqli]]"] < 1 || got["waf_seconds_total[]"] <= 0 || len(got) != 4+16+1 {
		t.Error(got)
	}
}

// Who refuses needs no more than enough; who only looks sees all there is.
func TestEarly(t *testing.T) {
	for options, want := range map[string]float64{"{mode: block}": 0, "{}": 1} {
		w := policytest.New(t)
		ask(w.Policy(Kind, options), strings.Replace(get(attack), "acme/1", "sqlmap/1.7 (https://sqlmap.org)", 1))
		got := -1.0
		w.State.Each(func(r policy.Reporter) {
			r.Report(func(f policy.Figure) {
				if f.Name == "waf_met_total" && f.Labels[0][1] == "sqli" {
					got = f.Value
				}
			})
		})
		if got != want {
			t.Errorf("%s: %v requests met rules on SQL, want %v", options, got, want)
		}
	}
}

// Routes with the same rules share an engine, which outlives a reload; own rules are read again.
func TestShared(t *testing.T) {
	w := policytest.New(t)
	dir := t.TempDir()
	w.File = filepath.Join(dir, "straum.yaml")
	of := func(r *policytest.Running) *inspector { return r.Chain.Requests[0].(*running).inspector }
	one := w.Policy(Kind, "{}")
	if of(w.Policy(Kind, "{over: pass}")) != of(one) {
		t.Error("two engines with the same rules")
	}
	if of(w.Policy(Kind, "{paranoia: 2}")) == of(one) {
		t.Error("one engine with other rules")
	}
	rules := filepath.Join(dir, "own.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const options = "{mode: block, rules: own.conf}"
	write("SecRule REQUEST_URI \"@beginsWith /search\" \"id:100,phase:1,pass,nolog,ctl:ruleRemoveById=942100\"\n")
	r := w.Policy(Kind, options)
	if got := ask(r, get(attack)); got != "" {
		t.Errorf("the rule is switched off: %s", got)
	}
	if got := ask(r, get(strings.Replace(attack, "search", "find", 1))); !strings.HasPrefix(got, "blocked") {
		t.Errorf("it is not, elsewhere: %s", got)
	}
	write("# other\nSecRule REQUEST_METHOD \"@streq GET\" \"id:100,phase:1,deny,msg:'No reading'\"\n")
	if got := ask(w.Policy(Kind, options), get("/")); !strings.HasPrefix(got, "blocked") {
		t.Errorf("the new rule denies: %s", got)
	}
	write("SecRuleUpdateTargetById 942100 \"!ARGS:q\"\n")
	if got := ask(w.Policy(Kind, options), get(attack)); got != "" {
		t.Errorf("the rule does not look at q: %s", got)
	}
	for text, want := range map[string]string{
		"\nSecRuleEngine Off\n":                               rules + `:2: found the directive "SecRuleEngine"; allowed: SecRule, `,
		"Include /etc/passwd\n":                               rules + `:1: found the directive "Include"`,
		"SecRule ARGS x \"id:1,phase:1,\\\nexec:/bin/sh\"\n":  rules + ":2: found exec, which does more than judge a request",
		"SecRule ARGS \"@pmFromFile /etc/passwd\" \"id:1\"\n": rules + ":1: found @pmfromfile",
		"SecAction \"id:1,\\\n":                               rules + ":1: the last line says that it goes on",
		"SecRule ARGS \"@rx (\" \"id:1,phase:1,pass\"\n":      rules + ": the rules cannot be read: ",
		strings.Repeat("# a comment\n", 100000):               "allowed: up to 1048576",
	} {
		write(text)
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%.50q: %s, want %q in it", text, got, want)
		}
	}
	if err := os.Remove(rules); err != nil {
		t.Fatal(err)
	}
	if got := w.Refused(Kind, options); !strings.Contains(got, "no such file") {
		t.Error(got)
	}
}

// A gateway that is at its limit refuses in mode block, and lets by in mode detect.
func TestBusy(t *testing.T) {
	w := policytest.New(t)
	for options, want := range map[string]string{"{mode: block}": "busy waf_busy", "{}": "skipped"} {
		r := w.Policy(Kind, options)
		p := &r.Chain.Requests[0].(*running).inspector.places
		for range cap(p.free) {
			p.free <- struct{}{}
		}
		for range cap(p.queue) {
			p.queue <- struct{}{}
		}
		if got := ask(r, get(attack)); got != want {
			t.Errorf("%s: %q, want %q", options, got, want)
		}
		for range cap(p.free) {
			p.give()
		}
		for range cap(p.queue) {
			<-p.queue
		}
	}
}

// Many at once judge alike, and what they judged is not mixed up.
func TestTogether(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{mode: block}")
	t.Run("all", func(t *testing.T) {
		for n := range 4 {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				r, conn := *r, *r.Conn // a connection is one goroutine's
				r.Conn = &conn
				for k := range 30 {
					request, want := get("/orders"), ""
					if (n+k)%2 == 0 {
						request, want = get(attack), "blocked"
					}
					if got := ask(&r, request); !strings.HasPrefix(got, want) || want == "" && got != "" {
						t.Errorf("%q, want %q", got, want)
					}
				}
			})
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	r := policytest.New(b).Policy(Kind, "{mode: block}")
	x := r.Request(get("/orders/7?expand=lines&limit=50"))
	b.ReportAllocs()
	for b.Loop() {
		r.Chain.Request(x)
	}
	if x.Fault != nil {
		b.Fatal(x.Fault)
	}
}
