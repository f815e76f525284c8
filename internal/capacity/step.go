package capacity

import (
	"encoding/json"
	"time"
)

// Share is a part of a whole, 0 to 1. Below 0 it is not known, which is JSON's null.
type Share float64

// Unknown is the share of what could not be measured.
const Unknown Share = -1

// Known says whether it was measured.
func (s Share) Known() bool { return s >= 0 }

// MarshalJSON writes null for what is not known.
func (s Share) MarshalJSON() ([]byte, error) {
	if !s.Known() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(s))
}

// Step is one run at one rate, and what the box did in it.
type Step struct {
	Phase   Phase         `json:"phase"`
	Wanted  float64       `json:"wanted"`  // requests a second
	Reached float64       `json:"reached"` // answers a second
	Window  time.Duration `json:"window"`  // counted
	Answers uint64        `json:"answers"`

	P50     time.Duration `json:"p50"` // from when a request was due
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
	Service time.Duration `json:"service"` // p99 from when it was sent: without the wait for a free connection of the generator
	Late    time.Duration `json:"late"`    // p99 of what the generator itself sent too late; 0 is not known
	Errors  float64       `json:"errors"`  // share of those due that got no answer, or a 5xx
	Refused float64       `json:"refused"` // share of the answers that were 4xx
	Bytes   float64       `json:"bytes"`   // of an answer, head and all

	Cores     float64 `json:"cores"`     // the box's, online
	Usable    float64 `json:"usable"`    // of them that the control groups let us use
	Busy      Share   `json:"busy"`      // of the cores; so are the next four
	Steal     Share   `json:"steal"`     // what the machine around the box gave to others
	Softirq   Share   `json:"softirq"`   // part of busy: packets mostly
	Packets   Share   `json:"packets"`   // the same of the core that had most of it, of that core
	IOWait    Share   `json:"iowait"`    // idle, and waiting for a disk
	Throttled Share   `json:"throttled"` // of the window: the control group had used up its quota
	Gateway   float64 `json:"gateway"`   // cores; the gateway is known or there is no step
	Endpoints Share   `json:"endpoints"` // cores; of synthetic ones on this box
	Generator float64 `json:"generator"` // cores

	PressureCPU    Share `json:"pressure_cpu"` // of the window in which some task waited for it (PSI)
	PressureIO     Share `json:"pressure_io"`
	PressureMemory Share `json:"pressure_memory"`

	Network       Share         `json:"network"`     // of the ceiling of the busiest interface and direction
	Ceiling       float64       `json:"ceiling"`     // of that interface, bytes a second; 0 is not known
	Disk          Share         `json:"disk"`        // of the window in which the busiest disk of log and cache had work
	DiskWrite     time.Duration `json:"disk_write"`  // its mean time of a write; 0 is none
	Descriptors   Share         `json:"descriptors"` // of the gateway's limit
	Memory        Share         `json:"memory"`      // in use of what there is
	Resident      int64         `json:"resident"`    // the gateway's, bytes
	Connections   int           `json:"connections"` // that the generator may have open
	Open          int           `json:"open"`        // that were, in the end; 0 is not known
	Overflows     uint64        `json:"overflows"`   // connections for which a listener's queue had no room
	PacketsLost   uint64        `json:"packets_lost"`
	Retransmitted Share         `json:"retransmitted"` // of the segments sent

	Upstream time.Duration `json:"upstream"` // p99 of the endpoints' part, waiting for a place there included; 0 is not known
	Added    time.Duration `json:"added"`    // p99 of what the gateway added; 0 is not known
	Waiting  int           `json:"waiting"`  // exchanges that waited for a connection to an endpoint in the middle of the run
	Full     uint64        `json:"full"`     // exchanges that an upstream had no place for
	Short    uint64        `json:"short"`    // times the gateway stopped accepting for want of descriptors
}

// Own is how many cores were busy with what is measured and what it is measured with.
func (s *Step) Own() float64 { return s.Gateway + float64(max(s.Endpoints, 0)) + s.Generator }

// Others is how many cores were busy with anything but the gateway, its endpoints and the generator; never below 0.
func (s *Step) Others() float64 {
	return max(0, float64(max(s.Busy, 0))*s.Cores-s.Own())
}

// MaxSteal is the share of the processors' time that may be given to others before a measurement says more of them than of this box.
const MaxSteal = 0.02

// robbedBelow is the part of the usable cores below which what is measured cannot have used up the quota: somebody else did.
const robbedBelow = 0.5

// Spoilt says why a step measured something else than this box, or is empty.
func (s *Step) Spoilt() string {
	switch {
	case s.Steal > MaxSteal:
		return "steal"
	case s.Throttled > 0.1 && s.Own() < robbedBelow*s.Usable:
		return "throttled"
	}
	return ""
}
