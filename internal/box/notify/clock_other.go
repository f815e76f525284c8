//go:build !linux

package notify

// monotonic is of no use to anybody: only systemd asks, and it runs on Linux alone.
func monotonic() int64 { return 0 }
