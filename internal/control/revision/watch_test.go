package revision

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fsnotify/fsnotify"
)

// watched is a place whose file is being watched.
func watched(t *testing.T, p *place) {
	t.Helper()
	if _, err := p.Reload("start"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (p *place) port(t *testing.T, port int) {
	t.Helper()
	eventually(t, fmt.Sprintf("port %d in force", port), func() bool {
		return p.State().InForce.Compiled.Listeners[0].Listen.Address == fmt.Sprintf(":%d", port)
	})
}

func TestWatchSeesAFileWritten(t *testing.T) {
	p := newPlace(t)
	p.write(t, text(81, "a"))
	watched(t, p)
	p.write(t, text(82, "a"))
	p.port(t, 82)

	p.write(t, "}")
	eventually(t, "a refusal", func() bool { return p.State().Refused == 1 })
	p.write(t, text(83, "a"))
	p.port(t, 83)
}

func TestWatchSeesAFileReplaced(t *testing.T) {
	p := newPlace(t)
	p.write(t, text(81, "a"))
	watched(t, p)
	for port := 82; port < 85; port++ {
		write(t, p.file+".new", text(port, "a"))
		if err := os.Rename(p.file+".new", p.file); err != nil {
			t.Fatal(err)
		}
		p.port(t, port)
	}
}

// Kubernetes and others swap a link to a directory of files.
func TestWatchSeesALinkSwapped(t *testing.T) {
	p := newPlace(t)
	dir := filepath.Dir(p.file)
	for i, port := range []int{81, 82, 83} {
		data := filepath.Join(dir, fmt.Sprintf("..%d", i))
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(data, "straum.yaml"), text(port, "a"))
	}
	swap := func(to string) {
		t.Helper()
		link := filepath.Join(dir, "..new")
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..0")
	if err := os.Symlink("..data/straum.yaml", p.file); err != nil {
		t.Fatal(err)
	}
	watched(t, p)
	swap("..1")
	p.port(t, 82)
	swap("..2")
	p.port(t, 83)
}

func TestWatchSeesBehindALink(t *testing.T) {
	p := newPlace(t)
	real := filepath.Join(t.TempDir(), "real.yaml")
	write(t, real, text(81, "a"))
	if err := os.Symlink(real, p.file); err != nil {
		t.Fatal(err)
	}
	watched(t, p)
	for _, port := range []int{82, 83} { // the first may have been found before the watch began
		write(t, real, text(port, "a"))
		p.port(t, port)
	}
}

func TestWatchSeesIncludedFiles(t *testing.T) {
	p := newPlace(t)
	parts := filepath.Join(filepath.Dir(p.file), "conf.d")
	if err := os.Mkdir(parts, 0o700); err != nil {
		t.Fatal(err)
	}
	p.write(t, "include: [conf.d/*.yaml]\n"+text(81, "a"))
	watched(t, p)
	routes := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d routes", n), func() bool { return len(p.State().InForce.Config.Routes) == n })
	}
	routes(1)
	write(t, filepath.Join(parts, "more.yaml"), "routes: [{ match: { path: /more }, upstream: a }]\n")
	routes(2)
	write(t, filepath.Join(parts, "more.yaml"), "routes: [{ match: { path: /more }, upstream: a }, { match: { path: /most }, upstream: a }]\n")
	routes(3)
	if err := os.Remove(filepath.Join(parts, "more.yaml")); err != nil {
		t.Fatal(err)
	}
	routes(1)
}

func TestWatchSeesWhatSecretsAreReadFrom(t *testing.T) {
	p := newPlace(t)
	secret := filepath.Join(t.TempDir(), "token")
	write(t, secret, "0123456789abcdef")
	p.write(t, text(81, "a")+"admin: { token: \"file:"+secret+"\" }\n")
	watched(t, p)
	for _, token := range []string{"fedcba9876543210", "fedcba9876543211"} { // the first may have been found before the watch began
		write(t, secret, token)
		eventually(t, "the new token", func() bool { return p.State().InForce.Config.Admin.Token.Reveal() == token })
	}
}

// The access log may lie beside the configuration: writing to it must not make the gateway look at its configuration all the time.
func TestWritingToOtherFilesIsNoConcern(t *testing.T) {
	p := first(t)
	other := filepath.Join(filepath.Dir(p.file), "access.log")
	for _, c := range []struct {
		event fsnotify.Event
		want  bool
	}{
		{fsnotify.Event{Name: other, Op: fsnotify.Write}, false},
		{fsnotify.Event{Name: other, Op: fsnotify.Chmod}, false},
		{fsnotify.Event{Name: other, Op: fsnotify.Create}, true}, // may be included by a pattern
		{fsnotify.Event{Name: other, Op: fsnotify.Remove}, true},
		{fsnotify.Event{Name: p.file, Op: fsnotify.Write}, true},
		{fsnotify.Event{Name: p.file, Op: fsnotify.Rename}, true},
	} {
		if got := p.concerns(c.event); got != c.want {
			t.Errorf("%v: got %t", c.event, got)
		}
	}
}

func TestWatchSaysWhatItCannotWatch(t *testing.T) {
	p := newPlace(t)
	p.file = filepath.Join(t.TempDir(), "gone", "straum.yaml")
	p.Manager.o.Source = File(p.file)
	if _, err := p.Reload("start"); err == nil {
		t.Fatal("accepted")
	}
	if err := p.Watch(context.Background()); err == nil {
		t.Error("watched what is not there")
	}
}
