package freshness

import (
	"testing"

	"straum.dev/straum/internal/edge/exchange"
)

// What runs on each hit allocates nothing.
func TestAllocations(t *testing.T) {
	h := fields("Host: a", "Accept: */*", "Accept-Encoding: gzip, deflate, br;q=0.5, zstd", "Accept-Language: de, en;q=0.5", "Cache-Control: max-age=60, max-stale=5", "Foo: a, b",
		`If-None-Match: "x", W/"a"`, "If-Modified-Since: "+date(0), "Range: bytes=0-1", `If-Range: "a"`, "Cookie: a=b")
	response := fields("Date: "+date(0), "Cache-Control: max-age=60, public", `ETag: "a"`, "Last-Modified: "+date(-60), "Content-Type: a", "Expires: "+date(9))
	rules := &Rules{Heuristic: .1, Targets: []string{"cdn-cache-control"}}
	req := ReadRequest(h, rules)
	terms, _ := Judge("GET", &req, 200, response, at(0), at(0), rules)
	names := []string{"accept-encoding", "accept-language", "cookie", "foo", "user-agent"}
	room := make([]byte, 0, 1024)
	stale := at(61)
	for name, run := range map[string]func(){
		"ReadRequest":   func() { req = ReadRequest(h, rules) },
		"Use":           func() { terms.Use(&req, stale, rules) },
		"OnError":       func() { terms.OnError(&req, stale, rules) },
		"NotModified":   func() { NotModified(h, `"b"`, &terms) },
		"Range":         func() { Range(h, `"a"`, &terms, 10) },
		"AppendVariant": func() { room = AppendVariant(room[:0], names, h, "fr") },
		"Judge":         func() { Judge("GET", &req, 200, response, at(0), at(0), rules) },
		"Stores":        func() { Stores(response, rules, func(*exchange.Field) {}) },
		"AppendDate":    func() { room = AppendDate(room[:0], 784111777) },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkHit(b *testing.B) {
	h := fields("Host: a", "User-Agent: x", "Accept: */*", "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: de, en;q=0.5", "Cookie: a=b")
	rules := &Rules{}
	req := ReadRequest(h, rules)
	terms, _ := Judge("GET", &req, 200, fields("Cache-Control: max-age=60"), at(0), at(0), rules)
	names := []string{"accept-encoding"}
	room := make([]byte, 0, 1024)
	now := at(5)
	b.Run("ReadRequest", func(b *testing.B) {
		for b.Loop() {
			req = ReadRequest(h, rules)
		}
	})
	b.Run("Use", func(b *testing.B) {
		for b.Loop() {
			terms.Use(&req, now, rules)
		}
	})
	b.Run("NotModified+Range", func(b *testing.B) {
		for b.Loop() {
			NotModified(h, `"a"`, &terms)
			Range(h, `"a"`, &terms, 10)
		}
	})
	b.Run("AppendVariant", func(b *testing.B) {
		for b.Loop() {
			room = AppendVariant(room[:0], names, h, "")
		}
	})
	response := fields("Date: "+date(0), "Cache-Control: max-age=60, public", `ETag: "a"`, "Last-Modified: "+date(-60), "Content-Type: a")
	b.Run("Judge", func(b *testing.B) {
		for b.Loop() {
			Judge("GET", &req, 200, response, now, now, rules)
		}
	})
}
