package box

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// groups finds out which control groups bound the process and how many processors' time they leave it (cgroups(7)). Each level counts:
// the least of all is what may be used.
func (m *Machine) groups(f *Facts, unknown func(string, error)) {
	text, err := m.Read("/proc/self/cgroup")
	if err != nil {
		unknown("cgroup: /proc/self/cgroup", err)
		return
	}
	for _, g := range memberships(text) {
		switch {
		case g.controllers == "" && g.hierarchy == "0":
			if f.Groups == 0 && m.has("/sys/fs/cgroup/cgroup.controllers") {
				f.Groups = 2
			}
			m.least(f, unknown, "/sys/fs/cgroup", g.path, "cpu.max", m.quota2)
		case hasWord(g.controllers, "memory"):
			f.Groups = 1
		case hasWord(g.controllers, "cpu"):
			f.Groups = 1
			mount := "/sys/fs/cgroup/" + g.controllers
			if !m.has(mount) {
				mount = "/sys/fs/cgroup/cpu"
			}
			m.least(f, unknown, mount, g.path, "cpu.cfs_quota_us", m.quota1)
		}
	}
}

// membership is one line of /proc/self/cgroup: hierarchy:controllers:path.
type membership struct{ hierarchy, controllers, path string }

func memberships(text string) (all []membership) {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) == 3 {
			all = append(all, membership{parts[0], parts[1], parts[2]})
		}
	}
	return all
}

// least takes the least quota from a group up to the mount's root. Within a container the group's path is often one that only the machine
// around it has; the mount's root is the group then.
func (m *Machine) least(f *Facts, unknown func(string, error), mount, group, file string, read func(string) (float64, error)) {
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		quota, err := read(path.Join(mount, group, file))
		switch {
		case errors.Is(err, fs.ErrNotExist): // the root of a machine has none
		case err != nil:
			unknown("quota: "+path.Join(mount, group, file), err)
		case quota > 0 && (f.Quota == 0 || quota < f.Quota):
			f.Quota, f.QuotaFrom = quota, path.Join(mount, group, file)
		}
		if group == "/" {
			return
		}
	}
}

// quota2 is of the second version: quota and period in microseconds, or max.
func (m *Machine) quota2(file string) (float64, error) {
	text, err := m.Read(file)
	if err != nil {
		return 0, err
	}
	quota, period, _ := strings.Cut(text, " ")
	if quota == "max" {
		return 0, nil
	}
	return share(quota, period)
}

// quota1 is of the first version: each in a file, -1 is none.
func (m *Machine) quota1(file string) (float64, error) {
	quota, err := m.Read(file)
	if err != nil {
		return 0, err
	}
	if strings.HasPrefix(quota, "-") {
		return 0, nil
	}
	period, err := m.Read(path.Join(path.Dir(file), "cpu.cfs_period_us"))
	if err != nil {
		return 0, err
	}
	return share(quota, period)
}

func share(quota, period string) (float64, error) {
	q, errQ := strconv.ParseUint(quota, 10, 63)
	p, errP := strconv.ParseUint(strings.TrimSpace(period), 10, 63)
	if errQ != nil || errP != nil || p == 0 {
		return 0, errors.New("found " + strconv.Quote(quota+" "+period) + ", wanted two numbers")
	}
	return float64(q) / float64(p), nil
}
