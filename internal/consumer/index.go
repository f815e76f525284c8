package consumer

// maxItems is how many items an index tells apart: a slot has 24 bits for the number.
const maxItems = 1<<24 - 2

// index finds the numbers of items by a hash of theirs: open addressing with linear probing, at most three quarters full. A slot is 0 when it
// is free; otherwise its low 24 bits are the number plus one, and its high 8 bits are of the hash, so that hardly any item is looked at in
// vain.
type index struct {
	slots []uint32
	n     int
}

// find gives the first item of the hash that match agrees to.
func (x *index) find(hash uint64, match func(uint32) bool) (uint32, bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(x.slots) - 1)
	tag := uint32(hash>>56) << 24
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := x.slots[at]
		if slot == 0 {
			return 0, false
		}
		if slot&0xff000000 == tag {
			if i := slot&0xffffff - 1; match(i) {
				return i, true
			}
		}
	}
}

// add adds an item that is not there yet. hashOf gives the hash of one that is.
func (x *index) add(hash uint64, item uint32, hashOf func(uint32) uint64) {
	if x.n >= len(x.slots)/4*3 {
		old := x.slots
		x.slots = make([]uint32, max(16, 2*len(old)))
		for _, slot := range old {
			if slot != 0 {
				x.place(hashOf(slot&0xffffff-1), slot&0xffffff-1)
			}
		}
	}
	x.place(hash, item)
	x.n++
}

func (x *index) place(hash uint64, item uint32) {
	mask := uint64(len(x.slots) - 1)
	at := hash & mask
	for x.slots[at] != 0 {
		at = (at + 1) & mask
	}
	x.slots[at] = uint32(hash>>56)<<24 | (item + 1)
}
