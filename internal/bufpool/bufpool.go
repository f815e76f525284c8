// Package bufpool lends byte buffers of a few fixed sizes to the steps that read and write messages.
//
// It serves steps 2, 7 and 10. A buffer is borrowed while a message is on its way and given back before a connection goes idle,
// so that idle connections hold none. It refuses to lend arbitrary sizes: a size class that only one caller uses would never
// be reused.
package bufpool

import "sync"

// The sizes lent, in bytes. Small holds the head of nearly every message together with a small body; Large is what bodies are
// carried in: 64 KiB of content, which programs like to write at once, and the head before it.
const (
	Small  = 4 << 10
	Medium = 16 << 10
	Large  = 68 << 10
)

type (
	small  [Small]byte
	medium [Medium]byte
	large  [Large]byte
)

var (
	smalls  = sync.Pool{New: func() any { return new(small) }}
	mediums = sync.Pool{New: func() any { return new(medium) }}
	larges  = sync.Pool{New: func() any { return new(large) }}
)

// Get lends a buffer of at least n bytes, with length and capacity of its size class. More than Large is made on the spot and
// not pooled. Every buffer lent should come back by Put; one that does not is left to the garbage collector.
func Get(n int) []byte {
	switch {
	case n <= Small:
		return lent(smalls.Get().(*small)[:])
	case n <= Medium:
		return lent(mediums.Get().(*medium)[:])
	case n <= Large:
		return lent(larges.Get().(*large)[:])
	}
	return make([]byte, n)
}

// Put takes a buffer back. The caller must hold no view of it any more. Buffers of other capacities than Get lends are dropped.
func Put(b []byte) {
	switch cap(b) {
	case Small:
		returned(b[:Small])
		smalls.Put((*small)(b[:Small]))
	case Medium:
		returned(b[:Medium])
		mediums.Put((*medium)(b[:Medium]))
	case Large:
		returned(b[:Large])
		larges.Put((*large)(b[:Large]))
	}
}
