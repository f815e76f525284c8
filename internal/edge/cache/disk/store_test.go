package disk

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/edge/cache/freshness"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

var _ object.Store = (*Store)(nil)

// bodies of all shapes: none, less than a block, blocks, a bit more, inline and not, longer than what is written at once.
var sizes = []string{"a-0", "b-1", "c-65535", "d-65536", "e-65537", "f-200000", "g-1048576", "h-3000001"}

func TestPutAndGet(t *testing.T) {
	o := settings(t)
	s := start(t, o)
	<-s.found
	for _, name := range sizes {
		s.Put(key(name), made(name, size(name)))
		holds(t, s, name) // from memory, or from the disk already
	}
	written(t, s)
	for _, name := range sizes {
		holds(t, s, name)
		holds(t, s, name)
		if o := s.Get(key(name)); (o.File != nil) != (o.Length > s.Inline) {
			t.Errorf("%s: file %v", name, o.File)
		} else if o.File != nil {
			o.File.Release()
		}
	}
	lacks(t, s, "other")
	if f := s.Figures(); f.Objects != len(sizes) || f.Stored != uint64(len(sizes)) || f.Failed+f.Dropped+f.Evicted != 0 || !f.Healthy || f.Misses != 1 {
		t.Errorf("figures %+v", f)
	}
	stop(t, s)

	s = start(t, o)
	<-s.found
	for _, name := range sizes {
		holds(t, s, name)
	}
	if f := s.Figures(); f.Objects != len(sizes) || f.Failed != 0 {
		t.Errorf("figures after another start %+v", f)
	}
}

// What a file says besides the body comes back too.
func TestHead(t *testing.T) {
	s := start(t, settings(t))
	list := object.NewVariants(&object.Variants{Nonce: 7, Sets: []object.Set{{Names: []string{"accept"}, Keys: []object.Key{key("v")}}}}, "http://h/", freshness.Terms{})
	s.Put(key("list"), list)
	put(t, s, "a-10", "b-100000")
	for _, name := range []string{"a-10", "b-100000"} {
		o := s.Get(key(name))
		var fields exchange.Fields
		o.AppendFields(&fields)
		if o.Status != 200 || len(o.Tags) != 1 || o.Tags[0] != "tag" || fields.Len() != 2 || o.Terms.ResponseTime != 1 {
			t.Errorf("%s: %+v", name, o)
		}
		if o.File != nil {
			o.File.Release()
		}
	}
	if o := s.Get(key("list")); o == nil || o.Variants == nil || o.Variants.Nonce != 7 || o.Variants.Sets[0].Keys[0] != key("v") {
		t.Errorf("list: %+v", o)
	}
}

func TestReplaceAndDelete(t *testing.T) {
	o := settings(t)
	s := start(t, o)
	<-s.found
	k := key("x")
	for _, name := range []string{"x-100", "y-100000", "z-90000", "u-5"} {
		old := s.Get(k)
		s.Put(k, made(name, size(name)))
		if got, body, err := read(t, s, k); got == nil || got.URL != name || err != nil || !bytes.Equal(body, content(name, size(name))) {
			t.Fatalf("%s: got %v, %v", name, got, err)
		}
		written(t, s)
		if old != nil && old.File != nil {
			// Whoever has the old one reads it to its end.
			body := make([]byte, old.Length)
			if n, err := old.File.ReadAt(body, 0); n != len(body) || err != nil || !bytes.Equal(body, content(old.URL, len(body))) {
				t.Errorf("%s: replaced while it was read: %d, %v", old.URL, n, err)
			}
			old.File.Release()
		}
		if got, _, _ := read(t, s, k); got == nil || got.URL != name {
			t.Fatalf("%s: written, got %v", name, got)
		}
	}
	s.Delete(k)
	if s.Get(k) != nil {
		t.Error("deleted and there")
	}
	s.Put(k, made("v-10", 10))
	s.Delete(k)
	if s.Get(k) != nil {
		t.Error("deleted before it was written, and there")
	}
	written(t, s)
	await(t, "the files are removed", func() bool { return len(files(t, o.Dir)) == 0 })
	if s.Get(k) != nil || s.Figures().Objects != 0 || s.Figures().Bytes != 0 {
		t.Errorf("left: %v, %+v", files(t, o.Dir), s.Figures())
	}
	await(t, "files are closed", func() bool { return s.handles.Load() == 0 })
}

// Another head for the same body does not write the body again.
func TestRenew(t *testing.T) {
	o := settings(t)
	s := start(t, o)
	put(t, s, "a-300000")
	k := key("a-300000")
	before := files(t, o.Dir)
	for n, text := range []string{strings.Repeat("long", 100), "short", strings.Repeat("longer", 1000), "x"} {
		got := s.Get(k)
		var fields exchange.Fields
		fields.Add("X-New", text)
		s.Put(k, got.With(freshness.Terms{ResponseTime: int64(n + 10)}, &fields))
		check := func(when string) {
			t.Helper()
			now, body, err := read(t, s, k)
			var fields exchange.Fields
			if now != nil {
				now.AppendFields(&fields)
			}
			if value, _ := fields.Header("x-new"); now == nil || now.Terms.ResponseTime != int64(n+10) || value != text || err != nil ||
				!bytes.Equal(body, content("a-300000", 300000)) {
				t.Fatalf("%s: %v, %v", when, now, err)
			}
		}
		check("before it is written")
		got.File.Release()
		written(t, s)
		check("written")
		if n%2 == 1 {
			stop(t, s)
			s = start(t, o)
			<-s.found
			check("after another start")
		}
	}
	if after := files(t, o.Dir); len(after) != 1 || after[0] != before[0] {
		t.Errorf("files %v, before %v", after, before)
	}
	info, _ := os.Stat(before[0])
	if used := s.Figures().Bytes; used != taken(info.Size()) {
		t.Errorf("%d bytes used, the file has %d", used, info.Size())
	}

	// What was replaced meanwhile is not renewed, and nor is what is another's.
	got := s.Get(k)
	s.Put(k, made("b-5", 5))
	s.Put(k, got.With(freshness.Terms{}, &exchange.Fields{}))
	written(t, s)
	if s.Get(k) != nil {
		t.Error("a head without its body is there")
	}
	s.Put(key("other"), got)
	if s.Get(key("other")) != nil {
		t.Error("a file is there under another key")
	}
	got.File.Release()
}

func TestCreate(t *testing.T) {
	o := settings(t)
	o.Inline = 1000
	s := start(t, o)
	<-s.found
	f := func(name string, announced int64, cut int, whole bool) {
		t.Helper()
		k := key(name)
		s.Delete(k)
		head := headed(name, nil)
		head.Length = announced
		w := s.Create(k, head)
		if w == nil {
			t.Fatalf("%s: refused", name)
		}
		body := content(name, size(name))
		taken := true
		for rest := body; len(rest) > 0 && taken; rest = rest[min(cut, len(rest)):] {
			taken = w.Write(rest[:min(cut, len(rest))])
			if s.Get(k) != nil {
				t.Fatalf("%s: there before its end", name)
			}
		}
		w.Commit()
		w.Abort()
		written(t, s)
		if !whole {
			lacks(t, s, name)
			return
		}
		holds(t, s, name)
	}
	for _, name := range sizes {
		for _, announced := range []int64{-1, int64(size(name))} {
			f(name, announced, 70000, true)
			f(name, announced, 3000, true)
		}
	}
	f("short-100000", 100001, 65536, false)
	f("long-100000", 99999, 65536, false)
	f("toolong-17000000", -1, 1<<20, false)

	w := s.Create(key("dropped"), headed("dropped", nil))
	w.Abort()
	w.Commit()
	if w.Write([]byte("x")) {
		t.Error("written after the end")
	}
	large := headed("large", nil)
	large.Length = s.MaxObject + 1
	if s.Create(key("large"), large) != nil {
		t.Error("too large and begun")
	}
	all := files(t, filepath.Join(o.Dir, version, tmpFolder))
	if len(all) > 0 || s.streams.Load() != 0 {
		t.Errorf("left: %v, %d streams", all, s.streams.Load())
	}
}

// No more bodies come at a time than there is room for buffers.
func TestCreateMany(t *testing.T) {
	s := start(t, settings(t))
	head := headed("x", nil)
	head.Length = -1
	var all []*Writer
	for range mostStreams {
		w := s.Create(key("x"), head)
		if w == nil {
			t.Fatal("refused")
		}
		all = append(all, w)
	}
	if s.Create(key("x"), head) != nil {
		t.Error("one too many")
	}
	for _, w := range all {
		w.Abort()
	}
	if w := s.Create(key("x"), head); w == nil {
		t.Error("none after they are over")
	} else {
		w.Abort()
	}
}

// A body that is still coming when the store is closed is given up.
func TestCloseGivesUpStreams(t *testing.T) {
	o := settings(t)
	s := start(t, o)
	head := headed("x", nil)
	head.Length = -1
	w := s.Create(key("x"), head)
	w.Write(make([]byte, 200_000))
	s.Put(key("a-10"), made("a-10", 10))
	s.Put(key("b-100000"), made("b-100000", 100000))
	stop(t, s)
	if w.Write(make([]byte, 200_000)) {
		t.Error("taken after the end")
	}
	w.Commit()
	if s.Get(key("a-10")) != nil {
		t.Error("a closed store gives objects")
	}
	s.Put(key("c"), made("c", 1))
	s.Delete(key("a-10"))
	if s.Create(key("x"), head) != nil {
		t.Error("a closed store takes objects")
	}
	s = start(t, o)
	<-s.found
	lacks(t, s, "x")
	holds(t, s, "b-100000") // what was to be written was
	if tmp := files(t, filepath.Join(o.Dir, version, tmpFolder)); len(tmp) != 0 {
		t.Errorf("left: %v", tmp)
	}
}

func TestEvict(t *testing.T) {
	o := settings(t)
	o.Size = 1 << 20
	s := start(t, o)
	<-s.found
	put(t, s, number(0, 20000))
	holds(t, s, number(0, 20000)) // asked for: what only comes by does not drive it out
	for n := 1; n < 200; n++ {
		put(t, s, number(n, 20000))
		if used := s.Figures().Bytes; used > o.Size {
			t.Fatalf("%d bytes used", used)
		}
		if s.Get(key(number(0, 20000))) == nil && n < 150 {
			t.Fatalf("what is used was evicted by the %dth", n)
		}
	}
	f := s.Figures()
	if f.Evicted == 0 || f.Objects < 20 || f.Objects+int(f.Evicted) != 200 {
		t.Errorf("figures %+v", f)
	}
	if n := len(files(t, o.Dir)); n != f.Objects {
		t.Errorf("%d files, %d objects", n, f.Objects)
	}
	// What is larger than all there may be is not stored, and drives out nothing.
	s.Put(key("large"), made("large", 2<<20))
	s.Put(key("toolong"), made("toolong", 17<<20))
	written(t, s)
	if now := s.Figures(); now.Objects != f.Objects || now.Dropped != 2 {
		t.Errorf("figures %+v", now)
	}
	s.Resize(100_000, 1000)
	await(t, "the rest is evicted", func() bool { return s.Figures().Bytes <= 100_000 })
	s.Put(key("x-1001"), made("x-1001", 1001))
	lacks(t, s, "x-1001")
	put(t, s, "x-1000")
	holds(t, s, "x-1000")
}

func TestObjectsAreBounded(t *testing.T) {
	o := settings(t)
	o.Objects = 10
	s := start(t, o)
	for n := range 50 {
		put(t, s, number(n, 10))
	}
	if f := s.Figures(); f.Objects != 10 || f.Evicted != 40 {
		t.Errorf("figures %+v", f)
	}
}

func TestInUse(t *testing.T) {
	o := settings(t)
	s := start(t, o)
	if _, err := New(o); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("a second: %v", err)
	}
	stop(t, s)
	start(t, o)
}

func TestCannotBegin(t *testing.T) {
	o := settings(t)
	file := filepath.Join(o.Dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Dir = file
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "name one that the gateway may write to") {
		t.Errorf("a file: %v", err)
	}
	o.Size = 0
	if _, err := New(o); err == nil {
		t.Error("no size and no error")
	}
}

// Nobody else reads what is stored, and nobody's files are touched but our own.
func TestFiles(t *testing.T) {
	o := settings(t)
	name := fileName(idOf(key("a")), 5)
	keep := []string{
		"notes.txt", "v1/notes.txt", "v1/ab/notes.txt", "v1/tmp/notes.txt!", "v0/ab/notes.txt", "v2x/" + name, "v02/" + name,
		"v1/" + name[:2] + "/" + strings.ToUpper(name[3:]), "v1/zz/" + name[3:], "other/" + name,
	}
	gone := []string{"v0/" + name, "v7/" + name, "v7/tmp/a1", "v1/tmp/zz", "v1/" + name}
	for _, path := range append(keep, gone...) {
		path = filepath.Join(o.Dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink("/", filepath.Join(o.Dir, "v3"))
	s := start(t, o)
	<-s.found
	written(t, s)
	for _, path := range keep {
		if _, err := os.Lstat(filepath.Join(o.Dir, path)); err != nil {
			t.Errorf("%s is gone", path)
		}
	}
	for _, path := range append(gone, "v7") {
		if _, err := os.Lstat(filepath.Join(o.Dir, path)); err == nil {
			t.Errorf("%s is there", path)
		}
	}

	put(t, s, "a-10")
	dir := filepath.Join(o.Dir, "new", "one")
	o.Dir = dir
	other := start(t, o)
	put(t, other, "a-10", "b-100000")
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		info, _ := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		return nil
	})
}

// A file that is damaged anywhere is a miss, or an error before a wrong byte is given out.
func TestDamage(t *testing.T) {
	for _, name := range []string{"a-100", "b-150000"} {
		o := settings(t)
		s := start(t, o)
		put(t, s, name)
		path := files(t, o.Dir)[0]
		stop(t, s)
		right, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := max(len(right)/150, 1)
		for at := 0; at <= len(right); at += step {
			for _, wrong := range [][]byte{flipped(right, at), right[:at], append(bytes.Clone(right), 'x')} {
				if bytes.Equal(wrong, right) {
					continue
				}
				if err := os.WriteFile(path, wrong, 0o600); err != nil {
					t.Fatal(err)
				}
				s := open(o, folder{filepath.Join(o.Dir, version)}, uint64(time.Now().Unix()/60)+100)
				<-s.found
				got, body, err := read(t, s, key(name))
				if got != nil && err == nil {
					t.Fatalf("%s, damaged at %d: given out with %d bytes", name, at, len(body))
				}
				if !bytes.HasPrefix(content(name, size(name)), body) {
					t.Fatalf("%s, damaged at %d: wrong bytes", name, at)
				}
				if len(wrong) >= footerSize && s.Figures().Failed == 0 {
					t.Fatalf("%s, damaged at %d: not counted", name, at)
				}
				written(t, s)
				lacks(t, s, name)
				await(t, "the file is removed", func() bool { return len(files(t, o.Dir)) == 0 })
				s.Close(context.Background())
			}
		}
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	if at < len(b) {
		b[at] ^= 1
	}
	return b
}

// Files are of the key that they say they are of.
func TestSwapped(t *testing.T) {
	o := settings(t)
	s := start(t, o)
	put(t, s, "a-10", "b-10")
	stop(t, s)
	all := files(t, o.Dir)
	if err := os.Rename(all[0], all[1]); err != nil {
		t.Fatal(err)
	}
	s = start(t, o)
	<-s.found
	lacks(t, s, "a-10")
	lacks(t, s, "b-10")
}

func TestSweep(t *testing.T) {
	o := settings(t)
	s := start(t, o)
	<-s.found
	for n := range 40 {
		put(t, s, number(n, n*4000))
	}
	held := s.Get(key(number(39, 39*4000)))
	seen := map[string]bool{}
	looked, deleted := s.Sweep(context.Background(), func(o *object.Object) bool {
		seen[o.URL] = true
		return o.Length%8000 == 0
	})
	if looked != 40 || deleted != 20 || len(seen) != 40 || s.Figures().Objects != 20 {
		t.Errorf("looked at %d (%d), deleted %d, %+v", looked, len(seen), deleted, s.Figures())
	}
	body := make([]byte, held.Length)
	if _, err := held.File.ReadAt(body, 0); err != nil || !bytes.Equal(body, content(held.URL, len(body))) {
		t.Errorf("deleted while it was read: %v", err)
	}
	held.File.Release()
	for n := range 40 {
		if n%2 == 0 {
			holds(t, s, number(n, n*4000))
		} else {
			lacks(t, s, number(n, n*4000))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if looked, _ := s.Sweep(ctx, func(*object.Object) bool { return true }); looked > 1 {
		t.Errorf("looked at %d after the end", looked)
	}
}

// What was found at the start counts less than what was stored since, and what was stored, replaced or deleted since is not undone by what is found.
func TestFound(t *testing.T) {
	o := settings(t)
	d := &sick{}
	s := startOn(t, o, d)
	put(t, s, "a-10", "b-10", "c-10", "d-100000")
	stop(t, s)

	d = &sick{epoch: 1}
	d.stall()
	s = startOn(t, o, d)
	await(t, "the search has begun", func() bool { return d.stalled.Load() > 0 })
	s.Delete(key("a-10"))
	s.Put(key("b-10"), made("other-20", 20))
	lacks(t, s, "c-10") // not found yet: a miss at once
	d.heal()
	<-s.found
	written(t, s)
	lacks(t, s, "a-10")
	holds(t, s, "c-10")
	holds(t, s, "d-100000")
	if o := s.Get(key("b-10")); o == nil || o.URL != "other-20" {
		t.Errorf("replaced while it was not found: %v", o)
	}
	if n := len(files(t, o.Dir)); n != 3 || s.Figures().Objects != 3 {
		t.Errorf("%d files, %+v", n, s.Figures())
	}
}

// More is found than there may be now.
func TestFoundTooMuch(t *testing.T) {
	o := settings(t)
	s := start(t, o)
	for n := range 30 {
		put(t, s, number(n, 10000))
	}
	stop(t, s)
	o.Size = 100_000
	s = start(t, o)
	<-s.found
	f := s.Figures()
	if f.Bytes > o.Size || f.Objects == 0 || len(files(t, o.Dir)) != f.Objects {
		t.Errorf("%+v, %d files", f, len(files(t, o.Dir)))
	}
}
