package exchange

import (
	"testing"

	"pgregory.net/rapid"
)

func TestShares(t *testing.T) {
	f := func(times Times, u Upstream, now, total, upstream int64) {
		t.Helper()
		x := &Exchange{Times: times, Upstream: u}
		gotTotal, gotUpstream := x.Shares(now)
		if gotTotal != total || gotUpstream != upstream {
			t.Errorf("got %d of %d, want %d of %d", gotUpstream, gotTotal, upstream, total)
		}
	}
	// Answered without an upstream.
	f(Times{Start: 100}, Upstream{}, 110, 10, 0)
	// One try over a connection that stood, over a new one, and the second of two.
	f(Times{Start: 100, Forward: 110, Sent: 120, Received: 150}, Upstream{Tries: 1, Reused: true}, 160, 60, 30)
	f(Times{Start: 100, Forward: 110, Sent: 120, Received: 150}, Upstream{Tries: 1}, 160, 60, 40)
	f(Times{Start: 100, Forward: 110, Sent: 140, Received: 150}, Upstream{Tries: 2, Reused: true}, 160, 60, 40)
	// No answer, or one under way.
	f(Times{Start: 100, Forward: 110}, Upstream{Tries: 1}, 160, 60, 50)
	f(Times{Start: 100, Forward: 110, Sent: 120, FirstByte: 130}, Upstream{Tries: 1, Reused: true}, 160, 60, 40)
	// Readings out of order.
	f(Times{Start: 100, Forward: 110, Sent: 120, Received: 90}, Upstream{Tries: 1}, 160, 60, 0)
	f(Times{Start: 100, Forward: 110, Received: 190}, Upstream{Tries: 1}, 160, 60, 60)
	f(Times{Start: 100}, Upstream{}, 0, 0, 0)
}

func TestSharesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string) int64 { return rapid.Int64Range(0, 1<<60).Draw(t, name) }
		x := &Exchange{
			Times:    Times{Start: at("start"), Forward: at("forward"), Sent: at("sent"), FirstByte: at("first byte"), Received: at("received")},
			Upstream: Upstream{Tries: rapid.IntRange(0, 3).Draw(t, "tries"), Reused: rapid.Bool().Draw(t, "reused")},
		}
		if total, upstream := x.Shares(at("now")); total < 0 || upstream < 0 || upstream > total {
			t.Fatalf("%d of %d", upstream, total)
		}
	})
}
