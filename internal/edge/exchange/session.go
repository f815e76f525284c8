package exchange

import "time"

// Handler takes an exchange from step 2 to step 11.
type Handler interface {
	Serve(c Codec, x *Exchange)
}

// Gate is what a session, of whatever protocol, asks of the listener its connection came through.
type Gate interface {
	// Crowded says that a session with nothing to read should not wait on its goroutine.
	Crowded() bool
	// Draining says that the connection is to end with the responses under way.
	Draining() bool
}

// HotWait is how long a session without a request waits on its goroutine for the next before it lets itself be parked, in nanoseconds.
const HotWait = int64(time.Second)
