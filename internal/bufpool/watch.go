//go:build !race

package bufpool

// lent and returned look after buffers in builds with the race detector.
func lent(b []byte) []byte { return b }

func returned([]byte) {}
