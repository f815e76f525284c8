package quota

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/redis"
	"straum.dev/straum/internal/redistest"
)

// peer is a real redis-server of this test's own.
type peer struct{ *redistest.Server }

func startPeer(t testing.TB) *peer {
	t.Helper()
	return &peer{redistest.Start(t)}
}

// node is a gateway's view of the store.
func (p *peer) node(t testing.TB) *Shared {
	t.Helper()
	c, err := redis.New(redis.Settings{Addresses: []string{p.Addr}, Budget: 500 * time.Millisecond}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	redistest.Await(t, func() bool { return c.Health().OK }, "no connection")
	return NewShared(c)
}

func key(id ID) string { return fmt.Sprintf("straum:quota:{%x}", id[:]) }

// Two nodes never let more pass together than there is, and what they refuse uses nothing.
func TestSharedAtOnce(t *testing.T) {
	p := startPeer(t)
	nodes := []*Shared{p.node(t), p.node(t)}
	limits, spans := Limits{Day: 300, Month: 1000}, spansAt(time.Now())
	var passed atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			cost := int64(i%3 + 1)
			for range 60 {
				o, err := nodes[i%2].Take(number(1), cost, &limits, spans)
				if err != nil {
					t.Error(err)
					return
				}
				if !o.Refused {
					passed.Add(cost)
				}
			}
		})
	}
	all.Wait()
	if n := passed.Load(); n != 300 {
		t.Errorf("%d passed", n)
	}
	o, err := nodes[0].Take(number(1), 1, &limits, spans)
	if err != nil || !o.Refused || o.By != Day || o.Used != [periods]int64{300, 300} || o.Rest[Day] < 1 || o.Rest[Day] > 90000 || o.Rest[Month] < o.Rest[Day] {
		t.Errorf("%+v %v", o, err)
	}
	// A plan with more lets more pass at once.
	limits[Day] = 301
	if o, err := nodes[1].Take(number(1), 1, &limits, spans); err != nil || o.Refused || o.Used[Month] != 301 {
		t.Errorf("%+v %v", o, err)
	}
}

// The store's clock says which day it is: a node whose clock is a day off counts with the others. Keys go when their time is over, and
// not before.
func TestSharedClock(t *testing.T) {
	p := startPeer(t)
	n := p.node(t)
	now := time.Now()
	limits := Limits{Day: 100}
	for _, off := range []int{-1, 0, 1} {
		spans := spansAt(now.AddDate(0, 0, off))
		if _, err := n.Take(number(1), 1, &limits, spans); err != nil {
			t.Fatal(err)
		}
	}
	today := spansAt(time.Now())[Day]
	if got := p.Do("HGET", key(number(1)), "day"); got != "3" {
		t.Errorf("%s counted", got)
	}
	if got := p.Do("HGET", key(number(1)), "day_start"); got != fmt.Sprint(today.Start) {
		t.Errorf("the day begins at %s, want %d", got, today.Start)
	}
	if end, _ := strconv.ParseInt(p.Do("EXPIRETIME", key(number(1))), 10, 64); end != today.End+3600 {
		t.Errorf("it goes at %d, want an hour after %d", end, today.End)
	}
	// A day that is over counts nothing; one that the clock had not come to yet, when it was set back over midnight, does.
	p.Do("HSET", key(number(2)), "day", "100", "day_start", fmt.Sprint(today.Before))
	if o, err := n.Take(number(2), 1, &limits, spansAt(time.Now())); err != nil || o.Refused || o.Used[Day] != 1 {
		t.Errorf("%+v %v", o, err)
	}
	p.Do("HSET", key(number(3)), "day", "100", "day_start", fmt.Sprint(today.End))
	if o, err := n.Take(number(3), 1, &limits, spansAt(time.Now())); err != nil || !o.Refused {
		t.Errorf("%+v %v", o, err)
	}
	p.Do("HSET", key(number(4)), "day", "100", "day_start", fmt.Sprint(today.End+1))
	if o, err := n.Take(number(4), 1, &limits, spansAt(time.Now())); err != nil || o.Refused {
		t.Errorf("%+v %v", o, err)
	}
}

// A store that is paused, gone, empty again or holds something else never counts twice and never lies.
func TestSharedTrouble(t *testing.T) {
	p := startPeer(t)
	n := p.node(t)
	limits := Limits{Month: 1_000_000_000_000}
	get := func() (Outcome, error) { return n.Take(number(1), 1_000_000, &limits, spansAt(time.Now())) }
	if o, err := get(); err != nil || o.Used[Month] != 1_000_000 {
		t.Fatal(o, err)
	}
	p.Do("SCRIPT", "FLUSH")
	if o, err := get(); err != nil || o.Used[Month] != 2_000_000 {
		t.Errorf("%+v %v", o, err)
	}
	p.Pause()
	if _, err := get(); !errors.Is(err, redis.ErrUnavailable) {
		t.Errorf("paused: %v", err)
	}
	p.Resume()
	redistest.Await(t, func() bool { _, err := get(); return err == nil }, "it does not come back")
	p.Do("FLUSHALL")
	if o, err := get(); err != nil || o.Used[Month] != 1_000_000 {
		t.Errorf("%+v %v", o, err)
	}
	p.Do("SET", key(number(1)), "another")
	if _, err := get(); !errors.Is(err, redis.ErrRefused) {
		t.Errorf("another type: %v", err)
	}
	p.Kill()
	if _, err := get(); !errors.Is(err, redis.ErrUnavailable) {
		t.Errorf("gone: %v", err)
	}
	p.Start()
	redistest.Await(t, func() bool { _, err := get(); return err == nil }, "it does not come back")
	p.Do("HSET", key(number(1)), "month", "999999999999", "month_start", fmt.Sprint(spansAt(time.Now())[Month].Start))
	limits[Day] = 5_000_000
	if o, err := get(); err != nil || !o.Refused || o.By != Month || o.Used != [periods]int64{0, 999_999_999_999} {
		t.Errorf("%+v %v", o, err)
	}
	if got := p.Do("HGET", key(number(1)), "month"); got != "999999999999" {
		t.Errorf("%s after a refusal", got)
	}
}

func BenchmarkShared(b *testing.B) {
	n := startPeer(b).node(b)
	limits, spans := Limits{Day: 1 << 50, Month: 1 << 50}, spansAt(time.Now())
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := n.Take(number(1), 1, &limits, spans); err != nil {
				b.Error(err)
			}
		}
	})
}
