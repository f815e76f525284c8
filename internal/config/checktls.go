package config

import (
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/document"
)

// listenerTLS judges how a listener speaks TLS.
func (k *checker) listenerTLS(l *Listener) {
	if l.HTTPSRedirect != 0 && l.TLS != nil {
		k.blame(l.Node.At("https_redirect"), "the listener speaks TLS itself; redirect from one that does not")
	}
	t := l.TLS
	if t == nil {
		return
	}
	if t.Mode == "auto" {
		t.Auto, t.Mode = &Auto{Node: t.Node}, "" // it is a way of writing it
	}
	if t.Auto == nil && len(t.Certificates) == 0 {
		k.blame(t.Node, "no certificate to show; allowed: auto, or certificates: [{cert: FILE, key: FILE}]")
	}
	if t.Auto != nil {
		for i, name := range t.Auto.Names {
			if at := t.Auto.Node.At("names", i); !isHostName(strings.TrimPrefix(name, "*.")) || !strings.Contains(name, ".") {
				k.blame(at, "found %q; allowed: a name such as api.example.com, or *.example.com", name)
			} else if strings.HasPrefix(name, "*.") && !k.writesDNS() {
				k.blame(at, "found %q; a wildcard takes the challenge dns-01: set acme.dns, or list the names", name)
			}
		}
	}
	if h := t.HSTS; h != nil && h.Preload && (!h.Subdomains || h.MaxAge < document.Duration(preloadAge)) {
		k.blame(h.Node.At("preload"), "browsers take up only names with include_subdomains: true and a max_age of a year (8760h) or more (hstspreload.org)")
	}
}

// preloadAge is the max_age that the list built into browsers asks for.
const preloadAge = 365 * 24 * time.Hour

// writesDNS says whether dns-01 can be answered.
func (k *checker) writesDNS() bool {
	a := &k.config.ACME
	return a.DNS != nil && (len(a.Challenges) == 0 || slices.Contains(a.Challenges, "dns-01"))
}

func (k *checker) acme() {
	a := &k.config.ACME
	if slices.Contains(a.Challenges, "dns-01") && a.DNS == nil {
		k.blame(a.Node.At("challenges"), "dns-01 needs to know how to write records: set acme.dns")
	}
	if a.Staging && a.Directory != "" {
		k.blame(a.Node.At("staging"), "staging is Let's Encrypt's and directory is another; remove one of them")
	}
	if (a.KeyID == "") != a.HMAC.IsZero() {
		k.blame(a.Node, "key_id and hmac belong together; set both or none")
	}
	if a.DNS != nil && a.DNS.RFC2136 != nil {
		if r := a.DNS.RFC2136; (r.Key == "") != r.Secret.IsZero() {
			k.blame(r.Node, "key and secret belong together; set both or none")
		}
	}
	// Nothing can be said to an authority that a listener does not answer for.
	if len(a.Challenges) > 0 {
		return
	}
	http, alpn := k.config.Challenged()
	for i := range k.config.Listeners {
		l := &k.config.Listeners[i]
		if l.TLS != nil && l.TLS.Auto != nil && !http && !alpn && a.DNS == nil {
			k.blame(l.TLS.Auto.Node, "no challenge of the authority could be answered: it asks at port 80, or at 443 with TLS, and no listener has these; "+
				"add one, set acme.dns, or name in acme.challenges what reaches us by a forwarded port")
			return
		}
	}
}

// Challenged says which challenges reach a listener at the port that authorities ask at.
func (c *Config) Challenged() (http, alpn bool) {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		http = http || l.TLS == nil && l.Address.Port == 80
		alpn = alpn || l.TLS != nil && l.TLS.Auto != nil && l.Address.Port == 443
	}
	return http, alpn
}

// endpointTLS judges how endpoints are spoken to.
func (k *checker) endpointTLS(u *Upstream) {
	secure := u.TLS != nil
	for i := range u.Endpoints {
		if u.Endpoints[i].Address.Scheme == "https" && u.TLS == nil {
			u.TLS = &UpstreamTLS{Verify: true, Node: u.Node}
		}
	}
	for i := range u.Endpoints {
		e := &u.Endpoints[i]
		switch {
		case u.TLS == nil:
		case e.Address.Scheme == "http":
			k.blame(e.Node, "found an http:// address in an upstream that speaks TLS; an upstream does so with all its endpoints or with none")
		case e.Address.Scheme == "" && !secure:
			k.blame(e.Node, "found an address without https:// beside one with it; an upstream speaks TLS with all its endpoints or with none")
		}
	}
	t := u.TLS
	if t == nil {
		return
	}
	if (t.Cert == "") != (t.Key == "") {
		k.blame(t.Node, "cert and key belong together; set both or none")
	}
	if t.ServerName != "" && !isHostName(t.ServerName) {
		k.blame(t.Node.At("server_name"), "found %q; allowed: a host name", t.ServerName)
	}
}
