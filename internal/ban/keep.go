package ban

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// fileName is that of the file in the state directory.
	fileName = "bans"
	// leastPause is how long nothing is saved after a save: what a kill may cost. A save that took long is followed by a pause that is
	// longer by as much, so that saving takes a twentieth of the time at most.
	leastPause = time.Second
	pausePart  = 20
	// retrySave is how long to wait after a save that failed.
	retrySave = 10 * time.Second
)

// keeper keeps the ledger in a file, which is replaced whole: after a crash there is the old one or the new one.
type keeper struct {
	dir string
	log *slog.Logger

	mu      sync.Mutex // held while it is written; guards what follows
	barred  bool       // there is a file that cannot be read, so it is not replaced
	failed  error      // of the last save, nil when it went well
	blame   string     // what was wrong with the file at the start
	next    time.Time  // nothing is saved before
	pausing time.Duration
}

// load reads the file into an empty ledger.
func (k *keeper) load(l *ledger) {
	if k.dir == "" {
		return
	}
	name := filepath.Join(k.dir, fileName)
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for somebody to write
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		defer file.Close()
		var info fs.FileInfo
		if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a regular file", name)
		}
	}
	if err != nil {
		k.bar(err)
		return
	}
	err = decode(file, l)
	var damage *damaged
	switch {
	case err == nil:
	case errors.As(err, &damage):
		aside := name + ".damaged"
		if e := os.Rename(name, aside); e != nil {
			k.bar(e)
			return
		}
		k.blame = fmt.Sprintf("bans: the file of bans could not be understood (%v) and was set aside as %s; nobody was banned at the start; remove it", err, aside)
		k.log.Error("the file of bans cannot be understood and is set aside; nobody is banned", "file", aside, "error", err.Error())
	default:
		k.bar(err)
	}
}

// bar keeps a file that is there and cannot be read from being replaced.
func (k *keeper) bar(err error) {
	k.barred, k.failed = true, err
	k.log.Error("bans that were kept cannot be read, and none are kept", "error", err.Error())
}

// write replaces the file.
func (k *keeper) write(list []record) error {
	if k.barred {
		return k.failed
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	name := filepath.Join(k.dir, fileName)
	temporary, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(temporary, 1<<16)
	err = encode(buffered, list)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = temporary.Sync()
	}
	if e := temporary.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil {
		os.Remove(temporary.Name())
		return err
	}
	if d, err := os.Open(k.dir); err == nil {
		_ = d.Sync() // some file systems cannot; the rename is done then at least for this boot
		d.Close()
	}
	return nil
}

// wrote notes how a save went. mu is held.
func (k *keeper) wrote(now time.Time, took time.Duration, err error) {
	if err != nil && !k.barred && k.failed == nil {
		k.log.Error("bans cannot be kept; they hold until the next restart", "error", err.Error())
	}
	k.pausing = max(leastPause, took*pausePart)
	if err != nil {
		k.pausing = retrySave
	}
	k.next, k.failed = now.Add(k.pausing), err
}

// wait is how long to wait with the next save.
func (k *keeper) wait(now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return min(k.next.Sub(now), k.pausing) // no longer, should the clock have been set back
}

func (k *keeper) attention() (all []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed != nil {
		all = append(all, fmt.Sprintf("bans: they cannot be kept and would be lost at a restart: %v", k.failed))
	}
	if k.blame != "" {
		all = append(all, k.blame)
	}
	return all
}

// damaged says why what a file holds cannot be used.
type damaged struct{ reason string }

func (d *damaged) Error() string { return d.reason }
