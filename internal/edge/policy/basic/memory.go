package basic

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// Sizes of the memory. A set is looked through from its first entry, so it is small.
const (
	memoryShards = 64
	memoryWays   = 4
	rightEntries = 32 << 10 // about 1 MiB
	wrongEntries = 8 << 10
)

// mark stands for a hash, a user name and a password, without any of them being found from it: it depends on a key of this process.
type mark [32]byte

// markKey is that key.
type markKey [32]byte

func newMarkKey() (k markKey) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}

// maxMarked holds a key, two lengths and the three texts at their longest.
const maxMarked = 32 + 4 + 512 + maxPair

// mark gives the mark. The stored hash is in it, so what was remembered for a password ends with its hash.
func (k *markKey) mark(hash, username, password string) mark {
	var room [maxMarked]byte
	b := append(room[:0], k[:]...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(hash)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(username)))
	b = append(append(append(b, hash...), username...), password...)
	return sha256.Sum256(b)
}

// memory remembers marks, as many as it was made for; of those that share a set the one not asked for longest makes room. All of it is in sets
// of four that are found by the mark, with a lock for each part.
type memory struct {
	shards [memoryShards]shard
	sets   int // of a shard
}

type shard struct {
	mu   sync.Mutex
	sets [][memoryWays]mark // the mark asked for last comes first; the zero mark is none
	_    [32]byte           // so that two locks are not in one cache line
}

func newMemory(entries int) *memory {
	return &memory{sets: entries / memoryShards / memoryWays}
}

func (m *memory) place(of *mark) (*shard, int) {
	at := binary.LittleEndian.Uint64(of[:8])
	return &m.shards[at%memoryShards], int(at / memoryShards % uint64(m.sets))
}

// has says whether a mark is remembered.
func (m *memory) has(one *mark) bool {
	s, at := m.place(one)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets == nil {
		return false
	}
	set := &s.sets[at]
	for i := range set {
		if set[i] == *one {
			if i > 0 {
				copy(set[1:i+1], set[:i])
				set[0] = *one
			}
			return true
		}
	}
	return false
}

// add remembers a mark.
func (m *memory) add(one *mark) {
	s, at := m.place(one)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets == nil {
		s.sets = make([][memoryWays]mark, m.sets)
	}
	set := &s.sets[at]
	copy(set[1:], set[:])
	set[0] = *one
}
