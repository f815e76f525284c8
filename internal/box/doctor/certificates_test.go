package doctor

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/config"
)

// issued is a certificate with its key.
type issued struct {
	*x509.Certificate
	key crypto.Signer
}

// issue has by sign a certificate; nil signs itself.
func issue(by *issued, key crypto.Signer, change func(*x509.Certificate)) *issued {
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "api.example.com"}, NotBefore: noon.Add(-30 * day), NotAfter: noon.Add(60 * day), DNSNames: []string{"api.example.com"}}
	change(c)
	if by == nil {
		by = &issued{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.Certificate, key.Public(), by.key)
	must(err)
	c, err = x509.ParseCertificate(der)
	must(err)
	return &issued{c, key}
}

func curve() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return key
}

// authority signs others.
func authority(by *issued, name string, ends time.Time) *issued {
	return issue(by, curve(), func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames, c.NotAfter = name, nil, ends
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
}

// beside puts a pair beside the configuration: name.pem and name.key.
func beside(p *Patient, name string, first *issued, rest ...*issued) {
	var text []byte
	for _, c := range append([]*issued{first}, rest...) {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	private, err := x509.MarshalPKCS8PrivateKey(first.key)
	must(err)
	put(p, "/etc/straum/"+name+".pem", text, 0o644)
	put(p, "/etc/straum/"+name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}

// shows has the listener show these pairs.
func shows(p *Patient, names ...string) {
	var pairs []string
	for _, name := range names {
		pairs = append(pairs, "{ cert: "+name+".pem, key: "+name+".key }")
	}
	text := strings.Replace(file, "tls: auto", "tls: { certificates: ["+strings.Join(pairs, ", ")+"] }", 1)
	p.Config = parsed(strings.Replace(text, `{ address: ":80" }`, `{ address: ":80", https_redirect: 443 }`, 1))
}

func plain(*x509.Certificate) {}

func TestChains(t *testing.T) {
	t.Parallel()
	root := authority(nil, "Root", noon.Add(1000*day))
	between := authority(root, "Between", noon.Add(500*day))
	renewed := authority(root, "Between", noon.Add(500*day))
	over := authority(root, "Between", noon.Add(-5*day))
	public := func(by *issued) *issued {
		return issue(by, curve(), func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ca.example/ca.crt"} })
	}
	short := issue(between, curve(), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = noon.Add(-3*day), noon.Add(3*day+16*time.Hour) // six days, as some authorities have them
	})
	for name, c := range map[string]struct {
		chain    []*issued
		severity box.Severity
		says     string
	}{
		"whole":              {[]*issued{public(between), between}, box.Good, "for 60 days more"},
		"with the root":      {[]*issued{public(between), between, root}, box.Good, ""},
		"alone":              {[]*issued{public(between)}, box.Warning, "fullchain.pem"},
		"a company's own":    {[]*issued{issue(root, curve(), plain)}, box.Good, ""},
		"out of order":       {[]*issued{public(between), root, between}, box.Warning, "not in order"},
		"of another renewal": {[]*issued{public(between), renewed}, box.Warning, "one is missing between"},
		"over":               {[]*issued{public(over), over}, box.Bad, "of its chain, Between ended 5 days ago"},
		"six days, fresh":    {[]*issued{short, between}, box.Good, "for 3 days more"},
	} {
		t.Run(name, func(t *testing.T) {
			p := patient(t, "kvm-debian12", nil)
			beside(p, "a", c.chain[0], c.chain[1:]...)
			shows(p, "a")
			holds(t, lookCertificates(t.Context(), p)[0], c.severity, c.says)
		})
	}
	p := patient(t, "kvm-debian12", nil)
	beside(p, "a", short, between)
	shows(p, "a")
	p.Now = noon.Add(2 * day)
	holds(t, lookCertificates(t.Context(), p)[0], box.Warning, "for 40 hours more")
	p.Now = noon.Add(3*day + 4*time.Hour)
	holds(t, lookCertificates(t.Context(), p)[0], box.Bad, "for 12 hours more")
}

// A pair with an RSA key beside one with another is for clients that can no better; alone it costs.
func TestPairsSideBySide(t *testing.T) {
	t.Parallel()
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	p := patient(t, "kvm-debian12", nil)
	beside(p, "old", issue(nil, old, plain))
	beside(p, "new", issue(nil, curve(), plain))
	beside(p, "other", issue(nil, curve(), func(c *x509.Certificate) { c.DNSNames = []string{"www.example.com"} }))
	shows(p, "old", "new")
	for _, f := range lookCertificates(t.Context(), p) {
		holds(t, f, box.Good)
	}
	shows(p, "old")
	p.Config.Listeners[1].TLS, p.Config.Listeners[1].HTTPSRedirect = &config.TLS{Certificates: []config.Certificate{{Cert: "/etc/straum/new.pem", Key: "/etc/straum/new.key"}}}, 0
	holds(t, lookCertificates(t.Context(), p)[0], box.Hint, "RSA with 2048 bits")
	shows(p, "old", "other")
	holds(t, lookCertificates(t.Context(), p)[0], box.Hint, "measured with a key of this length")
}

// What endpoints are shown ends, too.
func TestPairsForEndpoints(t *testing.T) {
	t.Parallel()
	p := patient(t, "kvm-debian12", nil)
	beside(p, "us", issue(nil, curve(), func(c *x509.Certificate) { c.NotAfter = noon.Add(-day) }))
	p.Config = parsed(strings.Replace(file, "orders: {", "orders: { tls: { cert: us.pem, key: us.key },", 1))
	holds(t, lookCertificates(t.Context(), p)[0], box.Bad, "us.pem", "ended 24 hours ago")
	p.Now = noon.Add(-2 * day)
	holds(t, lookCertificates(t.Context(), p)[0], box.Bad, "Endpoints that ask for the gateway's certificate", "reload the gateway")
}

func TestFilesThatAreAway(t *testing.T) {
	t.Parallel()
	p := patient(t, "kvm-debian12", nil)
	beside(p, "a", issue(nil, curve(), plain))
	shows(p, "a")
	must(removed(p, "/etc/straum/a.key"))
	holds(t, lookCertificates(t.Context(), p)[0], box.Bad, "/etc/straum/a.key: no such file")
	beside(p, "b", issue(nil, curve(), plain))
	must(removed(p, "/etc/straum/a.pem"))
	holds(t, lookCertificates(t.Context(), p)[0], box.Bad, "/etc/straum/a.pem: no such file")
}

// Hosts of routes that no certificate has are told where all certificates are seen.
func TestNamesOfRoutes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		names, host string
		clear, more bool
		lacking     bool
	}{
		"has it":             {names: "api.example.com", host: "api.example.com"},
		"by a wildcard":      {names: "*.example.com", host: "api.example.com"},
		"wildcard for one":   {names: "*.example.com", host: "'*.example.com'"},
		"one of many":        {names: "api.example.com", host: "'*.example.com'"},
		"another":            {names: "www.example.com", host: "api.example.com", lacking: true},
		"too deep":           {names: "*.example.com", host: "a.b.example.com", lacking: true},
		"served in clear":    {names: "www.example.com", host: "api.example.com", clear: true},
		"one is not read":    {names: "www.example.com", host: "api.example.com", more: true},
		"wildcard elsewhere": {names: "*.example.org", host: "'*.example.com'", lacking: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := patient(t, "kvm-debian12", nil)
			beside(p, "a", issue(nil, curve(), func(x *x509.Certificate) { x.DNSNames = []string{c.names} }))
			text := strings.Replace(file, "tls: auto", "tls: { certificates: [{ cert: a.pem, key: a.key }] }", 1)
			if c.more {
				text = strings.Replace(file, "tls: auto", "tls: { certificates: [{ cert: a.pem, key: a.key }, { cert: none.pem, key: none.key }] }", 1)
			}
			if !c.clear {
				text = strings.Replace(text, `{ address: ":80" }`, `{ address: ":80", https_redirect: 443 }`, 1)
			}
			p.Config = parsed(strings.Replace(text, "host: api.example.com", "host: "+c.host, 1))
			var last box.Finding
			for _, f := range lookCertificates(t.Context(), p) {
				last = f
			}
			if told := last.Subject == "names"; told != c.lacking {
				t.Fatalf("told %t: %+v", told, last)
			}
			if c.lacking {
				holds(t, last, box.Warning, "no certificate has "+strings.Trim(c.host, "'"))
			}
		})
	}
}

// So many pairs are read and no more.
func TestManyPairs(t *testing.T) {
	t.Parallel()
	p := patient(t, "kvm-debian12", nil)
	one := issue(nil, curve(), plain)
	var names []string
	for i := range maxPairs + 2 {
		name := "n" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		names = append(names, name)
		beside(p, name, one)
	}
	shows(p, names...)
	found := lookCertificates(t.Context(), p)
	if len(found) != maxPairs+1 {
		t.Fatalf("%d findings", len(found))
	}
	holds(t, found[maxPairs], box.Unknown, "not read: 2 further pairs")
}
