package certificate

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleTime is how long the files must be quiet before they are read: certificate and key are written one after the other.
	settleTime = 200 * time.Millisecond
	// settleMost is how long a directory that is never quiet can put that off.
	settleMost = 2 * time.Second
	// pollEvery is how often all files are read whether or not there was an event: network file systems raise none.
	pollEvery = time.Minute
)

// Run follows the files of all pairs and warns of those that end soon, until ctx ends. Where the kernel cannot tell of changes it says
// so once and looks every minute.
func (s *Store) Run(ctx context.Context) {
	w := newWatcher(s)
	defer w.close()
	poll := time.NewTicker(s.pollEvery())
	defer poll.Stop()
	w.more()
	s.Check() // what changed since the pairs were loaded has raised no event
	s.remind()

	var settle <-chan time.Time
	var first time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
			w.more()
			continue
		case e := <-w.events():
			if !w.concerns(e) {
				continue
			}
			if settle == nil {
				first = time.Now()
			}
			settle = time.After(min(settleTime, max(0, settleMost-time.Since(first))))
			continue
		case err := <-w.errors():
			// Events were lost at most; reading the files tells what there was.
			s.o.Log.Warn("watching the files of certificates", "error", err)
		case <-settle:
		case <-poll.C:
		}
		settle = nil
		s.Check()
		s.remind()
		w.more()
	}
}

func (s *Store) pollEvery() time.Duration {
	if s.o.poll > 0 {
		return s.o.poll
	}
	return pollEvery
}

// watcher knows which directories matter. It belongs to the goroutine of Run.
type watcher struct {
	store *Store
	w     *fsnotify.Watcher // nil when the kernel has none to give
	files map[string]bool   // what is read, under every name it goes by on its way through links
	told  map[string]bool   // directories that cannot be watched, and were told of
}

func newWatcher(s *Store) *watcher {
	w := &watcher{store: s, told: map[string]bool{}}
	var err error
	if !s.o.deaf {
		w.w, err = fsnotify.NewWatcher()
	}
	if err != nil {
		s.o.Log.Warn("the files of certificates cannot be watched; they are read every minute instead", "error", err)
	}
	return w
}

func (w *watcher) close() {
	if w.w != nil {
		w.w.Close()
	}
}

func (w *watcher) events() <-chan fsnotify.Event {
	if w.w == nil {
		return nil
	}
	return w.w.Events
}

func (w *watcher) errors() <-chan error {
	if w.w == nil {
		return nil
	}
	return w.w.Errors
}

// more brings the watched directories up to date with the pairs, and with where their links lead now.
func (w *watcher) more() {
	if w.w == nil {
		return
	}
	w.files = map[string]bool{}
	dirs := map[string]bool{}
	w.store.mu.Lock()
	pairs := slices.Collect(maps.Keys(w.store.entries))
	w.store.mu.Unlock()
	for _, p := range pairs { // without the lock: a disk may be slow
		places(p.Cert, dirs, w.files)
		places(p.Key, dirs, w.files)
	}
	added := false
	for _, dir := range w.w.WatchList() { // a directory that was removed is no longer in it
		if !dirs[dir] {
			_ = w.w.Remove(dir)
		}
		delete(dirs, dir)
	}
	for dir := range dirs {
		switch err := w.w.Add(dir); {
		case err == nil:
			added = true
			delete(w.told, dir)
		case !w.told[dir]:
			w.told[dir] = true
			w.store.o.Log.Warn("a directory of certificates cannot be watched; its files are read every minute instead", "directory", dir, "error", err)
		}
	}
	if added {
		w.store.Check() // what changed between the reading and now has raised no event
	}
}

// concerns says whether an event may mean another certificate. What happens to files that are none of ours does not: a log may be in
// the same directory.
func (w *watcher) concerns(e fsnotify.Event) bool { return w.files[filepath.Clean(e.Name)] }

// maxLinks is how many links in a row a path may lead through, as for the kernel.
const maxLinks = 40

// places adds the directories in which a change can make name lead to other contents, and the names of what is a link or the file in
// them. For /live/a/cert.pem -> ../../archive/a/cert3.pem these are /live/a and /archive/a; for /tls/cert.pem where tls is a link in
// the root, it is the root as well.
func places(name string, dirs, files map[string]bool) {
	name, err := filepath.Abs(name)
	if err != nil {
		return
	}
	at, rest := string(filepath.Separator), strings.TrimPrefix(name, string(filepath.Separator))
	for links := 0; rest != ""; {
		part, after, _ := strings.Cut(rest, string(filepath.Separator))
		rest = after
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, part)
		info, err := os.Lstat(next)
		if err != nil {
			dirs[at], files[next] = true, true // where it will appear
			return
		}
		if info.Mode()&os.ModeSymlink == 0 {
			if rest == "" {
				dirs[at], files[next] = true, true
			}
			at = next
			continue
		}
		dirs[at], files[next] = true, true
		to, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return
		}
		if filepath.IsAbs(to) {
			at = string(filepath.Separator)
		}
		rest = to + string(filepath.Separator) + rest
		if strings.HasSuffix(rest, string(filepath.Separator)) {
			rest = strings.TrimRight(rest, string(filepath.Separator))
		}
	}
}
