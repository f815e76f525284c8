package main

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/capacity"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/load"
	"straum.dev/straum/internal/load/mix"
)

// Without a word on what to send, each route is asked by a request that the table gives to it.
func TestRouteRequests(t *testing.T) {
	source := revision.Text("routes.yaml", `
listeners: [ address: ":8080" ]
upstreams: { app: { endpoints: ["127.0.0.1:1"] } }
routes:
  - { name: all, match: { path: /* }, upstream: app }
  - { name: one, match: { host: "*.example.com", path: "/orders/{id}/lines/*" }, upstream: app }
  - { name: post, match: { path: /orders, methods: [POST], headers: { x-kind: new } }, upstream: app }
  - { name: asked, match: { host: api.example.com, path: [/search, /find], query: { q: "a b" } }, upstream: app }
`)
	c, compiled, err := judge(source)
	if err != nil {
		t.Fatal(err)
	}
	m, err := routeRequests(c, "localhost", []load.Field{{Name: "Authorization", Value: "x"}}, true)
	if err != nil || len(m.Requests) != 4 {
		t.Fatalf("%+v, %v", m, err)
	}
	for i, want := range []string{"GET localhost/1", "GET www.example.com/orders/1/lines/1", "POST localhost/orders", "GET api.example.com/search?q=a+b"} {
		q := &m.Requests[i]
		if got := q.Method + " " + q.Host + q.Target; got != want {
			t.Errorf("%s: %s, want %s", q.Name, got, want)
		}
		if q.Fields[len(q.Fields)-1].Name != "Authorization" && q.Method == "GET" {
			t.Errorf("%s lacks the field of every request: %+v", q.Name, q.Fields)
		}
		said, err := compiled.Explain(q.Method, "http://"+q.Host+q.Target)
		if err != nil || !strings.Contains(said, q.Name) && len(c.Routes[i].Match.Headers) == 0 {
			t.Errorf("the request for %s: %s, %v", q.Name, said, err)
		}
	}
	if q := m.Requests[2]; q.Fields[0].Name != "x-kind" || string(q.Body) != "{}" {
		t.Errorf("%+v", q)
	}
	m, err = routeRequests(c, "localhost", nil, false)
	if err != nil || len(m.Requests) != 3 || len(m.Notes) != 1 || !strings.HasPrefix(m.Notes[0], "1 route left out") {
		t.Errorf("a gateway that serves would be sent %+v, %v", m, err)
	}
}

func TestRefusals(t *testing.T) {
	got := refusals([]tried{{"a", 200}, {"b", 401}, {"c", 404}, {"d", 401}, {"e", 0}, {"f", 503}})
	want := []string{
		"no answer came for e",
		"answered with 401, so that refusals are measured: b, d; give a credential with -H 'Authorization: ...' or in --mix",
		"answered with 404, so that refusals are measured: c; name requests that are right with --path, --mix or --log",
		"answered with 503, so that refusals are measured: f",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

const figuresBefore = `# HELP straum_own_duration_seconds x
straum_own_duration_seconds_bucket{le="0.0001"} 10
straum_own_duration_seconds_bucket{le="0.001"} 10
straum_own_duration_seconds_bucket{le="+Inf"} 10
straum_upstream_duration_seconds_bucket{upstream="a",le="0.001"} 5
straum_upstream_duration_seconds_bucket{upstream="a",le="0.002"} 5
straum_upstream_duration_seconds_bucket{upstream="a",le="+Inf"} 5
straum_faults_total{kind="saturated",side="gateway"} 2
straum_faults_total{kind="no_route",side="client"} 7
go_goroutines 12
straum_upstream_queue_length{upstream="a"} 3
`

const figuresAfter = `straum_own_duration_seconds_bucket{le="0.0001"} 10
straum_own_duration_seconds_bucket{le="0.001"} 110
straum_own_duration_seconds_bucket{le="+Inf"} 110
straum_upstream_duration_seconds_bucket{upstream="a",le="0.001"} 55
straum_upstream_duration_seconds_bucket{upstream="a",le="0.002"} 55
straum_upstream_duration_seconds_bucket{upstream="a",le="+Inf"} 55
straum_upstream_duration_seconds_bucket{upstream="b",le="0.001"} 0
straum_upstream_duration_seconds_bucket{upstream="b",le="0.002"} 50
straum_upstream_duration_seconds_bucket{upstream="b",le="+Inf"} 50
straum_faults_total{kind="saturated",side="gateway"} 9
straum_faults_total{kind="queue_timeout",side="gateway"} 1
straum_faults_total{kind="no_descriptors",side="gateway"} 3
straum_listener_connections{listener="a } b"} 12
straum_listener_connections{listener="main"} 30
straum_requests_total{route="a",code="200"} not a number
`

func TestFigures(t *testing.T) {
	a, b := parseFigures(strings.NewReader(figuresBefore)), parseFigures(strings.NewReader(figuresAfter))
	if got := b.own.since(a.own).quantile(0.99).Round(time.Microsecond); got != 991*time.Microsecond { // all of them between 100 µs and 1 ms
		t.Errorf("own p99 is %s", got)
	}
	if got := b.upstream.since(a.upstream).quantile(0.5); got != time.Millisecond {
		t.Errorf("the upstreams' p50 is %s", got)
	}
	if got := b.upstream.since(a.upstream).quantile(0.99); got != 1980*time.Microsecond {
		t.Errorf("the upstreams' p99 is %s", got)
	}
	if full, short := b.full-a.full, b.short-a.short; full != 8 || short != 3 || b.connections != 42 || a.waiting != 3 {
		t.Errorf("%g found no place, %g no descriptor, %g connections", full, short, b.connections)
	}
	if got := (buckets{}).quantile(0.99); got != 0 {
		t.Errorf("of nothing it is %s", got)
	}
}

// toldReport is the report of a search on two cores that carried 8,400/s.
func toldReport() *capacityReport {
	goal := capacity.DefaultGoal(15 * time.Millisecond)
	step := func(phase capacity.Phase, rate float64, p99 time.Duration, busy capacity.Share) capacity.Step {
		return capacity.Step{Phase: phase, Wanted: rate, Reached: rate, Answers: uint64(4 * rate), Window: 4 * time.Second, P50: p99 / 4, P99: p99, Service: p99, Cores: 2, Usable: 2,
			Busy: busy, Gateway: rate * 75e-6, Endpoints: 0.2, Generator: 0.3, Network: capacity.Unknown, Disk: capacity.Unknown, Bytes: 1100}
	}
	steps := []capacity.Step{step(capacity.Grow, 4200, time.Millisecond, 0.5), step(capacity.Grow, 8400, 9*time.Millisecond, 0.9), step(capacity.Narrow, 9200, 41*time.Millisecond, 0.97),
		step(capacity.Repeat, 9200, 44*time.Millisecond, 0.97), step(capacity.Repeat, 8400, 8*time.Millisecond, 0.9), step(capacity.HoldOut, 6720, 3*time.Millisecond, 0.7)}
	v := (&capacity.Search{Goal: goal}).Verdict(steps)
	until := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	return &capacityReport{Target: "http://127.0.0.1:8080/", Verdict: v, Steps: steps, price: 12.5, PerMillion: capacity.PerMillion(12.5, v.Capacity), Notes: []string{"a <note>"},
		Past: &capacity.Past{Busiest: 2100, Over: 5 * time.Second, Since: until.Add(-24 * time.Hour), Until: until, From: "the gateway's own count"},
		Need: v.For(20_000, capacity.Means{Cores: 2, Connections: 20_000, Month: 12.5, NextMonth: 24}, steps)}
}

// The verdict comes first, in one line; what it stands on below.
func TestCapacityReport(t *testing.T) {
	var out, told bytes.Buffer
	c := &cobra.Command{}
	c.SetOut(&out)
	c.SetErr(&told)
	page := filepath.Join(t.TempDir(), "capacity.html")
	if err := (&capacityFlags{command: c, html: page}).tell(toldReport()); err != nil {
		t.Fatal(err)
	}
	want := `8,400 requests/s at p99 ≤ 15 ms on this box, limited by CPU; headroom over your last day: 4× its busiest 5 seconds (2,100/s, from the gateway's own count)

measured   http://127.0.0.1:8080/, 6 runs
carried    8,400/s by 2 runs, with a p99 of at most 9 ms; 9,200/s was not
checked    at 80 % of it, 6,720/s, p99 was 3 ms
gives out  CPU: at 9,200/s p99 was 41 ms: the cores were 97 % busy (gateway 0.69, endpoints 0.20, generator 0.30, others 0.75 of 2 cores)
knee       about 4,200/s: beyond it more load costs more in waiting than it brings in answers
gateway    75 µs of a core a request; answers of 1.07 KiB
alone      about 15,100/s if the gateway had what the generator and made-up endpoints took of the cores: an estimate, not a measurement
money      0.0011 a million requests at half the capacity, for 12.50 a month

20,000/s needs 4 cores, `
	if !strings.HasPrefix(out.String(), want) || !strings.HasSuffix(out.String(), "\nnote: a <note>\n") {
		t.Errorf("it says\n%s\nwant\n%s", out.String(), want)
	}
	text := read(t, page)
	for _, part := range []string{"8,400 requests/s at p99", "Latency against rate", "Cores in use against rate", "20,000/s needs 4 cores", "a &lt;note&gt;", ">goal<", ">capacity<", "not carried: p99 was 41 ms"} {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

func TestCapacityReportJSON(t *testing.T) {
	var out bytes.Buffer
	c := &cobra.Command{}
	c.SetOut(&out)
	if err := (&capacityFlags{command: c, json: true}).tell(toldReport()); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Summary  string
		Headroom float64
		Verdict  struct {
			Capacity float64
			HoldOut  struct{ Met bool } `json:"hold_out"`
		}
		Need  struct{ Cores int }
		Steps []struct{ Network *float64 }
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Headroom != 4 || back.Verdict.Capacity != 8400 || !back.Verdict.HoldOut.Met || back.Need.Cores != 4 || len(back.Steps) != 6 || back.Steps[0].Network != nil ||
		!strings.HasPrefix(back.Summary, "8,400 requests/s") {
		t.Errorf("%s", out.String())
	}
	page := read(t, "../../docs/capacity.md")
	var all map[string]json.RawMessage
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	for field := range all {
		if !strings.Contains(page, "`"+field+"`") && !strings.Contains(page, "`"+field+".") {
			t.Errorf("docs/capacity.md does not say what %s is", field)
		}
	}
}

// Flags that say nothing beside the others, or no number, are refused before anything is started or sent.
func TestCapacityFlagsThatContradict(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"--answer 2ms", "add --rehearse"},
		{"--redis", "add --rehearse"},
		{"--outside", "add --rehearse"},
		{"--to 127.0.0.1:1", "--listener"},
		{"http://127.0.0.1:1 --listener a", "give one of them"},
		{"--streams 3", "add --http2"},
		{"--http2 --no-keepalive --streams 3", "has one stream"},
		{"--for NaN", "20000/s"},
		{"--most Inf", "20000/s"},
		{"--price NaN", "from 0 on"},
		{"--price-next 3", "give all three"},
		{"--html /proc/nobody/page.html", "--html"},
	} {
		c := newCapacity()
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetErr(io.Discard)
		c.SetArgs(append(strings.Fields(test.args), "-c", filepath.Join(t.TempDir(), "none.yaml")))
		if err := c.Execute(); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", test.args, err, test.says)
		}
	}
}

// However long p99 may be, a run can be made; and what would not show in it is told.
func TestCapacityPlan(t *testing.T) {
	f := &capacityFlags{p99: 30 * time.Second, step: 4 * time.Second, http2: true, streams: 16, noKeepAlive: true}
	m := &mix.Mix{Requests: []load.Request{{Name: "a", Method: "GET", Host: "a", Target: "/", Weight: 1}}}
	p := f.plan(&loadTarget{address: "127.0.0.1:1"}, m, &capacity.Trial{Rate: 200})
	if err := p.Check(); err != nil || p.Streams != 1 {
		t.Errorf("%d streams, %v", p.Streams, err)
	}
}
