package ban

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Everything at once, with the engine's own goroutine: one ban for each address, told as it is in the end, and what is kept is what holds.
func TestParallel(t *testing.T) {
	dir := t.TempDir()
	e := New(Options{Dir: dir, Log: newLog(&logged{})})
	var mu sync.Mutex
	told := map[netip.Prefix]Rung{}
	e.OnChange(func(list []Change) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range list {
			if told[c.Network] = c.Rung; c.Rung == None {
				delete(told, c.Network)
			}
		}
	})
	set := usual()
	set.Hosts = 0
	if err := e.Use(set); err != nil {
		t.Fatal(err)
	}
	const addresses = 200
	now := e.options.Clock()
	var all sync.WaitGroup
	var added atomic.Int64
	for g := range 4 {
		all.Go(func() {
			for i := range addresses * 12 {
				a := netip.AddrFrom4([4]byte{203, 0, 113, byte(i % addresses)})
				e.Strike(a, AuthFailed, now)
				e.Good(a, "acme", now)
				e.Rung(a)
				switch i % 97 {
				case g:
					everything(e)
					e.Why(a)
					e.Figures()
					e.Attention()
				case 10 + g:
					n := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(g), byte(i)}), 32)
					if _, err := e.Add(Order{Network: n, For: time.Hour}); err != nil {
						t.Error(err)
					}
					if _, err := e.Remove(n); err != nil {
						t.Error(err)
					}
					added.Add(1)
				case 20 + g:
					if err := e.Save(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Go(func() {
		for i := range 20 {
			next := set
			next.Threshold += float64(i % 2)
			if err := e.Use(next); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	f := e.Figures()
	if f.Made[AuthFailed] != addresses || f.Bans[Refuse] != addresses || f.Ordered != uint64(added.Load()) || f.Removed != f.Ordered {
		t.Errorf("%+v", f)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if len(told) != addresses {
		t.Errorf("told of %d", len(told))
	}
	again := New(Options{Dir: dir, Log: newLog(&logged{}), still: true})
	if err := again.Use(set); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(everything(again)), fmt.Sprint(everything(e)); got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
}

// The engine's own goroutine ends bans, in its own time.
func TestEnds(t *testing.T) {
	e := New(Options{Log: newLog(&logged{})})
	defer e.Close()
	changes := make(chan Change, 10)
	e.OnChange(func(list []Change) {
		for _, c := range list {
			changes <- c
		}
	})
	if err := e.Use(usual()); err != nil {
		t.Fatal(err)
	}
	n := netip.MustParsePrefix("203.0.113.7/32")
	for _, step := range []struct {
		life time.Duration
		want Rung
	}{{time.Hour, Drop}, {time.Millisecond, None}} {
		if _, err := e.Add(Order{Network: n, For: step.life}); err != nil {
			t.Fatal(err)
		}
		for rung := Rung(9); rung != step.want; {
			select {
			case c := <-changes:
				if rung = c.Rung; c.Network != n {
					t.Errorf("%+v", c)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("not told of %v", step.want)
			}
		}
	}
	if e.Drops(n.Addr()) {
		t.Error("it goes on")
	}
}
