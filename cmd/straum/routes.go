package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newRoutes() *cobra.Command {
	c := &cobra.Command{
		Use:   "routes [[METHOD] URL]",
		Short: "Show the routes in the order in which they win",
		Long: `Shows the table of routes as it is compiled. Of two lines that one request matches, the upper wins;
the last column says why a line stands below the one above it.

With a URL it says instead which route takes a request for it, or why none does and what would come near.

` + exitHelp,
		Example: `  straum routes -c straum.yaml
  straum routes -c straum.yaml http://api.example.com/orders/5
  straum routes -c straum.yaml POST http://api.example.com/orders`,
		Args: cobra.MaximumNArgs(2),
	}
	open := configFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		source, err := open()
		if err != nil {
			return err
		}
		_, compiled, err := judge(source)
		if err != nil {
			return failed(err)
		}
		if len(args) > 0 {
			method := "GET"
			if len(args) == 2 {
				method = args[0]
			}
			text, err := compiled.Explain(method, args[len(args)-1])
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), text)
			return nil
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "HOST\tPATH\tMETHODS\tIF\tROUTE\tUPSTREAM\tPATH SENT\tPOLICIES\tWHERE\tWHY HERE")
		for _, r := range compiled.Rows() {
			fmt.Fprintln(w, strings.Join([]string{
				r.Host, r.Path,
				cmp.Or(strings.Join(r.Methods, ","), "any"),
				cmp.Or(strings.Join(r.Conditions, ", "), "-"),
				r.Name, r.Upstream,
				cmp.Or(r.Rewrite, "as it is"),
				cmp.Or(strings.Join(r.Policies, ","), "-"),
				r.Source, r.Why,
			}, "\t"))
		}
		return failed(w.Flush())
	}
	return c
}
