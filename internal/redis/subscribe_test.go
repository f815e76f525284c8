package redis

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"straum.dev/straum/internal/redistest"
)

// listener notes what an Ear is told.
type listener struct {
	mu   sync.Mutex
	told []string
}

func (l *listener) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, text)
}

func (l *listener) Up()            { l.note("up") }
func (l *listener) Heard(m string) { l.note(m) }
func (l *listener) Down()          { l.note("down") }

func (l *listener) is(want ...string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.Equal(l.told, want)
	}
}

// A channel is heard from the moment that it is up; a connection that is lost or hangs is missed, and replaced.
func TestSubscribe(t *testing.T) {
	p := redistest.Start(t)
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}})
	l := &listener{}
	stop := c.Subscribe("news", l)
	redistest.Await(t, l.is("up"), "not up")
	p.Do("PUBLISH", "straum:news", "a")
	p.Do("PUBLISH", "news", "not for us")
	p.Do("PUBLISH", "straum:news", "")
	redistest.Await(t, l.is("up", "a", ""), "not heard")
	p.Kill()
	redistest.Await(t, l.is("up", "a", "", "down"), "not missed")
	p.Start()
	redistest.Await(t, l.is("up", "a", "", "down", "up"), "not up again")
	p.Pause()
	redistest.Await(t, l.is("up", "a", "", "down", "up", "down"), "a connection that hangs is not missed")
	p.Resume()
	redistest.Await(t, l.is("up", "a", "", "down", "up", "down", "up"), "not up after a pause")
	stop()
	n := len(l.told)
	if l.told[n-1] != "down" {
		t.Error(l.told)
	}
	p.Do("PUBLISH", "straum:news", "b")
	if len(l.told) != n {
		t.Error(l.told)
	}
}

// Who may not subscribe is told so in the log, and commands go on.
func TestSubscribeRefused(t *testing.T) {
	p := redistest.Start(t)
	p.Do("ACL", "SETUSER", "u", "on", ">pw", "~*", "+@all", "resetchannels")
	c, j := dial(t, Settings{Addresses: []string{p.Addr}, Username: "u", Password: "pw"})
	l := &listener{}
	stop := c.Subscribe("news", l)
	redistest.Await(t, func() bool {
		return strings.Contains(j.String(), "cannot be subscribed to") && strings.Contains(j.String(), "NOPERM")
	}, "not said")
	if err := c.Set("a", nil, time.Minute); err != nil {
		t.Error(err)
	}
	p.Do("ACL", "SETUSER", "u", "&straum:*")
	redistest.Await(t, l.is("up"), "not up once it may")
	stop()
}

func TestSubscribeLeavesNothing(t *testing.T) {
	p := redistest.Start(t)
	before := goleak.IgnoreCurrent()
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}})
	l := &listener{}
	stop := c.Subscribe("news", l)
	redistest.Await(t, l.is("up"), "not up")
	p.Pause()
	stop() // waits for nobody
	c.Close()
	p.Resume()
	redistest.Await(t, func() bool { return goleak.Find(before) == nil }, "goroutines stay")

	p.Kill()
	c, _ = dial(t, Settings{Addresses: []string{p.Addr}})
	c.Subscribe("news", l)
	c.Close() // without stop
	redistest.Await(t, func() bool { return goleak.Find(before) == nil }, "goroutines stay")
}

func TestParts(t *testing.T) {
	p := redistest.Start(t)
	c, _ := dial(t, Settings{Addresses: []string{p.Addr}})
	awaitUp(t, c)
	p.Do("SET", "straum:a", strings.Repeat("x", 1000))
	f := func(key string, max int64, want int) {
		t.Helper()
		if v, err := c.GetUpTo(key, max); len(v) != want || err != nil {
			t.Errorf("%d %v", len(v), err)
		}
	}
	f("a", 2000, 1000)
	f("a", 1000, 1000)
	f("a", 10, 10)
	f("none", 10, 0)
	p.Do("LPUSH", "straum:list", "1")
	if _, err := c.GetUpTo("list", 10); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	r, err := c.Run(NewScript(`return {'a', '', 'c'}`), []string{"k"}, nil)
	if list, err2 := r.Texts(); !slices.Equal(list, []string{"a", "", "c"}) || err != nil || err2 != nil {
		t.Error(list, err, err2)
	}
	for _, other := range []string{`return 'a'`, `return {'a', 5}`, `return {'a', {'b'}}`, `return false`} {
		r, _ = c.Run(NewScript(other), []string{"k"}, nil)
		if _, err := r.Texts(); !errors.Is(err, ErrRefused) {
			t.Error(other, err)
		}
	}
	if !c.Available() {
		t.Error("not available")
	}
	p.Kill()
	awaitDown(t, c, "")
	if c.Available() {
		t.Error("available")
	}
}
