package exchange

import "straum.dev/straum/internal/edge/socket"

// Filed is a body that lies in a file, so that it can go to a plain connection without ever being in our memory. Next goes on where SendTo
// stopped, and the other way round.
type Filed interface {
	Body
	// SendTo moves the next part of the body to dst inside the kernel and gives dst patience nanoseconds for each part it takes. n is how many bytes
	// were moved; 0 without an error is the end. read is what the file failed with: socket.ErrNoSplice when the rest has to be asked of Next, otherwise
	// a *fault.Fault. write is what dst failed with.
	SendTo(dst *socket.Conn, patience int64) (n int64, read, write error)
}
