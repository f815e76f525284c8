// Package memlimit finds out how much memory the process may use: the least of what its control groups allow and what the machine
// has. The program gives the Go runtime a share of it as its soft limit, so that the collector works harder before the kernel kills.
//
// It also paces the collector (pace.go).
//
// It serves no step of a request. It refuses to guess: without /proc it knows nothing and says so.
package memlimit

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// ErrUnknown says that nothing is known about a limit.
var ErrUnknown = errors.New("neither /proc/meminfo nor a control group tells how much memory there is")

// Find returns the limit in bytes and the file it stands in. root is the file system from / on.
func Find(root fs.FS) (limit int64, from string, err error) {
	consider := func(name string, bytes int64, ok bool) {
		if ok && bytes > 0 && (limit == 0 || bytes < limit) {
			limit, from = bytes, "/"+name
		}
	}
	total, ok := machine(root)
	consider("proc/meminfo", total, ok)
	for _, name := range groupFiles(root) {
		allowed, ok := number(root, name)
		consider(name, allowed, ok)
	}
	if limit == 0 {
		return 0, "", ErrUnknown
	}
	return limit, from, nil
}

// machine is the memory of the machine.
func machine(root fs.FS) (int64, bool) {
	data, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

// groupFiles are the files that may hold a limit: those of the process's group and of every group above it, because each of them
// counts. Inside a container the path of the group is often one that only the host has; the mount's own root is its group then.
func groupFiles(root fs.FS) []string {
	data, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var out []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		// hierarchy:controllers:path, see cgroups(7); the second version has neither number nor controllers.
		parts := strings.SplitN(lines.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			out = append(out, upwards("sys/fs/cgroup", parts[2], "memory.max")...)
		case containsWord(parts[1], "memory"):
			out = append(out, upwards("sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")...)
		}
	}
	return out
}

func containsWord(list, word string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if part == word {
			return true
		}
	}
	return false
}

// upwards names file in the group and in all above it, up to the mount's root.
func upwards(mount, group, file string) []string {
	var out []string
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		out = append(out, path.Join(mount, group, file))
		if group == "/" {
			return out
		}
	}
}

// number reads a limit; "max" is none. The first version writes none as a number near 2^63, which the machine's memory undercuts.
func number(root fs.FS, name string) (int64, bool) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return n, err == nil
}
