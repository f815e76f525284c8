package consumer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// million is a file of n credentials, each with a consumer of its own.
func million(n int) (file []byte, hashes [][32]byte) {
	var b bytes.Buffer
	hashes = make([][32]byte, n)
	for i := range n {
		hashes[i] = numbered(i)
		fmt.Fprintf(&b, "api_key=%s consumer=customer-%07d id=%08x plan=gold groups=partners,eu scopes=orders:read,orders:write expires=2031-01-31\n", FormatHash(hashes[i]), i, i)
	}
	return b.Bytes(), hashes
}

func numbered(i int) [32]byte {
	var raw [8]byte
	binary.LittleEndian.PutUint64(raw[:], uint64(i))
	return Hash(string(raw[:]))
}

func load(tb testing.TB, file []byte) *Directory {
	tb.Helper()
	b := NewBuilder()
	if err := b.Plan(&Plan{Name: "gold"}); err != nil {
		tb.Fatal(err)
	}
	if err := b.ReadFile("file", bytes.NewReader(file)); err != nil {
		tb.Fatal(err)
	}
	return b.Build()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A million credentials and as many consumers take less than 200 bytes for each pair.
func TestMillion(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("needs 500 MB")
	}
	const n = 1_000_000
	file, hashes := million(n)
	before := heap()
	began := time.Now()
	d := load(t, file)
	took := time.Since(began)
	each := float64(heap()-before) / n
	t.Logf("%d credentials with their consumers from a file of %d MiB in %v, %.0f bytes each", n, len(file)>>20, took.Round(time.Millisecond), each)
	if each > 200 {
		t.Errorf("%.0f bytes for each", each)
	}
	if consumers, credentials := d.Len(); consumers != n || credentials != n {
		t.Errorf("%d consumers, %d credentials", consumers, credentials)
	}
	for i := 0; i < n; i += 997 {
		id := fmt.Sprintf("customer-%07d", i)
		c, ok := d.Key(hashes[i])
		if !ok || c.ID != fmt.Sprintf("%08x", i) || c.Consumer.ID != id || c.Consumer != d.Consumer(id) || c.ScopeList != "orders:read orders:write" || c.Consumer.GroupList != "eu,partners" || c.Consumer.Plan.Name != "gold" {
			t.Fatalf("%d: %+v, %v", i, c, ok)
		}
		if _, ok := d.Key(numbered(n + i)); ok {
			t.Fatalf("%d was found", n+i)
		}
	}
	runtime.KeepAlive(file)
}

func BenchmarkLoad(b *testing.B) {
	const n = 100_000
	file, _ := million(n)
	b.ReportAllocs()
	for b.Loop() {
		load(b, file)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/credential")
}

func BenchmarkKey(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000} {
		file, hashes := million(n)
		d := load(b, file)
		file = nil
		runtime.GC()
		measure := func(name string, hash func(i int) [32]byte, want bool) {
			shown := make([][32]byte, 1<<16) // in a row, as the reader's own cache misses do not count
			for i := range shown {
				shown[i] = hash(i * 7919 % n)
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, ok := d.Key(shown[i%len(shown)]); ok != want {
						b.Fatal(ok)
					}
				}
			})
		}
		measure("known", func(i int) [32]byte { return hashes[i] }, true)
		measure("unknown", func(i int) [32]byte { return numbered(n + i) }, false)
	}
}
