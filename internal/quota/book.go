package quota

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Book is a Ledger with a file that outlives a restart. Every second what changed is written behind what is there and brought to the disk,
// and now and then the file is written anew. So a process that is killed, or a box that loses its power, loses what was counted in
// the last second, or since the disk last took anything. Requests never wait for it.
type Book struct {
	*Ledger
	calendar *Calendar
	file     string // empty for none
	log      *slog.Logger
	now      func() time.Time

	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
	running bool

	// What follows belongs to Start, then to the goroutine, then to Stop.
	lock    *os.File // held as long as the file is ours
	out     *os.File // the file, open at its end; nil when it has to be written anew
	size    int64    // of the file
	compact int64    // its size when it was last written anew
	block   []byte

	mu       sync.Mutex
	trouble  string // why the file is not written, for people
	aside    string // what was found in its place
	written  atomic.Uint64
	failures atomic.Uint64
}

const (
	prefix = "quota-"
	suffix = ".counts"
	// lockSuffix is of the file that is locked by who writes the other.
	lockSuffix = ".lock"
	// every is how often what changed is written.
	every = time.Second
	// smallFile is the size in bytes below which a file is not written anew because of its length.
	smallFile = 1 << 20
	// forgotten is when the file of a quota that is in no configuration any more is removed: all its months are over.
	forgotten = 35 * 24 * time.Hour
)

// NewBook makes a book with room for so many counts. name is of letters, digits and hyphens, and tells its file in dir from others; an empty
// dir is for no file. Nothing is read before Start.
func NewBook(dir, name string, most int, calendar *Calendar, log *slog.Logger, now func() time.Time) *Book {
	b := &Book{Ledger: NewLedger(most), calendar: calendar, log: log, now: now, stop: make(chan struct{}), stopped: make(chan struct{})}
	if dir != "" {
		b.file = filepath.Join(dir, prefix+name+suffix)
	}
	return b
}

// Start reads the file and begins to write it. It reads as long as the disk takes: some 10 ms for 100,000 counts.
func (b *Book) Start() {
	if b.file == "" {
		return
	}
	b.open()
	b.running = true
	go b.runWrite()
}

// Stop writes what changed, and waits for the disk no longer than stopWait.
func (b *Book) Stop() {
	b.once.Do(func() { close(b.stop) })
	if !b.running {
		return
	}
	timer := time.NewTimer(stopWait)
	defer timer.Stop()
	select {
	case <-b.stopped:
	case <-timer.C:
		b.log.Warn("the disk does not take the counts of a quota; what was counted last is lost", "file", b.file)
	}
}

const stopWait = 5 * time.Second

func (b *Book) runWrite() {
	defer close(b.stopped)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			b.write()
		case <-b.stop:
			b.write()
			b.close()
			return
		}
	}
}

// open makes the file ours and reads it. Another process may have it: one that ends as this one begins. Then it is tried again with every
// write, and what it counted until then is added to what was counted here.
func (b *Book) open() bool {
	if err := os.MkdirAll(filepath.Dir(b.file), 0o700); err != nil {
		b.failed(err)
		return false
	}
	lock, err := lockFile(b.file)
	if err != nil {
		b.failed(err)
		return false
	}
	b.lock = lock
	b.read()
	b.tidy()
	return true
}

// lockFile makes a file ours until what it returns is closed, or fails.
func lockFile(file string) (*os.File, error) {
	lock, err := os.OpenFile(file+lockSuffix, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("another process writes it: %w", err)
	}
	return lock, nil
}

// read adds what the file says to what is counted, and leaves it to be written anew.
func (b *Book) read() {
	f, err := os.Open(b.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var records map[ID]record
	if err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil {
			records, err = parse(f, info.Size())
		}
		_ = f.Close()
	}
	spans := b.calendar.At(b.now())
	for _, r := range records {
		b.add(r, spans)
	}
	if err != nil {
		b.setAside(err)
	}
}

// setAside keeps a file that could not be read as a whole for somebody to look at.
func (b *Book) setAside(why error) {
	kept := b.file + ".bad"
	_ = os.Remove(kept)
	if err := os.Link(b.file, kept); err != nil {
		kept = b.file // there is no room for another name, and so hardly for a new file
	} else {
		b.failed(b.anew()) // in its place, which is never without a file
	}
	b.log.Warn("a file of quota counts cannot be read as a whole; what could be is counted, and the file is kept beside it", "file", kept, "why", why.Error())
	if errors.Is(why, errTorn) {
		return // as a crash leaves it: what is lost was counted in the second before
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.aside = fmt.Sprintf("the file of quota counts %s could not be read (%v) and counting began anew; it is kept as %s, remove it once it was looked at", b.file, why, filepath.Base(kept))
}

// write brings to the disk what changed.
func (b *Book) write() {
	if b.lock == nil && !b.open() {
		return
	}
	if b.out == nil || b.size > max(smallFile, 2*b.compact) {
		b.failed(b.anew())
		return
	}
	block, from := beginBlock(b.block[:0])
	block = b.appendChanged(block)
	b.block = block
	if len(block) == blockHead {
		return
	}
	n, err := b.out.Write(endBlock(block, from))
	if err == nil {
		err = b.out.Sync()
	}
	b.size += int64(n)
	b.written.Add(uint64(n))
	if err != nil { // what is there is not known
		_ = b.out.Close()
		b.out = nil
	}
	if b.failed(err); cap(b.block) > smallFile {
		b.block = nil
	}
}

// anew writes the whole file beside the old one and puts it in its place.
func (b *Book) anew() error {
	if b.out != nil {
		_ = b.out.Close()
		b.out = nil
	}
	block, from := beginBlock(append([]byte(nil), magic...))
	block = endBlock(b.appendAll(block, b.calendar.At(b.now())), from)
	next := b.file + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(block); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(next, b.file)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(next)
		return err
	}
	if dir, err := os.Open(filepath.Dir(b.file)); err == nil {
		_ = dir.Sync() // the name is safe too, on the file systems that care
		_ = dir.Close()
	}
	b.out, b.size, b.compact = f, int64(len(block)), int64(len(block))
	b.written.Add(uint64(len(block)))
	return nil
}

// failed notes whether the file could be written.
func (b *Book) failed(err error) {
	text := ""
	if err != nil {
		b.failures.Add(1)
		text = err.Error()
	}
	b.mu.Lock()
	changed := text != b.trouble
	b.trouble = text
	b.mu.Unlock()
	switch {
	case changed && err != nil:
		b.log.Warn("the counts of a quota cannot be written; a restart would lose them", "file", b.file, "why", text)
	case changed:
		b.log.Info("the counts of a quota are written", "file", b.file)
	}
}

// tidy removes the files of quotas that have been in no configuration for so long that they tell of the past alone. One that is in use and
// counts nothing is old as well: its lock tells.
func (b *Book) tidy() {
	dir := filepath.Dir(b.file)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	files, fresh := map[string][]string{}, map[string]bool{filepath.Base(b.file): true}
	for _, e := range entries {
		id, rest, is := strings.Cut(e.Name(), suffix)
		info, err := e.Info()
		if err != nil || !is || !strings.HasPrefix(id, prefix) {
			continue
		}
		name := id + suffix
		files[name] = append(files[name], e.Name())
		alone := rest == lockSuffix && len(files[name]) == 1
		if rest != lockSuffix || alone { // a lock is never written, so that its age says something only if it is all there is
			fresh[name] = fresh[name] || b.now().Sub(info.ModTime()) < forgotten
		}
	}
	for name, all := range files {
		if fresh[name] {
			continue
		}
		lock, err := lockFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		for _, one := range all {
			_ = os.Remove(filepath.Join(dir, one))
		}
		_ = os.Remove(lock.Name())
		_ = lock.Close()
	}
}

func (b *Book) close() {
	if b.out != nil {
		_ = b.out.Close()
		b.out = nil
	}
	if b.lock != nil {
		_ = b.lock.Close() // which unlocks it
		b.lock = nil
	}
}

// Figures are counts since the book was made.
type Figures struct {
	Written  uint64 // bytes
	Failures uint64 // times that nothing could be written
}

// Figures reads them.
func (b *Book) Figures() Figures { return Figures{b.written.Load(), b.failures.Load()} }

// Attention are sentences for the operator, none when all is well.
func (b *Book) Attention() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trouble != "" {
		all = append(all, fmt.Sprintf("the counts of a quota cannot be written to %s, and a restart would lose them: %s", b.file, b.trouble))
	}
	if b.aside != "" {
		all = append(all, b.aside)
	}
	return all
}
