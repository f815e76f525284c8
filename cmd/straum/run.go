package main

import (
	"context"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/revision"
)

func newRun() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Serve as a configuration says",
		Long: `Serves as the configuration says. The file and what it includes are watched: a change is put in force
without losing a request, a change with mistakes is refused and told in the log.

Signals:
  HUP        load the configuration now, and open the log file anew
  TERM, INT  stop taking requests, let those under way end within shutdown.drain, exit;
             a second one exits at once

` + exitHelp,
		Example: `  straum run -c straum.yaml
  kill -HUP $(pidof straum)`,
		Args: noArguments,
	}
	open := configFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		source, err := open()
		if err != nil {
			return err
		}
		return failed(serve(source, serving{watch: true}))
	}
	return c
}

// serving is how to serve.
type serving struct {
	watch bool             // follow the files
	ready func(g *gateway) // called when requests are served, nil for nothing
}

// serve runs a gateway until it is told to stop.
func serve(source revision.Source, how serving) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	limitMemory()

	first, _, err := judge(source)
	if err != nil {
		return err
	}
	g, err := assemble(first, source, os.Stderr)
	if err != nil {
		return err
	}
	// Some libraries tell of hostile peers through the standard logger.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(g.log.Handler(), slog.LevelDebug).Writer())
	g.starting.Store(true)
	if _, err := g.revisions.Reload("start"); err != nil {
		g.close(expired())
		return err
	}
	// All that needs more than serving does is done: listeners listen, files are open.
	if how.watch {
		keepState(g)
	}
	if err := g.sandbox.enter(g.revisions.State().InForce, g.manager.Socket()); err != nil {
		g.close(expired())
		return err
	}
	g.starting.Store(false)
	state := g.revisions.State()
	g.manager.Ready(told(&state))
	ctx, stopWatching := context.WithCancel(context.Background())
	defer stopWatching()
	watch := &watchdog{log: g.log, manager: g.manager, listeners: g.listeners}
	go watch.runWatchdog(ctx)
	if how.watch {
		go func() {
			if err := g.revisions.Watch(ctx); err != nil {
				g.log.Warn(err.Error())
			}
		}()
	}
	if how.ready != nil {
		how.ready(g)
	}

	s := <-signals
	for s == syscall.SIGHUP {
		g.manager.Reloading("reading the configuration")
		g.access.Reopen()
		if changed, err := g.revisions.Reload("signal"); err == nil && !changed {
			g.log.Info("the configuration is in force as it is")
		}
		state = g.revisions.State()
		g.manager.Ready(told(&state))
		s = <-signals
	}
	stopWatching()
	g.drain()
	patience := g.revisions.State().InForce.Config.Stop.Drain.Std()
	g.log.Info("stopping", "signal", s.String(), "drain", patience.String())
	g.manager.Stopping("requests under way have until they are done, "+patience.String()+" at most", patience+afterDrain)
	feeding, fed := context.WithTimeout(context.Background(), patience+afterDrain)
	defer fed()
	go watch.runFeeding(feeding)
	go exitAtOnce(signals, g)
	drain, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.close(drain)
	g.log.Info("stopped")
	return nil
}

// afterDrain is more than it takes, when the time to drain is over, to cut connections and write what is to be kept.
const afterDrain = 30 * time.Second

// keepState makes the directory of state, while that can be done: a later configuration may be the first that keeps something, and the
// sandbox does not let it be made then. Where it cannot be made, it could not be later.
func keepState(g *gateway) {
	c := g.revisions.State().InForce.Config
	if !c.Sandbox.Off {
		_ = os.MkdirAll(config.Beside(c.Node, c.State), 0o700)
	}
}

// exitAtOnce waits for a second signal to stop.
func exitAtOnce(signals <-chan os.Signal, g *gateway) {
	for s := range signals {
		if s != syscall.SIGHUP {
			g.log.Warn("second signal: exiting at once", "signal", s.String())
			os.Exit(exitFailed)
		}
	}
}

// expired is a context that has ended, for closing what never served.
func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
