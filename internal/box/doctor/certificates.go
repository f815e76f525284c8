package doctor

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/wording"
)

// When a certificate's end matters: a third of its life, as those who renew them by themselves go by, and never sooner than this.
const (
	endsSoon     = 21 * 24 * time.Hour
	endsNow      = 3 * 24 * time.Hour
	signPatience = 40 * time.Millisecond
	maxPairs     = 64 // that are read; more are told as not looked at
)

// aPair is a pair of files and what is in it.
type aPair struct {
	cert, key string // as files of the box
	shown     string // as the configuration writes it
	listener  int    // that shows it; -1 is an upstream, whose endpoints are shown it
	leaf      *x509.Certificate
	private   crypto.PrivateKey
}

// lookCertificates reads the pairs a configuration names as a handshake would show them.
func lookCertificates(ctx context.Context, p *Patient) (out []box.Finding) {
	if p.Config == nil {
		return nil
	}
	all := pairs(p.Config)
	read := all[:min(len(all), maxPairs)]
	whole := len(read) == len(all)
	for i := range read {
		f := judgePair(p, &read[i])
		f.Subject = read[i].shown
		out = append(out, f)
		whole = whole && read[i].leaf != nil
	}
	measured := map[int]time.Duration{} // by the length of an RSA key
	for i := range read {
		if k, ok := read[i].private.(*rsa.PrivateKey); ok && out[i].Severity == box.Good && !accompanied(read, i) {
			bits := k.N.BitLen()
			if _, ok := measured[bits]; !ok && ctx.Err() == nil {
				measured[bits] = signing(k)
			}
			out[i] = costly(out[i], bits, measured[bits])
		}
	}
	if left := len(all) - len(read); left > 0 {
		out = append(out, unknown("not read: "+wording.Count(left, "further pair"), fmt.Sprintf("At most %d are, so that a look stays cheap.", maxPairs), ""))
	}
	if whole { // a name that none of them has may be in one that was not read
		out = append(out, unnamed(p.Config, read)...)
	}
	return out
}

// pairs are those that listeners show, and those that are shown to endpoints, each once.
func pairs(c *config.Config) (all []aPair) {
	add := func(at document.Node, cert, key string, listener int) {
		one := aPair{cert: config.Beside(at, cert), key: config.Beside(at, key), shown: cert, listener: listener}
		if cert != "" && !slices.ContainsFunc(all, func(o aPair) bool { return o.cert == one.cert && o.key == one.key }) {
			all = append(all, one)
		}
	}
	for i := range c.Listeners {
		if t := c.Listeners[i].TLS; t != nil {
			for _, pair := range t.Certificates {
				add(pair.Node, pair.Cert, pair.Key, i)
			}
		}
	}
	for i := range c.Upstreams {
		if t := c.Upstreams[i].TLS; t != nil {
			add(t.Node, t.Cert, t.Key, -1)
		}
	}
	return all
}

// accompanied says that clients of the same listener that can are shown another pair for the same names, whose key is no RSA one.
func accompanied(all []aPair, i int) bool {
	return slices.ContainsFunc(all, func(o aPair) bool {
		if _, isRSA := o.private.(*rsa.PrivateKey); isRSA || o.leaf == nil || o.listener != all[i].listener {
			return false
		}
		for _, name := range all[i].leaf.DNSNames {
			if !slices.Contains(o.leaf.DNSNames, name) {
				return false
			}
		}
		return true
	})
}

// unnamed tells of hosts that routes are for and no certificate has, where all that clients are shown is in files.
func unnamed(c *config.Config, all []aPair) []box.Finding {
	secure := false
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if l.TLS == nil && l.HTTPSRedirect == 0 || l.TLS != nil && (l.TLS.Mode == "auto" || l.TLS.Auto != nil) {
			return nil // the host may be one that is served in the clear, or get its certificate by itself
		}
		secure = secure || l.TLS != nil
	}
	if !secure {
		return nil
	}
	var lacking []string
	for i := range c.Routes {
		for _, host := range c.Routes[i].Match.Host {
			has := slices.ContainsFunc(all, func(o aPair) bool { return o.listener >= 0 && covers(o.leaf, host) })
			if !has && !slices.Contains(lacking, host) {
				lacking = append(lacking, host)
			}
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return one(box.Finding{Subject: "names", Severity: box.Warning, Is: "no certificate has " + cut(strings.Join(lacking, ", "), 160), Want: "one for each host that a route is for",
		Why:    "Clients that come for such a host are shown a certificate of another, and refuse it.",
		Remedy: "have a certificate issued that has the name, or let tls: auto do that; or remove the host from its route"})
}

// covers says whether a certificate is good for the host of a route. One for *.example.com has no names of two labels more, which the route's
// host may mean too: those are left to whoever wrote both.
func covers(leaf *x509.Certificate, host string) bool {
	if strings.HasPrefix(host, "*.") {
		return slices.ContainsFunc(leaf.DNSNames, func(name string) bool {
			return strings.EqualFold(name, host) || strings.HasSuffix(strings.ToLower(name), strings.ToLower(host[1:]))
		})
	}
	return leaf.VerifyHostname(host) == nil
}

func judgePair(p *Patient, a *aPair) box.Finding {
	fails, refuses := "A gateway that is started with this pair does not come up; one that runs shows what it had.", "Browsers and most clients refuse a certificate from the second on at which it ends."
	if a.listener < 0 {
		refuses = "Endpoints that ask for the gateway's certificate refuse it from the second on at which it ends: their routes answer 502."
	}
	pair, err := tls.LoadX509KeyPair(p.Machine.Path(a.cert), p.Machine.Path(a.key))
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return unknown("this user may not read both of its files", "A certificate and its key are looked at together.", "sudo straum doctor --only certificates")
	case errors.As(err, &path):
		file := a.cert
		if path.Path == p.Machine.Path(a.key) {
			file = a.key
		}
		return box.Finding{Severity: box.Bad, Is: file + ": " + cause(err), Want: "a certificate and its key", Why: fails, Remedy: "straum check -c " + p.File}
	case err != nil:
		return box.Finding{Severity: box.Bad, Is: cut(cause(err), 160), Want: "a certificate and its key", Why: fails, Remedy: "straum check -c " + p.File}
	}
	chain := make([]*x509.Certificate, 0, len(pair.Certificate))
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return box.Finding{Severity: box.Bad, Is: "the chain in " + a.cert + " cannot be read", Want: "certificates", Why: "Clients refuse what they cannot read.", Remedy: "put the certificate and those between it and the root into the file, and nothing else"}
		}
		chain = append(chain, c)
	}
	leaf := chain[0]
	a.leaf, a.private = leaf, pair.PrivateKey
	left := leaf.NotAfter.Sub(p.Now)
	names := cut(strings.Join(named(leaf), ", "), 80)
	f := box.Finding{Severity: box.Good, Is: fmt.Sprintf("%s, for %s more", names, days(left)), Why: refuses}
	renewed := "renew it, or let tls: auto do that; a running gateway takes the new files over by itself"
	if a.listener < 0 {
		renewed = "renew it, and reload the gateway"
	}
	switch {
	case left <= 0:
		f.Severity, f.Is, f.Want, f.Remedy = box.Bad, fmt.Sprintf("%s, ended %s ago", names, days(-left)), "one that is valid", renewed
		return f
	case p.Now.Before(leaf.NotBefore):
		f.Severity, f.Is, f.Want, f.Remedy = box.Bad, fmt.Sprintf("%s, begins in %s", names, days(leaf.NotBefore.Sub(p.Now))), "one that is valid", "see that the clock of this box is right"
		return f
	case urgency(leaf, p.Now) != box.Good:
		f.Severity, f.Want, f.Remedy = urgency(leaf, p.Now), "renewed in time", renewed
		return f
	case a.listener < 0: // what an endpoint needs of a chain is its own business
		f.Want = f.Is
		return f
	}
	judgeChain(&f, chain, a.cert, p.Now)
	if f.Severity == box.Good {
		f.Want = f.Is
	}
	return f
}

// urgency says how much the end of a certificate matters that is valid still.
func urgency(c *x509.Certificate, now time.Time) box.Severity {
	left, life := c.NotAfter.Sub(now), c.NotAfter.Sub(c.NotBefore)
	switch {
	case left < min(endsNow, life/10):
		return box.Bad
	case left < min(endsSoon, life/3):
		return box.Warning
	}
	return box.Good
}

// judgeChain looks at the certificates behind the first, which lead to a root that clients know.
func judgeChain(f *box.Finding, chain []*x509.Certificate, file string, now time.Time) {
	leaf := chain[0]
	for i, c := range chain[1:] {
		if now.After(c.NotAfter) && !selfSigned(c) {
			f.Severity, f.Want = box.Warning, "a chain that is valid"
			if i == 0 {
				f.Severity = box.Bad
			}
			f.Is += fmt.Sprintf("; of its chain, %s ended %s ago", cut(c.Subject.CommonName, 80), days(now.Sub(c.NotAfter)))
			f.Why = "Clients that find no other way to a root they know refuse a certificate whose chain has ended."
			f.Remedy = "put the chain that came with the last renewal behind the certificate in " + file
			return
		}
	}
	switch {
	case len(chain) == 1 && !selfSigned(leaf) && len(leaf.IssuingCertificateURL) > 0 && !knownByItself(leaf, now):
		f.Severity, f.Want = box.Warning, "the certificates between it and the root as well"
		f.Is += "; the file holds nothing but the certificate itself"
		f.Why = "Browsers fetch what is missing or know it; curl, Go, Java and most programs that call APIs do neither and refuse."
		f.Remedy = "put the chain behind the certificate in " + file + " (certbot calls that file fullchain.pem)"
	case !chained(chain):
		f.Severity, f.Want = box.Warning, "each certificate signed by the next"
		f.Is += "; the certificates in the file are not in order, or one is missing between them"
		f.Why = "Clients of TLS 1.2 may refuse a chain that is not in order (RFC 5246, section 7.4.2)."
		f.Remedy = "put them in order: the certificate first, then the one that signed it"
	}
}

// knownByItself says that a root of this box's signed the certificate without any between, as companies' own do.
func knownByItself(c *x509.Certificate, now time.Time) bool {
	_, err := c.Verify(x509.VerifyOptions{CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// costly tells what an RSA key costs at each full handshake.
func costly(f box.Finding, bits int, took time.Duration) box.Finding {
	f.Severity, f.Want = box.Hint, "an ECDSA key (P-256)"
	f.Is += fmt.Sprintf("; its key is RSA with %d bits", bits)
	f.Why = "Each full handshake signs once. ECDSA does it in a twentieth of RSA's time or less; all clients of the last ten years take it, and a pair with an RSA key can stand beside it for others."
	if took > 0 {
		f.Cost = short(took) + " of a core for each full handshake, measured with a key of this length"
	}
	f.Remedy = "have a certificate issued for an ECDSA key (openssl ecparam -genkey -name prime256v1; certbot --key-type ecdsa)"
	return f
}

// signing measures one signature as TLS 1.3 makes it: the best of those that fit into a little time.
func signing(k *rsa.PrivateKey) time.Duration {
	sum := sha256.Sum256(nil)
	best := time.Hour
	for began := time.Now(); best == time.Hour || time.Since(began) < signPatience; {
		one := time.Now()
		if _, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}); err != nil {
			return 0
		}
		best = min(best, time.Since(one))
	}
	return best
}

// named are the names of a certificate.
func named(c *x509.Certificate) (names []string) {
	names = slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

func selfSigned(c *x509.Certificate) bool {
	return c.CheckSignatureFrom(c) == nil || c.Subject.String() == c.Issuer.String()
}

func chained(chain []*x509.Certificate) bool {
	for i := 1; i < len(chain); i++ {
		if string(chain[i-1].RawIssuer) != string(chain[i].RawSubject) {
			return false
		}
		// One that was renewed has its name and another key. What cannot be checked, as an old way of signing, is left.
		if err := chain[i-1].CheckSignatureFrom(chain[i]); errors.Is(err, rsa.ErrVerification) || errors.As(err, new(x509.ConstraintViolationError)) || err != nil && strings.Contains(err.Error(), "verification failure") {
			return false
		}
	}
	return true
}

// days writes a long time.
func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	if d >= 2*time.Hour {
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return short(d)
}
