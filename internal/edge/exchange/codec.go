package exchange

import (
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// Codec is the client's side of one exchange: steps 2 and 10, and what step 7 needs of the client while it waits. Each protocol
// has one; the flow between is the same for all.
type Codec interface {
	// Decode fills x.Request with the head of the next request (step 2). Its Body is read later, by whoever needs it.
	Decode(x *Exchange) *fault.Fault
	// Encode writes x.Response to the client (step 10), body included, and settles x.KeepAlive and x.End. It returns a fault when
	// nothing was sent because the body failed before its first byte, so that another response can take its place. A response that
	// broke off later leaves its fault in x. Without a response it does nothing.
	Encode(x *Exchange) *fault.Fault
	// Account stamps the bytes that went over the client's connection, when nothing moves on it any more (step 11).
	Account(x *Exchange)
	// Interim writes an interim response (1xx) to the client. Protocols or clients that know none ignore it.
	Interim(x *Exchange, status int, header *Fields) *fault.Fault
	// Gone says whether the client has left, without waiting. It does not read.
	Gone(x *Exchange) bool
	// StopBody makes a Next of x.Request.Body that waits, or begins later, fail. It may be called from any goroutine.
	StopBody()
	// Tunnel takes over after a 101 response: it moves bytes between the client and the endpoint, whose first bytes early were
	// read already, until both are done or nothing moves for too long. Closing the endpoint's socket stays with the caller.
	Tunnel(x *Exchange, endpoint *socket.Conn, early []byte)
}

// Rewinder is a body that can be read again from its beginning, as long as no more of it was read than it could keep.
type Rewinder interface {
	// Rewind goes back to the beginning, or returns false when that is gone.
	Rewind() bool
}
