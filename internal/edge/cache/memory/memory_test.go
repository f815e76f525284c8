package memory

import (
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ object.Store = (*Store)(nil)

func TestKeeps(t *testing.T) {
	s := New(1<<20, nil)
	defer s.Close()
	a, b := objectOf(100), objectOf(200)
	if s.Get(keyAt(1)) != nil {
		t.Fatal("an empty store has something")
	}
	s.Put(keyAt(1), a)
	if s.Get(keyAt(1)) != a {
		t.Fatal("what was put is not there")
	}
	s.Put(keyAt(1), b)
	if s.Get(keyAt(1)) != b {
		t.Fatal("what was put in its place is not there")
	}
	want := Figures{Objects: 1, Bytes: b.Size(), Room: 1 << 20, Hits: 2, Misses: 1, Stored: 2}
	if f := s.Figures(); f != want {
		t.Fatalf("found %+v, want %+v", f, want)
	}
	s.Delete(keyAt(1))
	s.Delete(keyAt(1))
	if s.Get(keyAt(1)) != nil {
		t.Fatal("what was removed is there")
	}
	if f := s.Figures(); f.Objects != 0 || f.Bytes != 0 || f.Evicted != 0 {
		t.Fatalf("found %+v after all was removed", f)
	}
}

func TestRefuses(t *testing.T) {
	s := New(64<<10, nil)
	defer s.Close()
	inFile := objectOf(100)
	inFile.File = file{}
	for name, o := range map[string]*object.Object{
		"larger than an eighth": objectOf(8 << 10),
		"in a file":             inFile,
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Figures()
			s.Put(keyAt(1), objectOf(100))
			s.Put(keyAt(1), o)
			if s.Get(keyAt(1)) != nil {
				t.Error("it was kept, or what it replaces is still there")
			}
			if f := s.Figures(); f.Rejected != before.Rejected+1 || f.Bytes != 0 {
				t.Errorf("found %+v", f)
			}
		})
	}
	fits := objectOf(7 << 10)
	if s.Put(keyAt(2), fits); s.Get(keyAt(2)) != fits {
		t.Error("an object of less than an eighth was not kept")
	}
	none := New(0, nil)
	defer none.Close()
	if none.Put(keyAt(1), objectOf(0)); none.Get(keyAt(1)) != nil {
		t.Error("a store without room keeps something")
	}
}

type file struct{}

func (file) Open() (*os.File, int64, bool)     { return nil, 0, false }
func (file) ReadAt([]byte, int64) (int, error) { return 0, nil }
func (file) Release()                          {}

// TestEvictedIsTold also compares what the store says it has with what it has.
func TestEvictedIsTold(t *testing.T) {
	told := map[object.Key]*object.Object{}
	s := New(1<<20, func(k object.Key, o *object.Object) { told[k] = o })
	defer s.Close()
	put := map[object.Key]*object.Object{}
	for i := range 1000 {
		put[keyAt(i)] = objectOf(i * 8)
		s.Put(keyAt(i), put[keyAt(i)])
	}
	var bytes int64
	objects := 0
	s.Each(func(k object.Key, o *object.Object) bool {
		if put[k] != o || told[k] != nil {
			t.Error("an object is kept that was never put, or was evicted")
		}
		bytes += o.Size()
		objects++
		return true
	})
	f := s.Figures()
	if f.Bytes != bytes || f.Objects != objects || bytes > f.Room || f.Evicted != uint64(len(told)) || len(told)+objects != 1000 {
		t.Errorf("found %d objects of %d bytes, %d were evicted; the figures are %+v", objects, bytes, len(told), f)
	}
	if objects < 100 {
		t.Errorf("found %d objects in a store that is full", objects)
	}
	seen := 0
	s.Each(func(object.Key, *object.Object) bool { seen++; return seen < 3 })
	if seen != 3 {
		t.Errorf("found %d objects after the third was enough", seen)
	}
}

func TestResize(t *testing.T) {
	s := New(1<<20, nil)
	defer s.Close()
	fill := func() {
		for i := range 2000 {
			s.Put(keyAt(i), objectOf(1000))
		}
	}
	fill()
	for _, room := range []int64{1 << 18, 0, 1 << 21} {
		s.Resize(room)
		if f := s.Figures(); f.Bytes > room || f.Room != room {
			t.Fatalf("found %+v with room for %d bytes", f, room)
		}
		if fill(); room > 0 && s.Figures().Bytes < room*9/10 {
			t.Fatalf("found %+v with room for %d bytes, after 2,000,000 were put", s.Figures(), room)
		}
		if f := s.Figures(); f.Bytes > room {
			t.Fatalf("found %+v with room for %d bytes", f, room)
		}
	}
}

// TestBoundHoldsInParallel watches the bytes while many put, some of them the same keys and some as large as may be.
func TestBoundHoldsInParallel(t *testing.T) {
	const most = 4 << 20
	s := New(most, func(_ object.Key, o *object.Object) {
		if o == nil {
			t.Error("what was evicted is told without its object")
		}
	})
	defer s.Close()
	var putting sync.WaitGroup
	for g := range 16 {
		putting.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 0))
			for range 5000 {
				k := keyAt(r.IntN(10_000))
				switch r.IntN(8) {
				case 0:
					s.Delete(k)
				case 1, 2:
					s.Get(k)
				default:
					s.Put(k, objectOf(r.IntN(len(room))))
				}
				if f := s.Figures(); f.Bytes > most {
					t.Errorf("found %d bytes in a room of %d", f.Bytes, f.Room)
					return
				}
			}
		})
	}
	putting.Wait()
	f := s.Figures()
	var kept int64
	objects := 0
	s.Each(func(_ object.Key, o *object.Object) bool { kept += o.Size(); objects++; return true })
	if f.Bytes != kept || f.Objects != objects || f.Bytes < most*9/10 || f.Evicted == 0 || f.Rejected > 0 {
		t.Errorf("found %d objects of %d bytes, and %+v", objects, kept, f)
	}
}

// TestScan asks for ten times what fits, once each, and then for what was in use before.
func TestScan(t *testing.T) {
	const objects = 1000
	s := New(objects*objectOf(1000).Size(), nil)
	defer s.Close()
	ask := func(n int) bool {
		if s.Get(keyAt(n)) != nil {
			return true
		}
		s.Put(keyAt(n), objectOf(1000))
		return false
	}
	for range 20 {
		for n := range objects / 10 {
			ask(n)
		}
	}
	for n := range 10 * objects {
		ask(1_000_000 + n)
	}
	kept := 0
	for n := range objects / 10 {
		if s.Get(keyAt(n)) != nil {
			kept++
		}
	}
	if kept < objects/10*95/100 {
		t.Errorf("found %d of %d objects that were in use, after a scan", kept, objects/10)
	}
}

// TestSizeIsWhatTheHeapSays compares the sum of sizes with the growth of the heap.
func TestSizeIsWhatTheHeapSays(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	var fields exchange.Fields
	fields.Add("Content-Type", "application/json")
	fields.Add("Cache-Control", "max-age=3600, stale-while-revalidate=60")
	fields.Add("X-Backend", "a7")
	for name, size := range map[string]func(r *rand.Rand) int{
		"small":  func(r *rand.Rand) int { return r.IntN(300) },
		"medium": func(r *rand.Rand) int { return r.IntN(20_000) },
		"large":  func(r *rand.Rand) int { return 30_000 + r.IntN(100_000) },
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			n := 20_000_000 / size(r) / 4
			n = min(n, 50_000)
			before := heap()
			s := New(1<<30, nil)
			for i := range n {
				s.Put(keyAt(i), object.New(200, freshness.Terms{}, &fields, "https://api.example.com/orders/1", []string{"orders", "o-1"}, make([]byte, size(r))))
			}
			grown := heap() - before
			said := s.Figures().Bytes
			t.Logf("%d objects: the heap grew by %d bytes, the store says %d (%+.1f %%)", n, grown, said, 100*float64(said-grown)/float64(grown))
			if said < grown*95/100 || said > grown*110/100 {
				t.Errorf("the heap grew by %d bytes, and the store says it keeps %d", grown, said)
			}
			s.Close()
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestGetAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := New(1<<20, nil)
	defer s.Close()
	for i := range 100 {
		s.Put(keyAt(i), objectOf(100))
	}
	k, missing := keyAt(1), keyAt(-1)
	if n := testing.AllocsPerRun(1000, func() {
		if s.Get(k) == nil || s.Get(missing) != nil {
			t.Fatal("found what is not there, or not what is")
		}
	}); n > 0 {
		t.Errorf("a hit and a miss allocate %v times", n)
	}
}

func BenchmarkHit(b *testing.B) {
	for name, n := range map[string]int{"20000": 20_000, "full": 200_000} {
		b.Run(name, func(b *testing.B) {
			s := New(40_000*objectOf(1000).Size(), nil)
			defer s.Close()
			names := make([]object.Key, n)
			for i := range names {
				names[i] = keyAt(i)
				s.Put(names[i], objectOf(1000))
			}
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				r := rand.New(rand.NewPCG(1, rand.Uint64()))
				for p.Next() {
					s.Get(names[r.IntN(20_000)])
				}
			})
		})
	}
}

func BenchmarkPut(b *testing.B) {
	s := New(40_000*objectOf(1000).Size(), nil)
	defer s.Close()
	names := make([]object.Key, 1<<17)
	for i := range names {
		names[i] = keyAt(i)
	}
	o := objectOf(1000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Put(names[i&(len(names)-1)], o)
		i++
	}
}

// BenchmarkCollect is a cycle of the garbage collector with many objects: what is kept should cost it little.
func BenchmarkCollect(b *testing.B) {
	for name, n := range map[string]int{"none": 0, "200000": 200_000} {
		b.Run(name, func(b *testing.B) {
			s := New(1<<30, nil)
			defer s.Close()
			for i := range n {
				s.Put(keyAt(i), objectOf(1000))
			}
			for b.Loop() {
				runtime.GC()
			}
		})
	}
}
