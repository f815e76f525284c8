package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/box/boxtest"
	"straum.dev/straum/internal/box/vitals"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/observe/metrics"
)

// Each remark comes with its cause, and not before.
func TestRemarks(t *testing.T) {
	for _, c := range []struct {
		name   string
		v      vitals.Vitals
		checks string
	}{
		{"a quiet box", vitals.Vitals{CPU: vitals.CPU{Busy: 0.5, Steal: 0.019, Throttled: 0.005}, Network: vitals.Network{Sent: 100, Retransmitted: 90}}, ""},
		{"steal", vitals.Vitals{CPU: vitals.CPU{Steal: 0.021}}, "steal"},
		{"quota", vitals.Vitals{CPU: vitals.CPU{Throttled: 0.02, Busy: 0.95}}, "throttled busy"},
		{"queues", vitals.Vitals{Network: vitals.Network{ListenOverflows: 1, SoftnetDropped: 2, Sent: 1000, Retransmitted: 31}}, "listen_overflows softnet_dropped retransmits"},
		{"tables", vitals.Vitals{Conntrack: &vitals.Use{Used: 90, Limit: 100}, Descriptors: &vitals.Use{Used: 90, Limit: 100}, Files: &vitals.Use{Used: 90, Limit: 100}}, "conntrack descriptors files"},
		{"room in them", vitals.Vitals{Conntrack: &vitals.Use{Used: 89, Limit: 100}, Files: &vitals.Use{Used: 5, Limit: 0}}, ""},
		{"a card at its end", vitals.Vitals{Network: vitals.Network{Interfaces: []vitals.Interface{{Name: "a", Sent: 95, Ceiling: 100}, {Name: "b", Sent: 1e12}}}}, "network"},
		{"a full volume", vitals.Vitals{Disks: []vitals.Disk{{Volume: "log", Device: "a", Free: 4, Size: 100}, {Volume: "cache", Device: "a", Free: 4, Size: 100}, {Volume: "state"}, {Volume: "x", Free: 6 << 30, Size: 1 << 40}}}, "disk"},
		{"memory", vitals.Vitals{Pressure: &vitals.Pressure{Memory: 0.06, CPU: 1, IO: 1}}, "memory"},
	} {
		var checks []string
		for _, r := range remarks(&c.v) {
			checks = append(checks, r.Check)
			if r.Reason == "" || strings.Contains(r.Reason, "%!") {
				t.Errorf("%s: %q", c.name, r.Reason)
			}
		}
		if got := strings.Join(checks, " "); got != c.checks {
			t.Errorf("%s: remarked on %q, want %q", c.name, got, c.checks)
		}
	}
}

// What a box does not tell is absent from all that is shown of it, and what it tells is there.
func TestBoxShown(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for tree, c := range map[string]struct{ has, lacks []string }{
		"cgroup1-old-kernel": {has: []string{"cpu", "conntrack", "ports", "descriptors", "files", "memory", "disks", "process"}, lacks: []string{"pressure"}},
		"docker-cgroup2":     {has: []string{"cpu", "pressure", "memory"}},
		"denied":             {lacks: []string{"cpu", "pressure", "ports", "files", "memory", "conntrack"}},
		"bare":               {lacks: []string{"cpu", "pressure", "ports", "files", "memory", "process", "descriptors", "disks"}},
	} {
		exchanges := uint64(0)
		w := newWatched(boxtest.Tree(t, tree, nil), &config.Config{State: "/var/lib/straum"}, func() uint64 { exchanges += 500; return exchanges })
		g := &gateway{box: w, sandbox: &confinement{}}
		if b := g.boxed(); b.Vitals != nil && b.Vitals.Window >= 1 {
			t.Errorf("%s: vitals before the second sample", tree)
		}
		for range samplesKept + 3 {
			w.look(time.Now)
		}
		shown := map[string]json.RawMessage{}
		text, err := json.Marshal(g.boxed().Vitals)
		if err == nil {
			err = json.Unmarshal(text, &shown)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range c.has {
			if shown[key] == nil {
				t.Errorf("%s: nothing of %s in %s", tree, key, text)
			}
		}
		for _, key := range c.lacks {
			if shown[key] != nil {
				t.Errorf("%s: %s in %s", tree, key, text)
			}
		}
		if b := g.boxed(); b.Requests.Since == nil || b.Requests.Total == 0 || (b.Kernel == "") != (tree == "bare") {
			t.Errorf("%s: %+v", tree, b)
		}
		n := w.numbers()
		if (n.CPU != nil) != slices.Contains(c.has, "cpu") || (n.Memory != nil) != slices.Contains(c.has, "memory") || (n.Ports != nil) == slices.Contains(c.lacks, "ports") {
			t.Errorf("%s: the metrics are %+v", tree, n)
		}
		if len(w.samples) != samplesKept {
			t.Errorf("%s: %d samples are kept", tree, len(w.samples))
		}
		w.close()
	}
}

// The metrics of a box are in the units that they say.
func TestBoxNumbers(t *testing.T) {
	w := newWatched(boxtest.Tree(t, "cgroup1-old-kernel", nil), &config.Config{State: "/var/lib/straum"}, func() uint64 { return 0 })
	defer w.close()
	n := w.numbers()
	mode := func(name string) float64 {
		i := slices.IndexFunc(n.CPU, func(s metrics.Seconds) bool { return s.Of == name })
		return n.CPU[i].S
	}
	if mode("steal") != 18083.34 || mode("user") != 63933.33 {
		t.Errorf("the processors: %+v", n.CPU)
	}
	if *n.Overflows != 20331 || *n.Drops != 20412 || *n.SoftDropped != 4120 || *n.Throttled != 912033 || n.Conntrack.Used != 14203 {
		t.Errorf("the losses: %+v", n)
	}
	if n.Group.Limit != 805306368 || n.Memory.Swapped != 447015936 {
		t.Errorf("the memory: %+v, %+v", n.Group, n.Memory)
	}
	state := slices.IndexFunc(n.Disks, func(d metrics.Disk) bool { return d.Volume == "state" })
	if d := n.Disks[state]; d.Device != "vda1" || d.Writes != 4890001 || d.Writing != 91203 || d.Busy != 8401.9 {
		t.Errorf("the disk: %+v", d)
	}
	if admin := (&gateway{box: w, sandbox: &confinement{}}).boxed(); admin.Cores != 1 || admin.Processors != 2 || admin.Machine != "kvm" || admin.Usable != 805306368 {
		t.Errorf("the box: %+v", admin)
	}
}
