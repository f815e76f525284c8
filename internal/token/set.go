package token

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// Bounds of sets.
const (
	// MaxSetBytes is the longest text of a set that is read.
	MaxSetBytes = 1 << 20
	// MaxKeys is the most keys in a set.
	MaxKeys = 256
)

// maxTried is how many keys one token is tried with, when its header does not name one.
const maxTried = 4

// Set is keys, any of which a token may be verified with. It is immutable.
type Set struct {
	keys   []*Key
	byID   map[string][]*Key // "" for keys without a name
	holds  map[Identity]struct{}
	digest [sha256.Size]byte
}

// NewSet makes a set. Keys that are there twice count once.
func NewSet(keys ...*Key) *Set {
	s := &Set{byID: map[string][]*Key{}, holds: map[Identity]struct{}{}}
	for _, k := range keys {
		if s.Holds(k.identity) {
			continue
		}
		s.holds[k.identity] = struct{}{}
		s.keys = append(s.keys, k)
		s.byID[k.id] = append(s.byID[k.id], k)
	}
	sorted := make([]Identity, 0, len(s.keys))
	for id := range s.holds {
		sorted = append(sorted, id)
	}
	slices.SortFunc(sorted, func(a, b Identity) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	for _, id := range sorted {
		h.Write(id[:])
	}
	h.Sum(s.digest[:0])
	return s
}

// Len is the number of keys.
func (s *Set) Len() int { return len(s.keys) }

// Keys are all keys, in the order given. The caller must not change the list.
func (s *Set) Keys() []*Key { return s.keys }

// Has says whether a key is called kid.
func (s *Set) Has(kid string) bool { return len(s.byID[kid]) > 0 }

// Holds says whether a key is in the set with all that was said of it.
func (s *Set) Holds(id Identity) bool {
	_, ok := s.holds[id]
	return ok
}

// Can says whether one of the keys verifies an algorithm.
func (s *Set) Can(a Algorithm) bool {
	return slices.ContainsFunc(s.keys, func(k *Key) bool { return k.fits(a) })
}

// Types are the sorts of keys in the set, for people, each once.
func (s *Set) Types() []string {
	var all []string
	for _, k := range s.keys {
		if word := k.sort(); !slices.Contains(all, word) {
			all = append(all, word)
		}
	}
	return all
}

// Digest is the same for two sets of the same keys, whatever their order.
func (s *Set) Digest() [sha256.Size]byte { return s.digest }

// candidates are the keys to try on a token signed with a. named says that they were found by the token's kid. A token that names none may
// be of any key, and one that names an unknown key may be of a key without a name, as keys of PEM files are.
func (s *Set) candidates(a Algorithm, kid string, hasID bool) (keys []*Key, named bool) {
	from := s.keys
	if hasID {
		from, named = s.byID[kid], kid != ""
		if len(from) == 0 {
			from, named = s.byID[""], false
		}
	}
	for _, k := range from {
		if k.fits(a) {
			if keys = append(keys, k); len(keys) == maxTried {
				break
			}
		}
	}
	return keys, named
}
