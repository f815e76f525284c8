package main

import (
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/client"
)

func newStatus() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the running gateway is doing",
		Long: `Shows how the running gateway is doing: which configuration serves and whether the last one was refused,
connections, what needs somebody although it works, TLS handshakes, requests with their times and the gateway's own share of them, the access log, what the
process takes of the box, and what the box did in the last minute with remarks on what of it costs requests.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum status
  straum status --socket /run/straum/admin.sock
  straum status --json | jq .requests`,
		Args: noArguments,
	}
	flags := addGatewayFlags(c)
	c.RunE = func(*cobra.Command, []string) error {
		return show(flags, http.MethodGet, client.StatusPath, nil, printStatus)
	}
	return c
}

func printStatus(w io.Writer, s client.Status) error {
	now := s.Started.Add(inSeconds(s.Uptime)) // the gateway's clock, not ours
	fmt.Fprintf(w, "straum %s", s.Version)
	if s.Commit != "" {
		fmt.Fprintf(w, " (%s)", s.Commit)
	}
	fmt.Fprintf(w, ", up %s, pid %d\n", age(inSeconds(s.Uptime)), s.Process.PID)
	if s.Ready {
		fmt.Fprintln(w, "ready")
	}
	for _, r := range s.NotReady {
		fmt.Fprintf(w, "not ready: %s: %s\n", r.Check, oneLine(r.Reason))
	}
	for _, r := range s.Attention {
		fmt.Fprintf(w, "attention: %s\n", oneLine(r.Reason))
	}
	printRevision(w, &s.Revision, now)
	if err := printListeners(w, s.Listeners); err != nil {
		return err
	}
	if err := printTLS(w, s.TLS, now); err != nil {
		return err
	}
	if err := printRequests(w, &s.Requests); err != nil {
		return err
	}
	return printRest(w, &s)
}

func printRevision(w io.Writer, r *client.Serving, now time.Time) {
	if r.Loaded == nil {
		fmt.Fprintln(w, "no configuration is in force yet")
	} else {
		fmt.Fprintf(w, "revision %d, in force for %s, from %s\n", r.Number, age(now.Sub(*r.Loaded)), r.File)
	}
	if len(r.Problems) == 0 {
		return
	}
	when := ""
	if r.LastTry != nil {
		when = ", " + age(now.Sub(*r.LastTry)) + " ago,"
	}
	fmt.Fprintf(w, "the last configuration read%s was refused:\n", when)
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  %s\n", oneLine(p.String()))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "  and %d more; straum check shows them all\n", r.More)
	}
}

func printListeners(w io.Writer, all []client.Listener) error {
	if len(all) == 0 {
		return nil
	}
	t := newTable(w)
	fmt.Fprintln(t, "\nLISTENER\tADDRESS\tOPEN\tPARKED\tACCEPTED\tREFUSED\tQUEUED\tPAUSES")
	for _, l := range all {
		name := l.Name
		if l.Draining {
			name += " (draining)"
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", name, l.Address, l.Open, l.Parked, l.Accepted, l.Refused.Client+l.Refused.Banned+l.Refused.Proxy,
			l.Queued, l.Pauses.Limit+l.Pauses.Descriptors+l.Pauses.Other)
	}
	return t.Flush()
}

func printTLS(w io.Writer, s *client.TLS, now time.Time) error {
	if s == nil {
		return nil
	}
	h := &s.Handshakes
	fmt.Fprintf(w, "\n%s, ", count(int(h.Full+h.Resumed), "TLS handshake"))
	if h.Full+h.Resumed > 0 {
		fmt.Fprintf(w, "%s of them resumed, ", percent(h.ResumedShare))
	}
	fmt.Fprintf(w, "%d under way of at most %d; %s", h.UnderWay, h.Ceiling, count(s.Certificates, "certificate"))
	if s.Ends != nil {
		verb := "expires"
		if s.Ends.Before(now) {
			verb = "expired"
		}
		fmt.Fprintf(w, ", the first %s %s", verb, expiry(s.Ends, s.Ends.Sub(now).Seconds()))
	}
	fmt.Fprintln(w)
	if len(h.Failed) == 0 {
		return nil
	}
	t := newTable(w)
	fmt.Fprintln(t, "HANDSHAKES THAT FAILED\tTIMES\tMEANING")
	for _, f := range h.Failed {
		fmt.Fprintf(t, "%s\t%d\t%s\n", f.Reason, f.Count, f.Meaning)
	}
	return t.Flush()
}

func printRequests(w io.Writer, r *client.Requests) error {
	fmt.Fprintf(w, "\n%s, %d faulty%s\n", count(int(r.Total), "request"), r.Faulty, share(r.Faulty, r.Total))
	if len(r.Routes) == 0 {
		return nil
	}
	t := newTable(w)
	fmt.Fprintln(t, "ROUTE\tREQUESTS\tFAULTY\tP50\tP95\tP99\tOWN P50\tOWN P95\tOWN P99\tOWN SHARE")
	for _, x := range r.Routes {
		fmt.Fprintf(t, "%s\t%d\t%d%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.Route, x.Total, x.Faulty, share(x.Faulty, x.Total),
			span(x.Duration.P50), span(x.Duration.P95), span(x.Duration.P99), span(x.Own.P50), span(x.Own.P95), span(x.Own.P99), percent(x.OwnShare))
	}
	return t.Flush()
}

func printRest(w io.Writer, s *client.Status) error {
	l, p := &s.AccessLog, &s.Process
	t := newTable(w)
	lost := l.Lost.Slow + l.Lost.Failing + l.Lost.Closed
	fmt.Fprintf(t, "\naccess log\t%d lines written, %d waiting, %d lost", l.Written, l.Waiting, lost)
	if lost > 0 {
		fmt.Fprintf(t, " (too slow %d, failing %d, closed %d; important %d)", l.Lost.Slow, l.Lost.Failing, l.Lost.Closed, l.Lost.Matter)
	}
	if l.Failing {
		fmt.Fprintf(t, "; writing fails now: %s", oneLine(l.Error))
	}
	fmt.Fprintf(t, "\nmemory\t%s resident, %s in Go objects\n", size(p.Memory), size(p.Heap))
	fmt.Fprintf(t, "goroutines\t%d\n", p.Goroutines)
	if p.Descriptors > 0 {
		fmt.Fprintf(t, "descriptors\t%d of %d\n", p.Descriptors, p.DescriptorLimit)
	}
	if s.Box != nil {
		printBox(t, s.Box)
	}
	return t.Flush()
}

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 8, 2, ' ', 0) }
