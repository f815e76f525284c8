package replay

import (
	"encoding/hex"
	"strconv"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/redis"
)

// Memory is what a Guard keeps from one revision to the next: a table, and counts of what became of what was asked of it.
type Memory struct {
	table    *Table
	life     time.Duration
	used     atomic.Uint64
	full     atomic.Uint64
	unshared atomic.Uint64
}

// NewMemory makes an empty memory for most entries at a time, each of which is remembered for at least life.
func NewMemory(most int, life time.Duration) *Memory {
	return &Memory{table: New(most, life), life: life}
}

// Figures are counts since a Memory was made, but for Entries.
type Figures struct {
	Entries  int    // remembered now
	Used     uint64 // refused because they had been used
	Full     uint64 // refused because there was no room
	Unshared uint64 // taken on this node's word alone because the store did not answer
}

// Figures reads the counts. now is as for Use.
func (m *Memory) Figures(now int64) Figures {
	return Figures{m.table.Len(now), m.used.Load(), m.full.Load(), m.unshared.Load()}
}

// Full says whether there are things that would be refused now because there is no room. now is as for Use.
func (m *Memory) Full(now int64) bool { return m.table.Full(now) }

// Guard lets things be used once: on this node, and in the whole fleet where there is a store.
type Guard struct {
	Memory *Memory
	Store  *redis.Client // nil for none
	// Name keeps things of different policies apart in the store.
	Name string
}

// first sets a key that is not there. It answers 1 when it was not there.
var first = redis.NewScript(`if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 1 end return 0`)

// Use uses a thing. When the store does not answer, what this node remembers has to do: an outage of the store refuses no good request,
// and lets one be replayed once on each other node.
func (g *Guard) Use(thing [32]byte, now int64) Verdict {
	m := g.Memory
	verdict := m.table.Use(thing, now)
	if verdict == Fresh && g.Store != nil {
		key := g.Name + ":" + hex.EncodeToString(thing[:16])
		reply, err := g.Store.Run(first, []string{key}, []string{strconv.FormatInt(m.life.Milliseconds()+1, 10)})
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
