// Package ip is the policy ip (step 4): which addresses a route is open to. Prefixes stand in the configuration or in files, one a line; the
// longest one that holds an address decides, so that a network may be refused and a part of it let in, or the other way round.
//
// In reading order: ip.go (options, and the life of a request), list.go (what a file holds), table.go (all prefixes of a policy as one
// table, in force), watch.go (files that change while the gateway runs).
//
// It refuses to look at anything but the address the gateway itself found out, to put a file in force that it does not understand to its
// end, and to score or ban: it knows no yesterday.
package ip

import (
	"fmt"
	"net/netip"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	Allow      []document.Prefix `yaml:"allow" length:"1..4096" doc:"Networks and addresses that are let in. With this or allow_files all others are refused."`
	Deny       []document.Prefix `yaml:"deny" length:"1..4096" doc:"Networks and addresses that are refused."`
	AllowFiles []string          `yaml:"allow_files,one" length:"1..32" doc:"Files of networks and addresses that are let in, one a line. A changed file takes effect by itself."`
	DenyFiles  []string          `yaml:"deny_files,one" length:"1..32" doc:"Files of networks and addresses that are refused, one a line. A changed file takes effect by itself."`
	Status     int               `yaml:"status" default:"403" range:"403..404" doc:"What a refused client is answered: 403, or 404 as if there were no such route."`
	DryRun     bool              `yaml:"dry_run" default:"false" doc:"Refuse nobody and leave in the log and the metrics who would be."`
}

// Kind is the policy for the chain.
var Kind = policy.Kind{Name: "ip", Options: Options{}, Build: build}

// unbound is the policy before its files are read.
type unbound struct {
	settings
	lists lists
}

// settings are what both the built and the running policy have.
type settings struct {
	closed bool // who stands in no list is refused
	hidden bool // who is refused is told that there is nothing
	dry    bool
}

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	if options.Allow == nil && options.Deny == nil && options.AllowFiles == nil && options.DenyFiles == nil {
		return nil, o.Errorf("", "found no list; allowed: one or more of allow, deny, allow_files and deny_files")
	}
	u := &unbound{
		settings{
			closed: options.Allow != nil || options.AllowFiles != nil,
			hidden: options.Status == 404,
			dry:    options.DryRun,
		},
		lists{allow: options.Allow, deny: options.Deny},
	}
	for _, l := range []struct {
		key   string
		names []string
		paths *[]string
	}{{"allow_files", options.AllowFiles, &u.lists.allowFiles}, {"deny_files", options.DenyFiles, &u.lists.denyFiles}} {
		for _, name := range l.names {
			if name == "" {
				return nil, o.Errorf(l.key, "found an empty name; allowed: paths of files")
			}
			*l.paths = append(*l.paths, o.Beside(name))
		}
	}
	return u, nil
}

// Bind implements policy.Binder. The table belongs to all policies with the same lists, on whichever route.
func (u *unbound) Bind(w *policy.World) (any, error) {
	t := policy.Hold(w.State, Kind.Name, u.lists.identity(), func() *table { return newTable(u.lists, w.Log) })
	if err := t.load(); err != nil {
		return nil, fmt.Errorf("policy %s: %w", Kind.Name, err)
	}
	return &running{u.settings, t}, nil
}

// running is the policy in force.
type running struct {
	settings
	table *table
}

// The verdicts on who is refused, and on who would be in a dry run.
var words = [...]struct{ refused, dry string }{
	denied:   {"denied", "would_deny"},
	unlisted: {"unlisted", "would_refuse_unlisted"},
	unknown:  {"unknown", "would_refuse_unknown"},
}

// Request implements policy.Request.
func (r *running) Request(x *exchange.Exchange) {
	v := r.judge(x.Client)
	if v == allowed {
		return
	}
	if r.dry {
		x.Judge(Kind.Name, words[v].dry)
		return
	}
	x.Judge(Kind.Name, words[v].refused)
	if r.hidden {
		x.Fail(fault.New(fault.NoRoute, nil))
		return
	}
	x.Fail(fault.New(fault.AddressRefused, nil))
}

// verdict is what becomes of an address.
type verdict uint8

const (
	allowed verdict = iota
	denied
	unlisted // in no list, and there is one of those who are let in
	unknown  // the client has no address, and there is such a list
)

// judge decides. An address that nobody knows is in no list; it is what clients on a unix socket have.
func (r *running) judge(client netip.Addr) verdict {
	if denies, listed := r.table.find(client); listed {
		if denies {
			return denied
		}
		return allowed
	}
	switch {
	case !r.closed:
		return allowed
	case !client.IsValid():
		return unknown
	}
	return unlisted
}
