package memory

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"straum.dev/straum/internal/edge/cache/object"
)

// sketch counts about how often keys were asked for, lately: a count-min sketch whose counters are halved now and then, with the four counters of a
// key in one line of a processor's cache. It may count too much, and never too little.
type sketch struct {
	blocks []block // a power of two of them
	since  int     // counts since they were halved
	seed   uint64  // nobody outside can tell which keys share counters
}

type block [64]uint8

const (
	fewestBlocks = 128
	perBlock     = 8  // entries
	lately       = 5  // counts by entry until all are halved
	most         = 31 // a counter counts no further
)

func (s *sketch) init() {
	s.blocks = make([]block, fewestBlocks)
	s.seed = rand.Uint64()
}

// add counts a key. The sketch grows with the entries there are.
func (s *sketch) add(k *object.Key, entries int) {
	if entries > len(s.blocks)*perBlock {
		s.blocks = append(s.blocks, s.blocks...) // a key finds what it had in either half
	}
	b, at := s.find(k)
	n := least(b, at)
	if n == most {
		return
	}
	for _, i := range at {
		if b[i&63] == n { // only the lowest: it is those that are believed
			b[i&63]++
		}
	}
	if s.since++; s.since >= lately*perBlock*len(s.blocks) {
		s.halve()
	}
}

// often is how often a key was asked for.
func (s *sketch) often(k *object.Key) int {
	b, at := s.find(k)
	return int(least(b, at))
}

// find finds the counters of a key. A key is a hash already.
func (s *sketch) find(k *object.Key) (b *block, at [4]uint8) {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(k[8:])^s.seed, binary.LittleEndian.Uint64(k[16:])|1)
	h := high ^ low
	for i := range at {
		at[i] = uint8(i)<<4 | uint8(h>>(60-4*i))&15
	}
	return &s.blocks[h&uint64(len(s.blocks)-1)], at
}

func least(b *block, at [4]uint8) uint8 {
	return min(b[at[0]&63], b[at[1]&63], b[at[2]&63], b[at[3]&63])
}

func (s *sketch) halve() {
	s.since /= 2
	for i := range s.blocks {
		b := &s.blocks[i]
		for j := 0; j < len(b); j += 8 {
			w := binary.LittleEndian.Uint64(b[j:])
			binary.LittleEndian.PutUint64(b[j:], w>>1&0x7f7f7f7f7f7f7f7f)
		}
	}
}
