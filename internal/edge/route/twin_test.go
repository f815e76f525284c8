package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The twin is the rule of docs/routing.md written down a second time, with no
// tree: look at all routes, keep those that match, take the most specific.

// offer is a route under one host and one path.
type offer struct {
	spec       *Spec
	host, path string
}

func offers(specs []Spec) (out []offer) {
	for i := range specs {
		for _, h := range orOne(specs[i].Hosts, "*") {
			for _, p := range orOne(specs[i].Paths, "/*") {
				out = append(out, offer{&specs[i], h, p})
			}
		}
	}
	return out
}

func orOne(list []string, one string) []string {
	if len(list) == 0 {
		return []string{one}
	}
	return list
}

func (o offer) takesHost(host string) bool {
	if suffix, wild := strings.CutPrefix(o.host, "*."); wild {
		return strings.HasSuffix(host, "."+suffix) && host != "."+suffix
	}
	return o.host == "*" || o.host == host
}

func (o offer) takesPath(path string) bool {
	want, have := strings.Split(o.path[1:], "/"), strings.Split(path[1:], "/")
	if want[len(want)-1] == "*" {
		want = want[:len(want)-1]
		if len(have) < len(want) {
			return false
		}
		have = have[:len(want)]
	}
	return slices.EqualFunc(want, have, func(w, h string) bool {
		return w == h || w != "" && w[0] == '{' && h != ""
	})
}

func (o offer) fit(method string) int {
	switch {
	case len(o.spec.Methods) == 0:
		return 1
	case slices.Contains(o.spec.Methods, method):
		return 3
	case method == "HEAD" && slices.Contains(o.spec.Methods, "GET"):
		return 2
	}
	return 0
}

func (o offer) holds(header, query map[string]string) bool {
	for _, c := range []struct{ want, have map[string]string }{{o.spec.Headers, header}, {o.spec.Query, query}} {
		for name, want := range c.want {
			have, ok := c.have[name]
			if !ok || want != "*" && want != have {
				return false
			}
		}
	}
	return true
}

func (o offer) conditions() (all, exact int) {
	for _, m := range []map[string]string{o.spec.Headers, o.spec.Query} {
		for _, v := range m {
			all++
			if v != "*" {
				exact++
			}
		}
	}
	return all, exact
}

func hostRank(h string) int {
	switch {
	case h == "*":
		return 0
	case h[0] == '*':
		return len(h)
	}
	return 1000
}

func segmentRank(s string) int {
	switch {
	case s == "*":
		return 1
	case s != "" && s[0] == '{':
		return 2
	}
	return 3
}

// compareOffers is positive if x is more specific for the method; both match one request.
func compareOffers(x, y offer, method string) int {
	if d := hostRank(x.host) - hostRank(y.host); d != 0 {
		return d
	}
	px, py := strings.Split(x.path[1:], "/"), strings.Split(y.path[1:], "/")
	for i := range max(len(px), len(py)) {
		if i == len(px) { // x ends, y goes on: with *, or both would not match
			return 1
		}
		if i == len(py) {
			return -1
		}
		if d := segmentRank(px[i]) - segmentRank(py[i]); d != 0 {
			return d
		}
	}
	if d := x.fit(method) - y.fit(method); d != 0 {
		return d
	}
	allX, exactX := x.conditions()
	allY, exactY := y.conditions()
	if allX != allY {
		return allX - allY
	}
	return exactX - exactY
}

// ambiguousOffers compares as the document says: same host, paths alike but for
// the names of parameters, methods that tie, as many conditions, none excluded.
func ambiguousOffers(x, y offer) bool {
	blank := func(path string) string {
		parts := strings.Split(path, "/")
		for i, p := range parts {
			if p != "" && p[0] == '{' {
				parts[i] = "{}"
			}
		}
		return strings.Join(parts, "/")
	}
	if x.host != y.host || blank(x.path) != blank(y.path) {
		return false
	}
	tie := len(x.spec.Methods) == 0 && len(y.spec.Methods) == 0
	for _, m := range x.spec.Methods {
		tie = tie || slices.Contains(y.spec.Methods, m)
	}
	allX, exactX := x.conditions()
	allY, exactY := y.conditions()
	if !tie || allX != allY || exactX != exactY {
		return false
	}
	exclude := func(a, b map[string]string) bool {
		for name, v := range a {
			if w, ok := b[name]; ok && v != "*" && w != "*" && v != w {
				return true
			}
		}
		return false
	}
	return !exclude(x.spec.Headers, y.spec.Headers) && !exclude(x.spec.Query, y.spec.Query)
}

// twinLookup gives the result, the winner, and the allowed methods.
func twinLookup(t *rapid.T, all []offer, q *Query, header, query map[string]string) (Result, offer, string) {
	var best []offer
	result := NoHost
	var allow []string
	for _, o := range all {
		if !o.takesHost(q.Host) {
			continue
		}
		if result == NoHost {
			result = NoPath
		}
		if !o.takesPath(q.Path) {
			continue
		}
		if result == NoPath {
			result = NoCondition
		}
		if !o.holds(header, query) {
			continue
		}
		if o.fit(q.Method) == 0 {
			allow = append(allow, o.spec.Methods...)
			continue
		}
		switch {
		case len(best) == 0 || compareOffers(o, best[0], q.Method) > 0:
			best = []offer{o}
		case compareOffers(o, best[0], q.Method) == 0:
			best = append(best, o)
		}
	}
	if len(best) > 1 {
		t.Fatalf("the rule does not tell %v and %v apart for %v", best[0], best[1], q)
	}
	if len(best) == 1 {
		return Found, best[0], ""
	}
	if len(allow) > 0 {
		if slices.Contains(allow, "GET") {
			allow = append(allow, "HEAD")
		}
		slices.Sort(allow)
		return MethodNotAllowed, offer{}, strings.Join(slices.Compact(allow), ", ")
	}
	return result, offer{}, ""
}

func drawSpec(t *rapid.T, index int) Spec {
	s := Spec{Index: index, Name: fmt.Sprint("r", index)}
	s.Hosts = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "a.x", "b.a.x", "*.x", "*.a.x", "*"}), 0, 2, rapid.ID).Draw(t, "hosts")
	segment := rapid.SampledFrom([]string{"a", "b", "{p}", "{p}", "c"})
	path := rapid.Custom(func(t *rapid.T) string {
		text := ""
		for i, s := range rapid.SliceOfN(segment, 0, 3).Draw(t, "segments") {
			if s == "{p}" {
				s = fmt.Sprintf("{%c%d}", rapid.SampledFrom([]byte("pq")).Draw(t, "name"), i)
			}
			text += "/" + s
		}
		end := rapid.SampledFrom([]string{"", "/*", "/"}).Draw(t, "end")
		if text+end == "" {
			return "/"
		}
		return text + end
	})
	s.Paths = rapid.SliceOfNDistinct(path, 0, 2, rapid.ID).Draw(t, "paths")
	s.Methods = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"GET", "HEAD", "POST", "BREW"}), 0, 2, rapid.ID).Draw(t, "methods")
	condition := rapid.MapOfN(rapid.SampledFrom([]string{"n", "m"}), rapid.SampledFrom([]string{"1", "2", "*"}), 0, 2)
	s.Headers, s.Query = condition.Draw(t, "headers"), condition.Draw(t, "query")
	return s
}

func drawRequest(t *rapid.T) (q *Query, header, query map[string]string) {
	q = &Query{
		Host:   rapid.SampledFrom([]string{"x", "a.x", "b.a.x", "c.b.a.x", "c.x", "y"}).Draw(t, "host"),
		Method: rapid.SampledFrom([]string{"GET", "HEAD", "POST", "BREW", "PUT"}).Draw(t, "method"),
	}
	for _, s := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4).Draw(t, "path") {
		q.Path += "/" + s
	}
	if q.Path == "" || rapid.Bool().Draw(t, "slash") {
		q.Path += "/"
	}
	values := rapid.MapOfN(rapid.SampledFrom([]string{"n", "m"}), rapid.SampledFrom([]string{"1", "2", "3"}), 0, 2)
	header, query = values.Draw(t, "header"), values.Draw(t, "query")
	q.Header = fields(header)
	for name, value := range query {
		q.RawQuery += "&" + name + "=" + value
	}
	return q, header, query
}

// unambiguous leaves out each route that is ambiguous with itself or one before.
func unambiguous(specs []Spec) (kept []Spec) {
next:
	for _, s := range specs {
		s.Index = len(kept)
		with := offers(append(slices.Clone(kept), s))
		for i, x := range with {
			for _, y := range with[:i] {
				if ambiguousOffers(x, y) {
					continue next
				}
			}
		}
		kept = append(kept, s)
	}
	return kept
}

// TestTwin builds random tables. A table must be refused exactly if the twin
// finds an ambiguous pair; without those, all lookups must agree with the twin's.
func TestTwin(t *testing.T) {
	built, found := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "routes")
		few := rapid.SampledFrom([]int{0, 1}).Draw(t, "few")
		crowded := rapid.Bool().Draw(t, "crowded") // all in two leaves, for the index
		specs := make([]Spec, n)
		for i := range specs {
			specs[i] = drawSpec(t, i)
			if crowded {
				specs[i].Hosts, specs[i].Paths = nil, []string{"/a", "/{q}"}
			}
		}
		build := func() (*Table, error) {
			b := Builder{fewEntries: few}
			for _, s := range specs {
				b.Add(s)
			}
			return b.Build()
		}
		_, err := build()
		kept := unambiguous(specs)
		if (err != nil) != (len(kept) < n) {
			t.Fatalf("twin keeps %d of %d routes, Build says: %v", len(kept), n, err)
		}
		specs = kept
		all := offers(specs)
		table, err := build()
		if err != nil {
			t.Fatalf("twin finds no ambiguous routes, Build does: %v", err)
		}
		built++
		var m Match
		for range 40 {
			q, header, query := drawRequest(t)
			want, winner, allow := twinLookup(t, all, q, header, query)
			got := table.Lookup(q, &m)
			if got != want || string(m.Allow) != allow {
				t.Fatalf("%+v: got %v allow %q, twin says %v allow %q", q, got, m.Allow, want, allow)
			}
			if got != Found {
				continue
			}
			found++
			if m.Route != winner.spec.Index || m.Pattern != winner.path {
				t.Fatalf("%+v: got route %d by %s, twin says %d by %s", q, m.Route, m.Pattern, winner.spec.Index, winner.path)
			}
			if q.Method != "HEAD" {
				if top := topRow(table.Rows(), specs, q, header, query); top.Route != m.Route || top.Path != m.Pattern {
					t.Fatalf("%+v: got route %d by %s, but the uppermost row that matches is %+v", q, m.Route, m.Pattern, top)
				}
			}
			if back := fill(m.Pattern, &m); back != q.Path {
				t.Fatalf("%s filled with the parameters found gives %s, not %s", m.Pattern, back, q.Path)
			}
		}
	})
	if built == 0 || found == 0 {
		t.Errorf("the test proved nothing: %d tables built, %d routes found", built, found)
	}
}

// topRow gives the first row that matches; what Rows promises of its order.
func topRow(rows []Row, specs []Spec, q *Query, header, query map[string]string) Row {
	for _, r := range rows {
		o := offer{&specs[r.Route], r.Host, r.Path}
		if o.takesHost(q.Host) && o.takesPath(q.Path) && o.fit(q.Method) > 0 && o.holds(header, query) {
			return r
		}
	}
	return Row{}
}

// fill puts the values found back into the pattern.
func fill(pattern string, m *Match) string {
	for i := range m.Params() {
		name, value := m.ParamAt(i)
		pattern = strings.Replace(pattern, "{"+name+"}", value, 1)
	}
	if text, ok := strings.CutSuffix(pattern, "/*"); ok {
		if m.bare {
			return text
		}
		return text + "/" + m.Rest()
	}
	return pattern
}
