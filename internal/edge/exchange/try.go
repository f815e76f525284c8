package exchange

import (
	"time"

	"straum.dev/straum/internal/edge/fault"
)

// Outgoing is what a request to an endpoint has that differs from what the client sent.
type Outgoing struct {
	Path string // canonical and possibly rewritten
	Host string // becomes the field Host, or :authority
	// Forwarded holds the complete lines, CR LF included, of the fields that tell the endpoint who asked and how.
	Forwarded []byte
}

// Patience says how long a try may take. Times are readings of clock.Now, 0 for no bound.
type Patience struct {
	// FirstByte is how long the head of the answer may take once the request is sent, 0 for any time.
	FirstByte time.Duration
	HeadBy    int64         // when the head has to be there in any case
	Idle      time.Duration // between two runs of bytes, in either direction, 0 for any time
	Until     int64         // when the whole answer has to be there
	// Late is the kind of fault of an answer that is not there at Until. HTTP/2 alone asks for it.
	Late *fault.Kind
	// GRPC says that the exchange is one of gRPC, so that an answer which breaks off can end with a status in its trailers. HTTP/2
	// alone asks for it.
	GRPC bool
	// Expect is how many bytes the answer is thought to have. It only sizes the first read; 0 is fine. HTTP/1.1 alone asks for it.
	Expect int
}

// Watch is asked, while a try waits for its endpoint, whether to go on waiting.
type Watch interface {
	// Tick returns a fault to end the wait. now is a reading of clock.Now.
	Tick(now int64) *fault.Fault
}
