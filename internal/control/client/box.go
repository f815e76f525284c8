package client

import "time"

// Box is the machine that the gateway runs on, what it did lately, and what the gateway had to carry on it.
type Box struct {
	Kernel      string     `json:"kernel"`
	Distro      string     `json:"distro"`
	Machine     string     `json:"machine"`
	Container   string     `json:"container"`
	Processor   string     `json:"processor"`
	Processors  int        `json:"processors"`
	Cores       float64    `json:"cores"`
	Memory      int64      `json:"memory_bytes"`
	Usable      int64      `json:"memory_usable_bytes"`
	UsableFrom  string     `json:"memory_usable_from"`
	MemoryLimit int64      `json:"memory_limit_bytes"`
	Vitals      *Vitals    `json:"vitals,omitempty"`
	Requests    BoxHistory `json:"requests"`
	Sandbox     *Sandbox   `json:"sandbox,omitempty"`
	Unknown     []string   `json:"unknown,omitempty"`
}

// Vitals are what the box did in a time. Shares are 0 to 1.
type Vitals struct {
	Until       time.Time    `json:"until"`
	Window      float64      `json:"window_seconds"`
	CPU         *BoxCPU      `json:"cpu,omitempty"`
	Pressure    *BoxPressure `json:"pressure,omitempty"`
	Network     BoxNetwork   `json:"network"`
	Conntrack   *BoxUse      `json:"conntrack,omitempty"`
	Ports       *BoxUse      `json:"ports,omitempty"`
	Disks       []BoxDisk    `json:"disks,omitempty"`
	Descriptors *BoxUse      `json:"descriptors,omitempty"`
	Files       *BoxUse      `json:"files,omitempty"`
	Memory      *BoxMemory   `json:"memory,omitempty"`
	Process     *BoxProcess  `json:"process,omitempty"`
	Remarks     []Reason     `json:"remarks,omitempty"`
}

// BoxCPU is who had the processors' time.
type BoxCPU struct {
	Busy        float64 `json:"busy"`
	User        float64 `json:"user"`
	System      float64 `json:"system"`
	Softirq     float64 `json:"softirq"`
	SoftirqCore float64 `json:"softirq_core"`
	IOWait      float64 `json:"iowait"`
	Steal       float64 `json:"steal"`
	Throttled   float64 `json:"throttled"`
	RunQueue    float64 `json:"run_queue"`
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
	ListenOverflows *uint64        `json:"listen_overflows,omitempty"`
	ListenDrops     *uint64        `json:"listen_drops,omitempty"`
	SYNCookies      *uint64        `json:"syn_cookies,omitempty"`
	SoftnetDropped  *uint64        `json:"softnet_dropped,omitempty"`
	SoftnetSqueezed *uint64        `json:"softnet_squeezed,omitempty"`
	TimeWait        int            `json:"time_wait"`
	Interfaces      []BoxInterface `json:"interfaces"`
}

// BoxInterface is a network interface. Rates are in bytes a second.
type BoxInterface struct {
	Name     string  `json:"name"`
	Received float64 `json:"received_rate"`
	Sent     float64 `json:"sent_rate"`
	Ceiling  float64 `json:"ceiling_rate"`
	Dropped  uint64  `json:"dropped"`
}

// BoxDisk is the device below a directory.
type BoxDisk struct {
	Volume string  `json:"volume"`
	Device string  `json:"device"`
	Read   float64 `json:"read_seconds"`
	Write  float64 `json:"write_seconds"`
	Busy   float64 `json:"busy"`
	Free   int64   `json:"free_bytes"`
	Size   int64   `json:"size_bytes"`
}

// BoxUse is how much of something is in use.
type BoxUse struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// BoxMemory is in bytes.
type BoxMemory struct {
	Available int64   `json:"available_bytes"`
	Swapped   int64   `json:"swapped_bytes"`
	Group     *BoxUse `json:"group,omitempty"`
}

// BoxProcess is the gateway on the box.
type BoxProcess struct {
	CPU        float64 `json:"cpu"`
	Resident   int64   `json:"resident_bytes"`
	GCPause    float64 `json:"gc_pause_seconds"`
	Scheduling float64 `json:"scheduling_p99_seconds"`
	Waited     float64 `json:"waited"`
}

// BoxHistory is what the gateway had to carry.
type BoxHistory struct {
	Since        *time.Time `json:"since,omitempty"`
	Total        uint64     `json:"total"`
	Mean         float64    `json:"mean_per_second"`
	Busiest      float64    `json:"busiest_per_second"`
	BusiestAt    *time.Time `json:"busiest_at,omitempty"`
	BusyMinute   float64    `json:"busiest_minute_per_second"`
	BusyMinuteAt *time.Time `json:"busiest_minute_at,omitempty"`
}

// Sandbox is what the gateway has given up.
type Sandbox struct {
	NoNewPrivileges bool     `json:"no_new_privileges"`
	Capabilities    []string `json:"capabilities"`
	Landlock        int      `json:"landlock"`
	Read            []string `json:"read"`
	Write           []string `json:"write"`
	Execute         []string `json:"execute,omitempty"`
	Lacking         []string `json:"lacking,omitempty"`
}

// BoxStatus is the short form of Box for the status.
type BoxStatus struct {
	Cores       float64  `json:"cores"`
	Window      float64  `json:"window_seconds"`
	Busy        float64  `json:"busy"`
	Steal       float64  `json:"steal"`
	Throttled   float64  `json:"throttled"`
	Resident    int64    `json:"memory_bytes"`
	MemoryLimit int64    `json:"memory_limit_bytes"`
	GCPause     float64  `json:"gc_pause_seconds"`
	Remarks     []Reason `json:"remarks,omitempty"`
}
