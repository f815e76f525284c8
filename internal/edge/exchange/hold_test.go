package exchange

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/edge/fault"
)

// runs is a body in runs of a size, which fails instead of ending when it has an error.
type runs struct {
	rest []byte
	size int
	err  error
}

func (r *runs) Next() ([]byte, error) {
	if len(r.rest) == 0 {
		if r.err != nil {
			return nil, r.err
		}
		return nil, io.EOF
	}
	n := min(r.size, len(r.rest))
	run := r.rest[:n]
	r.rest = r.rest[n:]
	return run, nil
}

func (r *runs) Buffered() bool { return false }

func TestHoldBodyKeepsContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 300_000)).Draw(t, "size")
		content := bytes.Repeat([]byte("0123456789abcdefg"), size/17+1)[:size]
		max := rapid.IntRange(0, 400_000).Draw(t, "max")
		known := rapid.Bool().Draw(t, "known")
		x := &Exchange{}
		x.Request.Length = Unknown
		if known {
			x.Request.Length = int64(size)
		}
		if size > 0 || !known {
			x.Request.Body = &runs{rest: content, size: rapid.IntRange(1, 80_000).Draw(t, "run")}
		}
		got, f := x.HoldBody(Hold{Max: int64(max), Proven: rapid.Bool().Draw(t, "proven")})
		if size > max {
			if f == nil || f.Kind != fault.HoldTooLarge {
				t.Fatalf("%d of %d bytes: %v", size, max, f)
			}
		} else {
			if f != nil || !bytes.Equal(got, content) || x.Request.Length != int64(size) || (x.Request.Body == nil) != (size == 0) {
				t.Fatalf("%d bytes: %v, %d, body %T", len(got), f, x.Request.Length, x.Request.Body)
			}
			for range 2 {
				if size == 0 {
					break
				}
				r := x.Request.Body.(Rewinder)
				run, err := x.Request.Body.Next()
				if err != nil || !bytes.Equal(run, content) {
					t.Fatalf("%d bytes, %v", len(run), err)
				}
				if run, err := x.Request.Body.Next(); err != io.EOF || len(run) > 0 || !r.Rewind() {
					t.Fatal(err)
				}
			}
			if held := Holding(); held < int64(size) || held > 2*int64(size)+80_000 {
				t.Fatalf("%d held for %d", held, size)
			}
		}
		x.DropHeld()
		x.DropHeld()
		if Holding() != 0 {
			t.Fatalf("%d bytes are still held", Holding())
		}
	})
}

func TestHoldBodyFails(t *testing.T) {
	x := &Exchange{Request: Request{Length: 100, Body: &runs{rest: make([]byte, 50), size: 10, err: fault.New(fault.ClientGone, nil)}}}
	if _, f := x.HoldBody(Hold{Max: 1000}); f == nil || f.Kind != fault.ClientGone || Holding() != 0 {
		t.Errorf("%v, %d held", f, Holding())
	}
	// Nobody is there to tell the client to go on.
	x = &Exchange{Request: Request{Length: 100, Continue: true, Body: &runs{rest: make([]byte, 100), size: 10}}}
	if _, f := x.HoldBody(Hold{Max: 1000}); f == nil || f.Kind != fault.Internal {
		t.Errorf("%v", f)
	}
}

// What all exchanges hold together has an end, and room that is given back can be used again.
func TestHoldBudget(t *testing.T) {
	const each = 8 << 20
	content := make([]byte, each)
	var held []*Exchange
	ask := func() *fault.Fault {
		x := &Exchange{Request: Request{Length: each, Body: &runs{rest: content, size: 64 << 10}}}
		_, f := x.HoldBody(Hold{Max: each, Proven: true})
		if f == nil {
			held = append(held, x)
		}
		return f
	}
	for range HoldBudget/each - 1 {
		if f := ask(); f != nil {
			t.Fatalf("after %d: %v", len(held), f)
		}
	}
	for len(held) < HoldBudget/each {
		if f := ask(); f != nil {
			if f.Kind != fault.HoldFull {
				t.Fatal(f)
			}
			break
		}
	}
	before := Holding()
	if f := ask(); f == nil || f.Kind != fault.HoldFull || Holding() != before || before > HoldBudget {
		t.Errorf("%v with %d held, %d before", f, Holding(), before)
	}
	held[0].DropHeld()
	held[1].DropHeld()
	if f := ask(); f != nil {
		t.Errorf("no room after room was given back: %v", f)
	}
	for _, x := range held {
		x.DropHeld()
	}
	if Holding() != 0 {
		t.Errorf("%d bytes are still held", Holding())
	}
}

func TestHoldBodyAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop at random")
	}
	x, content := &Exchange{}, make([]byte, 60_000)
	body := &runs{size: 16 << 10}
	if got := testing.AllocsPerRun(100, func() {
		body.rest = content
		x.Request.Body, x.Request.Length = body, Unknown
		if _, f := x.HoldBody(Hold{Max: 1 << 20}); f != nil {
			t.Error(f)
		}
		x.DropHeld()
	}); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

// hold lets somebody hold a body of n bytes, and says what came of it.
func hold(t *testing.T, client string, n int, proven bool) (*Exchange, string) {
	t.Helper()
	x := &Exchange{Request: Request{Length: Unknown, Body: &runs{rest: make([]byte, n), size: 64 << 10}}}
	if client != "" {
		x.Client = netip.MustParseAddr(client)
	}
	_, f := x.HoldBody(Hold{Max: 32 << 20, Proven: proven})
	t.Cleanup(x.DropHeld)
	if f != nil {
		return x, f.Kind.Word
	}
	return x, "held"
}

// However much somebody unknown holds, others hold too: an address has a share, all that are unknown have one together, and those who are
// proven have the rest whatever the others do.
func TestHoldShares(t *testing.T) {
	const one = 1 << 20
	fill := func(client string) (n int) {
		for {
			if _, got := hold(t, client, one, false); got != "held" {
				if got != "hold_full" {
					t.Fatal(got)
				}
				return n
			}
			n++
		}
	}
	before := Holding()
	if n := fill("192.0.2.1"); n == 0 || Holding()-before > HoldShare {
		t.Fatalf("one address holds %d in %d bodies", Holding()-before, n)
	}
	for _, same := range []string{"::ffff:192.0.2.1"} {
		if _, got := hold(t, same, one, false); got != "hold_full" {
			t.Errorf("%s: %s", same, got)
		}
	}
	if _, got := hold(t, "192.0.2.2", one, false); got != "held" {
		t.Errorf("another address: %s", got)
	}
	fill("2001:db8::1")
	if _, got := hold(t, "2001:db8::ffff:1", one, false); got != "hold_full" {
		t.Errorf("the same network: %s", got)
	}
	if _, got := hold(t, "2001:db8:0:1::1", one, false); got != "held" {
		t.Errorf("another network: %s", got)
	}
	fill("") // a unix socket
	if _, got := hold(t, "192.0.2.1", one, true); got != "held" {
		t.Errorf("the same address, proven: %s", got)
	}
	for i := range 20 { // a crowd
		fill(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String())
	}
	if _, got := hold(t, "203.0.113.1", one, false); got != "hold_full" || holding.unproven.Load() > HoldUnproven {
		t.Errorf("after a crowd: %s, %d unproven", got, holding.unproven.Load())
	}
	proven := 0
	for {
		if _, got := hold(t, "192.0.2.1", one, true); got != "held" {
			break
		}
		proven++
	}
	if proven < (HoldBudget-HoldUnproven)/(2*one)-2 || Holding() > HoldBudget {
		t.Errorf("%d proven, %d held", proven, Holding())
	}
}

// One body alone may be larger than the share of an address, and what is proven counts no longer.
func TestHoldLarge(t *testing.T) {
	large, got := hold(t, "192.0.2.1", 32<<20, false)
	if got != "held" {
		t.Fatal(got)
	}
	if _, got := hold(t, "192.0.2.1", 1, false); got != "hold_full" {
		t.Errorf("besides: %s", got)
	}
	large.ProveHeld()
	large.ProveHeld()
	if n := holding.unproven.Load(); n != 0 {
		t.Errorf("%d unproven", n)
	}
	if _, got := hold(t, "192.0.2.1", 1, false); got != "held" {
		t.Errorf("besides one that is proven: %s", got)
	}
	large.DropHeld()
	small, _ := hold(t, "192.0.2.1", 1, false)
	if _, f := small.HoldBody(Hold{Max: 1, Proven: true}); f != nil || !small.Request.Body.(*heldBody).proven {
		t.Error("held twice, the second time proven: not proven")
	}
}

// Nothing is counted any more once nothing is held.
func TestHoldForgets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []*Exchange
		for range rapid.IntRange(1, 30).Draw(rt, "bodies") {
			x, got := hold(t, rapid.SampledFrom([]string{"", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"}).Draw(rt, "client"), rapid.IntRange(0, 3<<20).Draw(rt, "size"), rapid.Bool().Draw(rt, "proven"))
			if got == "held" && rapid.Bool().Draw(rt, "prove") {
				x.ProveHeld()
			}
			all = append(all, x)
		}
		for _, x := range all {
			x.DropHeld()
		}
		if a, u := Holding(), holding.unproven.Load(); a != 0 || u != 0 {
			rt.Fatalf("%d held, %d unproven", a, u)
		}
		for i := range holding.places {
			if n := len(holding.places[i].bytes); n > 0 {
				rt.Fatalf("%d addresses are still counted", n)
			}
		}
	})
}

// drip is a body of which a byte comes now and then, until it is stopped.
type drip struct {
	every   time.Duration
	left    int
	stopped chan struct{}
	stops   int
}

func (d *drip) Next() ([]byte, error) {
	if d.left == 0 {
		return nil, io.EOF
	}
	d.left--
	select {
	case <-d.stopped:
		return nil, fault.New(fault.Internal, nil)
	case <-time.After(d.every):
		return []byte("x"), nil
	}
}

func (d *drip) Buffered() bool { return d.left == 0 }

func (d *drip) StopBody() {
	d.stops++
	close(d.stopped)
}

// A body that drips is over when its time is, and not when it pleases.
func TestHoldWithin(t *testing.T) {
	f := func(every time.Duration, bytes int, within time.Duration, want string, took time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			d := &drip{every: every, left: bytes, stopped: make(chan struct{})}
			x := &Exchange{Request: Request{Length: Unknown, Body: d}, Flow: d}
			began, got := time.Now(), "held"
			if _, f := x.HoldBody(Hold{Max: 1000, Within: within}); f != nil {
				got = f.Kind.Word
			}
			if since := time.Since(began); got != want || since != took {
				t.Errorf("%s after %v, want %s after %v", got, since, want, took)
			}
			x.DropHeld()
			time.Sleep(time.Hour)
			if late := want == "body_timeout"; d.stops > 1 || (d.stops == 1) != late || x.Request.Streaming != late || Holding() != 0 {
				t.Errorf("stopped %d times, interrupted %v, %d held", d.stops, x.Request.Streaming, Holding())
			}
		})
	}
	f(time.Second, 100, 30*time.Second+1, "body_timeout", 30*time.Second+1)
	f(time.Hour, 1, 30*time.Second, "body_timeout", 30*time.Second)
	f(time.Second, 29, 30*time.Second, "held", 29*time.Second)
	f(time.Second, 100, 0, "held", 100*time.Second)
}
