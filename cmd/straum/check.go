package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/edge/chain"
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
line and column. What routes and policies make of their keys is looked at once the rest is right. Nothing
is opened or resolved. Where the file says ${NAME}, the environment counts, so
check it with the one it will run in.

` + exitHelp,
		Example: "  straum check -c straum.yaml",
		Args:    noArguments,
	}
	open := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		source, err := open()
		if err != nil {
			return err
		}
		_, compiled, err := judge(source)
		if err != nil {
			return failed(err)
		}
		listeners, routes, upstreams, endpoints := compiled.Counts()
		_, err = fmt.Fprintf(c.OutOrStdout(), "ok: %s, %s, %s, %s\n", count(listeners, "listener"), count(routes, "route"), count(upstreams, "upstream"), count(endpoints, "endpoint"))
		return failed(err)
	}
	return c
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
