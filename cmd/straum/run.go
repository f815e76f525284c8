package main

import (
	"context"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

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
	if _, err := g.revisions.Reload("start"); err != nil {
		g.close(expired())
		return err
	}
	ctx, stopWatching := context.WithCancel(context.Background())
	defer stopWatching()
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
		g.access.Reopen()
		if changed, err := g.revisions.Reload("signal"); err == nil && !changed {
			g.log.Info("the configuration is in force as it is")
		}
		s = <-signals
	}
	stopWatching()
	g.drain()
	patience := g.revisions.State().InForce.Config.Stop.Drain.Std()
	g.log.Info("stopping", "signal", s.String(), "drain", patience.String())
	go exitAtOnce(signals, g)
	drain, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.close(drain)
	g.log.Info("stopped")
	return nil
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
