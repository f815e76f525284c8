package revision

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/upstream"
)

// Edge takes snapshots.
type Edge interface {
	Use(s *edge.Snapshot)
}

// Upstreams takes the settings of upstreams; *upstream.Set does.
type Upstreams interface {
	Check(all []upstream.Settings) error
	Prepare(all []upstream.Settings) (map[string]*upstream.Upstream, error)
	Retire(keep map[string]*upstream.Upstream)
}

// Listeners takes the settings of listeners. After an error everything is as it was.
type Listeners interface {
	Apply(c *compile.Compiled) error
}

// Process takes what of a configuration concerns the process and not the data path, such as where the log goes. After an error
// everything is as it was.
type Process interface {
	Apply(c *config.Config) error
}

// Secure makes what a revision needs to speak TLS, for one revision at a time: Begin, then whatever is asked for, then Keep or Drop.
// Until Keep, what it made for the revision in force stays as it is.
type Secure interface {
	Begin()
	Trust(t *compile.Trust) (*upstream.TLS, error)
	Keep() // the revision is in force: what only the one before it needed is given up
	Drop() // it is not, and is not spoken for any more: what only it needed is given up
}

// World makes what policies reach beyond the exchange, for one revision at a time: Begin, then Start, then Keep or Drop.
type World interface {
	Begin(c *compile.Compiled) (*policy.World, error)
	Start() // the revision is about to take requests
	Keep()  // the revision is in force: what only the one before it needed is given up
	Drop()  // it is not: what only it needed is given up
}

// Slots number the names that are counted by.
type Slots struct{ Routes, Upstreams compile.Slot }

// Options are what a Manager works with.
type Options struct {
	Source Source
	Kinds  []policy.Kind // chain.Order
	// Policies are the options structs of all policies by name: chain.Schemas of Kinds.
	Policies map[string]any
	Getenv   func(name string) (string, bool)

	Edge      Edge
	Upstreams Upstreams
	Listeners Listeners
	Process   Process
	Secure    Secure
	World     World
	Slots     Slots
	Told      func(State) // is told of the state after each load that met something new; may be nil

	Log *slog.Logger
	Now func() time.Time // nil is time.Now
}

// Revision is one accepted configuration. It is immutable.
type Revision struct {
	Number   int // from 1
	Accepted time.Time
	Digest   string // stands for the text of all files it was read from
	Config   *config.Config
	Compiled *compile.Compiled
}

// State is what can be told of the loads so far.
type State struct {
	InForce   *Revision // nil before the first
	LastTry   time.Time // of the last load that met something new
	LastError error     // of the last try; nil when it was accepted
	Accepted  uint64    // loads
	Refused   uint64
}

// Manager keeps the configuration in force. Its methods may be called from any goroutine.
type Manager struct {
	o     Options
	state atomic.Pointer[State]

	mu    sync.Mutex // held for one load: they are done one at a time
	live  map[string]*upstream.Upstream
	set   []upstream.Settings // those in force, to go back to: the files they were made from may be others by now
	tried string              // digest of the last try, accepted or not
	dirs  []string            // where the last try looked for files
	files map[string]bool     // what it read
	noted []string            // files that the policies read which were bound last
}

// New makes a manager without a revision. Reload brings the first.
func New(o Options) *Manager {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Manager{o: o}
	m.state.Store(&State{})
	return m
}

// State tells what is in force and how the last try went.
func (m *Manager) State() State { return *m.state.Load() }

// Reload loads the configuration and puts it in force. changed is false, and nothing happens, when its text is what is in force
// already. An error says why it was refused: *document.Problems for mistakes in the text, anything else when it could not be put in
// force. cause is a word for the log: start, signal, file, admin.
func (m *Manager) Reload(cause string) (changed bool, err error) {
	return m.load(cause, func(digest string) bool {
		now := m.state.Load().InForce
		return now != nil && now.Digest == digest
	})
}

// follow is Reload for a watcher, which sees the same text again and again: one that was refused is not tried twice.
func (m *Manager) follow() {
	_, _ = m.load("file", func(digest string) bool { return m.tried == digest }) // told in the log and the state
}

func (m *Manager) load(cause string, known func(digest string) bool) (changed bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	began := m.o.Now()
	seen := newReading()
	next := &Revision{}
	next.Config, next.Compiled, err = Check(m.o.Source, seen.options(m.o.Getenv, m.o.Policies), m.o.Kinds)
	if err == nil {
		for _, file := range next.Compiled.Files() {
			seen.also(file)
		}
		for _, file := range m.noted {
			seen.note(file)
		}
	}
	next.Digest = seen.digest()
	m.dirs, m.files = seen.places()
	if known(next.Digest) {
		return false, nil
	}
	m.tried = next.Digest
	before := m.state.Load()
	after := *before
	after.LastTry = began
	if err == nil {
		next.Number = 1
		if before.InForce != nil {
			next.Number = before.InForce.Number + 1
		}
		seen.forget()
		err = m.putInForce(next, before.InForce, seen)
		next.Digest = seen.digest()
		m.tried, m.noted = next.Digest, seen.forget()
	}
	if err != nil {
		after.Refused++
		after.LastError = err
		m.state.Store(&after)
		m.told(after)
		m.tellRefused(cause, before.InForce, err)
		return false, err
	}
	next.Accepted = m.o.Now()
	after.Accepted++
	after.LastError = nil
	after.InForce = next
	m.state.Store(&after)
	m.told(after)
	listeners, routes, upstreams, endpoints := next.Compiled.Counts()
	m.o.Log.Info("configuration in force", "revision", next.Number, "cause", cause, "listeners", listeners, "routes", routes,
		"upstreams", upstreams, "endpoints", endpoints, "took", m.o.Now().Sub(began).Round(time.Microsecond).String())
	return true, nil
}

func (m *Manager) told(s State) {
	if m.o.Told != nil {
		m.o.Told(s)
	}
}

// Check reads and compiles a configuration and touches nothing.
func Check(source Source, opt config.Options, kinds []policy.Kind) (*config.Config, *compile.Compiled, error) {
	c, err := source(opt)
	if err != nil {
		return nil, nil, err
	}
	compiled, err := compile.Compile(c, kinds)
	if err != nil {
		return nil, nil, err
	}
	return c, compiled, nil
}

// putInForce makes next what the planes run on. After an error before, which is nil at the start, is what they run on.
func (m *Manager) putInForce(next, before *Revision, seen *reading) error {
	m.o.Secure.Begin()
	world, err := m.o.World.Begin(next.Compiled)
	if err == nil {
		world.Note = seen.note
		err = m.change(next, before, world)
	}
	if err != nil {
		m.o.World.Drop()
		m.o.Secure.Drop()
		return err
	}
	m.o.World.Keep()
	m.o.Secure.Keep()
	return nil
}

// change is putInForce between the beginning and the end of what Secure and World do.
func (m *Manager) change(next, before *Revision, world *policy.World) error {
	chains, err := next.Compiled.Bind(world)
	if err != nil {
		return err
	}
	settings, err := next.Compiled.Upstreams(m.o.Slots.Upstreams, m.o.Secure.Trust)
	if err != nil {
		return err
	}
	if err := m.o.Upstreams.Check(settings); err != nil {
		return err
	}
	if err := m.o.Process.Apply(next.Config); err != nil {
		return err
	}
	live, err := m.o.Upstreams.Prepare(settings)
	if err != nil {
		return m.goBack(before, err)
	}
	snapshot := next.Compiled.Snapshot(next.Number, live, chains, m.o.Slots.Routes)
	m.o.World.Start()
	if before == nil {
		m.o.Edge.Use(snapshot) // nobody is to find a listener open and nothing behind it
	}
	if err := m.o.Listeners.Apply(next.Compiled); err != nil {
		return m.goBack(before, err)
	}
	m.o.Edge.Use(snapshot)
	m.o.Upstreams.Retire(live)
	m.live, m.set = live, settings
	return nil
}

// goBack changes back what was changed for a revision that then failed, and returns why it failed. It reads no files: endpoints that
// both have go on as they were, and so do the terms on which they are spoken to.
func (m *Manager) goBack(before *Revision, because error) error {
	if before == nil {
		m.o.Upstreams.Retire(nil)
		return because
	}
	_, err := m.o.Upstreams.Prepare(m.set)
	m.o.Upstreams.Retire(m.live)
	if err := errors.Join(err, m.o.Process.Apply(before.Config)); err != nil {
		m.o.Log.Error("not all of the refused configuration could be changed back", "revision", before.Number, "error", err.Error())
	}
	return because
}

// tellRefused logs a refusal, each problem on its own.
func (m *Manager) tellRefused(cause string, inForce *Revision, err error) {
	if inForce == nil {
		return // whoever starts the process tells it
	}
	var problems *document.Problems
	if !errors.As(err, &problems) {
		m.o.Log.Error("configuration refused", "cause", cause, "error", err.Error(), "still_in_force", inForce.Number)
		return
	}
	all := problems.All()
	const most = 10
	for i, p := range all {
		if i == most {
			m.o.Log.Error("configuration refused", "cause", cause, "error", fmt.Sprintf("and %d more problems; straum check shows them all", len(all)-most+problems.Dropped()),
				"still_in_force", inForce.Number)
			break
		}
		m.o.Log.Error("configuration refused", "cause", cause, "error", p.Error(), "still_in_force", inForce.Number)
	}
}
