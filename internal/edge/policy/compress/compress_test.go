package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policytest"
)

// step is what an endpoint does next: send a run, fail, or, when both are empty, let the reader wait.
type step struct {
	run string
	err error
}

// endpoint is a body whose runs are there or have to be waited for as its steps say.
type endpoint struct {
	steps   []step
	waited  int  // how often a reader had to wait
	refuses bool // a wait is a mistake
	t       testing.TB
}

func (e *endpoint) Buffered() bool {
	return len(e.steps) == 0 || e.steps[0] != step{}
}

func (e *endpoint) Next() ([]byte, error) {
	for len(e.steps) > 0 && (e.steps[0] == step{}) {
		if e.refuses {
			e.t.Error("the endpoint is waited for")
		}
		e.waited++
		e.steps = e.steps[1:]
	}
	if len(e.steps) == 0 {
		return nil, io.EOF
	}
	s := e.steps[0]
	e.steps = e.steps[1:]
	if s.err != nil {
		return nil, s.err
	}
	return []byte(s.run), nil
}

// answer is what an endpoint gives.
type answer struct {
	status int // 0 is 200
	head   string
	body   exchange.Body
	length int64 // exchange.Unknown or a length
	method string
}

// whole is an answer that is there at once, with its length.
func whole(head, body string) answer {
	return answer{head: head, body: &endpoint{steps: []step{{run: body}}}, length: int64(len(body))}
}

// give takes an answer through step 9 for a client that sent these lines.
func give(t testing.TB, r *policytest.Running, lines string, a answer) *exchange.Exchange {
	t.Helper()
	method := a.method
	if method == "" {
		method = "GET"
	}
	x := r.Request(method + " / HTTP/1.1\nHost: a\n" + lines)
	r.Chain.Request(x)
	x.Response.Status = a.status
	if a.status == 0 {
		x.Response.Status = 200
	}
	for _, line := range strings.Split(strings.TrimSpace(a.head), "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			x.Response.Header.Add(name, value)
		}
	}
	x.Response.Body, x.Response.Length = a.body, a.length
	r.Chain.Response(x)
	return x
}

// read reads what the client gets.
func read(x *exchange.Exchange) (string, error) {
	var b strings.Builder
	if x.Response.Body == nil {
		return "", nil
	}
	for {
		run, err := x.Response.Body.Next()
		if err == io.EOF {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		if len(run) == 0 {
			return b.String(), errors.New("an empty run")
		}
		b.Write(run)
	}
}

// decode undoes a coding, also of what breaks off.
func decode(t testing.TB, coding, encoded string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(encoded)
	switch coding {
	case "gzip":
		g, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = g
	case "zstd":
		// RFC 9659 §3: what browsers take.
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	case "br":
		r = brotli.NewReader(r)
	}
	out, err := io.ReadAll(r)
	if err != nil && err != io.ErrUnexpectedEOF {
		t.Fatalf("%s: %v", coding, err)
	}
	return string(out)
}

func header(x *exchange.Exchange, name string) string {
	var all []string
	for _, f := range x.Response.Header.All() {
		if strings.EqualFold(f.Name, name) {
			all = append(all, f.Value)
		}
	}
	return strings.Join(all, " | ")
}

// jsonOf is JSON as APIs send it, of about n bytes.
func jsonOf(n int) string {
	var b strings.Builder
	b.WriteString(`{"orders":[`)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"id":%d,"customer":{"id":"c-%x","name":"Ann Example"},"total":%d.%02d,"lines":[{"sku":"A%d","count":%d}],"state":"open"},`,
			i*7919, i*104729, i*13, i%100, i*31, i%9)
	}
	b.WriteString(`{}]}`)
	return b.String()
}

const asJSON = "Content-Type: application/json"

// TestChoose is RFC 9110 §12.5.3, with §12.4.2 for weights and §8.4.1.3 for x-gzip.
func TestChoose(t *testing.T) {
	f := func(lines, want string) {
		t.Helper()
		for _, body := range []answer{whole(asJSON, jsonOf(4000)), {head: asJSON, length: exchange.Unknown,
			body: &endpoint{steps: []step{{run: jsonOf(2000)}, {}, {run: jsonOf(100)}}}}} {
			r := policytest.New(t).Policy(Kind, "{}")
			x := give(t, r, lines, body)
			if got := header(x, "Content-Encoding"); got != want {
				t.Errorf("%q: %q, want %q", lines, got, want)
			}
			if header(x, "Vary") != "Accept-Encoding" {
				t.Errorf("%q: Vary: %q", lines, header(x, "Vary"))
			}
			x.Settle()
		}
	}
	f("", "")                    // nothing said: any would do, and identity always does
	f("Accept-Encoding:", "")    // an empty list: identity alone
	f("Accept-Encoding: ,,", "") //
	f("Accept-Encoding: gzip", "gzip")
	f("Accept-Encoding: GZip", "gzip")
	f("Accept-Encoding: x-gzip", "gzip")
	f("Accept-Encoding: deflate", "")
	f("Accept-Encoding: compress, gzip", "gzip")
	f("Accept-Encoding: gzip, deflate, br, zstd", "zstd") // equally liked: the configuration decides
	f("Accept-Encoding: gzip, deflate, br", "br")
	f("Accept-Encoding: gzip\nAccept-Encoding: br", "br")
	f("Accept-Encoding: gzip;q=1.0, br;q=0.9, zstd;q=0.8", "gzip")
	f("Accept-Encoding: gzip ; Q=0.001", "gzip")
	f("Accept-Encoding: gzip;q=0", "")
	f("Accept-Encoding: gzip;q=0.000, br", "br")
	f("Accept-Encoding: gzip, gzip;q=0", "") // refused somewhere is refused
	f("Accept-Encoding: *", "zstd")
	f("Accept-Encoding: zstd;q=0, *", "br")
	f("Accept-Encoding: gzip;q=0.5, *;q=0.1", "gzip")
	f("Accept-Encoding: *;q=0", "") // not even identity: nothing is acceptable, and identity is what there is
	f("Accept-Encoding: identity", "")
	f("Accept-Encoding: identity, gzip;q=0.5", "") // liked better by name
	f("Accept-Encoding: identity;q=0.5, gzip", "gzip")
	f("Accept-Encoding: identity;q=0, gzip;q=0.1", "gzip")
	f("Accept-Encoding: gzip, *;q=0", "gzip")
	// What is no weight says nothing.
	for _, bad := range []string{"2", "1.1", "1.001", "0.1234", "-1", "a", "", " 1", "0,5", "1.0.0", ".5"} {
		f("Accept-Encoding: gzip;q="+bad, "")
	}
	f("Accept-Encoding: gzip;level=9", "")
}

// TestPrefer is the server's order among what the client likes equally.
func TestPrefer(t *testing.T) {
	f := func(options, lines, want string) {
		t.Helper()
		x := give(t, policytest.New(t).Policy(Kind, options), lines, whole(asJSON, jsonOf(4000)))
		if got := header(x, "Content-Encoding"); got != want {
			t.Errorf("%s, %q: %q, want %q", options, lines, got, want)
		}
		if got := policytest.Verdict(x, "compress"); got != want {
			t.Errorf("%s, %q: verdict %q", options, lines, got)
		}
	}
	f("{prefer: [gzip]}", "Accept-Encoding: br, zstd, gzip", "gzip")
	f("{prefer: [gzip]}", "Accept-Encoding: br, zstd", "")
	f("{prefer: [br, zstd]}", "Accept-Encoding: gzip, zstd, br", "br")
	f("{prefer: [br, zstd]}", "Accept-Encoding: zstd;q=0.9, br;q=0.8", "zstd")
}

// TestWorth says which answers are compressed; want is the coding and Vary.
func TestWorth(t *testing.T) {
	long := jsonOf(4000)
	w := policytest.New(t)
	f := func(options, what, lines string, a answer, encoded, varies bool) {
		t.Helper()
		x := give(t, w.Policy(Kind, options), lines, a)
		if got := header(x, "Content-Encoding") == "gzip"; got != encoded {
			t.Errorf("%s: compressed: %v", what, got)
		}
		if got := strings.Contains(strings.ToLower(header(x, "Vary")), "accept-encoding"); got != varies {
			t.Errorf("%s: Vary: %q", what, header(x, "Vary"))
		}
		if x.Request.Method == "GET" {
			got, err := read(x)
			if encoded {
				got = decode(t, "gzip", got)
			}
			if err != nil || !strings.HasPrefix(long, got) || got == "" && a.body != nil {
				t.Errorf("%s: the content is another: %v", what, err)
			}
		}
		x.Settle()
	}
	const gzip = "Accept-Encoding: gzip"
	status := func(status int) answer {
		a := whole(asJSON, long)
		a.status = status
		return a
	}
	f("{}", "200", gzip, status(200), true, true)
	f("{}", "404", gzip, status(404), true, true)
	f("{}", "206, RFC 9110 §14.1.2", gzip, status(206), false, false)
	f("{}", "Content-Range, whatever the status", gzip, whole(asJSON+"\nContent-Range: bytes 0-1/2", long), false, false)
	f("{}", "205", gzip, answer{status: 205, head: asJSON}, false, false)
	f("{}", "204", gzip, answer{status: 204, head: asJSON}, false, false)
	f("{}", "101", gzip, answer{status: 101, head: asJSON}, false, false)
	f("{}", "encoded already, RFC 9110 §8.4", gzip, whole(asJSON+"\nContent-Encoding: br", long), false, false)
	f("{}", "identity by name", gzip, whole(asJSON+"\nContent-Encoding: identity", long), true, true)
	f("{}", "no-transform, RFC 9111 §5.2.2.6", gzip, whole(asJSON+"\nCache-Control: public, No-Transform", long), false, false)
	f("{}", "no-transform of the client, RFC 9111 §5.2.1.6", gzip+"\nCache-Control: no-transform", whole(asJSON, long), false, true)
	f("{}", "no type", gzip, whole("", long), false, false)
	f("{}", "parameters", gzip, whole("Content-Type: Application/JSON ; charset=utf-8", long), true, true)
	f("{}", "suffix", gzip, whole("Content-Type: application/vnd.api+json", long), true, true)
	f("{}", "problem", gzip, whole("Content-Type: application/problem+json", long), true, true)
	f("{}", "svg", gzip, whole("Content-Type: image/svg+xml", long), true, true)
	f("{}", "text", gzip, whole("Content-Type: text/csv", long), true, true)
	f("{}", "image", gzip, whole("Content-Type: image/png", long), false, false)
	f("{}", "archive", gzip, whole("Content-Type: application/zip", long), false, false)
	f("{}", "bytes", gzip, whole("Content-Type: application/octet-stream", long), false, false)
	f("{}", "gRPC", gzip, whole("Content-Type: application/grpc+json", long), false, false)
	f("{types: [\"application/*\"]}", "gRPC, asked for", gzip, whole("Content-Type: application/grpc", long), false, false)
	f("{}", "events", gzip, whole("Content-Type: text/event-stream", long), false, false)
	f("{types: [text/event-stream]}", "events, asked for", gzip, whole("Content-Type: text/event-stream", long), true, true)
	f("{types: [text/plain]}", "other type", gzip, whole(asJSON, long), false, false)
	f("{min_size: 4KiB}", "short", gzip, whole(asJSON, long[:4000]), false, true)
	f("{min_size: 4000B}", "just long enough", gzip, whole(asJSON, long[:4000]), true, true)
	f("{min_size: 4KiB}", "short, but identity is refused", gzip+", identity;q=0", whole(asJSON, long[:4000]), true, true)
	f("{}", "Vary stands already", gzip, whole(asJSON+"\nVary: Origin, accept-encoding", long), true, true)
	f("{}", "HEAD, RFC 9110 §9.3.2", gzip, answer{method: "HEAD", head: asJSON + "\nContent-Length: 4000", length: 4000}, true, true)
	f("{}", "HEAD of unknown length", gzip, answer{method: "HEAD", head: asJSON, length: exchange.Unknown}, true, true)
	f("{}", "HEAD of something short", gzip, answer{method: "HEAD", head: asJSON + "\nContent-Length: 40", length: 40}, false, true)
	f("{}", "nothing", gzip, answer{head: asJSON}, false, true)
}

// TestHead is what else changes: RFC 9110 §8.6, §8.8.3, §12.5.5, §14.3, RFC 9530 §2 and §3.
func TestHead(t *testing.T) {
	f := func(lines, in, out string) {
		t.Helper()
		a := whole(asJSON+"\n"+in, jsonOf(4000))
		x := give(t, policytest.New(t).Policy(Kind, "{}"), lines, a)
		var b strings.Builder
		for _, field := range x.Response.Header.All()[1:] {
			fmt.Fprintf(&b, "%s: %s\n", field.Name, field.Value)
		}
		if b.String() != out {
			t.Errorf("%q to a client with %q:\n%swant\n%s", in, lines, b.String(), out)
		}
		x.Settle()
	}
	const gzip, vary, coded = "Accept-Encoding: gzip", "Vary: Accept-Encoding\n", "Content-Encoding: gzip\n"
	f(gzip, `ETag: "a"`, "ETag: W/\"a\"\n"+vary+coded)
	f(gzip, `ETag: W/"a"`, "ETag: W/\"a\"\n"+vary+coded)
	f("", `ETag: "a"`, "ETag: \"a\"\n"+vary)
	f(gzip, "Content-Length: 4000", vary+coded)
	f("", "Content-Length: 4000", "Content-Length: 4000\n"+vary)
	f(gzip, "Accept-Ranges: bytes", vary+coded)
	f("", "Accept-Ranges: bytes", "Accept-Ranges: bytes\n"+vary)
	f(gzip, "Content-Digest: sha-256=:a:\nRepr-Digest: sha-256=:a:\nDigest: a\ncontent-md5: a\nX: y", "X: y\n"+vary+coded)
	f("", "Content-Digest: sha-256=:a:", "Content-Digest: sha-256=:a:\n"+vary)
	f(gzip, "Vary: Origin", "Vary: Origin\n"+vary+coded)
	f(gzip, "Vary: *", "Vary: *\n"+coded)
	f(gzip, "Vary: Accept-Encoding, Origin", "Vary: Accept-Encoding, Origin\n"+coded)
}

// TestUnchanged is RFC 9110 §15.4.5 and RFC 9111 §4.3.4: a client finds what it has stored by the tag it was given.
func TestUnchanged(t *testing.T) {
	f := func(lines, head, tag, vary string) {
		t.Helper()
		x := give(t, policytest.New(t).Policy(Kind, "{}"), "Accept-Encoding: gzip\n"+lines, answer{status: 304, head: head})
		if header(x, "ETag") != tag || header(x, "Vary") != vary || header(x, "Content-Encoding") != "" {
			t.Errorf("%q, %q: ETag %q, Vary %q, want %q, %q", lines, head, header(x, "ETag"), header(x, "Vary"), tag, vary)
		}
	}
	f(`If-None-Match: W/"a"`, `ETag: "a"`, `W/"a"`, "Accept-Encoding")
	f(`If-None-Match: "b", W/"a"`, `ETag: "a"`, `W/"a"`, "Accept-Encoding")
	f(`If-None-Match: "a", W/"a"`, `ETag: "a"`, `W/"a"`, "Accept-Encoding")
	f(`If-None-Match: "a"`, `ETag: "a"`, `"a"`, "Accept-Encoding")
	f(`If-None-Match: W/"b", "a"`, `ETag: "a"`, `"a"`, "Accept-Encoding")
	f(`If-None-Match: W/"a"`, `ETag: W/"a"`, `W/"a"`, "Accept-Encoding")
	f("If-None-Match: W/\"a\"", "ETag: \"a\"\nContent-Type: image/png", `"a"`, "")
	f("", "Content-Type: text/plain", "", "Accept-Encoding")
}

// TestIfMatch is RFC 9110 §13.1.1: a weak tag never matches, so the endpoint gets its own back.
func TestIfMatch(t *testing.T) {
	f := func(in, out string) {
		t.Helper()
		x := policytest.New(t).Policy(Kind, "{}").Ask("PUT / HTTP/1.1\nHost: a\nIf-Match: " + in + "\nIf-None-Match: W/\"n\"\nIf-Range: W/\"r\"")
		got, _ := x.Request.Header.Get(exchange.IfMatch)
		other, _ := x.Request.Header.Get(exchange.IfNoneMatch)
		ranged, _ := x.Request.Header.Get(exchange.IfRange)
		if got != out || other != `W/"n"` || ranged != `W/"r"` {
			t.Errorf("If-Match: %s: %s, want %s; %s; %s", in, got, out, other, ranged)
		}
	}
	f(`*`, `*`)
	f(`"a"`, `"a"`)
	f(`W/"a"`, `"a"`)
	f(`W/"a", "b",W/"c"`, `"a", "b","c"`)
	f(`"W/", W/"W/"`, `"W/", "W/"`)
	f(`"aW/"`, `"aW/"`)
}

// TestSmallUnknown is an answer in chunks that turns out to be short: it goes as it is, with its length.
func TestSmallUnknown(t *testing.T) {
	f := func(least int, steps []step, encoded bool, length int64) {
		t.Helper()
		want := ""
		for _, s := range steps {
			want += s.run
		}
		w := policytest.New(t)
		x := give(t, w.Policy(Kind, fmt.Sprintf("{min_size: %d}", least)), "Accept-Encoding: gzip",
			answer{head: asJSON, length: exchange.Unknown, body: &endpoint{steps: steps}})
		coding := header(x, "Content-Encoding")
		if (coding == "gzip") != encoded || !encoded && x.Response.Length != length {
			t.Errorf("%v: %q, length %d", steps, coding, x.Response.Length)
		}
		if encoded && (length == 0) != (x.Response.Length == exchange.Unknown) {
			t.Errorf("%v: length %d", steps, x.Response.Length)
		}
		got, err := read(x)
		if err != nil || decode(t, coding, got) != want {
			t.Errorf("%v: %q, %v", steps, got, err)
		}
		if x.Response.Length >= 0 && x.Response.Length != int64(len(got)) {
			t.Errorf("%v: length %d of %d", steps, x.Response.Length, len(got))
		}
		x.Settle()
	}
	f(10, []step{{run: "abc"}}, false, 3)
	f(10, []step{{run: "abc"}, {run: "def"}}, false, 6)
	f(10, []step{{run: "abc"}, {run: "defghijkl"}}, true, 1)
	f(10, []step{{run: "abcdefghijkl"}}, true, 1)
	f(10, []step{{run: "abc"}, {}, {run: "def"}}, true, 0) // it may be a stream
	f(10, []step{{}, {run: "def"}}, true, 0)
	f(10, nil, false, 0)
}

// TestStream is a stream that comes bit by bit: each bit can be read as soon as it was sent, and nobody is waited for before that.
func TestStream(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd", "br"} {
		w := policytest.New(t)
		e := &endpoint{t: t, steps: []step{{run: "one "}, {}, {run: "two "}, {run: "three "}, {}, {}, {run: "four"}}}
		x := give(t, w.Policy(Kind, "{min_size: 0}"), "Accept-Encoding: "+coding, answer{head: asJSON, length: exchange.Unknown, body: e})
		if x.Response.Length != exchange.Unknown || e.waited != 0 {
			t.Fatalf("%s: length %d, waited %d", coding, x.Response.Length, e.waited)
		}
		sent, seen := "", ""
		for waits, want := range []string{"one ", "one two three ", "one two three four"} {
			for seen != want {
				e.refuses = true
				if !x.Response.Body.Buffered() {
					// A writer flushes here; all that came is with the client.
					if seen = decode(t, coding, sent); seen != want {
						t.Fatalf("%s: %q when the endpoint is waited for, want %q", coding, seen, want)
					}
					break
				}
				run, err := x.Response.Body.Next()
				if err == io.EOF {
					seen = decode(t, coding, sent)
					break
				}
				if err != nil || len(run) == 0 {
					t.Fatal(len(run), err)
				}
				sent += string(run)
			}
			e.refuses = false
			if waits < 2 {
				run, err := x.Response.Body.Next()
				if err != nil {
					t.Fatal(err)
				}
				sent += string(run)
			}
		}
		if seen != "one two three four" {
			t.Errorf("%s: %q", coding, seen)
		}
		if _, err := x.Response.Body.Next(); err != io.EOF {
			t.Errorf("%s: %v after the end", coding, err)
		}
		x.Settle()
	}
}

// TestBroken is an endpoint that breaks off: the client gets what came, and the exchange the fault.
func TestBroken(t *testing.T) {
	broke := fault.New(fault.UpstreamReset, nil)
	for _, coding := range []string{"gzip", "zstd", "br", "identity"} {
		for _, steps := range [][]step{
			{{run: jsonOf(3000)}, {err: broke}},
			{{run: jsonOf(3000)}, {}, {err: broke}},
			{{run: "short"}, {err: broke}},
			{{err: broke}},
		} {
			want := steps[0].run
			x := give(t, policytest.New(t).Policy(Kind, "{}"), "Accept-Encoding: "+coding,
				answer{head: asJSON, length: exchange.Unknown, body: &endpoint{steps: steps}})
			got, err := read(x)
			if err != error(broke) || got != "" && decode(t, header(x, "Content-Encoding"), got) != want || got == "" && want != "" {
				t.Errorf("%s, %d steps: %d bytes, %v", coding, len(steps), len(got), err)
			}
			x.Settle()
		}
	}
}

// TestTrailer: a message of known length has no place for trailers.
func TestTrailer(t *testing.T) {
	for _, size := range []int{10, 4000} {
		r := policytest.New(t).Policy(Kind, "{}")
		x := r.Request("GET / HTTP/1.1\nHost: a\nAccept-Encoding: gzip")
		x.Response.Status, x.Response.Length = 200, exchange.Unknown
		x.Response.Header.Add("Content-Type", "text/plain")
		x.Response.Body = &endpoint{steps: []step{{run: jsonOf(size)}}}
		x.Response.Trailer.Add("X-Sum", "1")
		r.Chain.Response(x)
		if x.Response.Length != exchange.Unknown {
			t.Errorf("length %d", x.Response.Length)
		}
		if got, err := read(x); err != nil || decode(t, header(x, "Content-Encoding"), got) != jsonOf(size) {
			t.Error(err)
		}
		x.Settle()
	}
}

// TestRoom: when the encoders at work take all they may, answers go as they are; what is given back can be lent again.
func TestRoom(t *testing.T) {
	w := policytest.New(t)
	r := w.Policy(Kind, "{prefer: [zstd], min_size: 100, memory: 20MiB}")
	var open []*exchange.Exchange
	stream := func() *exchange.Exchange {
		return give(t, r, "Accept-Encoding: zstd", answer{head: asJSON, length: exchange.Unknown, body: &endpoint{steps: []step{{run: "begin"}, {}, {run: jsonOf(200)}}}})
	}
	for range 1000 {
		x := stream()
		open = append(open, x)
		if header(x, "Content-Encoding") == "" {
			break
		}
	}
	last := open[len(open)-1]
	if want := int(20<<20/models[zstandard][1].takes) + 1; len(open) != want {
		t.Errorf("%d are at work, want %d", len(open)-1, want-1)
	}
	if policytest.Verdict(last, "compress") != "busy" || header(last, "Vary") != "Accept-Encoding" {
		t.Errorf("%q, Vary: %q", policytest.Verdict(last, "compress"), header(last, "Vary"))
	}
	for i, x := range open {
		if got, err := read(x); err != nil || decode(t, header(x, "Content-Encoding"), got) != "begin"+jsonOf(200) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	// The encoders are back although the exchanges go on.
	again := stream()
	if header(again, "Content-Encoding") != "zstd" {
		t.Error("none was given back at the end of the content")
	}
	again.Settle() // the client left
	for _, x := range open {
		x.Settle()
	}
	s := r.Chain.Responses[0].(*compress).stock
	if left := s.taken.Load(); left != 0 {
		t.Errorf("%d bytes are not back", left)
	}
	if s.busy.Load() != 1 {
		t.Errorf("%d were counted", s.busy.Load())
	}
}

// TestLong is content that takes many runs, small and large ones.
func TestLong(t *testing.T) {
	long := jsonOf(512 << 10)
	for _, coding := range []string{"gzip", "zstd", "br"} {
		for _, word := range levelNames {
			for _, size := range []int{100, 5000, 68 << 10, 512 << 10} {
				var steps []step
				for rest := long; rest != ""; {
					n := min(size, len(rest))
					steps = append(steps, step{run: rest[:n]})
					rest = rest[n:]
				}
				x := give(t, policytest.New(t).Policy(Kind, "{level: "+word+"}"), "Accept-Encoding: "+coding,
					answer{head: asJSON, length: int64(len(long)), body: &endpoint{steps: steps}})
				got, err := read(x)
				if err != nil || decode(t, coding, got) != long {
					t.Errorf("%s %s, runs of %d: %d bytes, %v", coding, word, size, len(got), err)
				}
				if len(got) > len(long)/3 {
					t.Errorf("%s %s: %d bytes of %d", coding, word, len(got), len(long))
				}
				x.Settle()
			}
		}
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	for _, good := range []string{"{}", "{prefer: [gzip]}", "{types: [+json, text/*, application/wasm]}", "{level: small, min_size: 0}"} {
		w.Policy(Kind, good)
	}
	f := func(text, want string) {
		t.Helper()
		if got := w.Refused(Kind, text); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", text, got, want)
		}
	}
	f("{prefer: [deflate]}", `"deflate" is no coding`)
	f("{prefer: [gzip, x-gzip]}", "is there twice")
	f("{prefer: []}", "prefer")
	f("{types: [json]}", "is no media type")
	f("{types: ['*/*']}", "is no media type")
	f("{types: ['text/html; charset=utf-8']}", "is no media type")
	f("{types: [text/a*]}", "is no media type")
	f("{types: [+]}", "is no suffix")
	f("{min_size: 1MiB}", "min_size")
	f("{level: best}", "level")
	f("{memory: 1MiB}", "memory")
}

// FuzzRoundTrip takes content through encoders in runs and with waits of any kind.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("hello"), uint8(0), uint8(3), uint8(1))
	f.Add([]byte(jsonOf(3000)), uint8(4), uint8(200), uint8(2))
	f.Add([]byte{}, uint8(8), uint8(0), uint8(0))
	s := newStock() // one for all, so that encoders are used again
	f.Fuzz(func(t *testing.T, content []byte, which, size, waits uint8) {
		r := policytest.New(t).Policy(Kind, "{min_size: 50B, level: fast}")
		c := *r.Chain.Responses[0].(*compress)
		c.stock = s
		r.Chain.Responses[0] = &c
		coding := []string{"gzip", "zstd", "br", "identity"}[which%4]
		e := &endpoint{t: t}
		for rest := content; len(rest) > 0; {
			n := min(int(size)+1, len(rest))
			e.steps = append(e.steps, step{run: string(rest[:n])})
			if rest = rest[n:]; waits > 0 && len(e.steps)%int(waits) == 0 {
				e.steps = append(e.steps, step{})
			}
		}
		length := int64(exchange.Unknown)
		if which&4 != 0 {
			length = int64(len(content))
		}
		x := give(t, r, "Accept-Encoding: "+coding, answer{head: asJSON, length: length, body: e})
		if e.waited != 0 {
			t.Error("content was waited for before the head")
		}
		got, err := read(x)
		if err != nil || decode(t, header(x, "Content-Encoding"), got) != string(content) {
			t.Errorf("%s: %v", coding, err)
		}
		if x.Response.Length >= 0 && x.Response.Length != int64(len(got)) {
			t.Errorf("%s: length %d of %d", coding, x.Response.Length, len(got))
		}
		x.Settle()
	})
}

// FuzzChoose must not panic and never choose what was not offered.
func FuzzChoose(f *testing.F) {
	f.Add("gzip;q=0.5, br, *;q=0")
	s := settings{prefer: []coding{zstandard, gzipped}}
	f.Fuzz(func(t *testing.T, value string) {
		var h exchange.Fields
		h.Add("Accept-Encoding", value)
		if c, _ := s.choose(&h); c == brotlied || c == gzipped && !bytes.ContainsAny([]byte(value), "gG*") {
			t.Errorf("%q: %s", value, c)
		}
	})
}

// TestAskedOfEndpoints: what an endpoint is asked for says nothing of what the client takes.
func TestAskedOfEndpoints(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "{}")
	for said, want := range map[string]string{"gzip": "gzip", "identity": ""} {
		x := r.Request("GET / HTTP/1.1\nHost: a\nAccept-Encoding: " + said + "\n")
		r.Chain.Request(x)
		x.Request.Change() // as the policy headers does
		x.Request.Header.Set(exchange.AcceptEncoding, map[string]string{"gzip": "identity", "identity": "gzip"}[said])
		x.Response.Status = 200
		x.Response.Header.Add("Content-Type", "text/plain")
		a := whole("", strings.Repeat("a", 4096))
		x.Response.Body, x.Response.Length = a.body, a.length
		r.Chain.Response(x)
		if got, _ := x.Response.Header.Get(exchange.ContentEncoding); got != want {
			t.Errorf("a client that takes %s gets %q", said, got)
		}
		x.Settle()
	}
}
