package freshness

import "testing"

// RFC 9111 §5.2, §4.2.1: what is wrong is read so that less is kept.
func TestControl(t *testing.T) {
	with := func(change func(c *control)) control {
		c := unsaid
		change(&c)
		return c
	}
	age := func(n int64) control { return with(func(c *control) { c.maxAge = n }) }
	noStore := with(func(c *control) { c.noStore = true })
	for _, test := range []struct {
		lines []string
		want  control
	}{
		{nil, unsaid},
		{[]string{""}, unsaid},
		{[]string{" , ,, "}, unsaid},
		{[]string{"max-age=5"}, age(5)},
		{[]string{"MaX-aGe=5"}, age(5)},
		{[]string{`max-age="5"`}, age(5)},
		{[]string{`max-age='5'`}, age(0)},
		{[]string{"max-age=005"}, age(5)},
		{[]string{"max-age=5.0"}, age(0)},
		{[]string{"max-age=-5"}, age(0)},
		{[]string{"max-age=+5"}, age(0)},
		{[]string{"max-age=5a"}, age(0)},
		{[]string{"max-age =5"}, age(0)},
		{[]string{"max-age= 5"}, age(0)},
		{[]string{"max-age"}, age(0)},
		{[]string{"max-age="}, age(0)},
		{[]string{`max-age=""`}, age(0)},
		{[]string{`max-age="5"x`}, age(0)},
		{[]string{"max-age=5;x"}, age(0)},
		{[]string{"max-age=2147483647"}, age(MaxSeconds - 1)},
		{[]string{"max-age=2147483648"}, age(MaxSeconds)},
		{[]string{"max-age=2147483649"}, age(MaxSeconds)},
		{[]string{"max-age=99999999999999999999999999999999"}, age(MaxSeconds)},
		{[]string{"max-age=5, max-age=3"}, age(3)},
		{[]string{"max-age=3, max-age=5"}, age(3)},
		{[]string{"max-age=3", "max-age=5"}, age(3)},
		{[]string{"max-age=5, max-age=x"}, age(0)},
		{[]string{"foo, bar=7, max-age=5"}, age(5)},
		{[]string{`x="max-age=9", max-age=5`}, age(5)},
		{[]string{`max-age=5, x="max-age=3, no-store"`}, age(5)},
		{[]string{`x="\", max-age=3, no-store", max-age=5`}, age(5)},
		{[]string{`x="\\", max-age=5`}, age(5)},
		{[]string{"No-Store"}, noStore},
		{[]string{"no-store=1"}, noStore},
		{[]string{"no-storex"}, unsaid},
		{[]string{"no-cache"}, with(func(c *control) { c.noCache = true })},
		{[]string{`no-cache="a"`}, unsaid},
		{[]string{"no-cache=a"}, unsaid},
		{[]string{`no-cache="a, b"`, "no-cache"}, with(func(c *control) { c.noCache = true })},
		{[]string{`no-cache=""`}, with(func(c *control) { c.noCache = true })},
		{[]string{`no-cache="a b"`}, with(func(c *control) { c.noCache = true })},
		{[]string{`no-cache= "a"`}, with(func(c *control) { c.noCache = true })},
		{[]string{"private"}, with(func(c *control) { c.private = true })},
		{[]string{`private="a"`}, unsaid},
		{[]string{`private="a`}, with(func(c *control) { c.private, c.maxAge, c.whileRevalidating, c.ifError = true, 0, 0, 0 })},
		{[]string{"public, immutable"}, with(func(c *control) { c.public, c.immutable = true, true })},
		{[]string{"public=1, immutable=x"}, unsaid},
		{[]string{"must-revalidate"}, with(func(c *control) { c.mustRevalidate = true })},
		{[]string{"proxy-revalidate, must-understand"}, with(func(c *control) { c.proxyRevalidate, c.mustUnderstand = true, true })},
		{[]string{"s-maxage=4, stale-while-revalidate=2, stale-if-error=3"}, with(func(c *control) { c.sMaxAge, c.whileRevalidating, c.ifError = 4, 2, 3 })},
		{[]string{"stale-while-revalidate, stale-if-error=x"}, with(func(c *control) { c.whileRevalidating, c.ifError = 0, 0 })},
		// A quote that never closes: nobody can say what is in it. What forbids counts, what allows does not.
		{[]string{`x="a, max-age=5, no-store, public, immutable`}, with(func(c *control) { c.noStore, c.maxAge, c.whileRevalidating, c.ifError = true, 0, 0, 0 })},
		{[]string{`max-age=5, "no-store`}, with(func(c *control) { c.maxAge, c.whileRevalidating, c.ifError = 0, 0, 0 })},
		{[]string{`s-maxage=5`, `"`}, with(func(c *control) { c.maxAge, c.sMaxAge, c.whileRevalidating, c.ifError = 0, 0, 0, 0 })},
	} {
		h := fields()
		for _, l := range test.lines {
			h.Add("Cache-Control", l)
		}
		if got := readControl(h, &Rules{}); got != test.want {
			t.Errorf("%q:\n%+v, not\n%+v", test.lines, got, test.want)
		}
	}
}

// RFC 9213 §2.1, §2.2 and RFC 9651 §4.2.
func TestTargets(t *testing.T) {
	rules := &Rules{Targets: []string{"straum-cache-control", "cdn-cache-control"}}
	target := func(change func(c *control)) control {
		c := unsaid
		c.targeted = true
		change(&c)
		return c
	}
	age := func(n int64) control { return target(func(c *control) { c.maxAge = n }) }
	fallback := unsaid
	fallback.maxAge = 1
	for _, test := range []struct {
		lines []string
		want  control
	}{
		{nil, fallback},
		{[]string{"CDN-Cache-Control: max-age=60"}, age(60)},
		{[]string{"CDN-Cache-Control:  max-age=60 ,\t no-store "}, target(func(c *control) { c.maxAge, c.noStore = 60, true })},
		{[]string{"CDN-Cache-Control: max-age=60", "Straum-Cache-Control: max-age=5"}, age(5)},
		{[]string{"CDN-Cache-Control: max-age=60", "Straum-Cache-Control: max-age=5,"}, age(60)},
		{[]string{"CDN-Cache-Control: max-age=60", "CDN-Cache-Control: no-store"}, target(func(c *control) { c.maxAge, c.noStore = 60, true })},
		{[]string{"CDN-Cache-Control: none"}, target(func(*control) {})},
		{[]string{"CDN-Cache-Control: "}, fallback},
		{[]string{"CDN-Cache-Control: max-age=60;x=1;y, a=(1 2;z \"q\");w"}, age(60)},
		{[]string{"CDN-Cache-Control: max-age=60, max-age=7"}, age(7)},
		{[]string{"CDN-Cache-Control: max-age=7.5"}, age(0)},
		{[]string{"CDN-Cache-Control: max-age=\"7\""}, age(0)},
		{[]string{"CDN-Cache-Control: max-age"}, age(0)},
		{[]string{"CDN-Cache-Control: max-age=-7"}, age(0)},
		{[]string{"CDN-Cache-Control: max-age=999999999999999"}, age(MaxSeconds)},
		{[]string{"CDN-Cache-Control: no-store=?0, max-age=7"}, age(7)},
		{[]string{"CDN-Cache-Control: no-store=?1"}, target(func(c *control) { c.noStore = true })},
		{[]string{"CDN-Cache-Control: private=\"a\", no-cache=b"}, target(func(c *control) { c.private, c.noCache = true, true })},
		{[]string{"CDN-Cache-Control: public=1, immutable=?0, must-revalidate, proxy-revalidate"}, target(func(c *control) { c.mustRevalidate, c.proxyRevalidate = true, true })},
		{[]string{"CDN-Cache-Control: s-maxage=4, stale-while-revalidate=2, stale-if-error=3, public, immutable, must-understand"}, target(func(c *control) {
			c.sMaxAge, c.whileRevalidating, c.ifError, c.public, c.immutable, c.mustUnderstand = 4, 2, 3, true, true, true
		})},
		{[]string{"CDN-Cache-Control: a=:YWI=:, b=@1659578233, c=%\"f%c3%bc\", d=tok/en:x, e=\"q\\\"\\\\\", f=-1.5, max-age=7"}, age(7)},
	} {
		h := fields(append(test.lines, "Cache-Control: max-age=1")...)
		if got := readControl(h, rules); got != test.want {
			t.Errorf("%q:\n%+v, not\n%+v", test.lines, got, test.want)
		}
	}
	for _, wrong := range []string{
		"Max-Age=60", "max-age=60,", ",max-age=60", "max-age=60 no-store", "max-age = 60", "max-age =60", "max-age= 60", "max-age=", "max-age=60,,no-store",
		"max-age=1234567890123456", "a=1.", "a=.5", "a=1.2345", "a=1234567890123.1", "a=-", "a=?2", "a=?", "a=\"x", "a=\"\\x\"", "a=\"\\", "a=\"\x01\"", "a=\"ü\"", "a=(1 2", "a=(1,2)", "a=(1\"x\")",
		"a;", "a;B", "a=1;=2", "a=:x", "a=:*:", "a=@", "a=@1.5", "a=%\"%C3\"", "a=%\"%c\"", "a=%\"x", "a=%x", "a=[]", "=1", "1a", "-a", "a=1;b=", "a==1", "\"no-store\"",
	} {
		if got := readControl(fields("CDN-Cache-Control: "+wrong, "Cache-Control: max-age=1"), rules); got != fallback {
			t.Errorf("%q is taken: %+v", wrong, got)
		}
	}
}
