package cache

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// TestLong serves 20 MiB from disk: whole and in parts, in the clear, over TLS and HTTP/2, to slow clients and to those that leave.
func TestLong(t *testing.T) {
	t.Parallel()
	const size = 20 << 20
	o := newOrigin(t, "max-age=3600")
	dir := t.TempDir()
	f := open(t, setting{endpoint: o.addr, more: fmt.Sprintf("cache: { disk: { path: %q } }", dir)})
	path := fmt.Sprintf("/%d/long", size)
	first := f.get(path)
	if err := whole(first); err != nil || first.hit() {
		t.Fatal(err, first.header)
	}
	second := f.soon(path) // the disk takes a moment
	if err := whole(second); err != nil {
		t.Fatal(err)
	}
	asked := o.asked.Load()

	for _, part := range []struct {
		ask      string
		from, to int // of the content; to is behind it
	}{{"bytes=0-0", 0, 1}, {"bytes=1000001-9999999", 1000001, 10000000}, {"bytes=-70000", size - 70000, size}, {fmt.Sprintf("bytes=%d-", size-1), size - 1, size}} {
		got := f.get(path, "Range", part.ask)
		if got.status != http.StatusPartialContent || !bytes.Equal(got.body, second.body[part.from:part.to]) {
			t.Errorf("%s: %d, %d bytes, %v", part.ask, got.status, len(got.body), got.header)
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", part.from, part.to-1, size); got.header.Get("Content-Range") != want {
			t.Errorf("%s: Content-Range is %q, want %q", part.ask, got.header.Get("Content-Range"), want)
		}
	}
	if got := f.get(path, "Range", fmt.Sprintf("bytes=%d-", size)); got.status != http.StatusRequestedRangeNotSatisfiable || len(got.body) > 1000 {
		t.Errorf("beyond its end: %d, %d bytes", got.status, len(got.body))
	}
	if got := f.get(path, "If-None-Match", second.header.Get("ETag")); got.status != http.StatusNotModified || len(got.body) > 0 {
		t.Errorf("with its tag: %d, %d bytes", got.status, len(got.body))
	}

	// A client that reads late, one that leaves in the middle, and one that asks for more on the same connection.
	slow, gone := wire.Dial(t, f.plain), wire.Dial(t, f.plain)
	for _, c := range []*wire.Peer{slow, gone} {
		c.Send("GET " + path + " HTTP/1.1\r\nHost: " + f.plain + "\r\n\r\n")
		c.Head()
		c.Bytes(100_000)
	}
	gone.Reset()
	if got := f.get(path); whole(got) != nil || !got.hit() {
		t.Error(whole(got), got.header)
	}
	if rest := slow.Bytes(size - 100_000); rest != string(second.body[100_000:]) {
		t.Error("the slow client got something else")
	}
	slow.Send("GET " + path + " HTTP/1.1\r\nHost: " + f.plain + "\r\n\r\n")
	if m := slow.Answer("GET"); string(m.Body) != string(second.body) {
		t.Errorf("again on one connection: %s", m)
	}
	if n := o.asked.Load(); n != asked {
		t.Errorf("the endpoint was asked %d times more", n-asked)
	}

	for name, c := range map[string]*http.Client{"TLS": f.tls, "HTTP/2": f.h2} {
		gateway.Await(t, name+" is served from the cache", func() bool {
			got, err := try(c, http.MethodGet, "https://"+f.secure+path)
			if err != nil {
				t.Fatal(name, err)
			}
			if err := whole(got); err != nil {
				t.Fatal(name, err)
			}
			return got.hit()
		})
	}
	f.h1.CloseIdleConnections()
	f.tls.CloseIdleConnections()
	f.h2.CloseIdleConnections()
	slow.Close()
	// Of each of the two objects, one that came in the clear and one by TLS, the file may stay open for those to come.
	gateway.Await(t, "no more files are open than there are objects", func() bool { return f.files(dir) <= 2 })
}

// files is how many objects below a directory the gateway has open.
func (f *front) files(dir string) (open int) {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", f.Pid()))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.Count(strings.TrimPrefix(to, dir), "/") > 1 && strings.HasPrefix(to, dir) {
			open++
		}
	}
	return open
}

// TestSecure: over TLS one answer serves both protocols, and none that came in the clear.
func TestSecure(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "max-age=3600")
	f := open(t, setting{endpoint: o.addr})
	clear := f.get("/1000/a")
	var seen []int64
	for i := range 3 {
		for name, c := range map[string]*http.Client{"HTTP/1.1": f.tls, "HTTP/2": f.h2} {
			got, err := try(c, http.MethodGet, "https://"+f.secure+"/1000/a")
			if err == nil {
				err = whole(got)
			}
			if err != nil {
				t.Fatal(name, err)
			}
			if seen = append(seen, number(got)); number(got) == number(clear) || number(got) != seen[0] || got.hit() != (len(seen) > 1) {
				t.Errorf("%s, round %d: answer %d, of before %v, in the clear %d, %v", name, i, number(got), seen, number(clear), got.header)
			}
		}
	}
	if n := o.asked.Load(); n != 2 {
		t.Errorf("the endpoint was asked %d times, want 2", n)
	}
}
