package memory

import (
	"testing"

	"straum.dev/straum/internal/edge/cache/object"
)

// newPolicy is a policy with a window of 200 and a main part of 800, of which it protects 640; dropped are the keys it evicts.
func newPolicy() (p *policy, dropped map[object.Key]bool) {
	p, dropped = &policy{}, map[object.Key]bool{}
	p.init(func(e *entry) { dropped[e.key] = true })
	p.resize(1000)
	return p, dropped
}

func (p *policy) putNew(n int, size int64) *entry {
	e := &entry{key: keyAt(n)}
	p.put(e, size)
	return e
}

// TestProtects has an entry that was asked for again outlive those that were not.
func TestProtects(t *testing.T) {
	p, dropped := newPolicy()
	var entries []*entry
	for n := range 10 {
		entries = append(entries, p.putNew(n, 100))
	}
	oldest := entries[0]
	if oldest.segment != &p.probation || entries[9].segment != &p.window {
		t.Fatal("the first is not in the main part, or the last not in the window")
	}
	p.read(oldest)
	if oldest.segment != &p.protected {
		t.Fatal("what was asked for again is not protected")
	}
	for n := 10; n < 40; n++ {
		e := p.putNew(n, 100)
		for range 3 {
			p.read(e) // more often than all before, so that it gets into the main part
		}
	}
	if !dropped[entries[1].key] || dropped[oldest.key] {
		t.Error("what was protected was evicted, or nothing else was")
	}
	if p.protected.bytes > p.protected.room || p.bytes() > p.room {
		t.Errorf("found %d bytes of %d protected, and %d of %d in all", p.protected.bytes, p.protected.room, p.bytes(), p.room)
	}
}

// TestDemotes has more asked for again than can be protected.
func TestDemotes(t *testing.T) {
	p, _ := newPolicy()
	var entries []*entry
	for n := range 10 {
		entries = append(entries, p.putNew(n, 100))
	}
	for _, e := range entries[:8] {
		p.read(e)
	}
	if p.protected.bytes != 600 || entries[0].segment != &p.probation || entries[1].segment != &p.probation || entries[2].segment != &p.protected {
		t.Errorf("found %d bytes protected; the two that were asked for first should not be", p.protected.bytes)
	}
}

// TestWorth has a large entry want the place of several.
func TestWorth(t *testing.T) {
	for _, c := range []struct {
		asked int
		want  bool
	}{{3, false}, {4, false}, {5, true}} {
		p, dropped := newPolicy()
		for n := range 10 {
			p.putNew(n, 100) // asked for once each
		}
		large := &entry{key: keyAt(100)}
		for range c.asked - 1 {
			p.asked.add(&large.key, p.entries)
		}
		p.put(large, 400) // larger than the window: in place of four
		if kept := !dropped[large.key]; kept != c.want {
			t.Errorf("kept is %v for one that was asked for %d times, in place of four that were asked for once", kept, c.asked)
		}
		want := 0
		if !c.want {
			want = 1
		} else if want = 4; p.bytes() > p.room {
			t.Errorf("found %d bytes in a room of %d", p.bytes(), p.room)
		}
		if len(dropped) != want {
			t.Errorf("%d were evicted, want %d", len(dropped), want)
		}
	}
}

// TestNewSize puts in the place of what is there.
func TestNewSize(t *testing.T) {
	p, dropped := newPolicy()
	var entries []*entry
	for n := range 10 {
		entries = append(entries, p.putNew(n, 100))
	}
	p.read(entries[0])
	p.put(entries[0], 300)
	if entries[0].segment != &p.protected || p.bytes() != 1000 || p.entries != 8 || len(dropped) != 2 || !dropped[keyAt(1)] || !dropped[keyAt(2)] {
		t.Errorf("found %d bytes in %d entries, and %d evicted; the two oldest should have made room", p.bytes(), p.entries, len(dropped))
	}
}

func TestSketch(t *testing.T) {
	var s sketch
	s.init()
	asked := func(n, times int) {
		k := keyAt(n)
		for range times {
			s.add(&k, 1)
		}
	}
	often := func(n int) int { k := keyAt(n); return s.often(&k) }
	for n := range 200 {
		asked(n, n%10)
	}
	over := 0
	for n := range 200 {
		switch got := often(n); {
		case got < n%10:
			t.Fatalf("found %d for what was asked for %d times", got, n%10)
		case got > n%10:
			over++
		}
	}
	if over > 5 {
		t.Errorf("%d of 200 were counted too high", over)
	}
	asked(1000, 100)
	if often(1000) != most {
		t.Errorf("found %d, want no more than %d", often(1000), most)
	}
	blocks := len(s.blocks)
	k := keyAt(1)
	s.add(&k, blocks*perBlock+1)
	if len(s.blocks) != 2*blocks || often(1000) != most || often(9) < 9 {
		t.Errorf("found %d blocks, and %d and %d in them after it grew", len(s.blocks), often(1000), often(9))
	}
	for n := 2000; often(1000) > most/2; n++ {
		if asked(n, 1); n > 2000+2*lately*perBlock*len(s.blocks) {
			t.Fatal("what is not asked for any more counts as before")
		}
	}
}
