package load

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"
)

// A request of the steady state allocates nothing: what a run of ten times as many allocates more is a matter of its seconds.
func TestHotPathAllocatesNothing(t *testing.T) {
	if race {
		t.Skip("the race detector allocates")
	}
	plain := get(scripted(t, func(c net.Conn) {
		answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		for buffer := make([]byte, 4096); ; {
			if n, err := c.Read(buffer); err != nil || !bytes.HasSuffix(buffer[:n], endOfHead) {
				return
			}
			c.Write(answer)
		}
	}))
	streams := get2(scripted(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(preface))); err != nil {
			return
		}
		c.Write(appendFrame(nil, 0, frameSettings, 0, 0))
		answer := make([]byte, 0, 64)
		for buffer := make([]byte, 4096); ; {
			if _, err := io.ReadFull(c, buffer[:frameHead]); err != nil {
				return
			}
			f := parseFrame(buffer)
			if _, err := io.ReadFull(c, buffer[:f.length]); err != nil {
				return
			}
			if f.kind == frameHeaders {
				answer = append(appendFrame(answer[:0], 6, frameHeaders, flagEndHeaders, f.stream), "\x88\x0f\x0d\x0202"...) // 200, and a length that is not remembered
				answer = append(appendFrame(answer, 2, frameData, flagEndStream, f.stream), "ok"...)
				c.Write(answer)
			}
		}
	}))
	streams.Streams = 4
	for name, p := range map[string]*Plan{"HTTP/1.1": plain, "HTTP/2": streams} {
		allocated := func(requests uint64) (mallocs uint64) {
			var before, after runtime.MemStats
			q := *p
			q.Requested = requests
			runtime.ReadMemStats(&before)
			if r := result(t, &q); r.Done != requests {
				t.Fatalf("%s: done %d, errors %v", name, r.Done, r.Errors)
			}
			runtime.ReadMemStats(&after)
			return after.Mallocs - before.Mallocs
		}
		few, many := allocated(2_000), allocated(20_000)
		if each := float64(many) - float64(few); each > 0.02*18_000 {
			t.Errorf("%s: %d allocations for 2,000 requests and %d for 20,000", name, few, many)
		}
	}
}
