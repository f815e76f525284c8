package capacity

import (
	"fmt"
	"math"
	"time"
)

// Means is what is known of the box and its configuration beyond the runs, for advice.
type Means struct {
	Cores       float64 // the box's
	Memory      int64   // bytes that may be used
	Budgets     []Budget
	Connections int     // that listeners take at most, all together
	Ceiling     float64 // bytes a second of the interface in one direction; 0 is not known
	Month       float64 // price of this box, in whatever money; 0 is not given
	NextMonth   float64 // of the next larger one
}

// Budget is memory that the configuration lets be used.
type Budget struct {
	For   string `json:"for"`
	Bytes int64  `json:"bytes"`
}

// Need is what a load needs.
type Need struct {
	Rate    float64       `json:"rate"`
	Busy    float64       `json:"busy_cores"` // that the gateway would keep busy
	Cores   int           `json:"cores"`      // to have, over all boxes
	Boxes   int           `json:"boxes"`
	Wait    time.Duration `json:"wait"` // p99 of waiting for a core then, by the model
	Memory  int64         `json:"memory"`
	Parts   []Budget      `json:"memory_parts"`
	Network float64       `json:"network"` // bytes a second to clients; endpoints that are elsewhere bring as much again
	Month   float64       `json:"month"`   // what it costs; 0 is not known
	Reasons []string      `json:"reasons"`
}

const (
	// target is how busy the cores should be at most at the busiest time: what is left is for bursts, reloads, and an endpoint that
	// has to be retried.
	target = 0.65
	// largest is how many cores a box of a provider commonly has at most before the price of each climbs.
	largest = 32
	// queueCore is the part of a core that one queue of an interface may keep busy with packets.
	queueCore = 0.8
	// usual is how much of a ceiling of the network may be used steadily.
	usual = 0.7
	// connectionMemory is what a connection takes of the gateway and of the kernel while a request is under way, in bytes. It holds where the
	// runs had too few to tell.
	connectionMemory = 24 << 10
	// processMemory is what the gateway takes without connections and caches, likewise.
	processMemory = 48 << 20
)

// For says what a rate needs, going by what a request cost in the runs. nil without a verdict or without a known cost.
func (v *Verdict) For(rate float64, m Means, steps []Step) *Need {
	if v.Refused != "" || v.Cost == 0 || rate <= 0 {
		return nil
	}
	n := &Need{Rate: rate, Busy: rate * v.Cost.Seconds(), Boxes: 1}
	if v.Shared {
		n.because("others had most of the cores while this was measured, which makes each request dearer: it needs less than this on a box of its own")
	}
	n.cores(v, m, steps)
	n.network(v, m)
	n.memory(m, steps)
	n.money(m)
	return n
}

// cores finds the smallest usual number of cores that are at most at the target, and whose queue leaves time for the rest of the goal.
func (n *Need) cores(v *Verdict, m Means, steps []Step) {
	for _, n.Cores = range []int{1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024} {
		n.Wait = waiting(n.Cores, n.Rate, v.Cost)
		if n.Busy <= target*float64(n.Cores) && n.Wait <= v.Goal.P99/4 {
			break
		}
	}
	if n.Busy > target*float64(n.Cores) { // more than any box has
		n.Cores = largest * int(math.Ceil(n.Busy/target/largest))
		n.Wait = waiting(n.Cores, n.Rate, v.Cost)
	}
	n.because("%s/s × %s of a core a request keep %s cores busy; with %d they are %s busy (at most %s), and by the model M/M/c one request in a hundred waits %s for a core",
		number(n.Rate), span(v.Cost), cores(n.Busy), n.Cores, percent(n.Busy/float64(n.Cores)), percent(target), span(max(n.Wait, 0)))
	if n.Cores > 2*int(math.Ceil(m.Cores)) {
		n.because("that a request costs the same with %d cores as with the %.3g that were measured is an assumption; measure again there", n.Cores, m.Cores)
	}
	if n.Cores > largest {
		n.Boxes = (n.Cores + largest - 1) / largest
		n.because("more than %d cores are for several boxes", largest)
	}
	if packets := packetCores(v, steps) * n.Rate / v.Capacity; packets > queueCore*float64(n.Boxes) {
		n.because("packets would keep %s cores busy; an interface with one queue has one core for them, so give it several (straum doctor shows queues and RPS), or take a second box", cores(packets))
	}
}

// packetCores is how many cores were busy with packets at the capacity; 0 when they may have been others' packets.
func packetCores(v *Verdict, steps []Step) (most float64) {
	for i := range steps {
		if s := &steps[i]; s.Wanted == v.Capacity && s.Softirq.Known() && s.Others() < s.Own() {
			most = max(most, float64(s.Softirq)*s.Cores)
		}
	}
	return most
}

func (n *Need) network(v *Verdict, m Means) {
	n.Network = n.Rate * v.Bytes
	if m.Ceiling == 0 {
		n.because("answers of %s make %s Mbit/s to clients; what this box's interface can is not known, so compare it with what the provider sells", size(v.Bytes), number(n.Network*8/1e6))
		return
	}
	n.because("answers of %s make %s Mbit/s to clients, %s of this box's interface", size(v.Bytes), number(n.Network*8/1e6), percent(n.Network/m.Ceiling))
	if boxes := int(math.Ceil(n.Network / (usual * m.Ceiling))); boxes > n.Boxes {
		n.Boxes = boxes
		n.because("so much is for %d boxes with such an interface, or for one with a faster one", boxes)
	}
}

// memory adds up what the configuration budgets and what connections take, a box.
func (n *Need) memory(m Means, steps []Step) {
	process, each := memoryOf(steps)
	n.Parts = append([]Budget{{"the gateway itself", process}, {fmt.Sprintf("%s connections of %s", number(float64(m.Connections)), size(float64(each))), int64(m.Connections) * each}}, m.Budgets...)
	for _, p := range n.Parts {
		n.Memory += p.Bytes
	}
	n.Memory = int64(float64(n.Memory) / 0.85) // what the Go runtime's limit leaves to the kernel
	if m.Memory > 0 && n.Memory > m.Memory {
		n.because("the configuration's budgets and connections come to %s, more than the %s of this box", size(float64(n.Memory)), size(float64(m.Memory)))
	}
}

// memoryOf is what the process and each connection took: by the runs with the fewest and the most connections where they tell, else what is usual.
func memoryOf(steps []Step) (process, each int64) {
	process, each = processMemory, connectionMemory
	var few, many *Step
	for i := range steps {
		s := &steps[i]
		if s.Resident == 0 || s.Open == 0 {
			continue
		}
		if few == nil || s.Open < few.Open {
			few = s
		}
		if many == nil || s.Open > many.Open {
			many = s
		}
	}
	if few == nil {
		return process, each
	}
	process = max(process, few.Resident)
	if more := many.Open - few.Open; more >= 500 {
		each = max(connectionMemory/4, (many.Resident-few.Resident)/int64(more))
	}
	return process, each
}

// money says what it costs, where prices are given: this box while it suffices, the next while that does, else as many of this one as it takes.
func (n *Need) money(m Means) {
	if m.Month == 0 {
		return
	}
	have := max(1, int(m.Cores))
	switch {
	case n.Cores <= have && n.Boxes == 1:
		n.Month = m.Month
		n.because("this box is enough")
	case n.Cores <= 2*have && n.Boxes == 1 && m.NextMonth > 0:
		n.Month = m.NextMonth
		n.because("the next larger box, with twice the cores, is enough")
	default:
		boxes := max(n.Boxes, int(math.Ceil(float64(n.Cores)/float64(have))))
		n.Month = float64(boxes) * m.Month
		n.because("%d boxes like this one would do; one more keeps the promise while one is down", boxes)
	}
}

func (n *Need) because(format string, args ...any) {
	n.Reasons = append(n.Reasons, fmt.Sprintf(format, args...))
}

// PerMillion is what a million requests cost on a box of a price a month that carries half its capacity all the time.
func PerMillion(month, capacity float64) float64 {
	const seconds = 30.44 * 24 * 3600
	if capacity <= 0 {
		return 0
	}
	return month / (capacity / 2 * seconds) * 1e6
}
