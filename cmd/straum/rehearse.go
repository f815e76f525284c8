package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/document"
)

// newRehearse is what straum capacity --rehearse starts: a gateway that touches nothing real, and endpoints that are made up. They are processes of
// their own, so that the kernel counts what each takes. Each ends when what it reads from does, so that none outlives who started it.
func newRehearse() *cobra.Command {
	c := &cobra.Command{
		Use:    "rehearse",
		Short:  "Parts of a rehearsal, started by straum capacity",
		Hidden: true,
		Args:   aCommand,
		RunE:   func(c *cobra.Command, _ []string) error { return failed(c.Help()) },
	}
	c.AddCommand(newRehearseGateway(), newRehearseEndpoint())
	return c
}

func newRehearseGateway() *cobra.Command {
	c := &cobra.Command{Use: "gateway", Short: "A copy of the gateway that touches nothing real", Args: noArguments}
	open := configFlag(c)
	var stage rehearsalStage
	c.Flags().StringVar(&stage.Listener, "listener", "", "the `name` or address of the listener")
	c.Flags().StringVar(&stage.Dir, "dir", "", "the `directory` of its socket")
	c.Flags().StringVar(&stage.State, "state", "", "the `directory` of what it keeps")
	c.Flags().StringVar(&stage.Log, "log", "", "the `file` of its access log")
	c.Flags().StringVar(&stage.Cache, "cache", "", "the `directory` of its cache on disk")
	c.Flags().StringSliceVar(&stage.Endpoints, "endpoints", nil, "`addresses` that stand for all endpoints")
	c.Flags().StringSliceVar(&stage.HTTP2, "http2", nil, "the same for upstreams of HTTP/2")
	c.Flags().BoolVar(&stage.Redis, "redis", false, "use the shared store")
	c.RunE = func(c *cobra.Command, _ []string) error {
		source, err := open()
		if err != nil {
			return err
		}
		end, err := os.FindProcess(os.Getpid())
		if err != nil {
			return failed(err)
		}
		go runUntilEnd(c.InOrStdin(), func() { _ = end.Signal(syscall.SIGTERM) })
		return failed(serve(stage.set(source), serving{ready: func(g *gateway) {
			listening := g.listeners.Stats()
			if len(listening) == 1 {
				_ = json.NewEncoder(c.OutOrStdout()).Encode(rehearsed{Address: listening[0].Address, Metrics: g.page.listens()})
			}
		}}))
	}
	return c
}

// rehearsed is what the gateway of a rehearsal says once it serves.
type rehearsed struct {
	Address string `json:"address"`
	Metrics string `json:"metrics"`
}

// listens is where the page is served; empty when it is not.
func (p *page) listens() string { return p.address.Dial() }

// runUntilEnd calls end when nobody is at the other end any more.
func runUntilEnd(r io.Reader, end func()) {
	_, _ = io.Copy(io.Discard, r)
	end()
}

// adminOfRehearsal is the name of the socket of its admin API.
const adminOfRehearsal = "admin.sock"

// rehearsalStage is what takes the place of what is real in a configuration.
type rehearsalStage struct {
	Listener         string // name or address; empty is the first that serves
	Dir, State       string
	Log, Cache       string
	Endpoints, HTTP2 []string
	Redis            bool
}

// set is a source whose configurations touch nothing real.
func (r *rehearsalStage) set(source revision.Source) revision.Source {
	return func(opt config.Options) (*config.Config, error) {
		c, err := source(opt)
		if err != nil {
			return nil, err
		}
		return c, r.transform(c)
	}
}

// transform changes a configuration that was read and judged. What a request costs stays: listeners' TLS, routes, policies, pools, cache, log.
func (r *rehearsalStage) transform(c *config.Config) error {
	listener, err := rehearsedListener(c, r.Listener)
	if err != nil {
		return err
	}
	c.Listeners = []config.Listener{*listener}
	if err := r.listener(&c.Listeners[0]); err != nil {
		return err
	}
	for i := range c.Upstreams {
		if err := r.upstream(&c.Upstreams[i]); err != nil {
			return err
		}
	}
	c.State = r.State
	c.ACME = config.ACME{}
	if c.Bans != nil {
		c.Bans.Kernel = false // the kernel's tables are real; addresses of this box are never banned
	}
	if c.Redis != nil && !r.Redis {
		c.Redis = absent(c.Redis)
	}
	if c.Cache.Disk != nil {
		c.Cache.Disk.Path = r.Cache
	}
	c.Log.Level, c.Log.Format = "error", "text"
	if c.Log.Access.To != "off" {
		c.Log.Access.To = r.Log
	}
	loopback, err := freePort()
	if err != nil {
		return err
	}
	c.Metrics = config.Metrics{Address: config.ListenAddress{Address: loopback}}
	c.Admin = config.Admin{Socket: filepath.Join(r.Dir, adminOfRehearsal)}
	c.Stop.Drain = document.Duration(time.Second)
	return nil
}

// rehearsedListener is the one that is asked for, or the first that does more than redirect.
func rehearsedListener(c *config.Config, want string) (*config.Listener, error) {
	var names []string
	for i := range c.Listeners {
		l := &c.Listeners[i]
		name := l.Name
		if name == "" {
			name = l.Address.String()
		}
		names = append(names, name)
		if want == "" && l.HTTPSRedirect == 0 || want != "" && (want == name || want == l.Address.String()) {
			return l, nil
		}
	}
	if want == "" {
		return nil, fmt.Errorf("all listeners redirect to https; there is nothing to measure")
	}
	return nil, fmt.Errorf("there is no listener %q; there are %s", want, strings.Join(names, ", "))
}

// listener serves on loopback, at a port that the kernel chooses, whoever comes from there.
func (r *rehearsalStage) listener(l *config.Listener) error {
	l.Address = config.ListenAddress{Address: config.Address{Host: "127.0.0.1"}}
	l.ProxyProtocol = nil
	l.Limits.ConnectionsPerClient = 0
	if l.TLS == nil || l.TLS.Auto == nil {
		return nil
	}
	pair, err := selfSigned(r.Dir)
	if err != nil {
		return err
	}
	l.TLS.Mode, l.TLS.Auto = "", nil
	l.TLS.Certificates = append(l.TLS.Certificates, pair)
	return nil
}

// upstream has as many endpoints as before, all made up. They are spoken to in plain text: TLS to endpoints is not rehearsed.
func (r *rehearsalStage) upstream(u *config.Upstream) error {
	addresses := r.Endpoints
	if u.Protocol == "http2" {
		addresses = r.HTTP2
	} else {
		u.Protocol = "http1" // what ALPN would give is not known without TLS
	}
	u.TLS, u.Health, u.SlowStart = nil, nil, 0
	u.Endpoints = u.Endpoints[:min(len(u.Endpoints), len(addresses))]
	for i := range u.Endpoints {
		at, err := netip.ParseAddrPort(addresses[i])
		if err != nil {
			return err
		}
		u.Endpoints[i].Address = config.EndpointAddress{Address: config.Address{Host: at.Addr().String(), Port: at.Port()}}
	}
	return nil
}

// absent is a shared store that is not there: limits are counted here, as when it is down.
func absent(r *config.Redis) *config.Redis {
	gone := *r
	gone.Addresses = []config.StoreAddress{{Address: config.Address{Host: "127.0.0.1", Port: 1}}}
	gone.Mode, gone.Master, gone.TLS, gone.DB = "single", "", nil, 0
	gone.Username, gone.Password = "", document.Secret{}
	return &gone
}

// freePort is an address on loopback that nobody listens at now.
func freePort() (config.Address, error) {
	text, err := free("127.0.0.1:0")
	if err != nil {
		return config.Address{}, err
	}
	at, err := netip.ParseAddrPort(text)
	return config.Address{Host: at.Addr().String(), Port: at.Port()}, err
}

// unlike says what of a configuration a rehearsal leaves out or does otherwise, for the report.
func unlike(c *config.Config, listener *config.Listener, redis bool) (notes []string) {
	note := func(is bool, text string) {
		if is {
			notes = append(notes, text)
		}
	}
	note(listener.TLS != nil && listener.TLS.Auto != nil, "certificates by ACME: one that signs itself was shown")
	note(listener.ProxyProtocol != nil, "proxy_protocol: clients came without it")
	note(slices.ContainsFunc(c.Upstreams, func(u config.Upstream) bool {
		return u.TLS != nil || slices.ContainsFunc(u.Endpoints, func(e config.Endpoint) bool { return e.Address.Scheme == "https" })
	}), "TLS to endpoints: they were spoken to in plain text, which costs less")
	note(slices.ContainsFunc(c.Upstreams, func(u config.Upstream) bool { return u.Health != nil }), "health probes of endpoints")
	note(c.Redis != nil && !redis, "the shared store: it was taken for absent, so that limits were counted here; --redis uses it")
	note(c.Bans != nil && c.Bans.Kernel, "bans in the kernel")
	note(slices.ContainsFunc([]string{"jwt", "oidc"}, func(name string) bool {
		return uses(c.Policies, name) || slices.ContainsFunc(c.Routes, func(r config.Route) bool { return uses(r.Policies, name) })
	}), "issuers: what jwt and oidc have to know of them was fetched from the real ones, at the start and not for each request")
	note(c.Log.Access.To == "stdout" || c.Log.Access.To == "stderr", "the access log to "+c.Log.Access.To+": it went to a file, which costs less than a service manager that reads it")
	note(slices.ContainsFunc(c.Upstreams, func(u config.Upstream) bool { return len(u.Endpoints) > mostEndpoints }), fmt.Sprintf("upstreams of more than %d endpoints had so many", mostEndpoints))
	return notes
}
