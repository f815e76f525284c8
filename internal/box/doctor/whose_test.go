package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
	"straum.dev/straum/internal/config"
)

// sees is what one check finds of a patient.
func sees(t *testing.T, id string, p *Patient) []box.Finding {
	t.Helper()
	for _, c := range Checks() {
		if c.ID == id {
			return Examine(t.Context(), p, []Check{c}, time.Minute)
		}
	}
	t.Fatalf("there is no check %s", id)
	return nil
}

// A gateway in another container is none of the processes that are seen here, least of all ours.
func TestGatewayElsewhere(t *testing.T) {
	p := patient(t, "kvm-debian12", nil)
	p.Running = alive()
	p.Running.PID = 0
	for _, id := range []string{"rights", "service"} {
		holds(t, sees(t, id, p)[0], box.Unknown, "in another container")
	}
	if at := p.process(); strings.Contains(at, "self") {
		t.Errorf("its files are sought in %s", at)
	}
}

// Within a container another starts the gateway again, or nobody does: that cannot be seen.
func TestServiceInAContainer(t *testing.T) {
	p := patient(t, "docker-cgroup2", map[string]string{"/proc/812/environ": "PATH=/bin\x00"})
	p.Running = alive()
	holds(t, sees(t, "service", p)[0], box.Unknown, "restart policy")
}

// Files behind a directory that others may not enter are not open to them, and links are followed.
func TestFilesBehindDirectories(t *testing.T) {
	p := patient(t, "kvm-debian12", nil)
	beside(p, "a", issue(nil, curve(), plain))
	shows(p, "a")
	p.Config.Log.Access.To = "stdout"
	put(p, "/etc/straum/straum.yaml", nil, 0o640)
	must(os.Chmod(p.Machine.Path("/etc/straum/a.key"), 0o644))
	holds(t, sees(t, "file_modes", p)[0], box.Bad, "/etc/straum/a.key", "which everybody on this box may read")

	must(os.Chmod(p.Machine.Path("/etc/straum"), 0o750))
	holds(t, sees(t, "file_modes", p)[0], box.Good, "2 files")

	must(os.MkdirAll(p.Machine.Path("/srv/keys"), 0o755))
	must(os.Rename(p.Machine.Path("/etc/straum/a.key"), p.Machine.Path("/srv/keys/a.key")))
	must(os.Symlink(p.Machine.Path("/srv/keys/a.key"), p.Machine.Path("/etc/straum/a.key")))
	holds(t, sees(t, "file_modes", p)[0], box.Bad, "which everybody on this box may read")
}

// Files that secrets are read from are as private as keys.
func TestFilesOfSecrets(t *testing.T) {
	p := patient(t, "kvm-debian12", nil)
	p.Machine = &box.Machine{Root: "/"}
	dir := t.TempDir()
	must(os.Chmod(filepath.Dir(dir), 0o755)) // others may go there, if the directory of all tests lets them
	must(os.WriteFile(dir+"/token", []byte("a token of more than 16 bytes"), 0o600))
	must(os.Chmod(dir+"/token", 0o644))
	must(os.WriteFile(dir+"/straum.yaml", []byte(file+"admin: { address: 127.0.0.1:9901, token: file:token }\n"), 0o600))
	var err error
	if p.Config, err = config.Load(dir+"/straum.yaml", config.Options{}); err != nil {
		t.Fatal(err)
	}
	p.Config.Log.Access.To, p.Config.State = "stdout", "none"
	if !open(p.Machine, dir+"/token") {
		t.Skip("the directory of tests is closed to others")
	}
	holds(t, sees(t, "file_modes", p)[0], box.Bad, dir+"/token", "a secret of the configuration")
}

// Where a machine does not tell its guests what it takes, no count is no good news.
func TestStealThatNobodyTells(t *testing.T) {
	stat := map[string]string{"/proc/stat": "cpu  100 0 50 1000 5 0 3 0 0 0\ncpu0 100 0 50 1000 5 0 3 0 0 0\n"}
	for machine, want := range map[string]box.Severity{"vmware": box.Unknown, "": box.Unknown, "kvm": box.Good} {
		p := patient(t, "kvm-debian12", stat)
		p.Facts.Guest.Machine, p.Vitals.CPU.Steal = machine, 0
		holds(t, sees(t, "steal", p)[0], want)
	}
	p := patient(t, "kvm-debian12", map[string]string{"/proc/stat": "cpu  100 0 50 1000 5 0 3 9 0 0\n"})
	p.Facts.Guest.Machine, p.Vitals.CPU.Steal = "vmware", 0
	holds(t, sees(t, "steal", p)[0], box.Good)
}

// A few pages of the gateway in swap are nobody's loss.
func TestFewPagesInSwap(t *testing.T) {
	p := patient(t, "kvm-debian12", map[string]string{"/proc/swaps": "Filename\n/dev/vda2 partition 1 1 1\n", "/proc/812/status": "VmSwap:\t   120 kB\n"})
	p.Running = alive()
	holds(t, sees(t, "swap", p)[0], box.Good)
}

func TestDumps(t *testing.T) {
	for pattern, want := range map[string]box.Severity{
		"|/bin/false": box.Good, "core": box.Unknown, "|/bin/falsely %p": box.Hint, "|/lib/systemd/systemd-coredump %P": box.Hint,
	} {
		holds(t, sees(t, "core_dumps", patient(t, "kvm-debian12", map[string]string{"/proc/sys/kernel/core_pattern": pattern}))[0], want)
	}
}

// chronyd's directory is its own: that it is there is all that others see.
func TestChronyBehindItsDirectory(t *testing.T) {
	p := patient(t, "kvm-debian12", map[string]string{"/run/chrony/chronyd.pid": boxtest.Denied})
	outOfStep(p)
	holds(t, sees(t, "clock_sync", p)[0], box.Hint, "chronyd runs")
}

func TestListenersOfFamilies(t *testing.T) {
	for addresses, want := range map[string]box.Severity{
		"192.0.2.1:443":                   box.Hint,
		"10.0.0.2:443":                    box.Good, // something in front of the box has the names
		"192.0.2.1:443 [2001:db8::7]:443": box.Good,
		"192.0.2.1:443 [::1]:8080":        box.Hint,
		":443":                            box.Good,
	} {
		p := patient(t, "kvm-debian12", well)
		first := p.Config.Listeners[0]
		p.Config.Listeners = nil
		for _, a := range strings.Fields(addresses) {
			if err := first.Address.ParseText(a); err != nil {
				t.Fatal(err)
			}
			p.Config.Listeners = append(p.Config.Listeners, first)
		}
		must(p.Config.Upstreams[0].Endpoints[0].Address.ParseText("[2001:db8::9]:80")) // says nothing of clients
		f := sees(t, "ipv6", p)[0]
		if f.Severity != want {
			t.Errorf("%s: found %s: %s", addresses, f.Severity, f.Is)
		}
	}
	p := patient(t, "kvm-debian12", map[string]string{"/proc/net/if_inet6": boxtest.Denied})
	holds(t, lookIPv6(context.Background(), p)[0], box.Unknown, "may not read")
}

// Where credentials travel, a network of one's own is another matter than the Internet.
func TestExposureWithinANetwork(t *testing.T) {
	p := patient(t, "kvm-debian12", nil)
	p.Config.Metrics.Address.Host = "10.0.0.2"
	holds(t, sees(t, "exposure", p)[0], box.Good)
	p.Config.Routes[0].Policies = []config.Policy{{Name: "basic"}}
	for address, want := range map[string]box.Severity{"192.0.2.1:80": box.Warning, ":80": box.Warning, "10.0.0.2:80": box.Hint, "127.0.0.1:80": box.Good} {
		p.Config.Listeners = p.Config.Listeners[:1]
		p.Config.Listeners[0].TLS = nil
		must(p.Config.Listeners[0].Address.ParseText(address))
		holds(t, sees(t, "exposure", p)[0], want)
	}
}

// What a gateway may do beyond its capabilities, and what becomes of it when it ends.
func TestGatewayAsItWasStarted(t *testing.T) {
	on := func(changes map[string]string) *Patient {
		p := patient(t, "kvm-debian12", changes)
		p.Running = alive()
		return p
	}
	holds(t, sees(t, "rights", on(rightsOf("997", "0000000000000400", "0")))[0], box.Hint, "may gain privileges by running a program")
	holds(t, sees(t, "service", on(map[string]string{"/proc/812/environ": "NOTIFY_SOCKET=/run/x\x00"}))[0], box.Hint, "without a watchdog")
	holds(t, sees(t, "service", on(map[string]string{"/proc/812/exe": boxtest.Link + "/usr/bin/straum (deleted)"}))[0], box.Hint, "was replaced since it started")
}

// What the gateway may use is what its own control group allows, not that of whoever looks.
func TestBudgetOfTheGatewaysGroup(t *testing.T) {
	p := patient(t, "kvm-debian12", map[string]string{unit + "memory.max": "2147483648"})
	p.Running, p.Facts.Memory = alive(), 16<<30
	holds(t, sees(t, "memory_budget", p)[0], box.Bad, "the gateway may use 2 GiB")
}
