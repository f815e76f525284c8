package flight

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Whatever the readers, the source, the stores and the budget do: each reader gets exactly the bytes or a fault, what is stored is whole, and nothing
// is left behind.
func TestRandom(t *testing.T) {
	seeds := 400
	if testing.Short() || raceEnabled {
		seeds = 100
	}
	done := map[string]int{}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { newPlay(t, uint64(seed), done).run() })
		if t.Failed() {
			t.Fatalf("the seed was %d", seed)
		}
	}
	for _, what := range []string{"stored", "committed", "aborted", "led to the end", "followed to the end", "cut off", "broken", "failed", "client gone", "left early", "could not follow"} {
		if done[what] == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
	t.Log(done)
}

// play is one random course of events on one key.
type play struct {
	t      *testing.T
	seed   uint64
	rand   *rand.Rand
	mu     sync.Mutex // of rand and done
	done   map[string]int
	table  *Table
	joined map[*Flight]bool
	want   []byte
	over   sync.WaitGroup
	max    int64
	budget int64
	pace   time.Duration
}

func newPlay(t *testing.T, seed uint64, done map[string]int) *play {
	p := &play{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 1)), done: done, joined: map[*Flight]bool{}}
	p.want = content(p.size())
	p.max = int64(p.size())
	p.budget = 64 << 20
	if p.chance(30) {
		p.budget = int64(p.size())
	}
	p.pace = []time.Duration{0, time.Millisecond, time.Second}[p.n(3)]
	p.table = New(p.budget, slog.New(slog.DiscardHandler))
	return p
}

func (p *play) n(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rand.IntN(n)
}

func (p *play) chance(percent int) bool { return p.n(100) < percent }

func (p *play) size() int { return p.n([]int{10, 5000, 100_000, 1 << 20}[p.n(4)]) + 1 }

func (p *play) did(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[what]++
}

func (p *play) rest(d time.Duration) {
	if d > 0 {
		time.Sleep(time.Duration(p.n(int(d))))
	}
}

func (p *play) run() {
	for range 1 + p.n(12) {
		p.over.Go(func() {
			p.rest(10 * p.pace)
			p.visit()
		})
	}
	p.over.Wait()
	synctest.Wait()
	p.table.idle(p.t)
	for f := range p.joined {
		if n := f.others.Load(); n != 0 || f.pending != 0 || f.Awaited() {
			p.t.Errorf("a flight that is over is awaited by %d", n)
		}
	}
}

// visit is one exchange.
func (p *play) visit() {
	for range 3 {
		f, leader := p.table.Join(key)
		p.mu.Lock()
		p.joined[f] = true
		p.mu.Unlock()
		if leader {
			p.lead(f)
			return
		}
		gone := p.chance(5)
		switch f.Wait(clock.Now()+int64(time.Hour), func() bool { return gone }) {
		case Landed:
			if p.chance(5) {
				p.rest(20 * p.pace)
			}
			if p.chance(5) {
				f.Leave(nil)
				return
			}
			if p.follow(f) {
				return
			}
			p.did("could not follow")
		case Failed:
			p.did("failed")
			return
		case Gone:
			return
		case TooLong:
			p.t.Error("too long")
		}
	}
}

// reads reads a body at a pace, for so many runs.
func (p *play) reads(b exchange.Body, who string) got {
	var g got
	pace := []time.Duration{0, p.pace, p.pace, 30 * p.pace}[p.n(4)]
	runs := 1 << 30
	if p.chance(20) {
		runs = p.n(10)
	}
	if p.chance(3) {
		defer func(pace time.Duration) { p.rest(pace) }(time.Minute)
	}
	for ; runs > 0; runs-- {
		there := b.Buffered()
		before := time.Now()
		var waited time.Duration
		well := g.run(p.t, b, p.want, func() {
			waited = time.Since(before)
			p.rest(pace)
		})
		if !well {
			waited = time.Since(before)
		}
		if there && waited > 0 {
			p.t.Errorf("%s waited for %v, after it heard it need not", who, waited)
		}
		if !well {
			break
		}
	}
	var f *fault.Fault
	switch {
	case runs == 0:
		p.did("left early")
	case g.err == io.EOF:
		g.whole(p.t, who, p.want)
		p.did(who + " to the end")
	case !errors.As(g.err, &f):
		p.t.Errorf("%s got %v, which is no fault", who, g)
	case f.Kind == fault.ClientSlow:
		p.did("cut off")
	case f.Kind == fault.ClientGone:
		p.did("client gone")
	case f.Kind == fault.UpstreamReset, f.Kind == fault.Internal:
		p.did("broken")
	default:
		p.t.Errorf("%s got %v", who, g)
	}
	return g
}

func (p *play) follow(f *Flight) bool {
	var gone func() bool
	if p.chance(50) {
		until := time.Now().Add(time.Duration(p.n(10000)) * p.pace)
		gone = func() bool { return time.Now().After(until) }
	}
	body, length := f.Follow(gone)
	if body == nil {
		f.Leave(nil)
		return false
	}
	if length >= 0 && length != int64(len(p.want)) {
		p.t.Errorf("length %d, want %d", length, len(p.want))
	}
	p.reads(body, "followed")
	f.Leave(body)
	return true
}

func (p *play) lead(f *Flight) {
	p.rest(p.pace)
	if p.chance(10) {
		switch p.n(3) {
		case 0:
			f.Part()
		case 1:
			f.Fail(fault.New(fault.ConnectFailed, nil))
		}
		f.Finish()
		return
	}
	source := newTap()
	var end error = io.EOF
	switch p.n(10) {
	case 0:
		end = fault.New(fault.UpstreamReset, nil)
	case 1:
		end = panics("oh")
	case 2:
		end = fault.New(fault.ClientGone, nil)
	}
	ready := p.n(3)
	give := func() {
		until := len(p.want)
		if end != io.EOF {
			until = p.n(until)
		}
		for i := 0; i < until; {
			n := min(1+p.n([]int{10, 10_000, 70_000, 1 << 20}[p.n(4)]), until-i)
			if until-i > 5000 && n < 100 {
				n = 5000
			}
			if ready == 0 {
				p.rest(p.pace)
			}
			source.give(p.want[i : i+n])
			i += n
			if ready == 1 && p.chance(50) {
				ready = 0
			}
		}
		source.stop(end)
	}
	if ready == 2 {
		give()
	} else {
		p.over.Go(give)
		synctest.Wait()
	}
	length := int64(exchange.Unknown)
	if p.chance(50) {
		length = int64(len(p.want))
	}
	var s shelf
	keep := s.keep(p.max)
	if p.chance(10) {
		keep.Stored = nil
	}
	var sink *bin
	if p.chance(40) {
		keep.Sink = func() Sink {
			sink = &bin{}
			if p.chance(20) {
				sink.cap = p.size()
			}
			return sink
		}
	}
	if p.chance(50) {
		keep.Gone = func() bool { return p.chance(2) }
	}
	body := f.Land(nil, source, length, keep)
	if p.chance(90) && (body != exchange.Body(source) || end == io.EOF) {
		p.reads(body, "led")
	}
	f.Finish()
	source.over.Store(true)
	switch s.times.Load() {
	case 0:
	case 1:
		p.did("stored")
		if end != io.EOF || int64(len(p.want)) > p.max {
			p.t.Error("stored what is not whole, or too long")
		}
		s.has(p.t, p.want)
	default:
		p.t.Error("stored several times")
	}
	if sink == nil {
		return
	}
	switch fmt.Sprint(sink.commits, sink.aborts, s.times.Load()) {
	case "1 0 0":
		p.did("committed")
		if end != io.EOF || !bytes.Equal(sink.body, p.want) {
			p.t.Error("committed what is not whole")
		}
	case "0 1 0":
		p.did("aborted")
		if !bytes.HasPrefix(p.want, sink.body) {
			p.t.Error("the sink got other bytes")
		}
	default:
		p.t.Errorf("committed %d times, aborted %d, stored %d", sink.commits, sink.aborts, s.times.Load())
	}
}
