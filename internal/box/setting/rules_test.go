package setting

import (
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
	"straum.dev/straum/internal/box/vitals"
)

// What each rule makes of changes to a box as installed.
func TestRules(t *testing.T) {
	const unit = "[Service]\nExecStart=/usr/bin/straum\n"
	second := func(change func(*vitals.Vitals)) *vitals.Vitals {
		v := &vitals.Vitals{Window: time.Second}
		change(v)
		return v
	}
	conntrack := func(most, used, buckets string) map[string]string {
		return map[string]string{"/proc/sys/net/netfilter/nf_conntrack_max": most, "/proc/sys/net/netfilter/nf_conntrack_count": used, "/proc/sys/net/netfilter/nf_conntrack_buckets": buckets}
	}
	sysctl := func(keyValue ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(keyValue); i += 2 {
			m[box.Sysctl(keyValue[i])] = keyValue[i+1]
		}
		return m
	}
	m := boxtest.Tree(t, "kvm-debian12", nil)
	for _, c := range []struct {
		name     string
		key      string
		changes  map[string]string
		workload func(*Workload)
		vitals   *vitals.Vitals
		severity box.Severity
		set      string
		say      string // a part of what is said
	}{
		{name: "as installed", key: "net.core.somaxconn", severity: box.Good},
		{name: "short", key: "net.core.somaxconn", changes: sysctl("net.core.somaxconn", "128"), severity: box.Warning, set: "4096", say: "1,280 new connections a second"},
		{name: "shortish", key: "net.core.somaxconn", changes: sysctl("net.core.somaxconn", "2048"), severity: box.Hint, set: "4096"},
		{name: "asked for", key: "net.core.somaxconn", workload: func(w *Workload) { w.Backlog = 20000 }, severity: box.Hint, set: "20000", say: "asks for a queue of 20,000"},
		{name: "long", key: "net.core.somaxconn", changes: sysctl("net.core.somaxconn", "65535"), severity: box.Good},
		{name: "short, with losses", key: "net.core.somaxconn", changes: sysctl("net.core.somaxconn", "128"), severity: box.Bad, set: "4096", say: "7 new connections found a queue full just now",
			vitals: second(func(v *vitals.Vitals) { v.Network.ListenOverflows = 7 })},
		{name: "long, with losses", key: "net.core.somaxconn", severity: box.Bad, say: "1 new connection found a queue full just now",
			vitals: second(func(v *vitals.Vitals) { v.Network.ListenOverflows = 1 })},

		{name: "cookies on", key: "net.ipv4.tcp_max_syn_backlog", changes: sysctl("net.ipv4.tcp_max_syn_backlog", "16"), severity: box.Good},
		{name: "cookies off", key: "net.ipv4.tcp_max_syn_backlog", changes: sysctl("net.ipv4.tcp_max_syn_backlog", "16", "net.ipv4.tcp_syncookies", "0"), severity: box.Hint, set: "4096"},
		{name: "off", key: "net.ipv4.tcp_syncookies", changes: sysctl("net.ipv4.tcp_syncookies", "0"), severity: box.Warning, set: "1"},
		{name: "off, on loopback", key: "net.ipv4.tcp_syncookies", changes: sysctl("net.ipv4.tcp_syncookies", "0"), workload: func(w *Workload) { w.Public = false }, severity: box.Hint, set: "1"},
		{name: "always", key: "net.ipv4.tcp_syncookies", changes: sysctl("net.ipv4.tcp_syncookies", "2"), severity: box.Hint, say: "meant for tests"},
		{name: "being sent", key: "net.ipv4.tcp_syncookies", severity: box.Hint, say: "12 cookies sent just now", vitals: second(func(v *vitals.Vitals) { v.Network.SYNCookies = 12 })},
		{name: "off", key: "net.ipv4.tcp_fastopen", changes: sysctl("net.ipv4.tcp_fastopen", "0"), severity: box.Hint, set: "2"},
		{name: "with other bits", key: "net.ipv4.tcp_fastopen", changes: sysctl("net.ipv4.tcp_fastopen", "1025"), severity: box.Hint, set: "1027"},
		{name: "not offered", key: "net.ipv4.tcp_fastopen", workload: func(w *Workload) { w.FastOpen = false }, severity: box.Good},

		{name: "drops long ago", key: "net.core.netdev_max_backlog", changes: map[string]string{"/proc/net/softnet_stat": "00000010 00000003 00000000\n00000010 00000001 00000000\n"}, severity: box.Warning, set: "4096", say: "4 packets dropped for want of room since the box started"},
		{name: "drops now", key: "net.core.netdev_max_backlog", severity: box.Bad, set: "4096", vitals: second(func(v *vitals.Vitals) { v.Network.SoftnetDropped = 3 })},
		{name: "long, drops now", key: "net.core.netdev_max_backlog", changes: sysctl("net.core.netdev_max_backlog", "5000"), severity: box.Bad, say: "does not keep up", vitals: second(func(v *vitals.Vitals) { v.Network.SoftnetDropped = 3 })},
		{name: "squeezed", key: "net.core.netdev_budget", severity: box.Hint, set: "600", say: "25 rounds a second", vitals: second(func(v *vitals.Vitals) { v.Network.SoftnetSqueezed = 25 })},
		{name: "squeezed a little", key: "net.core.netdev_budget", severity: box.Good, vitals: second(func(v *vitals.Vitals) { v.Network.SoftnetSqueezed = 9 })},

		{name: "a large pool", key: "net.ipv4.ip_local_port_range", workload: func(w *Workload) { w.PerEndpoint = 40000 }, severity: box.Warning, set: "10240 65535"},
		{name: "no endpoint", key: "net.ipv4.ip_local_port_range", workload: func(w *Workload) { w.PerEndpoint, w.Endpoints = 40000, 0 }, severity: box.Good},
		{name: "ports held", key: "net.ipv4.ip_local_port_range", severity: box.Hint, set: "10240 65535", say: "27,000 of 28,232", vitals: second(func(v *vitals.Vitals) { v.Ports = &vitals.Use{Used: 27000, Limit: 28232} })},
		{name: "wider on one side", key: "net.ipv4.ip_local_port_range", changes: sysctl("net.ipv4.ip_local_port_range", "6000 20000"), workload: func(w *Workload) { w.PerEndpoint = 40000 }, severity: box.Warning, set: "6000 65535"},
		{name: "from 1024", key: "net.ipv4.ip_local_port_range", changes: sysctl("net.ipv4.ip_local_port_range", "1024 65535"), severity: box.Hint, say: "3306"},
		{name: "own port", key: "net.ipv4.ip_local_reserved_ports", workload: func(w *Workload) { w.Ports = []uint16{80, 40000} }, severity: box.Warning, set: "40000", say: "accepts on 40000"},
		{name: "own port, beside others", key: "net.ipv4.ip_local_reserved_ports", changes: sysctl("net.ipv4.ip_local_reserved_ports", "39999,50000-50002"), workload: func(w *Workload) { w.Ports = []uint16{40000} }, severity: box.Warning, set: "39999-40000,50000-50002"},
		{name: "an endpoint here", key: "net.ipv4.ip_local_reserved_ports", workload: func(w *Workload) { w.Beside = []uint16{33000} }, severity: box.Hint, set: "33000"},
		{name: "all reserved", key: "net.ipv4.ip_local_reserved_ports", changes: sysctl("net.ipv4.ip_local_reserved_ports", "33000"), workload: func(w *Workload) { w.Beside = []uint16{33000} }, severity: box.Good},
		{name: "widened over a service", key: "net.ipv4.ip_local_reserved_ports", severity: box.Hint, set: "11211",
			changes:  map[string]string{"/proc/net/tcp": " sl local rem st\n 0: 00000000:2BCB 00000000:0000 0A\n 1: 0100007F:9C40 00000000:0000 0A\n 2: 0100007F:2BCC 00000000:0000 01\n"},
			workload: func(w *Workload) { w.PerEndpoint = 40000 }},
		{name: "nonsense", key: "net.ipv4.ip_local_reserved_ports", changes: sysctl("net.ipv4.ip_local_reserved_ports", "9-3"), severity: box.Unknown, say: `found "9-3"`},

		{name: "short of ports", key: "net.ipv4.tcp_tw_reuse", severity: box.Hint, set: "1", say: "20,000 sockets in TIME-WAIT", vitals: second(func(v *vitals.Vitals) { v.Network.TimeWait = 20000 })},
		{name: "short of ports, on loopback", key: "net.ipv4.tcp_tw_reuse", changes: sysctl("net.ipv4.tcp_tw_reuse", "0"), workload: func(w *Workload) { w.Outgoing = false }, severity: box.Hint, set: "2", vitals: second(func(v *vitals.Vitals) { v.Network.TimeWait = 20000 })},
		{name: "off", key: "net.ipv4.tcp_tw_reuse", changes: sysctl("net.ipv4.tcp_tw_reuse", "0"), severity: box.Good},
		{name: "on", key: "net.ipv4.tcp_tw_reuse", changes: sysctl("net.ipv4.tcp_tw_reuse", "1"), severity: box.Good, vitals: second(func(v *vitals.Vitals) { v.Network.TimeWait = 60000 })},

		{name: "losses", key: "net.ipv4.tcp_congestion_control", changes: map[string]string{"/proc/net/snmp": "Tcp: OutSegs RetransSegs\nTcp: 1000000 25000\n"}, severity: box.Hint, set: "bbr", say: "2.5 % of the segments"},
		{name: "losses, but few segments", key: "net.ipv4.tcp_congestion_control", changes: map[string]string{"/proc/net/snmp": "Tcp: OutSegs RetransSegs\nTcp: 1000 250\n"}, severity: box.Good},
		{name: "losses, no bbr", key: "net.ipv4.tcp_congestion_control", severity: box.Good, say: "not in this kernel",
			changes: map[string]string{"/proc/net/snmp": "Tcp: OutSegs RetransSegs\nTcp: 1000000 25000\n", "/usr/lib/modules": ""}},
		{name: "losses, within the box", key: "net.ipv4.tcp_congestion_control", changes: map[string]string{"/proc/net/snmp": "Tcp: OutSegs RetransSegs\nTcp: 1000000 25000\n"}, workload: func(w *Workload) { w.Public, w.Outgoing = false, false }, severity: box.Good},
		{name: "bbr on an old kernel", key: "net.core.default_qdisc", changes: sysctl("net.ipv4.tcp_congestion_control", "bbr", "kernel.osrelease", "4.9.0-19-amd64"), severity: box.Warning, set: "fq"},
		{name: "bbr on a new kernel", key: "net.core.default_qdisc", changes: sysctl("net.ipv4.tcp_congestion_control", "bbr"), severity: box.Good},
		{name: "bbr", key: "net.ipv4.tcp_slow_start_after_idle", changes: sysctl("net.ipv4.tcp_congestion_control", "bbr"), severity: box.Good},
		{name: "within the box", key: "net.ipv4.tcp_slow_start_after_idle", workload: func(w *Workload) { w.Public, w.Outgoing = false, false }, severity: box.Good},

		{name: "lowered", key: "net.ipv4.tcp_rmem", changes: sysctl("net.ipv4.tcp_rmem", "4096 87380 262144"), severity: box.Hint, set: "4096 87380 6291456", say: "10 Mbit/s"},
		{name: "lowered", key: "net.ipv4.tcp_wmem", changes: sysctl("net.ipv4.tcp_wmem", "4096 16384 65536"), severity: box.Hint, set: "4096 16384 4194304"},
		{name: "a giant start", key: "net.ipv4.tcp_rmem", changes: sysctl("net.ipv4.tcp_rmem", "4096 16777216 16777216"), severity: box.Hint, say: "16 MiB"},
		{name: "lowered, on a small box", key: "net.ipv4.tcp_rmem", severity: box.Hint, set: "4096 87380 2097152",
			changes: with(sysctl("net.ipv4.tcp_rmem", "4096 87380 262144"), "/proc/meminfo", "MemTotal: 262144 kB\n")},
		{name: "giant", key: "net.ipv4.tcp_wmem", changes: sysctl("net.ipv4.tcp_wmem", "4096 16384 134217728"), severity: box.Good},
		{name: "on", key: "net.ipv4.tcp_mtu_probing", changes: sysctl("net.ipv4.tcp_mtu_probing", "2"), severity: box.Good},
		{name: "off", key: "net.ipv4.tcp_timestamps", changes: sysctl("net.ipv4.tcp_timestamps", "0"), severity: box.Warning, set: "1"},
		{name: "off", key: "net.ipv4.tcp_sack", changes: sysctl("net.ipv4.tcp_sack", "0"), severity: box.Warning, set: "1"},
		{name: "off", key: "net.ipv4.tcp_window_scaling", changes: sysctl("net.ipv4.tcp_window_scaling", "0"), severity: box.Warning, set: "1"},
		{name: "off", key: "net.ipv4.tcp_moderate_rcvbuf", changes: sysctl("net.ipv4.tcp_moderate_rcvbuf", "0"), severity: box.Warning, set: "1"},

		{name: "enough", key: "net.netfilter.nf_conntrack_max", changes: conntrack("262144", "100", "65536"), severity: box.Good},
		{name: "too few", key: "net.netfilter.nf_conntrack_max", changes: conntrack("65536", "100", "65536"), severity: box.Hint, set: "131072", say: "need 100,000"},
		{name: "nearly full", key: "net.netfilter.nf_conntrack_max", changes: conntrack("262144", "250000", "65536"), severity: box.Warning, set: "524288", say: "250,000 of 262,144 in use"},
		{name: "full", key: "net.netfilter.nf_conntrack_max", changes: conntrack("65536", "65536", "65536"), severity: box.Bad, set: "131072", say: "the table is full"},
		{name: "more than a small box has room for", key: "net.netfilter.nf_conntrack_max", severity: box.Warning, say: "over a sixteenth of the memory",
			changes: with(conntrack("65536", "100", "65536"), "/proc/meminfo", "MemTotal: 131072 kB\n")},
		{name: "as many as a small box has room for", key: "net.netfilter.nf_conntrack_max", severity: box.Hint, set: "104857",
			changes: with(conntrack("65536", "100", "65536"), "/proc/meminfo", "MemTotal: 524288 kB\n")},
		{name: "no bound", key: "net.netfilter.nf_conntrack_max", changes: conntrack("0", "65536", "65536"), severity: box.Good},
		{name: "dropped", key: "net.netfilter.nf_conntrack_max", severity: box.Hint, say: "255 packets dropped",
			changes: with(conntrack("262144", "100", "65536"), "/proc/net/stat/nf_conntrack", "entries clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error expect_new\n00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 000000ff 00000001 00000000 00000000\n")},
		{name: "the table grows along", key: "net.netfilter.nf_conntrack_buckets", changes: conntrack("65536", "100", "16384"), severity: box.Hint, set: "32768"},
		{name: "the table will do", key: "net.netfilter.nf_conntrack_buckets", changes: conntrack("65536", "100", "65536"), severity: box.Good},

		{name: "low", key: "fs.file-max", changes: sysctl("fs.file-max", "65535"), severity: box.Warning, set: "262144"},
		{name: "low", key: "fs.nr_open", changes: sysctl("fs.nr_open", "65536"), severity: box.Warning, set: "131072"},
		{name: "low unit", key: "LimitNOFILE", changes: map[string]string{unitFile: unit + "LimitNOFILE=8192\n"}, severity: box.Warning, set: "131072", say: "unit 8192"},
		{name: "low drop-in", key: "LimitNOFILE", severity: box.Warning, set: "131072", say: "unit 1024",
			changes: map[string]string{unitFile: unit + "LimitNOFILE=infinity\n", unitFile + ".d/50-x.conf": "[Service]\nLimitNOFILE=500:1024\n"}},
		{name: "hidden drop-in", key: "LimitNOFILE", severity: box.Good, say: "unit 200000",
			changes: map[string]string{"/usr/lib/systemd/system/straum.service": unit, unitFile + ".d/50-x.conf": "[Service]\nLimitNOFILE=200000\n", "/usr/lib/systemd/system/straum.service.d/50-x.conf": "[Service]\nLimitNOFILE=1\n"}},
		{name: "unit changed, process not", key: "LimitNOFILE", changes: map[string]string{unitFile: unit + "LimitNOFILE=infinity\n"}, severity: box.Warning, say: "daemon-reload",
			vitals: second(func(v *vitals.Vitals) { v.Descriptors = &vitals.Use{Limit: 4096} })},
		{name: "taken back", key: "LimitNOFILE", severity: box.Good, say: "unit 524288",
			changes: map[string]string{unitFile: unit + "LimitNOFILE=1024\nLimitNOFILE=\nLimitNOFILE=524288\n"}},
		{name: "a unit that sets none", key: "LimitNOFILE", severity: box.Unknown, say: "the unit straum.service sets none", changes: map[string]string{unitFile: unit}},
		{name: "a unit that takes it back", key: "LimitNOFILE", severity: box.Unknown, say: "the unit straum.service sets none",
			changes: map[string]string{unitFile: unit + "LimitNOFILE=1024\n", unitFile + ".d/50-x.conf": "[Service]\nLimitNOFILE=\n"}},
		{name: "a unit that sets none, and its process", key: "LimitNOFILE", severity: box.Warning, set: "131072", say: "process 4096",
			changes: map[string]string{unitFile: unit}, vitals: second(func(v *vitals.Vitals) { v.Descriptors = &vitals.Use{Limit: 4096} })},
		{name: "process alone", key: "LimitNOFILE", severity: box.Warning, say: "ulimit", vitals: second(func(v *vitals.Vitals) { v.Descriptors = &vitals.Use{Limit: 4096} })},
		{name: "process alone, well", key: "LimitNOFILE", severity: box.Good, vitals: second(func(v *vitals.Vitals) { v.Descriptors = &vitals.Use{Limit: 1 << 20} })},

		{name: "0 with swap", key: "vm.swappiness", changes: map[string]string{box.Sysctl("vm.swappiness"): "0", "/proc/meminfo": "MemTotal: 4000000 kB\nSwapTotal: 1000000 kB\n"}, severity: box.Hint, say: "does not switch swapping off"},
		{name: "200 with swap", key: "vm.swappiness", changes: map[string]string{box.Sysctl("vm.swappiness"): "200", "/proc/meminfo": "MemTotal: 4000000 kB\nSwapTotal: 1000000 kB\n"}, severity: box.Hint, say: "zram"},
		{name: "strict", key: "vm.overcommit_memory", changes: sysctl("vm.overcommit_memory", "2"), severity: box.Hint, say: "with memory left"},
		{name: "for redis", key: "vm.overcommit_memory", changes: sysctl("vm.overcommit_memory", "1"), severity: box.Good},
		{name: "never", key: "thp", changes: map[string]string{fileHugePages: "always madvise [never]"}, severity: box.Good},
		{name: "always, full ones", key: "thp", changes: map[string]string{"/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none": "0"}, severity: box.Good},
		{name: "as installed", key: "thp", severity: box.Hint, set: "madvise", say: "sudo straum tune"},
	} {
		t.Run(c.key+"/"+c.name, func(t *testing.T) {
			defer change(t, m, c.changes)()
			w := asked(t)
			if c.workload != nil {
				c.workload(w)
			}
			for _, r := range Rules() {
				if r.Key != c.key {
					continue
				}
				v := r.Judge(&Sight{Machine: m, Facts: m.Facts(), Workload: w, Vitals: c.vitals})
				if v.Severity != c.severity || v.Set != c.set {
					t.Errorf("is %s and to be set to %q, want %s and %q: %+v", v.Severity, v.Set, c.severity, c.set, v)
				}
				if said := strings.Join([]string{v.Is, v.Want, v.Why, v.Cost, v.Remedy}, " "); !strings.Contains(said, c.say) {
					t.Errorf("nothing of %q is said in: %s", c.say, said)
				}
				return
			}
			t.Fatal("there is no such rule")
		})
	}
}

// change makes changes to a box, as boxtest does, and returns what takes them back: a tree of its own for each case takes too long.
func change(t *testing.T, m *box.Machine, changes map[string]string) (restore func()) {
	t.Helper()
	for name, text := range changes {
		file := m.Path(name)
		_ = os.Rename(file, file+"-aside")
		if text != "" {
			writeValue(t, file, text)
		}
	}
	return func() {
		for name := range changes {
			file := m.Path(name)
			_ = os.RemoveAll(file)
			_ = os.Rename(file+"-aside", file)
		}
	}
}

func with(m map[string]string, file, text string) map[string]string {
	m = maps.Clone(m)
	m[file] = text
	return m
}
