package mix

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/load"
)

// own are lines of the gateway's log, as docs/log.md has them.
const own = `{"time":"2026-11-22T09:00:00.100Z","id":"a","method":"GET","host":"api.example.com","path":"/orders/4711","status":200,"bytes_in":1,"bytes_out":2,"total_us":3,"own_us":1}
{"time":"2026-11-22T09:00:00.300Z","id":"b","method":"GET","host":"api.example.com","path":"/orders/4711","status":200,"auth":"jwt","consumer":"acme","bytes_in":1,"bytes_out":2}
{"time":"2026-11-22T09:00:00.700Z","id":"c","method":"GET","host":"api.example.com","path":"/orders/4712","query":"page=2","status":404}
{"time":"2026-11-22T09:00:01.000Z","id":"d","method":"GET","host":"api.example.com","path":"/search","query":"q=…","status":200}
{"time":"2026-11-22T09:00:02.000Z","id":"e","method":"POST","host":"api.example.com","path":"/orders","status":201}
{"time":"2026-11-22T09:00:02.100Z","id":"f","method":"HEAD","host":"api.example.com","path":"/größe","status":200}
{"time":"2026-11-22T09:00:03.000Z","id":"g","method":"GET","host":"api.example.com","path":"/ws","status":101,"end":"tunnel_closed"}
{"time":"2026-11-22T09:00:04.000Z","lost":12,"lost_since_start":12,"lost_that_matter":0}
{"time":"2026-11-22T09:00:05.000Z","id":"h","status":0,"fault":"timeout_header","bytes_in":0,"bytes_out":0}
{"time":"2026-11-22T09:00:05.100Z","id":"i","method":"GET","host":"api.example.com","path":"/a\ufffd","status":400}
not a line
`

const combined = `203.0.113.7 - - [22/Nov/2026:09:00:00 +0000] "GET /orders/1?page=2 HTTP/1.1" 200 12 "-" "curl/8"
203.0.113.7 - bob [22/Nov/2026:09:00:00 +0000] "GET /orders/1?page=2 HTTP/2.0" 200 12 "https://a/\x22" "curl \x22quoted\x22"
203.0.113.7 - - [22/Nov/2026:09:00:01 +0000] "GET /a\x22b\xC3\xA9 HTTP/1.1" 200 12 "-" "curl/8"
203.0.113.7 - - [22/Nov/2026:09:00:10 +0000] "POST /orders HTTP/1.1" 201 12 "-" "curl/8"
203.0.113.7 - - [22/Nov/2026:09:00:10 +0000] "OPTIONS * HTTP/1.1" 200 12 "-" "curl/8"
203.0.113.7 - - [22/Nov/2026:09:00:10 +0000] "\x16\x03\x01" 400 12 "-" "-"
203.0.113.7 - - [22/Nov/2026:09:00:10 +0000] "GET http://elsewhere/ HTTP/1.1" 400 12 "-" "-"
`

func TestLogs(t *testing.T) {
	for _, c := range []struct{ name, log, want string }{
		{"the gateway's own", own, `GET /orders/{id}: GET api.example.com /orders/4711, weight 2
	X-A: b
HEAD /gr%C3%B6%C3%9Fe: HEAD api.example.com /gr%C3%B6%C3%9Fe, weight 1
	X-A: b
GET /orders/{id}: GET api.example.com /orders/4712?page=2, weight 1
	X-A: b
note: taken from the log: 4 of 8 requests, to 3 paths
note: in the log they came at 1.6/s on average and 3/s in the busiest second (--rate log, --rate log-peak)
note: 1 request that may change something was left out; --mix sends such ones
note: 1 request was left out, since the log masked its query or cut its path (log.access.query: full keeps it)
note: 1 request that became a tunnel was left out
note: 1 request was left out, since its path or host cannot be sent
note: 1 request showed a credential, which no log has; give one by -H
note: 2 lines are neither the gateway's own log nor nginx's combined form
note: 12 lines are missing in the log, as it says itself
`},
		{"combined", combined, `GET /orders/{id}: GET from.url /orders/1?page=2, weight 2
	X-A: b
OPTIONS *: OPTIONS from.url *, weight 1
	X-A: b
GET /a"b%C3%A9: GET from.url /a"b%C3%A9, weight 1
	X-A: b
note: taken from the log: 4 of 6 requests, to 3 paths
note: in the log they came at 0.6/s on average and 3/s in the busiest second (--rate log, --rate log-peak)
note: 1 request that may change something was left out; --mix sends such ones
note: 1 request was left out, since its path or host cannot be sent
note: 1 request showed a credential, which no log has; give one by -H
note: 1 line is neither the gateway's own log nor nginx's combined form
`},
		{"empty", "\n\n", "error: the log is empty\n"},
		{"something else", "a\nb\n", "error: of 2 lines none is one of the gateway's own log or nginx's combined form\n"},
		{"masked", `{"method":"GET","path":"/a","query":"b=…"}`, "error: of 1 request in the log none can be sent: their queries are masked, or they may change something; use --mix, or a log with log.access.query: full\n"},
		{"changing", `{"method":"POST","path":"/a"}`, "error: of 1 request in the log none can be sent: they may change something, or have no path; use --mix\n"},
		{"without times", `{"method":"GET","path":"/a"}`, "GET /a: GET from.url /a, weight 1\n\tX-A: b\nnote: taken from the log: 1 of 1 request, to 1 path\n"},
	} {
		m, err := Log(strings.NewReader(c.log), LogOptions{Host: "from.url", Fields: []load.Field{{Name: "X-A", Value: "b"}}})
		if got := written(m, err); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestLogThatBreaksOff(t *testing.T) {
	broken := errors.New("the disk is gone")
	if _, err := Log(iotest.ErrReader(broken), LogOptions{}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// A line that never ends takes no more memory than others, and what follows is read.
func TestLongLine(t *testing.T) {
	m, err := Log(strings.NewReader(`{"method":"GET","path":"/`+strings.Repeat("a", 3*MaxLine)+"\"}\n"+`{"method":"GET","path":"/b"}`), LogOptions{Host: "a"})
	if err != nil || len(m.Requests) != 1 || m.Requests[0].Target != "/b" || !strings.Contains(strings.Join(m.Notes, "\n"), "1 line is neither") {
		t.Errorf("got %+v, %v", m, err)
	}
}

// Of more paths than are taken the most frequent stay, and the rest is told.
func TestManyPaths(t *testing.T) {
	var b strings.Builder
	for i := range MaxPaths + 500 {
		fmt.Fprintf(&b, "{\"method\":\"GET\",\"path\":\"/p%d\"}\n", i)
		if i%3 == 0 {
			fmt.Fprintf(&b, "{\"method\":\"GET\",\"path\":\"/p%d\"}\n", i)
		}
	}
	m, err := Log(strings.NewReader(b.String()), LogOptions{Host: "a"})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, q := range m.Requests {
		names[q.Name] = true
	}
	if len(m.Requests) != MaxPaths || m.Requests[0].Weight != 2 || len(names) != mostKinds+1 || !names["others"] {
		t.Errorf("%d requests, the first with weight %g, %d names", len(m.Requests), m.Requests[0].Weight, len(names))
	}
	if !strings.Contains(strings.Join(m.Notes, "\n"), "500 requests to paths that are asked for more rarely than the 10,000 most frequent were left out") {
		t.Errorf("notes: %q", m.Notes)
	}
}

// Memory is bounded while a log is read, however many paths it has: what was forgotten is counted.
func TestForgetting(t *testing.T) {
	g := gathering{counts: map[path]uint64{}}
	for i := range mostPaths - 5 { // as if they had been read
		p := path{"GET", "", fmt.Sprintf("/p%d", i)}
		n := uint64(1)
		if i < 100 {
			n = 2
		}
		g.counts[p] = n
		g.requests += n
		g.bytes += len(p.target)
	}
	for i := range 10 {
		g.add(fmt.Sprintf(`{"method":"GET","path":"/q%d"}`, i))
	}
	if len(g.counts) > mostPaths/2+10 || g.rare == 0 || g.counts[path{"GET", "", "/p7"}] != 2 {
		t.Errorf("%d paths, %d forgotten, /p7 %d times", len(g.counts), g.rare, g.counts[path{"GET", "", "/p7"}])
	}
	sum := uint64(0)
	for _, n := range g.counts {
		sum += n
	}
	if sum+g.rare != g.requests {
		t.Errorf("%d taken and %d forgotten of %d", sum, g.rare, g.requests)
	}
}

// Lines come out of order by a little.
func TestPace(t *testing.T) {
	var b strings.Builder
	for _, s := range []int{3, 1, 2, 3, 2, 3, 9, 3} {
		fmt.Fprintf(&b, "{\"method\":\"GET\",\"path\":\"/a\",\"time\":\"2026-11-22T09:00:%02d.5Z\"}\n", s)
	}
	// This one is as many seconds older as are looked at: it counts for the mean alone.
	b.WriteString(`{"method":"GET","path":"/a","time":"2026-11-22T08:57:55.5Z"}`)
	m, err := Log(strings.NewReader(b.String()), LogOptions{Host: "a"})
	if err != nil || m.Mean != 9.0/134 || m.Busiest != 4 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestKinds(t *testing.T) {
	for target, want := range map[string]string{
		"/":                                     "GET /",
		"/orders/12?x=/7/8":                     "GET /orders/{id}",
		"/orders/12/items/3":                    "GET /orders/{id}/items/{id}",
		"/v1/orders":                            "GET /v1/orders",
		"/decade/facade":                        "GET /decade/facade",
		"/0f8fad5b-d9cd-469f-a165-70867728950e": "GET /{id}",
		"/deadbeef01":                           "GET /{id}",
		"/2026-11-22":                           "GET /{id}",
		"/app.4f3a9c.js":                        "GET /app.4f3a9c.js",
		"/eyJhbGciOiJIUzI1NiJ9X7":               "GET /{id}",
		"/introspection-endpoint":               "GET /introspection-endpoint",
	} {
		if got := kindOf("GET", target); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

// Whatever a log holds, what is taken can be sent, and each line counts once.
func TestAnyLog(t *testing.T) {
	lines := rapid.OneOf(rapid.String(), rapid.SampledFrom(append(strings.Split(own, "\n"), strings.Split(combined, "\n")...)),
		rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf(`{"method":%q,"host":%q,"path":%q,"query":%q,"status":%d}`, rapid.SampledFrom([]string{"GET", "POST", "OPTIONS", ""}).Draw(t, "method"),
				rapid.OneOf(rapid.String(), rapid.Just("a.example")).Draw(t, "host"), rapid.OneOf(rapid.String(), rapid.Just("*")).Draw(t, "path"), rapid.String().Draw(t, "query"), 200)
		}),
		rapid.Custom(func(t *rapid.T) string {
			return `1 - - [22/Nov/2026:09:00:00 +0000] "GET /` + rapid.String().Draw(t, "target") + ` HTTP/1.1" 200 1`
		}))
	rapid.Check(t, func(r *rapid.T) {
		text := strings.Join(rapid.SliceOfN(lines, 0, 20).Draw(r, "lines"), "\n")
		m, err := Log(strings.NewReader(text), LogOptions{Host: "from.url"})
		if err != nil {
			return
		}
		p := load.Plan{Address: "127.0.0.1:1", Requests: m.Requests, Connections: 1, Requested: 1}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		for _, note := range m.Notes {
			if !utf8.ValidString(note) {
				t.Fatalf("%q", note)
			}
		}
	})
}
