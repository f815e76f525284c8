package replay

import (
	"encoding/hex"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/redis"
)

// Memory is what a Guard keeps from one revision to the next: a table, and counts of what became of what was asked of it.
type Memory struct {
	table    *Table
	used     atomic.Uint64
	full     atomic.Uint64
	unshared atomic.Uint64

	mu            sync.Mutex
	behind, ahead time.Duration
	life          atomic.Int64 // nanoseconds
	since         atomic.Int64 // what was made earlier may have been used and forgotten, in seconds since 1970
	any           atomic.Bool  // something was used
}

// NewMemory makes an empty memory that was asked for nothing yet.
func NewMemory() *Memory {
	m := &Memory{table: New(0, 0)}
	m.since.Store(math.MinInt64)
	return m
}

// Ask makes the memory fit for one more user: for most entries at a time, of things that can be used from ahead before the time they were
// made at to behind after it. What several ask for is joined, so that what one has taken none takes again; nothing is taken back, so that a
// revision that asks for less forgets nothing. now is in nanoseconds since 1970.
func (m *Memory) Ask(most int, behind, ahead time.Duration, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if behind > m.behind && m.any.Load() {
		m.since.Store(max(m.since.Load(), (now-int64(m.behind))/int64(time.Second)-1))
	}
	m.behind, m.ahead = max(m.behind, behind), max(m.ahead, ahead)
	life := m.behind + m.ahead + time.Second // both ends are rounded to a second
	m.life.Store(int64(life))
	m.table.Grow(most, life, now)
}

// Knows says whether a thing made at a time, in seconds since 1970, would be known if it had been used. One that would not must not be taken.
// That is so of what was too old already when Ask made the memory longer.
func (m *Memory) Knows(made int64) bool { return made >= m.since.Load() }

// Figures are counts since a Memory was made, but for Entries.
type Figures struct {
	Entries  int    // remembered now
	Used     uint64 // refused because they had been used
	Full     uint64 // refused because there was no room for more of the same owner
	Unshared uint64 // taken on this node's word alone because the store did not answer
}

// Figures reads the counts. now is as for Use.
func (m *Memory) Figures(now int64) Figures {
	return Figures{m.table.Len(now), m.used.Load(), m.full.Load(), m.unshared.Load()}
}

// Full gives the owners of whom things might be refused now because there is no room. now is as for Use.
func (m *Memory) Full(now int64) []string { return m.table.Full(now) }

// Life is for how long things are remembered at least.
func (m *Memory) Life() time.Duration { return time.Duration(m.life.Load()) }

// Guard lets things be used once: on this node, and in the whole fleet where there is a store.
type Guard struct {
	Memory *Memory
	Store  *redis.Client // nil for none
	// Name keeps things of different policies apart in the store.
	Name string
}

// first sets a key that is not there. It answers 1 when it was not there.
var first = redis.NewScript(`if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 1 end return 0`)

// Use uses a thing, for its owner; now is in nanoseconds since 1970. When the store does not answer, what this node remembers has to do: an outage of
// the store refuses no good request, and lets one be replayed once on each other node.
func (g *Guard) Use(thing [32]byte, owner string, now int64) Verdict {
	m := g.Memory
	if !m.any.Load() {
		m.any.Store(true)
	}
	verdict := m.table.Use(thing, owner, now)
	if verdict == Fresh && g.Store != nil {
		key := g.Name + ":" + hex.EncodeToString(thing[:16])
		reply, err := g.Store.Run(first, []string{key}, []string{strconv.FormatInt(m.Life().Milliseconds()+1, 10)})
		var n int64
		if err == nil {
			n, err = reply.Int()
		}
		switch {
		case err != nil:
			m.unshared.Add(1)
		case n == 0:
			verdict = Used
		}
	}
	switch verdict {
	case Used:
		m.used.Add(1)
	case Full:
		m.full.Add(1)
	}
	return verdict
}
