package vitals

import (
	"bytes"
	"slices"
	"time"
)

// Sample is the state of the box's counters at one time. Two make Vitals. Counters are sums since the box started and may go back to zero
// (a card that is plugged anew, an overflow); what goes down counts as nothing happened. A nil part could not be read.
type Sample struct {
	At          time.Time
	Cores       float64 // that may be used
	CPU         *Ticks
	Waits       *Waits
	Stack       *Stack
	Conntrack   *Use
	Ports       *Use
	Cards       []Card
	Volumes     []Volume
	Descriptors *Use
	Files       *Use
	Memory      Memory
	Process     *ProcessSample

	throttled *throttling
	unknown   []Part
}

// Ticks are hundredths of seconds (USER_HZ) that all processors together spent.
type Ticks struct {
	User, Nice, System, Idle, IOWait, IRQ, Softirq, Steal uint64

	Running int    // tasks that run or wait for a processor
	Each    []Core // by number, without gaps for those that are off
}

// Core is what one processor spent, in ticks.
type Core struct{ Softirq, Total uint64 }

// Waits are microseconds in which some task waited (PSI).
type Waits struct{ CPU, IO, Memory uint64 }

// Stack are counters of the network stack of the namespace the process is in; those of softnet are the machine's.
type Stack struct {
	Sent, Retransmitted, ListenOverflows, ListenDrops, SYNCookies uint64
	SoftnetDropped, SoftnetSqueezed                               uint64
	TimeWait                                                      int
}

// throttling is how often a quota was used up.
type throttling struct {
	throttled uint64  // periods
	period    float64 // seconds each
}

// Knows says whether a part could be read.
func (s *Sample) Knows(p Part) bool { return !slices.Contains(s.unknown, p) }

// ThrottledPeriods is in how many periods the control group had used up its quota; ok says whether it has one.
func (s *Sample) ThrottledPeriods() (n uint64, ok bool) {
	if s.throttled == nil {
		return 0, false
	}
	return s.throttled.throttled, true
}

// Sample reads the counters, in well under a millisecond and without reading tables that grow with connections. (Before Linux 6.2
// descriptors have to be counted one by one; where there are many that is done once a dozen samples.)
func (s *Source) Sample() *Sample {
	out := &Sample{At: time.Now(), Cores: s.cores}
	out.CPU = s.ticks()
	if out.CPU == nil {
		out.unknown = append(out.unknown, Processors)
	}
	out.throttled = s.throttling()
	if s.proc != nil {
		out.Waits = s.waits()
	}
	s.network(out)
	out.Volumes = s.disks()
	out.Descriptors = s.descriptors()
	if n := [3]uint64{}; numbers(s.read(s.files), n[:]) == 3 {
		out.Files = &Use{Used: int64(min(n[0], 1<<62)), Limit: int64(min(n[2], 1<<63-1))}
	}
	out.Memory = s.memory()
	if out.Memory.Total == 0 {
		out.unknown = append(out.unknown, MainMemory)
	}
	out.Process = s.processSample()
	return out
}

// ticks reads /proc/stat. The lines of interrupts, which are long on large boxes, are passed over.
func (s *Source) ticks() *Ticks {
	var t *Ticks
	for line := range lines(s.read(s.stat)) {
		name, rest := word(line)
		switch {
		case bytes.HasPrefix(name, []byte("cpu")):
			var n [8]uint64
			numbers(rest, n[:]) // 2.6.11 and later have all of them
			if len(name) == len("cpu") {
				t = &Ticks{User: n[0], Nice: n[1], System: n[2], Idle: n[3], IOWait: n[4], IRQ: n[5], Softirq: n[6], Steal: n[7], Each: make([]Core, 0, s.online)}
			} else if t != nil {
				c := Core{Softirq: n[6]}
				for _, x := range n {
					c.Total += x
				}
				t.Each = append(t.Each, c)
			}
		case t != nil && string(name) == "procs_running":
			var n [1]uint64
			numbers(rest, n[:])
			t.Running = int(min(n[0], 1<<30))
		}
	}
	return t
}

// waits reads /proc/pressure. A kernel may have PSI built in and switched off: then reading fails.
func (s *Source) waits() *Waits {
	w := &Waits{}
	for _, r := range []struct {
		name string
		into *uint64
	}{{"cpu", &w.CPU}, {"io", &w.IO}, {"memory", &w.Memory}} {
		p, err := s.proc.PSIStatsForResource(r.name)
		if err != nil || p.Some == nil {
			return nil
		}
		*r.into = p.Some.Total
	}
	return w
}

// throttling reads cpu.stat of a control group; both versions call it nr_throttled.
func (s *Source) throttling() *throttling {
	for line := range lines(s.read(s.throttle)) {
		if name, rest := word(line); string(name) == "nr_throttled" {
			var n [1]uint64
			if numbers(rest, n[:]) == 1 {
				return &throttling{throttled: n[0], period: s.period}
			}
		}
	}
	return nil
}

// memory reads /proc/meminfo and the files of the tightest group.
func (s *Source) memory() Memory {
	var m Memory
	var total, free int64
	for line := range lines(s.read(s.meminfo)) {
		name, rest := word(line)
		var into *int64
		switch string(name) {
		case "MemTotal:":
			into = &m.Total
		case "MemAvailable:":
			into = &m.Available
		case "SwapTotal:":
			into = &total
		case "SwapFree:":
			into = &free
		default:
			continue
		}
		var n [1]uint64
		numbers(rest, n[:])
		*into = int64(min(n[0], 1<<50)) << 10
	}
	m.Swapped = max(total-free, 0)
	if used, ok := s.single(s.used); ok {
		if limit, ok := s.single(s.limit); ok {
			m.Group = &Use{Used: used, Limit: limit}
		}
	}
	return m
}
