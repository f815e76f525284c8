package main

import (
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/doctor"
	"straum.dev/straum/internal/box/vitals"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/admin"
	"straum.dev/straum/internal/control/client"
	"straum.dev/straum/internal/observe/metrics"
)

// sampleEvery is how often a gateway looks at its box; firstSample is when it has something to tell for the first time.
const (
	sampleEvery = 5 * time.Second
	firstSample = time.Second
)

// samplesKept are those of a minute, and the one it began with.
const samplesKept = int(time.Minute/sampleEvery) + 1

// watched is the box below a gateway, as it is looked at while the gateway runs.
type watched struct {
	facts     *box.Facts
	source    *vitals.Source // runSampling's alone
	exchanges func() uint64
	stop      chan struct{}

	mu      sync.Mutex // guards what follows
	samples []*vitals.Sample
	minute  *vitals.Vitals // what the last minute brought; nil before there are two samples
	took    time.Duration  // the last sample
	history history
}

// newWatched begins to look. The files are opened here, before the process gives up its rights. exchanges tells how many are over.
func newWatched(m *box.Machine, c *config.Config, exchanges func() uint64) *watched {
	w := &watched{facts: m.Facts(), exchanges: exchanges, stop: make(chan struct{})}
	w.source = vitals.New(vitals.Options{Machine: m, Volumes: doctor.Volumes(c)})
	w.look(time.Now)
	go w.runSampling()
	return w
}

// runSampling looks at the box until the gateway is closed. Nobody waits for its end: how much room a volume has is asked of its disk, and one
// that hangs would keep the gateway from stopping.
func (w *watched) runSampling() {
	defer w.source.Close()
	next := time.NewTimer(firstSample)
	defer next.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-next.C:
		}
		w.look(time.Now)
		next.Reset(sampleEvery)
	}
}

func (w *watched) close() { close(w.stop) }

// look takes a sample.
func (w *watched) look(now func() time.Time) {
	s := w.source.Sample()
	took := now().Sub(s.At)
	total := w.exchanges()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.samples) == samplesKept {
		w.samples = append(w.samples[:0], w.samples[1:]...)
	}
	w.samples = append(w.samples, s)
	w.took = took
	w.history.add(s.At, total)
	if len(w.samples) > 1 {
		w.minute = vitals.Between(w.samples[0], s)
	}
}

// seen is the last sample, the last minute and the last day.
func (w *watched) seen() (last *vitals.Sample, minute *vitals.Vitals, took time.Duration, day past) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.samples[len(w.samples)-1], w.minute, w.took, w.history.past()
}

// memoryInForce is GOMEMLIMIT in bytes, 0 for none.
func memoryInForce() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// boxed is what the admin API shows of the box.
func (g *gateway) boxed() admin.Box {
	f := g.box.facts
	_, minute, _, day := g.box.seen()
	b := admin.Box{
		Kernel: f.Kernel.Text, Distro: f.Distro, Machine: f.Guest.Machine, Container: f.Guest.Container, Processor: f.Model, Processors: f.Online, Cores: f.Cores(),
		Memory: f.Total, Usable: f.Memory, UsableFrom: f.From, MemoryLimit: memoryInForce(), Unknown: f.Unknown,
		Requests: admin.BoxHistory{Since: moment(day.since), Total: day.total, Mean: rounded(day.mean), Busiest: rounded(day.busiest), BusiestAt: moment(day.busiestAt),
			BusyMinute: rounded(day.busiestMinute), BusyMinuteAt: moment(day.busiestMinuteWas)},
	}
	if minute != nil {
		b.Vitals = shownVitals(minute)
	}
	if s := g.sandbox.inForce(); s != nil {
		b.Sandbox = &admin.Sandbox{NoNewPrivileges: s.NoNewPrivileges, Capabilities: filled(s.Capabilities), Landlock: s.Landlock, Read: filled(s.Read), Write: filled(s.Write),
			Execute: s.Execute, Lacking: s.Lacking}
	}
	return b
}

// shownVitals are vitals as the admin API has them: in seconds, and without what could not be read.
func shownVitals(v *vitals.Vitals) *admin.Vitals {
	out := &admin.Vitals{Until: v.At.UTC(), Window: v.Window.Round(time.Millisecond).Seconds(), Remarks: remarks(v),
		Conntrack: shownUse(v.Conntrack), Ports: shownUse(v.Ports), Descriptors: shownUse(v.Descriptors), Files: shownUse(v.Files)}
	if c := v.CPU; v.Knows(vitals.Processors) {
		out.CPU = &admin.BoxCPU{Busy: rounded(c.Busy), User: rounded(c.User), System: rounded(c.System), Softirq: rounded(c.Softirq), SoftirqCore: rounded(c.SoftirqCore),
			IOWait: rounded(c.IOWait), Steal: rounded(c.Steal), Throttled: rounded(c.Throttled), RunQueue: rounded(c.RunQueue)}
	}
	if p := v.Pressure; p != nil {
		out.Pressure = &admin.BoxPressure{CPU: rounded(p.CPU), IO: rounded(p.IO), Memory: rounded(p.Memory)}
	}
	n := v.Network
	out.Network = admin.BoxNetwork{TimeWait: n.TimeWait, Interfaces: []admin.BoxInterface{}}
	if v.Knows(vitals.Segments) {
		out.Network.Sent, out.Network.Retransmitted = &n.Sent, &n.Retransmitted
	}
	if v.Knows(vitals.Listening) {
		out.Network.ListenOverflows, out.Network.ListenDrops, out.Network.SYNCookies = &n.ListenOverflows, &n.ListenDrops, &n.SYNCookies
	}
	if v.Knows(vitals.Softnet) {
		out.Network.SoftnetDropped, out.Network.SoftnetSqueezed = &n.SoftnetDropped, &n.SoftnetSqueezed
	}
	for _, i := range n.Interfaces {
		out.Network.Interfaces = append(out.Network.Interfaces,
			admin.BoxInterface{Name: i.Name, Received: math.Round(i.Received), Sent: math.Round(i.Sent), Ceiling: i.Ceiling, Dropped: i.Dropped})
	}
	for _, d := range v.Disks {
		out.Disks = append(out.Disks, admin.BoxDisk{Volume: d.Volume, Device: d.Device, Read: rounded(d.Read.Seconds()), Write: rounded(d.Write.Seconds()),
			Busy: rounded(d.Busy), Free: d.Free, Size: d.Size})
	}
	if m := v.Memory; v.Knows(vitals.MainMemory) {
		out.Memory = &admin.BoxMemory{Available: m.Available, Swapped: m.Swapped, Group: shownUse(m.Group)}
	}
	if p := v.Process; p != nil {
		out.Process = &admin.BoxProcess{CPU: rounded(p.CPU), Resident: p.Resident, GCPause: rounded(p.GCPause.Seconds()), Scheduling: rounded(p.Scheduling.Seconds()), Waited: rounded(p.Waited)}
	}
	return out
}

func shownUse(u *vitals.Use) *admin.BoxUse {
	if u == nil {
		return nil
	}
	return &admin.BoxUse{Used: u.Used, Limit: u.Limit}
}

// rounded keeps microseconds, and a ten-thousandth of a percent.
func rounded(x float64) float64 { return math.Round(x*1e6) / 1e6 }

// moment is a time as JSON has it; nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Round(time.Millisecond)
	return &t
}

// filled is a list that is never null.
func filled(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// From where on something of the box is remarked on: doctor has finer ones and says what to do.
const (
	muchSteal       = 0.02 // of the processors' time
	muchThrottling  = 0.01 // of the window
	muchBusy        = 0.9  // of the processors' time
	muchWaiting     = 0.05 // of the window, for memory
	muchRetransmits = 0.03 // of the segments
	enoughSegments  = 1000 // to tell so
	nearlyAll       = 0.9  // of what there is
	littleSpace     = 0.05 // of a volume, which is also
	littleBytes     = 5 << 30
)

// remarks say what of the vitals costs requests, or is about to.
func remarks(v *vitals.Vitals) (all []admin.Reason) {
	remark := func(check, format string, a ...any) {
		all = append(all, admin.Reason{Check: check, Reason: fmt.Sprintf(format, a...)})
	}
	full := func(u *vitals.Use) bool {
		return u != nil && u.Limit > 0 && float64(u.Used) >= nearlyAll*float64(u.Limit)
	}
	c, n := v.CPU, v.Network
	if c.Steal > muchSteal {
		remark("steal", "the machine around this one kept back %s of the processors' time; above %s requests wait for it, whatever the gateway does", percent(c.Steal), percent(muchSteal))
	}
	if c.Throttled > muchThrottling {
		remark("throttled", "the control group had used up its quota of processor time in %s of the time", percent(c.Throttled))
	}
	if c.Busy > muchBusy {
		remark("busy", "the processors were busy %s of the time", percent(c.Busy))
	}
	if n.ListenOverflows > 0 {
		remark("listen_overflows", "%s found the queue of a listener full", count(int(min(n.ListenOverflows, math.MaxInt32)), "new connection"))
	}
	if n.SoftnetDropped > 0 {
		remark("softnet_dropped", "%s were dropped before the network stack", count(int(min(n.SoftnetDropped, math.MaxInt32)), "packet"))
	}
	if n.Sent >= enoughSegments && float64(n.Retransmitted) > muchRetransmits*float64(n.Sent) {
		remark("retransmits", "%s of the segments had to be sent again", percent(float64(n.Retransmitted)/float64(n.Sent)))
	}
	if full(v.Conntrack) {
		remark("conntrack", "the kernel tracks %d connections of at most %d; what comes then is dropped", v.Conntrack.Used, v.Conntrack.Limit)
	}
	if full(v.Descriptors) {
		remark("descriptors", "%d descriptors are open of at most %d", v.Descriptors.Used, v.Descriptors.Limit)
	}
	if full(v.Files) {
		remark("files", "the machine has %d files open of at most %d", v.Files.Used, v.Files.Limit)
	}
	for _, i := range n.Interfaces {
		if most := max(i.Received, i.Sent); i.Ceiling > 0 && most > nearlyAll*i.Ceiling {
			remark("network", "%s carries %s of what it can", i.Name, percent(min(most/i.Ceiling, 1)))
		}
	}
	for at, d := range v.Disks {
		told := slices.ContainsFunc(v.Disks[:at], func(o vitals.Disk) bool { return o.Device == d.Device && o.Size == d.Size })
		if d.Size > 0 && d.Free < littleBytes && float64(d.Free) < littleSpace*float64(d.Size) && !told {
			remark("disk", "the volume of the %s has %s left", d.Volume, size(uint64(max(d.Free, 1))))
		}
	}
	if v.Pressure != nil && v.Pressure.Memory > muchWaiting {
		remark("memory", "tasks waited for memory %s of the time", percent(v.Pressure.Memory))
	}
	return all
}

// numbers are what the metrics show of the box.
func (w *watched) numbers() *metrics.Box {
	s, minute, took, _ := w.seen()
	n := func(x uint64) *float64 { f := float64(x); return &f }
	b := &metrics.Box{Cores: s.Cores, Took: took.Seconds()}
	if c := s.CPU; c != nil {
		for _, m := range []struct {
			mode  string
			ticks uint64
		}{{"user", c.User}, {"nice", c.Nice}, {"system", c.System}, {"irq", c.IRQ}, {"softirq", c.Softirq}, {"iowait", c.IOWait}, {"idle", c.Idle}, {"steal", c.Steal}} {
			b.CPU = append(b.CPU, metrics.Seconds{Of: m.mode, S: float64(m.ticks) / vitals.TicksPerSecond})
		}
		b.Running = n(uint64(c.Running))
	}
	if p, ok := s.ThrottledPeriods(); ok {
		b.Throttled = n(p)
	}
	if p := s.Waits; p != nil {
		b.Pressure = []metrics.Seconds{{Of: "cpu", S: float64(p.CPU) / 1e6}, {Of: "io", S: float64(p.IO) / 1e6}, {Of: "memory", S: float64(p.Memory) / 1e6}}
	}
	if x := s.Stack; x != nil {
		if s.Knows(vitals.Segments) {
			b.Sent, b.Retrans = n(x.Sent), n(x.Retransmitted)
		}
		if s.Knows(vitals.Listening) {
			b.Overflows, b.Drops, b.Cookies = n(x.ListenOverflows), n(x.ListenDrops), n(x.SYNCookies)
		}
		if s.Knows(vitals.Softnet) {
			b.SoftDropped, b.Squeezed = n(x.SoftnetDropped), n(x.SoftnetSqueezed)
		}
		b.TimeWait = n(uint64(x.TimeWait))
	}
	b.Conntrack, b.Ports = use(s.Conntrack), use(s.Ports)
	for _, c := range s.Cards {
		b.Interfaces = append(b.Interfaces, metrics.Interface{Name: c.Name, In: float64(c.Received), Out: float64(c.Sent), Lost: float64(c.Dropped), Ceiling: c.Ceiling})
	}
	for _, v := range s.Volumes {
		b.Disks = append(b.Disks, metrics.Disk{Volume: v.Name, Device: v.Device, Reads: float64(v.Reads), Writes: float64(v.Writes), Reading: float64(v.Reading) / 1e3,
			Writing: float64(v.Writing) / 1e3, Busy: float64(v.Busy) / 1e3, Free: float64(v.Free), Size: float64(v.Size)})
	}
	if s.Files != nil {
		b.Files = n(uint64(s.Files.Used))
	}
	if s.Knows(vitals.MainMemory) {
		b.Memory = &metrics.Memory{Total: float64(s.Memory.Total), Available: float64(s.Memory.Available), Swapped: float64(s.Memory.Swapped)}
	}
	b.Group = use(s.Memory.Group)
	if p := s.Process; p != nil {
		waited := float64(p.Waited) / 1e9
		b.Waited = &waited
	}
	if minute != nil && minute.Process != nil {
		pause, scheduling := minute.Process.GCPause.Seconds(), minute.Process.Scheduling.Seconds()
		b.Pause, b.Scheduling = &pause, &scheduling
	}
	return b
}

func use(u *vitals.Use) *metrics.Use {
	if u == nil {
		return nil
	}
	return &metrics.Use{Used: float64(u.Used), Limit: float64(u.Limit)}
}

// printBox shows what the status says of the box: rows of the table, and what is remarked, a line each.
func printBox(t io.Writer, b *client.BoxStatus) {
	fmt.Fprintf(t, "box\t%s, %s busy, %s stolen", quantity(b.Cores, "core"), percent(b.Busy), percent(b.Steal))
	if b.Throttled > 0 {
		fmt.Fprintf(t, ", out of quota %s of the time", percent(b.Throttled))
	}
	fmt.Fprintf(t, ", in the last %.0f s\n", b.Window)
	limit := "no limit"
	if b.MemoryLimit > 0 {
		limit = "a limit of " + size(uint64(b.MemoryLimit))
	}
	fmt.Fprintf(t, "collector\tlongest pause %s, %s (GOMEMLIMIT)\n", span(b.GCPause), limit)
	for _, r := range b.Remarks {
		fmt.Fprintf(t, "remark\t%s: %s\n", r.Check, oneLine(r.Reason))
	}
}

// quantity writes a number that need not be whole with what it counts.
func quantity(n float64, of string) string {
	if n != 1 {
		of += "s"
	}
	return strconv.FormatFloat(n, 'g', 3, 64) + " " + of
}
