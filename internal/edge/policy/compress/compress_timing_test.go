package compress

import (
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policytest"
)

// again is content of one run that can be sent again and again.
type again struct {
	run  []byte
	read bool
}

func (a *again) Buffered() bool { return true }
func (a *again) Next() ([]byte, error) {
	if a.read {
		return nil, io.EOF
	}
	a.read = true
	return a.run, nil
}

// loop is one exchange that is answered again and again.
type loop struct {
	r       *policytest.Running
	x       *exchange.Exchange
	content again
	length  int64
}

func newLoop(t testing.TB, options, lines string, size int, known bool) *loop {
	l := &loop{r: policytest.New(t).Policy(Kind, options), content: again{run: []byte(jsonOf(size))}, length: exchange.Unknown}
	l.x = l.r.Request("GET / HTTP/1.1\nHost: a\n" + lines)
	if known {
		l.length = int64(len(l.content.run))
	}
	return l
}

// pass takes one answer through step 9 to its end. It returns how many bytes the client gets.
func (l *loop) pass(t testing.TB) (n int) {
	x := l.x
	request, conn := x.Request, x.Conn
	x.Request = exchange.Request{}
	x.Begin(conn, 1) // room for texts is used again
	x.Request = request
	l.content.read = false
	x.Response.Status, x.Response.Length, x.Response.Body = 200, l.length, &l.content
	x.Response.Header.Append(exchange.ContentType, "Content-Type", "application/json")
	x.Response.Header.Append(exchange.ETag, "ETag", `"a"`)
	l.r.Chain.Response(x)
	for {
		run, err := x.Response.Body.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += len(run)
	}
	x.Settle()
	return n
}

// TestAllocations: nothing is allocated, compressed or not, once encoders are there.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	for _, lines := range []string{"", "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Encoding: gzip", "Accept-Encoding: br"} {
		for _, known := range []bool{true, false} {
			l := newLoop(t, "{}", lines, 10<<10, known)
			l.pass(t)
			if got := testing.AllocsPerRun(50, func() { l.pass(t) }); got != 0 {
				t.Errorf("%q, length known %v: %v allocations", lines, known, got)
			}
		}
	}
}

// TestEncoderMemory: no encoder takes more than what is counted for it, whatever goes through it in pieces.
func TestEncoderMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	letters, noise := make([]byte, 1<<20), make([]byte, 1<<20)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range letters {
		letters[i] = "abcdefghijklmnop,.\":{} \n12345678"[source.IntN(32)]
		noise[i] = byte(source.Uint32())
	}
	contents := [][]byte{[]byte(jsonOf(1 << 20)), letters, noise}
	for c := gzipped; c < codings; c++ {
		for l := range levels {
			m := &models[c][l]
			const several = 4
			var all [several]encoder
			before := heap()
			for i := range all {
				all[i] = m.make()
				for _, content := range contents {
					all[i].Reset(io.Discard)
					for piece := range slices.Chunk(content, pieces) {
						if _, err := all[i].Write(piece); err != nil {
							t.Fatal(err)
						}
					}
					if err := all[i].Flush(); err != nil {
						t.Fatal(err)
					}
				}
			}
			takes := (heap() - before) / several
			runtime.KeepAlive(&all)
			t.Logf("%s %s: %d KiB, counted as %d", c, levelNames[l], takes>>10, m.takes>>10)
			if takes > m.takes || takes < m.takes/2 {
				t.Errorf("%s %s takes %d bytes and is counted as %d", c, levelNames[l], takes, m.takes)
			}
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// BenchmarkJSON is 10 KB of JSON, there as a whole, to a client that takes one coding.
func BenchmarkJSON(b *testing.B) {
	for _, word := range levelNames {
		for c := gzipped; c < codings; c++ {
			b.Run(c.String()+"/"+word, func(b *testing.B) {
				bench(b, newLoop(b, "{level: "+word+"}", "Accept-Encoding: "+c.String(), 10_000, true))
			})
		}
	}
	b.Run("identity", func(b *testing.B) { bench(b, newLoop(b, "{}", "", 10_000, true)) })
	b.Run("short", func(b *testing.B) {
		bench(b, newLoop(b, "{}", "Accept-Encoding: gzip, deflate, br, zstd", 500, true))
	})
}

func bench(b *testing.B, l *loop) {
	n := l.pass(b)
	b.ReportAllocs()
	for b.Loop() {
		n = l.pass(b)
	}
	b.ReportMetric(float64(n), "B/answer")
}
