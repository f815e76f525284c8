package doctor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/config"
)

// lookExposure tells what of the gateway's own pages others than this box can reach, and where credentials travel in the clear.
func lookExposure(_ context.Context, p *Patient) (out []box.Finding) {
	c := p.Config
	if c == nil {
		return nil
	}
	if m := &c.Metrics; !m.Off && m.Address.Path == "" && !loopback(m.Address.Address) && !private(m.Address.Address) {
		out = append(out, box.Finding{Subject: "metrics", Severity: box.Warning, Is: "the metrics page is served on " + m.Address.String(), Want: "a loopback address, or one of a network of your own",
			Why:    "It names routes, upstreams and their addresses to whoever asks, and asks nobody who they are.",
			Remedy: "metrics.address: 127.0.0.1:9900, or have a firewall let in the one that reads it"})
	}
	if a := &c.Admin; !a.Off {
		out = append(out, p.adminSocket(a)...)
	}
	if methods := clear(c); len(methods) > 0 {
		for i := range c.Listeners {
			l := &c.Listeners[i]
			if l.TLS != nil || l.HTTPSRedirect != 0 || l.Address.Path != "" || loopback(l.Address.Address) {
				continue
			}
			f := box.Finding{Subject: "listener " + l.Address.String(), Severity: box.Warning, Is: "speaks without TLS, and routes take " + strings.Join(methods, ", "), Want: "TLS, or a network that is yours from end to end",
				Why:    "Credentials travel in the clear: whoever is on the way can use them.",
				Remedy: "tls: auto for the listener, or https_redirect: 443 beside one with TLS. Where something in front of this box ends TLS, bind to the private address it reaches"}
			if private(l.Address.Address) {
				f.Severity = box.Hint
			}
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		out = append(out, good("the admin API and the metrics are within this box", "They tell much and ask little."))
	}
	return out
}

// adminSocket looks at the admin API's socket as it lies there.
func (p *Patient) adminSocket(a *config.Admin) []box.Finding {
	if a.Socket == "" {
		return nil
	}
	s, err := os.Stat(p.Machine.Path(a.Socket))
	if err != nil || s.Mode()&os.ModeSocket == 0 {
		return nil // no gateway runs, or this user may not look
	}
	if s.Mode().Perm()&0o002 == 0 || !open(p.Machine, a.Socket) { // who connects has to be able to write (unix(7))
		return nil
	}
	return one(box.Finding{Subject: "admin", Severity: box.Bad, Is: fmt.Sprintf("everybody on this box may use the admin socket %s (mode %04o)", a.Socket, s.Mode().Perm()), Want: "0600",
		Why: "Who may connect to it may reload, purge and ban.", Remedy: "chmod 0600 " + a.Socket + "; the gateway makes it so, and something has changed it"})
}

// inTheClear are policies whose credentials are worth as much to whoever overhears them. Those that sign each request (hmac,
// webhook_signature) are not.
var inTheClear = []string{"api_key", "basic", "forward_auth", "introspection", "jwt", "oidc"}

// clear are the policies of a configuration whose credentials can be overheard.
func clear(c *config.Config) (found []string) {
	take := func(all []config.Policy) {
		for i := range all {
			if name := all[i].Name; slices.Contains(inTheClear, name) && !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	take(c.Policies)
	for i := range c.Routes {
		take(c.Routes[i].Policies)
	}
	slices.Sort(found)
	return found
}

// private says whether an address is of a network that the Internet does not reach (RFC 1918, RFC 4193).
func private(a config.Address) bool {
	ip, ok := a.IP()
	return ok && ip.Unmap().IsPrivate()
}

// loopback says whether an address is of this box alone.
func loopback(a config.Address) bool {
	ip, ok := a.IP()
	return a.Host == "localhost" || ok && ip.Unmap().IsLoopback()
}
