package tune

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
	"time"
)

// The record lies in a directory of root's own. It is not in /var/lib/straum, which belongs to the gateway's user: what undo writes as root
// must not be for that user to choose.
const (
	stateDir   = "/var/lib/straum-tune"
	recordFile = stateDir + "/undo.json"
)

// suffix is that of files under way to their place. sysctl, systemd and tmpfiles read none that ends so.
const suffix = ".straum-new"

// record is what was before tune first changed it.
type record struct {
	Version int        `json:"version"`
	Made    time.Time  `json:"made"`
	Values  []wasValue `json:"values"`
	Files   []wasFile  `json:"files"`
	Dirs    []string   `json:"dirs,omitempty"` // that were made for the files
}

// wasValue is a setting of the kernel.
type wasValue struct {
	Key  string   `json:"key"`
	File string   `json:"file"`
	Was  string   `json:"was"` // every byte
	Set  []string `json:"set"` // what was written since, or was about to be
	// Pending says that a write was begun and what the kernel made of it was not looked at yet. A run that broke off there leaves a value that
	// is ours, whatever it is.
	Pending bool `json:"pending,omitempty"`
}

// wasFile is a drop-in.
type wasFile struct {
	Path  string      `json:"path"`
	There bool        `json:"there"`
	Data  []byte      `json:"data,omitempty"`
	Mode  fs.FileMode `json:"mode,omitempty"`
	UID   int         `json:"uid,omitempty"`
	GID   int         `json:"gid,omitempty"`
	Wrote []string    `json:"wrote"` // SHA-256 of what was written since, or was about to be
}

// load reads the record, nil when there is none.
func (t *Tuner) load() (*record, error) {
	name := t.at(recordFile)
	info, err := t.disk().Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if uid, _ := owner(info); uid != os.Geteuid() || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is %s and belongs to user %d; it has to be a file of user %d that nobody else may open (0600), as straum tune wrote it", name, info.Mode(), uid, os.Geteuid())
	}
	data, err := t.disk().ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := new(record)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("%s cannot be understood: %w", name, err)
	}
	if r.Version != 1 {
		return nil, fmt.Errorf("%s is of version %d; this program reads version 1", name, r.Version)
	}
	return r, r.check(name)
}

// check refuses a record that names anything tune does not write.
func (r *record) check(name string) error {
	for _, v := range r.Values {
		if !mayWrite(v.Key, v.File) {
			return fmt.Errorf("%s names %s for %s, which straum tune does not write", name, v.File, v.Key)
		}
	}
	for _, f := range r.Files {
		if !slices.ContainsFunc(dropIns, func(d dropIn) bool { return d.path == f.Path }) {
			return fmt.Errorf("%s names %s, which straum tune does not write", name, f.Path)
		}
	}
	for _, dir := range r.Dirs {
		if !slices.ContainsFunc(dropIns, func(d dropIn) bool { return path.Dir(d.path) == dir }) {
			return fmt.Errorf("%s names %s, which straum tune does not make", name, dir)
		}
	}
	return nil
}

// save writes the record to the disk as a whole, in the place of the one before.
func (t *Tuner) save(r *record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := t.at(recordFile)
	if err := t.disk().Create(name+suffix, append(data, '\n'), 0o600, os.Geteuid(), os.Getegid()); err != nil {
		return err
	}
	return t.disk().Rename(name+suffix, name)
}

// value is the record of a setting, or nil.
func (r *record) value(file string) *wasValue {
	for i := range r.Values {
		if r.Values[i].File == file {
			return &r.Values[i]
		}
	}
	return nil
}

func (r *record) file(path string) *wasFile {
	for i := range r.Files {
		if r.Files[i].Path == path {
			return &r.Files[i]
		}
	}
	return nil
}

// set notes that a value is about to be written. What was is kept from the first time.
func (r *record) set(key, file, was, set string) {
	v := r.value(file)
	if v == nil {
		r.Values = append(r.Values, wasValue{Key: key, File: file, Was: was})
		v = &r.Values[len(r.Values)-1]
	}
	if !slices.Contains(v.Set, set) {
		v.Set = append(v.Set, set)
	}
	v.Pending = true
}

// settle notes what the kernel made of the writes.
func (r *record) settle(is map[string]string) {
	for i := range r.Values {
		v := &r.Values[i]
		if text, ok := is[v.File]; ok {
			v.Pending = false
			if !slices.Contains(v.Set, text) && !same(text, v.Was) {
				v.Set = append(v.Set, text)
			}
		}
	}
}

// write notes that a drop-in is about to be written.
func (r *record) write(path string, was *stored, text string) {
	f := r.file(path)
	if f == nil {
		r.Files = append(r.Files, wasFile{Path: path, There: was.there})
		f = &r.Files[len(r.Files)-1]
		if was.there {
			f.Data, f.Mode, f.UID, f.GID = was.data, was.mode, was.uid, was.gid
		}
	}
	if sum := hash([]byte(text)); !slices.Contains(f.Wrote, sum) {
		f.Wrote = append(f.Wrote, sum)
	}
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// stored is a drop-in as it lies on the disk.
type stored struct {
	there    bool
	data     []byte
	mode     fs.FileMode
	uid, gid int
}

// stored reads a drop-in. One that is no plain file is somebody's decision (a link to /dev/null switches it off), so it is an error.
func (t *Tuner) stored(path string) (*stored, error) {
	info, err := t.disk().Lstat(t.at(path))
	if errors.Is(err, fs.ErrNotExist) {
		return &stored{mode: 0o644, uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no plain file (%s); straum tune leaves it alone: remove it first, if it may be replaced", t.at(path), info.Mode().Type())
	}
	data, err := t.disk().ReadFile(t.at(path))
	if err != nil {
		return nil, err
	}
	s := &stored{there: true, data: data, mode: info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)}
	s.uid, s.gid = owner(info)
	return s, nil
}

// is says that the drop-in is as the record has it, to the byte.
func (s *stored) is(w *wasFile) bool {
	if !s.there || !w.There {
		return s.there == w.There
	}
	return bytes.Equal(s.data, w.Data) && s.mode == w.Mode && s.uid == w.UID && s.gid == w.GID
}

func owner(info fs.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return -1, -1
}
