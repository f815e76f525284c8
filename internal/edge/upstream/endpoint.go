package upstream

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/balance"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/health"
	"straum.dev/straum/internal/edge/socket"
)

// endpoint is one address of an upstream and everything learnt about it. It outlives views: the next view that has the same address
// goes on with it.
type endpoint struct {
	address string // host:port or unix:/path, without names
	network string
	dialTo  string
	load    *balance.Load
	health  *health.Endpoint
	line    *line // of the current view; guarded by the upstream's mu, exchanges have that of their own view
	audit   audit
	detail  atomic.Pointer[string] // what the last active check found

	size     atomic.Int64  // of the last answer, roughly: how much to expect of the next
	answered atomic.Uint64 // tries that got an answer
	failed   atomic.Uint64
}

func newEndpoint(address string) *endpoint {
	e := &endpoint{address: address, network: "tcp", dialTo: address, load: &balance.Load{}}
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		e.network, e.dialTo = "unix", path
	}
	return e
}

// expect notes the size of an answer, when it differs in kind from the last one.
func (e *endpoint) expect(length int64) {
	if last := e.size.Load(); length > 2*last || length < last/2 {
		e.size.Store(max(length, 0))
	}
}

// dial connects until the time by.
func (e *endpoint) dial(by int64) (*socket.Conn, *fault.Fault) {
	ctx, cancel := context.WithTimeout(context.Background(), max(time.Duration(by-clock.Now()), time.Millisecond))
	defer cancel()
	nc, err := dialer.DialContext(ctx, e.network, e.dialTo)
	if err != nil {
		return nil, dialFault(err)
	}
	c, err := socket.New(nc)
	if err != nil {
		nc.Close()
		return nil, fault.New(fault.Internal, err)
	}
	return c, nil
}

// dialer keeps TCP's own keep-alive probes on, so that an endpoint that vanished without a word is noticed.
var dialer = net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}

func dialFault(err error) *fault.Fault {
	switch {
	case health.Classify(err) == health.Own:
		return fault.At(fault.NoDescriptors, fault.NotConnected, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return fault.At(fault.ConnectTimeout, fault.NotConnected, err)
	}
	return fault.At(fault.ConnectFailed, fault.NotConnected, err)
}
