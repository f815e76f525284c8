package exchange

import "unsafe"

// maxKeptRoom is how much room for texts an exchange keeps for the next request of its connection.
const maxKeptRoom = 4 << 10

// Keep copies bytes to where they live as long as the exchange does, and gives a view of them: for values of fields that are put together
// in scratch.
func (x *Exchange) Keep(p []byte) string {
	if len(p) == 0 {
		return ""
	}
	if cap(x.texts)-len(x.texts) < len(p) { // what was given out goes on pointing into the room there was
		x.texts = make([]byte, 0, max(512, 2*cap(x.texts), len(p)))
	}
	from := len(x.texts)
	x.texts = append(x.texts, p...)
	return unsafe.String(&x.texts[from], len(p))
}

// Scratch is an empty slice to put a text together in, for Keep. It is one for all: whoever calls others meanwhile has his own.
func (x *Exchange) Scratch() []byte { return x.scratch[:0] }

// KeepScratch is Keep for what was put together in Scratch, whose room stays with the exchange if it grew.
func (x *Exchange) KeepScratch(p []byte) string {
	if cap(p) <= maxKeptRoom {
		x.scratch = p
	}
	return x.Keep(p)
}
