package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/resolve"
	"straum.dev/straum/internal/edge/retry"
)

// newTestSet makes a set whose names resolve as lookup says.
func newTestSet(t *testing.T, lookup func(name string) []string) *Set {
	resolver := resolve.New(resolve.Settings{}, func(_ context.Context, _, network, name string) (out []netip.Addr, _ error) {
		for _, text := range lookup(name) {
			if a := netip.MustParseAddr(text); (network == "ip4") == a.Is4() {
				out = append(out, a)
			}
		}
		return out, nil
	}, rand.Uint64, nil)
	s := NewSet(slog.New(slog.DiscardHandler), resolver)
	t.Cleanup(func() { s.Close(); resolver.Close() })
	return s
}

func plainSettings(name string, endpoints ...string) Settings {
	s := Settings{Name: name, Health: health.Settings{Rise: 1, Fall: 1}, Pool: Pool{Idle: 1, IdleTimeout: time.Minute}}
	for _, e := range endpoints {
		s.Endpoints = append(s.Endpoints, Endpoint{Address: e, Weight: 1})
	}
	return s
}

// all lists the addresses of an upstream's view, each with the name it was configured by and the Host that HostEndpoint sends.
func all(u *Upstream) string {
	v := u.view.Load()
	var out []string
	for i, e := range v.endpoints {
		out = append(out, e.address+" "+v.names[i]+" "+v.hosts[i])
	}
	return strings.Join(out, ", ")
}

func prepare(t *testing.T, s *Set, settings ...Settings) map[string]*Upstream {
	t.Helper()
	live, err := s.Prepare(settings)
	if err != nil {
		t.Fatal(err)
	}
	return live
}

func TestEndpoints(t *testing.T) {
	s := newTestSet(t, func(name string) []string {
		return map[string][]string{"one.test": {"192.0.2.1"}, "two.test": {"192.0.2.1", "2001:db8::2"}}[name]
	})
	f := func(want string, endpoints ...string) {
		t.Helper()
		if got := all(prepare(t, s, plainSettings("api", endpoints...))["api"]); got != want {
			t.Errorf("%q: got %s, want %s", endpoints, got, want)
		}
	}
	f("192.0.2.7:81 192.0.2.7:81 192.0.2.7:81", "192.0.2.7:81")
	f("192.0.2.7:80 192.0.2.7:80 192.0.2.7, [2001:db8::1]:80 [2001:db8::1]:80 [2001:db8::1]", "192.0.2.7:80", "[2001:db8::1]:80")
	f("unix:/x unix:/x localhost", "unix:/x")
	f("192.0.2.1:80 one.test:80 one.test", "one.test:80")
	// The first name of an address is the one it goes by; with another configuration it goes by another.
	f("192.0.2.1:80 two.test:80 two.test, [2001:db8::2]:80 two.test:80 two.test", "two.test:80", "one.test:80")
	f("192.0.2.1:80 192.0.2.1:80 192.0.2.1", "192.0.2.1:80")
	// Settings that cannot be leave everything as it was, and nothing behind.
	_, err := s.Prepare([]Settings{{Name: "new", Retry: retry.Rules{Statuses: []int{200}}, Health: health.Settings{Rise: 1, Fall: 1}}})
	if err == nil || !strings.Contains(err.Error(), "upstream new: retry: status 200") || len(s.All()) != 1 {
		t.Errorf("%v, %d upstreams", err, len(s.All()))
	}
	heavy := plainSettings("heavy", "192.0.2.1:80")
	heavy.Endpoints[0].Weight = balance.MaxWeight + 1
	if _, err := s.Prepare([]Settings{heavy}); err == nil || len(s.All()) != 1 {
		t.Errorf("%v, %d upstreams", err, len(s.All()))
	}
}

// Prepare waits for a name's first addresses, and only so long, and only once.
func TestPrepareWaitsForNames(t *testing.T) {
	var known atomic.Bool
	asked := make(chan struct{}, 64)
	answer := make(chan struct{})
	s := newTestSet(t, func(name string) []string {
		if name == "slow.test" {
			asked <- struct{}{}
			<-answer
			known.Store(true)
			return []string{"192.0.2.1"}
		}
		return nil
	})
	go func() {
		<-asked
		close(answer)
	}()
	live := prepare(t, s, plainSettings("api", "slow.test:80"))
	if !known.Load() || all(live["api"]) == "" {
		t.Error("did not wait")
	}
	u := live["api"]
	if err := u.apply(plainSettings("api", "slow.test:80", "never.test:80")); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	u.awaitNames(over, nil)                                   // time is over
	u.awaitNames(t.Context(), []string{"never.test"})         // it was missing all along
	u.awaitNames(context.Background(), u.view.Load().missing) // and still is
	if got := all(u); got != "192.0.2.1:80 slow.test:80 slow.test" {
		t.Errorf("%s", got)
	}
}

// Two upstreams follow one name, whose addresses change while settings do: nobody waits for anybody.
func TestNamesAndSettingsChangeTogether(t *testing.T) {
	var turn atomic.Int64
	s := newTestSet(t, func(string) []string { return []string{fmt.Sprintf("192.0.2.%d", turn.Add(1)%200+1)} })
	for i := range 40 {
		a, b := plainSettings("a", "one.test:80", "192.0.2.250:80"), plainSettings("b", "one.test:81", "two.test:80")
		a.ResolveEvery = time.Duration(1+i%2) * time.Second
		b.ResolveServer = []string{"", "192.0.2.53:53"}[i%2]
		if i%3 == 0 {
			b.Check = &health.Check{Every: time.Hour, Timeout: time.Second, TCP: true, Expect: []health.Statuses{{From: 200, To: 299}}}
		}
		var group sync.WaitGroup
		group.Go(func() { s.Stats() })
		live := prepare(t, s, a, b)
		group.Wait()
		if all(live["a"]) == "" || all(live["b"]) == "" {
			t.Fatal("no endpoints")
		}
		if i%5 == 4 {
			s.Retire(map[string]*Upstream{"a": live["a"]})
		}
	}
}

// What was learnt stays when settings change; what is set anew is in force.
func TestStateSurvives(t *testing.T) {
	s := newTestSet(t, func(string) []string { return nil })
	settings := plainSettings("api", "192.0.2.1:80", "192.0.2.2:80")
	settings.Breaker = &breaker.Settings{MaxActive: 1, Cooldown: time.Second, MaxCooldown: time.Second, Probes: 1, Successes: 1, ProbeTimeout: time.Second}
	u := prepare(t, s, settings)["api"]
	e, b, budget := u.view.Load().endpoints[1], u.breaker.Load(), u.budget
	settings.Endpoints[1].Weight = 7
	settings.Pool.Connections = 3
	changed := *settings.Breaker
	changed.MaxActive = 2
	settings.Breaker = &changed
	if prepare(t, s, settings)["api"] != u || u.view.Load().endpoints[1] != e || u.breaker.Load() != b || u.budget != budget || e.line.pool.limit.Load() != 3 {
		t.Error("something began anew, or a setting is not in force")
	}
	settings.Endpoints = settings.Endpoints[:1]
	settings.Breaker = nil
	prepare(t, s, settings)
	if e.line.pool.closed.Load() == 0 || u.breaker.Load() != nil || s.Force("api", breaker.ForcedOpen) {
		t.Error("what was taken away is still there")
	}
	s.Retire(nil)
	if len(s.All()) != 0 || prepare(t, s, settings)["api"] == u {
		t.Error("a retired upstream lives on")
	}
}
