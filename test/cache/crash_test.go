package cache

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
)

// sizes of contents: some fit into memory, most lie on disk alone.
var sizes = []int{100, 1 << 10, 40 << 10, 100 << 10, 300 << 10, 1 << 20, 3 << 20}

// paths are as many different contents.
func paths(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("/%d/%d", sizes[i%len(sizes)], i)
	}
	return all
}

// crowd asks for paths at random over several connections, and judges every answer.
type crowd struct {
	f       *front
	group   sync.WaitGroup
	stop    atomic.Bool
	killed  atomic.Bool // requests may be lost from now on
	answers atomic.Int64
	hits    atomic.Int64
	old     atomic.Int64 // hits on what the endpoint said before this number
	before  int64
	fragile atomic.Bool  // answers may break off
	broken  atomic.Int64 // and so many did
}

func (f *front) crowd(t *testing.T, clients int, paths []string, before int64) *crowd {
	c := &crowd{f: f, before: before}
	c.start(t, clients, paths)
	return c
}

func (c *crowd) start(t *testing.T, clients int, paths []string) {
	for range clients {
		c.group.Go(func() { c.runClient(t, paths) })
	}
	t.Cleanup(c.end) // before the gateway ends, also when the test has failed
}

func (c *crowd) runClient(t *testing.T, paths []string) {
	own := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: gateway.Patience}
	defer own.CloseIdleConnections()
	for !c.stop.Load() {
		path := paths[rand.IntN(len(paths))]
		got, err := try(own, http.MethodGet, c.f.url(path))
		if err == nil {
			err = whole(got)
		} else if c.killed.Load() {
			return
		} else if c.fragile.Load() {
			c.broken.Add(1)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v\n%v", path, err, got.header)
			return
		}
		c.answers.Add(1)
		if got.hit() {
			c.hits.Add(1)
			if number(got) <= c.before {
				c.old.Add(1)
			}
		}
	}
}

// end waits for what is under way.
func (c *crowd) end() {
	c.stop.Store(true)
	c.group.Wait()
}

// kill ends the gateway as a crash does, in the middle of whatever it does.
func (c *crowd) kill() {
	c.killed.Store(true)
	c.f.Signal(syscall.SIGKILL)
	<-c.f.Ended()
	c.end()
}

// TestKilled kills the gateway under load, again and again. What lies on disk afterwards is served whole or not at all; then bytes of it are changed,
// which must not be served either.
func TestKilled(t *testing.T) {
	t.Parallel()
	rounds := 6
	if testing.Short() || gateway.Race {
		rounds = 3
	}
	o := newOrigin(t, "max-age=3600")
	dir := t.TempDir()
	f := prepare(t, setting{endpoint: o.addr, more: fmt.Sprintf("cache: { memory: 1MiB, max_object: 64KiB, disk: { path: %q, size: 32MiB, max_object: 4MiB } }", dir)})
	all := paths(80) // 52 MB: more than there is room for
	var survived int64
	for round := range rounds + 1 {
		before := o.asked.Load()
		f.Gateway = gateway.Start(t, f.config)
		c := f.crowd(t, 8, all, before)
		wanted := int64(50 + rand.IntN(400))
		gateway.Await(t, "answers", func() bool { return c.answers.Load() >= wanted || t.Failed() })
		if round > 0 { // what was stored before the crash is found again
			gateway.Await(t, "something that outlived the crash is served", func() bool { return c.old.Load() > 0 || t.Failed() })
		}
		survived += c.old.Load()
		c.kill()
		if t.Failed() {
			return
		}
	}
	damaged := damage(t, dir)
	f.Gateway = gateway.Start(t, f.config)
	c := &crowd{f: f, before: o.asked.Load()}
	c.fragile.Store(true) // a block that turns out to be damaged when its head has left ends the connection; nothing of it is sent
	c.start(t, 8, all)
	gateway.Await(t, "answers", func() bool { return c.answers.Load() >= 500 || t.Failed() })
	c.end()
	if n := c.broken.Load(); n > int64(damaged) {
		t.Errorf("%d answers broke off over %d damaged files: one found damaged is not used again", n, damaged)
	}
	t.Logf("%d answers of the endpoint, %d served after a crash, %d files damaged, %d of %d hits then, %d broken off", o.asked.Load(), survived, damaged, c.hits.Load(), c.answers.Load(), c.broken.Load())
	if damaged == 0 {
		t.Error("no files were found to damage: the test shows nothing")
	}
}

// damage changes a byte, cuts off the end, or empties every file with content below a directory, and says how many.
func damage(t *testing.T, dir string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || len(text) < 200 {
			return err
		}
		switch files++; files % 4 {
		case 0:
			text[rand.IntN(len(text))] ^= 1 << rand.IntN(8)
		case 1:
			text[len(text)-1-rand.IntN(100)] ^= 0x20
		case 2:
			text = text[:len(text)-1-rand.IntN(len(text)/2)]
		case 3:
			clear(text[len(text)/2:])
		}
		return os.WriteFile(path, text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
