package cache

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// orderOf is an exchange that asks for https://api.example.com/orders?id=1, with some of it changed.
func orderOf(change func(x *exchange.Exchange)) *exchange.Exchange {
	x := new(exchange.Exchange)
	x.Request.Method, x.Request.Scheme, x.Request.Host = "GET", "https", "api.example.com"
	x.Request.Path, x.Request.Query = "/orders", "id=1"
	if change != nil {
		change(x)
	}
	return x
}

func withQuery(q string) func(x *exchange.Exchange) {
	return func(x *exchange.Exchange) { x.Request.Query = q }
}

func withLines(pairs ...string) func(x *exchange.Exchange) {
	return func(x *exchange.Exchange) {
		for i := 0; i < len(pairs); i += 2 {
			x.Request.Header.Add(pairs[i], pairs[i+1])
		}
	}
}

func calledBy(method, id, issuer, subject string) func(x *exchange.Exchange) {
	return func(x *exchange.Exchange) {
		x.Caller = exchange.Caller{Method: method, Issuer: issuer, Subject: subject}
		if id != "" {
			x.Caller.Consumer = &consumer.Consumer{ID: id}
		}
	}
}

func mustKey(t *testing.T, x *exchange.Exchange, route string, p *Parts) object.Key {
	t.Helper()
	k, _, ok := keyOf(x, route, p, nil)
	if !ok {
		t.Fatal("there is no key")
	}
	return k
}

// TestKeysDiffer has pairs of requests of which each could be answered in another way, so that one key would have one answered with the other's.
func TestKeysDiffer(t *testing.T) {
	type change = func(x *exchange.Exchange)
	headers, cookies := Parts{Headers: []string{"x-tenant", "x-b"}}, Parts{Cookies: []string{"lang", "b"}}
	for name, c := range map[string]struct {
		p    Parts
		a, b change
	}{
		"scheme":                       {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Scheme = "http" }},
		"host":                         {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Host = "evil.example.com" }},
		"port":                         {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Port = "8443" }},
		"port of the other scheme":     {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Port = "80" }},
		"path":                         {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Path = "/orders/" }},
		"case of the path":             {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Path = "/Orders" }},
		"query":                        {Parts{}, nil, withQuery("id=2")},
		"no query":                     {Parts{}, nil, withQuery("")},
		"what is encoded in the query": {Parts{}, withQuery("id=~"), withQuery("id=%7E")},
		"order of the query":           {Parts{}, withQuery("a=1&b=2"), withQuery("b=2&a=1")},
		"an empty parameter":           {Parts{}, withQuery("id=1&"), withQuery("id=1")},
		"path and query":               {Parts{}, func(x *exchange.Exchange) { x.Request.Path, x.Request.Query = "/a", "b" }, func(x *exchange.Exchange) { x.Request.Path, x.Request.Query = "/ab", "" }},
		"host and port":                {Parts{}, func(x *exchange.Exchange) { x.Request.Host, x.Request.Port = "a", "81" }, func(x *exchange.Exchange) { x.Request.Host, x.Request.Port = "a8", "1" }},
		"a separator in a part":        {Parts{}, func(x *exchange.Exchange) { x.Request.Host, x.Request.Port = "a\x00", "8" }, func(x *exchange.Exchange) { x.Request.Host, x.Request.Port = "a", "\x008" }},
		"host and path":                {Parts{}, func(x *exchange.Exchange) { x.Request.Host, x.Request.Path = "a", "/b/c" }, func(x *exchange.Exchange) { x.Request.Host, x.Request.Path = "a/b", "/c" }},

		"sorted: value":                     {Parts{SortQuery: true}, withQuery("a=1&b=2"), withQuery("a=2&b=1")},
		"sorted: order of one name":         {Parts{SortQuery: true}, withQuery("a=1&b=0&a=2"), withQuery("a=2&b=0&a=1")},
		"sorted: name and value":            {Parts{SortQuery: true}, withQuery("a=b"), withQuery("ab=")},
		"sorted: without a value":           {Parts{SortQuery: true}, withQuery("a"), withQuery("a=")},
		"only: what counts":                 {Parts{Only: []string{"id"}}, withQuery("id=1&x=1"), withQuery("id=2&x=1")},
		"only: twice":                       {Parts{Only: []string{"id"}}, withQuery("id=1"), withQuery("id=1&id=2")},
		"only: encoded name":                {Parts{Only: []string{"id"}}, withQuery("id=1"), withQuery("id=1&%69d=2")},
		"only: another case":                {Parts{Only: []string{"id"}}, withQuery("id=1"), withQuery("id=1&ID=2")},
		"only: an array":                    {Parts{Only: []string{"id"}}, withQuery("id=1"), withQuery("id=1&id[]=2")},
		"only: a dot for an underscore":     {Parts{Only: []string{"my_id"}}, withQuery("my_id=1"), withQuery("my_id=1&my.id=2")},
		"only: a space before it":           {Parts{Only: []string{"id"}}, withQuery("id=1"), withQuery("id=1&+id=2")},
		"only: a semicolon":                 {Parts{Only: []string{"id"}}, withQuery("id=1&x=1"), withQuery("id=1&x=1;id=2")},
		"without: a semicolon":              {Parts{Without: []string{"utm"}}, withQuery("id=1&utm=1"), withQuery("id=1&utm=1;id=2")},
		"without: what counts":              {Parts{Without: []string{"utm"}}, withQuery("id=1&utm=1"), withQuery("id=2&utm=1")},
		"without: encoded name":             {Parts{Without: []string{"utm"}}, withQuery("id=1"), withQuery("id=1&%75tm=1")},
		"header":                            {headers, withLines("X-Tenant", "a"), withLines("X-Tenant", "b")},
		"header: none and empty":            {headers, nil, withLines("X-Tenant", "")},
		"header: two lines and one":         {headers, withLines("X-Tenant", "a", "x-tenant", "b"), withLines("X-Tenant", "a, b")},
		"header: order of lines":            {headers, withLines("X-Tenant", "a", "X-Tenant", "b"), withLines("X-Tenant", "b", "X-Tenant", "a")},
		"header: one and the other":         {headers, withLines("X-Tenant", "a"), withLines("X-B", "a")},
		"header: length of both":            {headers, withLines("X-Tenant", "a", "X-B", "bc"), withLines("X-Tenant", "ab", "X-B", "c")},
		"header: a length in a value":       {headers, withLines("X-Tenant", "a\x01\x00\x00\x00b"), withLines("X-Tenant", "a", "X-Tenant", "b")},
		"header: known":                     {Parts{Headers: []string{"accept-language"}}, withLines("Accept-Language", "nb"), withLines("Accept-Language", "en")},
		"cookie":                            {cookies, withLines("Cookie", "lang=nb"), withLines("Cookie", "lang=en")},
		"cookie: first of two":              {cookies, withLines("Cookie", "lang=nb; lang=en"), withLines("Cookie", "lang=de; lang=en")},
		"cookie: second of two":             {cookies, withLines("Cookie", "lang=nb; lang=en"), withLines("Cookie", "lang=nb; lang=de")},
		"cookie: one and two":               {cookies, withLines("Cookie", "lang=nb"), withLines("Cookie", "lang=nb; lang=nb")},
		"cookie: in another line":           {cookies, withLines("Cookie", "lang=nb"), withLines("Cookie", "lang=nb", "Cookie", "lang=en")},
		"cookie: a space in the name":       {cookies, withLines("Cookie", "lang=nb"), withLines("Cookie", "lang=nb; lang =en")},
		"cookie: no value":                  {cookies, withLines("Cookie", "a=1"), withLines("Cookie", "a=1; lang")},
		"consumer":                          {Parts{Consumer: true}, calledBy("key_auth", "a", "", ""), calledBy("key_auth", "b", "", "")},
		"consumer: subject":                 {Parts{Consumer: true}, calledBy("jwt", "", "https://i", "a"), calledBy("jwt", "", "https://i", "b")},
		"consumer: issuer":                  {Parts{Consumer: true}, calledBy("jwt", "", "https://i", "a"), calledBy("jwt", "", "https://j", "a")},
		"consumer: issuer and subject":      {Parts{Consumer: true}, calledBy("jwt", "", "ab", "c"), calledBy("jwt", "", "a", "bc")},
		"consumer: id or subject":           {Parts{Consumer: true}, calledBy("jwt", "a", "", ""), calledBy("jwt", "", "", "a")},
		"consumer: two subjects of one":     {Parts{Consumer: true}, calledBy("jwt", "app", "https://i", "a"), calledBy("jwt", "app", "https://i", "b")},
		"asked instead: method":             {Parts{}, nil, func(x *exchange.Exchange) { x.Onward.Method = "POST" }},
		"asked instead: path":               {Parts{}, nil, func(x *exchange.Exchange) { x.Onward.Path = "/v2" }},
		"asked instead: upstream":           {Parts{}, nil, func(x *exchange.Exchange) { x.Onward.Upstream = "canary" }},
		"asked instead: no query":           {Parts{}, nil, func(x *exchange.Exchange) { x.Onward.NewQuery = true }},
		"asked instead: query":              {Parts{NoQuery: true}, nil, func(x *exchange.Exchange) { x.Onward.NewQuery, x.Onward.Query = true, "a" }},
		"asked instead: method or upstream": {Parts{}, func(x *exchange.Exchange) { x.Onward.Method = "a" }, func(x *exchange.Exchange) { x.Onward.Upstream = "a" }},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := orderOf(c.a), orderOf(c.b)
			if mustKey(t, a, "orders", &c.p) == mustKey(t, b, "orders", &c.p) {
				t.Error("they have one key")
			}
			if slices.Equal(explainKey(a, "orders", &c.p), explainKey(b, "orders", &c.p)) {
				t.Error("they are explained alike")
			}
		})
	}
	x := orderOf(nil)
	if mustKey(t, x, "orders", &Parts{}) == mustKey(t, x, "other", &Parts{}) {
		t.Error("two routes have one key")
	}
	many := []Parts{
		{}, {NoQuery: true}, {SortQuery: true}, {Only: []string{"id"}}, {Only: []string{}}, {Without: []string{"id"}}, {Only: []string{"i", "d"}}, {Headers: []string{"id"}},
		{Cookies: []string{"id"}}, {Consumer: true},
	}
	known := orderOf(calledBy("jwt", "a", "", ""))
	keys := map[object.Key]int{}
	for i := range many {
		k := mustKey(t, known, "orders", &many[i])
		if j, is := keys[k]; is {
			t.Errorf("%+v and %+v have one key", many[i], many[j])
		}
		keys[k] = i
	}
}

// TestKeysAlike has pairs of requests that ask for the same, as far as the route says.
func TestKeysAlike(t *testing.T) {
	type change = func(x *exchange.Exchange)
	for name, c := range map[string]struct {
		p    Parts
		a, b change
	}{
		"HEAD":                         {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Method = "HEAD" }},
		"the scheme's port":            {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Port = "443" }},
		"the scheme's port with zeros": {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Port = "00443" }},
		"HTTP/2":                       {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Major, x.Request.Minor = 2, 0 }},
		"what was received":            {Parts{}, nil, func(x *exchange.Exchange) { x.Request.Target = "/./orders?id=1" }},
		"fields that do not count":     {Parts{Headers: []string{"x-tenant"}}, withLines("X-Tenant", "a"), withLines("X-Other", "b", "X-Tenant", "a", "Cookie", "a=b")},
		"case of a name":               {Parts{Headers: []string{"x-tenant"}}, withLines("X-Tenant", "a"), withLines("x-TENANT", "a")},
		"cookies that do not count":    {Parts{Cookies: []string{"lang"}}, withLines("Cookie", "lang=nb"), withLines("Cookie", "a=1;  lang=nb ;language=2", "Cookie", "lan=1")},
		"who asks":                     {Parts{}, nil, calledBy("jwt", "a", "b", "c")},
		"credential of a consumer":     {Parts{Consumer: true}, calledBy("key_auth", "a", "", ""), calledBy("basic", "a", "", "")},
		"no query":                     {Parts{NoQuery: true}, nil, withQuery("id=2&x")},
		"only":                         {Parts{Only: []string{"id", "b"}}, withQuery("id=1"), withQuery("x=1&id=1&&utm_source=a%20b&i-d=2")},
		"without":                      {Parts{Without: []string{"utm", "x"}}, withQuery("id=1"), withQuery("utm=1&id=1&utm=2&x")},
		"sorted":                       {Parts{SortQuery: true}, withQuery("a=2&a=1&b=3&c"), withQuery("c&b=3&a=2&a=1")},
		"sorted and only":              {Parts{SortQuery: true, Only: []string{"a", "b"}}, withQuery("a=1&b=2"), withQuery("b=2&x=1&a=1")},
		"sorted, and many":             {Parts{SortQuery: true}, withQuery(strings.Repeat("a=1&", 40) + "b"), withQuery("b&" + strings.Repeat("a=1&", 39) + "a=1")},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := orderOf(c.a), orderOf(c.b)
			if mustKey(t, a, "orders", &c.p) != mustKey(t, b, "orders", &c.p) {
				t.Error("they have two keys")
			}
			if !slices.Equal(explainKey(a, "orders", &c.p), explainKey(b, "orders", &c.p)) {
				t.Error("they are explained in two ways")
			}
			if urlOf(a, &c.p) != urlOf(b, &c.p) {
				t.Errorf("they have the URLs %s and %s", urlOf(a, &c.p), urlOf(b, &c.p))
			}
		})
	}
}

// TestNobodysKey has callers nobody can tell apart, where each is to have a part of the cache.
func TestNobodysKey(t *testing.T) {
	p := Parts{Consumer: true}
	for name, change := range map[string]func(x *exchange.Exchange){
		"nobody":                 nil,
		"the anonymous consumer": calledBy("", "anonymous", "", ""),
		"an issuer alone":        calledBy("jwt", "", "https://i", ""),
	} {
		x := orderOf(change)
		if _, _, ok := keyOf(x, "orders", &p, nil); ok {
			t.Errorf("%s has a key", name)
		}
		if _, _, ok := keyOf(x, "orders", &Parts{}, nil); !ok {
			t.Errorf("%s has no key where all share one", name)
		}
		parts := explainKey(x, "orders", &p)
		if last := parts[len(parts)-1]; last.Name != "consumer" || !strings.HasPrefix(last.Value, "unknown") {
			t.Errorf("%s is explained as %v", name, last)
		}
	}
}

// TestKeysAtRandom draws pairs of requests from few values, so that many are nearly alike: their keys are alike if and only if what counts of them is.
func TestKeysAtRandom(t *testing.T) {
	word := rapid.SampledFrom([]string{"", "a", "b", "ab", "ba", "a=b", "a=", "=a", "a;b", "A", "%61"})
	queries := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(word, 0, 4).Draw(t, "pairs"), "&") })
	asked := rapid.Custom(func(t *rapid.T) *exchange.Exchange {
		x := new(exchange.Exchange)
		x.Request.Scheme = rapid.SampledFrom([]string{"http", "https"}).Draw(t, "scheme")
		x.Request.Host = rapid.SampledFrom([]string{"a", "ab"}).Draw(t, "host")
		x.Request.Port = rapid.SampledFrom([]string{"", "80", "443", "8"}).Draw(t, "port")
		x.Request.Path = rapid.SampledFrom([]string{"/", "/a"}).Draw(t, "path")
		x.Request.Query = queries.Draw(t, "query")
		for range rapid.IntRange(0, 2).Draw(t, "lines") {
			x.Request.Header.Add(rapid.SampledFrom([]string{"A", "b"}).Draw(t, "name"), word.Draw(t, "value"))
		}
		for range rapid.IntRange(0, 2).Draw(t, "cookie lines") {
			x.Request.Header.Add("Cookie", strings.Join(rapid.SliceOfN(word, 0, 3).Draw(t, "cookies"), "; "))
		}
		return x
	})
	rapid.Check(t, func(t *rapid.T) {
		p := Parts{
			NoQuery: rapid.Bool().Draw(t, "none"), SortQuery: rapid.Bool().Draw(t, "sorted"),
			Only:    rapid.SampledFrom([][]string{nil, {"a"}, {"b", "a"}}).Draw(t, "only"),
			Without: rapid.SampledFrom([][]string{nil, {"a"}, {"ab"}}).Draw(t, "without"),
			Headers: rapid.SampledFrom([][]string{nil, {"a"}, {"a", "b"}}).Draw(t, "headers"),
			Cookies: rapid.SampledFrom([][]string{nil, {"a"}, {"a", "b"}}).Draw(t, "cookies"),
		}
		a, b := asked.Draw(t, "a"), asked.Draw(t, "b")
		if rapid.Bool().Draw(t, "but for the header") {
			b.Request.Scheme, b.Request.Host, b.Request.Port, b.Request.Path, b.Request.Query =
				a.Request.Scheme, a.Request.Host, a.Request.Port, a.Request.Path, a.Request.Query
		}
		ka, _, _ := keyOf(a, "r", &p, nil)
		kb, _, _ := keyOf(b, "r", &p, nil)
		if same := slices.Equal(explainKey(a, "r", &p), explainKey(b, "r", &p)); same != (ka == kb) {
			t.Fatalf("%v and %v: the same key is %v", explainKey(a, "r", &p), explainKey(b, "r", &p), ka == kb)
		}
	})
}

func TestURL(t *testing.T) {
	for want, c := range map[string]struct {
		p      Parts
		change func(x *exchange.Exchange)
	}{
		"https://api.example.com/orders?id=1":      {Parts{}, nil},
		"https://api.example.com:8443/orders?id=1": {Parts{}, func(x *exchange.Exchange) { x.Request.Port = "8443" }},
		"http://api.example.com/orders?id=1":       {Parts{}, func(x *exchange.Exchange) { x.Request.Scheme, x.Request.Port = "http", "80" }},
		"https://[::1]:80/orders?id=1":             {Parts{}, func(x *exchange.Exchange) { x.Request.Host, x.Request.Port = "[::1]", "080" }},
		"https://api.example.com/orders":           {Parts{NoQuery: true}, nil},
		"https://api.example.com/orders?a=1&b=2":   {Parts{SortQuery: true}, withQuery("b=2&a=1")},
		"https://api.example.com/orders?b=2":       {Parts{Only: []string{"b"}}, withQuery("a=1&b=2&c")},
		"https://api.example.com/orders?c":         {Parts{Without: []string{"a", "b"}}, withQuery("a=1&b=2&c")},
	} {
		if got := urlOf(orderOf(c.change), &c.p); got != want {
			t.Errorf("found %s, want %s", got, want)
		}
	}
	if got := string(appendURL([]byte("before "), orderOf(withQuery("")), &Parts{})); got != "before https://api.example.com/orders" {
		t.Errorf("found %s", got)
	}
}

func TestVariantKeys(t *testing.T) {
	one, other := object.Key{1}, object.Key{2}
	fields := func(pairs ...string) *exchange.Fields { return &orderOf(withLines(pairs...)).Request.Header }
	base, _ := variantKey(one, 1, []string{"accept", "x-a"}, fields("Accept", "text/html"), "nb", nil)
	for name, k := range map[string]func() (object.Key, []byte){
		"primary key": func() (object.Key, []byte) {
			return variantKey(other, 1, []string{"accept", "x-a"}, fields("Accept", "text/html"), "nb", nil)
		},
		"nonce": func() (object.Key, []byte) {
			return variantKey(one, 2, []string{"accept", "x-a"}, fields("Accept", "text/html"), "nb", nil)
		},
		"names": func() (object.Key, []byte) {
			return variantKey(one, 1, []string{"accept", "x-b"}, fields("Accept", "text/html"), "nb", nil)
		},
		"fewer names": func() (object.Key, []byte) {
			return variantKey(one, 1, []string{"accept"}, fields("Accept", "text/html"), "nb", nil)
		},
		"value": func() (object.Key, []byte) {
			return variantKey(one, 1, []string{"accept", "x-a"}, fields("Accept", "text/plain"), "nb", nil)
		},
		"another field": func() (object.Key, []byte) {
			return variantKey(one, 1, []string{"accept", "x-a"}, fields("X-A", "text/html"), "nb", nil)
		},
		"language": func() (object.Key, []byte) {
			return variantKey(one, 1, []string{"accept", "x-a"}, fields("Accept", "text/html"), "en", nil)
		},
	} {
		if got, _ := k(); got == base {
			t.Errorf("another %s has the same key", name)
		}
	}
	if same, _ := variantKey(one, 1, []string{"accept", "x-a"}, fields("X-B", "1", "Accept", "text/html"), "nb", []byte("used before")); same != base {
		t.Error("a field that is not in Vary changes the key")
	}
	if k, _, _ := keyOf(orderOf(nil), "orders", &Parts{}, nil); k == base || k == one {
		t.Error("a resource has the key of a variant")
	}
}

// TestExplainKeyHides looks for what must not be told.
func TestExplainKeyHides(t *testing.T) {
	x := orderOf(func(x *exchange.Exchange) {
		withLines("X-Tenant", "secret-tenant", "Cookie", "sid=secret-cookie; sid=second")(x)
		calledBy("jwt", "secret-consumer", "https://secret-issuer", "secret-subject")(x)
		x.Onward.Path = "/secret-path"
	})
	parts := explainKey(x, "orders", &Parts{Headers: []string{"x-tenant", "x-none"}, Cookies: []string{"sid"}, Consumer: true})
	var names []string
	for _, p := range parts {
		names = append(names, p.Name)
		if strings.Contains(p.Value, "secret") {
			t.Errorf("%s is told as %q", p.Name, p.Value)
		}
		if p.Name == "cookie:sid" && !strings.HasSuffix(p.Value, " (2 of them)") {
			t.Errorf("found %q for two cookies", p.Value)
		}
		if p.Name == "header:x-none" && p.Value != "" {
			t.Errorf("found %q for a field that is not there", p.Value)
		}
	}
	want := "route scheme host port path query asked instead header:x-tenant header:x-none cookie:sid consumer"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("found the parts %s, want %s", got, want)
	}
}

func TestKeyAllocatesNothing(t *testing.T) {
	x := orderOf(func(x *exchange.Exchange) {
		withLines("X-Tenant", "a", "Cookie", "a=1; lang=nb", "Accept", "text/html")(x)
		calledBy("jwt", "a", "b", "c")(x)
		x.Request.Query = "b=2&utm=1&a=1"
	})
	p := Parts{SortQuery: true, Without: []string{"utm"}, Headers: []string{"x-tenant"}, Cookies: []string{"lang"}, Consumer: true}
	scratch := make([]byte, 0, 1024)
	names := []string{"accept"}
	if n := testing.AllocsPerRun(100, func() {
		var k object.Key
		k, scratch, _ = keyOf(x, "orders", &p, scratch)
		_, scratch = variantKey(k, 1, names, &x.Request.Header, "", scratch)
		scratch = appendURL(scratch[:0], x, &p)
	}); n > 0 {
		t.Errorf("a key, a variant's key and a URL allocate %v times", n)
	}
}

func BenchmarkKey(b *testing.B) {
	x := orderOf(withLines("Accept", "text/html", "User-Agent", "a", "Cookie", "lang=nb; a=b"))
	var scratch []byte
	for name, p := range map[string]Parts{
		"plain": {},
		"much":  {SortQuery: true, Without: []string{"utm"}, Headers: []string{"accept"}, Cookies: []string{"lang"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, scratch, _ = keyOf(x, "orders", &p, scratch)
			}
		})
	}
}

// urlOf is appendURL for one that is kept.
func urlOf(x *exchange.Exchange, p *Parts) string { return string(appendURL(nil, x, p)) }
