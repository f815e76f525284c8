package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/client"
)

func newCredentials() *cobra.Command {
	c := &cobra.Command{
		Use:   "credentials",
		Short: "Show the credentials of consumers: whose, until when, when last used",
		Long: `Shows the credentials that the running gateway takes, by their ids: whose they are, what they may do, until
when they are good, and when each was last used since the gateway started. Secrets are not known to it, and
not shown.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum credentials --consumer acme
  straum credentials --limit 10000 --json | jq '.credentials[] | select(.last_used == null) | .id'`,
		Args: noArguments,
	}
	flags := addGatewayFlags(c)
	of := c.Flags().String("consumer", "", "those of one consumer alone, by its `id`")
	limit := c.Flags().Int("limit", 1000, "how many to show, 10000 at most")
	offset := c.Flags().Int("offset", 0, "how many to pass over")
	c.RunE = func(*cobra.Command, []string) error {
		return show(flags, http.MethodGet, client.CredentialsQuery(*of, *offset, *limit), nil, printCredentials)
	}
	return c
}

func printCredentials(w io.Writer, list client.Credentials) error {
	if list.Total == 0 {
		_, err := fmt.Fprintf(w, "no credentials, %s\n", count(list.Consumers, "consumer"))
		return err
	}
	t := newTable(w)
	fmt.Fprintln(t, "ID\tKIND\tCONSUMER\tPLAN\tSCOPES\tEXPIRES\tLAST USED")
	for i := range list.Credentials {
		c := &list.Credentials[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(c.ID), c.Kind, oneLine(c.Consumer), cmp.Or(oneLine(c.Plan), "-"),
			cmp.Or(oneLine(strings.Join(c.Scopes, " ")), "-"), until(c), lastUse(c.LastUsed))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if n := len(list.Credentials); n < list.Total {
		_, err := fmt.Fprintf(w, "%d of %d; --offset and --limit show others\n", n, list.Total)
		return err
	}
	return nil
}

// until is the end of a credential as the configuration has it: the last day that it is good on, where it is good to the end of a day.
func until(c *client.Credential) string {
	if c.Expires == nil {
		return "never"
	}
	end := c.Expires.UTC()
	text := end.Format(time.RFC3339)
	if h, m, s := end.Clock(); h+m+s == 0 {
		text = end.Add(-time.Second).Format(time.DateOnly)
	}
	if c.Expired {
		text += ", expired"
	}
	return text
}

func lastUse(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.Format(time.DateTime)
}
