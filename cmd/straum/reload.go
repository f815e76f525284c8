package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/client"
)

func newReload() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Let the running gateway read its configuration again, and say how that went",
		Long: `Lets the running gateway read its configuration again and put it in force. Unlike SIGHUP it waits for
that and prints every mistake when the configuration is refused; the one before then serves on. The file
read is the one the gateway was started with.

` + gatewayHelp + `

` + exitHelp,
		Example: "  straum reload",
		Args:    noArguments,
	}
	flags := addGatewayFlags(c)
	c.RunE = func(*cobra.Command, []string) error {
		return show(flags, http.MethodPost, client.ReloadPath, nil, printReloaded)
	}
	return c
}

func printReloaded(w io.Writer, r client.Reloaded) error {
	if r.Changed {
		_, err := fmt.Fprintf(w, "revision %d is in force\n", r.Revision)
		return err
	}
	_, err := fmt.Fprintf(w, "nothing has changed; revision %d is in force\n", r.Revision)
	return err
}
