//go:build !linux

// The twins of open_linux.go for development on other systems. Missing: several sockets on one address, fast open, another
// backlog than the system's, the refusal of handshakes by a listener that goes away, and the figures of the kernel's queue.

package listen

import (
	"io/fs"
	"time"
)

const (
	reusesPorts = false
	keepAlive   = time.Minute
)

func prepare(int, string, bool) error { return nil }

func adjust(_ queue, s *Settings) string {
	if s.FastOpen == 0 {
		return FastOpenOff
	}
	return FastOpenUnsupported
}

func lengths(queue) (queued, backlog int) { return 0, 0 }
func waiting(queue) bool                  { return false }
func refuseHandshakes(queue)              {}
func restrict(int, fs.FileMode)           {}
