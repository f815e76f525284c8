package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// key is that of a name.
func key(name string) object.Key { return sha256.Sum256([]byte(name)) }

// content is the body of an object, which its URL tells: n bytes.
func content(url string, n int) []byte {
	seed := sha256.Sum256([]byte(url))
	r := rand.NewChaCha8(seed)
	b := make([]byte, n)
	r.Read(b)
	return b
}

// made is an object whose body follows from its URL.
func made(url string, n int) *object.Object { return headed(url, content(url, n)) }

func headed(url string, body []byte) *object.Object {
	var fields exchange.Fields
	fields.Add("Content-Type", "text/plain")
	fields.Add("X-Sum", fmt.Sprintf("%x", sha256.Sum256(body)))
	return object.New(200, freshness.Terms{ResponseTime: 1, Lifetime: 1}, &fields, url, []string{"tag"}, body)
}

// settings are those of a test's store: generous in time, so that a busy machine makes no test fail.
func settings(t testing.TB) Options {
	return Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Dir: t.TempDir(), Size: 64 << 20, MaxObject: 16 << 20, HeadWait: 10 * time.Second, BodyWait: 10 * time.Second, MinFree: 1e-9, SweepRate: 100_000}
}

func start(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

// startOn starts a store on a disk that does what the test says.
func startOn(t testing.TB, o Options, d *sick) *Store {
	t.Helper()
	home := filepath.Join(o.Dir, version)
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	d.filesystem = folder{home}
	s := open(o, d, uint64(time.Now().Unix()/60)+d.epoch)
	t.Cleanup(func() { d.heal(); stop(t, s) })
	return s
}

func stop(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// await waits until something is so.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// written waits until nothing waits to be written or removed; the last removal may be under way.
func written(t testing.TB, s *Store) {
	t.Helper()
	await(t, "all is written", func() bool {
		for n := range s.index.shards {
			sh := &s.index.shards[n]
			sh.Lock()
			pending := len(sh.pending)
			sh.Unlock()
			if pending > 0 {
				return false
			}
		}
		s.queue.mu.Lock()
		defer s.queue.mu.Unlock()
		return len(s.queue.names)+len(s.queue.jobs)+len(s.queue.files) == 0 && s.queue.bytes == 0 && !s.queue.look
	})
}

func put(t testing.TB, s *Store, names ...string) {
	t.Helper()
	for _, name := range names {
		s.Put(key(name), made(name, size(name)))
		written(t, s)
	}
}

// size is that of a name's body: what follows its last dash.
func size(name string) (n int) {
	fmt.Sscan(name[strings.LastIndexByte(name, '-')+1:], &n)
	return n
}

// read gets an object and reads its body.
func read(t testing.TB, s *Store, k object.Key) (o *object.Object, body []byte, err error) {
	t.Helper()
	o = s.Get(k)
	if o == nil {
		return nil, nil, nil
	}
	if o.File == nil {
		return o, o.Body, nil
	}
	defer o.File.Release()
	var b Body
	b.Begin(o, 0, o.Length)
	defer b.End()
	for {
		run, err := b.Next()
		if err != nil {
			if err.Error() == "EOF" {
				err = nil
			}
			return o, body, err
		}
		body = append(body, run...)
	}
}

// holds says that an object is there and right.
func holds(t testing.TB, s *Store, name string) {
	t.Helper()
	o, body, err := read(t, s, key(name))
	switch {
	case o == nil:
		t.Fatalf("%s is not there", name)
	case err != nil:
		t.Fatalf("%s: %v", name, err)
	case o.URL != name || o.Length != int64(size(name)) || !bytes.Equal(body, content(name, size(name))):
		t.Fatalf("%s is another: %s with %d bytes", name, o.URL, len(body))
	}
}

func lacks(t testing.TB, s *Store, name string) {
	t.Helper()
	if o := s.Get(key(name)); o != nil {
		t.Fatalf("%s is there: %s", name, o.URL)
	}
}

// files lists what lies in a directory, with the lock left out.
func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			names = append(names, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// sick is a disk that stalls or fails on command.
type sick struct {
	filesystem
	epoch   uint64
	mu      sync.Mutex
	gate    chan struct{} // nil when it does not stall
	fault   func(op, name string) error
	stalled atomic.Int32 // how many hang in it
	most    atomic.Int32
	asked   atomic.Int32 // to read
	left    func() (free, total int64)
}

func (d *sick) stall() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gate == nil {
		d.gate = make(chan struct{})
	}
}

func (d *sick) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gate != nil {
		close(d.gate)
		d.gate = nil
	}
}

func (d *sick) fail(fault func(op, name string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

func (d *sick) pass(op, name string) error {
	d.mu.Lock()
	gate, fault := d.gate, d.fault
	d.mu.Unlock()
	if gate != nil {
		n := d.stalled.Add(1)
		for m := d.most.Load(); n > m && !d.most.CompareAndSwap(m, n); m = d.most.Load() {
		}
		<-gate
		d.stalled.Add(-1)
	}
	if fault != nil {
		return fault(op, name)
	}
	return nil
}

var errSick = errors.New("input/output error")

func (d *sick) wrap(f file, err error, name string) (file, error) {
	if err != nil {
		return nil, err
	}
	return &sickFile{f, d, name}, nil
}

func (d *sick) create(name string) (file, error) {
	if err := d.pass("create", name); err != nil {
		return nil, err
	}
	f, err := d.filesystem.create(name)
	return d.wrap(f, err, name)
}

func (d *sick) open(name string) (file, error) {
	d.asked.Add(1)
	if err := d.pass("open", name); err != nil {
		return nil, err
	}
	f, err := d.filesystem.open(name)
	return d.wrap(f, err, name)
}

func (d *sick) reopen(name string) (file, error) {
	if err := d.pass("reopen", name); err != nil {
		return nil, err
	}
	f, err := d.filesystem.reopen(name)
	return d.wrap(f, err, name)
}

func (d *sick) rename(from, to string) error {
	return errors.Join(d.pass("rename", from), d.filesystem.rename(from, to))
}

func (d *sick) remove(name string) error {
	if err := d.pass("remove", name); err != nil {
		return err
	}
	return d.filesystem.remove(name)
}

func (d *sick) list(folder string, found func(name string, size int64) bool) error {
	if err := d.pass("list", folder); err != nil {
		return err
	}
	return d.filesystem.list(folder, found)
}

func (d *sick) room() (free, total int64, err error) {
	if err := d.pass("room", ""); err != nil {
		return 0, 0, err
	}
	if d.left != nil {
		free, total = d.left()
		return free, total, nil
	}
	return d.filesystem.room()
}

type sickFile struct {
	file
	disk *sick
	name string
}

func (f *sickFile) ReadAt(b []byte, offset int64) (int, error) {
	if err := f.disk.pass("read", f.name); err != nil {
		return 0, err
	}
	return f.file.ReadAt(b, offset)
}

func (f *sickFile) WriteAt(b []byte, offset int64) (int, error) {
	if err := f.disk.pass("write", f.name); err != nil {
		n, _ := f.file.WriteAt(b[:len(b)/2], offset)
		return n, err
	}
	return f.file.WriteAt(b, offset)
}

func (f *sickFile) Close() error {
	return errors.Join(f.disk.pass("close", f.name), f.file.Close())
}

func (f *sickFile) load(p *socket.Parcel, offset int64, n int) (int, error) {
	if err := f.disk.pass("read", f.name); err != nil {
		return 0, err
	}
	return f.file.load(p, offset, n)
}

// readNow finds nothing in memory, as with a disk that has not been read.
func (f *sickFile) readNow([]byte, int64) int { return 0 }

// number is the n-th of many names.
func number(n int, size int) string { return fmt.Sprintf("http://h/%d-%d", n, size) }
