package vitals

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/prometheus/procfs"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/wording"
)

// Options are for New.
type Options struct {
	Machine *box.Machine
	// Volumes are directories whose disks are of interest: name (log, cache, state) to path as seen on the box.
	Volumes map[string]string
	// PID is the process of the gateway; 0 is this process, whose Go runtime is read as well (on this machine, not for trees of others).
	PID int
}

// Source takes samples. It is used by one goroutine at a time, and keeps the files it reads often open: about fifteen.
//
// Ports are counted from sockstat, which tells sockets and not what for: those of listeners and of clients are among them. So what it says
// of ports is the most that may be taken. The exact number is in a table that grows with connections, which a source never reads.
type Source struct {
	machine *box.Machine
	proc    *procfs.FS // nil where there is no /proc
	process procfs.Proc
	isProc  bool // process may be asked
	here    bool // it is this machine
	online  int
	cores   float64

	stat, snmp, netstat, dev, diskstats, meminfo *file
	count, most                                  *file // of connection tracking
	ports, files                                 *file
	throttle                                     *file          // cpu.stat of the group with the tightest quota
	period                                       float64        // of that quota, seconds
	used, limit                                  *file          // memory of the tightest group
	volumes                                      []volume       // by name
	cards                                        []*card        // network interfaces, by name; nil before the first sample
	names                                        []string       // of all interfaces, as /proc/net/dev had them when cards was made
	tasks, spare                                 map[int]uint64 // nanoseconds each thread of the process waited, by number
	waited                                       uint64         // all of them, those that have ended too
	sized                                        bool           // the kernel tells how many descriptors there are
	counted                                      int64          // descriptors at the last count
	rest                                         int            // samples until they are counted again
	runtime                                      *runtimeReader
	buffer                                       []byte
	lacking                                      []string
}

// New makes a source. What this box does not have is left out of its samples for good.
func New(o Options) *Source {
	m := o.Machine
	facts := m.Facts()
	s := &Source{machine: m, online: facts.Online, cores: facts.Cores(), buffer: make([]byte, 16<<10),
		tasks: map[int]uint64{}, spare: map[int]uint64{}, here: m.Root == box.Here().Root}
	s.sized = s.here && facts.Kernel.AtLeast(6, 2)
	who := "self"
	if o.PID != 0 {
		who = fmt.Sprint(o.PID)
	}
	at := "/proc/" + who
	s.stat, s.snmp, s.netstat = s.open("/proc/stat"), s.open(at+"/net/snmp"), s.open(at+"/net/netstat")
	s.dev, s.meminfo = s.open(at+"/net/dev"), s.open("/proc/meminfo")
	s.ports, s.files = s.open(box.Sysctl("net.ipv4.ip_local_port_range")), s.open("/proc/sys/fs/file-nr")
	if s.count = s.openIf(box.Sysctl("net.netfilter.nf_conntrack_count")); s.count != nil {
		s.most = s.open(box.Sysctl("net.netfilter.nf_conntrack_max"))
	}
	if facts.QuotaFrom != "" {
		s.throttle = s.open(path.Join(path.Dir(facts.QuotaFrom), "cpu.stat"))
		s.period = quotaPeriod(m, facts.QuotaFrom)
	}
	if name, ok := groupUse[path.Base(facts.From)]; ok {
		s.limit, s.used = s.open(facts.From), s.open(path.Join(path.Dir(facts.From), name))
	}

	if fs, err := procfs.NewFS(m.Path("/proc")); err == nil {
		s.proc = &fs
		if o.PID == 0 {
			s.process, err = fs.Self()
		} else {
			s.process, err = fs.Proc(o.PID)
		}
		s.isProc = err == nil
	}
	if !s.isProc {
		s.lack("the process: there is no %s", at)
	}
	if s.here && o.PID == 0 {
		s.runtime = newRuntimeReader()
	}
	s.findVolumes(o.Volumes)
	if slices.ContainsFunc(s.volumes, func(v volume) bool { return v.device != "" }) {
		s.diskstats = s.open("/proc/diskstats")
	}
	return s
}

// groupUse is the file that tells the memory a group uses, by the file that has its limit.
var groupUse = map[string]string{"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}

// Lacking says what is left out of the samples, and why.
func (s *Source) Lacking() []string { return slices.Clone(s.lacking) }

func (s *Source) lack(format string, a ...any) {
	s.lacking = append(s.lacking, fmt.Sprintf(format, a...))
}

// Close gives back what it holds open.
func (s *Source) Close() {
	for _, f := range []*file{s.stat, s.snmp, s.netstat, s.dev, s.diskstats, s.meminfo, s.count, s.most, s.ports, s.files, s.throttle, s.used, s.limit} {
		f.close()
	}
	for _, c := range s.cards {
		c.state.close()
	}
}

// volume is a directory of interest and the device it lies on.
type volume struct {
	name, path string
	number     string // major:minor, as /proc/diskstats has it
	device     string // its name; empty is that there is none to be asked
}

// findVolumes finds the devices. A file system without one, or with several, has no disk to be told of.
func (s *Source) findVolumes(wanted map[string]string) {
	mounts, err := s.machine.Mounts()
	if err != nil && len(wanted) > 0 {
		s.lack("disks: /proc/self/mountinfo: %v", wording.Cause(err))
	}
	devices, err := s.devices()
	if err != nil && len(wanted) > 0 {
		s.lack("disks: /proc/diskstats: %v", wording.Cause(err))
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		v := volume{name: name, path: wanted[name]}
		if at := box.Below(mounts, s.resolve(v.path)); at != nil {
			if v.number, v.device = at.Device, devices[at.Device]; v.device == "" && devices != nil {
				s.lack("the disk of the volume %s: %s lies on %s, which is no single device", name, v.path, at.Kind)
			}
		}
		s.volumes = append(s.volumes, v)
	}
	slices.SortFunc(s.volumes, func(a, b volume) int { return cmp.Compare(a.name, b.name) })
}

// devices are the names that devices have in /proc/diskstats, by their numbers.
func (s *Source) devices() (map[string]string, error) {
	text, err := s.machine.Read("/proc/diskstats")
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range lines([]byte(text)) {
		if major, minor, name, ok := deviceOf(line); ok {
			all[string(major)+":"+string(minor)] = string(name)
		}
	}
	return all, nil
}

// quotaPeriod is the period of a quota, in seconds.
func quotaPeriod(m *box.Machine, from string) float64 {
	const usual = 0.1
	text, err := m.Read(from)
	if path.Base(from) == "cpu.cfs_quota_us" {
		text, err = m.Read(path.Join(path.Dir(from), "cpu.cfs_period_us"))
		text = "- " + text
	}
	_, rest := word([]byte(text))
	var n [1]uint64
	if err != nil || numbers(rest, n[:]) == 0 || n[0] == 0 {
		return usual
	}
	return float64(n[0]) / 1e6
}
