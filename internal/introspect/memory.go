package introspect

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// name stands for a token: a keyed hash of it, from which nobody can tell the token, nor try guesses without the key.
type name [sha256.Size]byte

// text is the name as a key of the shared store. The number is the version of what stands there.
func (n name) text() string { return "introspection:1:" + base64.RawURLEncoding.EncodeToString(n[:]) }

// names makes them. Sources with different places never have one in common.
type names struct{ hashers *sync.Pool }

type hasher struct {
	mac  hash.Hash
	text []byte
	sum  []byte
}

func newNames(key [32]byte, place string) names {
	own := derive(key, "name", place)
	return names{&sync.Pool{New: func() any { return &hasher{mac: hmac.New(sha256.New, own)} }}}
}

func derive(key [32]byte, purpose, place string) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(purpose + "\n" + place))
	return mac.Sum(nil)
}

func (n names) of(token string) name {
	h := n.hashers.Get().(*hasher)
	h.mac.Reset()
	h.text = append(h.text[:0], token...)
	h.mac.Write(h.text)
	h.sum = h.mac.Sum(h.sum[:0])
	clear(h.text) // a token is not kept
	out := name(h.sum)
	n.hashers.Put(h)
	return out
}

// memory is what this process remembers. Good answers are bounded by their bytes, bad ones by their number, each apart.
type memory struct {
	good *otter.Cache[name, *Answer]
	bad  *otter.Cache[name, *Answer]
	// once are the names of tokens that were good once: nothing can be read from them, and so they are kept longer.
	once *otter.Cache[name, struct{}]

	swept atomic.Int64 // Unix nanoseconds
}

// maxOnce bounds memory.once, in entries.
const maxOnce = 65_536

func newMemory(bytes uint64, bad int) *memory {
	return &memory{
		good: otter.Must(&otter.Options[name, *Answer]{MaximumWeight: bytes, InitialCapacity: 64,
			Weigher: func(_ name, a *Answer) uint32 { return a.size }, Executor: func(fn func()) { fn() }}),
		bad:  otter.Must(&otter.Options[name, *Answer]{MaximumSize: bad, InitialCapacity: 64, Executor: func(fn func()) { fn() }}),
		once: otter.Must(&otter.Options[name, struct{}]{MaximumSize: maxOnce, InitialCapacity: 64, Executor: func(fn func()) { fn() }}),
	}
}

func (m *memory) stop() {
	m.good.StopAllGoroutines()
	m.bad.StopAllGoroutines()
	m.once.StopAllGoroutines()
}

// find is a fresh answer, nil without one.
func (m *memory) find(key name, now int64) *Answer {
	if a, ok := m.good.GetIfPresent(key); ok {
		if a.fresh(now) {
			return a
		}
		if now >= a.stale {
			m.good.Invalidate(key) // what is of no use is not kept: it tells of a person
		}
	}
	if a, ok := m.bad.GetIfPresent(key); ok && a.fresh(now) {
		return a
	}
	return nil
}

// findStale is a good answer that is not fresh any more and may do in need.
func (m *memory) findStale(key name, now int64) *Answer {
	if a, ok := m.good.GetIfPresent(key); ok && now < a.stale {
		return a
	}
	return nil
}

// keep remembers an answer and says whether the token was good once, lately.
func (m *memory) keep(key name, a *Answer, now int64) (known bool) {
	known = m.seen(key)
	if a.Active {
		if now < a.stale {
			m.good.Set(key, a)
		}
		m.once.Set(key, struct{}{})
		m.bad.Invalidate(key)
		return known
	}
	m.good.Invalidate(key)
	m.once.Invalidate(key)
	m.bad.Set(key, a)
	return known
}

// seen says whether a token was good once, lately.
func (m *memory) seen(key name) bool {
	_, ok := m.once.GetIfPresent(key)
	return ok
}

// sweep drops good answers that are of no use any more, once a minute: they tell of people.
func (m *memory) sweep(now int64) {
	last := m.swept.Load()
	if now-last < int64(time.Minute) || !m.swept.CompareAndSwap(last, now) {
		return
	}
	for key, a := range m.good.All() {
		if now >= a.stale {
			m.good.Invalidate(key)
		}
	}
}
