package vitals

import "golang.org/x/sys/unix"

// fill tells how full a volume is; nothing when it cannot be found out.
func fill(v *Volume, path string) {
	var f unix.Statfs_t
	if unix.Statfs(path, &f) != nil {
		return
	}
	unit := int64(f.Frsize)
	if unit == 0 {
		unit = int64(f.Bsize)
	}
	v.Free, v.Size = int64(min(f.Bavail, 1<<40))*unit, int64(min(f.Blocks, 1<<40))*unit
}
