package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/certificate"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/chain"
	"straum.dev/straum/internal/profile"
)

// judge reads and compiles a configuration as a running gateway would.
func judge(source revision.Source) (*config.Config, *compile.Compiled, error) {
	return revision.Check(source, config.Options{Getenv: os.LookupEnv, Policies: chain.Schemas(chain.Order)}, chain.Order)
}

func newCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Find every mistake in a configuration",
		Long: `Reads a configuration with all it includes and says everything that is wrong with it, with file,
line and column. What routes and policies make of their keys is looked at once the rest is right, and
then the certificates, keys, authorities and credentials that it names are read; --text leaves them out,
for a machine that does not have them. Nothing else is opened or resolved. Where the file says ${NAME}, the
environment counts, so check it with the one it will run in.

` + exitHelp,
		Example: "  straum check -c straum.yaml",
		Args:    noArguments,
	}
	open := configFlag(c)
	text := c.Flags().Bool("text", false, "do not read the certificates, keys and authorities it names")
	c.RunE = func(c *cobra.Command, _ []string) error {
		source, err := open()
		if err != nil {
			return err
		}
		read, compiled, err := judge(source)
		if err != nil {
			return failed(err)
		}
		if !*text {
			var problems document.Problems
			warnings, err := readable(read)
			problems.Add(err)
			more, err := bindable(compiled)
			problems.Add(err)
			for _, w := range append(warnings, more...) {
				_, _ = fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
			}
			if err := problems.Err(); err != nil {
				return failed(err)
			}
		}
		listeners, routes, upstreams, endpoints := compiled.Counts()
		_, err = fmt.Fprintf(c.OutOrStdout(), "ok: %s, %s, %s, %s\n", count(listeners, "listener"), count(routes, "route"), count(upstreams, "upstream"), count(endpoints, "endpoint"))
		return failed(err)
	}
	return c
}

// bindable reads the files of credentials and those that policies name, as a gateway that starts would, and starts nothing.
func bindable(c *compile.Compiled) (warnings []string, err error) {
	w := newWorld(slog.New(slog.DiscardHandler), "", nil)
	w.dry = true
	defer w.close()
	reached, err := w.Begin(c)
	if err != nil {
		return nil, err
	}
	_, err = c.Bind(reached)
	return append(c.Warnings(reached.Consumers, time.Now()), reached.Consumers.Warnings()...), err
}

// readable reads the files of TLS that a configuration names, and tells what is wrong with each. warnings are what a gateway would run with
// all the same.
func readable(c *config.Config) (warnings []string, err error) {
	var problems document.Problems
	store := certificate.NewStore(certificate.Options{Log: slog.New(slog.DiscardHandler)})
	defer store.Retire()
	pair := func(at document.Node, cert, key string) {
		p := certificate.Pair{Cert: config.Beside(at, cert), Key: config.Beside(at, key)}
		if _, err := store.Prepare(certificate.Settings{Pairs: []certificate.Pair{p}}); err != nil {
			problems.Add(at.Errorf("%s", err))
		}
	}
	authorities := func(load func(string) (*profile.Authorities, error), at document.Node, file string) {
		if file == "" {
			return
		}
		if _, err := load(config.Beside(at, file)); err != nil {
			problems.Add(at.At("ca").Errorf("%s", err))
		}
	}
	for i := range c.Listeners {
		t := c.Listeners[i].TLS
		if t == nil {
			continue
		}
		for _, p := range t.Certificates {
			pair(p.Node, p.Cert, p.Key)
		}
		if t.Client != nil {
			authorities(profile.LoadAuthorities, t.Client.Node, t.Client.CA)
		}
	}
	for i := range c.Upstreams {
		if t := c.Upstreams[i].TLS; t != nil {
			authorities(profile.LoadRoots, t.Node, t.CA)
			if t.Cert != "" {
				pair(t.Node, t.Cert, t.Key)
			}
		}
	}
	authorities(profile.LoadRoots, c.ACME.Node, c.ACME.CA)
	for _, s := range store.Status() {
		for _, w := range s.Warnings {
			warnings = append(warnings, s.Pair.Cert+": "+w)
		}
	}
	for i := range c.Upstreams {
		if t := c.Upstreams[i].TLS; t != nil && !t.Verify {
			warnings = append(warnings, t.Node.At("verify").Place()+": the endpoints of "+c.Upstreams[i].Name+" are not verified; whoever is on the way to them can read and change everything")
		}
	}
	return warnings, problems.Err()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
