package flight

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = object.Key{1, 2, 3}

// content is n bytes that say where they are.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*31 + i>>16*11)
	}
	return b
}

// tap is a body of the endpoint whose runs come on command. What it gave is spoilt at the next call, so that whoever looks too late sees it.
type tap struct {
	runs    chan []byte
	end     chan error
	last    []byte
	readers atomic.Int32
	calls   atomic.Int32
	over    atomic.Bool // nobody may read it any more
	left    error       // ended with that
}

func newTap(runs ...[]byte) *tap {
	s := &tap{runs: make(chan []byte, 4096), end: make(chan error, 1)}
	for _, run := range runs {
		s.give(run)
	}
	return s
}

// there is a tap that has all of a body.
func there(body []byte, runs int) *tap {
	s := newTap()
	for i := range runs {
		s.give(body[len(body)*i/runs : len(body)*(i+1)/runs])
	}
	s.stop(io.EOF)
	return s
}

func (s *tap) give(run []byte) { s.runs <- bytes.Clone(run) }

func (s *tap) stop(err error) { s.end <- err }

func (s *tap) Next() ([]byte, error) {
	if s.readers.Add(1) != 1 {
		panic("BUG: two read the source at once")
	}
	defer s.readers.Add(-1)
	if s.over.Load() {
		panic("BUG: the source is read after Finish")
	}
	s.calls.Add(1)
	for i := range s.last {
		s.last[i] = 0xEE
	}
	s.last = nil
	if s.left != nil {
		return nil, s.left
	}
	select {
	case s.last = <-s.runs:
		return s.last, nil
	default:
	}
	select {
	case s.last = <-s.runs:
		return s.last, nil
	case s.left = <-s.end:
		if p, ok := s.left.(panics); ok {
			s.left = nil
			panic(string(p))
		}
		return nil, s.left
	}
}

func (s *tap) Buffered() bool { return len(s.runs) > 0 || len(s.end) > 0 || s.left != nil }

// panics is an end that panics.
type panics string

func (p panics) Error() string { return string(p) }

// got is what came out of a body.
type got struct {
	body []byte
	err  error
}

func (g got) String() string { return fmt.Sprintf("%d bytes, %v", len(g.body), g.err) }

// run reads one run and compares it, before and after what does with it, with what it has to be.
func (g *got) run(t testing.TB, b exchange.Body, want []byte, does func()) bool {
	t.Helper()
	run, err := b.Next()
	if err != nil {
		if g.err = err; len(run) > 0 {
			t.Errorf("a run together with %v", err)
		}
		return false
	}
	if len(run) == 0 {
		t.Error("an empty run")
	}
	from := len(g.body)
	g.body = append(g.body, run...)
	if does != nil {
		does()
	}
	if len(g.body) > len(want) || !bytes.Equal(run, want[from:len(g.body)]) {
		t.Errorf("bytes %d to %d are wrong, or changed while they were looked at", from, len(g.body))
	}
	return true
}

// read reads a body to its end.
func read(t testing.TB, b exchange.Body, want []byte) got {
	t.Helper()
	var g got
	for g.run(t, b, want, nil) {
	}
	return g
}

// whole complains unless all of it came.
func (g got) whole(t testing.TB, who string, want []byte) {
	t.Helper()
	if g.err != io.EOF || !bytes.Equal(g.body, want) {
		t.Errorf("%s got %v, want %d bytes", who, g, len(want))
	}
}

// failed complains unless it ended with a fault of this kind.
func (g got) failed(t testing.TB, who string, kind *fault.Kind) {
	t.Helper()
	var f *fault.Fault
	if !errors.As(g.err, &f) || f.Kind != kind {
		t.Errorf("%s got %v, want %s", who, g, kind.Word)
	}
}

// shelf takes what is to be stored.
type shelf struct {
	times atomic.Int32
	body  []byte
}

func (s *shelf) keep(max int64) Keep {
	return Keep{Max: max, Stored: func(body []byte) {
		s.times.Add(1)
		s.body = body
	}}
}

func (s *shelf) has(t testing.TB, want []byte) {
	t.Helper()
	if n := s.times.Load(); n != 1 || !bytes.Equal(s.body, want) {
		t.Errorf("stored %d times, %d bytes; want once %d bytes, the right ones", n, len(s.body), len(want))
	}
	if cap(s.body) > len(want) {
		t.Errorf("what was stored has room for %d bytes, want %d", cap(s.body), len(want))
	}
}

func (s *shelf) empty(t testing.TB) {
	t.Helper()
	if n := s.times.Load(); n != 0 {
		t.Errorf("stored %d times, want never", n)
	}
}

// bin is a sink.
type bin struct {
	body            []byte
	cap             int // it refuses what is more
	commits, aborts int
	over            bool
}

func (b *bin) Write(run []byte) bool {
	if b.over {
		panic("BUG: written to after the end")
	}
	if b.cap > 0 && len(b.body)+len(run) > b.cap {
		return false
	}
	b.body = append(b.body, run...)
	return true
}

func (b *bin) Commit() { b.commits, b.over = b.commits+1, true }
func (b *bin) Abort()  { b.aborts, b.over = b.aborts+1, true }

func (b *bin) is(t testing.TB, commits, aborts int) {
	t.Helper()
	if b.commits != commits || b.aborts != aborts {
		t.Errorf("committed %d and aborted %d times, want %d and %d", b.commits, b.aborts, commits, aborts)
	}
}

// lead begins a flight.
func lead(t testing.TB, table *Table) *Flight {
	t.Helper()
	f, leader := table.Join(key)
	if !leader {
		t.Fatal("the first who joins does not lead")
	}
	return f
}

// board joins a flight that landed, and follows it.
func board(t testing.TB, table *Table) (*Flight, exchange.Body) {
	t.Helper()
	f, leader := table.Join(key)
	if leader {
		t.Fatal("there is no flight to join")
	}
	if got := f.Wait(1<<62, nil); got != Landed {
		t.Fatalf("outcome %d, want landed", got)
	}
	body, _ := f.Follow(nil)
	if body == nil {
		t.Fatal("it cannot be followed")
	}
	return f, body
}

// idle complains about what is left in a table.
func (t *Table) idle(tb testing.TB) {
	tb.Helper()
	if t.Len() != 0 || t.Used() != 0 {
		tb.Errorf("%d flights and %d bytes are left in the table", t.Len(), t.Used())
	}
	for i := range t.shards {
		if n := len(t.shards[i].flights); n != 0 {
			tb.Errorf("shard %d has %d flights", i, n)
		}
	}
}
