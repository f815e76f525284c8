package memlimit

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		percent    int
		room, live uint64
		want       int
	}{
		{50, 16 * mib, 8 * mib, 200},
		{50, 16 * mib, 32 * mib, 50},
		{50, 16 * mib, 33 * mib, 50},
		{50, 16 * mib, 1 << 40, 50},
		{50, 16 * mib, 0, 1000},
		{50, 0, 8 * mib, 50},
	} {
		if got := growth(c.percent, c.room, c.live); got != c.want {
			t.Errorf("%d%%, room %d, %d live: %d%%, want %d%%", c.percent, c.room, c.live, got, c.want)
		}
	}
}

func TestPaceFollowsTheHeap(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	Pace(50, 16<<20)
	inForce := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	await := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !holds(); runtime.GC() {
			if time.Now().After(end) {
				t.Fatalf("still not so: %s; %d%% are in force", what, inForce())
			}
		}
	}
	await("a small heap may grow by far more than 50%", func() bool { return inForce() > 300 })
	held := make([]byte, 64<<20)
	await("a large one by 50%", func() bool { return inForce() == 50 })
	runtime.KeepAlive(held)
	held = nil
	await("and it is small again", func() bool { return inForce() > 300 })
}
