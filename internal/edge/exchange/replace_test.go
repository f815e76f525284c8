package exchange

import (
	"bytes"
	"io"
	"testing"

	"straum.dev/straum/internal/edge/fault"
)

// What takes the place of a held body is sent as often as it was, and counts as it did.
func TestReplaceHeld(t *testing.T) {
	for _, size := range []int{0, 1, 100, 5000, 200_000} {
		x := &Exchange{Request: Request{Length: Unknown, Body: &runs{rest: make([]byte, 3000), size: 700}}}
		if _, f := x.HoldBody(Hold{Max: 1 << 20}); f != nil {
			t.Fatal(f)
		}
		if _, err := x.Request.Body.Next(); err != nil { // a policy that reads is no reason to send less
			t.Fatal(err)
		}
		content := bytes.Repeat([]byte("x"), size)
		if f := x.ReplaceHeld(content); f != nil {
			t.Fatal(f)
		}
		clear(content)
		if !x.Held() || x.Request.Length != int64(size) || Holding() < int64(size) {
			t.Errorf("%d bytes: length %d, %d held", size, x.Request.Length, Holding())
		}
		for range 2 {
			run, err := x.Request.Body.Next()
			if size == 0 && err != io.EOF || size > 0 && (err != nil || !bytes.Equal(run, bytes.Repeat([]byte("x"), size))) {
				t.Errorf("%d bytes: %d, %v", size, len(run), err)
			}
			if !x.Request.Body.(Rewinder).Rewind() {
				t.Error("it cannot be sent again")
			}
		}
		x.DropHeld()
		if Holding() != 0 {
			t.Errorf("%d are still held", Holding())
		}
	}
	x := &Exchange{Request: Request{Length: 1, Body: &runs{rest: make([]byte, 1), size: 1}}}
	if _, f := x.HoldBody(Hold{Max: 1}); f != nil {
		t.Fatal(f)
	}
	if f := x.ReplaceHeld(make([]byte, HoldShare+1<<20)); f != nil && f.Kind != fault.HoldFull {
		t.Error(f)
	}
	x.DropHeld()
	if Holding() != 0 {
		t.Errorf("%d are still held", Holding())
	}
}
