package balance

// Key turns what a route hashes by (a header value, a cookie, an address) into the key of Pick. It is the same on every
// node and in every release. An exchange that lacks the value is better given a random key: all of them under one key
// would meet at one endpoint.
func Key[T string | []byte](value T) uint64 {
	h := uint64(0xCBF29CE484222325) // FNV-1a, 64 bit
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * 0x100000001B3
	}
	return mix(h)
}

// Key returns the number by which a sticky key names the member; never 0. It depends on the ID only.
func (m Member) Key() uint64 { return max(Key(m.ID), 1) }
