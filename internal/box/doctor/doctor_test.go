package doctor

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
	"straum.dev/straum/internal/box/setting"
	"straum.dev/straum/internal/box/vitals"
	"straum.dev/straum/internal/config"
)

var update = flag.Bool("update", false, "rewrite testdata")

// file is the configuration of the patients.
const file = `
listeners:
  - { address: ":443", tls: auto }
  - { address: ":80" }
upstreams:
  orders: { endpoints: [10.0.0.5:8080, 10.0.0.6:8080] }
acme: { email: ops@example.com }
log: { access: { to: /var/log/straum/access.log } }
cache: { memory: 256MiB, disk: { path: /var/cache/straum, size: 20GiB } }
routes:
  - { name: orders, match: { host: api.example.com, path: "/orders/*" }, upstream: orders }
`

// noon is when every patient is looked at.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// patient is a box with a gateway on it that is well. Nothing but its files can be asked.
func patient(t *testing.T, tree string, changes map[string]string) *Patient {
	t.Helper()
	return patientOf(t, boxtest.Tree(t, tree, changes))
}

func patientOf(t *testing.T, m *box.Machine) *Patient {
	t.Helper()
	c, err := config.Parse("/etc/straum/straum.yaml", []byte(file), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &Patient{Machine: m, Facts: m.Facts(), File: "/etc/straum/straum.yaml", Config: c, Workload: setting.Asked(c), Vitals: calm(), Now: noon}
}

// calm are vitals of two seconds in which little happened.
func calm() *vitals.Vitals {
	return &vitals.Vitals{
		At: noon, Window: 2 * time.Second,
		CPU:      vitals.CPU{Cores: 2, Online: 2, Busy: 0.12, User: 0.07, System: 0.04, Softirq: 0.01, SoftirqCore: 0.014, IOWait: 0.001, Steal: 0.002, RunQueue: 0.4},
		Pressure: &vitals.Pressure{CPU: 0.03},
		Network: vitals.Network{Sent: 4000, Retransmitted: 8,
			Interfaces: []vitals.Interface{{Name: "ens3", Received: 4e6, Sent: 6e6}, {Name: "eth0", Received: 4e6, Sent: 6e6}, {Name: "enp1s0f0", Received: 9e7, Sent: 2e8, Ceiling: 1.25e9}}},
		Disks:  []vitals.Disk{{Volume: "state", Device: "vda", Busy: 0.02, Write: 800 * time.Microsecond, Free: 20 << 30, Size: 40 << 30}},
		Memory: vitals.Memory{Total: 4 << 30, Available: 3 << 30},
	}
}

// asked are the probes of a box that is well.
func asked() Probes {
	return Probes{
		Clock:     func() (ClockState, error) { return ClockState{InStep: true, Offset: 40 * time.Microsecond}, nil },
		ReadClock: func() time.Duration { return 41 * time.Nanosecond },
		Seal:      func() float64 { return 3.2e9 },
		There:     func(d string) bool { return d != "/var/cache/straum" },
		Write:     writes(Writing{Rounds: 16, Write: 9 * time.Microsecond, Sync: 640 * time.Microsecond, LongWrite: 40 * time.Microsecond, LongSync: 2 * time.Millisecond}, nil),
		Space: func(string) (Space, error) {
			return Space{Free: 24 << 30, Size: 40 << 30, Inodes: 2e6, FreeInodes: 19e5}, nil
		},
		Offloads: func(string) (map[string]bool, error) {
			return map[string]bool{"checksums": true, "tso": true, "gso": true, "gro": true}, nil
		},
	}
}

// alive is a gateway that runs on the box as the trees have it.
func alive() *Running {
	return &Running{PID: 812, Version: "v1.0.0", Memory: 3 << 30, Listeners: map[string]string{"https": "[::]:443"}}
}

// examined looks at everything, one check after the other as far as their findings show.
func examined(t *testing.T, p *Patient) []box.Finding {
	t.Helper()
	return Examine(t.Context(), p, Checks(), 10*time.Second)
}

// TestWholeReports holds what is printed of each tree against testdata, as text and as JSON. Read what changes with the eyes of somebody who is called at
// night before accepting it with -update.
func TestWholeReports(t *testing.T) {
	reports := map[string]*Patient{}
	for _, name := range boxtest.Names() {
		reports[name] = patient(t, name, nil)
	}
	well := patient(t, "kvm-debian12", well)
	well.Running, well.Probes = alive(), asked()
	well.Running.Sandbox = "no new privileges, 1 capability, Landlock 7"
	reports["well"] = well
	alone := patient(t, "kvm-debian12", nil)
	alone.File, alone.Config, alone.Workload = "", nil, setting.Asked(nil)
	reports["without-configuration"] = alone
	for name, p := range reports {
		t.Run(name, func(t *testing.T) {
			found := examined(t, p)
			var text, all, lines bytes.Buffer
			if err := WriteHead(&text, p, []string{"no gateway answers"}, Style{}); err != nil {
				t.Fatal(err)
			}
			if err := WriteText(&text, Checks(), found, Style{}); err != nil {
				t.Fatal(err)
			}
			if err := WriteText(&all, Checks(), found, Style{All: true}); err != nil {
				t.Fatal(err)
			}
			if err := WriteJSON(&lines, Checks(), found, time.Time{}); err != nil {
				t.Fatal(err)
			}
			noWrongAdvice(t, said(found)...)
			root := p.Machine.Root
			for kind, b := range map[string]*bytes.Buffer{"txt": &text, "all.txt": &all, "json": &lines} {
				if strings.Contains(b.String(), root) {
					t.Errorf("%s: it names a directory of the test", kind)
				}
				golden(t, name+"."+kind, b.String())
			}
		})
	}
}

// well are files that make the box of kvm-debian12 one of which everything can be told.
var well = map[string]string{
	"/proc/812/environ":  "NOTIFY_SOCKET=/run/systemd/notify\x00WATCHDOG_USEC=30000000\x00",
	"/proc/812/status":   "Name:\tstraum\nUid:\t997\t997\t997\t997\nCapEff:\t0000000000000400\nNoNewPrivs:\t1\n",
	"/proc/net/if_inet6": "00000000000000000000000000000001 01 80 10 80       lo\n20010db8000000000000000000000007 02 40 00 80     ens3\n",
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range gotLines {
		if i >= len(wantLines) || gotLines[i] != wantLines[i] {
			was := "nothing"
			if i < len(wantLines) {
				was = wantLines[i]
			}
			t.Fatalf("%s:%d: got\n%s\nwant\n%s\n(go test -update accepts it)", path, i+1, gotLines[i], was)
		}
	}
	t.Fatalf("%s has %d lines, want %d", path, len(gotLines), len(wantLines))
}
