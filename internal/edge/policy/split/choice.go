package split

import (
	"math"
	"math/rand/v2"
)

// share is one upstream.
type share struct {
	name   string
	weight uint64
	seed   uint64
}

func newShare(name string, weight uint64) share {
	return share{name, weight, hash(14695981039346656037, name)}
}

func random() uint64 { return rand.Uint64() }

// weighted chooses by a random number. total is the sum of the weights, above 0.
func weighted(shares []share, total, random uint64) string {
	at := random % total // total is at most 2^24, so what the remainder favours cannot be seen
	for i := range shares {
		if at < shares[i].weight {
			return shares[i].name
		}
		at -= shares[i].weight
	}
	panic("BUG: the weights are less than their sum")
}

// sticky chooses for a key: always the same as long as the weights are. It is rendezvous hashing with weights (Thaler and Ravishankar
// 1998; Schindelhauer and Schomaker 2005): when a weight grows, keys move to its upstream from all others and no key moves between
// others, so that callers of a canary stay there when it gets more of them.
func sticky(shares []share, key string) string {
	best, name := math.Inf(1), ""
	for i := range shares {
		s := &shares[i]
		if s.weight == 0 {
			continue
		}
		u := (float64(mix(hash(s.seed, key))>>11) + 0.5) / (1 << 53) // in (0, 1)
		if score := -math.Log(u) / float64(s.weight); score < best {
			best, name = score, s.name
		}
	}
	return name
}

// hash is FNV-1a over text, from a state. It is the same in all processes and of no use against anybody who chooses keys to get to one
// upstream, which a client may.
func hash(state uint64, text string) uint64 {
	for i := range len(text) {
		state = (state ^ uint64(text[i])) * 1099511628211
	}
	return state
}

// mix spreads what FNV leaves in the low bits (the finalizer of SplitMix64).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
