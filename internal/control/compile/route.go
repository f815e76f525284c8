package compile

import (
	"fmt"
	"strconv"
	"strings"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/route"
	"straum.dev/straum/internal/edge/upstream"
)

// compiledRoute is a route without its upstream.
type compiledRoute struct {
	name, upstream string
	serverTiming   bool
	chain          *policy.Chain
	policies       []string // their names, for people
	path           string   // what is done to the path, for people
	rewrite        *route.Rewrite
	host           upstream.Host
	timeouts       *upstream.Timeouts
}

func (k *compiler) routes() {
	var table route.Builder
	k.out.routes = make([]compiledRoute, len(k.config.Routes))
	places := make(map[string]*config.Route, len(k.config.Routes))
	for i := range k.config.Routes {
		r := &k.config.Routes[i]
		source := r.Node.Place()
		places[source] = r
		table.Add(route.Spec{
			Index:        i,
			Name:         r.Name,
			Source:       source,
			Hosts:        r.Match.Host,
			Paths:        r.Match.Path,
			Methods:      r.Match.Methods,
			Headers:      r.Match.Headers,
			Query:        r.Match.Query,
			EncodedSlash: r.EncodedSlash == "allow",
		})
		out := &k.out.routes[i]
		*out = compiledRoute{
			name:         r.Name,
			upstream:     r.Upstream,
			serverTiming: r.ServerTiming,
			host:         host(r.Host),
			timeouts:     override(&r.Timeouts),
		}
		out.chain, out.policies = k.chain(r)
		k.path(r, out)
	}
	var err error
	if k.out.table, err = table.Build(); err != nil {
		k.badRoutes(err, places)
	}
}

// path compiles what is done to the path of a request before it is sent.
func (k *compiler) path(r *config.Route, out *compiledRoute) {
	var err error
	switch {
	case r.StripPrefix != "":
		out.path = "strip " + r.StripPrefix
		out.rewrite, err = route.NewStripPrefix(r.StripPrefix, r.Match.Path)
		k.refused(r.Node.At("strip_prefix"), err)
	case r.Rewrite != "":
		out.path = "to " + r.Rewrite
		out.rewrite, err = route.NewRewrite(r.Rewrite, r.Match.Path)
		k.refused(r.Node.At("rewrite"), err)
	}
}

// badRoutes makes problems of what the table refused. Its errors begin with the place that was given as the route's source, then name
// the route.
func (k *compiler) badRoutes(err error, places map[string]*config.Route) {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		place, text, _ := strings.Cut(err.Error(), `: route "`)
		r := places[place]
		if r == nil {
			k.problems.Add(err)
			continue
		}
		text = `route "` + text
		if alone, ok := strings.CutPrefix(text, fmt.Sprintf("route %q: ", r.Name)); ok {
			k.blame(culprit(&r.Match, alone), "%s", alone)
			continue
		}
		k.blame(r.Node, "%s", text)
	}
}

// culprit is the host, path or method that an error about a route quotes, or the whole match.
func culprit(m *config.Match, text string) document.Node {
	for _, list := range []struct {
		key   string
		items []string
	}{{"path", m.Path}, {"host", m.Host}, {"methods", m.Methods}} {
		for i, item := range list.items {
			if !strings.Contains(text, strconv.Quote(item)) {
				continue
			}
			at := m.Node.At(list.key)
			if one := at.At(i); !one.IsZero() {
				at = one
			}
			return at
		}
	}
	return m.Node
}
