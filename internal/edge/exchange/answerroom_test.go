package exchange

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is taken and given back in whatever order, the room knows how much it is, and keeps to its bounds.
func TestAnswerRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type one struct {
			x    *Exchange
			room AnswerRoom
		}
		all := make([]one, 6)
		for i := range all {
			all[i].x = &Exchange{Client: netip.AddrFrom4([4]byte{10, 0, 0, byte(i / 2)})}
			if i > 3 {
				all[i].x.Caller.Method = "jwt"
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			o := &all[rapid.IntRange(0, len(all)-1).Draw(t, "who")]
			before := o.room.bytes
			n := rapid.Int64Range(0, AnswerBudget/3).Draw(t, "bytes")
			if took := o.room.Take(o.x, n); took && o.room.bytes != n || !took && (o.room.bytes != before || n < before) {
				t.Fatalf("%d of %d, %v", o.room.bytes, n, took)
			}
			var sum, unproven int64
			for i := range all {
				if sum += all[i].room.bytes; i <= 3 {
					unproven += all[i].room.bytes
				}
			}
			if sum != HoldingAnswers() || sum > AnswerBudget || unproven > HoldUnproven {
				t.Fatalf("%d of %d, %d unproven", HoldingAnswers(), sum, unproven)
			}
		}
		for i := range all {
			all[i].room.Release()
			all[i].room.Release()
		}
		if HoldingAnswers() != 0 || answering.unproven.Load() != 0 {
			t.Fatalf("%d bytes are left", HoldingAnswers())
		}
		for i := range answering.places {
			if len(answering.places[i].bytes) != 0 {
				t.Fatal("an address is still counted")
			}
		}
	})
}

// One address cannot take the room of all, and one answer may be larger than its part.
func TestAnswerRoomShare(t *testing.T) {
	x := &Exchange{Client: netip.MustParseAddr("2001:db8::1")}
	y := &Exchange{Client: netip.MustParseAddr("2001:db8::2")}
	var a, b AnswerRoom
	defer a.Release()
	defer b.Release()
	if !a.Take(x, 2*HoldShare) || b.Take(y, 1) {
		t.Error("two of one network")
	}
	if y.Caller.Method = "jwt"; !b.Take(y, 1) {
		t.Error("one who is proven has no room")
	}
}
