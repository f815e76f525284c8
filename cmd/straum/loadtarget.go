package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/edge/chain"
)

// targetFlags say what load is sent to, and what permits that. straum load and straum capacity share them.
type targetFlags struct {
	config, to, host, ca string
	insecure, anywhere   bool
	lookup               func(ctx context.Context, network, host string) ([]netip.Addr, error)
	command              *cobra.Command
}

// anywhereHelp is why load is not sent just anywhere.
const anywhereHelp = `Load is sent to this box (loopback addresses, local sockets) and to what the configuration names: its listeners, the
hosts of its routes, the names of its certificates. Sent to anybody else it would be an attack. --anywhere permits it
all the same: you say that the target is yours, or that its owner agreed.`

func addTargetFlags(c *cobra.Command) *targetFlags {
	f := &targetFlags{command: c, lookup: net.DefaultResolver.LookupNetIP}
	c.Flags().StringVarP(&f.config, "config", "c", "straum.yaml", "the configuration `file` whose hosts and listeners may be loaded")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	c.Flags().StringVar(&f.to, "to", "", "the `address` to connect to in place of the URL's: host:port or unix:/path")
	c.Flags().StringVar(&f.host, "host", "", "the `name` to ask for (Host, and SNI with TLS) in place of the URL's")
	c.Flags().StringVar(&f.ca, "ca", "", "a PEM `file` of the authorities that sign the target's certificate")
	_ = c.MarkFlagFilename("ca", "pem", "crt")
	c.Flags().BoolVar(&f.insecure, "insecure", false, "do not verify the target's certificate")
	c.Flags().BoolVar(&f.anywhere, "anywhere", false, "permit a target that is neither this box nor named in the configuration")
	return f
}

// loadTarget is what load is sent to: an address that was checked, and what is asked for there.
type loadTarget struct {
	url     *url.URL // as it was meant, with its scheme; of a socket the host is localhost
	socket  string   // unix:/path, when that was given in place of a URL
	address string   // host:port or unix:/path to connect to, an IP address where it is TCP
	host    string   // Host
	tls     *tls.Config
}

// path is what of the URL is sent in the request line.
func (t *loadTarget) path() string { return t.url.RequestURI() }

// String is the target as reports tell it.
func (t *loadTarget) String() string {
	if t.socket != "" {
		return t.socket
	}
	return t.url.String()
}

// target reads and checks what is to be loaded. Errors about the command line are coded as such.
func (f *targetFlags) target(ctx context.Context, text string, http2 bool) (*loadTarget, error) {
	t := &loadTarget{}
	where := ""
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return nil, usage("found %q; allowed: unix:/path of a socket; for a path to ask for: http://localhost/path --to unix:/socket", text)
		}
		t.url, t.socket, where = &url.URL{Scheme: "http", Host: "localhost", Path: "/"}, text, text
	} else {
		u, err := parseURL(text)
		if err != nil {
			return nil, err
		}
		t.url, where = u, net.JoinHostPort(u.Hostname(), portOf(u))
	}
	if f.to != "" {
		where = f.to
	}
	t.host = t.url.Host
	if f.host != "" {
		t.host = f.host
	}
	var err error
	if t.address, err = f.allowed(ctx, where); err != nil {
		return nil, err
	}
	if t.url.Scheme == "https" {
		t.tls, err = f.tls(t.host, http2)
	} else if f.ca != "" || f.insecure {
		return nil, usage("--ca and --insecure are about certificates; %s has none, since it is no https URL", t)
	}
	return t, err
}

// parseURL reads a URL; http:// may be left out.
func parseURL(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		var wrong *url.Error
		if errors.As(err, &wrong) {
			err = wrong.Err
		}
		return nil, usage("%q is no URL: %s", text, err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, usage("found the scheme %q; allowed: http and https, or unix:/path", u.Scheme)
	case u.Hostname() == "":
		return nil, usage("%q has no host; write http://HOST/PATH", text)
	case u.User != nil:
		return nil, usage("the URL has a user or a password, which would be told in reports; use -H 'Authorization: ...'")
	case u.Fragment != "":
		return nil, usage("the URL has a fragment (#%s), which no request has; leave it out", u.Fragment)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// portOf is the port of a URL, that of its scheme when it has none.
func portOf(u *url.URL) string {
	if u.Port() != "" {
		return u.Port()
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// tls is how TLS is spoken to the target.
func (f *targetFlags) tls(host string, http2 bool) (*tls.Config, error) {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	c := &tls.Config{ServerName: strings.Trim(name, "[]"), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, InsecureSkipVerify: f.insecure} //nolint:gosec // asked for by --insecure
	if http2 {
		c.NextProtos = []string{"h2"}
	}
	if f.ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, failed(fmt.Errorf("--ca: %w", err))
	}
	if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, failed(fmt.Errorf("--ca: %s holds no certificate in PEM", f.ca))
	}
	return c, nil
}

// allowed says to which address to connect for host:port or unix:/path, once it is sure that load may be sent there. Names are resolved
// here and only here: what is connected to is what was checked.
func (f *targetFlags) allowed(ctx context.Context, where string) (string, error) {
	if path, ok := strings.CutPrefix(where, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return "", usage("found %q; allowed: unix:/path, whose path is absolute", where)
		}
		return where, nil
	}
	host, port, err := net.SplitHostPort(where)
	number, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || number == 0 || host == "" {
		return "", usage("found the address %q; allowed: host:port, [::1]:port or unix:/path", where)
	}
	bounded, end := context.WithTimeout(ctx, 5*time.Second)
	defer end()
	addresses, err := f.lookup(bounded, "ip", host)
	if err == nil && len(addresses) == 0 {
		err = errors.New("it has no address")
	}
	if err != nil {
		return "", failed(fmt.Errorf("the host %s cannot be resolved: %w", host, err))
	}
	for i, a := range addresses {
		addresses[i] = a.Unmap()
	}
	here := slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool { return !a.IsLoopback() && !a.IsUnspecified() })
	switch {
	case len(here) > 0:
		addresses = here
	case f.anywhere:
	default:
		if err := f.named(host, uint16(number), addresses); err != nil {
			return "", err
		}
	}
	return reachable(bounded, addresses, port), nil
}

// reachable is the first address that takes a connection, or the first: localhost may be two of which one listens.
func reachable(ctx context.Context, addresses []netip.Addr, port string) string {
	first := net.JoinHostPort(addresses[0].String(), port)
	if len(addresses) == 1 {
		return first
	}
	for _, a := range addresses {
		address := net.JoinHostPort(a.String(), port)
		dialer := net.Dialer{Timeout: time.Second}
		if c, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			c.Close()
			return address
		}
	}
	return first
}

// named is nil when the configuration names the host, or has a listener there.
func (f *targetFlags) named(host string, port uint16, addresses []netip.Addr) error {
	at := addresses[0].String()
	if host != at {
		at = host + " (" + at + ")"
	}
	refused := func(why string) error {
		return usage("load is not sent to %s, which is not this box's loopback, and %s; allowed: loopback addresses, local sockets, and the hosts, listeners and certificates of the configuration (-c FILE); if the target is yours, or its owner agreed, add --anywhere", at, why)
	}
	if _, err := os.Stat(f.config); errors.Is(err, fs.ErrNotExist) && !f.command.Flags().Changed("config") {
		return refused("there is no configuration " + f.config + " here that could name it")
	}
	c, err := config.Load(f.config, config.Options{Getenv: os.LookupEnv, Policies: chain.Schemas(chain.Order)})
	if err != nil {
		return failed(err)
	}
	if namesHost(c, host) || listensAt(c, port, addresses) {
		return nil
	}
	return refused(f.config + " does not name it")
}

// namesHost says whether a route or a certificate of the configuration has the host.
func namesHost(c *config.Config, host string) bool {
	var names []string
	for i := range c.Routes {
		names = append(names, c.Routes[i].Match.Host...)
	}
	for i := range c.Listeners {
		t := c.Listeners[i].TLS
		if t == nil {
			continue
		}
		if t.Auto != nil {
			names = append(names, t.Auto.Names...)
		}
		for _, p := range t.Certificates {
			names = append(names, namesIn(config.Beside(p.Node, p.Cert))...)
		}
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return slices.ContainsFunc(names, func(name string) bool {
		name = strings.ToLower(name)
		if below, ok := strings.CutPrefix(name, "*."); ok {
			return strings.HasSuffix(host, "."+below)
		}
		return name == host
	})
}

// namesIn are the names of the certificate in a PEM file; none when it cannot be read, which straum check tells.
func namesIn(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// listensAt says whether a listener of the configuration has one of the addresses: by itself, or as one of this box's own.
func listensAt(c *config.Config, port uint16, addresses []netip.Addr) bool {
	own, _ := net.InterfaceAddrs() // none when they are not told
	isOwn := func(a netip.Addr) bool {
		return slices.ContainsFunc(own, func(o net.Addr) bool {
			p, err := netip.ParsePrefix(o.String())
			return err == nil && p.Addr().Unmap() == a
		})
	}
	for i := range c.Listeners {
		l := c.Listeners[i].Address
		if l.Path != "" || l.Port != port {
			continue
		}
		ip, literal := l.IP()
		if slices.ContainsFunc(addresses, func(a netip.Addr) bool {
			return literal && ip.Unmap() == a || (l.Host == "" || literal && ip.IsUnspecified()) && isOwn(a)
		}) {
			return true
		}
	}
	return false
}

// usage is an error about the command line.
func usage(format string, args ...any) error {
	return &coded{exitUsage, fmt.Errorf(format, args...)}
}
