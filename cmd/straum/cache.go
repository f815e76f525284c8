package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/control/client"
)

func newCache() *cobra.Command {
	c := &cobra.Command{
		Use:   "cache",
		Short: "Show the cache, purge it, and say what it would do with a request",
		Long: `Shows what the running gateway's cache holds and how well it does, removes what is stored, and says rule by
rule why a request is a hit, a miss or never stored.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum cache stat
  straum cache purge --url https://api.example.com/orders/7
  straum cache purge --tag product-4711 --soft
  straum cache explain https://api.example.com/orders/7`,
		Args: aCommand,
		RunE: func(c *cobra.Command, _ []string) error { return failed(c.Help()) },
	}
	c.AddCommand(newCacheStat(), newCachePurge(), newCacheExplain())
	return c
}

func newCacheStat() *cobra.Command {
	c := &cobra.Command{
		Use:   "stat",
		Short: "Show what the cache holds, how often it is asked in vain, and why answers were not stored",
		Long: `Shows each store of the cache: what it holds, how often it had what it was asked for, what it gave up. Then what
was shared and renewed, and why answers were not stored.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum cache stat
  straum cache stat --json | jq '.stores[] | {store, hit_share}'`,
		Args: noArguments,
	}
	flags := addGatewayFlags(c)
	c.RunE = func(*cobra.Command, []string) error {
		return show(flags, http.MethodGet, client.CachePath, nil, printCache)
	}
	return c
}

func newCachePurge() *cobra.Command {
	c := &cobra.Command{
		Use:   "purge (--url URL | --prefix URL | --tag TAG | --all)",
		Short: "Remove what is stored, or make it stale",
		Long: `Removes what is stored and was asked for before now, on this gateway and, with cache.redis, on every gateway of the
fleet. What is under way is not stored either. A URL is one as clients ask for it, with scheme and port. With --soft it is made stale: it is asked for anew and may be used until
then, where stale answers may.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum cache purge --url 'https://api.example.com/orders?page=2'
  straum cache purge --prefix https://api.example.com/orders/
  straum cache purge --tag product-4711 --soft
  straum cache purge --all`,
		Args: noArguments,
	}
	flags := addGatewayFlags(c)
	var o client.PurgeOrder
	c.Flags().StringVar(&o.URL, "url", "", "what is stored of one `URL`, with all its variants, on every route; with any query when it ends in ?*")
	c.Flags().StringVar(&o.Prefix, "prefix", "", "whatever is stored of URLs that begin with this `URL`")
	c.Flags().StringVar(&o.Tag, "tag", "", "whatever was stored with this `tag`, by Surrogate-Key or Cache-Tag")
	c.Flags().BoolVar(&o.All, "all", false, "everything")
	c.Flags().BoolVar(&o.Soft, "soft", false, "make it stale and do not remove it")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var ways []string
		for _, way := range []string{"url", "prefix", "tag", "all"} {
			if f := c.Flags().Lookup(way); f.Changed && f.Value.String() != "" && f.Value.String() != "false" {
				ways = append(ways, "--"+way)
			}
		}
		switch {
		case len(ways) == 0:
			return &coded{exitUsage, errors.New("nothing says what to purge; give one of --url, --prefix, --tag and --all")}
		case len(ways) > 1:
			return &coded{exitUsage, fmt.Errorf("found %s; give one of --url, --prefix, --tag and --all", strings.Join(ways, " and "))}
		}
		return show(flags, http.MethodPost, client.PurgeCachePath, o, printPurged)
	}
	return c
}

func newCacheExplain() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain URL",
		Short: "Say what the cache would do with a request, rule by rule",
		Long: `Says whether a request would be a hit or a miss, or pass the cache by, and which rules say so, with the paragraph of
the standard each comes from; what is stored for it; and why the last answer was not stored. Nothing is sent to an
endpoint; what is looked up counts in straum cache stat. The request is taken to be let through by authentication,
limits and all else that could refuse it; what changes requests for endpoints does its work. On a route that
authenticates, say with --consumer, or --issuer and --subject, as whom: answers to credentials have rules of their own.

` + gatewayHelp + `

` + exitHelp,
		Example: `  straum cache explain https://api.example.com/orders/7
  straum cache explain https://api.example.com/orders -H 'Accept-Language: no' -H 'Cache-Control: max-age=0'
  straum cache explain https://api.example.com/basket --consumer acme`,
		Args: oneOf("the URL"),
	}
	flags := addGatewayFlags(c)
	method := c.Flags().StringP("method", "X", "GET", "the `method` of the request")
	headers := c.Flags().StringArrayP("header", "H", nil, "a `field` of the request, as 'Name: value'; may be given several times")
	consumer := c.Flags().String("consumer", "", "the `id` of a consumer that authentication is taken to have found")
	issuer := c.Flags().String("issuer", "", "the `issuer` of a token that it is taken to have found")
	subject := c.Flags().String("subject", "", "the `subject` of that token")
	c.RunE = func(_ *cobra.Command, url []string) error {
		q := client.CacheQuestion{URL: url[0], Method: *method, Consumer: *consumer, Issuer: *issuer, Subject: *subject}
		for _, h := range *headers {
			name, value, ok := strings.Cut(h, ":")
			if name = strings.TrimSpace(name); !ok || name == "" {
				return &coded{exitUsage, fmt.Errorf("-H: found %q; allowed: 'Name: value'", h)}
			}
			q.Headers = append(q.Headers, client.RequestField{Name: name, Value: strings.TrimSpace(value)})
		}
		return show(flags, http.MethodPost, client.ExplainCachePath, q, printExplanation)
	}
	return c
}

func printCache(w io.Writer, s client.CacheStat) error {
	if len(s.Stores) == 0 {
		_, err := fmt.Fprintln(w, "the cache has no store: nothing is kept")
		return err
	}
	t := newTable(w)
	fmt.Fprintln(t, "STORE\tOBJECTS\tSIZE\tROOM\tHITS\tMISSES\tSTORED\tEVICTED\tDROPPED\tFAILED")
	for _, x := range s.Stores {
		objects, bytes, room, evicted := fmt.Sprint(x.Objects), stored(x.Bytes), stored(x.Room), fmt.Sprint(x.Evicted)
		if x.Store == "redis" { // what it holds and gives up is known to it alone
			objects, bytes, room, evicted = "-", "-", "-", "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d%s\t%d\t%d\t%s\t%d\t%d\n", x.Store, objects, bytes, room, x.Hits, share(x.Hits, x.Hits+x.Misses), x.Misses,
			x.Stored, evicted, x.Dropped, x.Failed)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, x := range s.Stores {
		if !x.Healthy {
			fmt.Fprintf(w, "%s does not work: %s\n", x.Store, cmp.Or(oneLine(x.Problem), "it does not say why"))
		}
	}
	fmt.Fprintf(w, "\n%s under way; %s answered with what another had asked for\n", count(s.UnderWay, "shared answer"), count(int(s.Collapsed), "request"))
	fmt.Fprintf(w, "%s in the background, %d failed, %d not begun for want of room\n", count(int(s.Renewals.Begun), "renewal"), s.Renewals.Failed, s.Renewals.Skipped)
	if s.Invalidated > 0 {
		fmt.Fprintf(w, "%s changed by other methods than GET, of which nothing older is used\n", count(int(s.Invalidated), "URL"))
	}
	if s.Purges > 0 {
		fmt.Fprintf(w, "%s still compared with what is stored\n", count(s.Purges, "purge"))
	}
	if len(s.NotStored) == 0 {
		return nil
	}
	t = newTable(w)
	fmt.Fprintln(t, "\nNOT STORED\tTIMES\tMEANING")
	for _, n := range s.NotStored {
		fmt.Fprintf(t, "%s\t%d\t%s\n", n.Why, n.Count, cmp.Or(oneLine(n.Meaning), "-"))
	}
	return t.Flush()
}

// stored writes how much a store holds, which may be nothing.
func stored(bytes int64) string {
	if bytes < 1<<10 {
		return fmt.Sprintf("%d B", max(bytes, 0))
	}
	return size(uint64(bytes))
}

func printPurged(w io.Writer, p client.Purged) error {
	text := "%s removed from memory; what lies on disk or in the shared store is not used any more either\n"
	if p.Soft {
		text = "%s in memory made stale; what lies on disk or in the shared store counts as stale too\n"
	}
	_, err := fmt.Fprintf(w, text, count(p.Removed, "answer"))
	if p.Later != "" {
		_, err = fmt.Fprintln(w, oneLine(p.Later))
	}
	return err
}

// outcomes are what the cache would do, in words.
var outcomes = map[string]string{
	"none":           "the cache has no part in it",
	"bypass":         "it passes the cache by: neither looked up nor stored",
	"miss":           "an endpoint is asked: nothing that is stored fits",
	"hit":            "it is answered with what is stored",
	"stale":          "it is answered with what is stored, which is stale and may be used",
	"revalidated":    "an endpoint is asked whether what is stored is still right",
	"expired":        "an endpoint is asked: what is stored cannot be used any more",
	"only_if_cached": "it is refused with 504: it wants what is stored alone, and nothing fits",
}

func printExplanation(w io.Writer, e client.CacheExplanation) error {
	fmt.Fprintf(w, "%s %s\nroute %s\n%s: %s\n", oneLine(e.Method), oneLine(e.URL), e.Route, e.Outcome, cmp.Or(outcomes[e.Outcome], e.Outcome))
	if len(e.Rules) > 0 {
		t := newTable(w)
		fmt.Fprintln(t, "\nRULE\tFROM\tFOUND\tRESULT")
		for _, r := range e.Rules {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Rule, oneLine(r.Source), cmp.Or(oneLine(r.Found), "-"), oneLine(r.Result))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if err := printStored(w, e.Stored); err != nil {
		return err
	}
	if e.Last != "" {
		fmt.Fprintf(w, "\nthe last answer was not stored: %s\n", oneLine(e.Last))
	}
	if len(e.Key) == 0 {
		return nil
	}
	t := newTable(w)
	fmt.Fprintln(t, "\nKEY\tVALUE")
	for _, p := range e.Key {
		fmt.Fprintf(t, "%s\t%s\n", oneLine(p.Name), cmp.Or(oneLine(p.Value), "-"))
	}
	return t.Flush()
}

func printStored(w io.Writer, s *client.CacheStored) error {
	if s == nil {
		return nil
	}
	t := newTable(w)
	fmt.Fprintf(t, "\nSTORED\t%s\n", s.Store)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("status", "%d, %s of content", s.Status, stored(s.Bytes))
	fresh := "fresh for another " + brief(s.Left)
	if s.Left < 0 {
		fresh = "stale for " + brief(-s.Left)
	}
	row("age", "%s of %s; %s", brief(s.Age), brief(s.Lifetime), fresh)
	if s.WhileRevalidating > 0 {
		row("stale while renewed", "%s", brief(s.WhileRevalidating))
	}
	if s.IfError > 0 {
		row("stale on errors", "%s", brief(s.IfError))
	}
	if s.ETag != "" {
		row("entity tag", "%s", oneLine(s.ETag))
	}
	if len(s.Vary) > 0 {
		row("varies by", "%s; %s", oneLine(strings.Join(s.Vary, ", ")), count(s.Variants, "variant"))
	}
	if len(s.Tags) > 0 {
		row("tags", "%s", oneLine(strings.Join(s.Tags, " ")))
	}
	return t.Flush()
}

// brief writes seconds of a lifetime, as the rules do.
func brief(s float64) string {
	text := time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
	if cut, ok := strings.CutSuffix(text, "m0s"); ok {
		text = cut + "m"
	}
	if cut, ok := strings.CutSuffix(text, "h0m"); ok {
		text = cut + "h"
	}
	return text
}
