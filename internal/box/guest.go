package box

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"straum.dev/straum/internal/wording"
)

// Guest is what kind of guest the box is.
type Guest struct {
	Machine   string `json:"machine"`   // "kvm", "xen", "vmware", "hyperv", "firecracker" and others, "none" (it is hardware); empty is unknown
	Container string `json:"container"` // "docker", "podman", "lxc", "openvz", "nspawn", "kubernetes", "wsl", "other"; empty is none
}

// guest finds out what kind of guest the box is. cpu is what /proc/cpuinfo says, nil to have it read.
func (m *Machine) guest(cpu *processor) Guest {
	if cpu == nil {
		cpu, _ = m.processor()
	}
	return Guest{Machine: m.virtual(cpu), Container: m.container()}
}

// makers are how the vendors of machines that are none begin their names in /sys/class/dmi/id.
var makers = []struct{ begins, kind string }{
	{"KVM", "kvm"}, {"OpenStack", "kvm"}, {"KubeVirt", "kvm"}, {"QEMU", "kvm"}, {"Amazon EC2", "kvm"}, {"Google", "kvm"}, {"DigitalOcean", "kvm"},
	{"Hetzner", "kvm"}, {"Scaleway", "kvm"}, {"Vultr", "kvm"}, {"UpCloud", "kvm"}, {"Linode", "kvm"}, {"Akamai", "kvm"}, {"Exoscale", "kvm"},
	{"Alibaba Cloud", "kvm"}, {"Nutanix", "kvm"}, {"Red Hat", "kvm"}, {"Bochs", "kvm"}, {"SeaBIOS", "kvm"},
	{"VMware", "vmware"}, {"VMW", "vmware"}, {"innotek GmbH", "virtualbox"}, {"VirtualBox", "virtualbox"}, {"Xen", "xen"},
	{"Parallels", "parallels"}, {"BHYVE", "bhyve"}, {"Hyper-V", "hyperv"}, {"Virtual Machine", "hyperv"}, {"Apple Virtualization", "apple"},
}

// virtual finds out whether the machine is one. Processors of the x86 family say that somebody stands between them and us; who that is, the
// firmware says, or the clocks that the kernel found. Where the flag is missing the firmware is not believed to be a guest's: providers
// write their names into that of hardware, too.
func (m *Machine) virtual(cpu *processor) string {
	if kind := m.hypervisor(); kind != "" {
		return kind
	}
	if cpu.amd64 && !slices.Contains(cpu.flags, "hypervisor") {
		return "none"
	}
	if table, err := m.Read("/sys/firmware/acpi/tables/DSDT"); err == nil && strings.Contains(table[:min(len(table), 28)], "FIRECK") {
		return "firecracker"
	}
	if strings.HasSuffix(m.told("/sys/class/dmi/id/product_name"), ".metal") {
		return "none" // how Amazon names the hardware it rents as it is
	}
	seen := false
	for _, name := range []string{"product_name", "sys_vendor", "board_vendor", "bios_vendor", "chassis_vendor"} {
		text, err := m.Read("/sys/class/dmi/id/" + name)
		if err != nil {
			continue
		}
		seen = true
		for _, maker := range makers {
			if strings.HasPrefix(text, maker.begins) {
				return maker.kind
			}
		}
	}
	if line, err := m.Read("/proc/cmdline"); err == nil && !seen && strings.Contains(line, "virtio_mmio.device=") {
		return "firecracker" // or another as small, which has no firmware either
	}
	if clocks, err := m.Read("/sys/devices/system/clocksource/clocksource0/available_clocksource"); err == nil {
		for _, c := range []struct{ clock, kind string }{{"kvm-clock", "kvm"}, {"hyperv", "hyperv"}, {"xen", "xen"}} {
			if strings.Contains(clocks, c.clock) {
				return c.kind
			}
		}
	}
	if cpu.amd64 {
		return "other"
	}
	if seen && cpu.known {
		return "none"
	}
	return ""
}

// hypervisor is what Xen and the device trees of others say of themselves.
func (m *Machine) hypervisor() string {
	if kind, err := m.Read("/sys/hypervisor/type"); err == nil && kind != "" {
		return kind
	}
	for _, name := range []string{"/proc/device-tree/hypervisor/compatible", "/sys/firmware/devicetree/base/hypervisor/compatible"} {
		if text, err := m.Read(name); err == nil {
			for _, kind := range []string{"kvm", "xen", "vmware"} {
				if strings.Contains(text, kind) {
					return kind
				}
			}
		}
	}
	return ""
}

// containers are words that systemd and the makers of containers use, and ours.
var containers = map[string]string{
	"docker": "docker", "podman": "podman", "oci": "other", "lxc": "lxc", "lxc-libvirt": "lxc", "systemd-nspawn": "nspawn", "openvz": "openvz",
	"kubernetes": "kubernetes", "kube": "kubernetes", "wsl": "wsl",
}

// container finds out whether the process is in one, by what its makers leave behind.
func (m *Machine) container() string {
	if m.has("/proc/vz") && !m.has("/proc/bc") {
		return "openvz" // the machine around has both
	}
	if release, err := m.Read("/proc/sys/kernel/osrelease"); err == nil && strings.Contains(strings.ToLower(release), "microsoft") {
		return "wsl"
	}
	if m.has("/var/run/secrets/kubernetes.io") || m.has("/run/secrets/kubernetes.io") {
		return "kubernetes"
	}
	for _, said := range []string{m.told("/run/systemd/container"), m.told("/run/host/container-manager"), m.environment("container")} {
		if said == "" {
			continue
		}
		if word, ok := containers[said]; ok {
			return word
		}
		return "other"
	}
	if !m.first() {
		switch {
		case m.has("/.dockerenv"):
			return "docker"
		case m.has("/run/.containerenv"):
			return "podman"
		}
	}
	groups := m.told("/proc/1/cgroup")
	for _, c := range []struct{ part, word string }{
		{"/kubepods", "kubernetes"}, {"/docker/", "docker"}, {"/docker-", "docker"}, {"/libpod-", "podman"}, {"/lxc/", "lxc"}, {"/lxc.payload", "lxc"},
	} {
		if strings.Contains(groups, c.part) {
			return c.word
		}
	}
	return ""
}

// first says that the process is in none but the first namespaces of the machine, whose numbers are constants of the kernel
// (include/linux/proc_ns.h). Then what a container's image left behind means nothing: small virtual machines boot from such images.
func (m *Machine) first() bool {
	for name, number := range map[string]string{"ipc": "4026531839", "uts": "4026531838", "user": "4026531837", "pid": "4026531836", "cgroup": "4026531835"} {
		target, err := os.Readlink(m.Path("/proc/self/ns/" + name))
		if err != nil || target != name+":["+number+"]" {
			return false
		}
	}
	return true
}

// has says whether there is such a file or directory.
func (m *Machine) has(name string) bool {
	_, err := os.Stat(m.Path(name))
	return err == nil
}

// told is what a file says, nothing when it cannot be read.
func (m *Machine) told(name string) string {
	text, _ := m.Read(name)
	return text
}

// environment is a variable of the first process, which only root may see.
func (m *Machine) environment(name string) string {
	for entry := range strings.SplitSeq(m.told("/proc/1/environ"), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// processor is what /proc/cpuinfo says of the first one.
type processor struct {
	known bool
	amd64 bool
	model string
	flags []string
	count int
}

func (m *Machine) processor() (*processor, error) {
	p := &processor{}
	f, err := os.Open(m.Path("/proc/cpuinfo"))
	if err != nil {
		return p, fmt.Errorf("/proc/cpuinfo: %w", wording.Cause(err))
	}
	defer f.Close()
	p.known = true
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 4<<10), 64<<10)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "processor":
			p.count++
		case "model name":
			if p.model == "" {
				p.model = value
			}
		case "flags", "Features":
			if p.flags == nil {
				p.flags = strings.Fields(value)
			}
		case "vendor_id":
			p.amd64 = true
		}
	}
	return p, nil
}
