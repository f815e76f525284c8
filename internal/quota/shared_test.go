package quota

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"straum.dev/straum/internal/redis"
)

// peer is a real redis-server of this test's own.
type peer struct {
	t    testing.TB
	addr string
	cmd  *exec.Cmd
}

func startPeer(t testing.TB) *peer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, addr: l.Addr().String()}
	_ = l.Close()
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *peer) start() {
	p.t.Helper()
	_, port, _ := net.SplitHostPort(p.addr)
	p.cmd = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", p.t.TempDir(), "--save", "", "--daemonize", "no")
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	await(p.t, func() bool { return strings.Contains(p.do("PING"), "PONG") }, "redis-server does not start")
}

func (p *peer) do(args ...string) string {
	_, port, _ := net.SplitHostPort(p.addr)
	out, _ := exec.Command("redis-cli", append([]string{"-h", "127.0.0.1", "-p", port}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out))
}

func (p *peer) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

func (p *peer) pause() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	await(p.t, func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		_, after, _ := bytes.Cut(stat, []byte(") "))
		return bytes.HasPrefix(after, []byte("T"))
	}, "it does not stop")
}

func await(t testing.TB, is func() bool, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(text)
		}
	}
}

// node is a gateway's view of the store.
func (p *peer) node(t testing.TB) *Shared {
	t.Helper()
	c, err := redis.New(redis.Settings{Addresses: []string{p.addr}, Budget: 500 * time.Millisecond}, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	await(t, func() bool { return c.Health().OK }, "no connection")
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
	if got := p.do("HGET", key(number(1)), "day"); got != "3" {
		t.Errorf("%s counted", got)
	}
	if got := p.do("HGET", key(number(1)), "day_start"); got != fmt.Sprint(today.Start) {
		t.Errorf("the day begins at %s, want %d", got, today.Start)
	}
	if end, _ := strconv.ParseInt(p.do("EXPIRETIME", key(number(1))), 10, 64); end != today.End+3600 {
		t.Errorf("it goes at %d, want an hour after %d", end, today.End)
	}
	// A day that is over counts nothing; one that the clock had not come to yet, when it was set back over midnight, does.
	p.do("HSET", key(number(2)), "day", "100", "day_start", fmt.Sprint(today.Before))
	if o, err := n.Take(number(2), 1, &limits, spansAt(time.Now())); err != nil || o.Refused || o.Used[Day] != 1 {
		t.Errorf("%+v %v", o, err)
	}
	p.do("HSET", key(number(3)), "day", "100", "day_start", fmt.Sprint(today.End))
	if o, err := n.Take(number(3), 1, &limits, spansAt(time.Now())); err != nil || !o.Refused {
		t.Errorf("%+v %v", o, err)
	}
	p.do("HSET", key(number(4)), "day", "100", "day_start", fmt.Sprint(today.End+1))
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
	p.do("SCRIPT", "FLUSH")
	if o, err := get(); err != nil || o.Used[Month] != 2_000_000 {
		t.Errorf("%+v %v", o, err)
	}
	p.pause()
	if _, err := get(); !errors.Is(err, redis.ErrUnavailable) {
		t.Errorf("paused: %v", err)
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	await(t, func() bool { _, err := get(); return err == nil }, "it does not come back")
	p.do("FLUSHALL")
	if o, err := get(); err != nil || o.Used[Month] != 1_000_000 {
		t.Errorf("%+v %v", o, err)
	}
	p.do("SET", key(number(1)), "another")
	if _, err := get(); !errors.Is(err, redis.ErrRefused) {
		t.Errorf("another type: %v", err)
	}
	p.kill()
	if _, err := get(); !errors.Is(err, redis.ErrUnavailable) {
		t.Errorf("gone: %v", err)
	}
	p.start()
	await(t, func() bool { _, err := get(); return err == nil }, "it does not come back")
	p.do("HSET", key(number(1)), "month", "999999999999", "month_start", fmt.Sprint(spansAt(time.Now())[Month].Start))
	limits[Day] = 5_000_000
	if o, err := get(); err != nil || !o.Refused || o.By != Month || o.Used != [periods]int64{0, 999_999_999_999} {
		t.Errorf("%+v %v", o, err)
	}
	if got := p.do("HGET", key(number(1)), "month"); got != "999999999999" {
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
