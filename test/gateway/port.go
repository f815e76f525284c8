package gateway

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// next is where the search for a free port goes on. Test processes that run side by side begin at different places.
var next atomic.Uint32

// Free is a loopback address nobody listens at: 127.0.0.1 with a port below those the kernel gives to outgoing connections, so
// that a burst of these cannot take it before it is used.
func Free(t testing.TB) string {
	t.Helper()
	const first, count = 12_000, 20_000
	next.CompareAndSwap(0, uint32(os.Getpid())*61)
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%count)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}
