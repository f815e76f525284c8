package setting

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/setting/advicetest"
	"straum.dev/straum/internal/box/vitals"
)

// notWorse says of each key whether what is set instead of what was is no worse. It is written without a look at the rules; a key that is not
// here is never to be set.
var notWorse = map[string]func(is, set string) bool{
	"net.core.somaxconn":                 atLeast,
	"net.ipv4.tcp_max_syn_backlog":       atLeast,
	"net.ipv4.tcp_syncookies":            fromTo("0", "1"),
	"net.ipv4.tcp_fastopen":              superset,
	"net.core.netdev_max_backlog":        atLeast,
	"net.core.netdev_budget":             atLeast,
	"net.ipv4.ip_local_reserved_ports":   morePorts,
	"net.ipv4.ip_local_port_range":       wider,
	"net.ipv4.tcp_tw_reuse":              among("0 1", "0 2", "2 1"),
	"net.ipv4.tcp_congestion_control":    among("cubic bbr", "reno bbr"),
	"net.core.default_qdisc":             among("fq_codel fq", "pfifo_fast fq"),
	"net.ipv4.tcp_slow_start_after_idle": fromTo("1", "0"),
	"net.ipv4.tcp_rmem":                  largerMost,
	"net.ipv4.tcp_wmem":                  largerMost,
	"net.ipv4.tcp_mtu_probing":           fromTo("0", "1"),
	"net.ipv4.tcp_timestamps":            fromTo("0", "1"),
	"net.ipv4.tcp_sack":                  fromTo("0", "1"),
	"net.ipv4.tcp_window_scaling":        fromTo("0", "1"),
	"net.ipv4.tcp_moderate_rcvbuf":       fromTo("0", "1"),
	"net.netfilter.nf_conntrack_buckets": atLeast,
	"net.netfilter.nf_conntrack_max":     atLeast,
	"fs.file-max":                        atLeast,
	"fs.nr_open":                         atLeast,
	"LimitNOFILE":                        atLeast,
	"thp":                                fromTo("always", "madvise"),
}

func atLeast(is, set string) bool {
	a, err1 := strconv.ParseInt(is, 10, 64)
	b, err2 := strconv.ParseInt(set, 10, 64)
	return err1 == nil && err2 == nil && b > a
}

func superset(is, set string) bool {
	a, _ := strconv.ParseInt(is, 10, 64)
	b, err := strconv.ParseInt(set, 10, 64)
	return err == nil && a&b == a && b != a
}

func fromTo(from, to string) func(string, string) bool {
	return func(is, set string) bool { return is == from && set == to }
}

func among(pairs ...string) func(string, string) bool {
	return func(is, set string) bool { return slices.Contains(pairs, is+" "+set) }
}

func wider(is, set string) bool {
	var a, b, c, d int
	_, err1 := fmt.Sscan(is, &a, &b)
	_, err2 := fmt.Sscan(set, &c, &d)
	return err1 == nil && err2 == nil && c <= a && d >= b && (c >= 10_000 || c == a) && d <= 65535 && c < d
}

func morePorts(is, set string) bool {
	has := map[int]bool{}
	for part := range strings.SplitSeq(set, ",") {
		var a, b int
		if n, _ := fmt.Sscanf(part, "%d-%d", &a, &b); n < 2 {
			b = a
		}
		for ; a <= b; a++ {
			has[a] = true
		}
	}
	for part := range strings.SplitSeq(is, ",") {
		if n, err := strconv.Atoi(part); err == nil && !has[n] {
			return false
		}
	}
	return true
}

func largerMost(is, set string) bool {
	a, b := strings.Fields(is), strings.Fields(set)
	return len(a) == 3 && len(b) == 3 && a[0] == b[0] && a[1] == b[1] && atLeast(a[2], b[2])
}

// aBox is a tree of random settings, with a workload and vitals.
type aBox struct {
	*Sight
	values  map[string]string // by file
	counted bool              // the kernel counted losses
}

const unitFile = "/etc/systemd/system/straum.service"

func drawBox(t *rapid.T, root string) *aBox {
	b := &aBox{values: map[string]string{}}
	pick := func(key string, of ...string) {
		if v := rapid.SampledFrom(append(of, "")).Draw(t, key); v != "" {
			b.values[box.Sysctl(key)] = v
		}
	}
	pick("net.core.somaxconn", "1", "128", "1024", "4096", "65535")
	pick("net.ipv4.tcp_max_syn_backlog", "16", "512", "4096", "8192")
	pick("net.ipv4.tcp_syncookies", "0", "1", "2")
	pick("net.ipv4.tcp_fastopen", "0", "1", "2", "3", "4", "1025", "1027")
	pick("net.ipv4.tcp_migrate_req", "0", "1")
	pick("net.core.netdev_max_backlog", "100", "1000", "4096", "30000")
	pick("net.core.netdev_budget", "100", "300", "600", "5000")
	pick("net.ipv4.ip_local_reserved_ports", "8080", "3000,40000", "10240,50000-50003")
	pick("net.ipv4.ip_local_port_range", "32768 60999", "1024 65535", "10240 65535", "40000 50000", "20000 20001", "6000 20000")
	pick("net.ipv4.tcp_tw_reuse", "0", "1", "2")
	pick("net.ipv4.tcp_fin_timeout", "60", "5", "600")
	pick("net.ipv4.tcp_congestion_control", "cubic", "bbr", "reno")
	pick("net.ipv4.tcp_available_congestion_control", "reno cubic", "reno cubic bbr")
	pick("net.core.default_qdisc", "fq", "fq_codel", "pfifo_fast")
	pick("net.ipv4.tcp_slow_start_after_idle", "0", "1")
	pick("net.ipv4.tcp_rmem", "4096 131072 6291456", "4096 87380 262144", "4096 16777216 16777216", "4096 131072 536870912")
	pick("net.ipv4.tcp_wmem", "4096 16384 4194304", "4096 16384 65536", "4096 65536 134217728")
	pick("net.core.rmem_max", "212992", "1")
	pick("net.core.wmem_max", "212992", "999999999")
	pick("net.ipv4.tcp_notsent_lowat", "4294967295", "16384")
	pick("net.ipv4.tcp_mtu_probing", "0", "1", "2")
	pick("net.ipv4.tcp_keepalive_time", "7200", "60")
	for _, key := range []string{"timestamps", "sack", "window_scaling", "moderate_rcvbuf"} {
		pick("net.ipv4.tcp_"+key, "0", "1")
	}
	pick("net.netfilter.nf_conntrack_max", "0", "1024", "65536", "262144", "4194304")
	pick("net.netfilter.nf_conntrack_count", "0", "900", "60000", "262144")
	pick("net.netfilter.nf_conntrack_buckets", "256", "16384", "262144")
	pick("fs.file-max", "1000", "390000", "9223372036854775807", "18446744073709551615")
	pick("fs.nr_open", "1024", "1048576", "1073741816")
	pick("vm.swappiness", "0", "1", "60", "180")
	pick("vm.overcommit_memory", "0", "1", "2")
	put := func(file string, of ...string) {
		if v := rapid.SampledFrom(append(of, "")).Draw(t, file); v != "" {
			b.values[file] = v
		}
	}
	put(fileHugePages, "[always] madvise never", "always [madvise] never", "always madvise [never]", "nonsense")
	put(unitFile, "[Service]\nExecStart=straum\n", "[Service]\nLimitNOFILE=1024\n", "[Service]\nLimitNOFILE=1024:infinity\n")
	b.values["/proc/self/status"] = "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n"
	put("/proc/net/tcp", "  sl  local_address rem_address   st\n   0: 00000000:2AF8 00000000:0000 0A 00000000:00000000\n   1: 0100007F:9C40 00000000:0000 01 0:0\n")
	overflows, dropped, lost := drawCount(t, "overflows"), drawCount(t, "dropped"), drawCount(t, "lost")
	b.values["/proc/net/netstat"] = fmt.Sprintf("TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 %d\n", overflows)
	b.values["/proc/net/softnet_stat"] = fmt.Sprintf("00000010 %08x 00000000\n00000010 00000000 00000000\n", dropped)
	b.values["/proc/net/snmp"] = fmt.Sprintf("Tcp: OutSegs RetransSegs\nTcp: 1000000 %d\n", lost*1000)
	for file, text := range b.values {
		writeValue(t, filepath.Join(root, file), text)
	}
	n := rapid.IntRange
	k := rapid.SampledFrom([]box.Version{{}, {Major: 3, Minor: 10, Text: "3.10.0"}, {Major: 4, Minor: 9, Text: "4.9"}, {Major: 4, Minor: 19}, {Major: 6, Minor: 1}, {Major: 6, Minor: 18}}).Draw(t, "kernel")
	b.Sight = &Sight{
		Machine: &box.Machine{Root: root},
		Facts:   &box.Facts{Kernel: k, Memory: rapid.SampledFrom([]int64{0, 256 << 20, 4 << 30}).Draw(t, "memory"), Total: rapid.SampledFrom([]int64{0, 512 << 20, 8 << 30}).Draw(t, "total"), Swap: int64(n(0, 1).Draw(t, "swap")) << 30},
		Workload: &Workload{
			Backlog: rapid.SampledFrom([]int{0, 100, 4096, 100_000}).Draw(t, "backlog"), Connections: n(1, 1_000_000).Draw(t, "connections"),
			Public: rapid.Bool().Draw(t, "public"), FastOpen: rapid.Bool().Draw(t, "fast open"), Outgoing: rapid.Bool().Draw(t, "outgoing"),
			Endpoints: n(0, 5).Draw(t, "endpoints"), PerEndpoint: n(0, 65536).Draw(t, "per endpoint"), Idle: n(0, 100_000).Draw(t, "idle"),
			Ports: []uint16{80, uint16(n(1, 65535).Draw(t, "port"))}, Beside: []uint16{uint16(n(1, 65535).Draw(t, "beside"))},
		},
	}
	slices.Sort(b.Workload.Ports)
	if rapid.Bool().Draw(t, "vitals") {
		b.Vitals = &vitals.Vitals{Window: time.Second, Network: vitals.Network{
			ListenOverflows: drawCount(t, "overflows now"), SoftnetDropped: drawCount(t, "dropped now"), SoftnetSqueezed: drawCount(t, "squeezed now"),
			SYNCookies: drawCount(t, "cookies now"), TimeWait: n(0, 60_000).Draw(t, "time wait"),
		}, Ports: &vitals.Use{Used: int64(n(0, 60_000).Draw(t, "ports")), Limit: 28232}, Descriptors: &vitals.Use{Used: 3, Limit: int64(n(1024, 1<<21).Draw(t, "limit"))}}
		v := b.Vitals.Network
		b.counted = v.ListenOverflows+v.SoftnetDropped+v.SYNCookies > 0
	}
	b.counted = b.counted || overflows+dropped+lost > 0
	return b
}

func drawCount(t *rapid.T, name string) uint64 {
	return rapid.SampledFrom([]uint64{0, 0, 0, 1, 40}).Draw(t, name)
}

func writeValue(t interface{ Fatal(...any) }, file, text string) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Whatever is set and asked: what a rule sets is not worse than what is, no rule wants more once all was set, and nothing said is wrong
// advice.
func TestSetIsNeverWorse(t *testing.T) {
	list := advicetest.Read(t)
	dir, err := os.MkdirTemp("/dev/shm", "straum-setting-") // in memory, where there is such a place: it is quicker
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		root := filepath.Join(dir, strconv.Itoa(run))
		defer os.RemoveAll(root)
		b := drawBox(t, root)
		var first []Verdict
		said := ""
		for _, r := range Rules() {
			v := r.Judge(b.Sight)
			first = append(first, v)
			said += fmt.Sprintf("%s %s\n%s\n%s\n%s\n%s\n\n", v.ID, v.Is, v.Want, v.Why, v.Cost, v.Remedy)
			if v.ID != r.Key || v.Is == "" || v.Want == "" || v.Why == "" {
				t.Fatalf("%s lacks something: %+v", r.Key, v)
			}
			if v.Severity == box.Bad && !b.counted && !strings.HasPrefix(v.Cost, "the table is full") {
				t.Fatalf("%s is bad although nothing was lost: %+v", v.ID, v)
			}
			if v.Severity > box.Unknown && v.Remedy == "" {
				t.Fatalf("%s has no remedy: %+v", v.ID, v)
			}
			if v.Set == "" {
				continue
			}
			said += v.ID + " = " + v.Set + " # " + v.Why + "\n\n"
			better := notWorse[v.ID]
			if better == nil {
				t.Fatalf("%s is to be set to %s, and never should", v.ID, v.Set)
			}
			if is := b.is(v); !better(is, v.Set) {
				t.Fatalf("%s is %q and to be set to %q", v.ID, is, v.Set)
			}
		}
		if run > 20 { // fifty expressions on thirty paragraphs take longer than all the rest
			said = ""
		}
		if found := list.Find(said); found != nil {
			t.Fatal(found[0])
		}
		for _, v := range first {
			if v.Set != "" {
				b.write(t, v)
			}
		}
		for i, r := range Rules() {
			v := r.Judge(b.Sight)
			if v.Set != "" {
				t.Fatalf("%s wants %s once all was set; before it was %+v", v.ID, v.Set, first[i])
			}
			settled := first[i].Set != "" && !b.counted && v.ID != "net.netfilter.nf_conntrack_max" && v.ID != "LimitNOFILE"
			if settled && v.Severity != box.Good {
				t.Fatalf("%s is %s after it was set: %+v", v.ID, v.Severity, v)
			}
		}
	})
}

// is is what was set, as a number or words.
func (b *aBox) is(v Verdict) string {
	switch text := strings.TrimSpace(b.values[v.File]); {
	case v.File == UnitDropIn:
		unit, _ := b.unitLimit()
		return strconv.FormatInt(max(unit, 0), 10)
	case v.File == fileHugePages:
		_, after, _ := strings.Cut(text, "[")
		word, _, _ := strings.Cut(after, "]")
		return word
	case v.File == fileBuckets:
		return b.values[box.Sysctl(keyBuckets)]
	default:
		return text
	}
}

func (b *aBox) write(t *rapid.T, v Verdict) {
	switch v.File {
	case UnitDropIn:
		writeValue(t, b.Machine.Path(v.File), "[Service]\nLimitNOFILE="+v.Set)
	case fileHugePages:
		writeValue(t, b.Machine.Path(v.File), "always [madvise] never")
	case fileBuckets: // the kernel shows it by the key as well
		writeValue(t, b.Machine.Path(box.Sysctl(keyBuckets)), v.Set)
	default:
		writeValue(t, b.Machine.Path(v.File), v.Set)
	}
}
