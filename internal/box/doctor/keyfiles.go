package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/wording"
)

// maxLogs is how many files beside the access log are looked at: rotated ones have the same in them.
const maxLogs = 32

// lookFiles tells of files with keys or personal data in them that others on the box may read or change.
func lookFiles(_ context.Context, p *Patient) (out []box.Finding) {
	if p.Config == nil {
		return nil
	}
	looked, unreadable := 0, 0
	for _, w := range guarded(p.Machine, p.Config) {
		s, err := os.Stat(p.Machine.Path(w.path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // who needs it says so
		case err != nil:
			unreadable++
			continue
		}
		looked++
		if f, ok := judgeMode(w, s.Mode()); !ok && (s.Mode().Perm()&0o006 == 0 || open(p.Machine, w.path)) {
			f.Subject = w.path
			out = append(out, f)
		}
	}
	if unreadable > 0 {
		out = append(out, unknown(fmt.Sprintf("%s could not be looked at by this user", wording.Count(unreadable, "file")), "Keys and logs lie where others may not look, as they should.", "sudo straum doctor --only file_modes"))
	}
	if len(out) == 0 && looked > 0 {
		out = append(out, good(fmt.Sprintf("%s with keys or personal data, none readable or writable for others", wording.Count(looked, "file")), "Whoever reads a key is the gateway for everybody who connects to it; whoever writes one, or the configuration, takes it over."))
	}
	return out
}

// guardedFile is a file or directory and what is in it.
type guardedFile struct {
	path    string
	what    string
	harm    string
	private bool // nobody but its owner and group may read it
	log     bool // what others read of it is personal data, not a key
}

// guarded are the files of a configuration that others have no business with.
func guarded(m *box.Machine, c *config.Config) (all []guardedFile) {
	key := func(path, what string) {
		w := guardedFile{path: path, what: what, harm: "Whoever reads it can pass for the gateway.", private: true}
		if path != "" && !slices.ContainsFunc(all, func(o guardedFile) bool { return o.path == path }) {
			all = append(all, w)
		}
	}
	all = append(all, guardedFile{path: c.Node.File(), what: "the configuration", harm: "Whoever writes it decides what the gateway does."})
	for _, path := range c.Files() {
		switch ext := filepath.Ext(path); {
		case path == c.Node.File():
		case ext == ".yaml" || ext == ".yml": // included
			all = append(all, guardedFile{path: path, what: "a part of the configuration", harm: "Whoever writes it decides what the gateway does."})
		default:
			all = append(all, guardedFile{path: path, what: "a secret of the configuration", harm: "Whoever reads it can pass for whoever may use it.", private: true})
		}
	}
	for i := range c.Listeners {
		if t := c.Listeners[i].TLS; t != nil {
			for _, pair := range t.Certificates {
				key(config.Beside(pair.Node, pair.Key), "a key")
			}
		}
	}
	for i := range c.Upstreams {
		if t := c.Upstreams[i].TLS; t != nil {
			key(config.Beside(t.Node, t.Key), "a key")
		}
	}
	all = append(all, guardedFile{path: config.Beside(c.Node, c.State), what: "the state, with keys of certificates and of sessions", harm: "Whoever reads it can pass for the gateway.", private: true})
	if to := c.Log.Access.To; filepath.IsAbs(to) && !strings.HasPrefix(to, "/dev/") {
		logs, _ := filepath.Glob(m.Path(to) + "*")
		for _, path := range logs[:min(len(logs), maxLogs)] {
			all = append(all, guardedFile{path: filepath.Join(filepath.Dir(to), filepath.Base(path)), what: "the access log", harm: "It holds personal data: who called what, when (GDPR, article 32).", private: true, log: true})
		}
	}
	return all
}

// open says whether others may go through all directories to a file, links followed.
func open(m *box.Machine, path string) bool {
	root, err1 := filepath.EvalSymlinks(m.Root)
	at, err2 := filepath.EvalSymlinks(m.Path(path))
	if err1 != nil || err2 != nil {
		return true
	}
	for dir := filepath.Dir(at); dir != root && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if d, err := os.Stat(dir); err == nil && d.Mode().Perm()&0o001 == 0 {
			return false
		}
	}
	return true
}

// judgeMode says whether others may do too much; true is well.
func judgeMode(w guardedFile, mode fs.FileMode) (box.Finding, bool) {
	perm := mode.Perm()
	f := box.Finding{Is: fmt.Sprintf("%s: mode %04o", w.what, perm), Why: w.harm}
	switch {
	case perm&0o002 != 0 && mode&fs.ModeSticky == 0:
		f.Severity, f.Is, f.Want = box.Bad, f.Is+", which everybody on this box may write", "writable for its owner alone"
		f.Remedy = "chmod o-rwx " + w.path
	case w.private && perm&0o004 != 0:
		f.Severity, f.Is, f.Want = box.Bad, f.Is+", which everybody on this box may read", "readable for its owner, and a group at most"
		f.Remedy = "chmod o-rwx " + w.path
		if w.log {
			f.Severity = box.Warning
		}
	case w.private && mode.IsDir() && perm&0o001 != 0:
		f.Severity, f.Is, f.Want = box.Hint, f.Is+", which everybody on this box may enter", "0700"
		f.Remedy = "chmod 0700 " + w.path
	case perm&0o020 != 0 && !w.log:
		f.Severity, f.Is, f.Want = box.Hint, f.Is+", which its group may write", "writable for its owner alone"
		f.Remedy = "chmod g-w " + w.path
	default:
		return f, true
	}
	return f, false
}
