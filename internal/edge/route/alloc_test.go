package route

import "testing"

// TestAllocations: the whole of step 3 allocates nothing, whatever it finds.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var b Builder
	b.Add(Spec{Index: 0, Hosts: []string{"api.example.com"}, Paths: []string{"/orders/{id}/*"}, Methods: []string{"GET"}})
	b.Add(Spec{Index: 1, Hosts: []string{"*.example.com"}, Paths: []string{"/orders/*"}, Methods: []string{"POST"}, Headers: map[string]string{"x-v": "2"}, Query: map[string]string{"q": "a b"}})
	table, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	rewrite, err := NewRewrite("/v2/{id}/{*}", []string{"/orders/{id}/*"})
	if err != nil {
		t.Fatal(err)
	}
	header := &fieldsPointer{fields{"x-v": "2"}}
	scratch, out := make([]byte, 0, 1024), make([]byte, 0, 1024)
	m := new(Match)
	f := func(want Result, method, host, raw, query string) {
		t.Helper()
		step := func() {
			c, ext, err := AppendCanonical(scratch[:0], raw)
			if err != nil {
				t.Fatal(err)
			}
			h, _ := AppendHost(ext, host)
			q := Query{Host: h, Method: method, Path: c.Path, RawQuery: query, Header: header}
			if got := table.Lookup(&q, m); got != want {
				t.Fatalf("%s %s%s: %v, want %v", method, host, raw, got, want)
			}
			if want == Found && m.Route == 0 {
				out = rewrite.Append(out[:0], c.Path, m)
			}
		}
		step() // Allow grows once
		if n := testing.AllocsPerRun(100, step); n != 0 {
			t.Errorf("%s %s%s: %v allocations", method, host, raw, n)
		}
	}
	f(Found, "GET", "api.example.com", "/orders/7/x", "")
	f(Found, "GET", "API.example.com:443", "//orders/./7/%78", "")
	f(Found, "POST", "api.example.com", "/orders/7", "q=a+b")
	f(MethodNotAllowed, "PUT", "api.example.com", "/orders/7", "q=a+b")
	f(NoCondition, "POST", "b.example.com", "/orders/7", "q=b")
	f(NoPath, "GET", "api.example.com", "/other", "")
	f(NoHost, "GET", "other", "/other", "")
}

// fieldsPointer is a HeaderGetter that fits an interface without allocation, as
// the exchange does.
type fieldsPointer struct{ fields }
