package metrics

import "github.com/prometheus/client_golang/prometheus"

// The metrics of the box, in the order of docs/metrics.md.
var (
	boxCores       = describe("box_cores", "How many processors' time may be used.")
	boxCPU         = describe("box_cpu_seconds_total", "What all processors spent their time with.", "mode")
	boxRunning     = describe("box_tasks_running", "Tasks that run or wait for a processor.")
	boxThrottled   = describe("box_throttled_periods_total", "Periods in which the control group had used up its quota.")
	boxPressure    = describe("box_pressure_seconds_total", "Time in which some task waited.", "resource")
	boxSent        = describe("box_tcp_segments_sent_total", "TCP segments sent.")
	boxRetrans     = describe("box_tcp_segments_retransmitted_total", "Of them those sent again.")
	boxOverflows   = describe("box_listen_overflows_total", "Connections that a queue of accepted ones had no room for.")
	boxDrops       = describe("box_listen_drops_total", "Connections to listeners that were lost for whatever reason.")
	boxCookies     = describe("box_syn_cookies_total", "SYN cookies sent.")
	boxSoftDropped = describe("box_softnet_dropped_total", "Packets for which netdev_max_backlog had no room.")
	boxSqueezed    = describe("box_softnet_squeezed_total", "Times the budget of one round ended with packets left.")
	boxTimeWait    = describe("box_tcp_time_wait", "TCP sockets in TIME-WAIT.")
	boxConntrack   = describe("box_conntrack_connections", "Connections that the kernel tracks.")
	boxConnMost    = describe("box_conntrack_connections_limit", "How many it may.")
	boxPorts       = describe("box_local_ports", "Local ports taken, at most.")
	boxPortsMost   = describe("box_local_ports_limit", "Of so many.")
	boxIn          = describe("box_network_received_bytes_total", "Bytes received.", "interface")
	boxOut         = describe("box_network_sent_bytes_total", "Bytes sent.", "interface")
	boxLost        = describe("box_network_dropped_total", "Packets dropped.", "interface")
	boxCeiling     = describe("box_network_ceiling_bytes", "Bytes a second in one direction that the interface can carry, as its driver says.", "interface")
	boxReads       = describe("box_disk_reads_total", "Reads.", "volume", "device")
	boxReading     = describe("box_disk_read_seconds_total", "Time that those took, each for itself.", "volume", "device")
	boxWrites      = describe("box_disk_writes_total", "Writes.", "volume", "device")
	boxWriting     = describe("box_disk_write_seconds_total", "Time that those took, each for itself.", "volume", "device")
	boxDiskBusy    = describe("box_disk_busy_seconds_total", "Time with a request under way.", "volume", "device")
	boxFree        = describe("box_volume_free_bytes", "Bytes of the volume that may be filled.", "volume")
	boxSize        = describe("box_volume_size_bytes", "Bytes of the volume.", "volume")
	boxFiles       = describe("box_files", "Open files of the whole machine.")
	boxMemory      = describe("box_memory_bytes", "Memory of the machine.")
	boxAvailable   = describe("box_memory_available_bytes", "Of it what may still be used.")
	boxSwapped     = describe("box_swap_used_bytes", "Swap in use.")
	boxGroup       = describe("box_group_memory_bytes", "Memory of the tightest control group, with what it caches of files.")
	boxGroupMost   = describe("box_group_memory_limit_bytes", "What that may have.")
	boxWaited      = describe("box_process_waited_seconds_total", "Time that threads of the gateway waited for a processor.")
	boxPause       = describe("box_process_gc_pause_max_seconds", "The longest pause of the garbage collector in the last minute.")
	boxScheduling  = describe("box_process_scheduling_p99_seconds", "How long goroutines waited for a thread in the last minute.")
	boxTook        = describe("box_sample_seconds", "How long it took to read all of this, the last time.")
)

// boxMetrics lists them for Describe.
var boxMetrics = []*prometheus.Desc{
	boxCores, boxCPU, boxRunning, boxThrottled, boxPressure, boxSent, boxRetrans, boxOverflows, boxDrops, boxCookies, boxSoftDropped, boxSqueezed, boxTimeWait,
	boxConntrack, boxConnMost, boxPorts, boxPortsMost, boxIn, boxOut, boxLost, boxCeiling, boxReads, boxReading, boxWrites, boxWriting, boxDiskBusy, boxFree, boxSize,
	boxFiles, boxMemory, boxAvailable, boxSwapped, boxGroup, boxGroupMost, boxWaited, boxPause, boxScheduling, boxTook,
}

// Box are the numbers of the machine below. What is nil could not be read, and is left out.
type Box struct {
	Cores       float64
	CPU         []Seconds // by mode
	Running     *float64
	Throttled   *float64  // periods
	Pressure    []Seconds // by resource
	Sent        *float64
	Retrans     *float64
	Overflows   *float64
	Drops       *float64
	Cookies     *float64
	SoftDropped *float64
	Squeezed    *float64
	TimeWait    *float64
	Conntrack   *Use
	Ports       *Use
	Interfaces  []Interface
	Disks       []Disk
	Files       *float64
	Memory      *Memory
	Group       *Use
	Waited      *float64 // seconds
	Pause       *float64 // seconds
	Scheduling  *float64 // seconds
	Took        float64  // seconds
}

// Seconds is a time that goes on growing, for one of several things.
type Seconds struct {
	Of string
	S  float64
}

// Use is how much of something is in use.
type Use struct{ Used, Limit float64 }

// Interface are the numbers of a network interface.
type Interface struct {
	Name          string
	In, Out, Lost float64
	Ceiling       float64 // bytes a second in one direction; 0 is unknown
}

// Disk are the numbers of the device below a volume.
type Disk struct {
	Volume, Device         string // no device: only how full it is
	Reads, Writes          float64
	Reading, Writing, Busy float64 // seconds
	Free, Size             float64 // bytes; no Size: unknown
}

// Memory is in bytes.
type Memory struct{ Total, Available, Swapped float64 }

func (b *Box) collect(out output) {
	out.gauge(boxCores, b.Cores)
	for _, s := range b.CPU {
		out.total(boxCPU, &s.S, s.Of)
	}
	out.level(boxRunning, b.Running)
	out.total(boxThrottled, b.Throttled)
	for _, s := range b.Pressure {
		out.total(boxPressure, &s.S, s.Of)
	}
	out.total(boxSent, b.Sent)
	out.total(boxRetrans, b.Retrans)
	out.total(boxOverflows, b.Overflows)
	out.total(boxDrops, b.Drops)
	out.total(boxCookies, b.Cookies)
	out.total(boxSoftDropped, b.SoftDropped)
	out.total(boxSqueezed, b.Squeezed)
	out.level(boxTimeWait, b.TimeWait)
	out.use(boxConntrack, boxConnMost, b.Conntrack)
	out.use(boxPorts, boxPortsMost, b.Ports)
	for i := range b.Interfaces {
		n := &b.Interfaces[i]
		out.total(boxIn, &n.In, n.Name)
		out.total(boxOut, &n.Out, n.Name)
		out.total(boxLost, &n.Lost, n.Name)
		if n.Ceiling > 0 {
			out.gauge(boxCeiling, n.Ceiling, n.Name)
		}
	}
	for i := range b.Disks {
		b.Disks[i].collect(out)
	}
	out.level(boxFiles, b.Files)
	if m := b.Memory; m != nil {
		out.gauge(boxMemory, m.Total)
		out.gauge(boxAvailable, m.Available)
		out.gauge(boxSwapped, m.Swapped)
	}
	out.use(boxGroup, boxGroupMost, b.Group)
	out.total(boxWaited, b.Waited)
	out.level(boxPause, b.Pause)
	out.level(boxScheduling, b.Scheduling)
	out.gauge(boxTook, b.Took)
}

func (d *Disk) collect(out output) {
	if d.Device != "" {
		out.total(boxReads, &d.Reads, d.Volume, d.Device)
		out.total(boxReading, &d.Reading, d.Volume, d.Device)
		out.total(boxWrites, &d.Writes, d.Volume, d.Device)
		out.total(boxWriting, &d.Writing, d.Volume, d.Device)
		out.total(boxDiskBusy, &d.Busy, d.Volume, d.Device)
	}
	if d.Size > 0 {
		out.gauge(boxFree, d.Free, d.Volume)
		out.gauge(boxSize, d.Size, d.Volume)
	}
}

// total shows a counter that others keep; nil is unknown.
func (o output) total(d *prometheus.Desc, n *float64, labels ...string) {
	if n != nil {
		o.send(d, prometheus.CounterValue, *n, labels)
	}
}

// level shows a gauge; nil is unknown.
func (o output) level(d *prometheus.Desc, n *float64) {
	if n != nil {
		o.gauge(d, *n)
	}
}

func (o output) use(used, limit *prometheus.Desc, u *Use) {
	if u != nil {
		o.gauge(used, u.Used)
		o.gauge(limit, u.Limit)
	}
}
