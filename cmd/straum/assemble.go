package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/notify"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/admin"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/chain"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/resolve"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/observe/accesslog"
	observed "straum.dev/straum/internal/observe/bans"
	"straum.dev/straum/internal/observe/metrics"
	"straum.dev/straum/internal/observe/status"
)

// gateway is all parts of one running gateway.
type gateway struct {
	log       *slog.Logger
	access    *accesslog.Log
	metrics   *metrics.Metrics
	status    *status.Status
	page      *page
	resolver  *resolve.Resolver
	upstreams *upstream.Set
	listeners *listen.Set
	bans      *bans
	edge      *edge.Edge
	secure    *secure
	caches    *caches
	world     *world
	doors     *doors
	revisions *revision.Manager
	admin     *admin.Admin
	sandbox   *confinement
	box       *watched
	manager   *notify.Manager // nil when no service manager has started us
	starting  atomic.Bool
	draining  atomic.Bool
}

// assemble builds and joins the parts, from those that need nothing to those that need all. Nothing listens yet: that begins with
// the first revision. first is the configuration for what cannot change later: the format of the log and the room for its lines.
func assemble(first *config.Config, source revision.Source, to io.Writer) (*gateway, error) {
	g := &gateway{manager: notify.Of(os.LookupEnv, os.Getpid())}
	shards := runtime.GOMAXPROCS(0) // as many as a listener has sockets

	// What is logged about the gateway itself.
	level := new(slog.LevelVar)
	g.log = newLogger(&first.Log, level, to)

	// Step 11: who reads finished exchanges. The access log is closed until the first revision says where it goes.
	var err error
	g.access, err = accesslog.New(accesslog.Options{Settings: accesslog.Settings{To: accesslog.Off}, Buffer: int(first.Log.Access.Buffer), Shards: shards})
	if err != nil {
		return nil, err
	}
	build := buildInfo()
	g.metrics = metrics.New(metrics.Options{Shards: shards, Build: metrics.Build{Version: build.Version, Commit: build.Commit, Go: build.Go}})

	// Steps 6 and 7: upstreams, and the names of their endpoints.
	g.resolver = resolve.New(resolve.Settings{}, nil, rand.Uint64, func(name string, err error, kept int) {
		if err == nil {
			g.log.Info("name resolves again", "name", name, "addresses", kept)
			return
		}
		g.log.Warn("name does not resolve", "name", name, "error", err.Error(), "addresses_kept", kept)
	})
	g.upstreams = upstream.NewSet(g.log, g.resolver)

	// Steps 1 to 11: the flow, and the listeners that bring it connections.
	g.listeners, err = listen.New(g.log)
	if err != nil {
		return nil, err
	}
	g.listeners.Relieve(g.upstreams.Relieve) // when descriptors run out

	// Who is refused: at the door, by the flow, and by whom it is told.
	g.bans = newBans(g.log, config.Beside(first.Node, first.State), g.listeners, g.upstreams)
	g.listeners.Watch(g.bans)
	g.edge = edge.New(g.log, g.metrics, g.access, observed.New(g.bans))
	g.edge.Refuse(g.bans.Refuses)

	g.secure = newSecure(g.log, config.Beside(first.Node, first.State))
	g.caches = newCaches(g.log, config.Beside(first.Node, first.State))
	g.world = newWorld(g.log, config.Beside(first.Node, first.State), g.caches)
	g.sandbox = &confinement{log: g.log}
	g.world.reachable = g.sandbox.compiled
	g.doors = &doors{listeners: g.listeners, edge: g.edge, secure: g.secure, bans: g.bans}

	// The configuration in force, which tells all of the above what to do.
	settings := &process{log: g.log, level: level, access: g.access}
	g.revisions = revision.New(revision.Options{
		Source:    g.sandbox.source(source),
		Kinds:     chain.Order,
		Policies:  chain.Schemas(chain.Order),
		Getenv:    os.LookupEnv,
		Edge:      g.edge,
		Upstreams: g.upstreams,
		Listeners: g.doors,
		Process:   settings,
		Secure:    g.secure,
		World:     g.world,
		Told:      func(s revision.State) { g.manager.Status(told(&s)) },
		Slots:     revision.Slots{Routes: g.metrics.Routes.Of, Upstreams: g.metrics.Upstreams.Of},
		Log:       g.log,
	})
	g.box = newWatched(box.Here(), first, g.metrics.Exchanges)
	g.metrics.Show(g.sources())

	// What monitors look at, and where operators give orders. Where they are served is the configuration's to say, too.
	g.status = status.New(status.Options{Metrics: g.metrics.Registry(), Checks: []status.Check{{Name: "configuration", Ready: g.configured}, {Name: "start", Ready: g.started}}, Aids: []status.Check{{Name: "redis", Ready: g.world.storeReady}},
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelWarn)})
	g.admin = g.newAdmin(build, time.Now())
	g.page = &page{log: g.log, status: g.status}
	settings.page, settings.admin = g.page, g.admin
	return g, nil
}

// configured is the condition of being ready.
func (g *gateway) configured() (bool, string) {
	return g.revisions.State().InForce != nil, "no configuration is in force yet"
}

// started is another: what is done once at the start stops all threads for some milliseconds.
func (g *gateway) started() (bool, string) {
	return !g.starting.Load(), "the sandbox is not entered yet"
}

// unready is what keeps the gateway from being ready.
func (g *gateway) unready() (all []admin.Reason) {
	if ok, why := g.configured(); !ok {
		all = append(all, admin.Reason{Check: "configuration", Reason: why})
	}
	if ok, why := g.started(); !ok {
		all = append(all, admin.Reason{Check: "start", Reason: why})
	}
	if g.draining.Load() {
		all = append(all, admin.Reason{Check: "draining", Reason: "the gateway is stopping"})
	}
	return all
}

// drain tells everybody who asks that the gateway is about to stop.
func (g *gateway) drain() {
	g.draining.Store(true)
	g.status.Drain()
}

// close ends the parts, from those that take in work to those that tell about it. Exchanges under way have until ctx ends.
func (g *gateway) close(ctx context.Context) {
	if cut := g.listeners.Drain(ctx); cut > 0 {
		g.log.Warn("the time to drain is over; connections were cut", "connections", cut)
	}
	g.bans.close()
	g.caches.close() // before the upstreams that it renews from, and the connection to the shared store
	g.upstreams.Close()
	g.world.close()
	g.secure.close()
	g.resolver.Close()
	flush, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := g.access.Close(flush); err != nil {
		g.log.Error(err.Error())
	}
	g.admin.Close(flush)
	g.page.stop()
	g.box.close()
}

func newLogger(o *config.Log, level *slog.LevelVar, to io.Writer) *slog.Logger {
	_ = level.UnmarshalText([]byte(o.Level)) // the words are those of slog
	options := &slog.HandlerOptions{Level: level}
	if o.Format == "text" {
		return slog.New(slog.NewTextHandler(to, options))
	}
	return slog.New(slog.NewJSONHandler(to, options))
}

// process is what of a revision concerns the process and not the data path. One goroutine at a time uses it.
type process struct {
	log    *slog.Logger
	level  *slog.LevelVar
	access *accesslog.Log
	page   *page
	admin  *admin.Admin

	applied *config.Config // the last that was applied whole, nil before the first
}

// Apply implements revision.Process.
func (p *process) Apply(c *config.Config) error {
	err := p.apply(c)
	if err == nil {
		p.tellLater(c)
		p.applied = c
		return nil
	}
	if p.applied != nil {
		if back := p.apply(p.applied); back != nil {
			p.log.Error("not all of the refused configuration could be changed back", "error", back.Error())
		}
	}
	return err
}

// tellLater warns of changes that wait for the next start.
func (p *process) tellLater(c *config.Config) {
	if p.applied == nil {
		return
	}
	if p.applied.State != c.State {
		p.log.Warn("state is as it was; a change of it takes effect at the next start")
	}
	if was, s := &p.applied.Sandbox, &c.Sandbox; was.Off != s.Off || was.Required != s.Required || !slices.Equal(was.Read, s.Read) || !slices.Equal(was.Write, s.Write) {
		p.log.Warn("the sandbox is as it was; a change of it takes effect at the next start")
	}
	if was, l := &p.applied.Log, &c.Log; was.Format != l.Format || was.Access.Buffer != l.Access.Buffer {
		p.log.Warn("log.format and log.access.buffer are as they were; a change of them takes effect at the next start")
	}
}

func (p *process) apply(c *config.Config) error {
	if err := p.access.Set(accessSettings(&c.Log.Access)); err != nil {
		return fmt.Errorf("log.access.to: %w", err)
	}
	if err := p.page.apply(&c.Metrics); err != nil {
		return fmt.Errorf("metrics.address: %w", err)
	}
	if err := applyAdmin(p.admin, &c.Admin, p.log); err != nil {
		return err
	}
	return p.level.UnmarshalText([]byte(c.Log.Level))
}

func accessSettings(a *config.AccessLog) accesslog.Settings {
	clients := map[string]accesslog.Client{"masked": accesslog.ClientMasked, "full": accesslog.ClientFull, "none": accesslog.ClientNone}
	queries := map[string]accesslog.Query{"redacted": accesslog.QueryNames, "full": accesslog.QueryFull, "none": accesslog.QueryNone}
	return accesslog.Settings{To: a.To, Client: clients[a.Addresses], Query: queries[a.Query], Credential: a.Credential}
}
