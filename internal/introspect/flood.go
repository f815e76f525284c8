package introspect

import (
	"net/netip"
	"sync"
)

// floods counts the bad tokens that each address has shown: so many at once, and so many a second after that. While an address is over,
// nobody is asked about a token it shows. Its memory is bounded: when a shard is full of addresses that are not done, all others of it share
// one count.
type floods struct {
	burst, perSecond float64
	shards           [floodShards]floodShard
}

const (
	floodShards  = 64
	floodEntries = 1024 // a shard
)

type floodShard struct {
	mu    sync.Mutex
	debts map[netip.Addr]debt
	other debt // of those that found no place
	swept int64
}

// debt is how many bad tokens are not forgotten yet, at a time in Unix nanoseconds.
type debt struct {
	tokens float64
	at     int64
}

func newFloods(burst int, perSecond float64) *floods {
	return &floods{burst: float64(burst), perSecond: perSecond}
}

// left is what a debt has come down to.
func (f *floods) left(d debt, now int64) float64 {
	return max(d.tokens-f.perSecond*float64(max(now-d.at, 0))/1e9, 0)
}

// blocked says whether an address has to wait.
func (f *floods) blocked(from netip.Addr, now int64) bool {
	if f.burst < 0 || !from.IsValid() {
		return false
	}
	from, s := f.shard(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.debts[from]
	if !ok && len(s.debts) >= floodEntries {
		d = s.other
	}
	return f.left(d, now) > f.burst-1
}

// spend counts a bad token. Those that were shown at once may all come to count; twice the burst is the most an address can owe.
func (f *floods) spend(from netip.Addr, now int64) {
	if f.burst < 0 || !from.IsValid() {
		return
	}
	from, s := f.shard(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.debts[from]
	if !ok && len(s.debts) >= floodEntries && !s.room(f, now) {
		s.other = f.more(s.other, now)
		return
	}
	if s.debts == nil {
		s.debts = map[netip.Addr]debt{}
	}
	s.debts[from] = f.more(d, now)
}

func (f *floods) more(d debt, now int64) debt {
	return debt{min(f.left(d, now)+1, 2*f.burst), now}
}

// room makes room by dropping addresses that owe nothing any more, once a second at most, and reports whether there is some.
func (s *floodShard) room(f *floods, now int64) bool {
	if now-s.swept < 1e9 {
		return false
	}
	s.swept = now
	for from, d := range s.debts {
		if f.left(d, now) == 0 {
			delete(s.debts, from)
		}
	}
	return len(s.debts) < floodEntries
}

// shard is where an address is counted, and as what: a site with IPv6 has a /64 at least to choose addresses from.
func (f *floods) shard(from netip.Addr) (netip.Addr, *floodShard) {
	from = from.Unmap().WithZone("")
	if from.Is6() {
		prefix, _ := from.Prefix(64)
		from = prefix.Addr()
	}
	b := from.As16()
	var h uint32 = 2166136261 // FNV-1a
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return from, &f.shards[h%floodShards]
}
