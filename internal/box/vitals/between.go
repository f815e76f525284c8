package vitals

import (
	"slices"
	"time"
)

// TicksPerSecond is USER_HZ, which is 100 on all Linux.
const TicksPerSecond = 100

// Between says what happened from one sample to a later one of the same source.
func Between(a, b *Sample) *Vitals {
	v := &Vitals{
		At: b.At, Window: max(b.At.Sub(a.At), 0),
		Conntrack: b.Conntrack, Ports: b.Ports, Descriptors: b.Descriptors, Files: b.Files, Memory: b.Memory,
	}
	seconds := v.Window.Seconds()
	v.CPU = processors(a, b, seconds)
	if a.Waits != nil && b.Waits != nil {
		v.Pressure = &Pressure{
			CPU:    part(float64(grown(a.Waits.CPU, b.Waits.CPU))/1e6, seconds),
			IO:     part(float64(grown(a.Waits.IO, b.Waits.IO))/1e6, seconds),
			Memory: part(float64(grown(a.Waits.Memory, b.Waits.Memory))/1e6, seconds),
		}
	}
	v.Network = network(a, b, seconds)
	v.Disks = disks(a, b, seconds)
	v.Process = process(a.Process, b.Process, seconds)
	for _, p := range []Part{Processors, Segments, Listening, Softnet, MainMemory} {
		if slices.Contains(a.unknown, p) || slices.Contains(b.unknown, p) {
			v.Unknown = append(v.Unknown, p)
		}
	}
	return v
}

func processors(a, b *Sample, seconds float64) CPU {
	c := CPU{Cores: b.Cores}
	if t := b.throttled; t != nil && a.throttled != nil {
		c.Throttled = part(float64(grown(a.throttled.throttled, t.throttled))*t.period, seconds)
	}
	x, y := a.CPU, b.CPU
	if x == nil || y == nil {
		return c
	}
	more := func(x, y uint64) float64 { return float64(grown(x, y)) } // whose sums do not overflow
	user := more(x.User, y.User) + more(x.Nice, y.Nice)
	system := more(x.System, y.System) + more(x.IRQ, y.IRQ)
	softirq, iowait, steal := more(x.Softirq, y.Softirq), more(x.IOWait, y.IOWait), more(x.Steal, y.Steal)
	// Not the window: processors come and go, and the kernel does not count all of them up to the same moment.
	all := user + system + softirq + iowait + steal + more(x.Idle, y.Idle)
	c.Online = len(y.Each)
	c.Busy = part(user+system+softirq, all)
	c.User, c.System, c.Softirq = part(user, all), part(system, all), part(softirq, all)
	c.IOWait, c.Steal = part(iowait, all), part(steal, all)
	for i := range min(len(x.Each), len(y.Each)) {
		mine := part(more(x.Each[i].Softirq, y.Each[i].Softirq), more(x.Each[i].Total, y.Each[i].Total))
		c.SoftirqCore = max(c.SoftirqCore, mine)
	}
	others := float64(max(x.Running-1, 0)+max(y.Running-1, 0)) / 2
	c.RunQueue = others / float64(max(c.Online, 1))
	return c
}

func network(a, b *Sample, seconds float64) Network {
	var n Network
	if x, y := a.Stack, b.Stack; x != nil && y != nil {
		n = Network{
			Sent: grown(x.Sent, y.Sent), Retransmitted: grown(x.Retransmitted, y.Retransmitted),
			ListenOverflows: grown(x.ListenOverflows, y.ListenOverflows), ListenDrops: grown(x.ListenDrops, y.ListenDrops),
			SYNCookies:     grown(x.SYNCookies, y.SYNCookies),
			SoftnetDropped: grown(x.SoftnetDropped, y.SoftnetDropped), SoftnetSqueezed: grown(x.SoftnetSqueezed, y.SoftnetSqueezed),
			TimeWait: y.TimeWait,
		}
	}
	for _, y := range b.Cards {
		i := Interface{Name: y.Name, Ceiling: y.Ceiling}
		for _, x := range a.Cards {
			if x.Name == y.Name {
				i.Received, i.Sent = rate(x.Received, y.Received, seconds), rate(x.Sent, y.Sent, seconds)
				i.Dropped = grown(x.Dropped, y.Dropped)
			}
		}
		n.Interfaces = append(n.Interfaces, i)
	}
	return n
}

func disks(a, b *Sample, seconds float64) (all []Disk) {
	for i, y := range b.Volumes {
		if y.Device == "" && y.Size == 0 {
			continue
		}
		d := Disk{Volume: y.Name, Device: y.Device, Free: y.Free, Size: y.Size}
		if i < len(a.Volumes) && a.Volumes[i].Name == y.Name {
			x := a.Volumes[i]
			d.Read = mean(grown(x.Reading, y.Reading), grown(x.Reads, y.Reads))
			d.Write = mean(grown(x.Writing, y.Writing), grown(x.Writes, y.Writes))
			d.Busy = part(float64(grown(x.Busy, y.Busy))/1e3, seconds)
		}
		all = append(all, d)
	}
	return all
}

func process(a, b *ProcessSample, seconds float64) *Process {
	if a == nil || b == nil || a.PID != b.PID {
		return nil
	}
	p := &Process{
		PID: b.PID, Resident: b.Resident,
		CPU: rate(a.Ticks, b.Ticks, seconds) / TicksPerSecond, Waited: rate(a.Waited, b.Waited, seconds) / 1e9,
	}
	if a.runtime != nil && b.runtime != nil {
		p.Limit = b.runtime.limit
		p.GCPause = b.runtime.pauses.quantile(a.runtime.pauses, 1)
		p.Scheduling = b.runtime.scheduling.quantile(a.runtime.scheduling, 0.99)
	}
	return p
}

// grown is by how much a counter grew; one that went down was reset, and nothing is known to have happened.
func grown(a, b uint64) uint64 {
	if b < a {
		return 0
	}
	return b - a
}

// part is the share of a whole, 0 to 1: clocks that are read one after the other let it come out above.
func part(some, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(max(some/whole, 0), 1)
}

// rate is by how much a counter grew a second.
func rate(a, b uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(grown(a, b)) / seconds
}

// mean is milliseconds shared by many.
func mean(milliseconds, times uint64) time.Duration {
	if times == 0 {
		return 0
	}
	const most = float64(1 << 62)
	return time.Duration(min(float64(milliseconds)/float64(times)*float64(time.Millisecond), most))
}
