package exchange

import "straum.dev/straum/internal/edge/fault"

// ReplaceHeld puts a copy of other content in the place of the body that HoldBody has read: endpoints get it instead, as often as they are
// tried. What HoldBody returned before is invalid from then on. It fails with HoldFull when there is no room.
func (x *Exchange) ReplaceHeld(content []byte) *fault.Fault {
	h, ok := x.Request.Body.(*heldBody)
	if !ok {
		panic("BUG: the body to be replaced is not held")
	}
	if size := int64(len(content)); size > int64(cap(h.content)) {
		if f := h.grow(size, size, size); f != nil {
			return f
		}
	}
	h.content = append(h.content[:0], content...)
	h.read = false
	if x.Request.Length >= 0 { // otherwise it ends in trailers
		x.Request.Length = int64(len(content))
	}
	return nil
}
