package balance

import (
	"fmt"
	"strconv"
	"testing"
)

func BenchmarkPick(b *testing.B) {
	for kind := LeastRequests; kind <= Sticky; kind++ {
		for _, n := range []int{2, 10, 100} {
			for _, busy := range []bool{false, true} {
				if busy && kind != LeastRequests {
					continue // only its cost depends on what is in flight
				}
				name := fmt.Sprintf("%v/%d", kind, n)
				if busy {
					name += "/busy"
				}
				b.Run(name, func(b *testing.B) {
					members := make([]Member, n)
					for i := range members {
						members[i] = Member{ID: "10.0.0." + strconv.Itoa(i), Weight: 1, Load: &Load{}}
						members[i].Load.Observe(0, int64(i))
						if busy {
							members[i].Load.Begin()
						}
					}
					balancer, err := New(members, Settings{Kind: kind, Bound: 125})
					if err != nil {
						b.Fatal(err)
					}
					b.ReportAllocs()
					key := uint64(0)
					for b.Loop() {
						key += golden
						balancer.Pick(key, key, 1<<20, Tried{})
					}
				})
			}
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	var l Load
	now := int64(0)
	for b.Loop() {
		now += 1 << tick
		l.Begin()
		l.Observe(now, 1000+now>>tick&255)
		l.End()
	}
}
