package certificate

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// watched runs a store until the test ends.
func watched(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// showing waits until a name is answered with the certificate of that subject.
func showing(t *testing.T, c *Choice, name string) {
	t.Helper()
	await(t, "shows "+name, func() bool { return c.Default().Leaf.Subject.CommonName == name })
}

func TestWatchSeesFilesWritten(t *testing.T) {
	a := newAuthority(t)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"one"}})
	s, out := newStore(Options{})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	watched(t, s)
	for _, name := range []string{"two", "three"} { // the first may have been found before the watch began
		a.renew(t, p, order{names: []string{name}})
		showing(t, c, name)
	}
	if found, _ := c.GetCertificate(able("three")); shown(found) != "three ECDSA" {
		t.Errorf("the new name is answered with %s", shown(found))
	}
	if got := s.Status()[0]; got.Swaps != 2 || got.Problem != "" {
		t.Errorf("status is %+v", got)
	}
	if out.count("certificate loaded") != 3 {
		t.Errorf("the log has %d loads", out.count("certificate loaded"))
	}
}

func TestWatchSeesFilesReplaced(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	p := a.files(t, dir, "a", order{names: []string{"zero"}})
	s, _ := newStore(Options{})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	watched(t, s)
	for i := range 3 {
		name := fmt.Sprint("n", i)
		n := a.files(t, dir, "new", order{names: []string{name}})
		for from, to := range map[string]string{n.Key: p.Key, n.Cert: p.Cert} {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		showing(t, c, name)
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Kubernetes swaps a link to a directory, within the directory of the files.
func TestWatchSeesADirectorySwapped(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	for _, name := range []string{"one", "two", "three"} {
		a.files(t, mkdir(t, dir, ".."+name), "tls", order{names: []string{name}})
	}
	link(t, "..one", filepath.Join(dir, "..data"))
	p := Pair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	link(t, "..data/tls.crt", p.Cert)
	link(t, "..data/tls.key", p.Key)
	s, _ := newStore(Options{})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	watched(t, s)
	for _, name := range []string{"two", "three"} {
		link(t, ".."+name, filepath.Join(dir, "..data"))
		showing(t, c, name)
	}
}

// Certbot makes the links in live/ lead to new files in archive/, one after the other.
func TestWatchSeesLinksSwapped(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	live, archive := mkdir(t, dir, "live", "a"), mkdir(t, dir, "archive", "a")
	p := Pair{filepath.Join(live, "fullchain.pem"), filepath.Join(live, "privkey.pem")}
	turn := func(name string) {
		t.Helper()
		a.files(t, archive, name, order{names: []string{name}})
		link(t, "../../archive/a/"+name+".key", p.Key)
		link(t, "../../archive/a/"+name+".crt", p.Cert)
	}
	turn("one")
	s, _ := newStore(Options{})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	watched(t, s)
	for _, name := range []string{"two", "three"} {
		turn(name)
		showing(t, c, name)
	}
}

// A link further up the path may be what is swapped.
func TestWatchSeesAParentSwapped(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	for _, name := range []string{"one", "two", "three"} {
		a.files(t, mkdir(t, dir, "v", name, "tls"), "a", order{names: []string{name}})
	}
	current := filepath.Join(dir, "current")
	link(t, "v/one", current)
	s, _ := newStore(Options{})
	c := prepare(t, s, Settings{Pairs: []Pair{{current + "/tls/a.crt", current + "/tls/a.key"}}})
	watched(t, s)
	for _, name := range []string{"two", "three"} {
		link(t, "v/"+name, current)
		showing(t, c, name)
	}
}

// Where the kernel tells of nothing, the files are read now and then.
func TestPoll(t *testing.T) {
	a := newAuthority(t)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"one"}})
	s, _ := newStore(Options{deaf: true, poll: 10 * time.Millisecond})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	watched(t, s)
	for _, name := range []string{"two", "three"} {
		a.renew(t, p, order{names: []string{name}})
		showing(t, c, name)
	}
}

// A pair that is prepared while Run runs is followed as well.
func TestWatchSeesLatePairs(t *testing.T) {
	a := newAuthority(t)
	s, _ := newStore(Options{})
	watched(t, s)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"one"}})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	for _, name := range []string{"two", "three"} {
		a.renew(t, p, order{names: []string{name}})
		showing(t, c, name)
	}
}

// What changes between the reading of a pair and the watching of its directory is not missed.
func TestWatchLooksAfterAdding(t *testing.T) {
	a := newAuthority(t)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"one"}})
	s, _ := newStore(Options{})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	a.renew(t, p, order{names: []string{"two"}})
	w := newWatcher(s)
	defer w.close()
	w.more()
	if shown(c.Default()) != "two ECDSA" {
		t.Errorf("shows %s", shown(c.Default()))
	}
	s.Retire()
	w.more()
	if left := w.w.WatchList(); len(left) != 0 {
		t.Errorf("still watches %v for nobody", left)
	}
}

// While certificates are swapped as fast as they can be written, no handshake fails.
func TestNoHandshakeIsLost(t *testing.T) {
	a := newAuthority(t)
	p := a.files(t, t.TempDir(), "a", order{names: []string{"a.example"}})
	s, _ := newStore(Options{deaf: true, poll: time.Millisecond})
	c := prepare(t, s, Settings{Pairs: []Pair{p}})
	watched(t, s)
	address := served(t, c)
	roots := newPool(a)
	var stop atomic.Bool
	var serials sync.Map
	var clients sync.WaitGroup
	var failed atomic.Pointer[error]
	for range 2 {
		clients.Go(func() {
			for !stop.Load() {
				nc, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "a.example"})
				if err != nil {
					failed.Store(&err)
					return
				}
				serials.Store(nc.ConnectionState().PeerCertificates[0].SerialNumber.String(), true)
				nc.Close()
			}
		})
	}
	for i := range 20 {
		a.renew(t, p, order{names: []string{"a.example"}})
		await(t, "swapped", func() bool { return s.Status()[0].Swaps > uint64(i) })
	}
	stop.Store(true)
	clients.Wait()
	if err := failed.Load(); err != nil {
		t.Error(*err)
	}
	n := 0
	serials.Range(func(any, any) bool { n++; return true })
	if n < 2 {
		t.Errorf("clients saw %d certificates", n)
	}
}

func TestPlaces(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(root, name) }
	mkdir(t, at("archive/a"))
	mkdir(t, at("live/a"))
	write(t, at("archive/a/cert3.pem"), "")
	link(t, "../../archive/a/cert3.pem", at("live/a/cert.pem"))
	link(t, at("live"), at("absolute"))
	link(t, "loop", at("loop"))
	link(t, "archive/", at("slash"))
	for _, c := range []struct {
		name        string
		dirs, files []string
	}{
		{"archive/a/cert3.pem", []string{"archive/a"}, []string{"archive/a/cert3.pem"}},
		{"live/a/cert.pem", []string{"archive/a", "live/a"}, []string{"archive/a/cert3.pem", "live/a/cert.pem"}},
		{"absolute/a/cert.pem", []string{"", "archive/a", "live/a"}, []string{"absolute", "archive/a/cert3.pem", "live/a/cert.pem"}},
		{"slash/a/cert3.pem", []string{"", "archive/a"}, []string{"archive/a/cert3.pem", "slash"}},
		{"live/a/missing.pem", []string{"live/a"}, []string{"live/a/missing.pem"}},
		{"live/missing/cert.pem", []string{"live"}, []string{"live/missing"}},
		{"loop", []string{""}, []string{"loop"}},
	} {
		dirs, files := map[string]bool{}, map[string]bool{}
		places(at(c.name), dirs, files)
		for i := range c.dirs {
			c.dirs[i] = at(c.dirs[i])
		}
		for i := range c.files {
			c.files[i] = at(c.files[i])
		}
		if got := slices.Sorted(maps.Keys(dirs)); !slices.Equal(got, c.dirs) {
			t.Errorf("%s: directories %v, want %v", c.name, got, c.dirs)
		}
		if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, c.files) {
			t.Errorf("%s: files %v, want %v", c.name, got, c.files)
		}
	}
}
