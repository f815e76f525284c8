package box

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"straum.dev/straum/internal/memlimit"
	"straum.dev/straum/internal/wording"
)

// Facts are what does not change while the box runs, or hardly. What could not be found out is zero, with its reason in Unknown.
type Facts struct {
	Kernel    Version  `json:"kernel"`
	Arch      string   `json:"arch"`                 // as Go calls it: amd64, arm64
	Distro    string   `json:"distro"`               // PRETTY_NAME of /etc/os-release
	Guest     Guest    `json:"guest"`                // what kind of guest this is
	Online    int      `json:"online"`               // processors online
	Allowed   int      `json:"allowed"`              // processors the process may run on: its affinity, which cpusets bound
	Quota     float64  `json:"quota"`                // processors the control groups allow, the least of all levels; 0 is no limit
	QuotaFrom string   `json:"quota_from,omitempty"` // the file that says so
	Groups    int      `json:"cgroup"`               // version of the control groups that bound the process: 1, 2; 0 is none
	Memory    int64    `json:"memory"`               // bytes that may be used: the least of the machine's and the groups'
	From      string   `json:"memory_from"`          // the file that says so
	Total     int64    `json:"memory_total"`         // bytes of the machine
	Swap      int64    `json:"swap"`                 // bytes of swap space
	Model     string   `json:"cpu"`                  // model name of the first processor
	Flags     []string `json:"-"`                    // of the first processor: aes, pclmulqdq; on arm64 aes, pmull
	Systemd   bool     `json:"systemd"`              // systemd runs as the first process
	UID       int      `json:"uid"`                  // effective, of this process; -1 is unknown
	Effective uint64   `json:"-"`                    // its effective capabilities, CapEff of /proc/self/status

	Unknown []string `json:"unknown,omitempty"` // what could not be found out, and why, in words
}

// Cores is how many processors' time may be used: the least of those online, those allowed and the quota. At least a hundredth.
func (f *Facts) Cores() float64 {
	cores := float64(f.Online)
	if f.Allowed > 0 && (f.Online == 0 || f.Allowed < f.Online) {
		cores = float64(f.Allowed)
	}
	if cores == 0 {
		cores = 1 // there is one, or nobody would be asking
	}
	if f.Quota > 0 {
		cores = min(cores, f.Quota)
	}
	return max(cores, 0.01)
}

// Version is that of a kernel.
type Version struct {
	Major int    `json:"major"`
	Minor int    `json:"minor"`
	Text  string `json:"text"` // as uname -r shows it
}

// AtLeast compares.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Facts finds out.
func (m *Machine) Facts() *Facts {
	f := &Facts{UID: -1}
	unknown := func(what string, err error) {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("it is not there")
		}
		f.Unknown = append(f.Unknown, fmt.Sprintf("%s: %s", what, wording.Cause(err)))
	}
	if f.Kernel = m.version(); f.Kernel.Text == "" {
		_, err := m.Read("/proc/sys/kernel/osrelease")
		unknown("kernel: /proc/sys/kernel/osrelease", err)
	} else if f.Kernel.Major == 0 {
		unknown("kernel", fmt.Errorf("found the version %q", f.Kernel.Text))
	}
	cpu, err := m.processor()
	if err != nil {
		unknown("cpu", err)
	}
	f.Arch, f.Model, f.Flags = m.arch(cpu), cpu.model, cpu.flags
	if f.Distro, err = m.distro(); err != nil {
		unknown("distro: /etc/os-release", err)
	}
	f.Guest = m.guest(cpu)
	if f.Guest.Machine == "" {
		unknown("guest", errors.New("neither the processor nor the firmware says whether this machine is virtual"))
	}
	if f.Online = m.online(cpu); f.Online == 0 {
		unknown("online", errors.New("no file tells the number of processors"))
	}
	m.groups(f, unknown)
	if f.Memory, f.From, err = memlimit.Find(m.FS()); err != nil {
		unknown("memory", err)
	}
	if text, err := m.Read("/proc/meminfo"); err != nil {
		unknown("memory_total: /proc/meminfo", err)
	} else {
		f.Total, f.Swap = kibibytes(text, "MemTotal:"), kibibytes(text, "SwapTotal:")
	}
	f.Systemd = m.has("/run/systemd/system")
	if status, err := m.Read("/proc/self/status"); err != nil {
		unknown("rights: /proc/self/status", err)
	} else {
		if uid, effective, ok := identity(status); ok {
			f.UID, f.Effective = uid, effective
		} else {
			unknown("rights", errors.New("/proc/self/status has no Uid or CapEff"))
		}
		f.Allowed = listed(after(status, "Cpus_allowed_list:"))
	}
	return f
}

// version is the kernel's, zero when it is unknown. Anything may follow the second number.
func (m *Machine) version() Version {
	text, _ := m.Read("/proc/sys/kernel/osrelease")
	v := Version{Text: text}
	major, rest, ok := strings.Cut(text, ".")
	if !ok {
		return v
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(rest[:end])
	if errA == nil && errB == nil {
		v.Major, v.Minor = a, b
	}
	return v
}

// arch is ours where we run, and what the processor's flags tell elsewhere.
func (m *Machine) arch(cpu *processor) string {
	switch {
	case m.Root == "/":
		return runtime.GOARCH
	case cpu.amd64 && slices.Contains(cpu.flags, "lm"):
		return "amd64"
	case slices.Contains(cpu.flags, "asimd"):
		return "arm64"
	default:
		return ""
	}
}

func (m *Machine) distro() (string, error) {
	text, err := m.Read("/etc/os-release")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"PRETTY_NAME=", "NAME=", "ID="} {
		for line := range strings.Lines(text) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
				return strings.Trim(value, `"'`), nil
			}
		}
	}
	return "", errors.New("it has no name")
}

// online counts processors.
func (m *Machine) online(cpu *processor) int {
	if text, err := m.Read("/sys/devices/system/cpu/online"); err == nil {
		if n := listed(text); n > 0 {
			return n
		}
	}
	n := 0
	for line := range strings.Lines(m.told("/proc/stat")) {
		if strings.HasPrefix(line, "cpu") && len(line) > 3 && line[3] >= '0' && line[3] <= '9' {
			n++
		}
	}
	return max(n, cpu.count)
}

// listed counts the members of a list as the kernel writes those of processors: 0-3,5. It is 0 for what is none.
func listed(text string) (n int) {
	const most = 1 << 16
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		if err != nil || a < 0 {
			return 0
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(last); err != nil || b < a || b > most {
				return 0
			}
		}
		n += b - a + 1
	}
	return n
}

// identity is the effective user and capabilities in /proc/self/status.
func identity(status string) (uid int, effective uint64, ok bool) {
	users := strings.Fields(after(status, "Uid:"))
	if len(users) < 2 {
		return 0, 0, false
	}
	uid, errUID := strconv.Atoi(users[1])
	effective, errCap := strconv.ParseUint(after(status, "CapEff:"), 16, 64)
	return uid, effective, errUID == nil && errCap == nil
}

// after is what follows a name at the beginning of a line.
func after(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kibibytes is a line of /proc/meminfo in bytes, 0 when it is not there.
func kibibytes(text, name string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(after(text, name), "kB")), 10, 64)
	if err != nil || n < 0 || n > 1<<52 {
		return 0
	}
	return n << 10
}
