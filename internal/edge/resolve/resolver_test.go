package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// middle makes every pause exactly what it is meant to be.
func middle() uint64 { return 1 << 63 }

// directory is DNS as a test would have it, behind a LookupFunc, with a diary of what was asked and told.
type directory struct {
	start time.Time

	mu      sync.Mutex
	answers map[string]string // "name" or "name@server" -> "ip4 ip6", each as answer reads it, or hang
	asked   []string
	told    []string
	open    int // look-ups under way
	most    int
}

func newDirectory() *directory {
	return &directory{start: time.Now(), answers: map[string]string{}}
}

func (d *directory) set(name, ip4, ip6 string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[name] = ip4 + " " + ip6
}

func (d *directory) lookup(ctx context.Context, server, network, name string) ([]netip.Addr, error) {
	if server != "" {
		name += "@" + server
	}
	d.mu.Lock()
	if network == "ip4" { // once a look-up
		d.asked = append(d.asked, fmt.Sprintf("%v %s", time.Since(d.start), name))
	}
	words := strings.Fields(d.answers[name])
	d.open++
	d.most = max(d.most, d.open)
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.open--
		d.mu.Unlock()
	}()
	if len(words) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	word := words[slices.Index(networks[:], network)]
	if word == "hang" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f := answer(word)
	return f.addresses, f.err
}

func (d *directory) log(name string, err error, kept int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := fmt.Sprint(err)
	if err != nil {
		text = fmt.Sprintf("kind %d", kindOf(err))
	}
	d.told = append(d.told, fmt.Sprintf("%v %s: %s, kept %d", time.Since(d.start), name, text, kept))
}

// heard is what an onChange was given.
type heard struct {
	mu   sync.Mutex
	sets []string
}

func (h *heard) onChange(set []netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sets = append(h.sets, fmt.Sprint(set))
}

// want compares and empties a diary.
func want(t *testing.T, what string, mu *sync.Mutex, diary *[]string, lines ...string) {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(*diary, lines) {
		t.Errorf("%s:\n  %s\nwant:\n  %s", what, strings.Join(*diary, "\n  "), strings.Join(lines, "\n  "))
	}
	*diary = nil
}

func (d *directory) wantAsked(t *testing.T, lines ...string) {
	t.Helper()
	want(t, "asked", &d.mu, &d.asked, lines...)
}

func (d *directory) wantTold(t *testing.T, lines ...string) {
	t.Helper()
	want(t, "told", &d.mu, &d.told, lines...)
}

func (h *heard) want(t *testing.T, sets ...string) {
	t.Helper()
	want(t, "heard", &h.mu, &h.sets, sets...)
}

// bubble runs a test on synctest's time, with a Resolver that must end with it.
func bubble(t *testing.T, s Settings, body func(t *testing.T, d *directory, r *Resolver)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory()
		r := New(s, d.lookup, middle, d.log)
		defer r.Close()
		body(t, d, r)
	})
}

// pass lets time go by and everything that comes of it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestChangesAreHeardOnce(t *testing.T) {
	bubble(t, Settings{Every: 30 * time.Second}, func(t *testing.T, d *directory, r *Resolver) {
		var h heard
		d.set("api", "10.0.0.2,10.0.0.1", "fd00::1")
		r.Watch("API", h.onChange)
		pass(0)
		h.want(t, "[10.0.0.1 10.0.0.2 fd00::1]")
		d.set("api", "10.0.0.1,10.0.0.2,10.0.0.1", "fd00::1") // the same set
		pass(30 * time.Second)
		h.want(t)
		d.set("api", "10.0.0.1,10.0.0.3", "notfound")
		pass(30 * time.Second)
		h.want(t, "[10.0.0.1 10.0.0.3]")
		d.wantAsked(t, "0s api", "30s api", "1m0s api")
		d.wantTold(t)
	})
}

func TestUnknownNameIsTriedAgainUntilItIsThere(t *testing.T) {
	bubble(t, Settings{Every: 10 * time.Second}, func(t *testing.T, d *directory, r *Resolver) {
		var h heard
		r.Watch("late", h.onChange)
		pass(36 * time.Second)
		h.want(t)
		d.wantAsked(t, "0s late", "1s late", "3s late", "7s late", "15s late", "25s late", "35s late")
		d.wantTold(t, "0s late: kind 1, kept 0")
		d.set("late", "10.0.0.1", "notfound")
		pass(10 * time.Second)
		h.want(t, "[10.0.0.1]")
		d.wantTold(t, "45s late: <nil>, kept 1")
	})
}

func TestLastGoodIsKept(t *testing.T) {
	bubble(t, Settings{Every: 4 * time.Second, Timeout: 2 * time.Second}, func(t *testing.T, d *directory, r *Resolver) {
		var h heard
		d.set("api", "10.0.0.1", "fd00::1")
		r.Watch("api", h.onChange)
		pass(1 * time.Second)
		h.want(t, "[10.0.0.1 fd00::1]")

		d.set("api", "notfound", "notfound")
		pass(6 * time.Second) // asked at 4, 5, 7
		d.wantTold(t, "4s api: kind 1, kept 2")
		if s := r.States()[0]; s.Failures != 3 || s.Age != 7*time.Second || !strings.Contains(s.Error, "no such host") || len(s.Addresses) != 2 {
			t.Errorf("state %+v", s)
		}
		d.set("api", "hang", "hang")
		pass(7 * time.Second) // asked at 11, given up at 13
		d.wantTold(t, "13s api: kind 2, kept 2")
		d.set("api", "refused", "refused")
		pass(4 * time.Second) // asked at 17
		d.wantTold(t, "17s api: kind 4, kept 2")
		h.want(t)

		d.set("api", "10.0.0.9", "hang") // asked at 21: half an answer is one, and the other half is kept
		pass(5 * time.Second)
		h.want(t, "[10.0.0.9 fd00::1]")
		d.wantTold(t, "23s api: kind 2, kept 2")
		if s := r.States()[0]; s.Failures != 0 || s.Age != 0 || !strings.HasPrefix(s.Error, "ip6: ") {
			t.Errorf("state %+v", s)
		}
		d.set("api", "hang", "hang") // asked at 27: of the same kind, but worse
		pass(6 * time.Second)
		d.wantTold(t, "29s api: kind 2, kept 2")
		d.set("api", "10.0.0.9", "notfound") // asked at 30, a second after the failure
		pass(5 * time.Second)
		h.want(t, "[10.0.0.9]")
		d.wantTold(t, "30s api: <nil>, kept 1")
		if s := r.States()[0]; s.Error != "" || s.Age >= 5*time.Second {
			t.Errorf("state %+v", s)
		}
	})
}

func TestWatchersShareOneLoop(t *testing.T) {
	bubble(t, Settings{Every: 10 * time.Second}, func(t *testing.T, d *directory, r *Resolver) {
		var a, b heard
		d.set("api", "10.0.0.1", "notfound")
		stopA := r.Watch("api", a.onChange)
		pass(5 * time.Second)
		stopB := r.Watch("api", b.onChange)
		b.want(t, "[10.0.0.1]") // before anything else may happen
		if s := r.States(); len(s) != 1 || s[0].Watchers != 2 || s[0].Name != "api" || s[0].Age != 5*time.Second {
			t.Errorf("states %+v", s)
		}
		d.set("api", "10.0.0.2", "notfound")
		pass(5 * time.Second)
		a.want(t, "[10.0.0.1]", "[10.0.0.2]")
		b.want(t, "[10.0.0.2]")
		d.wantAsked(t, "0s api", "10s api")

		stopA()
		stopA() // does no harm, least to others
		d.set("api", "10.0.0.3", "notfound")
		pass(10 * time.Second)
		a.want(t)
		b.want(t, "[10.0.0.3]")
		d.wantAsked(t, "20s api")

		stopB()
		pass(time.Minute)
		d.wantAsked(t)
		if s := r.States(); len(s) != 0 {
			t.Errorf("states %+v", s)
		}
		r.Watch("api", a.onChange)
		a.want(t) // forgotten
		pass(0)
		a.want(t, "[10.0.0.3]")
	})
}

func TestLastStopCallsOffALookup(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, d *directory, r *Resolver) {
		var h heard
		d.set("api", "hang", "hang")
		stop := r.Watch("api", h.onChange)
		pass(0)
		stop()
		pass(0)
		d.mu.Lock()
		if d.open != 0 {
			t.Errorf("%d look-ups go on", d.open)
		}
		d.mu.Unlock()
		d.wantTold(t)
	})
}

func TestSettingsOfAWatch(t *testing.T) {
	bubble(t, Settings{Every: 30 * time.Second}, func(t *testing.T, d *directory, r *Resolver) {
		var a, b, c heard
		d.set("api", "10.0.0.1", "notfound")
		d.set("api@10.9.9.9:53", "10.0.0.9", "notfound")
		r.Watch("api", a.onChange)
		pass(5 * time.Second)
		stopB := r.WatchWith("api", Settings{Every: 8 * time.Second}, b.onChange)
		pass(12 * time.Second)
		d.wantAsked(t, "0s api", "8s api", "16s api") // the pause under way became shorter
		stopB()
		pass(29 * time.Second)
		d.wantAsked(t, "46s api") // and longer again

		r.WatchWith("api", Settings{Server: "10.9.9.9:53"}, c.onChange)
		pass(time.Second)
		d.wantAsked(t, "46s api@10.9.9.9:53")
		c.want(t, "[10.0.0.9]")
		a.want(t, "[10.0.0.1]")
	})
}

func TestSettingsInRange(t *testing.T) {
	f := func(s, want Settings) {
		t.Helper()
		if got := s.or(defaults); got != want {
			t.Errorf("%+v becomes %+v, want %+v", s, got, want)
		}
	}
	f(Settings{}, Settings{Every: 30 * time.Second, Timeout: 3 * time.Second})
	f(Settings{Every: 1, Timeout: 1}, Settings{Every: time.Second, Timeout: 100 * time.Millisecond})
	f(Settings{Every: 48 * time.Hour, Timeout: time.Hour, Server: "x"}, Settings{Every: 24 * time.Hour, Timeout: time.Minute, Server: "x"})
}

func TestTooManyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory()
		n := 300
		r := New(Settings{Every: time.Second}, func(ctx context.Context, _, network, name string) ([]netip.Addr, error) {
			if network == "ip6" {
				return nil, nil
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			return inOrder(n), nil
		}, middle, d.log)
		defer r.Close()
		var got []netip.Addr
		r.Watch("big", func(set []netip.Addr) { got = set })
		pass(5 * time.Second)
		if len(got) != MaxAddresses || got[0] != netip.MustParseAddr("10.1.0.0") || got[255] != netip.MustParseAddr("10.1.0.255") {
			t.Errorf("%d addresses from %v", len(got), got[0])
		}
		d.wantTold(t, "0s big: kind 3, kept 256")
		if s := r.States()[0]; !strings.HasPrefix(s.Error, "300 addresses, the first 256 of which are used") {
			t.Errorf("error %q", s.Error)
		}
		d.mu.Lock()
		n = 256
		d.mu.Unlock()
		pass(time.Second)
		d.wantTold(t, "6s big: <nil>, kept 256")
	})
}

func TestResolveNow(t *testing.T) {
	bubble(t, Settings{Every: 8 * time.Second, Timeout: time.Second}, func(t *testing.T, d *directory, r *Resolver) {
		ignore := func([]netip.Addr) {}
		d.set("early", "10.0.0.1", "notfound")
		d.set("late", "hang", "hang")
		d.set("inside@10.9.9.9:53", "10.0.0.3", "notfound")
		for _, name := range []string{"early", "late", "never"} {
			r.Watch(name, ignore)
		}
		r.WatchWith("inside", Settings{Server: "10.9.9.9:53"}, ignore)
		names := []string{"Early", "late", "inside", "10.0.0.5"}

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := r.ResolveNow(ctx, append(names, "never"))
		const wanted = "late: no addresses yet: the first look-up has not ended\nnever: no addresses yet: lookup never: no such host"
		if err == nil || err.Error() != wanted {
			t.Errorf("error %v, want %s", err, wanted)
		}
		if err := r.ResolveNow(ctx, names[:1]); err != nil {
			t.Errorf("known names need no time: %v", err)
		}

		d.set("late", "10.0.0.2", "notfound")
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.ResolveNow(ctx, names); err != nil {
			t.Error(err)
		}
		if since := time.Since(d.start); since != 2*time.Second { // timed out at 1s, asked again at 2s
			t.Errorf("returned after %v", since)
		}

		d.set("unwatched", "10.0.0.4", "notfound")
		if err := r.ResolveNow(ctx, []string{"unwatched"}); err != nil {
			t.Error(err)
		}
		if n := len(r.States()); n != 4 {
			t.Errorf("%d names are watched, want 4", n)
		}
	})
}

func TestResolveNowEndsWithTheWatch(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, d *directory, r *Resolver) {
		stop := r.Watch("never", func([]netip.Addr) {})
		done := make(chan error)
		go func() { done <- r.ResolveNow(context.Background(), []string{"never"}) }()
		pass(time.Minute)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAddressesAreNeverLookedUp(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, d *directory, r *Resolver) {
		f := func(name, set string) {
			t.Helper()
			var h heard
			r.Watch(name, h.onChange)()
			h.want(t, set)
		}
		f("10.0.0.1", "[10.0.0.1]")
		f("fd00::1", "[fd00::1]")
		f("[fd00::1]", "[fd00::1]")
		f("::ffff:10.0.0.1", "[10.0.0.1]")
		f("fe80::1%eth0", "[fe80::1%eth0]")
		pass(time.Minute)
		d.wantAsked(t)
	})
}

// TestStopWaits stops a watch while onChange runs. (Not on synctest's time, which stands still while a mutex is waited for.)
func TestStopWaits(t *testing.T) {
	d := newDirectory()
	d.set("api", "10.0.0.1", "notfound")
	r := New(Settings{}, d.lookup, middle, nil)
	defer r.Close()
	begun, stopping := make(chan struct{}), make(chan struct{})
	ended := false // no lock: the race detector sees it too if stop does not wait
	d.mu.Lock()    // no answer before it watches: a Watch that knows the addresses tells them itself, and would not return
	stop := r.Watch("api", func([]netip.Addr) {
		close(begun)
		<-stopping
		for range 1000 {
			runtime.Gosched() // every chance for stop to return too early
		}
		ended = true
	})
	d.mu.Unlock()
	<-begun
	close(stopping)
	stop()
	if !ended {
		t.Error("stop returned while onChange was running")
	}
}

// TestNothingAfterStop stops a watch that the loop is about to tell, since another watcher of the name holds it up.
func TestNothingAfterStop(t *testing.T) {
	bubble(t, Settings{}, func(t *testing.T, d *directory, r *Resolver) {
		d.set("api", "10.0.0.1", "notfound")
		release := make(chan struct{})
		d.mu.Lock() // no answer before both watch: a Watch that knows the addresses tells them itself, and would be held up too
		r.Watch("api", func([]netip.Addr) { <-release })
		var h heard
		stop := r.Watch("api", h.onChange)
		d.mu.Unlock()
		pass(0)
		stop()
		close(release)
		pass(time.Hour)
		h.want(t)
	})
}

func TestLookupsAtATimeAreBounded(t *testing.T) {
	bubble(t, Settings{Timeout: time.Second}, func(t *testing.T, d *directory, r *Resolver) {
		for i := range 3 * maxLookups {
			name := fmt.Sprint("slow", i)
			d.set(name, "hang", "hang")
			r.Watch(name, func([]netip.Addr) {})
		}
		pass(0)
		f := func(wantTurns int) {
			t.Helper()
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.most != families*maxLookups || len(d.asked) < wantTurns {
				t.Errorf("%d names had their turn, want %d; %d look-ups at a time, want %d", len(d.asked), wantTurns, d.most, families*maxLookups)
			}
		}
		f(maxLookups)
		pass(2900 * time.Millisecond)
		f(3 * maxLookups)
	})
}

func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory()
		d.set("api", "hang", "10.0.0.1")
		r := New(Settings{}, d.lookup, middle, nil)
		var h heard
		stop := r.Watch("api", h.onChange)
		pass(time.Second)
		r.Close()
		stop()
		r.Close()
		r.Watch("api", h.onChange)()
		if err := r.ResolveNow(t.Context(), []string{"api"}); err != nil {
			t.Error(err)
		}
		pass(time.Minute)
		h.want(t)
		d.wantAsked(t, "0s api")
	})
}

// TestCrowd watches and stops from many goroutines; it is for the race detector, and for the promise that each watcher hears
// the latest set last.
func TestCrowd(t *testing.T) {
	var mu sync.Mutex
	n := 0
	r := New(Settings{Every: time.Second}, func(_ context.Context, _, network, _ string) ([]netip.Addr, error) {
		if network == "ip6" {
			return nil, errors.New("refused")
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})}, nil
	}, middle, nil)
	defer r.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				var last netip.Addr
				stop := r.Watch("api", func(set []netip.Addr) {
					if len(set) != 1 || set[0].Compare(last) <= 0 {
						t.Errorf("heard %v after %v", set, last)
					}
					last = set[0]
				})
				if err := r.ResolveNow(t.Context(), []string{"api"}); err != nil {
					t.Error(err)
				}
				r.States()
				stop()
			}
		})
	}
	wg.Wait()
}
