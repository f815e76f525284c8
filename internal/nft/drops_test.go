package nft

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a kernel that fails on command and keeps timeouts by the test's clock.
type fake struct {
	mu      sync.Mutex
	made    bool
	ports   []uint16
	ends    map[netip.Prefix]time.Time
	fail    error
	resets  int
	tries   int
	largest int
}

// tried is how often the kernel was told something.
func (f *fake) tried() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tries
}

func (f *fake) reset(ports []uint16) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries++
	if f.fail != nil {
		return f.fail
	}
	f.made, f.ports, f.ends = true, ports, map[netip.Prefix]time.Time{}
	f.resets++
	return nil
}

func (f *fake) update(remove []netip.Prefix, add []element) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire()
	f.tries++
	f.largest = max(f.largest, len(remove), len(add))
	if f.fail != nil {
		return f.fail
	}
	next := maps.Clone(f.ends)
	for _, p := range remove {
		if _, there := next[p]; !there {
			return fs.ErrNotExist
		}
		delete(next, p)
	}
	for _, e := range add {
		if e.left <= 0 || e.left > Lease {
			return fmt.Errorf("a timeout of %v", e.left)
		}
		if _, there := next[e.prefix]; !there { // an old kernel leaves the timeout of one that is there as it is
			next[e.prefix] = time.Now().Add(e.left)
		}
	}
	f.ends = next
	return nil
}

func (f *fake) expire() {
	maps.DeleteFunc(f.ends, func(_ netip.Prefix, end time.Time) bool { return !end.After(time.Now()) })
}

func (f *fake) there() (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made, nil
}

func (f *fake) remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made, f.ends = false, nil
	return nil
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// held are the prefixes in the kernel.
func (f *fake) held() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire()
	return fmt.Sprint(slices.SortedFunc(maps.Keys(f.ends), netip.Prefix.Compare))
}

type lines struct{ strings.Builder }

// scripted runs a test with a fake kernel, on a clock of its own.
func scripted(t *testing.T, test func(d *Drops, f *fake, log *lines)) {
	synctest.Test(t, func(t *testing.T) {
		f, log := &fake{}, &lines{}
		d := fill(&Drops{log: slog.New(slog.NewTextHandler(log, nil)), now: time.Now, table: f})
		d.Start()
		defer d.Close()
		synctest.Wait()
		test(d, f, log)
	})
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func in(d time.Duration) time.Time { return time.Now().Add(d) }

func TestBansComeAndGo(t *testing.T) {
	scripted(t, func(d *Drops, f *fake, _ *lines) {
		is := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := f.held(); got != want {
				t.Errorf("the kernel holds %s, want %s", got, want)
			}
		}
		is("[]")
		d.Ban(pfx("203.0.113.9/32"), in(time.Minute))
		d.Ban(pfx("2001:db8:0:1::7/64"), time.Time{})
		is("[203.0.113.9/32 2001:db8:0:1::/64]")
		d.Lift(pfx("203.0.113.9/32"))
		is("[2001:db8:0:1::/64]")
		d.Ban(pfx("203.0.113.9/32"), in(time.Minute))
		d.Ban(pfx("203.0.113.9/32"), in(10*time.Minute)) // longer, which no kernel before 6.12 does by adding again
		is("[203.0.113.9/32 2001:db8:0:1::/64]")
		time.Sleep(5 * time.Minute)
		is("[203.0.113.9/32 2001:db8:0:1::/64]")
		time.Sleep(6 * time.Minute)
		is("[2001:db8:0:1::/64]")
		for _, never := range []string{"0.0.0.0/0", "::/0", "::ffff:1.2.3.4/120"} {
			d.Ban(pfx(never), time.Time{})
		}
		d.Ban(netip.Prefix{}, time.Time{})
		is("[2001:db8:0:1::/64]")
		if got := d.Figures(); got != (Figures{Given: 1}) {
			t.Errorf("%+v", got)
		}
		if f.resets != 1 {
			t.Errorf("told everything %d times", f.resets)
		}
	})
}

// TestLeasesAreRenewed bans for longer than a lease: the kernel drops all the while, and no longer.
func TestLeasesAreRenewed(t *testing.T) {
	scripted(t, func(d *Drops, f *fake, _ *lines) {
		d.Ban(pfx("203.0.113.9/32"), in(150*time.Minute))
		d.Ban(pfx("203.0.113.10/32"), time.Time{})
		for minute := range 150 {
			synctest.Wait()
			if got := f.held(); got != "[203.0.113.9/32 203.0.113.10/32]" {
				t.Fatalf("minute %d: the kernel holds %s", minute, got)
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := f.held(); got != "[203.0.113.10/32]" {
			t.Errorf("at the end the kernel holds %s", got)
		}
		if f.resets != 1 {
			t.Errorf("told everything %d times", f.resets)
		}
	})
}

// TestALiftAtTheLastMoment removes what may be gone already.
func TestALiftAtTheLastMoment(t *testing.T) {
	scripted(t, func(d *Drops, f *fake, log *lines) {
		d.Ban(pfx("203.0.113.9/32"), in(time.Minute))
		d.Ban(pfx("203.0.113.10/32"), in(time.Hour))
		synctest.Wait()
		time.Sleep(time.Minute) // it is gone, and nobody has looked since
		d.Lift(pfx("203.0.113.9/32"))
		d.Ban(pfx("203.0.113.11/32"), in(time.Hour))
		synctest.Wait()
		if got := f.held(); got != "[203.0.113.10/32 203.0.113.11/32]" || log.Len() > 0 {
			t.Errorf("the kernel holds %s; %s", got, log)
		}
	})
}

func TestAKernelThatFails(t *testing.T) {
	scripted(t, func(d *Drops, f *fake, log *lines) {
		d.Ban(pfx("203.0.113.9/32"), time.Time{})
		synctest.Wait()
		f.set(func() { f.fail = errors.New("no buffer space") })
		d.Ban(pfx("203.0.113.10/32"), time.Time{})
		synctest.Wait()
		before := f.tried()
		for range 1000 {
			d.Ban(pfx("203.0.113.11/32"), time.Time{})
			synctest.Wait()
		}
		if n := f.tried() - before; n != 0 {
			t.Errorf("tried %d times more for bans that came in the meantime", n)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := f.tried() - before; n < 100 || n > 160 {
			t.Errorf("%d tries in a day", n)
		}
		if d.Figures().Problem != "no buffer space" || strings.Count(log.String(), "no buffer space") != 1 {
			t.Errorf("%+v, %s", d.Figures(), log)
		}
		f.set(func() { f.fail = nil })
		time.Sleep(pauseMax)
		synctest.Wait()
		if got := f.held(); got != "[203.0.113.9/32 203.0.113.10/32 203.0.113.11/32]" {
			t.Errorf("then the kernel holds %s", got)
		}
		if got := d.Figures(); got != (Figures{Given: 3}) || !strings.Contains(log.String(), "again") {
			t.Errorf("%+v, %s", got, log)
		}
	})
}

// TestATableThatIsTakenAway is what a firewall script does that begins with flush ruleset.
func TestATableThatIsTakenAway(t *testing.T) {
	scripted(t, func(d *Drops, f *fake, _ *lines) {
		d.Ports([]uint16{443, 80, 443})
		d.Ban(pfx("203.0.113.9/32"), time.Time{})
		synctest.Wait()
		f.remove()
		time.Sleep(look)
		synctest.Wait()
		if got := f.held(); got != "[203.0.113.9/32]" || !slices.Equal(f.ports, []uint16{80, 443}) {
			t.Errorf("the kernel holds %s and ports %v", got, f.ports)
		}
		resets := f.resets
		d.Ports([]uint16{80, 443})
		synctest.Wait()
		if f.resets != resets {
			t.Error("the same ports made the table anew")
		}
		d.Ports([]uint16{8443})
		synctest.Wait()
		if got := f.held(); got != "[203.0.113.9/32]" || !slices.Equal(f.ports, []uint16{8443}) {
			t.Errorf("the kernel holds %s and ports %v", got, f.ports)
		}
	})
}

func TestBounds(t *testing.T) {
	scripted(t, func(d *Drops, f *fake, _ *lines) {
		for i := range Most + 3 {
			d.Ban(netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32), time.Time{})
		}
		synctest.Wait()
		if got := d.Figures(); got != (Figures{Given: Most, Over: 3}) || len(f.ends) != Most || f.largest > batch {
			t.Errorf("%+v; the kernel holds %d; %d in a message", got, len(f.ends), f.largest)
		}
		d.Lift(pfx("11.0.0.0/32"))
		d.Ban(pfx("203.0.113.9/32"), time.Time{})
		synctest.Wait()
		if got := d.Figures(); got != (Figures{Given: Most, Over: 3}) || !strings.Contains(f.held(), "203.0.113.9/32") {
			t.Errorf("%+v", got)
		}
	})
}

func TestCloseTakesTheTableAway(t *testing.T) {
	scripted(t, func(d *Drops, f *fake, _ *lines) {
		d.Ban(pfx("203.0.113.9/32"), time.Time{})
		synctest.Wait()
		d.Close()
		d.Close()
		d.Ban(pfx("203.0.113.10/32"), time.Time{}) // who is late does no harm
		if there, _ := f.there(); there {
			t.Error("the table is still there")
		}
	})
}
