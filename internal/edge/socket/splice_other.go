//go:build !linux

package socket

// All is as on Linux.
const All = -1

// Splice moves nothing: only Linux can do it. Callers copy instead.
func Splice(dst, src *Conn, want, by, patience int64) (moved int64, read, write error) {
	return 0, ErrNoSplice, nil
}
