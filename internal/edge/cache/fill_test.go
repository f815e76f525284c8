package cache

import (
	"testing"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/memory"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// What comes from a slower store goes to memory unless something newer came there meanwhile.
func TestFillLeavesWhatIsNewer(t *testing.T) {
	m := memory.New(1<<20, nil)
	defer m.Close()
	old, newer := object.New(200, freshness.Terms{}, &exchange.Fields{}, "u", nil, []byte("old")), object.New(200, freshness.Terms{}, &exchange.Fields{}, "u", nil, []byte("new"))
	k := object.Key{1}
	if m.Add(k, old); m.Peek(k) != old {
		t.Error("what was not there was not added")
	}
	m.Put(k, newer)
	if m.Add(k, old); m.Peek(k) != newer {
		t.Error("what is newer was overwritten")
	}
}
