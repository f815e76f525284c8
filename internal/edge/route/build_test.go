package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// FuzzBuild: no pattern makes Build panic, and one that it takes is found again
// with its parameters filled in.
func FuzzBuild(f *testing.F) {
	f.Add("api.example.com", "/a/{x}/*", "GET", "/b/{x}")
	f.Add("*.example.com.", "/é/%7e", "", "/{*}")
	f.Add("", "/", "X", "/..{x}")
	f.Fuzz(func(t *testing.T, host, path, method, template string) {
		s := Spec{Name: "a", Hosts: []string{host}, Paths: []string{path}, EncodedSlash: true}
		if method != "" {
			s.Methods = []string{method}
		}
		var b Builder
		b.Add(s)
		table, err := b.Build()
		if err != nil {
			return
		}
		p, _, err := parsePattern(path, true)
		if err != nil {
			t.Fatalf("Build took %q, parsePattern does not: %v", path, err)
		}
		if again, _, err := parsePattern(p.text, true); err != nil || again.text != p.text {
			t.Fatalf("%q is not canonical: %v", p.text, err)
		}
		at := p.text
		for _, name := range p.params {
			at = strings.Replace(at, "{"+name+"}", "v", 1)
		}
		at = strings.TrimSuffix(at, "*")
		h, _ := parseHost(host)
		q := &Query{Host: strings.TrimPrefix(h.String(), "*."), Path: at, Method: method}
		if h.wild {
			q.Host = "w." + q.Host
		}
		var m Match
		if r := table.Lookup(q, &m); r != Found || m.Params() != len(p.params) {
			t.Fatalf("host %q path %q: %s is %v with %d parameters", host, path, at, r, m.Params())
		}
		if r, err := NewRewrite(template, []string{path}); err == nil {
			r.Append(nil, at, &m)
		}
		q.Path = at + "x"
		table.Explain(q)
		table.Rows()
	})
}

// TestErrorsAreBounded: a broken file of thousands of routes gives a readable list.
func TestErrorsAreBounded(t *testing.T) {
	var b Builder
	for i := range 5000 {
		b.Add(Spec{Index: i, Name: fmt.Sprint(i), Paths: []string{"/same"}})
	}
	_, err := b.Build()
	if err == nil {
		t.Fatal("5000 equal routes were taken")
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != maxErrors+1 {
		t.Errorf("got %d lines, want %d and a count", strings.Count(err.Error(), "\n")+1, maxErrors)
	}
}

// TestBounds: what exceeds a bound is refused and not cut.
func TestBounds(t *testing.T) {
	f := func(what string, ok bool, s Spec) {
		t.Helper()
		var b Builder
		b.Add(s)
		if _, err := b.Build(); (err == nil) != ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	params := func(n int) (text string) {
		for i := range n {
			text += fmt.Sprintf("/{p%d}", i)
		}
		return text
	}
	names := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("M%d", i))
		}
		return out
	}
	headers := func(n int) map[string]string {
		out := make(map[string]string)
		for _, name := range names(n) {
			out[name] = "1"
		}
		return out
	}
	f("most parameters", true, Spec{Paths: []string{params(MaxParams)}})
	f("too many parameters", false, Spec{Paths: []string{params(MaxParams + 1)}})
	f("most segments", true, Spec{Paths: []string{strings.Repeat("/a", MaxSegments)}})
	f("too many segments", false, Spec{Paths: []string{strings.Repeat("/a", MaxSegments+1)}})
	f("most methods", true, Spec{Methods: names(MaxMethods - len(knownMethods))})
	f("too many methods", false, Spec{Methods: names(MaxMethods - len(knownMethods) + 1)})
	f("most conditions", true, Spec{Headers: headers(MaxConditions)})
	f("too many conditions", false, Spec{Headers: headers(MaxConditions), Query: map[string]string{"a": "1"}})
}

// TestManyMethods: the last bit works like the first.
func TestManyMethods(t *testing.T) {
	var b Builder
	last := ""
	for i := range MaxMethods - len(knownMethods) {
		last = fmt.Sprintf("M%d", i)
		b.Add(Spec{Index: i, Paths: []string{"/"}, Methods: []string{last}})
	}
	table, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var m Match
	if r := table.Lookup(&Query{Path: "/", Method: last}, &m); r != Found || m.Route != MaxMethods-len(knownMethods)-1 {
		t.Errorf("method %s: %v, route %d", last, r, m.Route)
	}
}

// TestZeroTable: a table without routes finds none.
func TestZeroTable(t *testing.T) {
	var b Builder
	table, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var m Match
	for _, table := range []*Table{table, {}} {
		if r := table.Lookup(&Query{Host: "a.b", Path: "/"}, &m); r != NoHost || m.Route != -1 {
			t.Errorf("empty table: %v, route %d", r, m.Route)
		}
		table.Explain(&Query{})
		if rows := table.Rows(); rows != nil {
			t.Errorf("empty table has rows: %v", rows)
		}
	}
}

// TestExplainKeepsSecrets: what a client may be told names nothing it did not say.
func TestExplainKeepsSecrets(t *testing.T) {
	var b Builder
	b.Add(Spec{Name: "hush", Source: "file", Hosts: []string{"hidden.example"}, Paths: []string{"/secret/{x}"}, Methods: []string{"GET"}, Headers: map[string]string{"x-key": "k"}})
	table, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []Query{
		{Host: "other", Path: "/"},
		{Host: "hidden.example", Path: "/"},
		{Host: "hidden.example", Path: "/secret/1", Method: "GET"},
		{Host: "hidden.example", Path: "/secret/1", Method: "PUT", Header: fields{"x-key": "k"}},
	} {
		text := table.Explain(&q).Client
		for _, secret := range []string{"hush", "file", "hidden", "secret", "x-key", "GET"} {
			if strings.Contains(text, secret) {
				t.Errorf("%+v: client is told %q", q, text)
			}
		}
	}
}
