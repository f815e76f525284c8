package box_test

import (
	"runtime"
	"strings"
	"testing"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
)

func TestGuest(t *testing.T) {
	bare := map[string]string{"/sys/class/dmi": "", "/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc\n"}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{bare, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	const product, vendor = "/sys/class/dmi/id/product_name", "/sys/class/dmi/id/sys_vendor"
	for _, c := range []struct {
		name, tree string
		changes    map[string]string
		want       box.Guest
	}{
		{"firmware of Firecracker", "kvm-debian12", with(map[string]string{"/sys/firmware/acpi/tables/DSDT": "DSDTS\x0f\x00\x00\x02wFIRECKFCVMDSDT\x00\x00"}), box.Guest{Machine: "firecracker"}},
		{"no firmware at all", "kvm-debian12", with(map[string]string{"/proc/cmdline": "reboot=k panic=1 pci=off virtio_mmio.device=4K@0xd0000000:5\n"}), box.Guest{Machine: "firecracker"}},
		{"only a clock tells", "kvm-debian12", with(map[string]string{"/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc kvm-clock\n"}), box.Guest{Machine: "kvm"}},
		{"nothing tells but the processor", "kvm-debian12", bare, box.Guest{Machine: "other"}},
		{"VMware", "kvm-debian12", map[string]string{product: "VMware Virtual Platform\n"}, box.Guest{Machine: "vmware"}},
		{"Hyper-V", "kvm-debian12", map[string]string{product: "Virtual Machine\n", vendor: "Microsoft Corporation\n"}, box.Guest{Machine: "hyperv"}},
		{"Xen", "kvm-debian12", map[string]string{"/sys/hypervisor/type": "xen\n"}, box.Guest{Machine: "xen"}},
		{"Amazon's hardware", "kvm-debian12", map[string]string{product: "c5.metal\n", vendor: "Amazon EC2\n"}, box.Guest{Machine: "none"}},
		{"a provider's name on hardware", "hardware-new", map[string]string{vendor: "Hetzner\n"}, box.Guest{Machine: "none"}},
		{"arm64, a guest", "kvm-debian12", map[string]string{"/proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd aes pmull\n\nprocessor\t: 1\n"}, box.Guest{Machine: "kvm"}},
		{"arm64, hardware", "hardware-new", map[string]string{"/proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd aes pmull\n"}, box.Guest{Machine: "none"}},
		{"arm64, unknown", "kvm-debian12", with(map[string]string{"/proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd\n"}), box.Guest{}},

		{"LXC by its first process", "kvm-debian12", map[string]string{"/proc/1/environ": "TERM=linux\x00container=lxc\x00"}, box.Guest{Machine: "kvm", Container: "lxc"}},
		{"nspawn", "kvm-debian12", map[string]string{"/run/systemd/container": "systemd-nspawn\n"}, box.Guest{Machine: "kvm", Container: "nspawn"}},
		{"unheard of", "kvm-debian12", map[string]string{"/run/systemd/container": "jar\n"}, box.Guest{Machine: "kvm", Container: "other"}},
		{"podman", "kvm-debian12", map[string]string{"/run/.containerenv": "engine=podman\n"}, box.Guest{Machine: "kvm", Container: "podman"}},
		{"kubernetes", "docker-cgroup2", map[string]string{"/var/run/secrets/kubernetes.io/serviceaccount/namespace": "web\n"}, box.Guest{Machine: "kvm", Container: "kubernetes"}},
		{"OpenVZ", "kvm-debian12", map[string]string{"/proc/vz/version": "7\n"}, box.Guest{Machine: "kvm", Container: "openvz"}},
		{"the machine around OpenVZ", "kvm-debian12", map[string]string{"/proc/vz/version": "7\n", "/proc/bc/0": "0\n"}, box.Guest{Machine: "kvm"}},
		{"WSL", "kvm-debian12", map[string]string{"/proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n"}, box.Guest{Machine: "kvm", Container: "wsl"}},
		{"an image that boots", "docker-cgroup2", map[string]string{
			"/proc/self/ns/ipc": boxtest.Link + "ipc:[4026531839]", "/proc/self/ns/uts": boxtest.Link + "uts:[4026531838]", "/proc/self/ns/user": boxtest.Link + "user:[4026531837]",
			"/proc/self/ns/pid": boxtest.Link + "pid:[4026531836]", "/proc/self/ns/cgroup": boxtest.Link + "cgroup:[4026531835]",
		}, box.Guest{Machine: "kvm"}},
		{"a container with the machine's processes", "docker-cgroup2", map[string]string{
			"/proc/self/ns/ipc": boxtest.Link + "ipc:[4026531839]", "/proc/self/ns/uts": boxtest.Link + "uts:[4026532238]", "/proc/self/ns/user": boxtest.Link + "user:[4026531837]",
			"/proc/self/ns/pid": boxtest.Link + "pid:[4026531836]", "/proc/self/ns/cgroup": boxtest.Link + "cgroup:[4026531835]",
		}, box.Guest{Machine: "kvm", Container: "docker"}},
		{"docker by its group", "kvm-debian12", map[string]string{"/proc/1/cgroup": "4:memory:/docker/0af2\n"}, box.Guest{Machine: "kvm", Container: "docker"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := boxtest.Tree(t, c.tree, c.changes).Facts().Guest; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		name, tree string
		changes    map[string]string
		quota      float64
		groups     int
		cores      float64
	}{
		{"the least of all levels", "kvm-debian12", map[string]string{
			"/sys/fs/cgroup/system.slice/cpu.max":                "50000 100000\n",
			"/sys/fs/cgroup/system.slice/straum.service/cpu.max": "150000 100000\n",
		}, 0.5, 2, 0.5},
		{"no limit", "kvm-debian12", nil, 0, 2, 2},
		{"nonsense", "kvm-debian12", map[string]string{"/sys/fs/cgroup/system.slice/cpu.max": "lots 0\n"}, 0, 2, 2},
		{"next to nothing", "docker-cgroup2", map[string]string{"/sys/fs/cgroup/cpu.max": "100 100000\n"}, 0.001, 2, 0.01},
		{"more than there is", "docker-cgroup2", map[string]string{"/sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 99, 2, 4},
		{"affinity", "kvm-debian12", map[string]string{"/proc/self/status": "Cpus_allowed_list:\t1\n"}, 0, 2, 1},
		{"affinity of processors that went", "kvm-debian12", map[string]string{"/proc/self/status": "Cpus_allowed_list:\t0-15,32-47\n"}, 0, 2, 2},
		{"first version, no limit", "lxc-old", nil, 0, 1, 2},
		{"first version, the mount's root is the group", "lxc-old", map[string]string{
			"/proc/self/cgroup": "5:cpu,cpuacct:/lxc/104/ns/x\n", "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "70000\n",
		}, 0.7, 1, 0.7},
		{"first version, mounted elsewhere", "lxc-old", map[string]string{
			"/proc/self/cgroup": "5:cpu:/\n", "/sys/fs/cgroup/cpu": "", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "20000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "10000\n",
		}, 2, 1, 2},
		{"both versions", "kvm-debian12", map[string]string{
			"/proc/self/cgroup": "4:memory:/\n1:cpu:/a\n0::/\n", "/sys/fs/cgroup/cgroup.controllers": "",
			"/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "25000\n", "/sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
		}, 0.25, 1, 0.25},
		{"a path that leads out", "kvm-debian12", map[string]string{"/proc/self/cgroup": "0::/../../x\n", "/sys/fs/cgroup/cpu.max": "30000 100000\n"}, 0.3, 2, 0.3},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := boxtest.Tree(t, c.tree, c.changes).Facts()
			if f.Quota != c.quota || f.Groups != c.groups || f.Cores() != c.cores {
				t.Errorf("got a quota of %g in groups of version %d and %g cores; want %g, %d, %g", f.Quota, f.Groups, f.Cores(), c.quota, c.groups, c.cores)
			}
		})
	}
}

func TestKernelVersion(t *testing.T) {
	for text, want := range map[string]box.Version{
		"6.1.0-28-amd64": {Major: 6, Minor: 1}, "5.15-rc3": {Major: 5, Minor: 15}, "4.18": {Major: 4, Minor: 18}, "6.18.44-fc": {Major: 6, Minor: 18},
		"six.one": {}, "6": {}, ".": {}, "6.": {},
	} {
		want.Text = text
		got := boxtest.Tree(t, "bare", map[string]string{"/proc/sys/kernel/osrelease": text + "\n"}).Facts().Kernel
		if got != want {
			t.Errorf("%q: got %+v", text, got)
		}
	}
	if v := (box.Version{Major: 5, Minor: 4}); v.AtLeast(5, 5) || !v.AtLeast(5, 4) || !v.AtLeast(4, 19) || v.AtLeast(6, 0) {
		t.Error("5.4 is compared wrongly")
	}
}

// Forbidden must say yes and no as the situation is, whatever single thing differs.
func TestForbidden(t *testing.T) {
	const (
		root   = "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n"
		noCaps = "Uid:\t0\t0\t0\t0\nCapEff:\t0000000000000000\n"
		plain  = "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000001000\n" // CAP_NET_ADMIN
		readO  = "28 1 254:1 / / rw - ext4 /dev/vda1 rw\n23 28 0:21 / /proc rw - proc proc rw\n24 23 0:21 /sys /proc/sys ro,nosuid - proc proc rw\n"
		mixed  = readO + "25 24 0:21 /sys/net /proc/sys/net rw - proc proc rw\n"
	)
	for _, c := range []struct {
		name, tree, key string
		changes         map[string]string
		want            string // part of the reason; empty is that it may be set
	}{
		{"root", "kvm-debian12", "vm.swappiness", map[string]string{"/proc/self/status": root}, ""},
		{"root without capabilities, of a namespace", "kvm-debian12", "net.core.somaxconn", map[string]string{"/proc/self/status": noCaps}, "CAP_NET_ADMIN"},
		{"root without capabilities, of the machine", "kvm-debian12", "vm.swappiness", map[string]string{"/proc/self/status": noCaps}, ""},
		{"not root, with the capability", "kvm-debian12", "net.core.somaxconn", map[string]string{"/proc/self/status": plain}, ""},
		{"not root, of the machine", "kvm-debian12", "fs.file-max", map[string]string{"/proc/self/status": plain}, "root's"},
		{"rights unknown", "kvm-debian12", "vm.swappiness", map[string]string{"/proc/self/status": ""}, "not known"},
		{"root of a user namespace", "kvm-debian12", "vm.swappiness", map[string]string{"/proc/self/uid_map": "0 1000 1\n"}, "user namespace"},
		{"read-only", "kvm-debian12", "net.core.somaxconn", map[string]string{"/proc/self/mountinfo": readO}, "/proc/sys is mounted read-only"},
		{"read-only but for the network", "kvm-debian12", "net.core.somaxconn", map[string]string{"/proc/self/mountinfo": mixed}, ""},
		{"read-only beside the network", "kvm-debian12", "vm.swappiness", map[string]string{"/proc/self/mountinfo": mixed}, "read-only"},
		{"the machine's, in a container that could write it", "docker-cgroup2", "net.core.rmem_max", map[string]string{"/proc/sys/net/core/rmem_max": "1\n", "/proc/self/mountinfo": mixed}, "machine around"},
		{"not shown", "kvm-debian12", "net.ipv4.tcp_mem", map[string]string{"/proc/sys/net/ipv4/tcp_mem": ""}, "network namespace"},
		{"shown since 6.10, to be read", "hardware-new", "net.core.wmem_max", map[string]string{"/proc/sys/net/core/wmem_max": boxtest.ReadOnly + "212992\n"}, "only be read"},
		{"became a namespace's with 4.15", "lxc-old", "net.ipv4.tcp_rmem", map[string]string{"/proc/sys/kernel/osrelease": "4.14.2\n"}, "machine around"},
		{"was one before", "lxc-old", "net.ipv4.tcp_keepalive_time", map[string]string{"/proc/sys/kernel/osrelease": "4.14.2\n"}, ""},
		{"optmem_max before 6.8", "lxc-old", "net.core.optmem_max", map[string]string{"/proc/sys/net/core/optmem_max": "20480\n"}, "machine around"},
		{"no such kernel", "kvm-debian12", "net.ipv4.tcp_never", nil, "this kernel has no"},
		{"not tracked", "kvm-debian12", "net.netfilter.nf_conntrack_max", nil, "not loaded"},
		{"IPC is a container's own", "lxc-old", "kernel.shmmax", nil, "this kernel has no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := boxtest.Tree(t, c.tree, c.changes).Forbidden(c.key)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: got %v, want %q", c.key, err, c.want)
			}
		})
	}
}

func TestForbiddenFile(t *testing.T) {
	const thp = "/sys/kernel/mm/transparent_hugepage/enabled"
	for _, c := range []struct {
		tree    string
		changes map[string]string
		want    string
	}{
		{"kvm-debian12", nil, ""},
		{"lxc-old", nil, "machine around"},
		{"bare", nil, "this kernel has no"},
		{"denied", nil, "root's"},
		{"kvm-debian12", map[string]string{"/proc/self/mountinfo": "22 28 0:20 / /sys ro - sysfs sysfs rw\n"}, "/sys is mounted read-only"},
	} {
		err := boxtest.Tree(t, c.tree, c.changes).ForbiddenFile(thp)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.tree, err, c.want)
		}
	}
}

func TestMounts(t *testing.T) {
	m := boxtest.Tree(t, "bare", map[string]string{"/proc/self/mountinfo": `28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
nonsense
30 28 0:44 / /srv/my\040data ro,relatime - overlay overlay rw
31 28 8:1 / /srv rw - xfs /dev/sda1 rw
32 28 8:17 / /srv rw - xfs /dev/sdb1 rw
`})
	mounts, err := m.Mounts()
	if err != nil || len(mounts) != 4 {
		t.Fatalf("got %d mounts, %v", len(mounts), err)
	}
	for path, want := range map[string]string{
		"/": "254:1", "/srvx": "254:1", "/srv": "8:17", "/srv/log/a": "8:17", "/srv/my data/x": "0:44", "/var/log": "254:1",
	} {
		if got := box.Below(mounts, path); got == nil || got.Device != want {
			t.Errorf("%s: got %+v, want %s", path, got, want)
		}
	}
	if !mounts[1].ReadOnly || mounts[0].ReadOnly {
		t.Error("the wrong mount is read-only")
	}
	if box.Below(nil, "/") != nil {
		t.Error("found a mount among none")
	}
}

// On the machine that tests run on, whatever it is, the essentials must be found.
func TestHere(t *testing.T) {
	f := box.Here().Facts()
	if runtime.GOOS != "linux" {
		t.Skip("not Linux")
	}
	if f.Kernel.Major == 0 || f.Online == 0 || f.Memory == 0 || f.UID < 0 || f.Arch == "" {
		t.Errorf("got %+v", f)
	}
}
