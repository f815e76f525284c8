package policy

import (
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Shadow copies requests, so that they can be sent to a second upstream besides their own.
type Shadow interface {
	// Copy copies what the endpoint of x is about to be asked, but for the content, to be sent to an upstream that was named to
	// Options.Upstream. It is for step 4, after all that changes the request. It is nil when there is nothing to copy.
	Copy(x *exchange.Exchange, upstream string) Copy
}

// Copy is a copy of a request, which has nothing in common with the exchange it is of. Its owner calls either Send or Drop, once.
type Copy interface {
	// Send asks an endpoint, with this content, and reads the answer and throws it away. It waits for all of that, at most so long, or until
	// stop is set, which is looked at about four times a second. It may be called on any goroutine. The content is not kept.
	Send(content []byte, within time.Duration, stop *atomic.Bool) Answer
	// Drop gives the copy up.
	Drop()
}

// Answer is what became of a copy that was sent.
type Answer struct {
	Status int          // 0 when there was no answer
	Fault  *fault.Fault // why there was none, or not all of it; nil when all is well
}
