package setting

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
	"straum.dev/straum/internal/box/setting/advicetest"
	"straum.dev/straum/internal/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func asked(t *testing.T) *Workload {
	t.Helper()
	c, err := config.Load("testdata/straum.yaml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Asked(c)
}

// report is what all rules say, a paragraph each.
func report(s *Sight) string {
	var b strings.Builder
	for _, r := range Rules() {
		v := r.Judge(s)
		fmt.Fprintf(&b, "%s %s\n  is      %s\n", v.ID, v.Severity, v.Is)
		for _, line := range [...]struct{ name, text string }{{"want", v.Want}, {"why", v.Why}, {"cost", v.Cost}, {"remedy", v.Remedy}} {
			if line.text != "" && !(line.name == "want" && line.text == v.Is) {
				fmt.Fprintf(&b, "  %-7s %s\n", line.name, line.text)
			}
		}
		if v.Set != "" {
			fmt.Fprintf(&b, "  %s = %s in %s\n", v.ID, v.Set, v.File)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Every rule on every box.
func TestTrees(t *testing.T) {
	for _, name := range boxtest.Names() {
		t.Run(name, func(t *testing.T) {
			m := boxtest.Tree(t, name, nil)
			got := report(&Sight{Machine: m, Facts: m.Facts(), Workload: asked(t)})
			got = strings.ReplaceAll(got, m.Root, "")
			advicetest.Check(t, name, got)
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				for paragraph := range strings.SplitSeq(got, "\n\n") {
					if !strings.Contains(string(want), paragraph+"\n\n") {
						t.Errorf("not in %s (-update rewrites it):\n%s", file, paragraph)
					}
				}
				t.Errorf("not as in %s", file)
			}
		})
	}
}

// A box as installed is not alarming.
func TestDebianIsNotAlarming(t *testing.T) {
	m := boxtest.Tree(t, "kvm-debian12", nil)
	for _, r := range Rules() {
		if v := r.Judge(&Sight{Machine: m, Facts: m.Facts(), Workload: asked(t)}); v.Severity > box.Hint {
			t.Errorf("%s is %s: %s", v.ID, v.Severity, v.Why)
		}
	}
}

func TestAsked(t *testing.T) {
	w := asked(t)
	got := fmt.Sprintf("%+v", *w)
	const want = "{Backlog:0 Connections:40000 Public:true FastOpen:true TLS:true Outgoing:true Endpoints:3 PerEndpoint:28000 Idle:1024 " +
		"Ports:[80 443 9900] Beside:[3000] Budget:371097600}"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	c, err := config.Parse("quiet.yaml", []byte(`
listeners: [{ address: "127.0.0.1:8080", backlog: 9000, fast_open: false, limits: { connections: 10 } }, { address: "unix:/run/s.sock", limits: { connections: 5 } }]
upstreams: { a: { endpoints: ["localhost:9", "[::1]:10"], pool: { connections: 40000, idle: 3 } } }
routes: [{ match: { path: /* }, upstream: a }]
metrics: off
cache: { memory: 0 }
log: { access: { buffer: 1MiB } }
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got = fmt.Sprintf("%+v", *Asked(c))
	const quiet = "{Backlog:9000 Connections:15 Public:false FastOpen:false TLS:false Outgoing:false Endpoints:2 PerEndpoint:40000 Idle:6 " +
		"Ports:[8080] Beside:[9 10] Budget:1063936}"
	if got != quiet {
		t.Errorf("got %s\nwant %s", got, quiet)
	}
	if w := Asked(nil); w.Descriptors() != 41_280 || !w.Public || !w.FastOpen {
		t.Errorf("a gateway with defaults: %+v", *w)
	}
}

// The list finds what it is made to find, or it holds nothing.
func TestWrongAdviceIsFound(t *testing.T) {
	list := advicetest.Read(t)
	for _, recipe := range []string{
		"net.ipv4.tcp_tw_recycle = 1", "net.ipv4.tcp_tw_reuse = 1", "net.ipv4.tcp_fin_timeout = 15", "lower tcp_fin_timeout to cure TIME-WAIT",
		"somaxconn has a default of 128", "net.ipv4.ip_local_port_range = 1024 65535", "net.ipv4.tcp_timestamps = 0", "net.ipv4.tcp_sack=0",
		"net.ipv4.tcp_syncookies = 0", "net.ipv4.tcp_mem = 786432 1048576 1572864", "net.ipv4.tcp_rmem = 4096 16777216 16777216",
		"net.core.rmem_max = 134217728", "vm.swappiness = 0", "vm.overcommit_memory = 2", "echo never > /sys/kernel/mm/transparent_hugepage/enabled",
		"net.netfilter.nf_conntrack_max = 1048576", "fs.file-max = 65535", "net.ipv4.tcp_max_tw_buckets = 5000", "net.ipv4.tcp_no_metrics_save = 1",
		"net.ipv4.tcp_low_latency = 1", "net.ipv4.tcp_fack = 1", "net.ipv4.tcp_keepalive_time = 60", "disable irqbalance", "export GOMAXPROCS=2",
		"net.ipv4.tcp_slow_start_after_idle = 0", "net.core.somaxconn = 65535", "tcp_abort_on_overflow = 1",
	} {
		if len(list.Find("Do this:\n"+recipe+"\nand be happy.")) == 0 {
			t.Errorf("%q is not found", recipe)
		}
	}
	for _, right := range []string{
		"tcp_tw_reuse = 1 takes ports again everywhere, where 2 does on loopback alone",
		"nf_conntrack_max = 131072, with nf_conntrack_buckets at 32768",
		"Connections paused. tcp_slow_start_after_idle = 0: after a pause they begin anew",
	} {
		if found := list.Find(right); found != nil {
			t.Errorf("%v", found)
		}
	}
}

// Only where it is for want of rights does sudo help.
func TestRootMay(t *testing.T) {
	status := func(uid, caps string) map[string]string {
		return map[string]string{"/proc/self/status": "Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid + "\nCapEff:\t" + caps + "\n"}
	}
	for name, c := range map[string]struct {
		changes map[string]string
		key     string
		may     bool
	}{
		"a user, of the network":         {status("1000", "0"), "net.core.somaxconn", true},
		"a user, of the rest":            {status("1000", "0"), "fs.file-max", true},
		"root without the right":         {status("0", "0"), "net.core.somaxconn", false},
		"a user, and there is no such":   {status("1000", "0"), "net.ipv4.tcp_none", false},
		"a user, and it cannot be known": {map[string]string{"/proc/self/status": boxtest.Denied}, "net.core.somaxconn", false},
	} {
		err := boxtest.Tree(t, "kvm-debian12", c.changes).Forbidden(c.key)
		if !errors.Is(err, box.ErrForbidden) || RootMay(err) != c.may {
			t.Errorf("%s: %v, and root may: %t", name, err, RootMay(err))
		}
	}
	if RootMay(nil) {
		t.Error("root may what nothing forbids")
	}
}

func TestMorePortsThanThereAre(t *testing.T) {
	if all, err := readPorts("0-65535"); err != nil || len(all) != 1<<16 {
		t.Errorf("%d ports, %v", len(all), err)
	}
	if _, err := readPorts(strings.Repeat("0-65535,", 1000)); err == nil {
		t.Error("each port a thousand times is taken")
	}
}
