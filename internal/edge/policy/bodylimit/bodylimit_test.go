package bodylimit

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policytest"
)

// post makes a request with so many bytes of body, its length announced or not.
func post(r *policytest.Running, size int, announced bool) *exchange.Exchange {
	text := "POST / HTTP/1.1\nHost: a\n\n"
	x := r.Request(text + strings.Repeat("a", size))
	if !announced {
		x.Request.Length = exchange.Unknown
	}
	return x
}

// read takes the body as the upstream does: how much of it came, and why no more did.
func read(x *exchange.Exchange) (n int, err error) {
	if x.Request.Body == nil {
		return 0, nil
	}
	for {
		run, err := x.Request.Body.Next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if len(run) == 0 {
			return n, fmt.Errorf("an empty run")
		}
		n += len(run)
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	f := fault.Of(err)
	if f.Kind != fault.BodyTooLarge || !strings.Contains(f.Told(), "route") {
		t.Errorf("%s: %v, told %q", what, err, f.Told())
	}
}

func TestAnnounced(t *testing.T) {
	for _, limit := range []int{0, 1, 20} {
		r := policytest.New(t).Policy(Kind, fmt.Sprint(limit))
		for _, size := range []int{0, 1, 2, 20, 21, 1000} {
			x := post(r, size, true)
			body := x.Request.Body
			r.Chain.Request(x)
			switch {
			case x.Request.Body != body:
				t.Errorf("a body of known length is wrapped, so that it cannot be spliced")
			case size > limit && x.Fault == nil, size <= limit && x.Fault != nil:
				t.Errorf("%d of %d: %v", size, limit, x.Fault)
			case size > limit:
				refused(t, fmt.Sprint(size), x.Fault)
				if policytest.Verdict(x, "body_limit") != "too_large" {
					t.Error(x.Verdicts)
				}
			}
		}
	}
}

// A body of unknown length is let through up to the limit, and not one byte of the run that goes beyond.
func TestUnknown(t *testing.T) {
	for _, limit := range []int{0, 1, 14, 20} {
		r := policytest.New(t).Policy(Kind, fmt.Sprint(limit))
		for _, size := range []int{1, 2, 14, 15, 20, 21, 1000} {
			x := post(r, size, false)
			r.Chain.Request(x)
			if x.Fault != nil {
				t.Fatal(x.Fault)
			}
			n, err := read(x)
			if size <= limit && (n != size || err != nil) {
				t.Errorf("%d of %d: %d came, %v", size, limit, n, err)
			}
			if size > limit {
				refused(t, fmt.Sprintf("%d of %d", size, limit), err)
				if n > limit || !x.Request.Body.Buffered() {
					t.Errorf("%d of %d: %d came", size, limit, n)
				}
				_, err = x.Request.Body.Next()
				refused(t, "again", err)
			}
			x.Settle()
		}
	}
}

// rewindable is a body that can be read again.
type rewindable struct{ rest, all []byte }

func (b *rewindable) Next() ([]byte, error) {
	if len(b.rest) == 0 {
		return nil, io.EOF
	}
	n := min(5, len(b.rest))
	run := b.rest[:n]
	b.rest = b.rest[n:]
	return run, nil
}
func (b *rewindable) Buffered() bool { return true }
func (b *rewindable) Rewind() bool   { b.rest = b.all; return true }

// A retry reads the body from its beginning, and counts it from there.
func TestRewind(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "20")
	x := post(r, 1, false)
	x.Request.Body = &rewindable{[]byte("12345678901234567890"), []byte("12345678901234567890")}
	r.Chain.Request(x)
	for range 3 {
		if n, err := read(x); n != 20 || err != nil {
			t.Fatal(n, err)
		}
		if !x.Request.Body.(exchange.Rewinder).Rewind() {
			t.Fatal("it cannot be read again")
		}
	}
	x = post(r, 20, false) // policytest's body cannot
	r.Chain.Request(x)
	if x.Request.Body.(exchange.Rewinder).Rewind() {
		t.Error("it says that it can be read again")
	}
	x.Request.Body = nil
	x = post(r, 1, false)
	x.Request.Body = &rewindable{[]byte("123456789012345678901"), nil}
	r.Chain.Request(x)
	_, err := read(x)
	refused(t, "first", err)
	if x.Request.Body.(exchange.Rewinder).Rewind() {
		t.Error("what is too large is tried again")
	}
}

// Policies that hold the body get no more than the route allows, and what is held already is judged.
func TestHeld(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "20")
	hold := exchange.Hold{Max: 100, Proven: true}
	x := post(r, 20, false)
	r.Chain.Request(x)
	if body, f := x.HoldBody(hold); f != nil || len(body) != 20 {
		t.Error(len(body), f)
	}
	x.Settle()
	if body, f := x.HoldBody(hold); f != nil || string(body) != strings.Repeat("a", 20) {
		t.Error(string(body), f)
	}
	x.DropHeld()
	x = post(r, 21, false)
	r.Chain.Request(x)
	_, f := x.HoldBody(hold)
	refused(t, "held", f)
	for size, ok := range map[int]bool{20: true, 21: false} {
		x = post(r, size, false)
		x.Request.Trailer.Add("X-Sum", "1") // so that its length stays unknown
		if _, f := x.HoldBody(hold); f != nil || x.Request.Length != exchange.Unknown {
			t.Fatal(f)
		}
		r.Chain.Request(x)
		if (x.Fault == nil) != ok || !x.Held() {
			t.Errorf("%d that were held: %v", size, x.Fault)
		}
		x.DropHeld()
	}
}

// What was read to its end is used again for another request; what was not is nobody's any more.
func TestReuse(t *testing.T) {
	r := policytest.New(t).Policy(Kind, "20")
	x := post(r, 10, false)
	r.Chain.Request(x)
	stuck := x.Request.Body.(*counted)
	if _, err := stuck.Next(); err != nil {
		t.Fatal(err)
	}
	x.Settle()
	for range 100 {
		y := post(r, 10, false)
		r.Chain.Request(y)
		if y.Request.Body == exchange.Body(stuck) {
			t.Fatal("a body that may be read still is another request's")
		}
		if n, err := read(y); n != 10 || err != nil {
			t.Fatal(n, err)
		}
		y.Settle()
		if _, still := y.Request.Body.(*counted); still {
			t.Fatal("the request goes on with a body that is another's")
		}
	}
	if run, err := stuck.Next(); len(run) != 3 || err != nil {
		t.Error(len(run), err)
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	for options, want := range map[string]string{"{}": "size", "1XB": "unit", "{size: 1MB, response: 2MB}": "response", "2TiB": "1TiB"} {
		if got := w.Refused(Kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", options, got, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := policytest.New(t).Policy(Kind, "1MB")
	for _, announced := range []bool{true, false} {
		x := post(r, 1, announced)
		body := &rewindable{all: []byte("1234567890")}
		if n := testing.AllocsPerRun(1000, func() {
			body.rest = body.all
			x.Request.Body = body
			r.Chain.Request(x)
			if _, err := read(x); err != nil {
				t.Error(err)
			}
			x.Settle()
		}); n > 0.1 || x.Fault != nil { // the collector empties pools now and then
			t.Errorf("announced %v: %v allocations", announced, n)
		}
	}
}

func BenchmarkBodyLimit(b *testing.B) {
	r := policytest.New(b).Policy(Kind, "1MB")
	for _, announced := range []bool{true, false} {
		b.Run(fmt.Sprintf("announced=%v", announced), func(b *testing.B) {
			x := post(r, 1, announced)
			body := &rewindable{all: []byte("1234567890")}
			b.ReportAllocs()
			for b.Loop() {
				body.rest = body.all
				x.Request.Body = body
				r.Chain.Request(x)
				if _, err := read(x); err != nil {
					b.Fatal(err)
				}
				x.Settle()
			}
		})
	}
}
