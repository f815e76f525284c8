package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
	"straum.dev/straum/internal/box/vitals"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
)

// writes is a probe of a disk that takes so long.
func writes(w Writing, err error) func(context.Context, string) (Writing, error) {
	return func(context.Context, string) (Writing, error) { return w, err }
}

// ill is one way for a patient to be, and what a check makes of it.
type ill struct {
	tree    string // kvm-debian12 when empty
	changes map[string]string
	is      func(*Patient)
	says    string // somewhere in what is found
}

const (
	clocks  = "/sys/devices/system/clocksource/clocksource0/"
	cpufreq = "/sys/devices/system/cpu/cpu0/cpufreq/"
	unit    = "/sys/fs/cgroup/system.slice/straum.service/"
	nic     = "/sys/class/net/ens3/"
)

// running is a gateway that runs, whatever else.
func running(more func(*Patient)) func(*Patient) {
	return func(p *Patient) {
		p.Running = alive()
		if more != nil {
			more(p)
		}
	}
}

func spaceIs(kind string, free, size int64, inodes float64) func(*Patient) {
	return func(p *Patient) {
		p.Probes.Space = func(string) (Space, error) {
			return Space{Free: free, Size: size, Inodes: 1e6, FreeInodes: uint64(inodes * 1e6), Kind: kind}, nil
		}
	}
}

func stealIs(x float64) func(*Patient) { return func(p *Patient) { p.Vitals.CPU.Steal = x } }

func noVitals(p *Patient) { p.Vitals = nil }

// sick says for each check how it comes to each severity it has: those of docs/doctor.md, which a test compares. Checks of other files have their maps
// added here.
var sick = merged(sickBox)

func merged(maps ...map[string]map[box.Severity]ill) map[string]map[box.Severity]ill {
	all := map[string]map[box.Severity]ill{}
	for _, m := range maps {
		for id, i := range m {
			all[id] = i
		}
	}
	return all
}

// sickBox are the checks of the box.
var sickBox = map[string]map[box.Severity]ill{
	"steal": {
		box.Good:    {is: stealIs(0.009), says: "0.9% of the processors' time over 2s"},
		box.Unknown: {is: noVitals},
		box.Hint:    {is: stealIs(0.015), says: "before you blame your code"},
		box.Warning: {is: stealIs(0.021), says: "84ms of processor time taken in 2s"},
		box.Bad:     {is: stealIs(0.11), says: "ask the provider"},
	},
	"cpu_pressure": {
		box.Good:    {says: "12% busy"},
		box.Unknown: {is: noVitals},
		box.Hint:    {is: func(p *Patient) { p.Vitals.Pressure.CPU = 0.3 }, says: "30% of the time"},
		box.Warning: {is: func(p *Patient) { p.Vitals.Pressure, p.Vitals.CPU.RunQueue = nil, 6 }, says: "6.0 tasks a core"},
	},
	"cpu_quota": {
		box.Good:    {says: "2 processors, no quota"},
		box.Unknown: {changes: map[string]string{"/proc/812/cgroup": boxtest.Denied}, is: running(nil), says: "sudo"},
		box.Hint:    {changes: map[string]string{"/proc/812/environ": "SECRET=x\x00GOMAXPROCS=8\x00"}, is: running(nil), says: "8 threads"},
		box.Warning: {changes: map[string]string{unit + "cpu.max": "50000 100000", unit + "cpu.stat": "nr_periods 1000\nnr_throttled 20\n"}, is: running(nil), says: "used up in 20 of 1,000 periods"},
		box.Bad:     {changes: map[string]string{unit + "cpu.max": "50000 100000"}, is: running(func(p *Patient) { p.Vitals.CPU.Throttled = 0.4 }), says: "throttled 40% of the window"},
	},
	"softirq": {
		box.Good:    {says: "softirqs take 2% of a core, and 1.4% of the one"},
		box.Unknown: {is: func(p *Patient) { p.Vitals.Unknown = []vitals.Part{vitals.Processors} }},
		box.Hint:    {is: func(p *Patient) { p.Vitals.CPU.Softirq, p.Vitals.CPU.SoftirqCore = 0.25, 0.45 }, says: "one core spent 45%"},
		box.Warning: {is: func(p *Patient) { p.Vitals.CPU.Softirq, p.Vitals.CPU.SoftirqCore = 0.7, 0.75 }, says: "one core spent 75% of the last 2s"},
	},
	"governor": {
		box.Good:    {says: "left to the machine around"},
		box.Unknown: {tree: "bare"},
		box.Hint:    {changes: map[string]string{cpufreq + "scaling_governor": "schedutil"}, says: "schedutil"},
		box.Warning: {changes: map[string]string{cpufreq + "scaling_governor": "powersave", cpufreq + "scaling_driver": "acpi-cpufreq", cpufreq + "scaling_min_freq": "800000", cpufreq + "scaling_max_freq": "3400000"}, says: "800 MHz of 3400 MHz"},
	},
	"aes": {
		box.Good:    {is: func(p *Patient) { p.Facts.Flags = []string{"aes", "pclmulqdq"} }, says: "aes and pclmulqdq"},
		box.Unknown: {is: func(p *Patient) { p.Facts.Flags = nil }},
		box.Hint:    {is: func(p *Patient) { p.Facts.Flags, p.Config = []string{"sse2"}, nil }, says: "one without aes and pclmulqdq"},
		box.Warning: {is: func(p *Patient) { p.Facts.Flags = []string{"aes"}; p.Probes.Seal = asked().Seal }, says: "one core encrypts 3 GiB a second"},
	},
	"memory_left": {
		box.Good:    {says: "3 GiB of 4 GiB left (75%)"},
		box.Unknown: {is: noVitals},
		box.Hint:    {is: func(p *Patient) { p.Vitals.Pressure.Memory = 0.05 }, says: "waited for memory 5% of the last 2s"},
		box.Warning: {is: func(p *Patient) { p.Vitals.Memory.Available = 200 << 20 }, says: "200 MiB of 4 GiB"},
		box.Bad: {changes: map[string]string{unit + "memory.max": "536870912", unit + "memory.current": "536870000", unit + "memory.stat": "anon 1\ninactive_file 2000000\nactive_file 3000000\n"},
			is: running(nil), says: "4.8 MiB left of the 512 MiB its control group"},
	},
	"memory_budget": {
		box.Good:    {says: "GOMEMLIMIT would be"},
		box.Unknown: {tree: "bare"},
		box.Hint:    {is: running(func(p *Patient) { p.Running.Memory = math.MaxInt64 }), says: "no GOMEMLIMIT"},
		box.Warning: {is: running(func(p *Patient) { p.Workload.Budget = 4 << 30 }), says: "1 GiB more than there is"},
		box.Bad:     {changes: map[string]string{unit + "memory.max": "1073741824"}, is: running(nil), says: "kills the gateway"},
	},
	"swap": {
		box.Good:    {says: "none"},
		box.Unknown: {changes: map[string]string{"/proc/swaps": boxtest.Denied}},
		box.Hint:    {changes: map[string]string{"/proc/swaps": "Filename\n/dev/zram0 partition 1 1 1\n"}, is: func(p *Patient) { p.Vitals.Memory.Swapped = 1 << 30 }, says: "compressed memory"},
		box.Warning: {changes: map[string]string{"/proc/swaps": "Filename\n/dev/vda2 partition 1 1 1\n", "/proc/812/status": "VmSwap:\t   20480 kB\n"}, is: running(nil), says: "20 MiB of the gateway itself"},
	},
	"oom_kills": {
		box.Good:    {says: "none since the box started"},
		box.Unknown: {changes: map[string]string{"/proc/vmstat": "nr_free_pages 1\n"}},
		box.Hint:    {tree: "lxc-old", says: "on the machine around this container"},
		box.Warning: {changes: map[string]string{"/proc/vmstat": "oom_kill 2\n"}, says: "2 processes killed"},
		box.Bad:     {changes: map[string]string{unit + "memory.events": "oom 3\noom_kill 1\n"}, is: running(nil), says: "1 process of the gateway's control group"},
	},
	"disk_kind": {
		box.Good:    {is: spaceIs("", 1<<40, 2<<40, 1), says: "is on a disk"},
		box.Unknown: {},
		box.Hint:    {is: spaceIs("nfs", 1<<40, 2<<40, 1), says: "another machine's disk"},
		box.Warning: {is: spaceIs("tmpfs", 1<<40, 2<<40, 1), says: "lies in memory"},
	},
	"disk_space": {
		box.Good:    {is: spaceIs("", 1<<40, 2<<40, 1), says: "1 TiB of 2 TiB free (50%)"},
		box.Unknown: {is: func(p *Patient) { p.Probes.Space = func(string) (Space, error) { return Space{}, fs.ErrPermission } }},
		box.Warning: {is: spaceIs("", 3<<30, 200<<30, 1), says: "du -xh"},
		box.Bad:     {is: spaceIs("", 100<<30, 200<<30, 0.01), says: "inodes"},
	},
	"disk_latency": {
		box.Good:    {is: func(p *Patient) { p.Probes = asked() }, says: "as quick as a solid-state disk"},
		box.Unknown: {is: func(p *Patient) { p.Probes.Write = writes(Writing{}, &fs.PathError{Err: fs.ErrPermission}) }, says: "sudo"},
		box.Hint: {is: func(p *Patient) {
			p.Probes.Write = writes(Writing{Sync: 20 * time.Millisecond, Write: 1, Rounds: 16}, nil)
		}, says: "turning disk"},
		box.Warning: {is: func(p *Patient) { p.Probes.Write = writes(Writing{Sync: 1e6, LongWrite: 2e8, Rounds: 16}, nil) }, says: "vda was busy 2% of the window"},
		box.Bad:     {is: func(p *Patient) { p.Probes.Write = writes(Writing{}, errors.New("no space left on device")) }, says: "no space left"},
	},
	"retransmits": {
		box.Good:    {says: "0.2% of 4,000 segments"},
		box.Unknown: {changes: map[string]string{"/proc/self/net/snmp": "Tcp: OutSegs RetransSegs\nTcp: 90 1\n"}, is: noVitals, says: "only 90 segments"},
		box.Hint:    {is: func(p *Patient) { p.Vitals.Network.Retransmitted = 60 }, says: "1.5%"},
		box.Warning: {changes: map[string]string{"/proc/self/net/snmp": "Tcp: OutSegs RetransSegs\nTcp: 9000 900\n"}, is: noVitals, says: "10% of 9,000 segments sent again, since the box started"},
	},
	"nic_drops": {
		box.Good:    {says: "none of"},
		box.Unknown: {tree: "bare"},
		box.Hint:    {changes: map[string]string{nic + "statistics/rx_packets": "1000000", nic + "statistics/tx_packets": "0", nic + "statistics/rx_missed_errors": "100"}, says: "100 not taken in"},
		box.Warning: {changes: map[string]string{nic + "statistics/rx_packets": "1000", nic + "statistics/tx_packets": "1000", nic + "statistics/tx_dropped": "100"}, says: "100 not sent"},
	},
	"nic_speed": {
		box.Good:    {is: func(p *Patient) { p.Vitals.Network.Interfaces[0].Ceiling = 125e6 }, says: "of 1 Gbit/s"},
		box.Unknown: {says: "does not say how much it can carry"},
		box.Hint:    {is: func(p *Patient) { p.Vitals.Network.Interfaces[0].Ceiling = 8e6 }, says: "75% of its speed"},
		box.Warning: {is: func(p *Patient) { p.Vitals.Network.Interfaces[0].Ceiling = 6.1e6 }, says: "98% of its speed"},
	},
	"nic_queues": {
		box.Good:    {says: "2 queues for 2 cores"},
		box.Unknown: {changes: map[string]string{nic + "queues": ""}},
		box.Hint:    {is: func(p *Patient) { p.Facts.Online = 8 }, says: "echo ff >"},
	},
	"nic_offloads": {
		box.Good:    {is: func(p *Patient) { p.Probes = asked() }, says: "gro, gso, tso on"},
		box.Unknown: {},
		box.Hint:    {is: func(p *Patient) { p.Probes.Offloads = offs }, says: "ethtool -K ens3 tx on gro on"},
	},
	"ipv6": {
		box.Good:    {changes: well, says: "the box has a public IPv6 address"},
		box.Unknown: {tree: "bare"},
		box.Hint:    {changes: well, is: listensOn("192.0.2.1:443"), says: "IPv4 alone (192.0.2.1:443)"},
		box.Bad:     {is: listensOn("[2001:db8::7]:443"), says: "the kernel speaks no IPv6"},
	},
	"clock_sync": {
		box.Good:    {says: "systemd-timesyncd keeps it"},
		box.Unknown: {changes: map[string]string{"/run/systemd/timesync": ""}, says: "cannot be asked"},
		box.Hint:    {changes: map[string]string{"/run/chrony/chronyd.pid": "88\n"}, is: outOfStep, says: "rtcsync"},
		box.Warning: {is: outOfStep, says: "nobody keeps it in step"},
	},
	"clock_source": {
		box.Good:    {says: "kvm-clock"},
		box.Unknown: {tree: "bare"},
		box.Hint:    {is: func(p *Patient) { p.Probes.ReadClock = func() time.Duration { return time.Microsecond } }, says: "1µs a reading"},
		box.Warning: {changes: map[string]string{clocks + "current_clocksource": "acpi_pm", clocks + "available_clocksource": "tsc acpi_pm"}, says: "echo tsc >"},
	},
	"guest": {
		box.Good:    {says: "kvm guest"},
		box.Unknown: {tree: "bare"},
		box.Hint:    {tree: "docker-cgroup2", says: "container (docker)"},
	},
	"kernel_version": {
		box.Good:    {says: "Linux 6.1"},
		box.Unknown: {tree: "bare"},
		box.Hint:    {changes: map[string]string{"/proc/sys/kernel/osrelease": "5.4.0-100-generic"}, says: "kernel.org mends 5.4 no more since 2025-12"},
		box.Warning: {tree: "cgroup1-old-kernel", says: "since 2023-01"},
	},
	"configuration": {
		box.Good: {says: "has no mistakes"},
		box.Unknown: {is: func(p *Patient) {
			p.Config, p.Mistakes = nil, &fs.PathError{Op: "open", Path: p.File, Err: fs.ErrPermission}
		}, says: "sudo"},
		box.Bad: {is: func(p *Patient) {
			var ps document.Problems
			ps.Add(errors.New("unknown key listner"))
			p.Config, p.Mistakes = nil, ps.Err()
		}, says: "1 mistake; the first: unknown key listner"},
	},
	"attention": {
		box.Good:    {is: running(nil), says: "asks for nobody"},
		box.Warning: {is: running(func(p *Patient) { p.Running.Attention = []string{"the certificate of a.example ends tomorrow"} }), says: "ends tomorrow"},
	},
	"certificates": {
		box.Good:    {is: paired(pair{}), says: "api.example.com, for 60 days more"},
		box.Unknown: {changes: map[string]string{"/etc/straum/key.pem": boxtest.Denied}, is: paired(pair{denied: true}), says: "sudo"},
		box.Hint:    {is: paired(pair{rsa: true}), says: "of a core for each full handshake, measured"},
		box.Warning: {is: paired(pair{left: 10 * day}), says: "for 10 days more"},
		box.Bad:     {is: paired(pair{left: -day}), says: "ended 24 hours ago"},
	},
	"endpoints": {
		box.Good:    {is: reaches(Reached{Asked: "HEAD /", Status: 200, Connect: 1e5, First: 1e6, Again: 8e5, Reused: true}, nil), says: "HEAD / answered 200, in 1ms on a fresh connection (100µs to connect) and 800µs on the same one; the connection was kept"},
		box.Unknown: {is: func(p *Patient) { manyEndpoints(p) }, says: "not asked: 36 further endpoints"},
		box.Hint:    {is: reaches(Reached{Reused: true, Announced: 5 * time.Second}, nil), says: "pool.idle_timeout below 5s"},
		box.Warning: {is: reaches(Reached{Connect: 2e6, TLS: 3e6, Closing: "it speaks HTTP/1.0"}, nil), says: "5ms a request to open a connection for it"},
		box.Bad:     {is: reaches(Reached{}, errors.New("dial: connection refused")), says: "connection refused"},
	},
	"resolvers": {
		box.Good:    {is: resolves(Told{Took: 1e6}), says: "answers in 1ms"},
		box.Unknown: {changes: map[string]string{"/etc/resolv.conf": "# none"}, is: resolves(Told{}), says: "names no resolver"},
		box.Hint:    {is: resolves(Told{Took: 2e8}), says: "200ms a look-up"},
		box.Warning: {is: resolves(Told{Name: "api.internal", Code: 2}), says: "SERVFAIL"},
		box.Bad:     {is: resolves(Told{Err: context.DeadlineExceeded}), says: "nor does any other"},
	},
	"service": {
		box.Good:    {changes: map[string]string{"/proc/812/environ": "NOTIFY_SOCKET=/run/x\x00WATCHDOG_USEC=30000000\x00"}, is: running(nil), says: "a service manager with a watchdog"},
		box.Unknown: {changes: map[string]string{"/proc/812/environ": boxtest.Denied}, is: running(nil), says: "sudo"},
		box.Hint:    {changes: map[string]string{"/proc/812/environ": "TOKEN=verysecret\x00"}, is: running(nil), says: "systemctl enable --now straum"},
	},
	"rights": {
		box.Good:    {changes: rightsOf("997", "0000000000000400", "1"), is: running(nil), says: "as user 997 with 1 of the kernel's capabilities"},
		box.Unknown: {changes: map[string]string{"/proc/812/status": "Name:\tstraum\n"}, is: running(nil)},
		box.Hint:    {changes: rightsOf("0", "0000000000000400", "1"), is: running(nil), says: "as root"},
		box.Warning: {changes: rightsOf("0", "000001ffffffffff", "0"), is: running(nil), says: "of them 38 a gateway has no use for"},
	},
	"sandbox": {
		box.Good:    {is: running(func(p *Patient) { p.Running.Sandbox = "no new privileges, Landlock 7" }), says: "Landlock 7"},
		box.Unknown: {is: running(nil)},
		box.Hint: {is: running(func(p *Patient) {
			p.Running.Sandbox, p.Running.Lacking = "no new privileges", []string{"no Landlock: the kernel has none"}
		}), says: "lacking: no Landlock"},
	},
	"exposure": {
		box.Good: {says: "within this box"},
		box.Hint: {is: func(p *Patient) {
			listensOn("10.0.0.2:80")(p)
			p.Config.Listeners[0].TLS, p.Config.Policies = nil, []config.Policy{{Name: "basic"}}
		}, says: "routes take basic"},
		box.Warning: {is: func(p *Patient) { p.Config.Metrics.Address.Host = "0.0.0.0" }, says: "metrics.address: 127.0.0.1:9900"},
		box.Bad:     {is: openSocket, says: "everybody on this box may use the admin socket"},
	},
	"file_modes": {
		box.Good:    {is: mode("/etc/straum/straum.yaml", 0o640), says: "1 file"},
		box.Unknown: {is: behindWall, says: "sudo"},
		box.Hint:    {is: mode("/etc/straum/straum.yaml", 0o664), says: "chmod g-w"},
		box.Warning: {is: mode("/var/log/straum/access.log", 0o644), says: "personal data"},
		box.Bad:     {is: mode("/etc/straum/straum.yaml", 0o666), says: "which everybody on this box may write"},
	},
	"entropy": {
		box.Good:    {says: "is seeded"},
		box.Unknown: {tree: "bare"},
		box.Hint:    {tree: "cgroup1-old-kernel", changes: map[string]string{"/proc/sys/kernel/random/entropy_avail": "30"}, says: "Straum does not read it"},
		box.Warning: {changes: map[string]string{"/proc/sys/kernel/random/entropy_avail": "12"}, says: "has not begun yet"},
	},
	"core_dumps": {
		box.Good:    {changes: map[string]string{"/proc/sys/kernel/core_pattern": "core"}, is: running(nil), says: "LimitCORE=0"},
		box.Unknown: {tree: "bare"},
		box.Hint:    {changes: map[string]string{"/proc/sys/kernel/core_pattern": "|/usr/share/apport/apport -p%p"}, says: "the program /usr/share/apport/apport"},
		box.Warning: {changes: map[string]string{"/proc/sys/fs/suid_dumpable": "1"}, says: "readable for whoever started them"},
	},
}

func outOfStep(p *Patient) {
	p.Probes.Clock = func() (ClockState, error) { return ClockState{}, nil }
}

func offs(string) (map[string]bool, error) {
	return map[string]bool{"gro": false, "checksums": false, "tso": true}, nil
}

func listensOn(address string) func(*Patient) {
	return func(p *Patient) {
		var one = p.Config.Listeners[:1]
		if err := one[0].Address.ParseText(address); err != nil {
			panic(err)
		}
		p.Config.Listeners = one
	}
}

// TestEverySeverity takes each check through all it may say.
func TestEverySeverity(t *testing.T) {
	trees := map[string]*box.Machine{}
	for _, name := range boxtest.Names() {
		trees[name] = boxtest.Tree(t, name, nil)
	}
	for _, c := range own() {
		if len(sick[c.ID]) < 2 {
			t.Errorf("%s: no patients to look at", c.ID)
		}
		for severity, i := range sick[c.ID] {
			t.Run(fmt.Sprint(c.ID, " ", severity), func(t *testing.T) {
				tree := i.tree
				if tree == "" {
					tree = "kvm-debian12"
				}
				p := patientOf(t, changed(t, trees[tree], i.changes))
				if i.is != nil {
					i.is(p)
				}
				found := Examine(t.Context(), p, []Check{c}, 10*time.Second)
				if len(found) == 0 {
					t.Fatal("nothing found")
				}
				if got := Judgement(found); got != severity {
					t.Fatalf("got %s, want %s: %+v", got, severity, found)
				}
				if all := fmt.Sprintf("%+v", found); !strings.Contains(all, i.says) {
					t.Errorf("it does not say %q: %s", i.says, all)
				}
				for _, f := range found {
					complete(t, f)
				}
				noWrongAdvice(t, said(found)...)
			})
		}
	}
	for id := range sick {
		if !has(own(), id) {
			t.Errorf("%s: there is no such check", id)
		}
	}
}

// changed changes a tree for the time of a test: unpacking one for each takes most of a test's time.
func changed(t *testing.T, m *box.Machine, changes map[string]string) *box.Machine {
	t.Helper()
	for path, text := range changes {
		at, err := filepath.EvalSymlinks(m.Path(filepath.Dir(path)))
		if errors.Is(err, fs.ErrNotExist) {
			at, err = m.Path(filepath.Dir(path)), os.MkdirAll(m.Path(filepath.Dir(path)), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		at = filepath.Join(at, filepath.Base(path))
		aside := at + ".aside"
		was := os.Rename(at, aside)
		t.Cleanup(func() {
			_ = os.RemoveAll(at)
			if was == nil {
				if err := os.Rename(aside, at); err != nil {
					t.Fatal(err)
				}
			}
		})
		switch text {
		case "":
		case boxtest.Denied:
			err = os.Symlink("/proc/sys/net/ipv4/route/flush", at) // which nobody may read, root neither
		default:
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// complete holds a finding against what readers rely on: what is not good says what should be, why and how to come there.
func complete(t *testing.T, f box.Finding) {
	t.Helper()
	if f.ID == "" || f.Is == "" {
		t.Errorf("says nothing: %+v", f)
	}
	if f.Severity > box.Unknown && (f.Want == "" || f.Why == "" || f.Remedy == "" || f.Want == f.Is) {
		t.Errorf("says too little: %+v", f)
	}
	if f.Severity == box.Good && f.Remedy != "" {
		t.Errorf("is good and to be mended: %+v", f)
	}
}

// own are the checks but those of settings.
func own() (some []Check) {
	settings := settings()
	for _, c := range Checks() {
		if !has(settings, c.ID) {
			some = append(some, c)
		}
	}
	return some
}

func has(checks []Check, id string) bool {
	for _, c := range checks {
		if c.ID == id {
			return true
		}
	}
	return false
}
