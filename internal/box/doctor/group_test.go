package doctor

import (
	"testing"

	"straum.dev/straum/internal/box/boxtest"
)

// TestGroupsBoundByTheirLeast reads limits of both versions, at every level.
func TestGroupsBoundByTheirLeast(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  group
	}{
		"second version, a level above is tighter": {
			map[string]string{
				"/proc/7/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max": "400000 100000", "/sys/fs/cgroup/a/cpu.max": "150000 100000",
				"/sys/fs/cgroup/a/cpu.stat": "nr_periods 10\nnr_throttled 3\n", "/sys/fs/cgroup/a/b/cpu.stat": "nr_periods 99\nnr_throttled 9\n",
				"/sys/fs/cgroup/a/b/memory.max": "max", "/sys/fs/cgroup/a/memory.max": "1073741824",
				"/sys/fs/cgroup/a/b/memory.events": "oom 4\noom_kill 2\n", "/sys/fs/cgroup/a/memory.events": "oom_kill 50\n",
			},
			group{Quota: 1.5, QuotaFrom: "/sys/fs/cgroup/a/cpu.max", Periods: 10, Throttled: 3, Memory: 1 << 30, From: "/sys/fs/cgroup/a/memory.max", Kills: 2, Known: true},
		},
		"first version": {
			map[string]string{
				"/proc/7/cgroup": "4:memory:/s\n3:cpu,cpuacct:/s\n1:name=systemd:/s\n",
				"/sys/fs/cgroup/cpu,cpuacct/s/cpu.cfs_quota_us":  "50000",
				"/sys/fs/cgroup/cpu,cpuacct/s/cpu.cfs_period_us": "100000",
				"/sys/fs/cgroup/cpu,cpuacct/s/cpu.stat":          "nr_periods 5\nnr_throttled 1\nthrottled_time 7\n",
				"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":    "-1",
				"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us":   "100000",
				"/sys/fs/cgroup/memory/s/memory.limit_in_bytes":  "9223372036854771712",
				"/sys/fs/cgroup/memory/memory.limit_in_bytes":    "536870912",
				"/sys/fs/cgroup/memory/s/memory.oom_control":     "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
				"/sys/fs/cgroup/unified/s/cpu.max":               "1 100000",
			},
			group{Quota: 0.5, QuotaFrom: "/sys/fs/cgroup/cpu,cpuacct/s/cpu.cfs_quota_us", Periods: 5, Throttled: 1, Memory: 512 << 20, From: "/sys/fs/cgroup/memory/memory.limit_in_bytes", Kills: 1, Known: true},
		},
		"no limits":   {map[string]string{"/proc/7/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000"}, group{Known: true}},
		"nonsense":    {map[string]string{"/proc/7/cgroup": "x\n0::/../..\n:::\n", "/sys/fs/cgroup/cpu.max": "many few"}, group{Known: true}},
		"not to read": {map[string]string{"/proc/7/cgroup": boxtest.Denied}, group{}},
		"not there":   {nil, group{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := boxtest.Tree(t, "bare", test.files)
			if got := groupOf(m, "/proc/7"); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestMaskNamesAllCores(t *testing.T) {
	for n, want := range map[int]string{1: "1", 2: "3", 8: "ff", 31: "7fffffff", 32: "ffffffff", 33: "1,ffffffff", 64: "ffffffff,ffffffff", 72: "ff,ffffffff,ffffffff"} {
		if got := mask(n); got != want {
			t.Errorf("%d cores: got %s, want %s", n, got, want)
		}
	}
}
