package bans

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/ban"
	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// told is a judge that keeps what it is told.
type told []string

func (t *told) Strike(client netip.Addr, s ban.Signal, now int64) {
	*t = append(*t, fmt.Sprintf("%v %v at %d", client, s, now))
}
func (t *told) Good(client netip.Addr, who string, now int64) {
	*t = append(*t, fmt.Sprintf("%v good by %s at %d", client, who, now))
}

func exchanged(status int) *exchange.Exchange {
	x := &exchange.Exchange{Client: netip.MustParseAddr("203.0.113.7")}
	x.Response.Status, x.Times.Done = status, 5
	return x
}

// TestObserve: what is told of which exchange.
func TestObserve(t *testing.T) {
	f := func(x *exchange.Exchange, want string) {
		t.Helper()
		var got told
		New(&got).Observe(x)
		text := strings.ReplaceAll(strings.Join(got, ", "), "203.0.113.7 ", "")
		if text = strings.ReplaceAll(text, " at 5", ""); text != want {
			t.Errorf("status %d, %v, signals %d: told %q, want %q", x.Response.Status, x.Fault, x.Signals, text, want)
		}
	}
	known := exchange.Caller{Consumer: &consumer.Consumer{ID: "acme"}, Method: "api_key"}
	for _, status := range []int{200, 204, 302, 304, 101, 400, 401, 403, 405, 410, 500, 503} {
		f(exchanged(status), "")
		x := exchanged(status)
		x.Caller = known
		want := ""
		if status >= 200 && status < 400 {
			want = "good by acme"
		}
		f(x, want)
	}
	x := exchanged(200)
	x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: "guest"}} // the anonymous one
	f(x, "")
	x = exchanged(200)
	x.Caller = exchange.Caller{Method: "jwt", Subject: "somebody"} // no consumer
	f(x, "")
	x = exchanged(404)
	f(x, "not_found")
	x.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: "guest"}}
	f(x, "not_found")
	x.Caller = known
	f(x, "")
	for signal, want := range map[exchange.Signal]string{
		exchange.AuthFailed: "auth_failed", exchange.Limited: "limited", exchange.Suspect: "suspect", exchange.Forbidden: "",
		exchange.AuthFailed | exchange.Limited | exchange.Suspect: "auth_failed, limited, suspect",
	} {
		x := exchanged(200) // as in a dry run of the policy
		x.Caller, x.Signals = known, signal
		f(x, want)
		x = exchanged(403)
		x.Signals, x.Fault = signal, fault.New(fault.Forbidden, nil)
		f(x, want)
		x.Fault = fault.New(fault.Banned, nil)
		f(x, "")
	}
}

// TestFaults: every kind is decided about.
func TestFaults(t *testing.T) {
	counts := map[*fault.Kind]string{fault.NoRoute: "not_found"}
	for _, k := range []*fault.Kind{fault.Malformed, fault.Framing, fault.BadHost, fault.LineTooLong, fault.HeaderTooLarge, fault.UnknownCoding,
		fault.BadVersion, fault.BadExpectation, fault.NoTunnel, fault.BadPath} {
		counts[k] = "malformed"
	}
	for _, k := range fault.Kinds() {
		x := exchanged(k.Status)
		x.Fault = fault.New(k, nil)
		var got told
		New(&got).Observe(x)
		want := ""
		if word := counts[k]; word != "" {
			want = "203.0.113.7 " + word + " at 5"
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%s: told %q, want %q", k.Word, text, want)
		}
		if want != "" && k.Side != fault.Client {
			t.Errorf("%s counts against the client and is the %v's", k.Word, k.Side)
		}
	}
}

// A fault that endpoints answer with 404 under it is none of the client's: only a whole answer counts.
func TestNotFoundOfABrokenAnswer(t *testing.T) {
	x := exchanged(404)
	x.Fault = fault.New(fault.UpstreamReset, nil)
	var got told
	if New(&got).Observe(x); len(got) != 0 {
		t.Errorf("told %q", got)
	}
}

func engine(tb testing.TB) *ban.Engine {
	e := ban.New(ban.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	tb.Cleanup(func() { e.Close() })
	s := ban.Settings{On: true, Threshold: 100, HalfLife: 5 * time.Minute, First: time.Minute, Longest: time.Hour, Ladder: []ban.Rung{ban.Refuse},
		Hosts: 8, Wide6: []int{56, 48}, Consumers: 3, Window: time.Hour}
	s.Scores[ban.NotFound] = 1e-9
	if err := e.Use(s); err != nil {
		tb.Fatal(err)
	}
	return e
}

// What ordinary exchanges cost: good ones of a consumer, others, and one that counts.
func BenchmarkObserve(b *testing.B) {
	for _, c := range []struct {
		name   string
		status int
		caller exchange.Caller
	}{
		{"good", 200, exchange.Caller{}},
		{"good_consumer", 200, exchange.Caller{Consumer: &consumer.Consumer{ID: "consumer-1234"}, Method: "jwt"}},
		{"not_found", 404, exchange.Caller{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			o := New(engine(b))
			x := exchanged(c.status)
			x.Caller = c.caller
			b.ReportAllocs()
			for b.Loop() {
				x.Times.Done++
				o.Observe(x)
			}
		})
	}
}

func TestNothingIsAllocated(t *testing.T) {
	o := New(engine(t))
	good, bad := exchanged(200), exchanged(404)
	good.Caller = exchange.Caller{Consumer: &consumer.Consumer{ID: "acme"}, Method: "jwt"}
	o.Observe(bad)
	if n := testing.AllocsPerRun(100, func() { o.Observe(good); o.Observe(bad) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
