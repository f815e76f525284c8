package vitals

import "path/filepath"

// Volume is a directory of interest with the counters of the device below it.
type Volume struct {
	Name, Device     string // Device is empty where there is none to be asked
	Reads, Writes    uint64
	Reading, Writing uint64 // milliseconds that those took, each for itself
	Busy             uint64 // milliseconds with a request under way
	Free, Size       int64  // bytes; 0 is unknown
}

// disks reads the counters of the devices, and how full the volumes are.
func (s *Source) disks() []Volume {
	if len(s.volumes) == 0 {
		return nil
	}
	out := make([]Volume, len(s.volumes))
	for i, v := range s.volumes {
		out[i] = Volume{Name: v.name, Device: v.device}
		if s.here {
			fill(&out[i], v.path)
		}
	}
	for line := range lines(s.read(s.diskstats)) {
		major, minor, _, ok := deviceOf(line)
		if !ok {
			continue
		}
		for i := range s.volumes {
			v := &s.volumes[i]
			if v.device == "" || len(v.number) != len(major)+1+len(minor) || v.number[:len(major)] != string(major) || v.number[len(major)+1:] != string(minor) {
				continue
			}
			// reads, merged, sectors, ms; writes, merged, sectors, ms; under way, ms with any (Documentation/admin-guide/iostats.rst)
			var n [10]uint64
			rest := line
			for range 3 {
				_, rest = word(rest)
			}
			if numbers(rest, n[:]) == len(n) {
				o := &out[i]
				o.Reads, o.Reading, o.Writes, o.Writing, o.Busy = n[0], n[3], n[4], n[7], n[9]
			}
		}
	}
	return out
}

// deviceOf is whom a line of /proc/diskstats is about.
func deviceOf(line []byte) (major, minor, name []byte, ok bool) {
	major, line = word(line)
	minor, line = word(line)
	name, _ = word(line)
	return major, minor, name, len(name) > 0
}

// resolve follows the symbolic links of a path on this machine; elsewhere it is taken as it is.
func (s *Source) resolve(path string) string {
	if s.here {
		return evaluate(path)
	}
	return path
}

// evaluate follows symbolic links as far as the path is there: a directory that is still to be made lies where its parent does.
func evaluate(path string) string {
	path = filepath.Clean(path)
	for rest := ""; ; {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(real, rest)
		}
		above := filepath.Dir(path)
		if above == path {
			return filepath.Join(path, rest)
		}
		path, rest = above, filepath.Join(filepath.Base(path), rest)
	}
}
