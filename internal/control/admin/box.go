package admin

import (
	"context"
	"net/http"
	"time"
)

// Box is the machine that the gateway runs on, what it did lately, and what the gateway had to carry on it.
type Box struct {
	Kernel      string     `json:"kernel" doc:"Its version; what could not be found out is empty or 0 here, with the reason in unknown."`
	Distro      string     `json:"distro"`
	Machine     string     `json:"machine" doc:"The kind of virtual machine: kvm, xen, vmware, hyperv, firecracker and others; none is hardware, empty is unknown."`
	Container   string     `json:"container" doc:"The kind of container: docker, podman, lxc, openvz, nspawn, kubernetes, wsl, other; empty is none."`
	Processor   string     `json:"processor" doc:"The model of the first."`
	Processors  int        `json:"processors" doc:"Online."`
	Cores       float64    `json:"cores" doc:"How many of their time may be used: a quota of the control groups counts, too."`
	Memory      int64      `json:"memory_bytes" doc:"Of the machine."`
	Usable      int64      `json:"memory_usable_bytes" doc:"Of that, what the machine and its control groups let the gateway use."`
	UsableFrom  string     `json:"memory_usable_from" doc:"The file that says so."`
	MemoryLimit int64      `json:"memory_limit_bytes" doc:"GOMEMLIMIT in force: where the gateway collects harder; 0 is none."`
	Vitals      *Vitals    `json:"vitals,omitempty" doc:"What the box did in the last minute; absent in the first second."`
	Requests    BoxHistory `json:"requests" doc:"What the gateway had to carry in the last 24 hours, or since it started. It is kept in memory."`
	Sandbox     *Sandbox   `json:"sandbox,omitempty" doc:"What stands between the gateway and the box; absent when it has none."`
	Unknown     []string   `json:"unknown,omitempty" doc:"What could not be found out, and why."`
}

// Vitals are what the box did in a time. Shares are 0 to 1.
type Vitals struct {
	Until       time.Time    `json:"until"`
	Window      float64      `json:"window_seconds"`
	CPU         *BoxCPU      `json:"cpu,omitempty"`
	Pressure    *BoxPressure `json:"pressure,omitempty" doc:"The share of the time in which some task waited (PSI); absent where the kernel does not tell."`
	Network     BoxNetwork   `json:"network"`
	Conntrack   *BoxUse      `json:"conntrack,omitempty" doc:"Connections that the kernel tracks; absent where it does not."`
	Ports       *BoxUse      `json:"ports,omitempty" doc:"Local ports: at most so many are taken."`
	Disks       []BoxDisk    `json:"disks,omitempty" nullable:"false" doc:"Below the log, the cache and the state, where those lie on one."`
	Descriptors *BoxUse      `json:"descriptors,omitempty" doc:"Of the gateway."`
	Files       *BoxUse      `json:"files,omitempty" doc:"Of the whole machine."`
	Memory      *BoxMemory   `json:"memory,omitempty"`
	Process     *BoxProcess  `json:"process,omitempty"`
	Remarks     []Reason     `json:"remarks,omitempty" doc:"What of it costs requests, or is about to."`
}

// BoxCPU is who had the processors' time.
type BoxCPU struct {
	Busy        float64 `json:"busy"`
	User        float64 `json:"user"`
	System      float64 `json:"system"`
	Softirq     float64 `json:"softirq" doc:"Mostly the network's."`
	SoftirqCore float64 `json:"softirq_core" doc:"Of the processor that had most of it."`
	IOWait      float64 `json:"iowait"`
	Steal       float64 `json:"steal" doc:"The machine around this one gave it to somebody else."`
	Throttled   float64 `json:"throttled" doc:"The part of the time in which the control group's quota was used up."`
	RunQueue    float64 `json:"run_queue" doc:"Tasks that run or wait for a processor, a processor."`
}

// BoxPressure is where tasks waited.
type BoxPressure struct {
	CPU    float64 `json:"cpu"`
	IO     float64 `json:"io"`
	Memory float64 `json:"memory"`
}

// BoxNetwork is what the network stack did. What could not be read is absent.
type BoxNetwork struct {
	Sent            *uint64        `json:"segments_sent,omitempty"`
	Retransmitted   *uint64        `json:"segments_retransmitted,omitempty"`
	ListenOverflows *uint64        `json:"listen_overflows,omitempty" doc:"Connections that a queue of accepted ones had no room for."`
	ListenDrops     *uint64        `json:"listen_drops,omitempty" doc:"Connections lost for whatever reason, those among them."`
	SYNCookies      *uint64        `json:"syn_cookies,omitempty"`
	SoftnetDropped  *uint64        `json:"softnet_dropped,omitempty" doc:"Packets lost before the network stack."`
	SoftnetSqueezed *uint64        `json:"softnet_squeezed,omitempty"`
	TimeWait        int            `json:"time_wait"`
	Interfaces      []BoxInterface `json:"interfaces" nullable:"false"`
}

// BoxInterface is a network interface. Rates are in bytes a second.
type BoxInterface struct {
	Name     string  `json:"name"`
	Received float64 `json:"received_rate"`
	Sent     float64 `json:"sent_rate"`
	Ceiling  float64 `json:"ceiling_rate" doc:"In one direction, as the driver says; 0 is unknown."`
	Dropped  uint64  `json:"dropped" doc:"Packets."`
}

// BoxDisk is the device below a directory.
type BoxDisk struct {
	Volume string  `json:"volume" enum:"log,cache,state"`
	Device string  `json:"device"`
	Read   float64 `json:"read_seconds" doc:"Mean time of a read; 0 is that there was none."`
	Write  float64 `json:"write_seconds"`
	Busy   float64 `json:"busy"`
	Free   int64   `json:"free_bytes"`
	Size   int64   `json:"size_bytes" doc:"0 is unknown."`
}

// BoxUse is how much of something is in use.
type BoxUse struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// BoxMemory is in bytes.
type BoxMemory struct {
	Available int64   `json:"available_bytes"`
	Swapped   int64   `json:"swapped_bytes" doc:"Swap in use."`
	Group     *BoxUse `json:"group,omitempty" doc:"Bytes of the tightest control group, with what it caches of files."`
}

// BoxProcess is the gateway on the box.
type BoxProcess struct {
	CPU        float64 `json:"cpu" doc:"Cores."`
	Resident   int64   `json:"resident_bytes"`
	GCPause    float64 `json:"gc_pause_seconds" doc:"The longest."`
	Scheduling float64 `json:"scheduling_p99_seconds" doc:"How long goroutines waited for a thread."`
	Waited     float64 `json:"waited" doc:"Cores' worth of time in which its threads waited for one."`
}

// BoxHistory is what the gateway had to carry.
type BoxHistory struct {
	Since        *time.Time `json:"since,omitempty" doc:"Absent while there is nothing to tell."`
	Total        uint64     `json:"total"`
	Mean         float64    `json:"mean_per_second"`
	Busiest      float64    `json:"busiest_per_second" doc:"Of any five seconds."`
	BusiestAt    *time.Time `json:"busiest_at,omitempty" doc:"When those ended."`
	BusyMinute   float64    `json:"busiest_minute_per_second" doc:"Of any minute, on average."`
	BusyMinuteAt *time.Time `json:"busiest_minute_at,omitempty" doc:"When it began."`
}

// Sandbox is what the gateway has given up.
type Sandbox struct {
	NoNewPrivileges bool     `json:"no_new_privileges"`
	Capabilities    []string `json:"capabilities" nullable:"false" doc:"That are left."`
	Landlock        int      `json:"landlock" doc:"The version of its interface in use; 0 is that the file system is as open as to any process of this user."`
	Read            []string `json:"read" nullable:"false" doc:"What may be read."`
	Write           []string `json:"write" nullable:"false" doc:"What may be written."`
	Execute         []string `json:"execute,omitempty" nullable:"false" doc:"What may be run."`
	Lacking         []string `json:"lacking,omitempty" nullable:"false" doc:"What is not in force, and why."`
}

// BoxStatus is the short form of Box for the status.
type BoxStatus struct {
	Cores       float64  `json:"cores" doc:"That may be used."`
	Window      float64  `json:"window_seconds" doc:"What the rest is of."`
	Busy        float64  `json:"busy" doc:"The part of the processors' time that somebody used, 0 to 1."`
	Steal       float64  `json:"steal" doc:"The part that the machine around this one gave to somebody else."`
	Throttled   float64  `json:"throttled" doc:"The part of the time in which the control group's quota was used up."`
	Resident    int64    `json:"memory_bytes" doc:"Of the gateway."`
	MemoryLimit int64    `json:"memory_limit_bytes" doc:"GOMEMLIMIT in force; 0 is none."`
	GCPause     float64  `json:"gc_pause_seconds" doc:"The longest."`
	Remarks     []Reason `json:"remarks,omitempty" doc:"What of the box costs requests, or is about to."`
}

func (a *Admin) getBox(context.Context, *struct{}) (*struct{ Body Box }, error) {
	if a.sources.Box == nil {
		return nil, newProblem(http.StatusServiceUnavailable, "this gateway does not look at its box")
	}
	return &struct{ Body Box }{a.sources.Box()}, nil
}

// boxStatus is nil while the box has not been looked at, or does not tell.
func (a *Admin) boxStatus() *BoxStatus {
	if a.sources.Box == nil {
		return nil
	}
	b := a.sources.Box()
	v := b.Vitals
	if v == nil || v.CPU == nil {
		return nil
	}
	s := &BoxStatus{Cores: b.Cores, Window: v.Window, Busy: v.CPU.Busy, Steal: v.CPU.Steal, Throttled: v.CPU.Throttled, MemoryLimit: b.MemoryLimit, Remarks: v.Remarks}
	if v.Process != nil {
		s.Resident, s.GCPause = v.Process.Resident, v.Process.GCPause
	}
	return s
}
