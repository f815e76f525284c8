package route

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// manyHosts gives n routes, ten a host; oneHost gives n routes under one host.
func manyHosts(n int) (specs []Spec) {
	for i := range n {
		specs = append(specs, Spec{
			Index: i, Name: fmt.Sprint("route", i), Source: fmt.Sprintf("straum.yaml:%d:5", i),
			Hosts:   []string{fmt.Sprintf("tenant%d.example.com", i/10)},
			Paths:   []string{fmt.Sprintf("/v1/things%d/{id}/*", i%10)},
			Methods: []string{"GET", "POST"},
		})
	}
	return specs
}

func oneHost(n int) (specs []Spec) {
	for i := range n {
		specs = append(specs, Spec{
			Index: i, Name: fmt.Sprint("route", i), Source: fmt.Sprintf("straum.yaml:%d:5", i),
			Hosts:   []string{"api.example.com"},
			Paths:   []string{fmt.Sprintf("/v1/things%d/{id}/*", i)},
			Methods: []string{"GET", "POST"},
		})
	}
	return specs
}

// oneLeaf gives n routes that only a header tells apart: the worst for Build.
func oneLeaf(n int) (specs []Spec) {
	for i := range n {
		specs = append(specs, Spec{Index: i, Name: fmt.Sprint("route", i), Headers: map[string]string{"x-tenant": fmt.Sprint(i)}})
	}
	return specs
}

func mustBuild(tb testing.TB, specs []Spec) *Table {
	var b Builder
	for _, s := range specs {
		b.Add(s)
	}
	t, err := b.Build()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// TestIndexed: in a crowded leaf only the entries with the header's value are tried.
func TestIndexed(t *testing.T) {
	table := mustBuild(t, oneLeaf(10_000))
	x := table.any.rest.index
	if x == nil || len(x.others) != 0 || len(x.headers) != 1 || len(x.headers[0].byValue["4711"]) != 1 {
		t.Fatal("the leaf has no index, or one that does not tell tenants apart")
	}
	var m Match
	if r := table.Lookup(&Query{Path: "/a", Header: fields{"x-tenant": "4711"}}, &m); r != Found || m.Route != 4711 || m.steps > 3 {
		t.Errorf("%v, route %d in %d steps", r, m.Route, m.steps)
	}
}

// TestCostIsFlat counts what Lookup does instead of timing it: with a thousand
// times the routes it takes no more steps.
func TestCostIsFlat(t *testing.T) {
	for name, specs := range map[string]func(int) []Spec{"manyHosts": manyHosts, "oneHost": oneHost} {
		var visited [2]int
		for i, n := range []int{10, 10_000} {
			all := specs(n)
			table := mustBuild(t, all)
			var m Match
			s := &all[n-1]
			q := Query{Host: s.Hosts[0], Method: "GET", Path: s.Paths[0][:len(s.Paths[0])-len("{id}/*")] + "7/x"}
			if r := table.Lookup(&q, &m); r != Found || m.Route != n-1 {
				t.Fatalf("%s: %v, route %d", q.Path, r, m.Route)
			}
			visited[i] = m.steps
		}
		if visited[0] != visited[1] || visited[0] == 0 {
			t.Errorf("%s: %d steps with 10 routes, %d with 10,000", name, visited[0], visited[1])
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, shape := range []struct {
		name  string
		specs func(int) []Spec
	}{{"manyHosts", manyHosts}, {"oneHost", oneHost}} {
		for _, n := range []int{10, 1000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				specs := shape.specs(n)
				table := mustBuild(b, specs)
				// A few thousand requests spread over the table, so that caches see
				// what they would see in service.
				queries := make([]Query, 0, 4096)
				for i := range cap(queries) {
					s := &specs[i*7919%n]
					queries = append(queries, Query{Host: s.Hosts[0], Method: "GET", Path: s.Paths[0][:len(s.Paths[0])-len("{id}/*")] + "7/x"})
				}
				specs = nil
				runtime.GC()
				var m Match
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					if table.Lookup(&queries[i%len(queries)], &m) != Found {
						b.Fatal("not found")
					}
				}
			})
		}
	}
}

func BenchmarkLookupOneLeaf(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := mustBuild(b, oneLeaf(n))
			q := Query{Path: "/a", Header: fields{"x-tenant": "7"}}
			var m Match
			b.ReportAllocs()
			for b.Loop() {
				if table.Lookup(&q, &m) != Found {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, shape := range []struct {
		name  string
		specs func(int) []Spec
	}{{"manyHosts", manyHosts}, {"oneHost", oneHost}, {"oneLeaf", oneLeaf}} {
		b.Run(shape.name+"/100000", func(b *testing.B) {
			specs := shape.specs(100_000)
			var table *Table
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			b.ResetTimer()
			for range b.N {
				table = mustBuild(b, specs)
			}
			b.StopTimer()
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/100_000, "B/route")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*float64(time.Second/time.Millisecond), "ms/table")
			runtime.KeepAlive(table)
			runtime.KeepAlive(specs)
		})
	}
}

func BenchmarkCanonical(b *testing.B) {
	for _, raw := range []string{"/", "/v1/orders/4711/items", "/v1/orders/caf%C3%A9/items", "/v1//orders/./x/%2e%2e/%7eitems"} {
		b.Run(raw, func(b *testing.B) {
			scratch := make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := AppendCanonical(scratch, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
