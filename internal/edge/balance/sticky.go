package balance

// sticky sends an exchange to the endpoint its key names, typically from a cookie set on an earlier response, as long as
// that endpoint may be used; otherwise another balancer picks and the caller sets a new cookie.
type sticky struct {
	loads     []*Load
	keys      []uint64
	otherwise Balancer
}

func newSticky(members []Member, otherwise Balancer) *sticky {
	s := &sticky{otherwise: otherwise}
	for _, m := range members {
		s.loads = append(s.loads, m.Load)
		s.keys = append(s.keys, m.Key())
	}
	return s
}

// Pick takes a Member.Key as key; 0 names nobody.
func (b *sticky) Pick(key, random uint64, now int64, tried Tried) (int, bool) {
	named := b.find(key)
	if named >= 0 && !tried.Has(named) && b.loads[named].Usable(now) {
		return named, true
	}
	i, ok := b.otherwise.Pick(key, random, now, tried)
	if named >= 0 && !tried.Has(named) && ok && !b.loads[i].Usable(now) {
		return named, true // panic mode: none is better than the one that has the session
	}
	return i, ok
}

func (b *sticky) find(key uint64) int {
	if key == 0 {
		return -1
	}
	for i, k := range b.keys {
		if k == key {
			return i
		}
	}
	return -1
}
