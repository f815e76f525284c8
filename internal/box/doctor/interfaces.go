package doctor

import (
	"os"
	"path/filepath"
	"strings"

	"straum.dev/straum/internal/box"
)

// maxInterfaces is how many network interfaces are looked at; boxes with many containers have hundreds, of which few are the box's own.
const maxInterfaces = 16

// interfaces are those that packets reach the box by: up, not loopback, and with a device below them; within a container, where none has one, those that are up.
func interfaces(m *box.Machine) (names []string) {
	entries, err := os.ReadDir(m.Path("/sys/class/net"))
	if err != nil {
		return nil
	}
	var virtual []string
	for _, e := range entries {
		name := e.Name()
		dir := "/sys/class/net/" + name
		if word(m, dir+"/operstate") == "down" {
			continue
		}
		if _, err := os.Stat(m.Path(dir + "/device")); err == nil {
			names = append(names, name)
		} else if strings.HasPrefix(name, "eth") || strings.HasPrefix(name, "en") || strings.HasPrefix(name, "venet") {
			virtual = append(virtual, name)
		}
	}
	if names == nil {
		names = virtual
	}
	return names[:min(len(names), maxInterfaces)]
}

// queues counts the queues of an interface, rx or tx, and says whether any of them spreads its packets over cores (RPS, or XPS).
func queues(m *box.Machine, name, kind, mask string) (n int, spread bool) {
	dirs, _ := filepath.Glob(m.Path("/sys/class/net/" + name + "/queues/" + kind + "-*"))
	for _, dir := range dirs {
		if text, err := os.ReadFile(filepath.Join(dir, mask)); err == nil && strings.Trim(string(text), "0,\n ") != "" {
			spread = true
		}
	}
	return len(dirs), spread
}

// statistic is one counter of an interface.
func statistic(m *box.Machine, name, which string) uint64 {
	n, err := number(m, "/sys/class/net/"+name+"/statistics/"+which)
	if err != nil || n < 0 {
		return 0
	}
	return uint64(n)
}

// about says which interface a finding is about.
func about(name string, f box.Finding) box.Finding {
	f.Subject = name
	return f
}

// noInterface is the finding of a box that shows none.
func noInterface() []box.Finding {
	return one(unknown("no network interface but loopback can be seen", "", ""))
}
