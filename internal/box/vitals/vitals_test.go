package vitals

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
)

var update = flag.Bool("update", false, "write the golden files")

var volumes = map[string]string{"log": "/var/log", "cache": "/var/cache/straum", "state": "/var/lib/straum"}

// What five seconds did to a box: by how much each counter of a file grows. A line is found by how it begins, a number by its place in it.
var later = []struct {
	file, line string
	grows      map[int]uint64
}{
	{"/proc/stat", "cpu\\d", map[int]uint64{1: 150, 2: 10, 3: 60, 4: 190, 5: 15, 7: 50, 8: 25}},
	{"/proc/stat", "cpu ", map[int]uint64{1: 300, 2: 20, 3: 120, 4: 380, 5: 30, 7: 100, 8: 50}},
	{"/proc/stat", "procs_running", map[int]uint64{1: 2}},
	{"/proc/pressure/cpu", "some", map[int]uint64{}}, // see growTotal
	{"/proc/self/net/snmp", "Tcp: \\d", map[int]uint64{11: 40000, 12: 20}},
	{"/proc/self/schedstat", "", map[int]uint64{1: 50_000_000}},
	{"/proc/self/stat", "", map[int]uint64{13: 120, 14: 30}},
	{"/proc/diskstats", ".*(vda1|nvme0n1p3|nvme0n1p1) ", map[int]uint64{3: 10, 6: 5, 7: 100, 10: 250, 12: 300}},
	{"/proc/self/net/dev", " *(ens3|eth0|enp1s0f0):", map[int]uint64{1: 5_000_000, 4: 7, 9: 25_000_000, 10: 100, 12: 2}},
	{"/sys/fs/cgroup/cpu.stat", "nr_throttled", map[int]uint64{1: 12}},
	{"/sys/fs/cgroup/cpu,cpuacct/system.slice/straum.service/cpu.stat", "nr_throttled", map[int]uint64{1: 25}},
}

// pass makes a box five seconds older.
func pass(t *testing.T, m *box.Machine) {
	t.Helper()
	edit := func(name string, change func(string) string) {
		at := m.Path(name)
		text, err := os.ReadFile(at)
		if err != nil {
			return // not on this box, or not for us
		}
		if err := os.WriteFile(at, []byte(change(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range later {
		line := regexp.MustCompile("^" + l.line)
		edit(l.file, func(text string) string {
			var b strings.Builder
			for part := range strings.Lines(text) {
				if line.MatchString(part) {
					part = grow(t, part, l.grows)
				}
				b.WriteString(part)
			}
			return b.String()
		})
	}
	for resource, more := range map[string]uint64{"cpu": 1_000_000, "io": 250_000, "memory": 50_000} {
		edit("/proc/pressure/"+resource, func(text string) string {
			return regexp.MustCompile(`total=\d+`).ReplaceAllStringFunc(text, func(s string) string {
				n, _ := strconv.ParseUint(s[6:], 10, 64)
				return fmt.Sprint("total=", n+more)
			})
		})
	}
	edit("/proc/self/net/netstat", func(text string) string {
		all := strings.Split(text, "\n")
		names, values := strings.Fields(all[0]), strings.Fields(all[1])
		for name, more := range map[string]uint64{"ListenOverflows": 3, "ListenDrops": 4, "SyncookiesSent": 2} {
			i := slices.Index(names, name)
			n, _ := strconv.ParseUint(values[i], 10, 64)
			values[i] = fmt.Sprint(n + more)
		}
		all[1] = strings.Join(values, " ")
		return strings.Join(all, "\n")
	})
	edit("/proc/self/net/softnet_stat", func(text string) string {
		var b strings.Builder
		for part := range strings.Lines(text) {
			f := strings.Fields(part)
			for i, more := range []uint64{1000, 1, 2} {
				n, _ := strconv.ParseUint(f[i], 16, 32)
				f[i] = fmt.Sprintf("%08x", n+more)
			}
			b.WriteString(strings.Join(f, " ") + "\n")
		}
		return b.String()
	})
}

// grow adds to numbers of a line by their places, keeping all that is between.
func grow(t *testing.T, line string, grows map[int]uint64) string {
	t.Helper()
	places := regexp.MustCompile(`[^\s:]+:?`).FindAllStringIndex(line, -1)
	for _, i := range slices.Backward(slices.Sorted(maps.Keys(grows))) {
		at := places[i]
		n, err := strconv.ParseUint(line[at[0]:at[1]], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		line = line[:at[0]] + fmt.Sprint(n+grows[i]) + line[at[1]:]
	}
	return line
}

// Five seconds on each tree.
func TestGolden(t *testing.T) {
	for _, name := range boxtest.Names() {
		t.Run(name, func(t *testing.T) {
			m := boxtest.Tree(t, name, nil)
			s := New(Options{Machine: m, Volumes: volumes})
			defer s.Close()
			a := s.Sample()
			pass(t, m)
			b := s.Sample()
			a.At = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
			b.At = a.At.Add(5 * time.Second)
			text, err := json.MarshalIndent(Between(a, b), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got := string(text) + "\n\nlacking:\n"
			for _, l := range s.Lacking() {
				got += "  " + l + "\n"
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s; go test ./internal/box/vitals -update writes it anew\ngot:\n%s", golden, got)
			}
		})
	}
}
