package upstream

import (
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// connect makes a connection whose far end keeps quiet until the test ends, and a way to close that end.
func connect(t interface {
	Fatal(...any)
	Cleanup(func())
}) (*socket.Conn, func()) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[0]), "near")
	defer file.Close()
	near, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	far := sync.OnceFunc(func() { syscall.Close(fds[1]) })
	t.Cleanup(func() { near.Close(); far() })
	c, err := socket.New(near)
	if err != nil {
		t.Fatal(err)
	}
	return c, far
}

// patient never gives up.
func patient(int64) *fault.Fault { return nil }

// Many exchanges over few connections: the limit holds at every moment, no connection is with two at once, and nobody waits for what
// is free. One who did would meet the end of its time.
func TestPoolUnderContention(t *testing.T) {
	const workers, limit, rounds = 16, 3, 3000
	p := newPool(2, new(audit))
	p.set(Pool{Connections: limit, Idle: 2})
	var used sync.Map // which connections are in use
	var inUse, served atomic.Int64
	var spare sync.Mutex
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for range rounds / workers {
				at := worker % 2
				c := p.take(at, clock.Now())
				if c == nil && !p.admit() {
					var f *fault.Fault
					if c, f = p.wait(workers, clock.Now()+int64(20*time.Second), patient); f != nil {
						t.Errorf("a lost wakeup: %v, %d open, %d idle", f, p.open.Load(), p.idle())
						return
					}
				}
				if n := p.open.Load(); n > limit || n < 1 {
					t.Errorf("%d connections are open, at most %d may be", n, limit)
				}
				if c == nil {
					if rand.IntN(4) == 0 { // it cannot be opened
						p.lose(Broken)
						continue
					}
					spare.Lock()
					c, _ = connect(t)
					spare.Unlock()
				}
				if _, twice := used.LoadOrStore(c, true); twice {
					t.Error("a connection is with two at once")
				}
				if n := inUse.Add(1); n > limit {
					t.Errorf("%d are in use", n)
				}
				served.Add(1)
				inUse.Add(-1)
				used.Delete(c)
				if rand.IntN(8) == 0 {
					p.discard(c, NotRead)
				} else {
					p.put(at, c, clock.Now())
				}
			}
		})
	}
	stop := make(chan struct{})
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for {
			select {
			case <-stop:
				return
			default:
				p.sweep(clock.Now(), time.Microsecond)
				p.idle()
			}
		}
	}()
	group.Wait()
	close(stop)
	<-swept
	if p.open.Load() != int64(p.idle()) || p.waiting.Load() != 0 || len(p.waiters) != 0 || p.open.Load() < 0 {
		t.Errorf("%d open, %d idle, %d waiting", p.open.Load(), p.idle(), p.waiting.Load())
	}
	if served.Load() == 0 {
		t.Error("nobody was served")
	}
}

// The two ways in which a waiter could miss what comes free between its last look and its place in the queue.
func TestNoLostWakeup(t *testing.T) {
	c, _ := connect(t)
	f := func(free func(p *pool)) {
		t.Helper()
		for round := range 20_000 {
			p := newPool(1, new(audit))
			p.set(Pool{Connections: 1, Idle: 1})
			if !p.admit() {
				t.Fatal("no room")
			}
			var started atomic.Bool
			freed := make(chan struct{})
			go func() {
				for !started.Load() {
				}
				for range round % 50 { // so that the two meet at ever other places
					started.Load()
				}
				free(p)
				close(freed)
			}()
			started.Store(true)
			if p.take(0, clock.Now()) == nil && !p.admit() {
				if _, f := p.wait(1, clock.Now()+int64(10*time.Second), patient); f != nil {
					t.Fatal("a lost wakeup")
				}
			}
			<-freed
			if n := p.open.Load(); n != 1 {
				t.Fatalf("%d open", n)
			}
		}
	}
	f(func(p *pool) { p.put(0, c, clock.Now()) })
	f(func(p *pool) { p.lose(Broken) })
}

// One that begins to wait while a connection is being laid aside gets it all the same.
func TestWaiterMeetsPut(t *testing.T) {
	p := newPool(1, new(audit))
	p.set(Pool{Connections: 1, Idle: 1})
	p.admit()
	c, _ := connect(t)
	p.shards[0].mu.Lock()
	go p.put(0, c, clock.Now())       // has seen that nobody waits, and comes to a halt
	time.Sleep(20 * time.Millisecond) // should this be too short, the test proves less and does not fail
	w := make(chan *socket.Conn, 1)
	p.mu.Lock()
	p.waiters = append(p.waiters, w)
	p.waiting.Add(1)
	p.mu.Unlock()
	p.shards[0].mu.Unlock()
	select {
	case got := <-w:
		if got != c {
			t.Errorf("got %v", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("a lost wakeup")
	}
}

// One who leaves the queue just when it is served goes on with what it got.
func TestLeave(t *testing.T) {
	p := newPool(1, new(audit))
	p.set(Pool{Connections: 1, Idle: 1})
	p.admit()
	c, _ := connect(t)
	for _, served := range []bool{true, false} {
		tick := func(int64) *fault.Fault {
			if served {
				p.put(0, c, clock.Now())
			}
			return fault.New(fault.ClientGone, nil)
		}
		got, f := p.wait(1, clock.Now()+int64(time.Minute), tick)
		if served != (got == c && f == nil) || served == (f != nil) {
			t.Errorf("served: %v, got %v and %v", served, got, f)
		}
		if p.waiting.Load() != 0 || len(p.waiters) != 0 {
			t.Error("still in the queue")
		}
	}
	if _, f := p.wait(0, 0, patient); f == nil || f.Kind != fault.Saturated || f.RetryAfter == 0 {
		t.Errorf("no queue: %v", f)
	}
	if _, f := p.wait(1, clock.Now(), patient); f == nil || f.Kind != fault.QueueTimeout {
		t.Errorf("no time: %v", f)
	}
}

// Whoever waits is served in turn, and a limit that is raised serves them at once.
func TestQueueIsInOrder(t *testing.T) {
	p := newPool(1, new(audit))
	p.set(Pool{Connections: 1})
	p.admit()
	order := make(chan int, 3)
	for i := range 3 {
		go func() {
			if _, f := p.wait(3, clock.Now()+int64(time.Minute), patient); f != nil {
				t.Error(f)
			}
			order <- i
		}()
		for p.waiting.Load() != int64(i+1) {
			time.Sleep(time.Millisecond)
		}
	}
	for i := range 2 {
		p.lose(Broken)
		if got := <-order; got != i {
			t.Errorf("%d was served before %d", got, i)
		}
	}
	p.set(Pool{Connections: 2})
	if got := <-order; got != 2 || p.open.Load() != 2 {
		t.Errorf("%d, %d open", got, p.open.Load())
	}
}

// What the pool counts is what there is, whatever happens in whatever order.
func TestPoolCounts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var clean []func()
		defer func() {
			for _, f := range clean {
				f()
			}
		}()
		keeper := cleaner{t, &clean}
		p := newPool(rapid.IntRange(1, 3).Draw(rt, "shards"), new(audit))
		limit := rapid.IntRange(1, 4).Draw(rt, "limit")
		p.set(Pool{Connections: limit, Idle: 3})
		var held []*socket.Conn
		last := map[int]*socket.Conn{} // what was put last into a shard
		closed := false
		now := int64(time.Hour)
		rt.Repeat(map[string]func(*rapid.T){
			"take": func(rt *rapid.T) {
				at := rapid.IntRange(0, 5).Draw(rt, "at") % len(p.shards)
				want := last[at]
				c := p.take(at, now)
				if want != nil && c != want {
					rt.Fatal("not the last one put")
				}
				clear(last)
				if c != nil {
					held = append(held, c)
				}
			},
			"open": func(rt *rapid.T) {
				room := len(held)+p.idle() < limit
				if p.admit() != room {
					rt.Fatal("admitted beyond the limit, or not within it")
				}
				if room {
					c, _ := connect(keeper)
					held = append(held, c)
				}
			},
			"put": func(rt *rapid.T) {
				if len(held) == 0 {
					rt.Skip()
				}
				at := rapid.IntRange(0, 5).Draw(rt, "at") % len(p.shards)
				before := p.idle()
				p.put(at, held[0], now)
				if delete(last, at); p.idle() > before {
					last[at] = held[0]
				}
				held = held[1:]
			},
			"lose": func(rt *rapid.T) {
				if len(held) == 0 {
					rt.Skip()
				}
				p.discard(held[0], Closes)
				held = held[1:]
			},
			"limit": func(rt *rapid.T) {
				limit = rapid.IntRange(1, 4).Draw(rt, "limit")
				p.set(Pool{Connections: limit, Idle: 3})
			},
			"sweep": func(rt *rapid.T) {
				p.sweep(now, time.Nanosecond)
				clear(last)
			},
			"time": func(rt *rapid.T) { now += 2 },
			"close": func(rt *rapid.T) {
				if rapid.IntRange(0, 19).Draw(rt, "seldom") > 0 {
					rt.Skip()
				}
				p.close(IdleTimeout)
				closed = true
				clear(last)
			},
			"": func(rt *rapid.T) {
				if int(p.open.Load()) != len(held)+p.idle() {
					rt.Fatalf("%d open, but %d held and %d idle", p.open.Load(), len(held), p.idle())
				}
				// More than the pool is to keep may lie idle for a moment, so only closing has an end to it here.
				if closed && p.idle() > 0 {
					rt.Fatalf("%d idle, though closed", p.idle())
				}
			},
		})
	})
}

// cleaner runs clean-ups at the end of one check, not of all.
type cleaner struct {
	*testing.T
	all *[]func()
}

func (c cleaner) Cleanup(f func()) { *c.all = append(*c.all, f) }

// Idle connections that the endpoint closed, or that were not needed for long, go with the sweep; a young one is not looked at.
func TestSweep(t *testing.T) {
	p := newPool(1, new(audit))
	p.set(Pool{Connections: 8, Idle: 8})
	now := clock.Now()
	var far []func()
	for i := range 4 {
		c, hangUp := connect(t)
		p.admit()
		p.put(0, c, now-int64(i)*int64(time.Second))
		far = append(far, hangUp)
	}
	far[0]()
	far[1]()
	p.sweep(now, 2500*time.Millisecond)
	if p.idle() != 2 || p.open.Load() != 2 || p.reason() != IdleClosed || p.reason() != IdleTimeout || p.reason() != Busy {
		t.Errorf("%d idle, %d open", p.idle(), p.open.Load())
	}
	p.sweep(now+int64(time.Second), 0)
	if p.idle() != 1 {
		t.Errorf("%d idle without a timeout", p.idle())
	}
	// take looks at what lay for a while.
	far[2]()
	if c := p.take(0, now+int64(time.Second)); c != nil || p.open.Load() != 0 || p.reason() != IdleClosed {
		t.Error("a closed connection was taken")
	}
}

// Every reason has a word, which is the codec's where that gives one.
func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := Cold; r < numReasons; r++ {
		if word := r.String(); word == "" || seen[word] || reasonOf(word) != r {
			t.Errorf("reason %d is %q", r, word)
		} else {
			seen[word] = true
		}
	}
	if reasonOf("never heard of") != Broken {
		t.Error("an unknown reason")
	}
	p := newPool(1, new(audit))
	p.set(Pool{})
	p.admit()
	if r := p.reason(); r != Cold {
		t.Errorf("the first is %v", r)
	}
	p.admit()
	if r := p.reason(); r != Busy {
		t.Errorf("the second is %v", r)
	}
	p.lose(Surplus)
	p.lose(Closes)
	for _, want := range []Reason{Closes, Surplus, Cold} {
		if r := p.reason(); r != want {
			t.Errorf("%v, want %v", r, want)
		}
	}
}
