package flight

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

const roomy = 64 << 20

// A body that is there is read and stored before Land returns, and nothing is left in the table.
func TestWholeAtOnce(t *testing.T) {
	for _, size := range []int{1, 1 << 10, 4096, 4097, 60 << 10, 64<<10 + 1, 300 << 10} {
		for _, length := range []int64{int64(size), exchange.Unknown} {
			for _, runs := range []int{1, 3} {
				if size < runs {
					continue
				}
				table, want := New(roomy, nil), content(size)
				f := lead(t, table)
				var s shelf
				source := there(want, runs)
				body := f.Land(nil, source, length, s.keep(1<<20))
				s.has(t, want)
				table.idle(t)
				if !body.Buffered() {
					t.Error("a body in memory says that Next would wait")
				}
				read(t, body, want).whole(t, "the leader", want)
				f.Finish()
				table.idle(t)
			}
		}
	}
}

// An answer without a body is whole at once, for the leader and for others.
func TestNoBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(roomy, nil)
		f := lead(t, table)
		head := &object.Object{Status: 204}
		var s shelf
		joined, _ := table.Join(key)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got := joined.Wait(1<<62, nil); got != Landed || joined.Head() != head {
				t.Errorf("outcome %d and head %p, want landed and %p", got, joined.Head(), head)
			}
			body, length := joined.Follow(nil)
			if length != 0 {
				t.Errorf("length %d, want 0", length)
			}
			read(t, body, nil).whole(t, "the follower", nil)
			joined.Leave(body)
		}()
		synctest.Wait()
		if body := f.Land(head, nil, 1000, s.keep(10)); body != nil {
			t.Errorf("the leader got %v, want no body", body)
		}
		f.Finish()
		<-done
		s.has(t, nil)
		table.idle(t)
	})
}

// Followers get each run as soon as it is there, and whoever comes before the end can follow from the beginning.
func TestStreamed(t *testing.T) {
	for _, length := range []int64{100 << 10, exchange.Unknown} {
		synctest.Test(t, func(t *testing.T) {
			table, want := New(roomy, nil), content(100<<10)
			f := lead(t, table)
			source := newTap(want[:100])
			var s shelf
			body := f.Land(nil, source, length, s.keep(1<<20))
			var bodies []exchange.Body
			var flights []*Flight
			var gots [4]got
			from := 100
			for i := range gots {
				if i == 0 {
					bodies, flights = append(bodies, body), append(flights, f)
				} else {
					f, body := board(t, table)
					bodies, flights = append(bodies, body), append(flights, f)
				}
				for j, body := range bodies {
					for len(gots[j].body) < from {
						if !body.Buffered() {
							t.Fatalf("reader %d of %d has %d bytes and not the rest of %d", j, i, len(gots[j].body), from)
						}
						gots[j].run(t, body, want, nil)
					}
					if j > 0 && body.Buffered() {
						t.Error("a follower says that it need not wait for what is not there")
					}
				}
				to := from + 20<<10
				source.give(want[from:to])
				synctest.Wait()
				from = to
			}
			s.empty(t)
			source.give(want[from:])
			source.stop(io.EOF)
			for j, body := range bodies {
				for gots[j].run(t, body, want, nil) {
				}
				gots[j].whole(t, "one of four", want)
				if j > 0 {
					flights[j].Leave(body)
				}
			}
			f.Finish()
			s.has(t, want)
			table.idle(t)
		})
	}
}

// A leader whose client does not read slows nobody.
func TestSlowLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(500<<10)
		f := lead(t, table)
		source := newTap(want[:10])
		var s shelf
		body := f.Land(nil, source, exchange.Unknown, s.keep(1<<20))
		joined, follower := board(t, table)
		var g got
		g.run(t, body, want, nil) // and no more
		source.give(want[10:])
		source.stop(io.EOF)
		read(t, follower, want).whole(t, "the follower", want)
		joined.Leave(follower)
		s.has(t, want)
		if table.Len() != 0 {
			t.Error("what is stored can still be joined")
		}
		for g.run(t, body, want, nil) {
		}
		g.whole(t, "the leader", want)
		f.Finish()
		table.idle(t)
	})
}

// Nothing of the source is touched between Land and the leader's first Next if it would wait.
func TestSourceRestsUntilNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(1000)
		f := lead(t, table)
		source := newTap(want[:500])
		var s shelf
		body := f.Land(nil, source, 1000, s.keep(1<<20))
		joined, follower := board(t, table)
		var g got
		g.run(t, follower, want, nil)
		if follower.Buffered() {
			t.Error("a follower need not wait")
		}
		source.give(want[500:])
		source.stop(io.EOF)
		synctest.Wait()
		if follower.Buffered() {
			t.Error("a follower need not wait for what the leader has not asked for")
		}
		if source.calls.Load() != 1 {
			t.Errorf("the source was read %d times, want once, by Land", source.calls.Load())
		}
		read(t, body, want).whole(t, "the leader", want)
		for g.run(t, follower, want, nil) {
		}
		g.whole(t, "the follower", want)
		joined.Leave(follower)
		f.Finish()
	})
}

// Before its first Next a leader need not wait for what its source has.
func TestBufferedBeforeNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := lead(t, New(roomy, nil))
		source := newTap()
		body := f.Land(nil, source, exchange.Unknown, Keep{Max: 100, Stored: func([]byte) {}})
		if body.Buffered() {
			t.Error("it need not wait for nothing")
		}
		source.give(content(10))
		if !body.Buffered() {
			t.Error("it has to wait for what is there")
		}
		source.stop(io.EOF)
		read(t, body, content(10)).whole(t, "the leader", content(10))
		f.Finish()
	})
}

// What is there at once is read at once, up to a point.
func TestInlineIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(5<<20)
		f := lead(t, table)
		source := there(want, 50)
		var s shelf
		body := f.Land(nil, source, 5<<20, s.keep(10<<20))
		if n := source.calls.Load(); n != 10 {
			t.Errorf("Land read %d runs of 50, want 10, which are 1 MiB", n)
		}
		read(t, body, want).whole(t, "the leader", want)
		f.Finish()
		s.has(t, want)
		table.idle(t)
	})
}

// When the leader's client leaves, those who follow get the rest, and what is worth it is stored.
func TestLeaderGone(t *testing.T) {
	f := func(length int64, max int64, reads, followed, stored bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			table, want := New(roomy, nil), content(200<<10)
			f := lead(t, table)
			source := newTap(want[:1000])
			var s shelf
			body := f.Land(nil, source, length, s.keep(max))
			var joined *Flight
			var follower exchange.Body
			if followed {
				joined, follower = board(t, table)
			}
			if reads {
				var g got
				g.run(t, body, want, nil)
			}
			synctest.Wait()
			finished := make(chan struct{})
			go func() {
				f.Finish()
				source.over.Store(true)
				close(finished)
			}()
			synctest.Wait()
			if reads && f.Awaited() != (followed || stored) {
				t.Errorf("awaited is %v, want %v", f.Awaited(), followed || stored)
			}
			var gives sync.WaitGroup
			gives.Go(func() {
				for i := 1000; i < len(want); i += 1000 {
					time.Sleep(time.Millisecond)
					source.give(want[i:min(i+1000, len(want))])
				}
				source.stop(io.EOF)
			})
			defer gives.Wait()
			if followed {
				read(t, follower, want).whole(t, "the follower", want)
				joined.Leave(follower)
			}
			<-finished
			if stored {
				s.has(t, want)
			} else {
				s.empty(t)
			}
			if calls := source.calls.Load(); !followed && !stored && calls > 2 {
				t.Errorf("the source was read %d times for nobody", calls)
			}
			if f.Awaited() {
				t.Error("it is awaited after Finish")
			}
			f.Finish()
			table.idle(t)
		})
	}
	for _, reads := range []bool{true, false} {
		f(200<<10, 1<<20, reads, false, true)
		f(200<<10, 1<<20, reads, true, true)
		f(exchange.Unknown, 1<<20, reads, false, false)
		f(exchange.Unknown, 1<<20, reads, true, true)
		f(exchange.Unknown, 100<<10, reads, true, false)
		f(exchange.Unknown, 10, reads, true, false)
	}
}

// A follower that leaves is not waited for, and one whose client has left is told so while it waits.
func TestFollowerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(400<<10)
		f := lead(t, table)
		source := newTap(want[:10])
		var s shelf
		body := f.Land(nil, source, exchange.Unknown, s.keep(1000))
		left, leaves := board(t, table)
		joined, _ := table.Join(key)
		joined.Wait(1<<62, nil)
		asked := 0
		goes, length := joined.Follow(func() bool { asked++; return asked == 3 })
		if length != exchange.Unknown {
			t.Errorf("length %d of what is not over", length)
		}
		var g got
		g.run(t, goes, want, nil)
		if !f.Awaited() {
			t.Error("not awaited with two followers")
		}
		var lead got
		lead.run(t, body, want, nil)
		began := time.Now()
		g.run(t, goes, want, nil)
		g.failed(t, "who is gone", fault.ClientGone)
		if d := time.Since(began); asked != 3 || d != 3*tick {
			t.Errorf("asked %d times in %v", asked, d)
		}
		joined.Leave(goes)
		joined.Leave(goes) // is nothing
		source.give(want[10:])
		source.stop(io.EOF)
		left.Leave(leaves)
		for lead.run(t, body, want, nil) {
		}
		lead.whole(t, "the leader", want)
		if f.Awaited() {
			t.Error("awaited by nobody")
		}
		f.Finish()
		s.empty(t)
		table.idle(t)
	})
}

// A body that breaks off breaks off for all, and is not stored.
func TestSourceBreaks(t *testing.T) {
	f := func(with error, leaderGets, followerGets *fault.Kind) {
		t.Helper()
		for _, max := range []int64{1 << 20, 1000, 10} {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				table, want := New(roomy, slog.New(slog.NewTextHandler(&log, nil))), content(5000)
				f := lead(t, table)
				source := newTap(want[:10])
				var s shelf
				body := f.Land(nil, source, exchange.Unknown, s.keep(max))
				joined, follower := board(t, table)
				source.give(want[10:2000])
				var g got
				g.run(t, body, want, nil)
				synctest.Wait()
				source.stop(with)
				for g.run(t, body, want, nil) {
				}
				g.failed(t, "the leader", leaderGets)
				h := read(t, follower, want)
				h.failed(t, "the follower", followerGets)
				if len(g.body) != 2000 || len(h.body) != 2000 {
					t.Errorf("they got %d and %d bytes, want 2000", len(g.body), len(h.body))
				}
				late, leader := table.Join(key)
				if !leader {
					t.Error("a flight that broke can be joined")
				}
				late.Part()
				if got := joined.Wait(1<<62, nil); got != Parted {
					t.Errorf("who joined before it broke gets %d, want parted", got)
				}
				joined.Leave(follower)
				f.Finish()
				s.empty(t)
				table.idle(t)
				if _, panicked := with.(panics); panicked != strings.Contains(log.String(), "BUG") {
					t.Errorf("the log says %q", log.String())
				}
			})
		}
	}
	f(fault.At(fault.UpstreamReset, fault.ResponseBegun, nil), fault.UpstreamReset, fault.UpstreamReset)
	f(fault.New(fault.UpstreamTimeout, nil), fault.UpstreamTimeout, fault.UpstreamTimeout)
	f(fault.New(fault.ClientGone, nil), fault.ClientGone, fault.UpstreamReset)
	f(io.ErrUnexpectedEOF, fault.Internal, fault.Internal)
	f(panics("oh"), fault.Internal, fault.Internal)
}

// What breaks before anybody heard of it fails like a head that never came.
func TestBreaksAtOnce(t *testing.T) {
	f := func(with error, want Outcome, kind *fault.Kind) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			table := New(roomy, nil)
			f := lead(t, table)
			out := make(chan Outcome)
			go func() { out <- f.Wait(1<<62, nil) }()
			synctest.Wait()
			source := newTap(content(10))
			source.stop(with)
			var s shelf
			body := f.Land(nil, source, 1000, s.keep(1<<20))
			if got := <-out; got != want || kind != nil && f.Fault().Kind != kind {
				t.Errorf("outcome %d and fault %v", got, f.Fault())
			}
			g := read(t, body, content(10))
			if g.err == io.EOF || len(g.body) != 10 {
				t.Errorf("the leader got %v", g)
			}
			f.Finish()
			s.empty(t)
			table.idle(t)
		})
	}
	f(fault.New(fault.UpstreamReset, nil), Failed, fault.UpstreamReset)
	f(panics("oh"), Failed, fault.Internal)
	f(fault.New(fault.ClientGone, nil), Parted, nil)
}

// Whoever ends a body before its announced length, or goes on after it, is not believed.
func TestWrongLength(t *testing.T) {
	for _, length := range []int64{0, 1, 999, 1001, 5000, 1 << 19} {
		for _, first := range []int{1000, 10} {
			synctest.Test(t, func(t *testing.T) {
				table, want := New(roomy, nil), content(1000)
				f := lead(t, table)
				source := newTap(want[:first])
				if first < len(want) {
					go func() {
						time.Sleep(time.Second)
						source.give(want[first:])
						source.stop(io.EOF)
					}()
				} else {
					source.stop(io.EOF)
				}
				var s shelf
				var sink bin
				keep := s.keep(1 << 20)
				keep.Sink = func() Sink { return &sink }
				body := f.Land(nil, source, length, keep)
				read(t, body, want).whole(t, "the leader", want)
				f.Finish()
				s.empty(t)
				if sink.commits != 0 {
					t.Error("committed")
				}
				table.idle(t)
			})
		}
	}
}

// A body that turns out to be too long goes on to those who read it, who can be a window apart; nobody else can follow.
func TestTooLong(t *testing.T) {
	for _, length := range []int64{3 << 20, exchange.Unknown} {
		synctest.Test(t, func(t *testing.T) {
			table, want := New(roomy, nil), content(3<<20)
			f := lead(t, table)
			var s shelf
			source := newTap()
			joined, _ := table.Join(key)
			outcome := make(chan Outcome)
			go func() { outcome <- joined.Wait(1<<62, nil) }()
			synctest.Wait()
			body := f.Land(nil, source, length, s.keep(1<<20))
			if <-outcome != Landed {
				t.Fatal("not landed")
			}
			follower, _ := joined.Follow(nil)
			for i := 0; i < len(want); i += 50000 {
				source.give(want[i:min(i+50000, len(want))])
			}
			source.stop(io.EOF)
			var g, h got
			for len(g.body) < 512<<10 && body.Buffered() || len(g.body) == 0 {
				g.run(t, body, want, nil)
				synctest.Wait()
			}
			if length > 0 && len(g.body) > window+bufpoolLarge || len(g.body) < window {
				t.Errorf("the leader is %d bytes ahead", len(g.body))
			}
			var over sync.WaitGroup
			over.Go(func() {
				for g.run(t, body, want, nil) {
				}
				g.whole(t, "the leader", want)
			})
			for h.run(t, follower, want, func() { time.Sleep(stuck - time.Second) }) {
				if used := table.Used(); len(h.body) > 1<<20 && used > 2*window {
					t.Fatalf("%d bytes lie in memory", used)
				}
				if len(h.body) > 2<<20 {
					if late, leader := table.Join(key); !leader {
						t.Fatal("it can still be joined")
					} else {
						late.Part()
					}
				}
			}
			h.whole(t, "the follower", want)
			joined.Leave(follower)
			over.Wait()
			f.Finish()
			s.empty(t)
			table.idle(t)
		})
	}
}

const bufpoolLarge = 68 << 10

// A follower that does not move is cut off when others wait for it; a leader too.
func TestStuck(t *testing.T) {
	for _, leaderStuck := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			table, want := New(roomy, nil), content(2<<20)
			f := lead(t, table)
			var s shelf
			source := newTap(want[:10])
			body := f.Land(nil, source, exchange.Unknown, s.keep(100<<10))
			joined, follower := board(t, table)
			source.give(want[10:])
			source.stop(io.EOF)
			moves, stands := body, follower
			if leaderStuck {
				moves, stands = follower, body
			}
			var g got
			g.run(t, stands, want, nil)
			var h got
			if leaderStuck {
				h.run(t, moves, want, nil)
			}
			began := time.Now()
			for h.run(t, moves, want, nil) {
			}
			h.whole(t, "who moved", want)
			if d := time.Since(began); d < stuck || d > 2*stuck {
				t.Errorf("it took %v until who did not move was cut off", d)
			}
			g.run(t, stands, want, nil)
			g.failed(t, "who did not move", fault.ClientSlow)
			joined.Leave(follower)
			f.Finish()
			s.empty(t)
			table.idle(t)
		})
	}
}

// One who leaves while others wait for it is not waited for any longer.
func TestBlockerLeaves(t *testing.T) {
	for _, leaderLeaves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			table, want := New(roomy, nil), content(2<<20)
			f := lead(t, table)
			source := newTap(want[:10])
			var s shelf
			body := f.Land(nil, source, exchange.Unknown, s.keep(1000))
			joined, follower := board(t, table)
			third, stays := board(t, table)
			source.give(want[10:])
			source.stop(io.EOF)
			var g got
			g.run(t, body, want, nil)
			var over sync.WaitGroup
			over.Go(func() {
				time.Sleep(time.Second)
				if leaderLeaves {
					f.Finish()
					return
				}
				joined.Leave(follower)
				for g.run(t, body, want, nil) {
				}
				g.whole(t, "the leader", want)
				f.Finish()
			})
			if leaderLeaves {
				over.Go(func() {
					read(t, follower, want).whole(t, "the follower", want)
					joined.Leave(follower)
					_, err := follower.Next()
					got{err: err}.failed(t, "who has left", fault.UpstreamReset)
					_, err = body.Next()
					got{err: err}.failed(t, "a leader after Finish", fault.UpstreamReset)
				})
			}
			began := time.Now()
			read(t, stays, want).whole(t, "who stays", want)
			third.Leave(stays)
			if d := time.Since(began); d != time.Second {
				t.Errorf("it took %v, want as long as the other stayed", d)
			}
			over.Wait()
			table.idle(t)
		})
	}
}

// Who reads a window is given little at a time, and what it has read is given back at once when nothing more comes.
func TestWindowRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(240<<10)
		f := lead(t, table)
		source := newTap(want[:180<<10])
		var s shelf
		body := f.Land(nil, source, exchange.Unknown, s.keep(200<<10))
		joined, follower := board(t, table)
		source.give(want[180<<10:])
		source.stop(io.EOF)
		read(t, body, want).whole(t, "the leader", want)
		f.Finish()
		var g got
		for before := 0; g.run(t, follower, want, nil); before = len(g.body) {
			if n := len(g.body) - before; n > longestRun {
				t.Errorf("a run of %d bytes, want at most %d", n, longestRun)
			}
			if used, left := table.Used(), len(want)-before; used > int64(left)+2*bufpoolLarge {
				t.Errorf("%d bytes lie in memory for %d that were not read", used, left)
			}
		}
		g.whole(t, "the follower", want)
		joined.Leave(follower)
		table.idle(t)
	})
}

// Who has joined, but not waited, cannot follow what is the leader's alone by then, or was given up.
func TestTooLateToFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(5000)
		f := lead(t, table)
		joined, _ := table.Join(key)
		source := newTap(want[:10], want[10:1000])
		var s shelf
		body := f.Land(nil, source, exchange.Unknown, s.keep(500))
		var g got
		g.run(t, body, want, nil)
		if got := joined.Wait(1<<62, nil); got != Parted {
			t.Errorf("outcome %d, want parted", got)
		}
		source.give(want[1000:])
		source.stop(io.EOF)
		for g.run(t, body, want, nil) {
		}
		g.whole(t, "the leader", want)
		f.Finish()
		table.idle(t)

		f = lead(t, table)
		joined, _ = table.Join(key)
		waits := func() {
			if got := joined.Wait(1<<62, nil); got != Parted {
				t.Errorf("outcome %d, want parted", got)
			}
		}
		f.Land(nil, newTap(want[:10]), exchange.Unknown, Keep{Sink: func() Sink { return &asks{abort: waits} }})
		f.Finish()
		table.idle(t)
	})
}

// asks is a sink that does something when it is aborted.
type asks struct {
	bin
	abort func()
}

func (a *asks) Abort() { a.abort() }

// What lay flat is not lent to others while somebody looks at it.
func TestFlatIsNotPooled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(60_000)
		f := lead(t, table)
		source := newTap(want[:16<<10])
		var s shelf
		body := f.Land(nil, source, 16<<10, s.keep(1<<20))
		joined, follower := board(t, table)
		var over sync.WaitGroup
		for _, b := range []exchange.Body{body, follower} {
			over.Go(func() {
				var g got
				for g.run(t, b, want, func() { time.Sleep(time.Second) }) {
				}
				g.whole(t, "one of two", want)
			})
		}
		synctest.Wait()
		source.give(want[16<<10:])
		source.stop(io.EOF)
		over.Wait()
		joined.Leave(follower)
		f.Finish()
		s.empty(t)
		table.idle(t)
	})
}

// Alone, the leader may stand as long as its client lets it, and what is too long for the cache is not copied for it.
func TestPassedThrough(t *testing.T) {
	f := func(length int64, max int64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			table, want := New(roomy, nil), content(2<<20)
			f := lead(t, table)
			var s shelf
			source := newTap(want[:10])
			body := f.Land(nil, source, length, s.keep(max))
			if direct, _ := body.(*tap); (direct != nil) != (length > max) {
				t.Errorf("the leader got %T", body)
			}
			var g got
			g.run(t, body, want, nil)
			for i := 10; i < len(want); i += 100_000 {
				source.give(want[i:min(i+100_000, len(want))])
			}
			source.stop(io.EOF)
			direct := -1
			for g.run(t, body, want, func() { time.Sleep(time.Minute) }) {
				f.mu.Lock()
				alone := f.owner == passing && f.n == int64(len(g.body))
				f.mu.Unlock()
				if alone && direct < 0 {
					direct = 0 // from the next run on
				} else if alone {
					if run := source.last; !bytes.Equal(run, want[len(g.body)-len(run):len(g.body)]) {
						t.Error("what the leader read last is not what the source gave last")
					}
					direct++
				}
				if len(g.body) > 1<<20 && table.Used() > 0 {
					t.Fatalf("%d bytes lie in memory", table.Used())
				}
			}
			g.whole(t, "the leader", want)
			if length < 0 && direct < 9 {
				t.Errorf("%d runs were passed on as they came, want most of 22", direct)
			}
			table.idle(t)
			f.Finish()
			s.empty(t)
		})
	}
	f(2<<20, 1<<20)
	f(exchange.Unknown, 1<<20)
	f(exchange.Unknown, 5)
	f(exchange.Unknown, 500_000)
}

// Without room nothing is stored, and everybody gets everything.
func TestNoRoom(t *testing.T) {
	for _, budget := range []int64{0, 3 << 10, 100 << 10, 1<<20 + 200<<10} {
		for _, length := range []int64{1 << 20, exchange.Unknown} {
			synctest.Test(t, func(t *testing.T) {
				table, want := New(budget, nil), content(1<<20)
				f := lead(t, table)
				var s shelf
				source := newTap(want[:10])
				body := f.Land(nil, source, length, s.keep(2<<20))
				joined, follower := board(t, table)
				for i := 10; i < len(want); i += 30_000 {
					source.give(want[i:min(i+30_000, len(want))])
				}
				source.stop(io.EOF)
				var over sync.WaitGroup
				over.Go(func() { read(t, body, want).whole(t, "the leader", want) })
				var h got
				for h.run(t, follower, want, func() { time.Sleep(time.Millisecond) }) {
					if used := table.Used(); used > max(budget, bufpoolLarge) {
						t.Fatalf("%d bytes of %d lie in memory", used, budget)
					}
				}
				h.whole(t, "the follower", want)
				joined.Leave(follower)
				over.Wait()
				f.Finish()
				if budget < 1<<20 {
					s.empty(t)
				} else if length > 0 {
					s.has(t, want)
				}
				table.idle(t)
			})
		}
	}
}

// An announced length takes no memory before the content comes.
func TestAnnouncedOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(100<<10)
		f := lead(t, table)
		var s shelf
		source := newTap(want)
		f.Land(nil, source, 32<<20, s.keep(32<<20))
		if used := table.Used(); used > 3*int64(len(want)) {
			t.Errorf("%d bytes are taken for %d", used, len(want))
		}
		source.stop(fault.New(fault.UpstreamReset, nil))
		f.Finish()
		s.empty(t)
		table.idle(t)
	})
}

// 500 who want the same at once ask once, wake together, and get the same.
func TestHerd(t *testing.T) {
	for _, size := range []int{1 << 10, 200 << 10, 400 << 10} {
		synctest.Test(t, func(t *testing.T) {
			table, want := New(roomy, nil), content(size)
			var asked, collapsed int
			var mu sync.Mutex
			var over sync.WaitGroup
			var s shelf
			for range 500 {
				over.Go(func() {
					f, leader := table.Join(key)
					if leader {
						mu.Lock()
						asked++
						mu.Unlock()
						time.Sleep(time.Second) // all others have joined
						source := newTap()
						go func() {
							for i := 0; i < size; i += 10_000 {
								source.give(want[i:min(i+10_000, size)])
								time.Sleep(time.Millisecond)
							}
							source.stop(io.EOF)
						}()
						read(t, f.Land(nil, source, exchange.Unknown, s.keep(200<<10)), want).whole(t, "the leader", want)
						f.Finish()
						return
					}
					if got := f.Wait(clock.Now()+int64(time.Minute), func() bool { return false }); got != Landed {
						t.Errorf("outcome %d, want landed", got)
						return
					}
					body, _ := f.Follow(nil)
					read(t, body, want).whole(t, "a follower", want)
					f.Leave(body)
					mu.Lock()
					collapsed++
					mu.Unlock()
				})
			}
			over.Wait()
			if asked != 1 || collapsed != 499 {
				t.Errorf("%d asked and %d followed, want 1 and 499", asked, collapsed)
			}
			if size <= 200<<10 {
				s.has(t, want)
			} else {
				s.empty(t)
			}
			table.idle(t)
		})
	}
}

// Those who were told that the head landed are waited for, but not for ever.
func TestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(1<<20)
		f := lead(t, table)
		var over sync.WaitGroup
		for i := range 10 {
			over.Go(func() {
				if got := f.Wait(1<<62, nil); got != Landed {
					t.Errorf("outcome %d", got)
				}
				time.Sleep(time.Duration(i) * pendingFor * 3 / 10)
				if i == 1 {
					f.Leave(nil)
					return
				}
				body, _ := f.Follow(nil)
				if (body == nil) != (i > 3) {
					t.Errorf("number %d gets %v", i, body)
				}
				if body != nil {
					read(t, body, want).whole(t, "a follower", want)
				}
				f.Leave(body)
			})
		}
		synctest.Wait()
		source := there(want, 100)
		var s shelf
		read(t, f.Land(nil, source, 1<<20, s.keep(100)), want).whole(t, "the leader", want)
		f.Finish()
		over.Wait()
		if f.Awaited() {
			t.Error("awaited by nobody")
		}
		table.idle(t)
	})
}

func TestWait(t *testing.T) {
	wait := func(until time.Duration, gone func() bool, do func(f *Flight)) (Outcome, time.Duration, *Flight) {
		var out Outcome
		var took time.Duration
		var on *Flight
		synctest.Test(t, func(t *testing.T) {
			table := New(roomy, nil)
			f := lead(t, table)
			on = f
			go func() {
				time.Sleep(2 * time.Second)
				do(f)
			}()
			began := time.Now()
			out = f.Wait(clock.Now()+int64(until), gone)
			took = time.Since(began)
			if f.Awaited() != (out == Landed) {
				t.Errorf("awaited is %v after %d", f.Awaited(), out)
			}
			if out == Landed {
				f.Leave(nil)
			}
			time.Sleep(3 * time.Second)
			f.Finish()
			f.Finish()
			table.idle(t)
		})
		return out, took, on
	}
	f := func(until time.Duration, gone func() bool, do func(f *Flight), want Outcome, wantTook time.Duration) *Flight {
		t.Helper()
		out, took, f := wait(until, gone, do)
		if out != want || took != wantTook {
			t.Errorf("outcome %d after %v, want %d after %v", out, took, want, wantTook)
		}
		return f
	}
	asked := 0
	never := func() bool { asked++; return false }
	down := func(f *Flight) { f.Land(&object.Object{}, there(content(10), 1), 10, Keep{}) }
	nobody := func(*Flight) {}
	f(time.Minute, nil, down, Landed, 2*time.Second)
	f(time.Minute, never, (*Flight).Part, Parted, 2*time.Second)
	if asked < 6 || asked > 8 {
		t.Errorf("asked %d times in 2 seconds, want about 8", asked)
	}
	f(time.Minute, nil, (*Flight).Finish, Parted, 2*time.Second)
	on := f(time.Minute, nil, func(f *Flight) { f.Fail(fault.New(fault.BreakerOpen, nil)) }, Failed, 2*time.Second)
	if on.Fault().Kind != fault.BreakerOpen {
		t.Errorf("the fault is %v", on.Fault())
	}
	f(time.Minute, nil, func(f *Flight) { f.Fail(fault.New(fault.ClientGone, nil)) }, Parted, 2*time.Second)
	f(1100*time.Millisecond, never, nobody, TooLong, 1100*time.Millisecond)
	f(0, never, nobody, TooLong, 0)
	asked = 0
	f(time.Minute, func() bool { asked++; return asked == 2 }, nobody, Gone, 2*tick)

	// What happens while it is asked counts.
	synctest.Test(t, func(t *testing.T) {
		f := lead(t, New(roomy, nil))
		if got := f.Wait(1<<62, func() bool { f.Part(); return true }); got != Parted || f.Awaited() {
			t.Errorf("outcome %d and awaited %v, want parted", got, f.Awaited())
		}
	})
}

// Join gives each key a flight of its own.
func TestJoin(t *testing.T) {
	table := New(roomy, nil)
	var flights []*Flight
	for i := range 1000 {
		k := object.Key{byte(i), byte(i >> 8)}
		f, leader := table.Join(k)
		if again, also := table.Join(k); !leader || also || again != f {
			t.Fatalf("key %d: led %v and %v", i, leader, also)
		}
		flights = append(flights, f)
	}
	if table.Len() != 1000 {
		t.Errorf("%d flights, want 1000", table.Len())
	}
	for _, f := range flights {
		f.Part()
	}
	table.idle(t)
}

// What is too long for memory goes to the sink, from its beginning.
func TestSink(t *testing.T) {
	f := func(length, max int64, with error, refusesAt int, followed bool, commits, aborts int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			table, want := New(roomy, nil), content(1<<20)
			f := lead(t, table)
			var s shelf
			sink := bin{cap: refusesAt}
			made := 0
			keep := s.keep(max)
			keep.Sink = func() Sink { made++; return &sink }
			source := newTap(want[:10])
			body := f.Land(nil, source, length, keep)
			var over sync.WaitGroup
			if followed {
				joined, follower := board(t, table)
				over.Go(func() {
					read(t, follower, want)
					joined.Leave(follower)
				})
			}
			go func() {
				for i := 10; i < len(want); i += 50_000 {
					source.give(want[i:min(i+50_000, len(want))])
					time.Sleep(time.Millisecond)
				}
				source.stop(with)
			}()
			if g := read(t, body, want); !bytes.Equal(g.body, want) {
				t.Errorf("the leader got %v", g)
			}
			over.Wait()
			f.Finish()
			sink.is(t, commits, aborts)
			if made != commits+aborts {
				t.Errorf("made %d times", made)
			}
			if commits > 0 && !bytes.Equal(sink.body, want) {
				t.Errorf("the sink has %d bytes, or wrong ones", len(sink.body))
			}
			if max < 1<<20 {
				s.empty(t)
			} else if with == io.EOF {
				s.has(t, want)
			}
			table.idle(t)
		})
	}
	breaks := fault.New(fault.UpstreamReset, nil)
	for _, followed := range []bool{false, true} {
		for _, max := range []int64{5, 1000, 500_000} {
			f(1<<20, max, io.EOF, 0, followed, 1, 0)
			f(exchange.Unknown, max, io.EOF, 0, followed, 1, 0)
			f(exchange.Unknown, max, breaks, 0, followed, 0, 1)
			f(1<<20, max, breaks, 0, followed, 0, 1)
			f(1<<20, max, io.EOF, 600_000, followed, 0, 1)
			f(exchange.Unknown, max, io.EOF, 3, followed, 0, 1)
		}
		f(1<<20, 1<<20, io.EOF, 0, followed, 0, 0)
		f(exchange.Unknown, 1<<20, io.EOF, 0, followed, 0, 0)
		f(exchange.Unknown, 1<<20, breaks, 0, followed, 0, 0)
	}
}

// A sink gets the rest of a body whose leader is gone when half of it has come.
func TestSinkLeaderGone(t *testing.T) {
	f := func(came int, length int64, commits int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			table, want := New(roomy, nil), content(10<<20)
			f := lead(t, table)
			var sink bin
			source := newTap()
			body := f.Land(nil, source, length, Keep{Sink: func() Sink { return &sink }})
			var gives sync.WaitGroup
			defer gives.Wait()
			gives.Go(func() {
				for i := 0; i < len(want); i += 500_000 {
					source.give(want[i:min(i+500_000, len(want))])
					time.Sleep(time.Second)
				}
				source.stop(io.EOF)
			})
			var g got
			for len(g.body) < came && g.run(t, body, want, nil) {
			}
			f.Finish()
			sink.is(t, commits, 1-commits)
			if commits > 0 && !bytes.Equal(sink.body, want) {
				t.Error("the sink has other bytes")
			}
			table.idle(t)
		})
	}
	f(6<<20, 10<<20, 1)
	f(4<<20, 10<<20, 0)
	f(4<<20, exchange.Unknown, 0)
	f(10<<20-1, exchange.Unknown, 0)
}

// What callbacks panic costs what they were to do, and nothing else.
func TestCallbacksPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		table, want := New(roomy, slog.New(slog.NewTextHandler(&log, nil))), content(1000)
		f := lead(t, table)
		body := f.Land(nil, there(want, 1), 1000, Keep{Max: 1000, Stored: func([]byte) { panic("stored") }})
		read(t, body, want).whole(t, "the leader", want)
		f.Finish()
		f = lead(t, table)
		body = f.Land(nil, there(want, 3), 1000, Keep{Sink: func() Sink { panic("sink") }})
		read(t, body, want).whole(t, "the leader", want)
		f.Finish()
		f = lead(t, table)
		body = f.Land(nil, there(want, 3), 1000, Keep{Sink: func() Sink { return (*bin)(nil) }})
		read(t, body, want).whole(t, "the leader", want)
		f.Finish()
		if n := strings.Count(log.String(), "BUG"); n != 4 {
			t.Errorf("%d panics in the log, want 4:\n%s", n, log.String())
		}
		table.idle(t)
	})
}

// The leader's own client is asked for while the leader waits.
func TestLeaderAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, want := New(roomy, nil), content(1000)
		f := lead(t, table)
		source := newTap(want[:10])
		var s shelf
		keep := s.keep(10_000)
		var gone atomic.Bool
		keep.Gone = gone.Load
		body := f.Land(nil, source, exchange.Unknown, keep)
		var g got
		g.run(t, body, want, nil)
		go func() {
			time.Sleep(time.Second)
			if !f.Awaited() {
				t.Error("while the flight reads, the leader's client is not to be watched by the source")
			}
			gone.Store(true)
			time.Sleep(time.Second)
			if f.Awaited() {
				t.Error("awaited by nobody")
			}
			source.stop(fault.New(fault.ClientGone, nil)) // as an endpoint's body does then
		}()
		for g.run(t, body, want, nil) {
		}
		g.failed(t, "the leader", fault.ClientGone)
		f.Finish()
		s.empty(t)
		table.idle(t)
	})
}
