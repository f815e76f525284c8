package exchange

import (
	"bytes"
	"io"
	"testing"

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
		got, f := x.HoldBody(int64(max))
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
	if _, f := x.HoldBody(1000); f == nil || f.Kind != fault.ClientGone || Holding() != 0 {
		t.Errorf("%v, %d held", f, Holding())
	}
	// Nobody is there to tell the client to go on.
	x = &Exchange{Request: Request{Length: 100, Continue: true, Body: &runs{rest: make([]byte, 100), size: 10}}}
	if _, f := x.HoldBody(1000); f == nil || f.Kind != fault.Internal {
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
		_, f := x.HoldBody(each)
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
		if _, f := x.HoldBody(1 << 20); f != nil {
			t.Error(f)
		}
		x.DropHeld()
	}); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
