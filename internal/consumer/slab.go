package consumer

// slabBits is how many items a chunk of a slab has, as a power of two.
const slabBits = 12

// slab is a list that grows without moving what it has, so that growing costs no second copy, and no more than one chunk is spare. Items are
// told by number. Pointers to items hold once the slab has stopped growing: its first chunk moves while it is small.
type slab[T any] struct {
	chunks [][]T
	n      uint32
}

func (s *slab[T]) add(item T) uint32 {
	last := len(s.chunks) - 1
	if last < 0 || len(s.chunks[last]) == 1<<slabBits {
		var chunk []T
		if last >= 0 { // this is no small list
			chunk = make([]T, 0, 1<<slabBits)
		}
		s.chunks = append(s.chunks, chunk)
		last++
	}
	s.chunks[last] = append(s.chunks[last], item)
	s.n++
	return s.n - 1
}

func (s *slab[T]) at(i uint32) *T { return &s.chunks[i>>slabBits][i&(1<<slabBits-1)] }
