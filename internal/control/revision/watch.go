package revision

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleTime is how long the files must be quiet before they are read: writing one takes several steps.
	settleTime = 200 * time.Millisecond
	// settleMost is how long a directory that is never quiet can put that off.
	settleMost = 2 * time.Second
)

// Watch loads the configuration whenever its files change, until ctx ends. An error says that they cannot be watched; the signal and
// the admin API go on working then.
//
// Directories of included files are watched unless they are patterns themselves: conf.d/*.yaml is followed, */straum.yaml only for
// the files it has found.
func (m *Manager) Watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("the configuration's files cannot be watched: %w; reload with SIGHUP", err)
	}
	defer w.Close()
	if err := m.watchMore(w); err != nil {
		return err
	}
	// What changed between the last load and now has raised no event.
	m.follow()

	var settle <-chan time.Time
	var first time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			if !m.concerns(e) {
				continue
			}
			if settle == nil {
				first = time.Now()
			}
			settle = time.After(min(settleTime, max(0, settleMost-time.Since(first))))
			continue
		case err := <-w.Errors:
			// Events were lost at most; reading the files tells what there was.
			m.o.Log.Warn("watching the configuration's files", "error", err)
		case <-settle:
		}
		settle = nil
		m.follow()
		if err := m.watchMore(w); err != nil {
			m.o.Log.Warn("watching the configuration's files", "error", err.Error())
		}
	}
}

// watchMore watches the directories the last load looked into.
func (m *Manager) watchMore(w *fsnotify.Watcher) error {
	m.mu.Lock()
	dirs := m.dirs
	m.mu.Unlock()
	watched := w.WatchList() // a directory that was removed is no longer in it
	for _, dir := range dirs {
		if slices.Contains(watched, dir) {
			continue
		}
		if err := w.Add(dir); err != nil {
			return fmt.Errorf("the directory %s cannot be watched: %w; reload with SIGHUP", dir, err)
		}
	}
	return nil
}

// concerns says whether an event may mean another configuration. Writing to files that are none of ours does not: the access log may
// be in the same directory.
func (m *Manager) concerns(e fsnotify.Event) bool {
	if e.Has(fsnotify.Create | fsnotify.Rename | fsnotify.Remove) {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.files[filepath.Clean(e.Name)]
}
