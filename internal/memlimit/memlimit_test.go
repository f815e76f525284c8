package memlimit

import (
	"errors"
	"testing"
	"testing/fstest"
)

const gib = 1 << 30

func TestFind(t *testing.T) {
	machine := "MemFree:   1 kB\nMemTotal:        4194304 kB\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
		from  string
	}{
		{"machine alone", map[string]string{"proc/meminfo": machine}, 4 * gib, "/proc/meminfo"},
		{"second version, in a unit", map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/system.slice/straum.service\n",
			"sys/fs/cgroup/system.slice/straum.service/memory.max": "1073741824\n",
		}, 1 * gib, "/sys/fs/cgroup/system.slice/straum.service/memory.max"},
		{"a group above has less", map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/system.slice/straum.service\n",
			"sys/fs/cgroup/system.slice/straum.service/memory.max": "max\n",
			"sys/fs/cgroup/system.slice/memory.max":                "2147483648\n",
		}, 2 * gib, "/sys/fs/cgroup/system.slice/memory.max"},
		{"container that sees its own group as the root", map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/docker/0123456789\n", "sys/fs/cgroup/memory.max": "536870912\n",
		}, gib / 2, "/sys/fs/cgroup/memory.max"},
		{"first version", map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "8:pids:/\n4:cpu,memory:/a/b\n0::/\n",
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "1073741824",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes":   "9223372036854771712",
		}, 1 * gib, "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes"},
		{"no limit of the first version", map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
		}, 4 * gib, "/proc/meminfo"},
		{"a limit above the machine's", map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "8589934592",
		}, 4 * gib, "/proc/meminfo"},
		{"nonsense", map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "what\n0::/x\n", "sys/fs/cgroup/x/memory.max": "lots"},
			4 * gib, "/proc/meminfo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got, from, err := Find(root)
			if err != nil || got != c.want || from != c.from {
				t.Errorf("got %d from %s, %v; want %d from %s", got, from, err, c.want, c.from)
			}
		})
	}
}

func TestFindKnowsNothing(t *testing.T) {
	if got, from, err := Find(fstest.MapFS{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %d from %q, %v", got, from, err)
	}
}
