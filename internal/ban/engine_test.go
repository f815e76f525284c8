package ban

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scene is an engine whose time the test sets and whose chores the test does.
type scene struct {
	*Engine
	t       testing.TB
	dir     string
	at      time.Duration // since the beginning
	log     *logged
	changes []string
	set     Settings
}

var beginning = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func newLog(to *logged) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// usual are the defaults of the configuration.
func usual() Settings {
	return Settings{On: true, Scores: [Signals]float64{AuthFailed: 10, Limited: 1, NotFound: 1, Malformed: 5, Handshake: 2, Suspect: 20},
		Threshold: 100, HalfLife: 5 * time.Minute, First: 10 * time.Minute, Longest: 24 * time.Hour, Ladder: []Rung{Refuse, Drop, Kernel},
		Remember: 720 * time.Hour, Hosts: 8, Wide6: []int{56, 48}, Consumers: 3, Window: time.Hour}
}

func newScene(t testing.TB, change func(*Settings)) *scene {
	t.Helper()
	s := &scene{t: t, dir: t.TempDir(), log: &logged{}}
	s.open()
	s.use(change)
	return s
}

// open makes the engine, also one after a restart.
func (s *scene) open() {
	s.Engine = New(Options{Dir: s.dir, Log: newLog(s.log), still: true,
		Now: func() time.Time { return beginning.Add(s.at) }, Clock: func() int64 { return int64(time.Hour + s.at) }})
	s.OnChange(func(list []Change) {
		for _, c := range list {
			until := "for ever"
			if !c.Until.IsZero() {
				until = "until " + c.Until.Sub(beginning).String()
			}
			if c.Rung == None {
				until = "ends"
			}
			s.changes = append(s.changes, fmt.Sprintf("%v %v %s", c.Network, c.Rung, until))
		}
		slices.Sort(s.changes)
	})
}

func (s *scene) use(change func(*Settings)) {
	s.t.Helper()
	s.set = usual()
	if change != nil {
		change(&s.set)
	}
	if err := s.Use(s.set); err != nil {
		s.t.Fatal(err)
	}
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func (s *scene) strike(a string, signal Signal, times int) {
	for range times {
		s.Strike(addr(a), signal, int64(time.Hour+s.at))
	}
}

func (s *scene) good(a string, consumers ...string) {
	for _, c := range consumers {
		s.Good(addr(a), c, int64(time.Hour+s.at))
	}
}

func (s *scene) pass(d time.Duration) {
	s.at += d
	s.chores()
}

// all are all bans that run.
func (s *scene) all() []Ban { return everything(s.Engine) }

func everything(e *Engine) []Ban {
	all, _ := e.List(netip.Prefix{}, 0, math.MaxInt)
	return all
}

// is compares all bans that run with what is wanted: "network rung duration count reason by", one a line.
func (s *scene) is(want ...string) {
	s.t.Helper()
	var got []string
	for _, b := range s.all() {
		length := "for ever"
		if !b.Until.IsZero() {
			length = b.Until.Sub(b.Began).String()
		}
		line := fmt.Sprintf("%v %v %s %d %s %s", b.Network, b.Rung, length, b.Count, b.Reason, b.By)
		if b.Dry {
			line += " dry"
		}
		got = append(got, line)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.t.Errorf("after %v there are\n%s\nwant\n%s", s.at, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (s *scene) rung(a string, want Rung) {
	s.t.Helper()
	if got := s.Rung(addr(a)); got != want {
		s.t.Errorf("after %v %s is refused as %v, want %v", s.at, a, got, want)
	}
	if s.Refuses(addr(a)) != (want >= Refuse) || s.Drops(addr(a)) != (want >= Drop) {
		s.t.Errorf("%s: refused %v, dropped %v with %v", a, s.Refuses(addr(a)), s.Drops(addr(a)), want)
	}
}

// The life of a scanner: banned at the threshold, for twice as long each time with a harder hand, forgotten in the end.
func TestLadder(t *testing.T) {
	s := newScene(t, nil)
	const a = "203.0.113.7"
	s.strike(a, AuthFailed, 9)
	s.rung(a, None)
	s.strike(a, AuthFailed, 1)
	s.rung(a, Refuse)
	s.is("203.0.113.7/32 refuse 10m0s 1 auth_failed score")
	s.rung("203.0.113.8", None)
	s.rung("::ffff:203.0.113.7", Refuse)
	s.strike(a, Suspect, 100) // what was under way counts no more
	s.pass(10*time.Minute - time.Millisecond)
	s.rung(a, Refuse)
	s.pass(time.Millisecond)
	s.rung(a, None)
	s.is()
	s.strike(a, AuthFailed, 9)
	s.rung(a, None) // the score began anew
	s.strike(a, NotFound, 10)
	s.is("203.0.113.7/32 drop 20m0s 2 auth_failed score")
	s.pass(20 * time.Minute)
	for i, want := range []string{"40m0s", "1h20m0s", "2h40m0s", "5h20m0s", "10h40m0s", "21h20m0s", "24h0m0s", "24h0m0s"} {
		s.strike(a, Suspect, 5)
		s.is(fmt.Sprintf("203.0.113.7/32 kernel %s %d suspect score", want, i+3))
		s.pass(24 * time.Hour)
		s.is()
	}
	s.pass(720*time.Hour - 24*time.Hour + 24*time.Hour) // after the end of the last
	s.strike(a, Suspect, 5)
	s.is("203.0.113.7/32 refuse 10m0s 1 suspect score")
	if f := s.Figures(); f.Made[AuthFailed] != 2 || f.Made[Suspect] != 9 || f.Ended != 10 || f.Bans[Refuse] != 1 || f.Remembered != 0 {
		t.Errorf("%+v", f)
	}
}

// What is slow enough is never banned, what is faster is, after as many as the sum of a geometric series says.
func TestDecay(t *testing.T) {
	f := func(every time.Duration) {
		t.Helper()
		want := 0
		if q := math.Exp2(-every.Seconds() / 300); 1/(1-q) > 100 {
			want = int(math.Ceil(math.Log(1-100*(1-q)) / math.Log(q)))
		}
		s := newScene(t, nil)
		for i := range 5000 {
			s.strike("203.0.113.7", NotFound, 1)
			if s.Rung(addr("203.0.113.7")) != None {
				if i+1 != want {
					t.Errorf("every %v: banned after %d, want %d", every, i+1, want)
				}
				return
			}
			s.at += every
		}
		if want != 0 {
			t.Errorf("every %v: never banned, want it after %d", every, want)
		}
	}
	f(time.Millisecond)
	f(100 * time.Millisecond)
	f(time.Second)
	f(4 * time.Second)
	f(5 * time.Second) // never gets beyond 87
}

// Signals that are not to count do not, and nobody is banned for what an unknown address does.
func TestNothingToCount(t *testing.T) {
	s := newScene(t, func(s *Settings) { s.Scores[Limited] = 0 })
	s.strike("203.0.113.7", Limited, 1000)
	for range 1000 {
		s.Strike(netip.Addr{}, Suspect, 1)
		s.Good(netip.Addr{}, "acme", 1)
	}
	s.is()
	if f := s.Figures(); f.Nameless != 1000 || f.Scored != 0 || s.Rung(netip.Addr{}) != None {
		t.Errorf("%+v", f)
	}
	s.use(func(s *Settings) { s.On = false })
	s.strike("203.0.113.7", Suspect, 1000)
	s.is()
}

// IPv6 is scored and banned by /64, and wider only after enough of them.
func TestWiden(t *testing.T) {
	s := newScene(t, nil)
	host := func(i int) string { return fmt.Sprintf("2001:db8:0:%x::%x", i, i+1) }
	s.strike("2001:db8:0:1::1", Suspect, 2)
	s.strike("2001:db8:0:1:ffff::2", Suspect, 3)
	s.is("2001:db8:0:1::/64 refuse 10m0s 1 suspect score")
	s.rung("2001:db8:0:1:2:3:4:5", Refuse)
	s.rung("2001:db8:0:2::1", None)
	for i := 2; i <= 7; i++ {
		s.strike(host(i), Suspect, 5)
	}
	s.rung("2001:db8:0:9::1", None)
	s.strike(host(8), Suspect, 5)
	s.rung("2001:db8:0:9::1", Refuse)
	s.rung("2001:db8:0:100::1", None)
	if b := s.Why(addr("2001:db8:0:9::1")).Bans; len(b) != 1 || b[0].Network.String() != "2001:db8::/56" || b[0].By != ByNetwork {
		t.Errorf("%+v", b)
	}
	// 32 of a /48: 24 more, seven a /56 so that none of those is banned, and one.
	for i := range 24 {
		s.rung("2001:db8:0:ff00::1", None)
		s.strike(host(0x100*(1+i/7)+i), Suspect, 5)
	}
	s.rung("2001:db8:0:ff00::1", Refuse)
	s.rung("2001:db8:1::1", None)
	if f := s.Figures(); f.Widened != 2 {
		t.Errorf("%+v", f)
	}
	// The bans inside end; the wide ones go by themselves.
	s.pass(10 * time.Minute)
	s.is()
}

// IPv4 is never banned wider than an address, unless asked for.
func TestWidenIPv4(t *testing.T) {
	s := newScene(t, nil)
	for i := range 200 {
		s.strike(fmt.Sprintf("203.0.113.%d", i), Suspect, 5)
	}
	s.rung("203.0.113.201", None)
	s = newScene(t, func(s *Settings) { s.Wide4 = []int{24} })
	for i := range 8 {
		s.rung("203.0.113.201", None)
		s.strike(fmt.Sprintf("203.0.113.%d", i), Suspect, 5)
	}
	s.rung("203.0.113.201", Refuse)
	s.rung("203.0.114.1", None)
}

// A network with somebody in it who is never banned is not banned.
func TestNever(t *testing.T) {
	s := newScene(t, func(s *Settings) {
		s.Never = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:0:99::1/128"), netip.MustParsePrefix("::ffff:192.0.2.1/128")}
	})
	proxies := []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")}
	s.Guard(Guard{"a trusted proxy", func() []netip.Prefix { return proxies }})
	for _, a := range []string{"198.51.100.7", "127.0.0.1", "127.3.2.1", "::1", "::ffff:198.51.100.7", "203.0.113.9", "2001:db8:0:99::2", "192.0.2.1", "0.0.0.0", "::"} {
		s.strike(a, Suspect, 100)
		s.rung(a, None)
		if why := s.Why(addr(a)); why.Never == "" || !why.NeverBy.IsValid() {
			t.Errorf("%s: %+v", a, why)
		}
	}
	for i := range 40 {
		s.strike(fmt.Sprintf("2001:db8:0:%x::1", 0x90+i), Suspect, 5) // the /56 and the /48 hold 99
	}
	s.rung("2001:db8:0:80::1", None)
	if f := s.Figures(); f.Guarded == 0 || f.Bans[Refuse] != 39 || f.Widened != 0 {
		t.Errorf("%+v", f)
	}
	s.chores()
	if text := s.log.take(); !strings.Contains(text, "a trusted proxy") {
		t.Errorf("logged %s", text)
	}
	// What guards say counts as it is when a ban is about to be made.
	proxies = nil
	s.pass(2 * time.Second)
	s.strike("203.0.113.9", Suspect, 5)
	s.rung("203.0.113.9", Refuse)
	// By hand neither, nor a network that holds it.
	for _, n := range []string{"127.0.0.1/32", "198.51.100.9/32", "198.51.0.0/16", "0.0.0.0/0", "2001:db8::/32", "::/0", "::ffff:127.0.0.1/128"} {
		if b, err := s.Add(Order{Network: netip.MustParsePrefix(n)}); err == nil {
			t.Errorf("%s is banned: %+v", n, b)
		}
	}
	// A reload that names who is banned lifts the ban, and so does one that names a part of it.
	if _, err := s.Add(Order{Network: netip.MustParsePrefix("192.0.2.128/25")}); err != nil {
		t.Fatal(err)
	}
	s.use(func(s *Settings) {
		s.Never = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("192.0.2.130/32")}
	})
	s.rung("203.0.113.9", None)
	s.rung("192.0.2.200", None)
}

// An address that several good consumers use is spared, for as long as they do.
func TestSpare(t *testing.T) {
	s := newScene(t, nil)
	const nat = "203.0.113.7"
	s.good(nat, "ann", "ben", "ben", "ann")
	s.good("203.0.113.8", "ann", "ben", "cat", "dan")
	s.pass(50 * time.Minute)
	s.good(nat, "cat")
	s.strike(nat, Suspect, 50)
	s.rung(nat, None)
	s.chores()
	if f := s.Figures(); f.Spared != 1 || f.Made != [Signals]uint64{} {
		t.Errorf("%+v", f)
	}
	if text := s.log.take(); strings.Count(text, "several consumers") != 1 || strings.Contains(text, "113.7") {
		t.Errorf("logged %s", text)
	}
	if why := s.Why(addr(nat)); why.Consumers != 3 || why.Spares != 3 || why.Score != 1000 {
		t.Errorf("%+v", why)
	}
	s.pass(15 * time.Minute) // ann and ben were last seen more than an hour ago
	s.strike(nat, NotFound, 1)
	s.is("203.0.113.7/32 refuse 10m0s 1 suspect score")

	// One of a network counts for all of the /64, and for the wider ones.
	s = newScene(t, nil)
	for i := range 3 {
		s.good(fmt.Sprintf("2001:db8:0:f%d::1", i), fmt.Sprint("good ", i))
	}
	for i := range 20 {
		s.strike(fmt.Sprintf("2001:db8:0:%d::1", i), Suspect, 5)
	}
	s.rung("2001:db8:0:f1::1", None)
	s = newScene(t, func(s *Settings) { s.Consumers = 0 })
	s.good(nat, "ann", "ben", "cat", "dan")
	s.strike(nat, Suspect, 5)
	s.rung(nat, Refuse)
}

// A dry run decides and tells and refuses nobody; what it decided is gone with it.
func TestDryRun(t *testing.T) {
	s := newScene(t, nil)
	s.strike("192.0.2.1", Suspect, 5)
	s.use(func(s *Settings) { s.DryRun = true })
	s.rung("192.0.2.1", None) // also what was decided before
	s.strike("203.0.113.7", Suspect, 50)
	if _, err := s.Add(Order{Network: netip.MustParsePrefix("198.51.100.0/24"), Reason: "abuse", By: "ops"}); err != nil {
		t.Fatal(err)
	}
	s.is("192.0.2.1/32 refuse 10m0s 1 suspect score dry", "198.51.100.0/24 drop for ever 1 abuse ops", "203.0.113.7/32 refuse 10m0s 1 suspect score dry")
	s.rung("203.0.113.7", None)
	s.rung("198.51.100.77", Drop)
	s.chores()
	if text := s.log.take(); !strings.Contains(text, "would be banned; bans.dry_run is on") {
		t.Errorf("logged %s", text)
	}
	if f := s.Figures(); f.Dry != 2 || f.Bans[Drop] != 1 || f.Bans[Refuse] != 0 {
		t.Errorf("%+v", f)
	}
	s.pass(5 * time.Minute)
	s.use(nil)
	s.is("192.0.2.1/32 refuse 10m0s 1 suspect score", "198.51.100.0/24 drop for ever 1 abuse ops")
	s.rung("192.0.2.1", Refuse)
	s.strike("203.0.113.7", Suspect, 5)
	s.is("192.0.2.1/32 refuse 10m0s 1 suspect score", "198.51.100.0/24 drop for ever 1 abuse ops", "203.0.113.7/32 refuse 10m0s 1 suspect score")
}

// By hand: with a time or without, with a reason, found out about and taken back.
func TestByHand(t *testing.T) {
	s := newScene(t, nil)
	add := func(o Order, want string) {
		t.Helper()
		_, err := s.Add(o)
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%+v: %q, want %q in it", o, got, want)
		}
	}
	net := netip.MustParsePrefix
	add(Order{Network: net("203.0.113.7/32"), For: time.Hour, Reason: "ticket 12", By: "ops", Rung: Kernel}, "<nil>")
	add(Order{Network: net("203.0.113.7/24"), Rung: Refuse}, "<nil>")
	add(Order{Network: net("2001:db8::1/128"), For: time.Minute}, "<nil>")
	add(Order{}, "allowed: an address or a network")
	add(Order{Network: net("192.0.2.1/32"), For: -1}, "allowed: 0 for no end")
	add(Order{Network: net("192.0.2.1/32"), For: 1 << 62}, "up to ten years")
	add(Order{Network: net("192.0.2.1/32"), Rung: 9}, "refuse, drop and kernel")
	add(Order{Network: net("192.0.2.1/32"), Reason: "a\nb"}, "control characters")
	add(Order{Network: net("192.0.2.1/32"), Reason: strings.Repeat("a", 257)}, "257 bytes")
	add(Order{Network: net("192.0.2.1/32"), By: "\xff"}, "no plain text")
	s.is("203.0.113.0/24 refuse for ever 1  ", "203.0.113.7/32 kernel 1h0m0s 1 ticket 12 ops", "2001:db8::1/128 drop 1m0s 1  ")
	s.rung("203.0.113.7", Kernel)
	s.rung("203.0.113.8", Refuse)
	s.rung("2001:db8::2", None)
	s.pass(time.Second)
	want := []string{"2001:db8::1/128 drop until 1m0s", "203.0.113.0/24 refuse for ever", "203.0.113.7/32 kernel until 1h0m0s"}
	if !slices.Equal(s.changes, want) {
		t.Errorf("told %q, want %q", s.changes, want)
	}
	s.changes = nil
	// A further order for the same network replaces the first.
	add(Order{Network: net("203.0.113.7/32"), Rung: Refuse}, "<nil>")
	s.rung("203.0.113.7", Refuse)
	s.chores()
	add(Order{Network: net("203.0.113.7/32"), Rung: Refuse, For: time.Minute}, "<nil>")
	s.chores()
	if want := []string{"203.0.113.7/32 refuse for ever", "203.0.113.7/32 refuse until 1m1s"}; !slices.Equal(s.changes, want) {
		t.Errorf("told %q, want %q", s.changes, want)
	}
	s.changes = nil
	remove := func(n, want string) {
		t.Helper()
		_, err := s.Remove(net(n))
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", n, got, want)
		}
	}
	remove("192.0.2.1/32", "192.0.2.1/32 is not banned")
	remove("203.0.113.99/32", "not banned by itself but as part of 203.0.113.0/24")
	remove("203.0.113.7/32", "<nil>")
	s.rung("203.0.113.7", Refuse)
	remove("203.0.113.1/24", "<nil>")
	s.rung("203.0.113.7", None)
	s.chores()
	if want := []string{"203.0.113.0/24 none ends", "203.0.113.7/32 none ends"}; !slices.Equal(s.changes, want) {
		t.Errorf("told %q, want %q", s.changes, want)
	}
	s.use(func(s *Settings) { s.On = false })
	s.rung("2001:db8::1", None)
	add(Order{Network: net("203.0.113.7/32")}, "bans are off")
}

// A ban inside a wider one never softens it, whichever came first and goes first.
func TestInsideAWiderOne(t *testing.T) {
	s := newScene(t, nil)
	net := netip.MustParsePrefix
	order := func(n string, r Rung) {
		t.Helper()
		if _, err := s.Add(Order{Network: net(n), Rung: r}); err != nil {
			t.Fatal(err)
		}
	}
	order("203.0.113.7/32", Refuse)
	order("203.0.113.0/28", Kernel)
	s.rung("203.0.113.7", Kernel)
	order("203.0.0.0/16", Drop)
	s.rung("203.0.113.7", Kernel)
	s.rung("203.0.113.99", Drop)
	order("203.0.113.8/32", Refuse)
	s.rung("203.0.113.8", Kernel)
	if _, err := s.Remove(net("203.0.113.0/28")); err != nil {
		t.Fatal(err)
	}
	s.rung("203.0.113.7", Drop)
	s.rung("203.0.113.8", Drop)
	if _, err := s.Remove(net("203.0.0.0/16")); err != nil {
		t.Fatal(err)
	}
	s.rung("203.0.113.7", Refuse)
	s.rung("203.0.113.99", None)
	if f := s.Figures(); f.Bans != [Kernel + 1]int{Refuse: 2} {
		t.Errorf("%+v", f)
	}
}

// Changed numbers change what comes; what was counted stays.
func TestReload(t *testing.T) {
	s := newScene(t, nil)
	s.strike("203.0.113.7", AuthFailed, 5)
	s.strike("192.0.2.1", Suspect, 5)
	s.use(func(s *Settings) { s.Threshold, s.HalfLife, s.First = 60, time.Minute, time.Hour })
	s.is("192.0.2.1/32 refuse 10m0s 1 suspect score")
	if why := s.Why(addr("203.0.113.7")); why.Score != 50 || why.Threshold != 60 {
		t.Errorf("%+v", why)
	}
	s.strike("203.0.113.7", AuthFailed, 1)
	s.is("192.0.2.1/32 refuse 10m0s 1 suspect score", "203.0.113.7/32 refuse 1h0m0s 1 auth_failed score")
	s.strike("203.0.113.8", AuthFailed, 5)
	s.at += time.Minute
	s.strike("203.0.113.8", AuthFailed, 3)
	s.rung("203.0.113.8", None) // 25 + 30
	s.use(func(s *Settings) { s.On = false })
	s.rung("203.0.113.7", None)
	s.use(nil)
	s.rung("203.0.113.7", Refuse)
	s.rung("203.0.113.8", None)
}

// A score keeps its parts, and they are explained.
func TestWhy(t *testing.T) {
	s := newScene(t, nil)
	s.strike("203.0.113.7", NotFound, 40)
	s.strike("203.0.113.7", AuthFailed, 2)
	s.at += 5 * time.Minute
	why := s.Why(addr("::ffff:203.0.113.7"))
	if why.Network.String() != "203.0.113.7/32" || why.Score != 30 || why.Scores != [Signals]float64{NotFound: 20, AuthFailed: 10} || !why.On || why.Count != 0 {
		t.Errorf("%+v", why)
	}
	s.strike("203.0.113.7", Malformed, 14)
	why = s.Why(addr("203.0.113.7"))
	if len(why.Bans) != 1 || why.Bans[0].Reason != "malformed" || why.Score != 0 || why.Count != 1 || why.Rung != Refuse {
		t.Errorf("%+v", why)
	}
	if want := beginning.Add(15*time.Minute + 720*time.Hour); !why.Forgotten.Equal(want) {
		t.Errorf("forgotten %v, want %v", why.Forgotten, want)
	}
	if why := s.Why(netip.Addr{}); why.Network.IsValid() || why.Rung != None {
		t.Errorf("%+v", why)
	}
}

// Logs name networks as they are told to.
func TestLoggedAddresses(t *testing.T) {
	for as, want := range map[Addresses]string{Masked: "network=203.0.113.0/24", Full: "network=203.0.113.7", Nameless: ""} {
		s := newScene(t, func(s *Settings) { s.Addresses = as })
		s.strike("203.0.113.7", Suspect, 5)
		s.chores()
		got := s.log.take()
		want := strings.TrimSpace(want + " rung=refuse for=10m0s count=1 reason=suspect by=score")
		if got != "msg=banned "+want+"\n" {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
}

// Settings that cannot work are refused, and those before stay.
func TestSettings(t *testing.T) {
	s := newScene(t, nil)
	for _, change := range []func(*Settings){
		func(s *Settings) { s.Threshold = 0 }, func(s *Settings) { s.HalfLife = 0 }, func(s *Settings) { s.First = 0 },
		func(s *Settings) { s.Longest = s.First - 1 }, func(s *Settings) { s.Ladder = nil }, func(s *Settings) { s.Ladder = []Rung{None} },
		func(s *Settings) { s.Scores[0] = -1 }, func(s *Settings) { s.Consumers = 9 }, func(s *Settings) { s.Window = 0 },
		func(s *Settings) { s.Wide4 = []int{32} }, func(s *Settings) { s.Wide6 = []int{64} }, func(s *Settings) { s.Remember = -1 },
	} {
		bad := usual()
		change(&bad)
		if s.Use(bad) == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	s.strike("203.0.113.7", Suspect, 5)
	s.rung("203.0.113.7", Refuse)
}

// With room for three bans, those that are over go first; when all run, there is no further one, and somebody is told.
func TestFull(t *testing.T) {
	s := &scene{t: t, log: &logged{}}
	s.Engine = New(Options{Log: newLog(s.log), still: true, most: 3, Now: func() time.Time { return beginning.Add(s.at) }, Clock: func() int64 { return int64(s.at) }})
	s.use(nil)
	ban := func(i int) { s.strike(fmt.Sprintf("203.0.113.%d", i), Suspect, 5) }
	ban(1)
	s.pass(10 * time.Minute)
	ban(2)
	ban(3)
	ban(4) // 1 is forgotten for it
	ban(5)
	ban(6)
	s.is("203.0.113.2/32 refuse 10m0s 1 suspect score", "203.0.113.3/32 refuse 10m0s 1 suspect score", "203.0.113.4/32 refuse 10m0s 1 suspect score")
	if f := s.Figures(); f.Full != 2 || f.Remembered != 0 {
		t.Errorf("%+v", f)
	}
	if a := s.Attention(); len(a) != 1 || !strings.Contains(a[0], "3 networks are banned") {
		t.Errorf("%q", a)
	}
	if _, err := s.Add(Order{Network: netip.MustParsePrefix("192.0.2.1/32")}); err == nil || !strings.Contains(err.Error(), "remove some") {
		t.Errorf("%v", err)
	}
	s.pass(10 * time.Minute)
	if a := s.Attention(); len(a) != 0 {
		t.Errorf("%q", a)
	}
	ban(5)
	s.is("203.0.113.5/32 refuse 10m0s 1 suspect score")
}

// Whoever a guard comes to name is not banned any more after a reload, but for what somebody has ordered.
func TestReloadLiftsWhatGuardsName(t *testing.T) {
	s := newScene(t, nil)
	var proxies []netip.Prefix
	s.Guard(Guard{Why: "a trusted proxy", Networks: func() []netip.Prefix { return proxies }})
	s.strike("203.0.113.7", Suspect, 5)
	s.strike("203.0.113.8", Suspect, 5)
	if _, err := s.Add(Order{Network: netip.MustParsePrefix("198.51.100.0/24")}); err != nil {
		t.Fatal(err)
	}
	proxies = []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("198.51.100.9/32")}
	s.use(nil)
	s.rung("203.0.113.7", None)
	s.rung("203.0.113.8", Refuse)
	s.rung("198.51.100.9", Drop)
}

// A /64 that strangers share is nobody's.
func TestSharedNetworks(t *testing.T) {
	s := newScene(t, nil)
	for _, a := range []string{"64:ff9b::203.0.113.7", "fe80::7%eth0"} {
		s.strike(a, Suspect, 50)
		s.rung(a, None)
		if w := s.Why(addr(a)); w.Never == "" || w.Score != 0 {
			t.Errorf("%s: %+v", a, w)
		}
	}
	s.strike("64:ff9c::1", Suspect, 5)
	s.rung("64:ff9c::1", Refuse)
}

// A clock that was wrong and is set back makes no ban longer than it would be if it began then, in the process that made it and in a later one.
func TestClockSetBack(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		s := newScene(t, nil)
		s.pass(20 * 365 * 24 * time.Hour)
		s.strike("203.0.113.6", Suspect, 5)
		s.pass(11 * time.Minute) // it is over
		s.strike("203.0.113.7", Suspect, 5)
		if _, err := s.Add(Order{Network: netip.MustParsePrefix("198.51.100.0/24")}); err != nil {
			t.Fatal(err)
		}
		s.chores()
		s.at = time.Minute
		if restarts {
			s.restart(nil)
		}
		s.pass(time.Minute)
		s.rung("203.0.113.7", Refuse)
		if w := s.Why(addr("203.0.113.6")); w.Count != 1 || w.Forgotten.Sub(beginning) > s.set.Remember+5*time.Minute {
			t.Errorf("what is over is forgotten %v", w.Forgotten)
		}
		s.pass(11 * time.Minute)
		s.rung("203.0.113.7", None)
		s.rung("198.51.100.7", Drop)
	}
}

// A list is handed out in stretches, whole or of what shares addresses with a network.
func TestList(t *testing.T) {
	s := newScene(t, nil)
	for _, n := range []string{"198.51.0.0/16", "198.51.100.0/24", "198.51.100.7/32", "198.51.101.0/24", "203.0.113.7/32", "2001:db8::/64"} {
		if _, err := s.Add(Order{Network: netip.MustParsePrefix(n)}); err != nil {
			t.Fatal(err)
		}
	}
	f := func(within string, offset, most int, total int, want string) {
		t.Helper()
		var n netip.Prefix
		if within != "" {
			n = netip.MustParsePrefix(within)
		}
		page, all := s.List(n, offset, most)
		var got []string
		for _, b := range page {
			got = append(got, b.Network.String())
		}
		if text := strings.Join(got, " "); text != want || all != total {
			t.Errorf("%s from %d, %d: %s of %d, want %s of %d", within, offset, most, text, all, want, total)
		}
	}
	f("", 0, 2, 6, "198.51.0.0/16 198.51.100.0/24")
	f("", 4, 9, 6, "203.0.113.7/32 2001:db8::/64")
	f("", 6, 9, 6, "")
	f("", 0, 0, 6, "")
	f("198.51.100.0/24", 0, 9, 3, "198.51.0.0/16 198.51.100.0/24 198.51.100.7/32")
	f("198.51.100.0/24", 1, 1, 3, "198.51.100.0/24")
	f("198.51.100.0/25", 0, 9, 3, "198.51.0.0/16 198.51.100.0/24 198.51.100.7/32")
	f("198.51.102.7/32", 0, 9, 1, "198.51.0.0/16")
	f("0.0.0.0/0", 4, 9, 5, "203.0.113.7/32")
	f("::/0", 0, 9, 1, "2001:db8::/64")
	f("192.0.2.0/24", 0, 9, 0, "")
}
