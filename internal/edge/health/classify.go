package health

import (
	"context"
	"errors"
	"syscall"
)

// Classify turns the error of a dial, write or read into evidence. Errors that name a resource of this machine, and an
// attempt that was called off, are Own; everything else, timeouts included, is the endpoint's Failure.
func Classify(err error) Outcome {
	if err == nil {
		return Success
	}
	if errors.Is(err, context.Canceled) {
		return Own
	}
	for _, own := range [...]syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, // file descriptors of the process, of the system
		syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EADDRNOTAVAIL, // no local port left
	} {
		if errors.Is(err, own) {
			return Own
		}
	}
	return Failure
}
