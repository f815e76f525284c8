package vitals

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
)

// counter draws numbers of all sizes, so that counters jump, wrap and go back.
func counter(t *rapid.T, name string) uint64 {
	return rapid.OneOf(rapid.Uint64Range(0, 1000), rapid.Uint64(), rapid.Just(uint64(math.MaxUint64))).Draw(t, name)
}

func anySample(t *rapid.T) *Sample {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "at")))
	s := &Sample{At: at, Cores: rapid.Float64Range(0.01, 4096).Draw(t, "cores")}
	c := func() uint64 { return counter(t, "counter") }
	may := func() bool { return rapid.Bool().Draw(t, "has") }
	if may() {
		s.CPU = &Ticks{User: c(), Nice: c(), System: c(), Idle: c(), IOWait: c(), IRQ: c(), Softirq: c(), Steal: c(), Running: rapid.IntRange(0, 1<<30).Draw(t, "running")}
		for range rapid.IntRange(0, 3).Draw(t, "cores") {
			s.CPU.Each = append(s.CPU.Each, Core{Softirq: c(), Total: c()})
		}
	}
	if may() {
		s.Waits = &Waits{c(), c(), c()}
	}
	if may() {
		s.Stack = &Stack{c(), c(), c(), c(), c(), c(), c(), 3}
	}
	if may() {
		s.throttled = &throttling{c(), rapid.Float64Range(1e-6, 10).Draw(t, "period")}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "cards") {
		s.Cards = append(s.Cards, Card{Name: fmt.Sprint(i), Received: c(), Sent: c(), Dropped: c()})
		s.Volumes = append(s.Volumes, Volume{Name: fmt.Sprint(i), Device: "vda", Reads: c(), Writes: c(), Reading: c(), Writing: c(), Busy: c()})
	}
	if may() {
		s.Process = &ProcessSample{PID: 1, Ticks: c(), Waited: c()}
		if may() {
			h := buckets{bounds: []float64{math.Inf(-1), 0, 1e-6, 1, math.Inf(1)}, counts: []uint64{c() >> 2, c() >> 2, c() >> 3, c() >> 3}}
			s.Process.runtime = &runtimeSample{pauses: h, scheduling: h}
		}
	}
	return s
}

// Whatever two samples hold, what comes of them can be shown and compared: no share below 0 or above 1, nothing negative, no number that is none.
func TestBetweenIsSane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Between(anySample(t), anySample(t))
		shares := []float64{v.CPU.Busy, v.CPU.User, v.CPU.System, v.CPU.Softirq, v.CPU.SoftirqCore, v.CPU.IOWait, v.CPU.Steal, v.CPU.Throttled}
		sum := v.CPU.Busy + v.CPU.IOWait + v.CPU.Steal
		rates := []float64{v.CPU.RunQueue}
		if v.Pressure != nil {
			shares = append(shares, v.Pressure.CPU, v.Pressure.IO, v.Pressure.Memory)
		}
		for _, i := range v.Network.Interfaces {
			rates = append(rates, i.Received, i.Sent)
		}
		for _, d := range v.Disks {
			shares = append(shares, d.Busy)
			rates = append(rates, float64(d.Read), float64(d.Write))
		}
		if p := v.Process; p != nil {
			rates = append(rates, p.CPU, p.Waited, float64(p.GCPause), float64(p.Scheduling))
		}
		for i, x := range shares {
			if !(x >= 0 && x <= 1) {
				t.Errorf("share %d is %g", i, x)
			}
		}
		if sum > 1+1e-9 {
			t.Errorf("busy, iowait and steal are %g of the time together", sum)
		}
		for i, x := range rates {
			if !(x >= 0) || math.IsInf(x, 0) {
				t.Errorf("rate %d is %g", i, x)
			}
		}
		if v.Window < 0 {
			t.Errorf("the window is %v", v.Window)
		}
		if _, err := json.Marshal(v); err != nil {
			t.Error(err)
		}
	})
}

func TestQuantile(t *testing.T) {
	bounds := []float64{math.Inf(-1), 0, 1e-6, 1e-3, math.Inf(1)}
	a := buckets{bounds: bounds, counts: []uint64{0, 100, 0, 5}}
	for _, c := range []struct {
		counts []uint64
		q      float64
		want   time.Duration
	}{
		{[]uint64{0, 100, 0, 5}, 1, 0}, // nothing new
		{[]uint64{0, 199, 1, 5}, 0.99, time.Microsecond},
		{[]uint64{0, 199, 1, 5}, 1, time.Millisecond},
		{[]uint64{0, 100, 0, 6}, 1, time.Millisecond}, // no upper bound: the lower
		{[]uint64{3, 100, 0, 5}, 1, 0},
		{[]uint64{0, 0, 7, 0}, 0.5, time.Millisecond}, // reset
	} {
		if got := (buckets{bounds: bounds, counts: c.counts}).quantile(a, c.q); got != c.want {
			t.Errorf("%v, %g: got %v, want %v", c.counts, c.q, got, c.want)
		}
	}
	if got := (buckets{}).quantile(buckets{}, 1); got != 0 {
		t.Errorf("got %v of nothing", got)
	}
}

// What could not be read is told from what is zero.
func TestUnknownIsNotZero(t *testing.T) {
	for tree, want := range map[string][]Part{
		"kvm-debian12": nil, "denied": {Processors, Listening, Softnet, MainMemory}, "bare": {Processors, Segments, Listening, Softnet, MainMemory},
	} {
		s := New(Options{Machine: boxtest.Tree(t, tree, nil)})
		v := Between(s.Sample(), s.Sample())
		s.Close()
		for _, p := range []Part{Processors, Segments, Listening, Softnet, MainMemory} {
			unknown := false
			for _, w := range want {
				unknown = unknown || w == p
			}
			if v.Knows(p) == unknown {
				t.Errorf("%s: knows %s: %v", tree, p, v.Knows(p))
			}
		}
	}
}

// Hostile or strange files must not break a sample: everything is scanned as far as it makes sense.
func FuzzSample(f *testing.F) {
	f.Add("cpu 1 2 3\nprocs_running x\n", "Tcp: a b\nTcp: 1\n", "8 0 sda\n")
	f.Add("cpu\ncpu0\ncpu 18446744073709551616 -1\n", "Tcp:\nTcp:\nTcpExt:", "254 1 vda1 1 2 3 4 5 6 7 8 9 10 11\n\n")
	m := boxtest.Tree(f, "kvm-debian12", nil)
	f.Fuzz(func(t *testing.T, stat, net, disk string) {
		for name, text := range map[string]string{"/proc/stat": stat, "/proc/self/net/snmp": net, "/proc/self/net/netstat": net, "/proc/self/net/sockstat": net,
			"/proc/self/net/softnet_stat": stat, "/proc/self/net/dev": net, "/proc/meminfo": stat, "/proc/diskstats": disk, "/proc/self/schedstat": disk} {
			if err := os.WriteFile(m.Path(name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s := New(Options{Machine: m, Volumes: volumes})
		defer s.Close()
		Between(s.Sample(), s.Sample())
	})
}

// A thread that ends takes nothing away from what all have waited, and one that comes adds all of its own.
func TestWaitingOfThreads(t *testing.T) {
	m := boxtest.Tree(t, "kvm-debian12", map[string]string{
		"/proc/812/task/812/schedstat": "5 1000 1\n", "/proc/812/task/813/schedstat": "5 200 1\n", "/proc/812/task/x/schedstat": "5 9999 1\n",
	})
	s := New(Options{Machine: m})
	defer s.Close()
	next := func() uint64 { return s.Sample().Process.Waited }
	first := next()
	if err := os.RemoveAll(m.Path("/proc/812/task/813")); err != nil {
		t.Fatal(err)
	}
	if got := next() - first; got != 0 {
		t.Errorf("a thread ended: waited %d more", got)
	}
	for name, text := range map[string]string{"812": "5 1010 1\n", "814": "5 7 1\n", "815": "5\n"} {
		if err := os.MkdirAll(m.Path("/proc/812/task/"+name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.Path("/proc/812/task/"+name+"/schedstat"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := next() - first; got != 17 {
		t.Errorf("waited %d more, want 10 of one and 7 of another", got)
	}
	// The number of a thread that has ended may be another's.
	if err := os.WriteFile(m.Path("/proc/812/task/812/schedstat"), []byte("5 3 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := next() - first; got != 17 {
		t.Errorf("waited %d more after a thread began anew", got)
	}
}

// The cards and their ceilings: hardware alone where there is some.
func TestInterfaces(t *testing.T) {
	for _, c := range []struct {
		name, tree string
		changes    map[string]string
		want       string
	}{
		{"a card and one that is down", "hardware-new", nil, "enp1s0f0 1250000000"},
		{"the end of a container", "docker-cgroup2", nil, "eth0 0"},
		{"a guest's", "kvm-debian12", nil, "ens3 0"},
		{"a driver that does not know", "hardware-new", map[string]string{"/sys/class/net/enp1s0f0/speed": "4294967295\n"}, "enp1s0f0 0"},
		{"unplugged", "hardware-new", map[string]string{"/sys/class/net/enp1s0f0/operstate": "down\n"}, ""},
		{"a bridge on a card", "hardware-new", map[string]string{
			"/proc/self/net/dev":                "enp1s0f0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  br0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nno such: 1\n",
			"/sys/class/net/br0/type":           "1\n",
			"/sys/class/net/br0/operstate":      "up\n",
			"/sys/class/net/br0/bridge/root_id": "1\n",
		}, "enp1s0f0 1250000000"},
		{"a bridge of none but virtual ones", "docker-cgroup2", map[string]string{"/sys/class/net/eth0/master/ifindex": "4\n"}, ""},
		{"no sysfs", "kvm-debian12", map[string]string{"/sys": ""}, ""},
	} {
		s := New(Options{Machine: boxtest.Tree(t, c.tree, c.changes)})
		var got []string
		for _, card := range s.Sample().Cards {
			got = append(got, fmt.Sprintf("%s %.0f", card.Name, card.Ceiling))
		}
		s.Close()
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// On this machine a sample must find what every Linux has, and its volumes.
func TestHere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not Linux")
	}
	dir := t.TempDir()
	s := New(Options{Machine: box.Here(), Volumes: map[string]string{"log": dir + "/not/yet/made"}})
	defer s.Close()
	a := s.Sample()
	for range 3 {
		runtime.GC()
	}
	v := Between(a, s.Sample())
	if !v.Knows(Processors) || !v.Knows(MainMemory) || v.CPU.Online == 0 || v.Memory.Available == 0 {
		t.Errorf("found %+v; lacking %q", v, s.Lacking())
	}
	if v.Process == nil || v.Process.PID != os.Getpid() || v.Process.Resident == 0 || v.Process.GCPause == 0 || v.Process.Scheduling == 0 {
		t.Errorf("found the process %+v", v.Process)
	}
	if v.Descriptors == nil || v.Descriptors.Used < 10 || v.Descriptors.Used > 1000 {
		t.Errorf("found the descriptors %+v", v.Descriptors)
	}
}

// The bounds of a sample's cost that hold on every machine: how much it allocates and how often it asks the kernel.
func TestCost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not Linux")
	}
	s := New(Options{Machine: box.Here(), Volumes: map[string]string{"log": "/var/log"}})
	defer s.Close()
	s.Sample()
	const most = 600 // most of them are made by procfs
	if n := testing.AllocsPerRun(20, func() { s.Sample() }); n > most {
		t.Errorf("a sample allocates %.0f times, want at most %d", n, most)
	}
	before, ok := readCalls(t)
	if !ok {
		t.Skip("this kernel does not count reads")
	}
	s.Sample()
	after, _ := readCalls(t)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	// Two reads find the end of each small file; so does procfs.
	if n, most := after-before, 70+len(tasks); n > most {
		t.Errorf("a sample reads %d times, want at most %d", n, most)
	}
}

func readCalls(t *testing.T) (n int, ok bool) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "syscr: %d", &n); err == nil {
			return n, true
		}
	}
	return 0, false
}

func processorTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkSample(b *testing.B) {
	s := New(Options{Machine: box.Here(), Volumes: map[string]string{"log": "/var/log"}})
	defer s.Close()
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		s.Sample()
	}
	// On a box that is busy otherwise this is the figure that counts: 0.1 % of a core is 5 ms a sample.
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}
