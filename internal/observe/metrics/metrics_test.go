package metrics

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

const (
	us = int64(time.Microsecond)
	ms = int64(time.Millisecond)
)

// ordinary makes an exchange like most are: 6 ms, of which 100 µs are the gateway's.
func ordinary(m *Metrics) *exchange.Exchange {
	x := &exchange.Exchange{}
	x.Begin(&exchange.Conn{Listener: ":443"}, 1000*ms)
	x.Response.Status = 200
	x.Route = &exchange.Route{Name: "orders", Slot: m.Routes.Of("orders")}
	x.Upstream = exchange.Upstream{Name: "api", Slot: m.Upstreams.Of("api"), Status: 200, Tries: 1, Reused: true}
	start := 1000 * ms
	x.Times = exchange.Times{
		Start: start, Decoded: start + 20*us, Forward: start + 40*us, Sent: start + 50*us,
		FirstByte: start + 5*ms, Received: start + 5*ms + 950*us, Done: start + 6*ms,
	}
	x.Bytes = exchange.Bytes{In: 100, Out: 1000, UpstreamOut: 120, UpstreamIn: 980}
	return x
}

// sources are an example of every kind.
func sources() Sources {
	return Sources{
		Listeners: func() []Listener {
			return []Listener{{Name: ":443", Open: 10, Parked: 4, Accepted: 100, Refused: []Count{{"limit", 3}},
				Handshakes: []Count{{"full", 5}, {"resumed", 15}, {"failed", 0}}, HandshakesNow: 2, HandshakeCeiling: 1024,
				HTTP2: &HTTP2{Streams: 70, Refused: 1, Malformed: 2, ResetsReceived: 3, ResetsSent: 4,
					GoAways: []Count{{"no_error", 6}, {"cancel", 0}}, Guards: []Count{{"resets", 1}, {"control_frames", 0}}},
			}, {Name: "plain"}}
		},
		TLS: func() TLS {
			return TLS{
				Certificates: []Certificate{
					{Name: "api.example.com", Key: "ECDSA P-256", Expires: time.Unix(1800000000, 0), Swaps: 3, Refusals: 1, Problem: true, Staples: true, Stapled: true},
					{Name: "bare\xff", Key: "RSA 2048", Alarm: true}, // not obtained yet
				},
				Tickets: &Tickets{Rotated: time.Unix(1700000000, 5e8), Problem: true},
				ACME: &ACME{Names: []Count{{"issued", 2}, {"failed", 0}}, Orders: []Count{{"obtained", 2}, {"failed", 1}}, Revoked: 1,
					Challenges: []Count{{"http-01", 2}}},
			}
		},
		Upstreams: func() []Upstream {
			return []Upstream{{Name: "api", Queue: 2, Breaker: "open", Endpoints: []Endpoint{
				{Address: "10.0.0.5:80", Healthy: true, Active: 3, Idle: 5, Streams: 2}, {Address: "10.0.0.6:80", Ejected: true},
			}}, {Name: "bare\xff"}}
		},
		Cache: func() *Cache {
			return &Cache{UnderWay: 2, Purges: 1, Renewals: 7, Failed: 1, Invalid: 3, NotStored: []Count{{"no_store", 5}, {"private", 0}},
				Stores: []Store{
					{Name: "memory", Up: true, Counted: true, Objects: 10, Bytes: 4096, Room: 65536, Hits: 90, Misses: 10, Stored: 12, Evicted: 2, Dropped: 1,
						Took: [...]uint64{90, 8, 1, 0, 0, 0, 0, 1}, Waited: 1500 * time.Millisecond},
					{Name: "redis", Failed: 3},
				}}
		},
		Box: func() *Box {
			n := func(n float64) *float64 { return &n }
			return &Box{Cores: 1.5, CPU: []Seconds{{"user", 12.5}, {"steal", 0.25}}, Running: n(3), Throttled: n(4), Pressure: []Seconds{{"cpu", 1.5}, {"io", 0}},
				Sent: n(1000), Retrans: n(5), Overflows: n(1), Drops: n(2), Cookies: n(3), SoftDropped: n(4), Squeezed: n(5), TimeWait: n(6),
				Conntrack: &Use{200, 65536}, Ports: &Use{300, 28232},
				Interfaces: []Interface{{"eth0", 1e9, 2e9, 1, 1.25e9}, {Name: "bare\xff"}},
				Disks:      []Disk{{"log", "vda1", 10, 20, 0.5, 1.5, 1.25, 1 << 30, 4 << 30}, {Volume: "state", Free: 1 << 20, Size: 1 << 21}, {Volume: "cache"}},
				Files:      n(1184), Memory: &Memory{4 << 30, 2 << 30, 0}, Group: &Use{1 << 28, 1 << 29}, Waited: n(0.5), Pause: n(0.0001), Scheduling: n(0.0002), Took: 0.00025}
		},
		Config: func() Config {
			return Config{Revision: 7, Loaded: time.Unix(1700000000, 5e8), LastOK: true, Failures: 2}
		},
		Figures: func(yield func(Figure)) {
			one := Figure{Name: "jwt_remembered_tokens", Help: "Tokens.", Value: 2}
			yield(one)
			yield(Figure{Name: "jwt_fetches_total", Help: "Fetches.", Counter: true, Labels: [][2]string{{"issuer", "a\xff"}}, Value: 1})
			one.Value = 3
			yield(one)
		},
		Log: func() Log {
			return Log{Written: 5, Bytes: 500, Waiting: 1, Lost: []Count{{"slow", 9}, {"failing", 0}}, LostMatter: 1, Failures: 4, Failing: true}
		},
	}
}

// filled has counted something for every metric.
func filled() *Metrics {
	m := New(Options{Shards: 3, Build: Build{"1.2.3", "abc", "go1.26"}})
	m.Show(sources())
	for shard := range 3 {
		x := ordinary(m)
		x.Conn.Shard = shard
		m.Observe(x)
	}
	x := ordinary(m)
	x.Upstream.Reused, x.Upstream.Opened, x.Upstream.Tries, x.Upstream.Status = false, "none_idle", 3, 0
	x.Response.Status = 502
	x.Fail(fault.New(fault.UpstreamReset, nil))
	x.End = exchange.UpstreamBroke
	m.Observe(x)

	x = ordinary(m) // refused before there was a route
	x.Route, x.Upstream = nil, exchange.Upstream{}
	x.Times = exchange.Times{Start: 1000 * ms, Done: 1000*ms + 7*us}
	x.Response.Status = 400
	x.Fail(fault.New(fault.Malformed, nil))
	m.Observe(x)

	x = ordinary(m) // a tunnel of an hour
	x.Response.Status, x.Upstream.Status = 101, 101
	x.End = exchange.Tunnelled
	x.Times.Done += 3600 * 1000 * ms
	m.Observe(x)

	x = ordinary(m) // codes and kinds nobody has heard of
	x.Response.Status, x.Upstream.Status = 599, 777
	x.Fail(fault.New(&fault.Kind{Word: "unheard"}, nil))
	m.Observe(x)

	x = ordinary(m) // as gRPC does
	x.Response.Header.Append(exchange.ContentType, "Content-Type", "application/grpc")
	x.Response.Trailer.Add("grpc-status", "14")
	m.Observe(x)

	for _, c := range []exchange.Cached{{Outcome: exchange.CacheHit, Age: 1}, {Outcome: exchange.CacheHit, Age: 30}, {Outcome: exchange.CacheStale, Age: 30 * 86400},
		{Outcome: exchange.CacheMiss, Stored: true}, {Outcome: exchange.CacheMiss, Collapsed: true}, {Outcome: exchange.CacheRevalidated, Age: 7}} {
		x = ordinary(m)
		x.Cached = c
		m.Observe(x)
	}

	for _, id := range []string{"acme", "acme", "other-co"} { // of consumers
		x = ordinary(m)
		x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: id}, Method: "jwt"}
		x.Judge("jwt", "accepted")
		if id != "acme" {
			x.Judge("authorize", "scope")
			x.Response.Status = 403
		}
		m.Observe(x)
	}

	x = ordinary(m) // as most come today
	x.Request.Major, x.Request.Minor = 2, 1
	x.Conn.TLS = &exchange.TLS{Version: tls.VersionTLS13, Protocol: "h2"}
	m.Observe(x)
	return m
}

func exposed(t *testing.T, m *Metrics) string {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := expfmt.NewEncoder(&out, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "straum_") {
			if err := enc.Encode(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out.String()
}

// TestExposed compares the whole of what is shown with testdata/exposed.txt.
func TestExposed(t *testing.T) {
	golden(t, "testdata/exposed.txt", exposed(t, filled()))
}

// TestExposedEmpty is a gateway that has just started.
func TestExposedEmpty(t *testing.T) {
	golden(t, "testdata/empty.txt", exposed(t, New(Options{})))
}

func TestLint(t *testing.T) {
	m := filled()
	problems, err := testutil.GatherAndLint(m.Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "straum_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestDocumented compares docs/metrics.md with the metrics there are.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(straum_[a-z0-9_]+)` \\|").FindAllSubmatch(doc, -1) {
		told[string(m[1])] = true
	}
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	described := make(chan *prometheus.Desc, len(all)+len(boxMetrics))
	collector{New(Options{})}.Describe(described)
	close(described)
	is := map[string]bool{}
	for d := range described {
		is[name.FindStringSubmatch(d.String())[1]] = true
	}
	for n := range is {
		if !told[n] {
			t.Errorf("docs/metrics.md does not describe %s", n)
		}
	}
	for n := range told {
		if !is[n] && !strings.HasPrefix(n, "straum_policy_") { // what others show through Figures is theirs to explain
			t.Errorf("docs/metrics.md describes %s, which there is not", n)
		}
	}
	// What is shown is what is described: Describe could forget one.
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(exposed(t, filled()), -1) {
		if !is[m[1]] && !strings.HasPrefix(m[1], "straum_policy_jwt_") { // a policy's own, on the page of the policy
			t.Errorf("%s is shown but not described", m[1])
		}
		delete(is, m[1])
	}
	for n := range is {
		t.Errorf("%s is described, but no test shows it", n)
	}
}

// TestConcurrent counts from all sides while names come and scrapes go on; nothing may be lost.
func TestConcurrent(t *testing.T) {
	m := New(Options{Shards: 2})
	const goroutines, each = 6, 500
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			x := ordinary(m)
			x.Conn.Shard = g
			for i := range each {
				x.Route.Slot = m.Routes.Of(fmt.Sprint("route", i%50))
				x.Upstream.Slot = m.Upstreams.Of(fmt.Sprint("upstream", i%20))
				x.Upstream.Reused, x.Upstream.Opened = false, fmt.Sprint("reason", i%20)
				m.Observe(x)
			}
		})
	}
	for range 20 {
		if _, err := m.Registry().Gather(); err != nil {
			t.Error(err)
		}
		m.Summary()
	}
	all.Wait()
	count := uint64(0)
	for _, s := range m.Summary() {
		count += s.Count
	}
	opened := uint64(0)
	for slot := range m.Upstreams.list() {
		u := m.upstream(slot)
		for _, n := range u.opened {
			opened += n
		}
	}
	if count != goroutines*each || opened != goroutines*each {
		t.Errorf("%d exchanges and %d connections counted of %d", count, opened, goroutines*each)
	}
	if n := len(*m.reasons.list.Load()); n != maxWords {
		t.Errorf("%d reasons; the room is for %d", n, maxWords)
	}
}

// TestGRPC holds where the status of gRPC is looked for, and which count as faulty.
func TestGRPC(t *testing.T) {
	f := func(kind, head, trailer, want string, faulty uint64) {
		t.Helper()
		m := New(Options{Shards: 2})
		x := ordinary(m)
		x.Response.Header.Append(exchange.ContentType, "Content-Type", kind)
		if head != "" {
			x.Response.Header.Add("Grpc-Status", head)
		}
		if trailer != "" {
			x.Response.Trailer.Add("grpc-status", trailer)
		}
		m.Observe(x)
		got := ""
		for i, n := range m.route(x.Route.Slot).grpc {
			if n > 0 {
				got += grpcNames[i]
			}
		}
		if s := m.Summary(); got != want || s[0].Faulty != faulty || s[0].Count != 1 {
			t.Errorf("%q, %q, %q: counted as %q, %+v", kind, head, trailer, got, s)
		}
	}
	f("application/grpc", "", "0", "ok", 0)
	f("application/grpc+proto", "", "14", "unavailable", 1)
	f("application/grpc", "13", "", "internal", 1)
	f("application/grpc", "12", "", "unimplemented", 0)
	f("application/grpc", "5", "13", "not_found", 0)
	f("application/grpc", "", "99", "unknown", 1)
	f("application/grpc", "", "", "", 0)
	f("application/grpc", "", "x", "", 0)
	f("application/json", "", "14", "", 0)
	m, x := New(Options{}), &exchange.Exchange{}
	x.Begin(&exchange.Conn{}, 1)
	x.Response.Status = 503
	x.Response.Header.Append(exchange.ContentType, "Content-Type", "application/grpc")
	x.Response.Header.Add("grpc-status", "14")
	if m.Observe(x); m.Summary()[0].Faulty != 1 {
		t.Errorf("one answer fails twice: %+v", m.Summary())
	}
	for i, name := range grpcNames {
		if name == "" {
			t.Errorf("the status %d has no name", i)
		}
	}
}

// TestWays holds the labels against each way a client can speak.
func TestWays(t *testing.T) {
	f := func(major, minor uint8, settled *exchange.TLS, want string) {
		t.Helper()
		x := &exchange.Exchange{}
		x.Begin(&exchange.Conn{TLS: settled}, 1)
		x.Request.Major, x.Request.Minor = major, minor
		way := wayOf(x)
		if got := protocols[way/versions] + " " + tlsVersions[way%versions]; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(0, 0, nil, "none none")
	f(0, 0, &exchange.TLS{Version: tls.VersionTLS12}, "none 1.2")
	f(1, 0, nil, "http/1.0 none")
	f(1, 1, &exchange.TLS{Version: tls.VersionTLS12}, "http/1.1 1.2")
	f(1, 9, nil, "http/1.1 none")
	f(2, 1, nil, "h2 none")
	f(2, 1, &exchange.TLS{Version: tls.VersionTLS13}, "h2 1.3")
}

// TestListenersAreBounded counts under other what listeners beyond the room are spoken to.
func TestListenersAreBounded(t *testing.T) {
	m := New(Options{})
	x := ordinary(m)
	for i := range 40 {
		x.Conn.Listener = fmt.Sprint("listener", i)
		m.Observe(x)
	}
	_, _, spoken := m.rest()
	total := uint64(0)
	for l := range spoken {
		for _, n := range spoken[l] {
			total += n
		}
	}
	if names := *m.listeners.list.Load(); total != 40 || len(names) != maxWords || names[0] != Other || spoken[0][0] != 40-(maxWords-1) {
		t.Errorf("%d counted, %d of them under %s, for %d listeners", total, spoken[0][0], names[0], len(names))
	}
}

func TestMerged(t *testing.T) {
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	got := merged([]Certificate{
		{Name: "a", Key: "RSA", Expires: at(20), Swaps: 1, Staples: true, Stapled: true},
		{Name: "a", Key: "ECDSA", Expires: at(5)},
		{Name: "a", Key: "RSA", Expires: at(10), Swaps: 2, Refusals: 1, Problem: true, Alarm: true},
		{Name: "a", Key: "RSA"},
		{Name: "b", Staples: true, Stapled: true},
		{Name: "b", Staples: true},
	})
	want := []Certificate{
		{Name: "a", Key: "RSA", Expires: at(10), Swaps: 3, Refusals: 1, Problem: true, Staples: true, Stapled: true, Alarm: true},
		{Name: "a", Key: "ECDSA", Expires: at(5)},
		{Name: "b", Staples: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	var many []Certificate
	for i := range MaxCertificates + 500 {
		many = append(many, Certificate{Name: fmt.Sprint(i), Expires: at(int64(10_000 - i)), Problem: i == MaxCertificates+7})
	}
	got = merged(many)
	if last := got[len(got)-1]; len(got) != MaxCertificates || last.Name != Other || last.Key != Other || !last.Problem || last.Expires != at(10_000-MaxCertificates-499) {
		t.Errorf("%d certificates, the last %+v", len(got), last)
	}
}

func TestSlots(t *testing.T) {
	room := 0
	s := newSlots(4, func(n int) { room = n })
	f := func(name string, want int) {
		t.Helper()
		if got := s.Of(name); got != want {
			t.Errorf("%q got slot %d, want %d", name, got, want)
		}
	}
	f("a", 1)
	f("b", 2)
	f("a", 1)
	f("other", 0)
	f("c", 3)
	f("d", 0)
	f("d", 0)
	f("b", 2)
	if room != 4 || s.folded.Load() != 2 || fmt.Sprint(s.list()) != "[other a b c]" {
		t.Errorf("room for %d, %d folded, %v", room, s.folded.Load(), s.list())
	}
}

// TestUnknownSlot counts under other what no table has.
func TestUnknownSlot(t *testing.T) {
	m := New(Options{})
	x := ordinary(m)
	for _, slot := range []int{-1, 99999} {
		x.Route.Slot, x.Upstream.Slot, x.Conn.Shard = slot, slot, slot
		m.Observe(x)
	}
	if s := m.Summary(); len(s) != 1 || s[0].Route != Other || s[0].Count != 2 {
		t.Errorf("%+v", s)
	}
}

func TestSummary(t *testing.T) {
	m := New(Options{Shards: 2})
	for i := range 100 {
		x := ordinary(m)
		x.Conn.Shard = i
		if i >= 90 {
			x.Times.Received += 94 * ms
			x.Times.Done += 94 * ms // 100 ms
			x.Response.Status = 503
		}
		m.Observe(x)
	}
	got := m.Summary()
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	s := got[0]
	near := func(name string, got time.Duration, want int64) {
		t.Helper()
		if d := int64(got) - want; d*d > want*want/64 {
			t.Errorf("%s is %v, want about %v", name, got, time.Duration(want))
		}
	}
	near("p50", s.P50, 6*ms)
	near("p95", s.P95, 100*ms)
	near("p99", s.P99, 100*ms)
	near("own p50", s.Own50, 100*us)
	near("own p99", s.Own99, 100*us)
	if s.Route != "orders" || s.Count != 100 || s.Faulty != 10 {
		t.Errorf("%+v", s)
	}
	if want := 100 * 0.1 / (90*6 + 10*100); s.OwnShare < want*0.999 || s.OwnShare > want*1.001 {
		t.Errorf("own share %v, want %v", s.OwnShare, want)
	}
}
