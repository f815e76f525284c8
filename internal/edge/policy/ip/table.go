package ip

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"straum.dev/straum/internal/document"
)

// lists are where the prefixes of a policy stand.
type lists struct {
	allow, deny           []document.Prefix
	allowFiles, denyFiles []string
}

// identity is equal for lists that say the same in the same words.
func (l *lists) identity() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%v %v %q %q", l.allow, l.deny, l.allowFiles, l.denyFiles)
	return hex.EncodeToString(sum.Sum(nil))
}

// files are all files, in the order they are read.
func (l *lists) files() []string { return slices.Concat(l.allowFiles, l.denyFiles) }

// prefixes is what is in force: all lists as one table, with the value true for what is refused. It is never changed.
type prefixes = bart.Table[bool]

// table is the lists of one or several policies. It outlives revisions.
type table struct {
	lists   lists
	log     *slog.Logger
	inForce atomic.Pointer[prefixes]
	stop    chan struct{}
	once    sync.Once // closes stop
	taken   atomic.Uint64

	wrong atomic.Pointer[error] // why the files are not in force as they are now; nil when they are. Changed with the lock held

	mu    sync.Mutex    // one who reads at a time
	tried []fs.FileInfo // what the files were when they were last read, well or not; nil when they have to be read in any case
	seen  []fs.FileInfo // what they were when they were last looked at
}

func newTable(l lists, log *slog.Logger) *table {
	t := &table{lists: l, log: log, stop: make(chan struct{})}
	t.inForce.Store(new(prefixes))
	return t
}

// find says whether an address stands in a list, and in which: the longest prefix counts, and of two equal ones the one that refuses.
func (t *table) find(a netip.Addr) (denies, listed bool) {
	return t.inForce.Load().Lookup(a.Unmap())
}

// load puts the lists in force as they are now, unless they are. What cannot be read changes nothing.
func (t *table) load() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, err := stat(t.lists.files())
	if err == nil && t.wrong.Load() == nil && t.tried != nil && allSame(t.tried, now) {
		return nil
	}
	for range 3 { // somebody may be writing
		if err = t.read(); !errors.Is(err, errMoving) {
			break
		}
	}
	return err
}

// read builds a table and puts it in force. The lock is held.
func (t *table) read() error {
	next := new(prefixes)
	for _, p := range t.lists.allow {
		next.Insert(p.Prefix, false)
	}
	t.tried = []fs.FileInfo{}
	err := t.readFiles(t.lists.allowFiles, func(p netip.Prefix) { next.Insert(p, false) })
	for _, p := range t.lists.deny {
		next.Insert(p.Prefix, true)
	}
	if err == nil {
		err = t.readFiles(t.lists.denyFiles, func(p netip.Prefix) { next.Insert(p, true) })
	}
	if err != nil {
		t.wrong.Store(&err)
		t.tried = nil
		return err
	}
	t.wrong.Store(nil)
	t.inForce.Store(next)
	return nil
}

func (t *table) readFiles(paths []string, yield func(netip.Prefix)) error {
	for _, path := range paths {
		info, err := readFile(path, yield)
		if err != nil {
			return err
		}
		t.tried = append(t.tried, info)
	}
	return nil
}
