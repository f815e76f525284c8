package balance

// Tried remembers which members one exchange has already sent an attempt to, by index. The zero value is empty. The
// indexes are those of one Balancer: an exchange keeps the balancer it began with for all its attempts.
//
// It holds 256 bits; in an upstream with more members, those 256 apart share a bit. Then an endpoint that was not tried
// may be passed over in favour of another that was not tried, nothing worse.
type Tried struct{ bits [4]uint64 }

// Add marks the member as tried.
func (t *Tried) Add(index int) { t.bits[index>>6&3] |= 1 << (index & 63) }

// Has tells whether the member was tried.
func (t *Tried) Has(index int) bool { return t.bits[index>>6&3]>>(index&63)&1 != 0 }
