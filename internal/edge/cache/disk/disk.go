// Package disk keeps objects in files (steps 5 and 8): large ones, and those that memory had no room for.
//
// A disk may be slow, stalled, full, or lie. So nothing that serves a request waits for it without a bound: the index is in memory, writing is left
// to one goroutine behind a queue of so many bytes, reading to a few goroutines that are given so much time, and a disk that does not answer is left
// alone for a while. Whatever comes back from it is compared with checksums before a client sees a byte of it. At most Options.Readers + 2
// goroutines, each with a thread of the system, can hang in a stalled disk; a Sweep waits for one of the readers.
//
// Nothing is forced to the platter, since checksums tell what is torn. After a crash of the system, or kill -9, an object may be there again that was
// replaced or deleted just before, as long as its own terms allow its use.
//
// It refuses to decide what is stored and whether it may be used.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/cache/object"
)

// Options are what a store has for its life. Zero values of what is below Log mean the defaults.
type Options struct {
	// Dir is a directory, which is made when it is not there. One process at a time uses it.
	Dir string
	// Size is how many bytes the files may take together, in blocks of 4 KiB.
	Size int64
	// MaxObject is how many bytes a body may have.
	MaxObject int64
	Log       *slog.Logger

	// Inline is up to how many bytes of a body are read at once: Get returns them in Body. Longer ones are in File. 64 KiB.
	Inline int64
	// Objects is how many objects there may be; each takes about 100 bytes of memory. One for each 16 KiB of Size, at most 1,000,000.
	Objects int
	// HeadWait is how long Get waits for the disk: 25 ms.
	HeadWait time.Duration
	// BodyWait is how long a body that has begun waits for the disk at a time: 5 s.
	BodyWait time.Duration
	// Readers is how many goroutines wait for the disk on behalf of requests: 16.
	Readers int
	// Queue is how many bytes may wait to be written: 32 MiB.
	Queue int64
	// MinFree is the share of the file system that is left free: 0.05.
	MinFree float64
	// SweepRate is how many objects a second a Sweep looks at: 200.
	SweepRate int
}

func (o *Options) fill() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Inline == 0 {
		o.Inline = 64 << 10
	}
	if o.HeadWait == 0 {
		o.HeadWait = 25 * time.Millisecond
	}
	if o.BodyWait == 0 {
		o.BodyWait = 5 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 16
	}
	if o.Queue == 0 {
		o.Queue = 32 << 20
	}
	if o.MinFree == 0 {
		o.MinFree = 0.05
	}
	if o.SweepRate == 0 {
		o.SweepRate = 200
	}
}

// Store implements object.Store.
type Store struct {
	Options
	fs   filesystem
	lock *os.File

	size, maxObject atomic.Int64
	epoch           uint64 // of the process, the upper part of the numbers of its writings
	seq             atomic.Uint64
	mark            uint64 // random; tells what this store has written from what others have

	index   *index
	breaker breaker
	reads   chan reading
	queue   queue
	streams atomic.Int32
	handles atomic.Int32 // files open for reading
	parcels atomic.Int32
	counts  counts

	free    freeSpace     // the writer's
	closing atomic.Bool   // nothing new is begun
	stop    chan struct{} // closed when nothing is read any more
	found   chan struct{} // closed when the disk was searched
	running sync.WaitGroup
	live    struct {
		sync.Mutex
		jobs map[*job]struct{} // streams under way
	}
}

// ErrInUse is for a directory that another process uses.
var ErrInUse = errors.New("another process uses it; give each gateway a directory of its own, or stop the other one first")

// New opens the store. What lies there already is found little by little in the background; what was not found yet is a miss.
func New(o Options) (*Store, error) {
	if o.Size <= 0 || o.MaxObject <= 0 {
		return nil, fmt.Errorf("cache directory %s: size and largest object must be more than 0 bytes", o.Dir)
	}
	home := filepath.Join(o.Dir, version)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("cache directory %s cannot be made: %w; name one that the gateway may write to", o.Dir, err)
	}
	lock, epoch, err := lockDir(o.Dir, time.Now())
	if err != nil {
		return nil, fmt.Errorf("cache directory %s: %w", o.Dir, err)
	}
	s := open(o, folder{home}, epoch)
	s.lock = lock
	return s, nil
}

// open starts a store on a file system.
func open(o Options, fs filesystem, epoch uint64) *Store {
	o.fill()
	s := &Store{Options: o, fs: fs, epoch: epoch, mark: rand.Uint64(), index: newIndex(), reads: make(chan reading, readsWaiting),
		stop: make(chan struct{}), found: make(chan struct{})}
	s.seq.Store(epoch << epochShift)
	s.live.jobs = map[*job]struct{}{}
	s.queue.init(o.Queue)
	s.Resize(o.Size, o.MaxObject)
	for range o.Readers {
		s.running.Go(s.runReader)
	}
	s.running.Go(s.runWriter)
	s.running.Go(s.runSearch)
	return s
}

// epochShift leaves 2^36 writings to a process, and minutes until the year 2480.
const epochShift = 36

// lockDir takes the directory for this process and says its epoch, which is more than those of all processes before.
func lockDir(dir string, now time.Time) (*os.File, uint64, error) {
	// The file stays: one that is removed under a waiting process would let two in.
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("its lock cannot be opened: %w; let it belong to the user that the gateway runs as", err)
	}
	if ok, err := lock(f); !ok {
		f.Close()
		if err == nil {
			err = ErrInUse
		}
		return nil, 0, err
	}
	// Minutes and not a mere count, in case the file is lost.
	epoch := uint64(now.Unix() / 60)
	was := make([]byte, 32)
	n, _ := f.ReadAt(was, 0) // an empty one is new
	if last, err := strconv.ParseUint(strings.TrimSpace(string(was[:n])), 10, 64-epochShift); err == nil {
		epoch = max(epoch, last+1)
	}
	text := strconv.FormatUint(epoch, 10) + "\n"
	if _, err := io.WriteString(io.NewOffsetWriter(f, 0), text); err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("its lock cannot be written: %w; make room on the file system", err)
	}
	return f, epoch, nil
}

// Resize changes how much there may be. What is too much is removed soon.
func (s *Store) Resize(size, maxObject int64) {
	s.size.Store(size)
	s.maxObject.Store(maxObject)
	s.queue.wake()
}

// mostObjects is how many there may be.
func (s *Store) mostObjects() int64 {
	if s.Objects > 0 {
		return int64(s.Objects)
	}
	return max(min(s.size.Load()/(16<<10), 1_000_000), 16)
}

// mayHold says whether a body of so many bytes may be stored.
func (s *Store) mayHold(length int64) bool {
	return length <= s.maxObject.Load() && taken(length+footerSize) <= s.size.Load()
}

// Close writes what is to be written, as long as ctx lasts, and gives the directory back. It returns the error of ctx when that was not enough; what
// hangs in the disk then keeps the directory.
func (s *Store) Close(ctx context.Context) error {
	if s.closing.Swap(true) {
		return nil
	}
	s.live.Lock()
	streams := s.live.jobs
	s.live.jobs = nil
	s.live.Unlock()
	for j := range streams {
		j.abort()
	}
	ended := make(chan struct{})
	s.queue.close(false)
	go func() { // ends with the last of the store's goroutines
		<-s.queue.ended
		close(s.stop)
		s.running.Wait()
		for len(s.reads) > 0 {
			(<-s.reads).run() // nobody waits for it any more
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		s.queue.close(true)
		select {
		case <-ended:
		case <-time.After(closeGrace):
			return ctx.Err()
		}
	}
	for n := range s.index.shards {
		sh := &s.index.shards[n]
		sh.Lock()
		for _, h := range sh.idle {
			s.shut(h.f)
		}
		sh.idle = nil
		sh.Unlock()
	}
	if s.lock != nil {
		s.lock.Close()
	}
	return ctx.Err()
}

// closeGrace is how long Close waits for what is not allowed to go on.
const closeGrace = 100 * time.Millisecond

// next is the number of the next writing.
func (s *Store) next() uint64 { return s.seq.Add(1) }

// shut closes a file that was open for reading.
func (s *Store) shut(f file) {
	f.Close()
	s.handles.Add(-1)
}

// Delete implements object.Store.
func (s *Store) Delete(k object.Key) {
	i := idOf(k)
	sh := s.index.shard(i)
	sh.Lock()
	name := s.forget(sh, i)
	sh.Unlock()
	s.queue.remove(name)
}

// forget makes an object unreachable, whether it was written or is to be. It returns the name of the file to remove, empty when there is none.
func (s *Store) forget(sh *shard, i id) (name string) {
	delete(sh.pending, i)
	sh.bury(i)
	if e := sh.find(i); e != nil {
		name = s.index.remove(sh, e)
	}
	if h := sh.open[i]; h != nil {
		delete(sh.open, i)
		sh.unidle(h)
		if h.refs == 0 {
			s.queue.shut(h.f)
		}
	}
	return name
}
