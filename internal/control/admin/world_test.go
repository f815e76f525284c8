package admin

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/acme"
	"straum.dev/straum/internal/ban"
	"straum.dev/straum/internal/certificate"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/chain"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/observe/accesslog"
	"straum.dev/straum/internal/observe/metrics"
	"straum.dev/straum/internal/staple"
	"straum.dev/straum/internal/ticket"
)

var update = flag.Bool("update", false, "rewrite the golden files and the examples in the docs")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "kT9-not-for-anyones-eyes"

const straumYAML = `listeners:
  - { name: public, address: ":8080" }
upstreams:
  orders:
    endpoints: [10.0.0.5:8080, api.internal:8080]
    breaker: {}
  search:
    endpoints: [10.0.2.5:8080]
policies:
  - request_id: {}
routes:
  - name: orders
    match: { host: api.example.com, path: /orders/*, methods: [GET, POST] }
    upstream: orders
    strip_prefix: /orders
  - name: search
    match: { path: /search }
    upstream: search
admin:
  address: 127.0.0.1:9901
  token: ${STRAUM_ADMIN_TOKEN}
`

var start = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

// world is a gateway that stands still.
type world struct {
	state     revision.State
	reload    []error // what the next calls find
	stats     []upstream.Stats
	reasons   []Reason
	secure    Secure
	consumers *consumer.Directory
	bans      *ban.Engine
	cache     *stored
	operators []netip.Addr
}

func (w *world) State() revision.State { return w.state }

func (w *world) Reload(cause string) (bool, error) {
	if cause != "admin" || len(w.reload) == 0 {
		return false, errors.New("not expected")
	}
	err := w.reload[0]
	w.reload = w.reload[1:]
	if err == nil {
		next := *w.state.InForce
		next.Number++
		w.state.InForce = &next
	}
	return err == nil, err
}

func (w *world) Stats() []upstream.Stats { return w.stats }

func (w *world) Force(name string, to breaker.State) bool {
	for i := range w.stats {
		if w.stats[i].Name == name && w.stats[i].Breaker != nil {
			*w.stats[i].Breaker = breaker.Snapshot{State: to, Since: 100e9, Active: 2}
			return true
		}
	}
	return false
}

func (w *world) ReleaseBreaker(name string) bool { return w.Force(name, breaker.Closed) }

func parse(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	return config.Parse("/etc/straum/straum.yaml", []byte(text), config.Options{
		Getenv:   func(name string) (string, bool) { return secret, name == "STRAUM_ADMIN_TOKEN" },
		Policies: chain.Schemas(chain.Order),
	})
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c, err := parse(t, straumYAML)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := compile.Compile(c, chain.Order)
	if err != nil {
		t.Fatal(err)
	}
	_, refused := parse(t, "listeners:\n  - adress: \":8080\"\nadmin: { token: short-one }\n")
	var problems *document.Problems
	if !errors.As(refused, &problems) {
		t.Fatalf("the bad configuration gives %v", refused)
	}
	return &world{
		state: revision.State{
			InForce: &revision.Revision{Number: 3, Accepted: start.Add(time.Hour), Config: c, Compiled: compiled},
			LastTry: start.Add(2 * time.Hour), LastError: problems, Accepted: 3, Refused: 1,
		},
		secure: secured(), consumers: people(t), bans: banned(t), cache: &stored{},
		reload: []error{nil, problems, errors.New("listener public: address already in use")},
		stats: []upstream.Stats{
			{Name: "orders", Balance: "least_requests", Budget: 12.5,
				Breaker: &breaker.Snapshot{State: breaker.Open, Since: 90e9, Until: 104.5e9, Active: 2, Consecutive: 5, Trips: 1},
				Endpoints: []upstream.EndpointStats{
					{Address: "10.0.0.5:8080", Name: "10.0.0.5:8080", Usable: true, Health: "healthy", Detail: "200 OK", Active: 2, Latency: 0.0031,
						Open: 12, Idle: 10, Answered: 12000, Failed: 3, Reused: 11840, Opened: map[string]uint64{"cold": 12, "idle_closed": 148}},
					{Address: "10.0.0.9:8080", Name: "api.internal:8080", Health: "unhealthy", Detail: "connection refused", Ejected: true,
						Failed: 40, Opened: map[string]uint64{}},
				}},
			{Name: "search", Balance: "round_robin", Budget: 10, Endpoints: []upstream.EndpointStats{
				{Address: "10.0.2.5:8080", Name: "10.0.2.5:8080", Usable: true, Health: "unknown", Opened: map[string]uint64{}}}},
		},
	}
}

// secured is a certificate from files that were changed for the worse, and two that are asked for.
func secured() Secure {
	const noResponder = "the certificate names no responder, so there is nothing to staple"
	ends := start.Add(29 * 24 * time.Hour)
	return Secure{
		Files: []CertificateFile{{
			Status: certificate.Status{
				Pair: certificate.Pair{Cert: "/etc/straum/api.crt", Key: "/etc/straum/api.key"}, Names: []string{"api.example.com", "www.example.com"},
				Issuer: "CN=R11,O=Let's Encrypt,C=US", Serial: "4d2", NotBefore: ends.Add(-90 * 24 * time.Hour), NotAfter: ends, Key: "ECDSA P-256",
				Loaded: start, Tried: start.Add(time.Hour), Expiring: true, Refusals: 1, Stapling: noResponder,
				Problem: "key file /etc/straum/api.key: it belongs to another certificate than /etc/straum/api.crt",
			},
			Staple: staple.Status{Followed: true, Problem: noResponder},
		}},
		Names: []acme.Status{
			{Name: "shop.example.com", State: acme.Issued, NotBefore: start.Add(-24 * time.Hour), NotAfter: start.Add(89 * 24 * time.Hour), Serial: "7f",
				Issuer: "CN=E7,O=Let's Encrypt,C=US", Key: "ECDSA", NextTry: start.Add(59 * 24 * time.Hour), Reason: "its renewal window has come",
				OCSP: "the certificate names no OCSP responder: there is nothing to staple"},
			{Name: "new.example.com", State: acme.Failed, Failures: 3, NextTry: start.Add(27 * time.Hour),
				Error: "the authority refused: DNS problem: NXDOMAIN looking up A for new.example.com (dns)"},
		},
		Tickets: &ticket.Status{Period: 12 * time.Hour, Rotated: start.Add(16 * time.Hour), Next: start.Add(28 * time.Hour), Configs: 1},
	}
}

func (w *world) admin() *Admin {
	a := New(Sources{
		Version: "1.0.0", Commit: "2f7c1e9", Started: start,
		Ready:     func() []Reason { return w.reasons },
		Revisions: w, Upstreams: w,
		Listeners: func() []listen.Stats {
			return []listen.Stats{{Name: "public", Address: "[::]:8080", Sockets: 2, Open: 120, Parked: 80, Goroutines: 40, Accepted: 15233,
				RefusedClient: 3, Evicted: 1, Expired: 9000, PausesLimit: 1, FastOpen: listen.FastOpenOn, Backlog: 4096,
				Handshakes:         [...]uint64{listen.Full: 1600, listen.Resumed: 13000, listen.Gone: 12, listen.NoTLS: 40, listen.Failed: 0},
				HandshakesUnderWay: 1, HandshakeCeiling: 1024}}
		},
		Secure:    func() Secure { return w.secure },
		Consumers: func() *consumer.Directory { return w.consumers },
		Bans:      w.bans,
		KernelBans: func() *KernelBans {
			return &KernelBans{Given: 1, Problem: "bans.kernel: the kernel does not let the gateway change nftables (operation not permitted): give it CAP_NET_ADMIN, " +
				"as by AmbientCapabilities=CAP_NET_ADMIN in the systemd unit, or set bans.kernel: false"}
		},
		Box:      machine,
		Cache:    w.cache,
		Explain:  w.cache.explain,
		Operator: func(a netip.Addr) { w.operators = append(w.operators, a) },
		Exchanges: func() []metrics.Summary {
			return []metrics.Summary{{Route: "orders", Count: 12000, Faulty: 12, P50: 2 * time.Millisecond, P95: 8 * time.Millisecond, P99: 32 * time.Millisecond,
				Own50: 20 * time.Microsecond, Own95: 40 * time.Microsecond, Own99: 160 * time.Microsecond, OwnShare: 0.012}}
		},
		AccessLog: func() accesslog.Stats {
			return accesslog.Stats{Written: 11990, Bytes: 4_796_000, Waiting: 4, Lost: accesslog.Losses{Slow: 6, Matter: 1}}
		},
		Log: slog.New(slog.DiscardHandler),
	})
	a.now = func() int64 { return 100e9 }
	a.wall = func() time.Time { return start.Add(26*time.Hour + 30*time.Minute) }
	a.process = func() Process {
		return Process{PID: 4711, Memory: 41 << 20, Heap: 9 << 20, Goroutines: 131, Descriptors: 140, DescriptorLimit: 1 << 20}
	}
	return a
}

// machine is a box that has carried a day.
func machine() Box {
	n := func(n uint64) *uint64 { return &n }
	at, day := start.Add(26*time.Hour+30*time.Minute), start.Add(150*time.Minute)
	busiest, minute := start.Add(12*time.Hour), start.Add(12*time.Hour-time.Minute)
	return Box{
		Kernel: "6.1.0-28-amd64", Distro: "Debian GNU/Linux 12 (bookworm)", Machine: "kvm", Processor: "Intel Xeon Processor (Skylake, IBRS)",
		Processors: 2, Cores: 2, Memory: 4114616320, Usable: 4114616320, UsableFrom: "/proc/meminfo", MemoryLimit: 3497423872,
		Vitals: &Vitals{
			Until: at, Window: 60,
			CPU:      &BoxCPU{Busy: 0.31, User: 0.14, System: 0.09, Softirq: 0.08, SoftirqCore: 0.12, IOWait: 0.002, Steal: 0.034, RunQueue: 0.4},
			Pressure: &BoxPressure{CPU: 0.06, IO: 0.001},
			Network: BoxNetwork{Sent: n(1_204_331), Retransmitted: n(211), ListenOverflows: n(0), ListenDrops: n(0), SYNCookies: n(0), SoftnetDropped: n(0),
				SoftnetSqueezed: n(2), TimeWait: 120, Interfaces: []BoxInterface{{Name: "ens3", Received: 2_800_000, Sent: 9_100_000}}},
			Ports:       &BoxUse{Used: 340, Limit: 28232},
			Disks:       []BoxDisk{{Volume: "log", Device: "vda1", Write: 0.0011, Busy: 0.01, Free: 31 << 30, Size: 40 << 30}},
			Descriptors: &BoxUse{Used: 140, Limit: 1 << 20}, Files: &BoxUse{Used: 1184, Limit: 1<<63 - 1},
			Memory:  &BoxMemory{Available: 2972991488},
			Process: &BoxProcess{CPU: 0.41, Resident: 41 << 20, GCPause: 0.00008, Scheduling: 0.00012, Waited: 0.02},
			Remarks: []Reason{{Check: "steal", Reason: "the machine around this one kept back 3.4% of the processors' time"}},
		},
		Requests: BoxHistory{Since: &day, Total: 61_344_000, Mean: 710, Busiest: 3120, BusiestAt: &busiest, BusyMinute: 2655.5, BusyMinuteAt: &minute},
		Sandbox: &Sandbox{NoNewPrivileges: true, Capabilities: []string{"CAP_NET_BIND_SERVICE"}, Landlock: 2, Read: []string{"/etc/straum"},
			Write: []string{"/var/lib/straum", "/var/log/straum"}, Lacking: []string{"signals to other processes: the kernel has no Landlock of version 6"}},
	}
}

// serve applies settings and closes at the end of the test.
func (a *Admin) serveFor(t *testing.T, s Settings) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		a.Close(ctx)
		if ctx.Err() != nil {
			t.Error("Close did not end")
		}
	})
	if err := a.Apply(s); err != nil {
		t.Fatal(err)
	}
}

// scratch is a directory of ours with a short name, as sockets need.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "straum")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func socketIn(t *testing.T) string { return filepath.Join(scratch(t), "admin.sock") }

// caller makes a client that goes to a socket or an address whatever the URL says.
func caller(t *testing.T, network, address string) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// people are a few consumers with credentials; one was used an hour after the start.
func people(t *testing.T) *consumer.Directory {
	t.Helper()
	b := consumer.NewBuilder()
	gold := &consumer.Plan{Name: "gold"}
	for _, err := range []error{
		b.Plan(gold),
		b.Consumer(consumer.Consumer{ID: "acme", Name: "Acme Corp", Plan: gold, Groups: []string{"partners"}}),
		b.Consumer(consumer.Consumer{ID: "lab"}),
		b.Key("acme", consumer.KeySpec{Hash: consumer.Hash("one"), Terms: consumer.Terms{ID: "ci", Scopes: []string{"orders:read"}, Expires: start.Add(time.Hour).Unix()}}),
		b.Key("lab", consumer.KeySpec{Hash: consumer.Hash("two"), Terms: consumer.Terms{ID: "bench"}}),
		b.Secret("acme", consumer.SecretSpec{KeyID: "acme-1", Secret: make([]byte, consumer.MinSecret), Terms: consumer.Terms{ID: "hooks"}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d := b.Build()
	c, _ := d.Key(consumer.Hash("one"))
	c.Use(start.Add(30 * time.Minute).Unix())
	return d
}

// banned is an engine whose time stands still, with an address that failed to log in too often, a network that somebody
// has banned, and an address that nothing was decided about yet.
func banned(t *testing.T) *ban.Engine {
	t.Helper()
	now, clock := start, int64(1)
	var mu sync.Mutex
	at := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now, clock = start.Add(d), 1+int64(d)
	}
	e := ban.New(ban.Options{Log: slog.New(slog.DiscardHandler),
		Now:   func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
		Clock: func() int64 { mu.Lock(); defer mu.Unlock(); return clock },
	})
	t.Cleanup(func() { _ = e.Close() })
	e.Guard(ban.Guard{Why: "a trusted proxy", Networks: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }})
	settings := ban.Settings{On: true, Threshold: 100, HalfLife: 5 * time.Minute, First: 10 * time.Minute, Longest: 24 * time.Hour,
		Ladder: []ban.Rung{ban.Refuse, ban.Drop, ban.Kernel}, Remember: 30 * 24 * time.Hour, Consumers: 3, Window: time.Hour}
	settings.Scores[ban.AuthFailed], settings.Scores[ban.NotFound] = 10, 1
	if err := e.Use(settings); err != nil {
		t.Fatal(err)
	}
	strike := func(address string, s ban.Signal, n int) {
		for range n {
			e.Strike(netip.MustParseAddr(address), s, 1+int64(now.Sub(start)))
		}
	}
	at(26*time.Hour + 10*time.Minute)
	strike("203.0.113.7", ban.AuthFailed, 10)
	at(26*time.Hour + 11*time.Minute)
	if _, err := e.Add(ban.Order{Network: netip.MustParsePrefix("2001:db8:5::/48"), Rung: ban.Drop, Reason: "copies the catalogue", By: "olivia"}); err != nil {
		t.Fatal(err)
	}
	at(26*time.Hour + 12*time.Minute)
	strike("198.51.100.20", ban.AuthFailed, 2)
	strike("198.51.100.20", ban.NotFound, 4)
	e.Good(netip.MustParseAddr("198.51.100.20"), "acme", 1+int64(26*time.Hour+12*time.Minute))
	return e
}
