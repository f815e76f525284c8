package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/vitals"
	"straum.dev/straum/internal/capacity"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/client"
	"straum.dev/straum/internal/load"
)

// subject is what a capacity is measured of: a gateway, where it is reached, and where its numbers come from.
type subject struct {
	target   *loadTarget
	page     *figuresPage // nil when its metrics are off
	box      *vitals.Source
	endpoint *vitals.Source // the process of the rehearsal's endpoints, nil when there is none
	admin    *client.Client
	memory   int64 // bytes that may be used; 0 is not known
	past     *capacity.Past
	notes    []string
}

func (s *subject) close() {
	s.box.Close()
	if s.endpoint != nil {
		s.endpoint.Close()
	}
}

// volumes are the directories whose disks a gateway writes to.
func volumes(c *config.Config) map[string]string {
	all := map[string]string{}
	if c == nil {
		return all
	}
	if to := c.Log.Access.To; strings.Contains(to, "/") {
		if to, err := filepath.Abs(to); err == nil {
			all["log"] = filepath.Dir(to)
		}
	}
	if d := c.Cache.Disk; d != nil {
		path := filepath.Join(config.Beside(c.Node, c.State), "cache")
		if d.Path != "" {
			path = config.Beside(d.Node, d.Path)
		}
		if path, err := filepath.Abs(path); err == nil {
			all["cache"] = path
		}
	}
	return all
}

// sight is what is seen of the box and the gateway at one time.
type sight struct {
	box, endpoint *vitals.Sample
	figures       *figures
	pauses        uint64 // times the gateway stopped accepting for want of descriptors
}

func (s *subject) look(ctx context.Context) *sight {
	v := &sight{figures: s.page.read(ctx)}
	if status, err := s.admin.Status(ctx); err == nil { // it was asked before; that it is too busy now is no reason to stop
		for i := range status.Listeners {
			v.pauses += status.Listeners[i].Pauses.Descriptors
		}
	}
	v.box = s.box.Sample()
	if s.endpoint != nil {
		v.endpoint = s.endpoint.Sample()
	}
	return v
}

// measure makes one run. The box is looked at from when the counted time begins to when the run is over.
func (s *subject) measure(ctx context.Context, p *load.Plan, phase capacity.Phase, tell func(load.Progress)) (*capacity.Step, error) {
	var before *sight
	var middle *figures
	r, err := load.Run(ctx, p, func(at load.Progress) {
		switch {
		case at.Warm && before == nil:
			before = s.look(ctx)
		case middle == nil && at.Elapsed > p.Warmup+p.Duration/2:
			middle = s.page.read(ctx)
		}
		tell(at)
	})
	if err != nil {
		return nil, err
	}
	if before == nil || ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	after := s.look(ctx)
	step := &capacity.Step{Phase: phase, Wanted: p.Rate, Connections: p.Connections}
	answersOf(step, r)
	vitalsOf(step, vitals.Between(before.box, after.box), s.memory)
	step.Generator = r.CPU.Seconds() / r.Elapsed.Seconds()
	step.Endpoints = capacity.Unknown
	if s.endpoint != nil {
		if v := vitals.Between(before.endpoint, after.endpoint); v.Process != nil {
			step.Endpoints = capacity.Share(v.Process.CPU)
		}
	}
	step.Short = after.pauses - min(before.pauses, after.pauses)
	if a, b := before.figures, after.figures; a != nil && b != nil {
		step.Added, step.Upstream = b.own.since(a.own).quantile(0.99), b.upstream.since(a.upstream).quantile(0.99)
		step.Full = uint64(max(0, b.full-a.full))
		step.Short += uint64(max(0, b.short-a.short))
		step.Open = int(b.connections)
	}
	if middle != nil {
		step.Waiting = int(middle.waiting)
	}
	return step, nil
}

// answersOf fills in what the run says.
func answersOf(step *capacity.Step, r *load.Result) {
	step.Window, step.Answers = r.Elapsed, r.Done
	seconds := max(r.Elapsed.Seconds(), 1e-9)
	step.Reached = float64(r.Done) / seconds
	bad, refused := uint64(0), uint64(0)
	for _, n := range r.Errors {
		bad += n
	}
	for status, n := range r.Statuses {
		switch {
		case status >= 500:
			bad += n
		case status >= 400:
			refused += n
		}
	}
	if r.Due > 0 {
		step.Errors = float64(bad) / float64(r.Due)
	}
	if r.Done > 0 {
		step.Refused, step.Bytes = float64(refused)/float64(r.Done), float64(r.Received)/float64(r.Done)
	}
	at := func(v int64) time.Duration { return time.Duration(v) * time.Microsecond }
	step.P50, step.P99, step.Max = at(r.Latency.ValueAtQuantile(50)), at(r.Latency.ValueAtQuantile(99)), at(r.Latency.Max())
	step.Service = at(r.Service.ValueAtQuantile(99))
	if r.Lag != nil {
		step.Late = at(r.Lag.ValueAtQuantile(99))
	}
}

// vitalsOf fills in what the box says. usable is how much memory there is.
func vitalsOf(step *capacity.Step, v *vitals.Vitals, usable int64) {
	known := func(p vitals.Part, x float64) capacity.Share {
		if !v.Knows(p) {
			return capacity.Unknown
		}
		return capacity.Share(x)
	}
	c, n := &v.CPU, &v.Network
	step.Cores, step.Usable = float64(c.Online), c.Cores
	step.Busy, step.Steal, step.Throttled = known(vitals.Processors, c.Busy), known(vitals.Processors, c.Steal), known(vitals.Processors, c.Throttled)
	step.Softirq, step.Packets, step.IOWait = known(vitals.Processors, c.Softirq), known(vitals.Processors, c.SoftirqCore), known(vitals.Processors, c.IOWait)
	step.PressureCPU, step.PressureIO, step.PressureMemory = capacity.Unknown, capacity.Unknown, capacity.Unknown
	if p := v.Pressure; p != nil {
		step.PressureCPU, step.PressureIO, step.PressureMemory = capacity.Share(p.CPU), capacity.Share(p.IO), capacity.Share(p.Memory)
	}
	step.Network = capacity.Unknown
	for _, i := range n.Interfaces {
		if used := capacity.Share(max(i.Received, i.Sent) / i.Ceiling); i.Ceiling > 0 && used > step.Network {
			step.Network, step.Ceiling = used, i.Ceiling
		}
		step.PacketsLost += i.Dropped
	}
	step.PacketsLost += n.SoftnetDropped
	step.Overflows = n.ListenOverflows
	step.Retransmitted = known(vitals.Segments, float64(n.Retransmitted)/max(1, float64(n.Sent)))
	step.Disk = capacity.Unknown
	for _, d := range v.Disks {
		if busy := capacity.Share(d.Busy); busy > step.Disk {
			step.Disk, step.DiskWrite = busy, d.Write
		}
	}
	step.Descriptors = capacity.Unknown
	if d := v.Descriptors; d != nil && d.Limit > 0 {
		step.Descriptors = capacity.Share(float64(d.Used) / float64(d.Limit))
	}
	m := &v.Memory
	step.Memory = known(vitals.MainMemory, float64(m.Total-m.Available)/max(1, float64(m.Total)))
	if p := v.Process; p != nil {
		step.Gateway, step.Resident = p.CPU, p.Resident
		if usable > 0 { // what a control group counts has the kernel's cache of files in it, which gives way
			step.Memory = max(step.Memory, capacity.Share(float64(p.Resident)/float64(usable)))
		}
	}
}

// newVitalsOf makes the source of this box's numbers for a process.
func newVitalsOf(pid int, volumes map[string]string) *vitals.Source {
	return vitals.New(vitals.Options{Machine: box.Here(), Volumes: volumes, PID: pid})
}
