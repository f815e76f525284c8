package disk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// small is a file system of 4 MiB.
func small(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system to fill")
	}
	dir := t.TempDir()
	if err := unix.Mount("straum-test", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// On a full file system less is stored, and what is given out is right.
func TestFullDisk(t *testing.T) {
	for _, free := range []float64{0.05, 1e-9} { // with and without room left for others
		o := settings(t)
		o.Dir = small(t)
		o.MinFree = free
		s := start(t, o)
		<-s.found
		use := func(rounds int) {
			t.Helper()
			for range rounds {
				name := number(rand.IntN(200), 1<<rand.IntN(20))
				switch o, _, err := read(t, s, key(name)); {
				case err != nil:
					t.Fatal(err)
				case o != nil:
					holds(t, s, name)
				case rand.IntN(2) == 0:
					put(t, s, name)
				default:
					head := headed(name, nil)
					head.Length = -1
					w := s.Create(key(name), head)
					w.Write(content(name, size(name)))
					w.Commit()
					written(t, s)
				}
			}
		}
		use(400)
		f := s.Figures()
		if f.Evicted == 0 || f.Stored == 0 || f.Hits == 0 {
			t.Errorf("figures %+v", f)
		}
		// Somebody else fills it to the brim.
		other, err := os.Create(filepath.Join(o.Dir, "other"))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = other.Write(make([]byte, 4096))
		}
		other.Close()
		use(100)
		os.Remove(other.Name())
		s.free.at = 0
		use(100)
		await(t, "objects are stored again", func() bool { // at the brim one is refused before another makes room
			put(t, s, "after-100000")
			o := s.Get(key("after-100000"))
			if o != nil {
				o.File.Release()
			}
			return o != nil
		})
		holds(t, s, "after-100000")
		if f := s.Figures(); !f.Healthy || len(files(t, o.Dir)) != f.Objects {
			t.Errorf("figures %+v, %d files", f, len(files(t, o.Dir)))
		}
		t.Logf("free %g: %s", free, fmt.Sprintf("%+v", s.Figures()))
		stop(t, s)
	}
}
