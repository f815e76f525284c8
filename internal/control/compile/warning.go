package compile

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/document"
)

// caution is what works and is hardly meant. Some depend on which credentials there are, so they are judged when those are known.
type caution struct {
	at     document.Node
	text   string
	unless func(*consumer.Directory) bool // nil for never
	route  string                         // the first it concerns, empty where that does not matter
	more   int                            // how many besides
}

// end is when a credential of the configuration ends.
type end struct {
	at      document.Node
	expires int64
}

// warn notes a caution, once for each place.
func (k *compiler) warn(c caution) {
	if first := k.cautions[c.at]; first != nil {
		first.more++
		return
	}
	k.cautions[c.at] = &c
	k.out.cautions = append(k.out.cautions, &c)
}

// caution looks at the policies of a route.
func (k *compiler) caution(r *config.Route, on []placedPolicy) {
	known := false
	for _, p := range on {
		known = known || p.kind.Authenticates
	}
	for _, p := range on {
		at, options := p.written.Blame(), p.written.Options
		switch name := p.kind.Name; name {
		case "mtls":
			if !k.asksForCertificates() {
				k.warn(caution{at: at, text: "no listener asks clients for a certificate, so nobody is accepted by mtls; set client in the tls of a listener"})
			} else if required(options) {
				k.warn(without(at, consumer.MTLS))
			}
		case "api_key", "basic", "hmac":
			k.warn(without(at, consumer.Kind(name)))
		case "jwt", "introspection", "oidc":
			if !options.Has("consumer_claim") || options.At("consumer_claim").Any() == "" {
				continue
			}
			then := "so the claim is of no use"
			if required(options) {
				then = "so everybody is refused"
			}
			k.warn(caution{at: options.At("consumer_claim"), text: "there are no consumers that the claim could name, " + then + "; add them under consumers, or remove consumer_claim", unless: anyConsumer})
		case "cache":
			k.cautionCache(r, p, known)
		case "authorize":
			for _, key := range []string{"consumers", "groups", "scopes", "any_scope", "claims"} {
				if !known && options.Has(key) {
					k.warn(caution{at: at, text: "nothing there finds out who calls, so nobody has the " + key + " that authorize asks for; add a method such as api_key or jwt", route: r.Name})
					break
				}
			}
		}
	}
}

// without is the caution that nobody can be accepted by a method.
func without(at document.Node, kind consumer.Kind) caution {
	return caution{at: at, text: fmt.Sprintf("no consumer has a credential of the kind %s, so nobody is accepted by it; add one, or remove the policy", kind),
		unless: func(d *consumer.Directory) bool { return d.Count(kind) > 0 }}
}

func anyConsumer(d *consumer.Directory) bool {
	consumers, _ := d.Len()
	return consumers > 0
}

// required says whether a policy takes those alone that are consumers. Its own folder decodes the option; what is not plainly false counts as
// true here only when it was left out or says so.
func required(options document.Node) bool {
	return !options.Has("consumer_required") || options.At("consumer_required").Any() == true
}

// asksForCertificates says whether any listener lets clients show a certificate.
func (k *compiler) asksForCertificates() bool {
	for i := range k.config.Listeners {
		if t := k.config.Listeners[i].TLS; t != nil && t.Client != nil {
			return true
		}
	}
	return false
}

// cautionRedis looks at whether passwords of the shared store cross networks that others may listen to. Names are not looked up.
func (k *compiler) cautionRedis() {
	r := k.config.Redis
	if r == nil || r.TLS != nil || r.Password.IsZero() && r.SentinelPassword.IsZero() {
		return
	}
	for i, a := range r.Addresses {
		if ip, is := a.IP(); is && !near(ip) {
			k.warn(caution{at: r.Node.At("addresses", i), text: "the password is sent to " + a.String() + " without TLS; whoever is on the way reads it and all else: set tls"})
		}
	}
}

// near says whether an address is this machine or one of a network of one's own.
func near(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || shared.Contains(ip)
}

// shared is address space that is not routed in public (RFC 6598), which overlay networks use.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// maxWarnings is how many are told.
const maxWarnings = 20

// Warnings are what works and is hardly meant, a line each, with the place where there is one; 20 at most and a line for the rest. consumers
// are those of Consumers, whose own warnings are not among them. The modes of the credential files are looked at.
func (c *Compiled) Warnings(consumers *consumer.Directory, now time.Time) []string {
	var out []string
	dropped := 0
	tell := func(at document.Node, text string) {
		if len(out) == maxWarnings {
			dropped++
			return
		}
		if place := at.Place(); place != "" {
			text = place + ": " + text
		}
		out = append(out, text)
	}
	for _, f := range c.directory.files {
		if info, err := os.Stat(f.Path); err == nil && info.Mode().Perm()&0o002 != 0 {
			tell(f.At, fmt.Sprintf("everybody on this machine may write to %s, and so make credentials; take that away: chmod o-w", f.Path))
		}
	}
	for _, w := range c.cautions {
		if w.unless != nil && w.unless(consumers) {
			continue
		}
		text := w.text
		if w.route != "" {
			where := "on the route " + w.route
			if w.more > 0 {
				where += fmt.Sprintf(" and %d more", w.more)
			}
			text = where + ": " + text
		}
		tell(w.at, text)
	}
	over := 0
	for _, e := range c.ends {
		if e.expires != 0 && now.Unix() >= e.expires {
			over++
			tell(e.at, "the credential has expired, and is refused; take it away or give it another end")
		}
	}
	if n := consumers.Expired(now.Unix()) - over; n > 0 {
		tell(document.Node{}, fmt.Sprintf("%d of the credentials in credential_files have expired, and are refused; straum credentials shows which", n))
	}
	if dropped > 0 {
		out = append(out, fmt.Sprintf("and %d more", dropped))
	}
	return out
}
