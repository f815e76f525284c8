package split

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policytest"
)

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	for yaml, want := range map[string]string{
		"{}":                                          "to is missing",
		"to: { up1: -1 }":                             "weight of up1 is -1",
		"to: { up1: 1000001 }":                        "0 to 1000000 are allowed",
		"to: { up1: 0, up2: 0 }":                      "all weights are 0",
		"to: { other: 1 }":                            "no upstream other",
		"{ to: { up1: 1 }, by: header }":              "needs the name of a field",
		"{ to: { up1: 1 }, header: X }":               "header goes with by: header",
		"{ to: { up1: 1 }, choose: 'a b' }":           `"a b" is not a field name`,
		"{ to: { up1: 1 }, by: cookie, cookie: '=' }": "not the name of a cookie",
	} {
		if got := w.Refused(Kind, yaml); !strings.Contains(got, want) {
			t.Errorf("%s: %s", yaml, got)
		}
	}
}

func shares(weights ...uint64) (list []share, total uint64) {
	for i, weight := range weights {
		list = append(list, newShare(fmt.Sprintf("up%d", i), weight))
		total += weight
	}
	return list, total
}

// TestWeighted: each random number stands for one upstream, as many for each as it weighs.
func TestWeighted(t *testing.T) {
	list, total := shares(90, 0, 10)
	got := map[string]int{}
	for random := range uint64(1000) {
		got[weighted(list, total, random)]++
	}
	if got["up0"] != 900 || got["up2"] != 100 {
		t.Error(got)
	}
}

// TestStickyShares: keys are parted by weight.
func TestStickyShares(t *testing.T) {
	list, total := shares(80, 15, 5)
	const keys = 100_000
	got := map[string]float64{}
	for i := range keys {
		got[sticky(list, fmt.Sprintf("consumer-%d", i))]++
	}
	for _, s := range list {
		want := keys * float64(s.weight) / float64(total)
		if math.Abs(got[s.name]-want) > 5*math.Sqrt(want) {
			t.Errorf("%s got %v of %d keys, not about %v", s.name, got[s.name], keys, want)
		}
	}
}

// TestStickyGrows: when a canary gets more, who was on it stays, and nobody moves between the others.
func TestStickyGrows(t *testing.T) {
	before, _ := shares(60, 35, 5)
	after, _ := shares(60, 35, 20)
	gone, _ := shares(60, 35, 0)
	moved := 0
	for i := range 20_000 {
		key := fmt.Sprintf("browser %d", i)
		was, is, last := sticky(before, key), sticky(after, key), sticky(gone, key)
		if was != is {
			if moved++; is != "up2" {
				t.Fatalf("%s moved from %s to %s", key, was, is)
			}
		}
		if was != "up2" && was != last || last == "up2" {
			t.Fatalf("without the canary %s moved from %s to %s", key, was, last)
		}
	}
	if moved == 0 {
		t.Error("nobody moved to the canary")
	}
}

func TestBy(t *testing.T) {
	w := policytest.New(t)
	// same counts which upstreams the requests of ask go to.
	same := func(yaml string, ask func(r *policytest.Running, i int) *exchange.Exchange) int {
		r := w.Policy(Kind, yaml)
		got := map[string]bool{}
		for i := range 200 {
			x := ask(r, i)
			r.Chain.Request(x)
			if x.Onward.Upstream == "" {
				t.Fatalf("%s: none was chosen", yaml)
			}
			got[x.Onward.Upstream] = true
		}
		return len(got)
	}
	consumer := &consumer.Consumer{ID: "acme"}
	as := func(field string) func(r *policytest.Running, i int) *exchange.Exchange {
		return func(r *policytest.Running, i int) *exchange.Exchange {
			x := r.Request("GET / HTTP/1.1\nHost: a\n" + strings.ReplaceAll(field, "%d", fmt.Sprint(i)) + "\n\n")
			if field == "X: consumer" {
				x.Caller.Consumer = consumer
			}
			return x
		}
	}
	for _, c := range []struct {
		options, field string
		want           int
	}{
		{"by: request", "X: 1", 2},
		{"by: address", "X: %d", 1},
		{"by: consumer", "X: consumer", 1},
		{"by: consumer", "X: nobody", 1},
		{"by: header, header: X-Tenant", "X-Tenant: 7", 1},
		{"by: header, header: X-Tenant", "X-Tenant: %d", 2},
		{"by: header, header: X-Tenant", "X: %d", 2},
		{"by: cookie", "Cookie: a=b; straum_split=7f", 1},
		{"by: cookie", "Cookie: straum_split=%d", 2},
		{"by: cookie", "Cookie: other=1", 2},
		{"choose: X-Canary", "X-Canary: up2", 1},
	} {
		if got := same("{ to: { up1: 1, up2: 1 }, "+c.options+" }", as(c.field)); got != c.want {
			t.Errorf("%s with %s: %d upstreams, not %d", c.options, c.field, got, c.want)
		}
	}
	r := w.Policy(Kind, "{ to: { up1: 1, up2: 0 }, choose: X-Canary }")
	for choice, want := range map[string]string{"up2": "up2", "up3": "up1", "": "up1"} {
		if x := r.Ask("GET / HTTP/1.1\nHost: a\nX-Canary: " + choice + "\n\n"); x.Onward.Upstream != want {
			t.Errorf("%q chose %s", choice, x.Onward.Upstream)
		}
	}
}

// TestCookie: a browser is given an id once, and goes to the same upstream with it as the first time.
func TestCookie(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, "{ to: { up1: 1, up2: 1 }, by: cookie, max_age: 1h }")
	for range 50 {
		r.Scheme = "https"
		first := r.Request("GET / HTTP/1.1\nHost: a\n\n")
		r.Chain.Request(first)
		r.Chain.Response(first)
		given, _ := first.Response.Header.Get(exchange.SetCookie)
		want := "straum_split=" + first.ID + "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"
		if given != want {
			t.Fatalf("got %q, want %q", given, want)
		}
		again := r.Request("GET / HTTP/1.1\nHost: a\nCookie: straum_split=" + first.ID + "\n\n")
		r.Chain.Request(again)
		r.Chain.Response(again)
		if again.Onward.Upstream != first.Onward.Upstream {
			t.Fatal("the browser went elsewhere")
		}
		if again.Response.Header.Count(exchange.SetCookie) > 0 {
			t.Fatal("the browser got another id")
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, by := range []string{"request", "address", "cookie"} {
		b.Run(by, func(b *testing.B) {
			w := policytest.New(b)
			r := w.Policy(Kind, "{ to: { up1: 95, up2: 5 }, by: "+by+" }")
			x := r.Request("GET / HTTP/1.1\nHost: a\nCookie: straum_split=0123456789abcdef\n\n")
			b.ReportAllocs()
			for b.Loop() {
				x.Onward = exchange.Onward{}
				r.Chain.Request(x)
			}
		})
	}
}

// TestCookieKeptFromEndpoints: a browser keeps its id also where endpoints are shown no cookies.
func TestCookieKeptFromEndpoints(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{ to: { up1: 1, up2: 1 }, by: cookie }")
	x := r.Request("GET / HTTP/1.1\nHost: a\nCookie: straum_split=abc\n")
	r.Chain.Request(x)
	x.Request.Change() // as the policy headers does
	x.Request.Header.Del(exchange.Cookie)
	x.Response.Status = 200
	r.Chain.Response(x)
	if got, there := x.Response.Header.Get(exchange.SetCookie); there {
		t.Errorf("given another: %s", got)
	}
}
