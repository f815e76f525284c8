package redis

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/redistest"
)

func TestCommands(t *testing.T) {
	p := redistest.Start(t)
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}})
	awaitUp(t, c)
	if _, ok, err := c.Get("a"); ok || err != nil {
		t.Errorf("absent: %v %v", ok, err)
	}
	if err := c.Set("a", []byte("x\x00\xff"), time.Hour); err != nil {
		t.Error(err)
	}
	if v, ok, err := c.Get("a"); string(v) != "x\x00\xff" || !ok || err != nil {
		t.Errorf("%q %v %v", v, ok, err)
	}
	if ttl := p.Do("PTTL", "straum:a"); len(ttl) != 7 { // 3,5xx,xxx ms, under the prefix
		t.Errorf("ttl %s", ttl)
	}
	if err := c.Delete("a"); err != nil {
		t.Error(err)
	}
	if _, ok, err := c.Get("a"); ok || err != nil {
		t.Errorf("deleted: %v %v", ok, err)
	}
	p.Do("LPUSH", "straum:list", "1")
	if _, _, err := c.Get("list"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("a list: %v", err)
	}
	if f := c.Figures(); f.Commands != 6 || f.Refused != 1 || f.Errors+f.Timeouts+f.Skipped+f.Full != 0 || f.InFlight != 0 {
		t.Errorf("%+v", f)
	}
}

// The store may lose scripts and data at any time: both are flushed under way.
func TestScript(t *testing.T) {
	p := redistest.Start(t)
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}})
	awaitUp(t, c)
	count := NewScript(`local n = redis.call("INCRBY", KEYS[1], ARGV[1]) return {n, redis.call("INCRBY", KEYS[2], 1)}`)
	run := func(want string) {
		t.Helper()
		r, err := c.Run(count, []string{"n:{x}:a", "n:{x}:b"}, []string{"5"})
		list, err2 := r.Ints()
		if got := fmt.Sprint(list, err, err2); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	run("[5 1] <nil> <nil>")
	run("[10 2] <nil> <nil>")
	p.Do("SCRIPT", "FLUSH")
	run("[15 3] <nil> <nil>")
	p.Do("FLUSHALL")
	run("[5 1] <nil> <nil>")
	if f := c.Figures(); f.Reloads != 2 {
		t.Errorf("sent again %d times, want 2", f.Reloads)
	}
	if got := p.Do("GET", "straum:n:{x}:a"); got != "5" {
		t.Errorf("in the store: %s", got)
	}
	if _, err := c.Run(NewScript(`return redis.call("INCR", KEYS[1])`), []string{"text"}, nil); err != nil {
		t.Error(err)
	}
	p.Do("SET", "straum:text", "abc")
	_, err := c.Run(NewScript(`return redis.call("INCR", KEYS[1])`), []string{"text"}, nil)
	if !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "abc") {
		t.Errorf("%v", err)
	}
	one, err := c.Run(NewScript(`return ARGV[1]`), []string{"k"}, []string{"v"})
	if text, ok := one.Text(); text != "v" || !ok || err != nil {
		t.Errorf("%q %v %v", text, ok, err)
	}
	if _, err := one.Int(); err == nil {
		t.Error("a text is taken for a number")
	}
	none, err := c.Run(NewScript(`return false`), []string{"k"}, nil)
	if _, ok := none.Text(); ok || err != nil {
		t.Errorf("nothing: %v %v", ok, err)
	}
	if got := c.Health(); !got.OK {
		t.Errorf("refusals took it down: %s", got.Why)
	}
}

// Nobody is there at first; then somebody is, goes, and comes back.
func TestComesAndGoes(t *testing.T) {
	p := redistest.Start(t)
	p.Kill()
	c, j := dial(t, Settings{Addresses: []string{p.Addr}})
	if err := c.Set("a", nil, time.Second); err != ErrUnavailable {
		t.Errorf("before it is there: %v", err)
	}
	awaitDown(t, c, "refused")
	p.Start()
	awaitUp(t, c)
	if err := c.Set("a", []byte("1"), time.Minute); err != nil {
		t.Error(err)
	}
	p.Kill()
	awaitDown(t, c, "")
	if err := c.Set("a", []byte("1"), time.Minute); err != ErrUnavailable {
		t.Errorf("stopped: %v", err)
	}
	p.Start()
	awaitUp(t, c)
	if _, ok, err := c.Get("a"); ok || err != nil {
		t.Errorf("a new one: %v %v", ok, err)
	}
	log := j.String()
	if up, down := strings.Count(log, "level=INFO"), strings.Count(log, "level=WARN"); up != 2 || down < 2 || down > 8 {
		t.Errorf("%d and %d lines for 2 ups and 2 downs:\n%s", up, down, log)
	}
}

// How long it took is logged as people write it.
func TestLogIsPlain(t *testing.T) {
	var log strings.Builder
	now := time.Unix(1_800_000_000, 0)
	c, err := Prepare(Settings{Addresses: []string{"127.0.0.1:1"}}, slog.New(slog.NewJSONHandler(&log, nil)), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	now = now.Add(5900 * time.Millisecond)
	c.up()
	if !strings.Contains(log.String(), `"after":"5.9s"`) {
		t.Error(log.String())
	}
}

// A store that holds its connections and answers nothing: every call is back while it is still paused, after a few nobody asks it, the
// goroutines are bounded, and it is found again when it goes on.
func TestPaused(t *testing.T) {
	p := redistest.Start(t)
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}, Budget: 20 * time.Millisecond})
	awaitUp(t, c)
	before := runtime.NumGoroutine()
	p.Pause()
	const callers = 2000
	var failed atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if _, _, err := c.Get("a"); errors.Is(err, ErrUnavailable) {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	if failed.Load() != callers {
		t.Errorf("%d of %d got ErrUnavailable", failed.Load(), callers)
	}
	f := c.Figures()
	// The first few that come back shut the gate; until then others may take their places.
	if f.Commands > 2*maxInFlight || f.Timeouts+f.Errors != f.Commands || f.Commands+f.Skipped+f.Full != callers {
		t.Errorf("%+v", f)
	}
	// rueidis keeps one for each that it has not answered, until it drops the connection.
	if now := runtime.NumGoroutine(); now > before+2*maxInFlight {
		t.Errorf("%d goroutines, %d before", now, before)
	}
	awaitDown(t, c, "")
	// One after the other costs nobody the budget now: the store is not asked.
	sent := c.Figures().Commands
	for range 100 {
		if _, _, err := c.Get("a"); err != ErrUnavailable {
			t.Fatal(err)
		}
	}
	if now := c.Figures().Commands; now != sent {
		t.Errorf("%d commands sent to a store that is down", now-sent)
	}
	p.Resume()
	awaitUp(t, c)
	if err := c.Set("a", []byte("1"), time.Minute); err != nil {
		t.Error(err)
	}
	redistest.Await(t, func() bool { return c.Figures().InFlight == 0 }, "commands stay under way")
}

// A store that stops while one call after the other is made: the callers of the first few pay the budget, no others.
func TestTrips(t *testing.T) {
	p := redistest.Start(t)
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}, Budget: 10 * time.Millisecond})
	awaitUp(t, c)
	p.Pause()
	for range 50 {
		if err := c.Set("a", nil, time.Minute); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if f := c.Figures(); f.Commands > 5 || f.Opened != 1 {
		t.Errorf("%+v", f)
	}
	p.Resume()
	awaitUp(t, c)
}

func TestPassword(t *testing.T) {
	const right, wrong = "correct-horse-battery", "wrong-horse-canary"
	p := redistest.Start(t, "--requirepass", right)
	p.Login = []string{"-a", right}
	f := func(password, want string) {
		t.Helper()
		c, j := dial(t, Settings{Addresses: []string{p.Addr}, Password: password})
		awaitDown(t, c, want)
		if _, _, err := c.Get("a"); err != ErrUnavailable {
			t.Error(err)
		}
		if log := j.String(); !strings.Contains(log, want) || strings.Contains(log, "horse") || strings.Contains(c.Health().Why, "horse") {
			t.Errorf("log: %s", log)
		}
	}
	f(wrong, "refuses the username or the password")
	f("", "asks for a password")
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}, Password: right, DB: 3})
	awaitUp(t, c)
	if err := c.Set("a", []byte("1"), time.Minute); err != nil {
		t.Error(err)
	}
	if got := p.Do("-n", "3", "GET", "straum:a"); got != "1" {
		t.Errorf("in database 3: %q", got)
	}
	// The password changes under way and the connection is cut: it is told, and mended without a restart.
	p.Do("CONFIG", "SET", "requirepass", "other")
	p.Login = []string{"-a", "other"}
	p.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	awaitDown(t, c, "refuses the username or the password")
	p.Do("CONFIG", "SET", "requirepass", right)
	awaitUp(t, c)
}

func TestACL(t *testing.T) {
	p := redistest.Start(t)
	p.Do("ACL", "SETUSER", "gate", "on", ">pw", "~straum:*", "+@connection", "+get")
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}, Username: "gate", Password: "pw"})
	awaitUp(t, c)
	if _, _, err := c.Get("a"); err != nil {
		t.Error(err)
	}
	if err := c.Set("a", nil, time.Minute); !errors.Is(err, ErrRefused) || !strings.HasSuffix(err.Error(), ": NOPERM") {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	crt, key := filepath.Join(dir, "a.crt"), filepath.Join(dir, "a.key")
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", crt,
		"-days", "1", "-subj", "/CN=store", "-addext", "subjectAltName=DNS:store.example").CombinedOutput(); err != nil {
		t.Skipf("openssl: %v %s", err, out)
	}
	secure := redistest.FreeAddress(t)
	_, port, _ := net.SplitHostPort(secure)
	redistest.Start(t, "--tls-port", port, "--tls-cert-file", crt, "--tls-key-file", key, "--tls-auth-clients", "no")
	c, _ := dial(t, Settings{Addresses: []string{secure}, TLS: TLS{Enabled: true, CA: crt, ServerName: "store.example"}})
	awaitUp(t, c)
	if err := c.Set("a", []byte("1"), time.Minute); err != nil {
		t.Error(err)
	}
	wrong, _ := dial(t, Settings{Addresses: []string{secure}, TLS: TLS{Enabled: true, CA: crt, ServerName: "other.example"}})
	awaitDown(t, wrong, "not other.example")
	unknown, _ := dial(t, Settings{Addresses: []string{secure}, TLS: TLS{Enabled: true, ServerName: "store.example"}})
	awaitDown(t, unknown, "certificate")
}

// A client that is only made asks nobody, and can be closed, also twice and before it was ever started.
func TestNotStarted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Prepare(Settings{Addresses: []string{l.Addr().String()}}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Get("a"); err != ErrUnavailable {
		t.Error(err)
	}
	c.Close()
	c.Close()
	c.Start()
	_ = l.(*net.TCPListener).SetDeadline(time.Now())
	if conn, err := l.Accept(); err == nil {
		t.Error("it connected")
		conn.Close()
	}
	if err := c.Set("a", nil, time.Second); err != ErrUnavailable {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	f := func(s Settings, want string) {
		t.Helper()
		c, err := New(s, slog.New(slog.DiscardHandler), time.Now)
		if err == nil {
			c.Close()
		}
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%+v: %s, want %s", s, got, want)
		}
	}
	one := []string{"127.0.0.1:1"}
	f(Settings{Addresses: one}, "<nil>")
	f(Settings{}, "no address")
	f(Settings{Addresses: []string{"a"}}, `"a" is not an address`)
	f(Settings{Addresses: []string{":6379"}}, "is not an address")
	f(Settings{Addresses: append(one, one...)}, "2 addresses for a single server")
	f(Settings{Addresses: one, Mode: "ring"}, `the mode is "ring"`)
	f(Settings{Addresses: one, Mode: Sentinel}, "need the name of the master")
	f(Settings{Addresses: one, Master: "m"}, "master name is for")
	f(Settings{Addresses: one, SentinelPassword: "x"}, "for the mode sentinel")
	f(Settings{Addresses: one, Mode: Cluster, DB: 1}, "database 0 only")
	f(Settings{Addresses: one, DB: -1}, "0 or more")
	f(Settings{Addresses: one, Budget: time.Microsecond}, "1ms to 1s")
	f(Settings{Addresses: one, Budget: 2 * time.Second}, "1ms to 1s")
	f(Settings{Addresses: one, Connect: time.Hour}, "10ms to 1m")
	f(Settings{Addresses: one, Prefix: "{a}"}, "brace")
	f(Settings{Addresses: one, TLS: TLS{Enabled: true, CA: "/nowhere.pem"}}, "/nowhere.pem")
	f(Settings{Addresses: one, TLS: TLS{Enabled: true, Key: "a"}}, "together")
}

func TestGate(t *testing.T) {
	f := func(answers string, shut bool) {
		t.Helper()
		var g gate
		for _, a := range answers {
			g.note(a == '+')
		}
		if g.shut.Load() != shut {
			t.Errorf("%s: shut is %v, want %v", answers, !shut, shut)
		}
	}
	f("", false)
	f("----", false)
	f("-----", true)
	f("----+-", false)
	f("----++++-", false)
	f("-++++-++++-++++-++++-++++-++++-++++-++++", false) // one in five
	f(strings.Repeat("-+", 7), true)                     // every other
	f(strings.Repeat("+", 1000)+"-----", true)
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 1000: 10 * time.Second} {
		if got := rest(n); got != want {
			t.Errorf("after %d failures %v, want %v", n, got, want)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	p := redistest.Start(b)
	c, _ := dial(b, Settings{Addresses: []string{p.Addr}})
	awaitUp(b, c)
	_ = c.Set("a", []byte(strings.Repeat("x", 200)), time.Hour)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok, err := c.Get("a"); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
}

// A closed client leaves nothing behind, whatever the store was doing.
func TestClose(t *testing.T) {
	p := redistest.Start(t)
	before := goleak.IgnoreCurrent()
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}})
	awaitUp(t, c)
	c.Close()
	goleak.VerifyNone(t, before)
	c, _ = dial(t, Settings{Addresses: []string{p.Addr}})
	awaitUp(t, c)
	p.Pause()
	for range 10 {
		_, _, _ = c.Get("a")
	}
	c.Close()
	goleak.VerifyNone(t, before, goleak.IgnoreTopFunction("time.Sleep"))
	if _, _, err := c.Get("a"); err != ErrUnavailable {
		t.Error(err)
	}
	p.Resume()
}

// The connection is lost, and what takes the next one never says a word: the keeper waits for it, and no call waits for the keeper.
func TestBlackHole(t *testing.T) {
	p := redistest.Start(t)
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}, Connect: time.Minute, Budget: 20 * time.Millisecond})
	awaitUp(t, c)
	p.Kill()
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mute, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close() // lets the keeper go
	if !c.Health().OK {
		t.Fatal("it was missed before anybody asked; the test shows nothing")
	}
	for range 5 {
		if _, _, err := c.Get("a"); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	// The keeper may have had a look under way when the connection was lost; then it says so before the fifth call does.
	if f := c.Figures(); f.Timeouts+f.Errors+f.Skipped != 5 || f.Opened != 1 || c.Health().OK {
		t.Errorf("%+v", f)
	}
}

// A store that answers too late for everybody is not asked; when it gets faster it is found again.
func TestSlow(t *testing.T) {
	p := redistest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var slow atomic.Bool
	slow.Store(true)
	go func() { // a long way to the store: each run of an answer is late
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", p.Addr)
			if err != nil {
				near.Close()
				continue
			}
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			go func() {
				defer near.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := far.Read(buf)
					if err != nil {
						return
					}
					if slow.Load() {
						time.Sleep(200 * time.Millisecond) // what is tested is lateness
					}
					if _, err := near.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	c, _ := dial(t, Settings{Addresses: []string{l.Addr().String()}, Budget: 50 * time.Millisecond, Connect: 10 * time.Second})
	awaitDown(t, c, "it answers, but not within the budget of 50ms")
	if _, _, err := c.Get("a"); err != ErrUnavailable {
		t.Error(err)
	}
	slow.Store(false)
	awaitUp(t, c)
	if err := c.Set("a", nil, time.Minute); err != nil {
		t.Error(err)
	}
}
