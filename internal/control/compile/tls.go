package compile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/acme"
	"straum.dev/straum/internal/certificate"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/profile"
)

// TLS is how a listener speaks it. Files are named and not read.
type TLS struct {
	At          document.Node // for problems
	Pairs       []certificate.Pair
	Auto        bool // names without a pair have their certificates from ACME
	Strict      bool
	Profile     profile.Profile
	PostQuantum bool
	Client      profile.ClientAuth
	ClientCA    string // file; empty when clients are not asked
	Timeout     time.Duration
	Ceiling     int
}

// Trust is how the endpoints of an upstream are spoken to by TLS. Files are named and not read.
type Trust struct {
	Upstream   string
	CA         string // file; empty for the system's
	Own        certificate.Pair
	ServerName string
	Insecure   bool
}

func (k *compiler) tls(l *config.Listener) *TLS {
	t := l.TLS
	if t == nil {
		return nil
	}
	out := &TLS{
		At:          t.Node,
		Auto:        t.Auto != nil,
		Strict:      t.StrictSNI,
		PostQuantum: t.PostQuantum,
		Timeout:     t.HandshakeTimeout.Std(),
		Ceiling:     t.Handshakes,
	}
	if t.Profile == "modern" {
		out.Profile = profile.Modern
	}
	for _, c := range t.Certificates {
		out.Pairs = append(out.Pairs, certificate.Pair{Cert: config.Beside(c.Node, c.Cert), Key: config.Beside(c.Node, c.Key)})
	}
	if c := t.Client; c != nil {
		out.ClientCA, out.Client = config.Beside(c.Node, c.CA), profile.ClientRequired
		if c.Mode == "optional" {
			out.Client = profile.ClientOptional
		}
	}
	return out
}

// hsts is the value of the Strict-Transport-Security field, empty for none (RFC 6797 §6.1).
func hsts(h *config.HSTS) string {
	if h == nil {
		return ""
	}
	value := "max-age=" + strconv.FormatInt(int64(h.MaxAge.Std()/time.Second), 10)
	if h.Subdomains {
		value += "; includeSubDomains"
	}
	if h.Preload {
		value += "; preload"
	}
	return value
}

// acme settles which names certificates are to be issued for, and how.
func (k *compiler) acme() {
	a := &k.config.ACME
	out := acme.Settings{
		Email:      a.Email,
		Directory:  a.Directory,
		Staging:    a.Staging,
		Challenges: a.Challenges,
		Key:        a.Key,
		Profile:    a.Profile,
		Binding:    acme.Binding{KeyID: a.KeyID},
	}
	if !a.HMAC.IsZero() {
		out.Binding.HMAC = a.HMAC.Reveal()
	}
	if d := a.DNS; d != nil {
		if r := d.RFC2136; r != nil {
			out.DNS.Update = &acme.Update{Server: r.Server.Dial(), KeyName: r.Key, Algorithm: r.Algorithm}
			if !r.Secret.IsZero() {
				out.DNS.Update.Secret = r.Secret.Reveal()
			}
		}
		if p := d.Program; p != nil {
			out.DNS.Program = &acme.Program{Path: p.Command[0], Args: p.Command[1:], Timeout: p.Timeout.Std()}
		}
	}
	if len(out.Challenges) == 0 {
		http, alpn := k.config.Challenged()
		for kind, can := range map[string]bool{acme.HTTP01: http, acme.TLSALPN01: alpn, acme.DNS01: a.DNS != nil} {
			if can {
				out.Challenges = append(out.Challenges, kind)
			}
		}
		slices.Sort(out.Challenges)
	}
	for i := range k.config.Listeners {
		l := &k.config.Listeners[i]
		if l.TLS == nil || l.TLS.Auto == nil {
			continue
		}
		names := l.TLS.Auto.Names
		if len(names) == 0 {
			dns := slices.Contains(out.Challenges, acme.DNS01)
			if wild := k.wildcard(); wild != "" && !dns && len(l.TLS.Certificates) == 0 {
				k.blame(l.TLS.Auto.Node, "a route is for %s, and a certificate for a wildcard takes the challenge dns-01: set acme.dns, or name the hosts: "+
					"auto: {names: [...]}", wild)
				continue
			}
			names = k.hosts(dns)
			if len(names) == 0 {
				k.blame(l.TLS.Auto.Node, "there is no name to hold a certificate for: no route has a host such as api.example.com; write auto: {names: [api.example.com]}")
			}
		}
		for _, name := range names {
			if name = strings.ToLower(name); !slices.Contains(out.Names, name) {
				out.Names = append(out.Names, name)
			}
		}
	}
	k.out.ACME, k.out.ACMERoots, k.out.ACMEAt = out, config.Beside(a.Node, a.CA), a.Node
	if a.Node.IsZero() {
		k.out.ACMEAt = k.config.Node
	}
}

// wildcard is a host of a route that stands for many, empty when there is none.
func (k *compiler) wildcard() string {
	for i := range k.config.Routes {
		for _, host := range k.config.Routes[i].Match.Host {
			if strings.HasPrefix(host, "*.") {
				return host
			}
		}
	}
	return ""
}

// hosts are those of all routes that a certificate can be held for, in the order of the routes.
func (k *compiler) hosts(wildcards bool) (names []string) {
	seen := map[string]bool{}
	for i := range k.config.Routes {
		for _, host := range k.config.Routes[i].Match.Host {
			name := strings.ToLower(host)
			wild := strings.HasPrefix(name, "*.")
			if seen[name] || !strings.Contains(name, ".") || strings.ContainsAny(name, ":[") || wild && !wildcards {
				continue
			}
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// trust notes how the endpoints of an upstream are to be spoken to.
func (k *compiler) trust(u *config.Upstream) *Trust {
	t := u.TLS
	if t == nil {
		return nil
	}
	return &Trust{
		Upstream:   u.Name,
		CA:         config.Beside(t.Node, t.CA),
		Own:        certificate.Pair{Cert: config.Beside(t.Node, t.Cert), Key: config.Beside(t.Node, t.Key)},
		ServerName: t.ServerName,
		Insecure:   !t.Verify,
	}
}

// Identity is equal for settings that mean the same, given the digest of what their files hold.
func (t *Trust) Identity(digest string) string { return fmt.Sprintf("%#v %s", *t, digest) }
