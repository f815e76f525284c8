package notify

import "golang.org/x/sys/unix"

// monotonic is the time in microseconds by the clock that the manager compares with (CLOCK_MONOTONIC).
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // every Linux has it
	return t.Nano() / 1000
}
