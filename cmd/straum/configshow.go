package main

import (
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/client"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration of the running gateway",
		Args:  aCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigShow())
	return c
}

func newConfigShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration in force, defaults written out, secrets replaced by ***",
		Long: `Prints the configuration the running gateway serves with, as YAML: every default written out, included
files merged in, secrets replaced by ***. It may differ from the file when that was refused.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum config show
  straum config show --json | jq .config.upstreams`,
		Args: noArguments,
	}
	flags := addGatewayFlags(c)
	c.RunE = func(*cobra.Command, []string) error {
		if flags.json {
			return show(flags, http.MethodGet, client.ConfigPath, nil, func(io.Writer, client.Configuration) error { return nil })
		}
		gateway, err := flags.client()
		if err != nil {
			return failed(err)
		}
		text, err := gateway.YAML(c.Context())
		if err != nil {
			return failed(err)
		}
		_, err = c.OutOrStdout().Write(text)
		return failed(err)
	}
	return c
}
