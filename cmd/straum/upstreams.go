package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/client"
)

func newUpstreams() *cobra.Command {
	c := &cobra.Command{
		Use:   "upstreams [name]",
		Short: "Show the upstreams of the running gateway: health, breakers, connections",
		Long: `Shows the endpoints of all upstreams with their health, their requests and their connections. With a
name, one upstream in detail: where its breaker stands, and why connections had to be opened that could
have been reused. With --breaker, the breaker of that upstream is held open (all requests are refused) or
closed (all pass), or with auto decides again.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum upstreams
  straum upstreams orders
  straum upstreams orders --breaker open`,
		Args: cobra.MaximumNArgs(1),
	}
	flags := addGatewayFlags(c)
	state := c.Flags().String("breaker", "", "set the breaker of the upstream named: `open, closed or auto`")
	c.RunE = func(_ *cobra.Command, names []string) error {
		switch {
		case len(names) == 0 && *state != "":
			return &coded{exitUsage, fmt.Errorf("--breaker needs the name of an upstream: straum upstreams NAME --breaker %s", *state)}
		case *state != "" && !slices.Contains([]string{"open", "closed", "auto"}, *state):
			return &coded{exitUsage, fmt.Errorf("--breaker: found %q; allowed: open, closed or auto", *state)}
		case len(names) == 0:
			return show(flags, http.MethodGet, client.UpstreamsPath, nil, printUpstreams)
		case *state != "":
			return show(flags, http.MethodPost, client.BreakerPath(names[0]), map[string]string{"state": *state},
				func(w io.Writer, b client.Breaker) error { return printBreaker(w, &b) })
		}
		return show(flags, http.MethodGet, client.UpstreamPath(names[0]), nil, printUpstream)
	}
	return c
}

const endpointHeads = "ENDPOINT\tSTATE\tACTIVE\tLATENCY\tANSWERED\tFAILED\tOPEN\tIDLE\tSTREAMS\tWAITING\tREUSED"

func printUpstreams(w io.Writer, list client.UpstreamList) error {
	t := newTable(w)
	fmt.Fprintln(t, "UPSTREAM\tBALANCE\tBREAKER\t"+endpointHeads)
	for _, u := range list.Upstreams {
		breaker := "-"
		if u.Breaker != nil {
			breaker = u.Breaker.State
		}
		head := u.Name + "\t" + u.Balance + "\t" + breaker
		if len(u.Endpoints) == 0 {
			fmt.Fprintf(t, "%s\tnone: its names do not resolve\n", head)
		}
		for i := range u.Endpoints {
			fmt.Fprintf(t, "%s\t%s\n", head, endpointRow(&u.Endpoints[i]))
			head = "\t\t"
		}
	}
	return t.Flush()
}

func endpointRow(e *client.Endpoint) string {
	address := e.Address
	if e.Name != "" {
		address += " (" + e.Name + ")"
	}
	return fmt.Sprintf("%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s", address, endpointState(e), e.Active, span(e.Latency), e.Answered, e.Failed,
		e.Pool.Open, e.Pool.Idle, e.Pool.Streams, e.Pool.Waiting, reuse(&e.Pool))
}

// endpointState is the one word that matters most.
func endpointState(e *client.Endpoint) string {
	switch {
	case e.Ejected:
		return "ejected"
	case e.Health != "unknown":
		return e.Health
	case e.Usable:
		return "usable"
	}
	return "not usable"
}

func reuse(p *client.Pool) string {
	if p.Reused+p.Opened == 0 {
		return "-"
	}
	return percent(p.ReuseShare)
}

func printUpstream(w io.Writer, u client.Upstream) error {
	fmt.Fprintf(w, "upstream %s: %d of %s usable, balanced by %s, %.1f retries in the budget\n", u.Name, u.Usable, count(len(u.Endpoints), "endpoint"), u.Balance, u.RetryBudget)
	if err := printBreaker(w, u.Breaker); err != nil {
		return err
	}
	t := newTable(w)
	fmt.Fprintln(t, "\n"+endpointHeads)
	for i := range u.Endpoints {
		fmt.Fprintln(t, endpointRow(&u.Endpoints[i]))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, e := range u.Endpoints {
		if e.Detail != "" {
			fmt.Fprintf(w, "%s: last check: %s\n", e.Address, oneLine(e.Detail))
		}
	}
	return printAudit(w, &u.Pool)
}

func printBreaker(w io.Writer, b *client.Breaker) error {
	if b == nil {
		_, err := fmt.Fprintln(w, "no breaker")
		return err
	}
	fmt.Fprintf(w, "breaker %s for %s", b.State, age(inSeconds(b.For)))
	if b.RetryIn > 0 {
		fmt.Fprintf(w, ", tries again in %s", span(b.RetryIn))
	}
	fmt.Fprintf(w, "; %s under way, %s in a row", count(int(b.Active), "request"), count(int(b.Consecutive), "failure"))
	if b.Window.Calls > 0 {
		fmt.Fprintf(w, "; of the last %d: %d failed, %d slow", b.Window.Calls, b.Window.Errors, b.Window.Slow)
	}
	if b.Trips > 0 {
		fmt.Fprintf(w, "; opened %s in a row", count(b.Trips, "time"))
	}
	if b.State == "half_open" {
		fmt.Fprintf(w, "; %s on their way, %d succeeded", count(b.Probing, "probe"), b.Successes)
	}
	_, err := fmt.Fprintln(w)
	return err
}

// printAudit tells how well connections are reused, and why they were opened.
func printAudit(w io.Writer, p *client.Pool) error {
	fmt.Fprintf(w, "\nconnections: %d open, %d idle, %d waited for; %s of requests reused one (%d reused, %d opened)\n", p.Open, p.Idle, p.Waiting, reuse(p), p.Reused, p.Opened)
	if len(p.OpenedBy) == 0 {
		return nil
	}
	t := newTable(w)
	fmt.Fprintln(t, "OPENED BECAUSE\tTIMES\tSHARE\tMEANING")
	for _, o := range p.OpenedBy {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", o.Reason, o.Count, percent(float64(o.Count)/float64(p.Opened)), o.Meaning)
	}
	return t.Flush()
}
