package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/document"
)

func newProxy() *cobra.Command {
	c := &cobra.Command{
		Use:   "proxy",
		Short: "Put a gateway in front of an address, without a file",
		Long: `Sends every request to one address, or of several to the one with the fewest requests. It is straum run with a
small configuration made from the flags; --print shows it, as a start for a file of your own.

` + exitHelp,
		Example: `  straum proxy --to http://127.0.0.1:3000
  straum proxy --to 10.0.0.5:8080 --to 10.0.0.6:8080 --listen 127.0.0.1:8000
  straum proxy --to 127.0.0.1:3000 --print > straum.yaml`,
		Args: noArguments,
	}
	var p proxy
	c.Flags().StringArrayVar(&p.to, "to", nil, "the `address` to send requests to: http://host:port, https://host:port, host:port or unix:/path; may be repeated")
	c.Flags().StringVar(&p.listen, "listen", ":8080", "the `address` to listen on")
	c.Flags().StringVar(&p.host, "host", "keep", "the Host header sent: keep, endpoint, or a `name`")
	c.Flags().StringVar(&p.access, "access-log", "off", "`where` to log requests: stdout, stderr, off or a file")
	c.Flags().StringVar(&p.metrics, "metrics", "off", "the `address` to serve metrics on, or off")
	show := c.Flags().Bool("print", false, "print the configuration and do nothing else")
	_ = c.MarkFlagRequired("to")
	c.RunE = func(c *cobra.Command, _ []string) error {
		text := p.text()
		if *show {
			_, err := fmt.Fprint(c.OutOrStdout(), text)
			return failed(err)
		}
		source := revision.Text("the flags of straum proxy", text)
		if _, _, err := judge(source); err != nil {
			return &coded{exitUsage, inFlags(err)}
		}
		return failed(serve(source, serving{ready: p.ready}))
	}
	return c
}

// proxy are the flags.
type proxy struct {
	to                            []string
	listen, host, access, metrics string
}

// text is the configuration that the flags stand for.
func (p *proxy) text() string {
	var b strings.Builder
	endpoints := make([]string, len(p.to))
	for i, to := range p.to {
		endpoints[i] = quoted(to)
	}
	metrics := "off"
	if p.metrics != "off" {
		metrics = "{ address: " + quoted(p.metrics) + " }"
	}
	fmt.Fprintf(&b, "listeners:\n  - address: %s\n", quoted(p.listen))
	fmt.Fprintf(&b, "upstreams:\n  app:\n    endpoints: [%s]\n    host: %s\n", strings.Join(endpoints, ", "), quoted(p.host))
	fmt.Fprintf(&b, "routes:\n  - match: { path: /* }\n    upstream: app\n")
	fmt.Fprintf(&b, "log: { level: warn, format: text, access: { to: %s } }\n", quoted(p.access))
	fmt.Fprintf(&b, "metrics: %s\nadmin: off\n", metrics)
	return b.String()
}

// quoted writes a flag's value so that YAML takes it as it is, ${} included.
func quoted(s string) string { return strconv.Quote(strings.ReplaceAll(s, "$", "$$")) }

func (p *proxy) ready(g *gateway) {
	for _, l := range g.listeners.Stats() {
		fmt.Fprintf(os.Stdout, "straum: requests to %s go to %s; Ctrl-C ends it\n", l.Address, strings.Join(p.to, ", "))
	}
}

// inFlags words problems of the configuration as what they come from.
func inFlags(err error) error {
	var problems *document.Problems
	if !errors.As(err, &problems) {
		return err
	}
	flags := []struct{ path, name string }{
		{"listeners", "--listen"}, {"upstreams.app.endpoints", "--to"}, {"upstreams.app.host", "--host"},
		{"log.access", "--access-log"}, {"metrics", "--metrics"},
	}
	var out []string
	for _, p := range problems.All() {
		for _, flag := range flags {
			if strings.HasPrefix(p.Path, flag.path) {
				out = append(out, flag.name+": "+p.Text)
			}
		}
	}
	if len(out) == 0 {
		return err
	}
	return errors.New(strings.Join(out, "\nstraum: "))
}
