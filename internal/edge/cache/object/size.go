package object

import (
	"math/bits"
	"unsafe"
)

// Keeping is about how many bytes a store in memory needs to find an object, besides the object itself.
const Keeping = 160

// Size is how many bytes of memory it takes, what keeps it included. It is what the allocator hands out for it, to within a few hundredths over many
// objects. A body counts with the room of its slice, and one in a file not at all.
func (o *Object) Size() int64 {
	n := Keeping + allotted(int64(unsafe.Sizeof(*o))) + allotted(int64(o.text)) + allotted(int64(cap(o.Body))) +
		allotted(int64(cap(o.Tags))*int64(unsafe.Sizeof("")))
	if v := o.Variants; v != nil {
		n += allotted(int64(unsafe.Sizeof(*v))) + allotted(int64(cap(v.Sets))*int64(unsafe.Sizeof(Set{})))
		for i := range v.Sets {
			n += allotted(int64(cap(v.Sets[i].Names))*int64(unsafe.Sizeof(""))) + allotted(int64(cap(v.Sets[i].Keys))*int64(unsafe.Sizeof(Key{})))
		}
	}
	return n
}

// allotted is about what Go's allocator takes for a slice of so many bytes: its classes are an eighth of a power of two apart or less, and beyond
// 32 KiB it is whole pages.
func allotted(n int64) int64 {
	const page = 8 << 10
	if n > 32<<10 {
		return (n + page - 1) / page * page
	}
	step := int64(8)
	if n > 32 {
		step = 1 << max(4, bits.Len64(uint64(n-1))-4)
	}
	return (n + step - 1) / step * step
}
