package memlimit

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Pace makes the Go runtime collect when the heap has grown by percent of what is live, but not before it has grown by room bytes. A
// percentage alone makes a small heap collect all the time: with 8 MiB live and 50 %, every 4 MiB, which is forty handshakes of TLS. It
// lasts for the life of the process.
func Pace(percent int, room uint64) {
	p := &pace{percent: percent, room: room}
	p.sample[0].Name = "/gc/heap/live:bytes"
	p.collected()
}

type pace struct {
	percent int
	room    uint64
	inForce int
	sample  [1]metrics.Sample
}

// collected is called after each collection. The collector tells of it by clearing away what nobody holds.
func (p *pace) collected() {
	metrics.Read(p.sample[:])
	if p.sample[0].Value.Kind() != metrics.KindUint64 {
		debug.SetGCPercent(p.percent) // a runtime without this figure
		return
	}
	if next := growth(p.percent, p.room, p.sample[0].Value.Uint64()); abs(next-p.inForce) > p.inForce/8 {
		debug.SetGCPercent(next) // stops the world for some microseconds, so not for little
		p.inForce = next
	}
	runtime.AddCleanup(new([16]byte), (*pace).collected, p)
}

// growth is by how many percent a heap with live bytes may grow.
func growth(percent int, room, live uint64) int {
	const most = 1000 // a heap with next to nothing live
	return max(percent, int(min(room*100/max(live, 1), most)))
}

func abs(n int) int { return max(n, -n) }
