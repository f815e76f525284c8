package doctor

import (
	"context"
	"errors"
	"time"

	"straum.dev/straum/internal/config"
)

// Probes are what takes more than reading files: they ask the kernel this program runs on, or measure. One that is nil is not asked, as
// when the files of another box are judged.
type Probes struct {
	// Clock asks the kernel whether its clock is kept in step.
	Clock func() (ClockState, error)
	// ReadClock measures what one reading of the clock takes: the best of several rounds.
	ReadClock func() time.Duration
	// Seal measures how many bytes a second one core encrypts with AES-128-GCM.
	Seal func() float64
	// There says whether a directory is. Without it all are.
	There func(directory string) bool
	// Write writes a small file into a directory, makes the disk keep it, and removes it.
	Write func(ctx context.Context, directory string) (Writing, error)
	// Space asks how much room the file system of a directory has, and what it is.
	Space func(directory string) (Space, error)
	// Offloads asks which work a network interface takes off the processors: name to whether it is on.
	Offloads func(name string) (map[string]bool, error)
	// Reach asks an endpoint twice over what should be one connection, and watches whether it stays open.
	Reach func(ctx context.Context, u *config.Upstream, e *config.Endpoint) (Reached, error)
	// Ask asks one resolver (host:port) for the addresses of a name.
	Ask func(ctx context.Context, server, name string) Told
}

// ErrNotHere says that a probe is not made for this operating system.
var ErrNotHere = errors.New("it is not known how to ask this operating system")

// ClockState is what the kernel knows of its clock.
type ClockState struct {
	InStep bool          // somebody keeps it in step
	Offset time.Duration // what is still to be corrected
	Error  time.Duration // the most it may be wrong by, as whoever keeps it believes
}

// Writing is how long a disk took. Times are of one write of 4 KiB, and of one fsync after it.
type Writing struct {
	Rounds              int
	Write, Sync         time.Duration // medians
	LongWrite, LongSync time.Duration // the longest of all
}

// Space is how much room a file system has.
type Space struct {
	Free, Size         int64 // bytes; Free is what is left for users that are not root
	Inodes, FreeInodes uint64
	Kind               string // as mount calls it, where it matters to us: tmpfs, overlay, nfs, cifs, fuse; else empty
}
