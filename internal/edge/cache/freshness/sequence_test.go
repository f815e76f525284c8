package freshness

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/edge/exchange"
)

// cached is what the package's cache keeps of a response, and what the model remembers of the same.
type cached struct {
	status int
	h      *exchange.Fields
	terms  Terms
	model  *heard
}

// list is one value of Vary, as package object has it.
type list struct {
	names    []string
	language string
}

// small is a cache of one resource: just enough around the package's decisions to make sequences of them.
type small struct {
	rules *Rules
	lists []list // the newest first
	store map[string]*cached
}

func (s *small) key(l list, h *exchange.Fields) string {
	return fmt.Sprintf("%q %q %q", l.names, l.language, AppendVariant(nil, l.names, h, l.language))
}

func (s *small) find(h *exchange.Fields) *cached {
	for _, l := range s.lists {
		if c := s.store[s.key(l, h)]; c != nil {
			return c
		}
	}
	return nil
}

func (s *small) forget(c *cached) {
	for k, have := range s.store {
		if have == c {
			delete(s.store, k)
		}
	}
}

func (s *small) put(h *exchange.Fields, c *cached) {
	l := list{}
	l.names, _ = Vary(c.h, nil)
	l.language = Language(c.h)
	s.lists = slices.DeleteFunc(s.lists, func(have list) bool { return slices.Equal(have.names, l.names) && have.language == l.language })
	s.lists = slices.Insert(s.lists, 0, l)
	s.store[s.key(l, h)] = c
}

// lines makes fields of a message, in the order of names.
func (m message) lines() *exchange.Fields {
	h := &exchange.Fields{}
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		for _, v := range m[n] {
			h.Add(n, v)
		}
	}
	return h
}

func (m message) String() string { return strings.ReplaceAll(texts(m.lines()), "\n", " | ") }

// drawn makes a message: each field is there or not, and has one or two of its values.
func drawn(t *rapid.T, label string, values map[string][]string, often map[string]int) message {
	m := message{}
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		percent := often[n]
		if percent == 0 {
			percent = 15
		}
		if !chance(t, percent, label+" has "+n) {
			continue
		}
		count := 1
		if chance(t, 8, "twice") {
			count = 2
		}
		for range count {
			m[n] = append(m[n], rapid.SampledFrom(values[n]).Draw(t, n))
		}
	}
	return m
}

// chance is true in so many of a hundred cases. Small numbers are drawn more often than others, so they are spread; the smallest is false.
func chance(t *rapid.T, percent int, label string) bool {
	n := rapid.Uint32().Draw(t, label) * 2654435761 >> 8 % 100
	return int(99-n) < percent
}

func commas(t *rapid.T, from []string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(from), 1, 4).Draw(t, "directives"), ", ")
}

var (
	requestDirectives = []string{"no-cache", "no-store", "max-age=0", "max-age=5", "Max-Age=60", "max-age=x", "min-fresh=5", "max-stale", "max-stale=10", "max-stale=x", "stale-if-error=20",
		"only-if-cached", "foo", `foo="no-cache"`}
	responseDirectives = []string{"max-age=5", "max-age=60", "max-age=60", "max-age=3600", `max-age="60"`, "MAX-AGE=60", "max-age=0", "max-age=x", "max-age =60", "max-age=99999999999", "s-maxage=30", "s-maxage=x", "public", "private",
		`private="a"`, "no-cache", `no-cache="a, set-cookie"`, "no-store", "must-revalidate", "proxy-revalidate", "must-understand", "immutable", "stale-while-revalidate=20",
		"stale-if-error=30", "foo", `foo="no-store, max-age=9"`, `foo="\"max-age=1"`}
	lifetimes = []string{"", "max-age=5, ", "max-age=60, ", "max-age=60, ", "max-age=3600, ", "s-maxage=60, "}
	others    = []string{"public", "must-revalidate", "immutable", `private="a"`, "stale-while-revalidate=20", "stale-if-error=30", "foo"}

	requestFields = map[string][]string{
		"cache-control": nil, "pragma": {"no-cache", "x"}, "authorization": {"Basic x"},
		"accept-encoding": {"gzip", "gzip, br", "br;q=0.5, gzip", "", "identity", "gzip, *;q=0", "gzip, *", "gzip, identity;q=0", "gzip, br;q=0", "*", "dcb, gzip"},
		"accept-language": {"de", "en, de", "de, en", "EN, De", "fr;q=0.5, de;q=1.0", "en;q=0.3", "de;q=0.4, en", "fr, de;q=0.3"},
		"foo":             {"1", "2", "1, 2", "1,2", "2 ,1", ""},
	}
	requestOften = map[string]int{"cache-control": 25, "accept-encoding": 60, "accept-language": 60, "foo": 40, "pragma": 3, "authorization": 10}
)

// TestModel runs random sequences of requests and answers through the package's decisions and compares each with a slow model of the standard: what
// that forbids is never done. How often it would allow what is not done is reported.
func TestModel(t *testing.T) {
	var allowed, refused [2]int // messy and tidy
	var served, renewed, rescued, validated, stored, unstored int
	whys, refusals := map[Why]int{}, map[Why]int{}
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SampledFrom([]*Rules{
			{}, {}, {Heuristic: .1}, {StaleWhileRevalidate: 30 * time.Second, StaleIfError: time.Minute}, {Targets: []string{"cdn-cache-control"}, Heuristic: .1}, {Partitioned: true}, {StripCookies: true},
			{StoreCookies: true, IgnoreRequest: true}, {DefaultTTL: 20 * time.Second},
		}).Draw(t, "rules")
		tidy := 0 // 1 for sequences in which nobody says anything wrong, or twice
		if chance(t, 40, "tidy") {
			tidy = 1
		}
		cache := &small{rules: rules, store: map[string]*cached{}}
		now := start.Unix()

		answer := func(request message, asked, came int64) *heard {
			values := map[string][]string{
				"cache-control": {commas(t, responseDirectives), commas(t, responseDirectives)},
				"date":          {date(int(came - start.Unix())), date(int(came - start.Unix())), date(int(came-start.Unix()) - 20), date(int(came-start.Unix()) + 20), "yesterday"},
				"age":           {"0", "3", "40", "x", "-1", "3, 0", "99999999999"},
				"expires":       {date(int(came-start.Unix()) + 60), date(int(came-start.Unix()) - 60), "0", date(int(came - start.Unix()))},
				"last-modified": {date(int(came-start.Unix()) - 1000), date(-5000)},
				"etag":          {`"a"`, `W/"a"`},
				"vary":          {"foo", "Accept-Encoding", "accept-language, FOO", "Accept-Language", "*", ""},
				"set-cookie":    {"a=b"}, "a": {"1", "2"}, "b": {"1", "2"}, "connection": {"b", "keep-alive, A"},
				"content-language": {"de", "en"}, "content-length": {"5"}, "content-encoding": {"gzip"}, "content-type": {"a", "b"}, "keep-alive": {"5"},
			}
			often := map[string]int{"cache-control": 85, "date": 80, "etag": 50, "vary": 40, "content-language": 40, "set-cookie": 5, "age": 10}
			if tidy == 1 {
				values["cache-control"] = []string{rapid.SampledFrom(lifetimes).Draw(t, "lifetime") + commas(t, others)}
				values["age"], values["vary"] = values["age"][:3], values["vary"][:4]
				values["date"] = values["date"][:3]
			}
			h := &heard{request: request, asked: asked, came: came, header: drawn(t, "response", values, often)}
			for name, lines := range h.header {
				if tidy == 1 {
					h.header[name] = lines[:1]
				}
			}
			h.status = rapid.SampledFrom([]int{200, 200, 200, 200, 200, 200, 203, 206, 302, 404, 429, 500, 599}).Draw(t, "status")
			if chance(t, 30, "targeted") {
				a := rapid.SampledFrom(aims).Draw(t, "target")
				h.header["cdn-cache-control"] = []string{a.text}
			}
			h.aim(rules)
			return h
		}
		keep := func(h *exchange.Fields, method string, m *heard) {
			req := ReadRequest(h, rules)
			said := m.header.lines()
			terms, why := Judge(method, &req, m.status, said, m.asked*1e9, m.came*1e9, rules)
			whys[why]++
			if why != "" {
				unstored++
				return
			}
			stored++
			if forbidden := m.mayStore(method, rules); forbidden != "" {
				t.Fatalf("stored, and that is forbidden: %s\n%s -> %d %s", forbidden, m.request, m.status, m.header)
			}
			c := &cached{status: m.status, h: fields(), terms: terms, model: m}
			Stores(said, rules, keeper(c.h))
			if got, want := texts(c.h), texts(m.kept(rules).lines()); got != want {
				t.Fatalf("stored fields:\n%s\nnot\n%s", got, want)
			}
			cache.put(h, c)
		}

		for range rapid.IntRange(2, 14).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 0, 1, 2, 4, 5, 10, 26, 55, 60, 3540, 86400}).Draw(t, "later")
			values := requestFields
			values["cache-control"] = []string{commas(t, requestDirectives)}
			request := drawn(t, "request", values, requestOften)
			if tidy == 1 {
				delete(request, "cache-control")
				for name, lines := range request {
					request[name] = lines[:1]
				}
			}
			h := request.lines()
			if chance(t, 5, "change") {
				if !Invalidates("POST", 200) {
					t.Fatal("POST invalidates nothing")
				}
				cache.lists, cache.store = nil, map[string]*cached{}
				continue
			}
			could := false // the model has something that could be served
			for _, c := range cache.store {
				could = could || c.model.mayServe(request, now, rules) == ""
			}
			if could {
				allowed[tidy]++
			}
			req := ReadRequest(h, rules)
			found := cache.find(h)
			use, why := Validate, Why("nothing found")
			if found != nil {
				use, why = found.terms.Use(&req, now*1e9, rules)
				if got := found.terms.Age(now*1e9) / 1e9; got < found.model.age(now) {
					t.Fatalf("%d s old, not %d\n%s", got, found.model.age(now), found.model.header)
				}
			}
			switch use {
			case Serve:
				served++
				if forbidden := found.model.mayServe(request, now, rules); forbidden != "" {
					t.Fatalf("served, and that is forbidden: %s\n%s for %s\n%s -> %s", forbidden, "stored", found.model.request, request, found.model.header)
				}
				continue
			case Renew:
				renewed++
				if forbidden := found.model.mayRenew(request, now, rules); forbidden != "" {
					t.Fatalf("served while renewed, and that is forbidden: %s\n%s -> %s", forbidden, request, found.model.header)
				}
			}
			if could && use == Validate {
				refused[tidy]++
				if found != nil && found.terms.InitialAge == MaxSeconds*second {
					why = "an Age that is wrong"
				}
				refusals[why]++
			}

			asked := now
			now += rapid.SampledFrom([]int64{0, 0, 1, 3}).Draw(t, "delay")
			how := rapid.IntRange(0, 3).Draw(t, "how")
			switch {
			case how == 0 && found != nil && found.terms.OnError(&req, now*1e9, rules):
				rescued++
				if forbidden := found.model.mayRescue(request, now, rules); forbidden != "" {
					t.Fatalf("used in an error, and that is forbidden: %s\n%s -> %s", forbidden, request, found.model.header)
				}
			case how == 1 && found != nil && (found.h.Count(exchange.ETag) > 0 || found.h.Count(exchange.LastModified) > 0):
				m := answer(request, asked, now)
				said := m.header.lines()
				if etag, ok := said.Get(exchange.ETag); ok {
					if have, _ := found.h.Get(exchange.ETag); have != etag {
						continue // it is about something else (RFC 9111 §4.3.4)
					}
				}
				validated++
				merged := fields()
				Update(found.h, said, rules, keeper(merged))
				next := found.model.renewed(m, rules)
				next.aim(rules)
				want := next.kept(rules)
				if got := texts(sorted(merged)); got != texts(want.lines()) {
					t.Fatalf("renewed fields:\n%s\nnot\n%s\nof\n%s\nand\n%s", got, texts(want.lines()), texts(found.h), texts(said))
				}
				terms, why := Freshen(&req, found.status, merged, said, asked*1e9, now*1e9, rules)
				cache.forget(found)
				if why != "" {
					continue
				}
				if forbidden := next.mayStore("GET", rules); forbidden != "" {
					t.Fatalf("kept after a 304, and that is forbidden: %s\n%s -> %s", forbidden, request, next.header)
				}
				cache.put(h, &cached{status: found.status, h: merged, terms: terms, model: next})
			default:
				keep(h, rapid.SampledFrom([]string{"GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "POST"}).Draw(t, "method"), answer(request, asked, now))
			}
		}
	})
	for i, how := range [...]string{"something wrong", "nothing wrong"} {
		t.Logf("with %s: of %d requests that the model would serve %d (%.1f %%) were not", how, allowed[i], refused[i], 100*float64(refused[i])/float64(max(allowed[i], 1)))
	}
	t.Logf("served %d, while renewed %d, in errors %d, validated %d, stored %d, not stored %d", served, renewed, rescued, validated, stored, unstored)
	t.Logf("not stored %v; not served %v", whys, refusals)
	if served == 0 || renewed == 0 || rescued == 0 || validated == 0 || stored == 0 || unstored == 0 {
		t.Error("something was never tried")
	}
	if refused[0]*2 > allowed[0] || refused[1]*8 > allowed[1] {
		t.Error("too little is served of what may be")
	}
}

// aim says which targeted field counts, by the table they were made from. Several lines are one field: the generator makes one.
func (h *heard) aim(rules *Rules) {
	h.target = nil
	if lines := h.header["cdn-cache-control"]; len(rules.Targets) > 0 && len(lines) == 1 {
		for i := range aims {
			if aims[i].text == lines[0] && aims[i].valid {
				h.target = &aims[i]
			}
		}
	}
}

func sorted(h *exchange.Fields) *exchange.Fields {
	all := slices.Clone(h.All())
	slices.SortStableFunc(all, func(a, b exchange.Field) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	out := &exchange.Fields{}
	for _, f := range all {
		out.Append(f.Known, f.Name, f.Value)
	}
	return out
}
