package box

import (
	"bufio"
	"os"
	"strings"
)

// Mount is one line of /proc/self/mountinfo (proc(5)).
type Mount struct {
	Device   string // major:minor as stat tells it; btrfs and overlay have numbers that are no device's
	Point    string
	Kind     string // of file system: ext4, tmpfs, overlay
	Source   string // what is mounted, as the kind of file system names it: /dev/vda1
	ReadOnly bool
}

// maxMounts is how many mounts are read; boxes with many containers have some thousands.
const maxMounts = 1 << 14

// Mounts are what the process sees mounted, in the order of mounting.
func (m *Machine) Mounts() ([]Mount, error) {
	f, err := os.Open(m.Path("/proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Mount
	for lines := bufio.NewScanner(f); lines.Scan() && len(all) < maxMounts; {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 2 {
			continue
		}
		all = append(all, Mount{
			Device: left[2], Point: unescape.Replace(left[4]), Kind: right[0], Source: unescape.Replace(right[1]),
			ReadOnly: hasWord(left[5], "ro"),
		})
	}
	return all, nil
}

// unescape undoes how the kernel writes white space and backslashes in paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// Below is the mount that a path lies in: the one with the longest point, and of several at one point the last. It is nil when there is
// none. The path is taken as it is, without following symbolic links.
func Below(mounts []Mount, path string) *Mount {
	var found *Mount
	for i := range mounts {
		m := &mounts[i]
		if within(path, m.Point) && (found == nil || len(m.Point) >= len(found.Point)) {
			found = m
		}
	}
	return found
}

// within says whether a path is a directory or lies below it.
func within(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir) && path[len(dir)] == '/'
}

// hasWord says whether a list with commas has a word.
func hasWord(list, word string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if part == word {
			return true
		}
	}
	return false
}
