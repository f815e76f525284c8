package admin

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// resident is the memory the process holds, in bytes; 0 when it cannot be told.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text) // pages: size, resident, ... (proc(5))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// descriptors counts the open descriptors and tells how many there may be; 0 when that cannot be told.
func descriptors() (open int, limit uint64) {
	if dir, err := os.Open("/proc/self/fd"); err == nil {
		names, _ := dir.Readdirnames(-1)
		open = max(len(names)-1, 0) // less the one we look through
		_ = dir.Close()             // only read from
	}
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) == nil {
		limit = r.Cur
	}
	return open, limit
}
