package pace

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	const second = int64(time.Second)
	f := func(name string, min int64, steps ...[3]int64) { // bytes, waited, verdict
		t.Helper()
		p := New(min, 2*time.Second)
		for i, s := range steps {
			if got := p.Fast(s[0], s[1]); got != (s[2] == 1) {
				t.Errorf("%s: step %d: got %v", name, i, got)
			}
		}
	}
	f("fast enough", 100, [3]int64{200, 2 * second, 1})
	f("a byte too slow", 100, [3]int64{199, 2 * second, 0})
	f("no verdict before the span is over", 100, [3]int64{0, second, 1}, [3]int64{0, second - 1, 1}, [3]int64{1, 1, 0})
	f("bytes of the whole span count", 100, [3]int64{200, 0, 1}, [3]int64{0, 2 * second, 1})
	f("a new span begins from nothing", 100, [3]int64{1000, 2 * second, 1}, [3]int64{0, 2 * second, 0})
	f("a long wait asks for more", 100, [3]int64{299, 3 * second, 0})
	f("waiting for nothing is free", 1<<40, [3]int64{1, 0, 1}, [3]int64{1, 0, 1})
	f("no overflow", 1<<62, [3]int64{1, 1 << 62, 0})
}

func TestNothingIsAsked(t *testing.T) {
	var p Pace
	if p.Asks() || !p.Fast(0, int64(time.Hour)) {
		t.Error("the zero value asks for something")
	}
	if p = New(1, time.Second); !p.Asks() {
		t.Error("a byte a second is nothing")
	}
}
