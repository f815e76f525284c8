package revision

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/chain"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/upstream"
)

// planes are all a manager works on. They note what they are told, and fail where they are told to.
type planes struct {
	mu       sync.Mutex
	told     []string
	failures map[string]error // by the first word of what is told
	busy     atomic.Bool
	overlaps atomic.Int32
}

func (p *planes) tell(format string, args ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	p.told = append(p.told, text)
	word, _, _ := strings.Cut(text, " ")
	return p.failures[word]
}

// heard returns what was told since it was last asked.
func (p *planes) heard() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.Join(p.told, "\n")
	p.told = nil
	return text
}

func (p *planes) fail(word string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = map[string]error{word: err}
}

type fakeEdge struct{ *planes }

func (e fakeEdge) Use(s *edge.Snapshot) { _ = e.tell("use %d", s.Revision) }

type fakeUpstreams struct{ *planes }

func (u fakeUpstreams) Check(all []upstream.Settings) error { return u.tell("check %s", names(all)) }

func (u fakeUpstreams) Prepare(all []upstream.Settings) (map[string]*upstream.Upstream, error) {
	if err := u.tell("prepare %s", names(all)); err != nil {
		return nil, err
	}
	live := map[string]*upstream.Upstream{}
	for _, s := range all {
		live[s.Name] = new(upstream.Upstream)
	}
	return live, nil
}

func (u fakeUpstreams) Retire(keep map[string]*upstream.Upstream) {
	var names []string
	for name := range keep {
		names = append(names, name)
	}
	slices.Sort(names)
	_ = u.tell("retire all but %v", names)
}

func names(all []upstream.Settings) []string {
	var out []string
	for _, s := range all {
		name := fmt.Sprintf("%s/%d", s.Name, s.Slot)
		if s.TLS != nil {
			name += " by " + s.TLS.Identity
		}
		out = append(out, name)
	}
	return out
}

type fakeListeners struct{ *planes }

func (l fakeListeners) Apply(c *compile.Compiled) error {
	if !l.busy.CompareAndSwap(false, true) {
		l.overlaps.Add(1)
	}
	defer l.busy.Store(false)
	var addresses []string
	for _, one := range c.Listeners {
		addresses = append(addresses, one.Listen.Address)
	}
	return l.tell("listen %v", addresses)
}

type fakeSecure struct{ *planes }

func (s fakeSecure) Begin() { _ = s.tell("begin") }
func (s fakeSecure) Keep()  { _ = s.tell("keep") }
func (s fakeSecure) Drop()  { _ = s.tell("drop") }

func (s fakeSecure) Trust(t *compile.Trust) (*upstream.TLS, error) {
	ca := filepath.Base(t.CA)
	return &upstream.TLS{Identity: ca}, s.tell("trust %s", ca)
}

// fakeWorld gives an empty world; it takes part in nothing the planes are told.
type fakeWorld struct{ *planes }

func (w fakeWorld) Begin(*compile.Compiled) (*policy.World, error) {
	return &policy.World{State: policy.NewState()}, w.tell("world")
}
func (w fakeWorld) Start() {}
func (w fakeWorld) Keep()  {}
func (w fakeWorld) Drop()  {}

type fakeProcess struct{ *planes }

func (p fakeProcess) Apply(c *config.Config) error { return p.tell("log %s", c.Log.Access.To) }

// place is a manager with planes and a file.
type place struct {
	*Manager
	planes *planes
	file   string
	log    *strings.Builder
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{planes: &planes{}, file: filepath.Join(t.TempDir(), "straum.yaml"), log: &strings.Builder{}}
	p.Manager = New(Options{
		Source:    File(p.file),
		Kinds:     chain.Order,
		Policies:  chain.Schemas(chain.Order),
		Edge:      fakeEdge{p.planes},
		Upstreams: fakeUpstreams{p.planes},
		Listeners: fakeListeners{p.planes},
		Process:   fakeProcess{p.planes},
		Secure:    fakeSecure{p.planes},
		World:     fakeWorld{p.planes},
		Slots:     Slots{Routes: func(string) int { return 1 }, Upstreams: func(string) int { return 2 }},
		Log:       slog.New(slog.NewTextHandler(p.log, nil)),
	})
	return p
}

// text is a configuration with one listener and one upstream.
func text(port int, upstream string) string {
	return fmt.Sprintf("listeners: [{ address: \":%d\" }]\nupstreams: { %s: { endpoints: [127.0.0.1:1] } }\nroutes: [{ match: { path: /* }, upstream: %s }]\n",
		port, upstream, upstream)
}

func (p *place) write(t *testing.T, text string) {
	t.Helper()
	write(t, p.file, text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *place) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := p.planes.heard(); got != strings.Join(want, "\n") {
		t.Errorf("the planes were told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// first brings a place to revision 1.
func first(t *testing.T) *place {
	t.Helper()
	p := newPlace(t)
	p.write(t, text(81, "a"))
	if changed, err := p.Reload("start"); !changed || err != nil {
		t.Fatal(changed, err)
	}
	return p
}

func TestTheFirstSnapshotIsThereBeforeAListener(t *testing.T) {
	p := first(t)
	p.expect(t, "begin", "world", "check [a/2]", "log stdout", "prepare [a/2]", "use 1", "listen [:81]", "use 1", "retire all but [a]", "keep")
	s := p.State()
	if s.InForce.Number != 1 || s.Accepted != 1 || s.Refused != 0 || s.LastError != nil || s.LastTry.IsZero() || s.InForce.Accepted.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestALaterSnapshotComesAfterTheListeners(t *testing.T) {
	p := first(t)
	p.planes.heard()
	p.write(t, text(82, "b"))
	if changed, err := p.Reload("test"); !changed || err != nil {
		t.Fatal(changed, err)
	}
	p.expect(t, "begin", "world", "check [b/2]", "log stdout", "prepare [b/2]", "listen [:82]", "use 2", "retire all but [b]", "keep")
	if n := p.State().InForce.Number; n != 2 {
		t.Error(n)
	}
}

func TestTheSameTextIsNoNewRevision(t *testing.T) {
	p := first(t)
	p.planes.heard()
	if changed, err := p.Reload("test"); changed || err != nil {
		t.Error(changed, err)
	}
	p.expect(t)
	if n := p.State().InForce.Number; n != 1 {
		t.Error(n)
	}
}

// A bad configuration never replaces a running one: whatever is wrong with it, what is in force stays, and so do the numbers.
func TestABadConfigurationReplacesNothing(t *testing.T) {
	refusal := errors.New("no")
	for _, c := range []struct {
		name, text, failing string
		problems            bool
		told                []string
	}{
		{"not YAML", "}", "", true, nil},
		{"a dangling name", strings.Replace(text(82, "b"), "upstream: b", "upstream: c", 1), "", true, nil},
		{"what only compiling shows", text(82, "b") + "policies: [{ request_id: { header: \"X Y\" } }]\n", "", true, nil},
		{"gone", "", "", true, nil},
		{"upstreams refuse", text(82, "b"), "check", false, []string{"begin", "world", "check [b/2]", "drop"}},
		{"the log cannot be opened", text(82, "b"), "log", false, []string{"begin", "world", "check [b/2]", "log stdout", "drop"}},
		{"upstreams fail", text(82, "b"), "prepare", false,
			[]string{"begin", "world", "check [b/2]", "log stdout", "prepare [b/2]", "prepare [a/2]", "retire all but [a]", "log stdout", "drop"}},
		{"a port is taken", text(82, "b"), "listen", false,
			[]string{"begin", "world", "check [b/2]", "log stdout", "prepare [b/2]", "listen [:82]", "prepare [a/2]", "retire all but [a]", "log stdout", "drop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := first(t)
			p.planes.heard()
			p.planes.fail(c.failing, refusal)
			before := p.State()
			if p.write(t, c.text); c.text == "" {
				if err := os.Remove(p.file); err != nil {
					t.Fatal(err)
				}
			}
			changed, err := p.Reload("test")
			var problems *document.Problems
			if changed || err == nil || errors.As(err, &problems) != c.problems || !c.problems && !errors.Is(err, refusal) {
				t.Errorf("%t, %v", changed, err)
			}
			p.expect(t, c.told...)
			s := p.State()
			if s.InForce != before.InForce || s.Refused != 1 || s.Accepted != 1 || s.LastError != err || s.LastTry.Before(before.LastTry) {
				t.Errorf("%+v", s)
			}
			if !strings.Contains(p.log.String(), "still_in_force=1") {
				t.Errorf("the log does not tell: %s", p.log)
			}

			// The good text again is still in force; other good text is the next revision.
			p.planes.fail("", nil)
			p.write(t, text(83, "c"))
			if changed, err := p.Reload("test"); !changed || err != nil {
				t.Errorf("%t, %v", changed, err)
			}
			if s := p.State(); s.InForce.Number != 2 || s.LastError != nil || s.Refused != 1 || s.Accepted != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What endpoints are spoken to with was made of files, which may be gone or others by the time a revision is gone back to: what was made
// is kept, and nothing is made again.
func TestGoingBackMakesNothingAnew(t *testing.T) {
	trusting := func(port int, ca string) string {
		return strings.Replace(text(port, "a"), "127.0.0.1:1] }", "127.0.0.1:1], tls: { ca: "+ca+" } }", 1)
	}
	p := newPlace(t)
	p.write(t, trusting(81, "ca1.pem"))
	if _, err := p.Reload("start"); err != nil {
		t.Fatal(err)
	}
	p.planes.heard()
	p.write(t, trusting(82, "ca2.pem"))

	p.planes.fail("listen", errors.New("no"))
	if _, err := p.Reload("test"); err == nil {
		t.Fatal("accepted")
	}
	p.expect(t, "begin", "world", "trust ca2.pem", "check [a/2 by ca2.pem]", "log stdout", "prepare [a/2 by ca2.pem]", "listen [:82]",
		"prepare [a/2 by ca1.pem]", "retire all but [a]", "log stdout", "drop")

	p.planes.fail("trust", errors.New("no"))
	if _, err := p.Reload("test"); err == nil {
		t.Fatal("accepted")
	}
	p.expect(t, "begin", "world", "trust ca2.pem", "drop")
	if log := p.log.String(); strings.Contains(log, "changed back") {
		t.Error(log)
	}
}

func TestNothingIsLeftOfAFailedStart(t *testing.T) {
	p := newPlace(t)
	p.write(t, text(81, "a"))
	p.planes.fail("listen", errors.New("no"))
	if changed, err := p.Reload("start"); changed || err == nil {
		t.Fatal(changed, err)
	}
	p.expect(t, "begin", "world", "check [a/2]", "log stdout", "prepare [a/2]", "use 1", "listen [:81]", "retire all but []", "drop")
	if s := p.State(); s.InForce != nil || s.Refused != 1 {
		t.Errorf("%+v", s)
	}
}

// Whoever asks for a reload gets another try at a text that was refused: the port may be free now. A watcher does not: it would try,
// and tell, for every event.
func TestOnlyAnOrderTriesAgain(t *testing.T) {
	p := first(t)
	p.write(t, text(82, "b"))
	p.planes.fail("listen", errors.New("no"))
	if _, err := p.Reload("test"); err == nil {
		t.Fatal("accepted")
	}
	p.planes.heard()
	p.follow()
	p.expect(t)
	if n := p.State().Refused; n != 1 {
		t.Error("refused", n)
	}
	p.planes.fail("", nil)
	if changed, err := p.Reload("test"); !changed || err != nil {
		t.Error(changed, err)
	}
}

// A reload sees that a file changed which only another file names.
func TestAFileOfAFileIsLoaded(t *testing.T) {
	p := newPlace(t)
	dir := filepath.Dir(p.file)
	loads := func(why string, cause string, want bool, fails string) {
		t.Helper()
		before := p.State()
		var changed bool
		var err error
		if cause == "file" {
			p.follow()
			changed = p.State().Accepted > before.Accepted
			if p.State().Refused > before.Refused {
				err = p.State().LastError
			}
		} else {
			changed, err = p.Reload(cause)
		}
		if changed != want || (err != nil) != (fails != "") || err != nil && !strings.Contains(err.Error(), fails) {
			t.Errorf("%s: changed %v, %v", why, changed, err)
		}
	}
	p.write(t, strings.Replace(text(81, "a"), "upstream: a }", "upstream: a, policies: [{validate: {schema: a.json}}] }", 1))
	write(t, filepath.Join(dir, "a.json"), `{"$ref":"b.json"}`)
	loads("it lacks", "start", false, "b.json cannot be read: no such file")
	loads("it still lacks", "file", false, "")
	write(t, filepath.Join(dir, "b.json"), `{"type":"string"}`)
	loads("it is there", "file", true, "")
	loads("nothing happened", "signal", false, "")
	loads("nothing happened", "file", false, "")
	write(t, filepath.Join(dir, "b.json"), `{"type":"sting"}`)
	loads("it is bad", "signal", false, "value must be")
	loads("it is as bad", "file", false, "")
	loads("it is as bad and it is asked for", "signal", false, "value must be")
	write(t, filepath.Join(dir, "b.json"), `{"$ref":"c.json"}`)
	write(t, filepath.Join(dir, "c.json"), `true`)
	loads("there is another", "signal", true, "")
	write(t, filepath.Join(dir, "c.json"), `false`)
	loads("the other changed", "signal", true, "")
	loads("nothing happened", "signal", false, "")
	p.write(t, text(81, "a"))
	loads("none is named", "signal", true, "")
	write(t, filepath.Join(dir, "c.json"), `true`)
	loads("it is no matter any more", "signal", false, "")
}

func TestLoadsAreOneAtATime(t *testing.T) {
	p := first(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			file := fmt.Sprintf("%s.%d", p.file, i)
			_ = os.WriteFile(file, []byte(text(82+i, "a")), 0o600)
			_ = os.Rename(file, p.file)
			_, _ = p.Reload("test")
		})
	}
	all.Wait()
	if n := p.planes.overlaps.Load(); n > 0 {
		t.Errorf("%d loads met another", n)
	}
	s := p.State()
	if s.Refused > 0 || uint64(s.InForce.Number) != s.Accepted {
		t.Errorf("%+v", s)
	}
}

func TestTextNeedsNoFile(t *testing.T) {
	p := newPlace(t)
	p.Manager.o.Source = Text("flags", text(81, "a"))
	if changed, err := p.Reload("start"); !changed || err != nil {
		t.Fatal(changed, err)
	}
	p = newPlace(t)
	p.Manager.o.Source = Text("flags", "nonsense: 1")
	if _, err := p.Reload("start"); err == nil || !strings.Contains(err.Error(), "flags:1:1") {
		t.Error(err)
	}
}

func TestManyProblemsAreToldInPart(t *testing.T) {
	p := first(t)
	var bad strings.Builder
	for i := range 30 {
		fmt.Fprintf(&bad, "nonsense%d: 1\n", i)
	}
	p.write(t, text(81, "a")+bad.String())
	if _, err := p.Reload("test"); err == nil {
		t.Fatal("accepted")
	}
	if n := strings.Count(p.log.String(), "configuration refused"); n != 11 || !strings.Contains(p.log.String(), "and 20 more problems") {
		t.Errorf("%d lines:\n%s", n, p.log)
	}
}

func TestADirectoryIsNoFile(t *testing.T) {
	r := newReading()
	var pe *fs.PathError
	if _, err := r.readFile(t.TempDir()); !errors.As(err, &pe) {
		t.Error(err)
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for by := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(by) {
			t.Fatal("never came true: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
