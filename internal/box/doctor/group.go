package doctor

import (
	"path"
	"strconv"
	"strings"

	"straum.dev/straum/internal/box"
)

// group is what the control groups of one process allow and have counted, the least of all levels (cgroups(7)). Doctor is mostly run from a
// login, whose groups are not those of the gateway.
type group struct {
	Quota     float64 // processors; 0 is no limit
	QuotaFrom string  // the file that says so
	Periods   uint64  // times the quota was dealt out, of that group
	Throttled uint64  // of them, how often it was used up
	Memory    int64   // bytes; 0 is no limit
	From      string
	Kills     uint64 // processes the kernel killed in the process's own group for want of memory
	Known     bool   // the process's groups could be read
}

// groupOf reads the groups of a process; process is its directory under /proc.
func groupOf(m *box.Machine, process string) (g group) {
	text, err := m.Read(process + "/cgroup")
	if err != nil {
		return g
	}
	g.Known = true
	for line := range strings.Lines(text) {
		// hierarchy:controllers:path; the second version has neither number nor controllers.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		controllers := strings.Split(parts[1], ",")
		for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
			own := at == path.Clean("/"+parts[2])
			if parts[1] == "" {
				g.second(m, path.Join("/sys/fs/cgroup", at), own)
			}
			for _, c := range controllers {
				g.first(m, c, parts[1], at, own)
			}
			if at == "/" {
				break
			}
		}
	}
	return g
}

// second reads a group of the second version.
func (g *group) second(m *box.Machine, at string, own bool) {
	if f := strings.Fields(word(m, at+"/cpu.max")); len(f) == 2 {
		g.quota(m, at+"/cpu.max", f[0], f[1], at+"/cpu.stat")
	}
	if n, err := number(m, at+"/memory.max"); err == nil {
		g.memory(n, at+"/memory.max")
	}
	if n, ok := counter(m, at+"/memory.events", "oom_kill"); ok && own {
		g.Kills += n
	}
}

// first reads a group of the first version. A hierarchy is mounted under the name of its controllers or of one of them.
func (g *group) first(m *box.Machine, controller, all, at string, own bool) {
	switch controller {
	case "cpu":
		for _, name := range []string{"cpu", all} {
			dir := path.Join("/sys/fs/cgroup", name, at)
			quota, period := word(m, dir+"/cpu.cfs_quota_us"), word(m, dir+"/cpu.cfs_period_us")
			if quota != "" && period != "" {
				g.quota(m, dir+"/cpu.cfs_quota_us", quota, period, dir+"/cpu.stat")
				return
			}
		}
	case "memory":
		dir := path.Join("/sys/fs/cgroup/memory", at)
		if n, err := number(m, dir+"/memory.limit_in_bytes"); err == nil && n < 1<<60 { // none is a number near 2^63
			g.memory(n, dir+"/memory.limit_in_bytes")
		}
		if n, ok := counter(m, dir+"/memory.oom_control", "oom_kill"); ok && own {
			g.Kills += n
		}
	}
}

// quota keeps the least. "max" and -1 are none.
func (g *group) quota(m *box.Machine, from, quota, period, stat string) {
	q, err := strconv.ParseFloat(quota, 64)
	d, err2 := strconv.ParseFloat(period, 64)
	if err != nil || err2 != nil || q <= 0 || d <= 0 || g.Quota > 0 && q/d >= g.Quota {
		return
	}
	g.Quota, g.QuotaFrom = q/d, from
	g.Periods, _ = counter(m, stat, "nr_periods")
	g.Throttled, _ = counter(m, stat, "nr_throttled")
}

func (g *group) memory(limit int64, from string) {
	if limit > 0 && (g.Memory == 0 || limit < g.Memory) {
		g.Memory, g.From = limit, from
	}
}

// used is what the group that bounds memory has in use, without what it caches of files: that the kernel gives up by itself.
func (g *group) used(m *box.Machine) (int64, bool) {
	dir := path.Dir(g.From)
	now, kinds := dir+"/memory.current", []string{"active_file", "inactive_file"}
	if path.Base(g.From) != "memory.max" { // the first version, whose totals have what lies in groups below
		now, kinds = dir+"/memory.usage_in_bytes", []string{"total_active_file", "total_inactive_file"}
	}
	used, err := number(m, now)
	if err != nil {
		return 0, false
	}
	for _, kind := range kinds {
		cached, ok := counter(m, dir+"/memory.stat", kind)
		if !ok {
			return 0, false
		}
		used -= int64(cached)
	}
	return max(used, 0), true
}
