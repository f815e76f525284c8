package ticket

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// File draws secrets at random and keeps them in a file that only its owner may read. Several processes of one box may share it, as
// they do while one takes over from another.
type File struct {
	name   string
	period Period
	log    *slog.Logger
	tries  int // for the lock, lockWait apart

	mu   sync.Mutex
	ring *ring // what was last read or drawn
}

// NewFile makes a source of a file that need not exist yet; its directory is made when it is missing. Nothing is read before the first
// call of Secrets.
func NewFile(name string, period Period, log *slog.Logger) (*File, error) {
	if err := period.check(); err != nil {
		return nil, err
	}
	return &File{name: name, period: period, log: log, tries: lockTries, ring: &ring{period: period}}, nil
}

// Period is the one it was made with.
func (f *File) Period() Period { return f.period }

// Secrets reads the file, adds the secrets that are missing, drops those whose time is over, and writes it if that changed anything. A
// file that cannot be understood is replaced, with a warning: clients then start new sessions, and nothing else is lost. An error says
// that the secrets are in memory only.
func (f *File) Secrets(now time.Time) (Secrets, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.period.At(now)
	unlock, err := f.lock()
	if err != nil {
		f.ring.turn(n, draw)
		return f.ring.around(n), f.failed(err)
	}
	defer unlock()
	kept, err := f.read()
	var damage *damaged
	switch {
	case err == nil:
		f.ring = kept
	case errors.As(err, &damage):
		if damage.exposed || len(f.ring.secrets) == 0 {
			f.log.Warn("the session ticket secrets are renewed; clients start new sessions", "file", f.name, "reason", damage.reason)
			f.ring = &ring{period: f.period}
			break
		}
		f.log.Warn("the file of the session ticket secrets is written anew from memory", "file", f.name, "reason", damage.reason)
	case errors.Is(err, fs.ErrNotExist):
	default:
		f.ring.turn(n, draw)
		return f.ring.around(n), f.failed(err)
	}
	if changed := f.ring.turn(n, draw); changed || err != nil {
		if err := f.write(f.ring.text()); err != nil {
			return f.ring.around(n), f.failed(err)
		}
	}
	return f.ring.around(n), nil
}

func (f *File) failed(err error) error {
	return fmt.Errorf("the session ticket secrets cannot be kept in %s: %w; clients will start new sessions after a restart; "+
		"wanted is a file that the user straum runs as may read and write, in a directory where it may make files", f.name, err)
}

// damaged says why the contents of the file cannot be used.
type damaged struct {
	reason  error
	exposed bool // others may know what it holds, so it must not be used even if it is what we remember
}

func (d *damaged) Error() string { return d.reason.Error() }

// read reads the file.
func (f *File) read() (*ring, error) {
	file, err := os.OpenFile(f.name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for somebody to write
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.name)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if open := info.Mode().Perm(); open&0o077 != 0 {
		return nil, &damaged{fmt.Errorf("others may read it (permissions %04o, wanted 0600)", open), true}
	}
	r, err := parse(text)
	if err != nil {
		return nil, &damaged{err, false}
	}
	if r.period != f.period {
		return nil, &damaged{fmt.Errorf("its period is %v, and now %v is wanted", time.Duration(r.period), time.Duration(f.period)), false}
	}
	return r, nil
}

// write replaces the file at once and for good: after a crash there is the old one or the new one.
func (f *File) write(text []byte) error {
	dir := filepath.Dir(f.name)
	temporary, err := os.CreateTemp(dir, filepath.Base(f.name)+".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(text)
	if err == nil {
		err = temporary.Sync()
	}
	if e := temporary.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), f.name); err != nil {
		return err
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // some file systems cannot; the rename is done then at least for this boot
		d.Close()
	}
	return nil
}

// lock keeps other processes out while the file is read and written, which takes them a moment each. All wake at the start of a
// period, and would draw different secrets for it.
func (f *File) lock() (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(f.name), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(f.name+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for range f.tries {
		switch err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
			return func() { file.Close() }, nil // closing gives the lock back
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			time.Sleep(lockWait)
		default:
			file.Close()
			return nil, err
		}
	}
	file.Close()
	return nil, fmt.Errorf("another process holds %s.lock: %w", f.name, err)
}

// A process that holds the lock and hangs must not hang us.
const (
	lockTries = 200
	lockWait  = 10 * time.Millisecond
)

func draw() (s Secret) {
	rand.Read(s[:]) // never fails: the process ends before
	return s
}
