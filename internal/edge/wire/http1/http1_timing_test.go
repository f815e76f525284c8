package http1

import (
	"testing"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
)

func BenchmarkParseRequest(b *testing.B) {
	for _, c := range []struct {
		name string
		raw  []byte
	}{{"small", smallRequest}, {"browser", browserRequest}} {
		b.Run(c.name, func(b *testing.B) {
			var h head
			var r exchange.Request
			limits := roomy()
			b.SetBytes(int64(len(c.raw)))
			b.ReportAllocs()
			for b.Loop() {
				r.Header.Reset()
				if _, err := parseRequest(c.raw, limits, &h, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseResponse(b *testing.B) {
	var h head
	var r exchange.Response
	b.SetBytes(int64(len(jsonResponse)))
	b.ReportAllocs()
	for b.Loop() {
		r.Header.Reset()
		if _, _, err := parseResponse(jsonResponse, "GET", &h, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	x := new(exchange.Exchange)
	var h head
	if _, err := parseRequest(browserRequest, roomy(), &h, &x.Request); err != nil {
		b.Fatal(err)
	}
	out := make([]byte, 0, 4<<10)
	o := &exchange.Outgoing{Path: "/assets/app.js", Host: "10.0.0.1:8080"}
	b.ReportAllocs()
	for b.Loop() {
		appendRequest(out, x, o, false)
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	x := new(exchange.Exchange)
	x.Request.Method, x.Request.Minor = "GET", 1
	x.KeepAlive = true
	var h head
	if _, _, err := parseResponse(jsonResponse, "GET", &h, &x.Response); err != nil {
		b.Fatal(err)
	}
	out := make([]byte, 0, 4<<10)
	now := clock.Now()
	b.ReportAllocs()
	for b.Loop() {
		appendResponse(out, x, framing(x), now)
	}
}
