package tune

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Disk is all that changes the box, in steps that happen or do not: undo has to be exact after each of them.
type Disk interface {
	ReadFile(name string) ([]byte, error)
	ReadDir(name string) (names []string, err error)
	Lstat(name string) (fs.FileInfo, error)
	// Mkdir makes a directory and sees to it that it is there after a crash.
	Mkdir(name string, mode fs.FileMode) error
	// Create writes a new file to the disk, with its mode and owner. Where there is one it is replaced.
	Create(name string, data []byte, mode fs.FileMode, uid, gid int) error
	// Rename puts a file in another's place, and sees to it that it is there after a crash.
	Rename(from, to string) error
	// Remove removes a file or an empty directory, and sees to it that it is gone after a crash.
	Remove(name string) error
	// Poke writes into a file of the kernel.
	Poke(name string, data []byte) error
}

// maxRead is how long a file may be that is read.
const maxRead = 1 << 20

type osDisk struct{}

func (osDisk) ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRead+1))
	if err == nil && len(data) > maxRead { // a part of a file, written back, would be the loss of the rest
		return nil, fmt.Errorf("%s is longer than %d bytes", name, maxRead)
	}
	return data, err
}

func (osDisk) ReadDir(name string) (names []string, err error) {
	entries, err := os.ReadDir(name)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (osDisk) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

func (osDisk) Mkdir(name string, mode fs.FileMode) error {
	if err := os.Mkdir(name, mode); err != nil {
		return err
	}
	return sync(filepath.Dir(name))
}

func (osDisk) Create(name string, data []byte, mode fs.FileMode, uid, gid int) (err error) {
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if uid != os.Geteuid() || gid != os.Getegid() {
		if err = f.Chown(uid, gid); err != nil {
			return err
		}
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}

func (osDisk) Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return sync(filepath.Dir(to))
}

func (osDisk) Remove(name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	return sync(filepath.Dir(name))
}

func (osDisk) Poke(name string, data []byte) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	_, err = f.Write(data) // in one write: the kernel takes each for a whole value
	return err
}

// sync has a directory's entries written.
func sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
