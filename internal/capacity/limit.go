package capacity

import (
	"fmt"
	"strings"
)

// Limit is what gives out first.
type Limit string

const (
	CPU         Limit = "CPU"
	Upstream    Limit = "upstream"
	Network     Limit = "network"
	Disk        Limit = "disk"
	Descriptors Limit = "descriptors"
	Memory      Limit = "memory"
	Generator   Limit = "the generator" // what was measured with, not what was measured
	NoLimit     Limit = "unknown"
)

// From where on something is as good as used up.
const (
	busyFull        = 0.85 // of the cores; a queue for them is long by then
	busyPressed     = 0.70 // of the cores, when tasks waited for them as well
	pressed         = 0.40 // of the window in which some task waited
	networkFull     = 0.85 // of what the interface can
	packetsFull     = 0.90 // of one core
	diskFull        = 0.90 // of the window
	descriptorsFull = 0.95
	memoryFull      = 0.97
	upstreamPart    = 0.6 // of the whole time
)

// GivesOut says what stood in the way of a step that missed the goal, with the figures that say so. What is used up for certain
// is asked for first; the processors are asked for before the endpoints, because a box without them makes everybody slow.
func GivesOut(g Goal, s *Step) (Limit, string) {
	for _, look := range []func(Goal, *Step) (Limit, string){
		descriptors, memory, network, generator, held, processors, disk, upstream,
	} {
		if limit, evidence := look(g, s); limit != "" {
			return limit, evidence
		}
	}
	return NoLimit, fmt.Sprintf("nothing that was measured was used up: the cores were %s busy%s", share(s.Busy), ofTheTime(s))
}

func descriptors(_ Goal, s *Step) (Limit, string) {
	if s.Short == 0 && s.Descriptors < descriptorsFull {
		return "", ""
	}
	text := share(s.Descriptors) + " of the gateway's descriptors were in use"
	if s.Short > 0 {
		text += fmt.Sprintf(", and it stopped accepting connections for want of them %d times", s.Short)
	}
	return Descriptors, text + "; raise LimitNOFILE"
}

func memory(_ Goal, s *Step) (Limit, string) {
	if s.Memory < memoryFull && s.PressureMemory < 0.1 {
		return "", ""
	}
	text := share(s.Memory) + " of the memory was in use"
	if s.PressureMemory > 0 {
		text += "; tasks waited for memory " + share(s.PressureMemory) + " of the time"
	}
	return Memory, text
}

func network(_ Goal, s *Step) (Limit, string) {
	switch {
	case s.Network >= networkFull:
		return Network, "the interface carried " + share(s.Network) + " of what it can"
	case s.Packets >= packetsFull && s.Busy < busyFull:
		return Network, "one core was " + share(s.Packets) + " busy with packets (softirq) while all together were " + share(s.Busy) + " busy: the interface has one queue, or all come by it; " +
			"straum doctor shows queues and RPS"
	case s.Retransmitted > 0.05 && s.Busy < busyPressed:
		return Network, share(s.Retransmitted) + " of the segments were sent again while the cores were " + share(s.Busy) + " busy"
	case s.PacketsLost > 0 && s.Busy < busyPressed:
		return Network, fmt.Sprintf("the kernel dropped %d packets before anybody saw them, while the cores were %s busy", s.PacketsLost, share(s.Busy))
	case s.Overflows > 0 && s.Busy < busyPressed:
		return Network, fmt.Sprintf("a listener's queue had no room for %d connections, while the cores were %s busy; straum doctor looks at somaxconn and the backlog", s.Overflows, share(s.Busy))
	}
	return "", ""
}

// generator finds requests that were late before they were sent, while there was room for more.
func generator(g Goal, s *Step) (Limit, string) {
	if s.Busy >= busyPressed {
		return "", ""
	}
	switch {
	case s.Late > g.P99/2:
		return Generator, "it sent requests " + span(s.Late) + " late (p99) while the cores were " + share(s.Busy) + " busy"
	case s.P99 > g.P99 && s.Service <= g.P99 && s.Service > 0:
		return Generator, fmt.Sprintf("p99 was %s once a request was sent, and %s from when it was due: its %d connections were all in use; give it more with --connections",
			span(s.Service), span(s.P99), s.Connections)
	}
	return "", ""
}

// held finds requests that wait for endpoints' connections while the gateway, the endpoints and the generator leave most of the processors alone: then
// it is no want of processors that fills the queue, whoever else keeps them busy.
func held(_ Goal, s *Step) (Limit, string) {
	if s.Waiting == 0 || s.Own() > s.Cores/2 {
		return "", ""
	}
	return Upstream, fmt.Sprintf("%s requests waited for a connection to an endpoint (pool.connections), while the gateway kept %s of %.3g cores busy", number(float64(s.Waiting)), cores(s.Gateway), s.Cores)
}

func processors(_ Goal, s *Step) (Limit, string) {
	switch {
	case s.Throttled > 0.05:
		return CPU, "the control group had used up its processor quota " + share(s.Throttled) + " of the time" + whose(s)
	case s.Busy >= busyFull:
		return CPU, "the cores were " + share(s.Busy) + " busy" + whose(s)
	case s.Busy >= busyPressed && s.PressureCPU >= pressed:
		return CPU, "the cores were " + share(s.Busy) + " busy and tasks waited for one " + share(s.PressureCPU) + " of the time" + whose(s)
	}
	return "", ""
}

// whose says who had the processors.
func whose(s *Step) string {
	parts := []string{"gateway " + cores(s.Gateway)}
	if s.Endpoints.Known() {
		parts = append(parts, "endpoints "+cores(float64(s.Endpoints)))
	}
	parts = append(parts, "generator "+cores(s.Generator), "others "+cores(s.Others()))
	text := fmt.Sprintf(" (%s of %.3g cores)", strings.Join(parts, ", "), s.Cores)
	if s.Others() > s.Cores/2 {
		text += "; others had most of them"
	}
	return text
}

func disk(_ Goal, s *Step) (Limit, string) {
	if s.Disk < diskFull && (s.IOWait < 0.2 || s.PressureIO < pressed) {
		return "", ""
	}
	text := "the disk of the log and the cache had work " + share(s.Disk) + " of the time"
	if s.DiskWrite > 0 {
		text += ", a write took " + span(s.DiskWrite)
	}
	return Disk, text
}

func upstream(g Goal, s *Step) (Limit, string) {
	switch {
	case s.Full > 0:
		return Upstream, fmt.Sprintf("endpoints had no place for %s requests (pool.connections, concurrency or a breaker), while the cores were %s busy", number(float64(s.Full)), share(s.Busy))
	case s.Upstream > 0 && float64(s.Upstream) >= upstreamPart*float64(min(s.P99, g.P99)) && s.Upstream > s.Added:
		return Upstream, "the endpoints' part of the time was " + span(s.Upstream) + " (p99), what the gateway added " + span(s.Added) + ", while the cores were " + share(s.Busy) + " busy"
	}
	return "", ""
}

func ofTheTime(s *Step) string {
	if s.Upstream == 0 {
		return "; where the time went is not known, since the gateway's metrics page was not read"
	}
	return fmt.Sprintf(", the endpoints' part of the time was %s (p99) and the gateway added %s", span(s.Upstream), span(s.Added))
}

// share writes one.
func share(s Share) string {
	if !s.Known() {
		return "an unknown part"
	}
	return percent(float64(s))
}
