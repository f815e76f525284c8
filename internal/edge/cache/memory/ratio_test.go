package memory

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// keyAt is the key of the n-th of something.
func keyAt(n int) object.Key {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	return sha256.Sum256(b[:])
}

// room is what bodies of tests are runs of: an object counts the run as its own.
var room [64 << 10]byte

func objectOf(bytes int) *object.Object {
	return object.New(200, freshness.Terms{}, new(exchange.Fields), "", nil, room[:bytes:bytes])
}

// zipf draws numbers below n: the i-th is drawn in proportion to 1/(i+1)^s. math/rand's takes no s of 1 or less.
type zipf struct{ sums []float64 }

func newZipf(n int, s float64) *zipf {
	z := &zipf{make([]float64, n)}
	sum := 0.0
	for i := range z.sums {
		sum += math.Pow(float64(i+1), -s)
		z.sums[i] = sum
	}
	return z
}

func (z *zipf) draw(r *rand.Rand) int {
	x := r.Float64() * z.sums[len(z.sums)-1]
	return sort.SearchFloat64s(z.sums, x)
}

// cache is what is compared: ask says whether the key was there, and puts it if it was not.
type cache interface {
	fmt.Stringer
	ask(key int, size int64) bool
}

// TestHitRatio compares the store with plain LRU and with the simplest W-TinyLFU there is, on requests for 100,000 objects of 200 B to 64 KiB with
// room for a tenth of their bytes. Their popularity is Zipf's; in bursts, half of the requests are for others that are asked for a few times in a row
// and never again.
func TestHitRatio(t *testing.T) {
	if raceEnabled {
		t.Skip("it is about figures, and one goroutine")
	}
	const keys, requests = 100_000, 1_000_000
	objects := make([]*object.Object, 4*keys)
	names := make([]object.Key, len(objects))
	var all int64
	r := rand.New(rand.NewPCG(1, 2))
	for i := range objects {
		objects[i] = objectOf(int(200 * math.Pow(float64(len(room))/200, r.Float64())))
		names[i] = keyAt(i)
		if i < keys {
			all += objects[i].Size()
		}
	}
	budget := all / 10
	steady, flat := newZipf(keys, 1), newZipf(keys, 0.8)
	for name, load := range map[string]func(i int, r *rand.Rand) int{
		"zipf 1.0": func(_ int, r *rand.Rand) int { return steady.draw(r) },
		"zipf 0.8": func(_ int, r *rand.Rand) int { return flat.draw(r) },
		"bursts": func(i int, r *rand.Rand) int {
			if r.IntN(2) == 0 {
				return steady.draw(r)
			}
			return keys + (i/4+r.IntN(2000))%(3*keys)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ratio := func(c cache) float64 {
				r := rand.New(rand.NewPCG(3, 4))
				hits, hitBytes, bytes := 0, int64(0), int64(0)
				for i := range requests {
					k := load(i, r)
					size := objects[k].Size()
					hit := c.ask(k, size)
					if i < requests/5 {
						continue // it fills
					}
					bytes += size
					if hit {
						hits++
						hitBytes += size
					}
				}
				ratio := 100 * float64(hits) / (requests * 4 / 5)
				t.Logf("%-10s %.2f %% of requests, %.2f %% of bytes", c, ratio, 100*float64(hitBytes)/float64(bytes))
				return ratio
			}
			store := New(budget, nil)
			defer store.Close()
			best := max(ratio(newLRU(budget)), ratio(newTinyLFU(budget)))
			if got := ratio(asked{store, objects, names}); got < best-2 {
				t.Errorf("found %.2f %% of requests, more than 2 points below %.2f", got, best)
			}
		})
	}
}

type asked struct {
	*Store
	objects []*object.Object
	names   []object.Key
}

func (asked) String() string    { return "store" }
func (*lru) String() string     { return "lru" }
func (*tinyLFU) String() string { return "w-tinylfu" }

func (a asked) ask(key int, size int64) bool {
	if a.Get(a.names[key]) != nil {
		return true
	}
	a.Put(a.names[key], a.objects[key])
	return false
}

// lru drops what was not asked for for the longest time.
type lru struct {
	room, bytes int64
	list        *list.List
	at          map[int]*list.Element
}

type item struct {
	key  int
	size int64
	part *stretch
}

func newLRU(room int64) *lru { return &lru{room: room, list: list.New(), at: map[int]*list.Element{}} }

func (c *lru) ask(key int, size int64) bool {
	if e := c.at[key]; e != nil {
		c.list.MoveToFront(e)
		return true
	}
	c.at[key] = c.list.PushFront(&item{key: key, size: size})
	for c.bytes += size; c.bytes > c.room; {
		last := c.list.Remove(c.list.Back()).(*item)
		delete(c.at, last.key)
		c.bytes -= last.size
	}
	return false
}

// tinyLFU is W-TinyLFU as the paper has it: a window of 1 %, a main part in two stretchs, exact counts up to 15 that are halved.
type tinyLFU struct {
	window, probation, protected stretch
	at                           map[int]*list.Element
	counts                       map[int]int
	counted                      int
}

type stretch struct {
	list        *list.List
	room, bytes int64
}

func (s *stretch) push(i *item) *list.Element {
	s.bytes += i.size
	i.part = s
	return s.list.PushFront(i)
}

func (s *stretch) drop(e *list.Element) *item {
	i := s.list.Remove(e).(*item)
	s.bytes -= i.size
	return i
}

func newTinyLFU(room int64) *tinyLFU {
	window := room / 100
	return &tinyLFU{
		stretch{list.New(), window, 0}, stretch{list.New(), room - window, 0}, stretch{list.New(), (room - window) * 8 / 10, 0},
		map[int]*list.Element{}, map[int]int{}, 0,
	}
}

func (c *tinyLFU) ask(key int, size int64) bool {
	c.counts[key] = min(15, c.counts[key]+1)
	if c.counted++; c.counted > 10*max(1000, len(c.at)) {
		c.counted /= 2
		for k := range c.counts {
			if c.counts[k] /= 2; c.counts[k] == 0 {
				delete(c.counts, k)
			}
		}
	}
	if e := c.at[key]; e != nil {
		i := e.Value.(*item)
		switch i.part {
		case &c.probation:
			c.at[key] = c.protected.push(c.probation.drop(e))
			for c.protected.bytes > c.protected.room {
				i := c.protected.drop(c.protected.list.Back())
				c.at[i.key] = c.probation.push(i)
			}
		default:
			i.part.list.MoveToFront(e)
		}
		return true
	}
	c.at[key] = c.window.push(&item{key: key, size: size})
	for c.window.bytes > c.window.room {
		c.admit(c.window.drop(c.window.list.Back()))
	}
	return false
}

func (c *tinyLFU) admit(i *item) {
	for c.probation.bytes+c.protected.bytes+i.size > c.probation.room {
		from := &c.probation
		if from.list.Len() == 0 {
			from = &c.protected
		}
		victim := from.list.Back()
		if c.counts[victim.Value.(*item).key] >= c.counts[i.key] {
			delete(c.at, i.key)
			return
		}
		delete(c.at, from.drop(victim).key)
	}
	c.at[i.key] = c.probation.push(i)
}
