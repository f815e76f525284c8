package ip

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"straum.dev/straum/internal/edge/policy"
)

// lookEvery is how often files are looked at: one stat each. It works on every file system, behind links and for files that are replaced,
// and costs nothing that could be measured.
const lookEvery = 2 * time.Second

// Start implements policy.Starter.
func (t *table) Start() {
	if len(t.lists.files()) > 0 {
		go t.runWatch()
	}
}

// Stop implements policy.Stopper. What is in force stays so.
func (t *table) Stop() { t.once.Do(func() { close(t.stop) }) }

// runWatch follows the files until Stop.
func (t *table) runWatch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
			t.look()
		}
	}
}

// look takes files that changed and then stayed as they are from one look to the next: half a list is a list as well, and would be taken for
// one.
func (t *table) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, err := stat(t.lists.files())
	if err != nil {
		t.keep(t.wrong.Load(), err)
		t.tried, t.seen = nil, nil
		return
	}
	settled := t.seen != nil && allSame(t.seen, now)
	t.seen = now
	if !settled || t.tried != nil && allSame(t.tried, now) {
		return
	}
	before := t.wrong.Load()
	if err := t.read(); errors.Is(err, errMoving) {
		t.wrong.Store(before)
		t.seen = nil
		return
	} else if err != nil {
		t.keep(before, err)
		t.tried = now // once is enough, until it changes
		return
	}
	t.taken.Add(1)
	t.log.Info("policy ip: changed lists are in force", "files", t.lists.files(), "prefixes", t.inForce.Load().Size())
}

// keep notes why the lists that are in force stay so. It is told once; before is what was wrong until now.
func (t *table) keep(before *error, why error) {
	if before == nil || (*before).Error() != why.Error() {
		t.log.Warn("policy ip: a list cannot be read; the one before stays in force", "error", why)
	}
	t.wrong.Store(&why)
}

// stat looks at all files.
func stat(paths []string) ([]fs.FileInfo, error) {
	all := make([]fs.FileInfo, 0, len(paths))
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

func allSame(a, b []fs.FileInfo) bool {
	for i := range a {
		if !same(a[i], b[i]) {
			return false
		}
	}
	return true
}

// Report implements policy.Reporter.
func (t *table) Report(figure func(policy.Figure)) {
	kept := 0.0
	if t.wrong.Load() != nil {
		kept = 1
	}
	figure(policy.Figure{Name: "ip_prefixes", Help: "Prefixes in force, of all tables.", Value: float64(t.inForce.Load().Size())})
	figure(policy.Figure{Name: "ip_tables_kept", Help: "Tables that stay as they were because a file of theirs cannot be read.", Value: kept})
	figure(policy.Figure{Name: "ip_tables_renewed_total", Help: "Times changed files were put in force without a reload.", Counter: true, Value: float64(t.taken.Load())})
}

// Attention implements policy.Attentive.
func (t *table) Attention() []string {
	if why := t.wrong.Load(); why != nil {
		return []string{fmt.Sprintf("policy ip goes on with the lists it had: %v", *why)}
	}
	return nil
}
