package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/client"
)

func newBan() *cobra.Command {
	c := &cobra.Command{
		Use:   "ban",
		Short: "Show, make and end bans of addresses, and say why an address is refused",
		Long: `Shows, makes and ends bans: the addresses and networks that the running gateway refuses for a time. An
address of IPv6 stands for its /64, which is what one customer is given.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum ban list
  straum ban add 203.0.113.7 --for 1h --reason "abuse report 4711"
  straum ban why 203.0.113.7
  straum ban remove 203.0.113.7`,
		Args: aCommand,
		RunE: func(c *cobra.Command, _ []string) error { return failed(c.Help()) },
	}
	c.AddCommand(newBanList(), newBanAdd(), newBanRemove(), newBanWhy())
	return c
}

// oneOf takes exactly one argument, and says which when there is none.
func oneOf(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, arguments []string) error {
		switch {
		case len(arguments) == 0:
			return fmt.Errorf("%s is missing: %s", what, c.UseLine())
		case len(arguments) > 1:
			return fmt.Errorf("found %d arguments, but %s takes one", len(arguments), c.CommandPath())
		}
		return nil
	}
}

func newBanList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list [address or network]",
		Short: "Show what is banned, until when, why, and by whom",
		Long: `Shows the bans that run, by network. With an address or a network, those alone that share addresses
with it.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum ban list
  straum ban list 2001:db8::/32
  straum ban list --limit 10000 --json | jq -r '.bans[] | select(.by == "score") | .network'`,
		Args: cobra.MaximumNArgs(1),
	}
	flags := addGatewayFlags(c)
	limit := c.Flags().Int("limit", 1000, "how many to show, 10000 at most")
	offset := c.Flags().Int("offset", 0, "how many to pass over")
	c.RunE = func(_ *cobra.Command, of []string) error {
		return show(flags, http.MethodGet, client.BansQuery(strings.Join(of, ""), *offset, *limit), nil, printBans)
	}
	return c
}

// hows are the ways to refuse.
var hows = []string{"refuse", "drop", "kernel"}

func newBanAdd() *cobra.Command {
	c := &cobra.Command{
		Use:   "add ADDRESS|NETWORK",
		Short: "Ban an address or a network",
		Long: `Bans an address or a network, also while bans are a dry run. A ban of the same network is replaced. What is
never banned is not banned by hand either: loopback, the box itself, trusted proxies, endpoints, the
address you work from, and bans.never.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum ban add 203.0.113.7
  straum ban add 2001:db8:7::/48 --for forever --how refuse --reason "contract ended"`,
		Args: oneOf("the address or network"),
	}
	flags := addGatewayFlags(c)
	term := c.Flags().String("for", "24h", "how long: a `time` such as 90s, 30m or 24h, or forever")
	how := c.Flags().String("how", "drop", "how: `refuse, drop or kernel`; see bans.ladder")
	reason := c.Flags().String("reason", "", "why, as a `text` for lists and the log")
	c.RunE = func(_ *cobra.Command, what []string) error {
		seconds, err := termSeconds(*term)
		if err != nil {
			return &coded{exitUsage, fmt.Errorf("--for: %w", err)}
		}
		if !slices.Contains(hows, *how) {
			return &coded{exitUsage, fmt.Errorf("--how: found %q; allowed: %s", *how, strings.Join(hows, ", "))}
		}
		order := client.BanOrder{Network: what[0], For: seconds, How: *how, Reason: *reason, By: who()}
		return show(flags, http.MethodPost, client.BansPath, order, func(w io.Writer, b client.Ban) error {
			until := "until it is removed"
			if b.Until != nil {
				until = "until " + b.Until.UTC().Format(time.DateTime) + " UTC"
			}
			_, err := fmt.Fprintf(w, "%s is banned (%s) %s\n", b.Network, b.How, until)
			return err
		})
	}
	return c
}

// termSeconds reads how long a ban is to last; 0 is for ever.
func termSeconds(text string) (int64, error) {
	if text == "forever" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > 10*366*24*time.Hour {
		return 0, fmt.Errorf("found %q; allowed: a time from 1s to ten years, such as 90s, 30m or 24h, or forever", text)
	}
	return int64(d / time.Second), nil
}

// who gives the order, as far as it is known: whoever became root, or is the user.
func who() string {
	name := cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"), "cli")
	return oneLine(name[:min(len(name), 32)])
}

func newBanRemove() *cobra.Command {
	c := &cobra.Command{
		Use:   "remove ADDRESS|NETWORK",
		Short: "End a ban, and forget it with all that counts against the network",
		Long: `Ends the ban of a network as the list has it, and forgets it: the next one is a first one again. What counts
against an address is forgotten with it.

` + gatewayHelp + `

` + exitHelp,
		Example: "  straum ban remove 203.0.113.7",
		Args:    oneOf("the address or network"),
	}
	flags := addGatewayFlags(c)
	c.RunE = func(_ *cobra.Command, what []string) error {
		return show(flags, http.MethodPost, client.RemoveBanPath, client.BanRemoval{Network: what[0]}, func(w io.Writer, b client.Ban) error {
			_, err := fmt.Fprintf(w, "%s is not banned any more\n", b.Network)
			return err
		})
	}
	return c
}

func newBanWhy() *cobra.Command {
	c := &cobra.Command{
		Use:   "why ADDRESS",
		Short: "Say what is known of an address: its bans, what counts against it, what protects it",
		Long: `Says whether and how an address is refused now, by which bans, what counts against it and how much that is
of what gets it banned, who has used it well, and whether it is one that is never banned.

` + gatewayHelp + `

` + exitHelp,
		Example: "  straum ban why 203.0.113.7",
		Args:    oneOf("the address"),
	}
	flags := addGatewayFlags(c)
	c.RunE = func(_ *cobra.Command, what []string) error {
		return show(flags, http.MethodGet, client.WhyBannedQuery(what[0]), nil, printWhy)
	}
	return c
}

func printBans(w io.Writer, list client.BanList) error {
	switch {
	case !list.On:
		fmt.Fprintln(w, "bans are off: the configuration has no bans, so none is in force")
	case list.DryRun:
		fmt.Fprintln(w, "bans are a dry run: those that nobody ordered are not in force")
	}
	if k := list.Kernel; k != nil {
		fmt.Fprintf(w, "the kernel drops %s", count(k.Given, "network"))
		if k.LeftOut > 0 {
			fmt.Fprintf(w, "; it was not given %d for want of room", k.LeftOut)
		}
		fmt.Fprintln(w)
		if k.Problem != "" {
			fmt.Fprintln(w, "  "+oneLine(k.Problem))
		}
	}
	if list.Total == 0 {
		_, err := fmt.Fprintln(w, "no bans")
		return err
	}
	if err := printBanTable(w, list.Bans); err != nil {
		return err
	}
	if n := len(list.Bans); n < list.Total {
		_, err := fmt.Fprintf(w, "%d of %d; --offset and --limit show others\n", n, list.Total)
		return err
	}
	return nil
}

func printBanTable(w io.Writer, all []client.Ban) error {
	t := newTable(w)
	fmt.Fprintln(t, "NETWORK\tHOW\tSINCE (UTC)\tUNTIL (UTC)\tTIMES\tREASON\tBY")
	for _, b := range all {
		how, until := b.How, "removed"
		if !b.InForce {
			how += ", not in force"
		}
		if b.Until != nil {
			until = b.Until.UTC().Format(time.DateTime)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", b.Network, how, b.Began.UTC().Format(time.DateTime), until, b.Count,
			cmp.Or(oneLine(b.Reason), "-"), cmp.Or(oneLine(b.By), "-"))
	}
	return t.Flush()
}

// howRefused are the ways to refuse in words.
var howRefused = map[string]string{
	"none":   "not refused",
	"refuse": "refused: requests are answered with 403",
	"drop":   "refused: connections are dropped as they are accepted",
	"kernel": "refused: connections are dropped, by the kernel where it was told",
}

func printWhy(w io.Writer, r client.BanReasons) error {
	fmt.Fprintf(w, "%s is %s\n", r.Address, cmp.Or(howRefused[r.How], r.How))
	if r.Network != r.Address {
		fmt.Fprintf(w, "it counts as %s\n", r.Network)
	}
	switch {
	case !r.On:
		fmt.Fprintln(w, "bans are off: the configuration has no bans")
	case r.DryRun:
		fmt.Fprintln(w, "bans are a dry run")
	}
	if n := r.Never; n != nil {
		fmt.Fprintf(w, "it is never banned: %s is %s\n", n.Network, oneLine(n.Why))
	}
	if r.On {
		fmt.Fprintf(w, "%.1f of the %g points that ban it count against it", r.Score, r.Threshold)
		for i, s := range r.Signals {
			fmt.Fprintf(w, "%s %s %.1f", map[bool]string{true: ":", false: ","}[i == 0], s.Signal, s.Points)
		}
		fmt.Fprintln(w)
		if r.Spares > 0 {
			fmt.Fprintf(w, "%s used it well of late; %d spare it\n", count(r.Consumers, "consumer"), r.Spares)
		}
	}
	if r.Count > 0 {
		fmt.Fprintf(w, "%s of %s remembered", count(r.Count, "ban"), r.Network)
		if r.Forgotten != nil {
			fmt.Fprintf(w, " until %s UTC", r.Forgotten.UTC().Format(time.DateTime))
		}
		fmt.Fprintln(w)
	}
	if len(r.Bans) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return printBanTable(w, r.Bans)
}
