package disk

import (
	"os"
	"path/filepath"

	"straum.dev/straum/internal/edge/socket"
)

// filesystem is what the store asks of a disk. Names are relative to the folder of the version. Any of it may take any time.
type filesystem interface {
	// create makes a file for writing, and its folder when it is not there; the file must not exist.
	create(name string) (file, error)
	open(name string) (file, error)
	// reopen opens a file to write over a part of it.
	reopen(name string) (file, error)
	rename(from, to string) error
	remove(name string) error
	// list gives the names in a folder with the sizes of files, -1 for what is no file. It stops when found says false.
	list(folder string, found func(name string, size int64) bool) error
	// room is how many bytes are free for us, and how many there are.
	room() (free, total int64, err error)
}

// file is an open file.
type file interface {
	ReadAt(b []byte, offset int64) (int, error)
	WriteAt(b []byte, offset int64) (int, error)
	Truncate(size int64) error
	Close() error
	// readNow reads what needs no waiting: n is less than len(b) when that is not all.
	readNow(b []byte, offset int64) (n int)
	// load adds to a parcel.
	load(p *socket.Parcel, offset int64, n int) (int, error)
	// os is the file for others; nil when there is none.
	os() *os.File
}

// folder is a real file system.
type folder struct{ path string }

func (d folder) at(name string) string { return filepath.Join(d.path, name) }

func (d folder) create(name string) (file, error) {
	const flags = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	f, err := os.OpenFile(d.at(name), flags, 0o600)
	if os.IsNotExist(err) {
		if err := os.MkdirAll(filepath.Dir(d.at(name)), 0o700); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(d.at(name), flags, 0o600)
	}
	return opened(f, err)
}

func (d folder) open(name string) (file, error) { return opened(os.Open(d.at(name))) }

func (d folder) reopen(name string) (file, error) {
	return opened(os.OpenFile(d.at(name), os.O_WRONLY, 0))
}

func opened(f *os.File, err error) (file, error) {
	if err != nil {
		return nil, err
	}
	return &realFile{f, f.Fd()}, nil
}

func (d folder) rename(from, to string) error {
	err := os.Rename(d.at(from), d.at(to))
	if os.IsNotExist(err) {
		if err := os.MkdirAll(filepath.Dir(d.at(to)), 0o700); err != nil {
			return err
		}
		err = os.Rename(d.at(from), d.at(to))
	}
	return err
}

func (d folder) remove(name string) error { return os.Remove(d.at(name)) }

// listAtOnce is how many names are held at a time.
const listAtOnce = 256

func (d folder) list(name string, found func(name string, size int64) bool) error {
	f, err := os.Open(d.at(name))
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(listAtOnce)
		for _, e := range entries {
			size := int64(-1)
			if e.Type().IsRegular() {
				info, err := e.Info()
				if err != nil {
					continue // it is gone
				}
				size = info.Size()
			}
			if !found(e.Name(), size) {
				return nil
			}
		}
		if err != nil || len(entries) == 0 {
			return nil // also at the end; what cannot be listed is not found
		}
	}
}

type realFile struct {
	*os.File
	fd uintptr
}

func (f *realFile) os() *os.File { return f.File }

func (f *realFile) load(p *socket.Parcel, offset int64, n int) (int, error) {
	return p.Load(f.File, offset, n)
}
