package disk

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The index against a slow one: two lists of what is there, the last used first.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex()
		sh := x.shard(id{})
		type slow struct {
			id   id
			size int64
		}
		var lists [2][]slow
		bytes := func(l []slow) (n int64) {
			for _, e := range l {
				n += taken(e.size)
			}
			return n
		}
		find := func(i id) (which, at int) {
			for which, l := range lists {
				if at := slices.IndexFunc(l, func(e slow) bool { return e.id == i }); at >= 0 {
					return which, at
				}
			}
			return 0, -1
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			var i id
			binary.LittleEndian.PutUint16(i[:], uint16(rapid.IntRange(0, 20).Draw(t, "id")))
			which, at := find(i)
			e := sh.find(i)
			if (e != nil) != (at >= 0) {
				t.Fatalf("%v is there: %v", i, e != nil)
			}
			size := rapid.Int64Range(0, 50_000).Draw(t, "size")
			switch op := rapid.IntRange(0, 4).Draw(t, "op"); {
			case e == nil:
				old := op == 0
				x.used.Add(taken(size))
				x.insert(sh, i, 1, size, false, old)
				if old {
					lists[probation] = append(lists[probation], slow{i, size})
				} else {
					lists[probation] = slices.Insert(lists[probation], 0, slow{i, size})
				}
			case op == 0:
				if x.remove(sh, e) != fileName(i, 1) {
					t.Fatal("another name")
				}
				lists[which] = slices.Delete(lists[which], at, at+1)
			case op == 1:
				x.resize(sh, e, size)
				lists[which][at].size = size
			default:
				sh.touch(e)
				this := lists[which][at]
				lists[which] = slices.Delete(lists[which], at, at+1)
				lists[protected] = slices.Insert(lists[protected], 0, this)
				for len(lists[protected]) > 1 && bytes(lists[protected])*5 > 4*(bytes(lists[protected])+bytes(lists[probation])) {
					last := len(lists[protected]) - 1
					lists[probation] = slices.Insert(lists[probation], 0, lists[protected][last])
					lists[protected] = lists[protected][:last]
				}
			}
			for which := range lists {
				var there []slow
				for n := sh.lists[which].first; n != 0; n = sh.entries[n].next {
					there = append(there, slow{sh.entries[n].id, sh.entries[n].size})
				}
				if !slices.Equal(there, lists[which]) || sh.lists[which].bytes != bytes(there) {
					t.Fatalf("list %d: %v, want %v", which, there, lists[which])
				}
				slices.Reverse(there)
				for n := sh.lists[which].last; n != 0; n = sh.entries[n].prev {
					if there[0].id != sh.entries[n].id {
						t.Fatal("backwards it is another")
					}
					there = there[1:]
				}
			}
			if total := len(lists[0]) + len(lists[1]); x.used.Load() != bytes(lists[0])+bytes(lists[1]) || int(x.objects.Load()) != total || len(sh.slots) != total {
				t.Fatal("the sums are wrong")
			}
		}
	})
}

// What an object takes of memory is what Options says.
func BenchmarkIndexMemory(b *testing.B) {
	for b.Loop() {
		x := newIndex()
		for n := range uint64(1_000_000) {
			var i id
			binary.LittleEndian.PutUint64(i[:], n*0x9e3779b97f4a7c15)
			binary.LittleEndian.PutUint64(i[8:], n*0xbf58476d1ce4e5b9)
			x.insert(x.shard(i), i, 1, 1, true, false)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := start(b, settings(b))
	<-s.found
	put(b, s, "small-1000", "large-100000")
	for _, name := range []string{"small-1000", "large-100000", "none"} {
		k := key(name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if o := s.Get(k); o != nil && o.File != nil {
					o.File.Release()
				}
			}
		})
	}
}
