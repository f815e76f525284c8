package ban

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func v4(i uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], i)
	return netip.AddrFrom4(b)
}

// Ten million addresses that do a little each leave memory flat, drive out nobody who did more, and are not banned.
func TestFlood(t *testing.T) {
	n := 10_000_000
	if testing.Short() || raceEnabled {
		n = 300_000
	}
	s := newScene(t, nil)
	before := inUse()
	worst := []string{"203.0.113.7", "2001:db8::1", "203.0.113.8"}
	for _, a := range worst {
		s.strike(a, AuthFailed, 9) // 90 of 100
	}
	for i := range n {
		s.Strike(v4(0x0b000000+uint32(i)), NotFound, int64(time.Hour)+int64(i)) // all within 10 ms
	}
	grown := int64(inUse()) - int64(before)
	f := s.Figures()
	t.Logf("%d addresses: %.1f MB, %d with a score, %d evicted", n, float64(grown)/1e6, f.Scored, f.Evicted)
	if grown > 20e6 {
		t.Errorf("%d bytes", grown)
	}
	if f.Scored > maxScores || f.Evicted == 0 || f.Bans[Refuse] != 0 {
		t.Errorf("%+v", f)
	}
	for _, a := range worst {
		if score := s.Why(addr(a)).Score; score < 89 {
			t.Errorf("%s has %v left", a, score)
		}
		s.strike(a, AuthFailed, 2)
		s.rung(a, Refuse)
	}
	// Good consumers are told apart in room that does not grow either.
	before = inUse()
	for i := range min(n, 1_000_000) {
		s.Good(v4(0x0b000000+uint32(i)), "acme", int64(time.Hour))
	}
	if grown := int64(inUse()) - int64(before); grown > 3e6 {
		t.Errorf("%d bytes of evidence", grown)
	}
}

// A flood cannot spare itself, nor drive out evidence so that others lose it unnoticed beyond what the room is: it has no consumers.
func TestFloodWithoutConsumers(t *testing.T) {
	s := newScene(t, nil)
	s.good("203.0.113.7", "ann", "ben", "cat")
	for i := range 300_000 {
		s.Strike(v4(0x0b000000+uint32(i)), NotFound, int64(time.Hour))
	}
	s.strike("203.0.113.7", Suspect, 5)
	s.rung("203.0.113.7", None)
}

// banMany bans addresses by score, without widening.
func banMany(tb testing.TB, n int) *scene {
	s := newScene(tb, func(s *Settings) { s.Threshold, s.Hosts, s.Consumers = 1, 0, 0 })
	if _, bench := tb.(*testing.B); bench {
		s.told = nil
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		if i%4 == 3 {
			var b [16]byte
			binary.BigEndian.PutUint64(b[:], 0x2000<<48|r.Uint64()>>3)
			s.Strike(netip.AddrFrom16(b), Suspect, int64(time.Hour))
			continue
		}
		s.Strike(v4(0x01000000+r.Uint32()%0xde000000), Suspect, int64(time.Hour))
	}
	return s
}

// Many bans are kept and read again, and end together.
func TestMany(t *testing.T) {
	n := 50_000
	if raceEnabled {
		n = 2000
	}
	s := banMany(t, n)
	s.chores()
	n = s.Figures().Bans[Refuse]
	s.restart(nil)
	if got := s.Figures().Bans[Refuse]; got != n {
		t.Errorf("%d bans, want %d", got, n)
	}
	s.chores()
	if len(s.changes) != n {
		t.Errorf("told of %d, want %d", len(s.changes), n)
	}
	s.changes = nil
	s.strike("203.0.113.7", Suspect, 5)
	s.pass(10*time.Minute - time.Millisecond)
	s.rung("203.0.113.7", Refuse)
	s.at += time.Millisecond
	s.chores()
	s.is()
	if s.chores(); len(s.changes) != n+2 { // one came and went
		t.Errorf("told of %d, want %d", len(s.changes), n+2)
	}
	if f := s.Figures(); f.Ended != uint64(n+1) || f.Bans != [Kernel + 1]int{} || f.Remembered != n+1 {
		t.Errorf("%+v", f)
	}
}

// BenchmarkMillion makes a million bans at random addresses, keeps them, reads them and ends them: what that takes.
func BenchmarkMillion(b *testing.B) {
	for b.Loop() {
		before := inUse()
		start := time.Now()
		s := banMany(b, 1_000_000)
		n := float64(s.Figures().Bans[Refuse])
		b.ReportMetric(time.Since(start).Seconds()/n*1e9, "ns/ban")
		s.chores()
		b.ReportMetric(float64(inUse()-before)/n, "B/ban")
		s.dirty = true
		start = time.Now()
		if err := s.Save(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/save")
		s.Close()
		start = time.Now()
		s.open()
		s.told = nil
		s.use(nil)
		b.ReportMetric(time.Since(start).Seconds(), "s/read")
		start = time.Now()
		s.pass(10 * time.Minute)
		b.ReportMetric(time.Since(start).Seconds(), "s/end")
	}
}

// BenchmarkRung looks up addresses, among none, a few and a million bans.
func BenchmarkRung(b *testing.B) {
	for _, n := range []int{0, 100, 1_000_000} {
		s := banMany(b, n)
		var list []netip.Addr
		for i := range 1 << 12 {
			list = append(list, v4(0x01000000+rand.Uint32()%0xde000000))
			if i%4 == 0 {
				list[i] = addr(fmt.Sprintf("2001:db8:%x::1", i))
			}
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			i, hits := 0, 0
			for b.Loop() {
				if s.Refuses(list[i&(1<<12-1)]) {
					hits++
				}
				i++
			}
		})
	}
}

// BenchmarkStrike counts against many addresses, and against one.
func BenchmarkStrike(b *testing.B) {
	for _, n := range []uint32{1, 10_000, 10_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newScene(b, func(s *Settings) { s.Threshold = 1e18 })
			b.ReportAllocs()
			i := uint32(0)
			for b.Loop() {
				s.Strike(v4(0x0b000000+i*7919%n), NotFound, int64(time.Hour)+int64(i))
				i++
			}
		})
	}
}

// BenchmarkGood notes good requests of one consumer, and of many from many addresses.
func BenchmarkGood(b *testing.B) {
	var names []string
	for i := range 1024 {
		names = append(names, fmt.Sprintf("consumer-%04d", i))
	}
	for _, n := range []uint32{1, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newScene(b, nil)
			b.ReportAllocs()
			i := uint32(0)
			for b.Loop() {
				s.Good(v4(0x0b000000+i%n), names[i%n], int64(time.Hour)+int64(i)*1000)
				i++
			}
		})
	}
}

// BenchmarkBan makes bans, the first and in a table of a million.
func BenchmarkBan(b *testing.B) {
	for _, n := range []int{0, 999_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := banMany(b, n)
			b.ReportAllocs()
			i := uint32(0)
			for b.Loop() {
				s.Strike(v4(0xdf000000+i*7919%(1<<24)), Suspect, int64(time.Hour))
				i++
			}
		})
	}
}

// Nothing is allocated by what exchanges ask and tell.
func TestNothingIsAllocated(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := banMany(t, 1000)
	s.use(func(s *Settings) { s.Threshold = 1e18 })
	a, b := addr("203.0.113.7"), addr("2001:db8::1")
	s.Strike(a, NotFound, int64(time.Hour))
	s.Strike(b, NotFound, int64(time.Hour))
	if n := testing.AllocsPerRun(1000, func() {
		s.Refuses(a)
		s.Drops(b)
		s.Strike(a, NotFound, int64(time.Hour))
		s.Strike(b, NotFound, int64(time.Hour))
		s.Good(a, "acme", int64(time.Hour))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
