// Package vitals samples what the box is doing: processors and who else uses them (steal), pressure, the network's losses, ports, disks,
// descriptors, memory, and this process's own pauses.
//
// It serves no step of a request: it is a guest beside the data plane, and a cheap one (under 0.1 % of a core at its own pace). It refuses
// to judge: numbers leave it, verdicts are made by doctor and capacity.
//
// What is read with prometheus/procfs and what by ourselves was decided by measuring. Where a file has some hundred numbers of which a few
// are wanted, procfs took 27 to 61 µs and 83 to 260 allocations a file (stat, netstat, snmp, diskstats, meminfo), three to ten times of
// what the kernel takes to write it; those are scanned here, and net/dev, of which it panics when a line is not as it expects. For the
// other small files it takes about 12 µs each, and is used. A sample takes about 0.25 ms of a processor: at its pace of 5 s, 0.005 %.
package vitals

import (
	"slices"
	"time"
)

// Vitals are what the box did between two samples. Shares are of all the time the cores had, 0 to 1. A field that is nil could not be
// read on this box.
type Vitals struct {
	At     time.Time     `json:"at"` // the later sample's
	Window time.Duration `json:"window"`

	CPU         CPU       `json:"cpu"`
	Pressure    *Pressure `json:"pressure,omitempty"` // kernels without PSI have none
	Network     Network   `json:"network"`
	Conntrack   *Use      `json:"conntrack,omitempty"` // connections the kernel tracks, of as many as it may
	Ports       *Use      `json:"ports,omitempty"`     // local ports held by TCP sockets, TIME-WAIT ones too, of ip_local_port_range: an upper bound, see Source
	Disks       []Disk    `json:"disks,omitempty"`
	Descriptors *Use      `json:"descriptors,omitempty"` // of the process, of its limit
	Files       *Use      `json:"files,omitempty"`       // of the system, of fs.file-max
	Memory      Memory    `json:"memory"`
	Process     *Process  `json:"process,omitempty"`

	Unknown []Part `json:"unknown,omitempty"` // parts whose zeros mean nothing, because they could not be read
}

// Part is what is read together.
type Part string

// The parts that have no pointer to be nil.
const (
	Processors Part = "cpu"
	Segments   Part = "network.segments" // Sent, Retransmitted
	Listening  Part = "network.listen"   // ListenOverflows, ListenDrops, SYNCookies
	Softnet    Part = "network.softnet"
	MainMemory Part = "memory"
)

// Knows says whether a part could be read.
func (v *Vitals) Knows(p Part) bool { return !slices.Contains(v.Unknown, p) }

// CPU is who had the processors' time. The shares are of all that are online, however many may be used.
type CPU struct {
	Cores       float64 `json:"cores"`        // that may be used: see box.Facts.Cores
	Online      int     `json:"online"`       // that the shares are of
	Busy        float64 `json:"busy"`         // neither idle nor waiting for a disk, nor stolen
	User        float64 `json:"user"`         // niced ones too, and guests'
	System      float64 `json:"system"`       // interrupts too
	Softirq     float64 `json:"softirq"`      // mostly the network's
	SoftirqCore float64 `json:"softirq_core"` // of the core that had most of it, of that core's time
	IOWait      float64 `json:"iowait"`
	Steal       float64 `json:"steal"`     // the machine around us gave it to somebody else
	Throttled   float64 `json:"throttled"` // share of the window in which the control group had used up its quota
	RunQueue    float64 `json:"run_queue"` // tasks that run or wait for a processor besides the one that asks, a core; the mean of both samples
}

// Pressure is the share of the window in which some task waited (PSI "some").
type Pressure struct {
	CPU    float64 `json:"cpu"`
	IO     float64 `json:"io"`
	Memory float64 `json:"memory"`
}

// Network is what the network stack did.
type Network struct {
	Sent            uint64      `json:"segments_sent"`
	Retransmitted   uint64      `json:"segments_retransmitted"`
	ListenOverflows uint64      `json:"listen_overflows"` // a queue of accepted connections was full
	ListenDrops     uint64      `json:"listen_drops"`     // for whatever reason, overflows among them
	SYNCookies      uint64      `json:"syn_cookies"`
	SoftnetDropped  uint64      `json:"softnet_dropped"`  // packets for which netdev_max_backlog had no room
	SoftnetSqueezed uint64      `json:"softnet_squeezed"` // times the budget of one round ended with packets left
	TimeWait        int         `json:"time_wait"`
	Interfaces      []Interface `json:"interfaces,omitempty"`
}

// Interface is one network interface that is up, without loopback. Where there are cards, those alone are told: what stands on them
// (bridges, bonds, VLANs, the ends of containers) would be counted twice.
type Interface struct {
	Name     string  `json:"name"`
	Received float64 `json:"received"` // bytes a second
	Sent     float64 `json:"sent"`     // bytes a second
	Ceiling  float64 `json:"ceiling"`  // bytes a second in one direction, as the driver says; 0 is unknown (virtual ones mostly)
	Dropped  uint64  `json:"dropped"`
}

// Disk is the device below one volume.
type Disk struct {
	Volume string        `json:"volume"`
	Device string        `json:"device"`
	Read   time.Duration `json:"read"`  // mean time of a read; 0 when there was none
	Write  time.Duration `json:"write"` // mean time of a write
	Busy   float64       `json:"busy"`  // share of the window with a request under way
	Free   int64         `json:"free"`  // bytes of the volume that a user without rights may fill
	Size   int64         `json:"size"`
}

// Use is how much of something is in use.
type Use struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"` // 0 is none
}

// Memory is in bytes.
type Memory struct {
	Total     int64 `json:"total"`
	Available int64 `json:"available"`
	Swapped   int64 `json:"swapped"`         // swap in use
	Group     *Use  `json:"group,omitempty"` // of the tightest control group, the page cache included
}

// Process is the gateway.
type Process struct {
	PID        int           `json:"pid"`
	CPU        float64       `json:"cpu"` // cores
	Resident   int64         `json:"resident"`
	Limit      int64         `json:"limit"`      // GOMEMLIMIT; 0 for another process, or none
	GCPause    time.Duration `json:"gc_pause"`   // the longest the window had, as far as the runtime's buckets tell; 0 for another process
	Scheduling time.Duration `json:"scheduling"` // p99 of the time goroutines waited for a thread
	Waited     float64       `json:"waited"`     // cores' worth of time its threads waited for one (schedstat)
}
