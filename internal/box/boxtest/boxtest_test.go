package boxtest

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

func TestTrees(t *testing.T) {
	names := Names()
	if len(names) < 7 {
		t.Fatalf("found the trees %q, want at least 7", names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			m := Tree(t, name, nil)
			if _, err := m.Read("/proc/uptime"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	m := Tree(t, "kvm-debian12", map[string]string{
		"/proc/sys/net/core/somaxconn":      "128\n",
		"proc/self/status":                  "Uid:\t0\n", // through a link
		"/proc/swaps":                       "",
		"/proc/pressure":                    "",
		"/proc/meminfo":                     Denied,
		"/etc/mtab":                         Link + "../proc/self/mounts",
		"/sys/class/net/eth9/operstate":     "up\n",
		"/sys/dev/block/254:0/queue/zoned":  "none\n", // through a link that leads to a directory
		"/proc/sys/net/ipv4/tcp_congestion": "cubic\n",
	})
	for name, want := range map[string]string{
		"/proc/sys/net/core/somaxconn": "128", "/proc/812/status": "Uid:\t0", "/sys/class/net/eth9/operstate": "up",
		"/sys/block/vda/queue/zoned": "none", "/proc/net/sockstat": "sockets: used 212",
	} {
		if got, err := m.Read(name); err != nil || len(got) < len(want) || got[:len(want)] != want {
			t.Errorf("%s: got %q, %v; want it to begin with %q", name, got, err, want)
		}
	}
	for name, want := range map[string]error{
		"/proc/swaps": fs.ErrNotExist, "/proc/pressure/cpu": fs.ErrNotExist, "/proc/meminfo": fs.ErrPermission,
	} {
		if _, err := m.Read(name); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if target, err := os.Readlink(m.Path("/etc/mtab")); err != nil || target != "../proc/self/mounts" {
		t.Errorf("got the link %q, %v", target, err)
	}
}

// A denied file is a link to one of the kernel's when root tests; what replaces it must not be written through that.
func TestDeniedIsReplaced(t *testing.T) {
	m := Tree(t, "denied", map[string]string{"/proc/stat": "cpu 1\n"})
	if got, err := m.Read("/proc/stat"); err != nil || got != "cpu 1" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := m.Read("/proc/vmstat"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want that it may not be read", err)
	}
}
