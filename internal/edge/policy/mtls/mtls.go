// Package mtls is the policy mtls (step 4): the certificate that a client showed in the TLS handshake says who calls. The listener verified it
// against its authorities (step 1); here it is found out whose it is and whether this route takes it.
//
// In reading order: mtls.go (the policy), judge.go (what a certificate says), memory.go (which was judged already).
//
// It refuses to verify chains, and to believe a field of the request that carries a certificate.
package mtls

import (
	"crypto/x509"
	"strings"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// Options are those of the policy.
type Options struct {
	ConsumerRequired bool     `yaml:"consumer_required" default:"true" doc:"refuse certificates that belong to no consumer"`
	Subjects         []string `yaml:"subjects,one" length:"1..256" doc:"the subjects taken, each as a whole"`
	Names            []string `yaml:"names,one" length:"1..256" doc:"the DNS names, URIs and e-mail addresses taken: the certificate is for one of them at least"`
	Issuers          []string `yaml:"issuers,one" length:"1..64" doc:"the subjects of authorities whose certificates are taken"`
	Forward          bool     `yaml:"forward" default:"false" doc:"send the certificate to the endpoint, in Client-Cert"`
	Realm            string   `yaml:"realm" default:"api" pattern:"^[ !#-Z^-~\\]\\[]{1,128}$" form:"1 to 128 printable ASCII characters but quotation marks and backslashes" doc:"realm in WWW-Authenticate"`
}

// Kind is the policy for the chain.
var Kind = kind(time.Now)

// kind is the policy on a clock.
func kind(now func() time.Time) policy.Kind {
	return policy.Kind{Name: name, Options: Options{}, Authenticates: true, Build: func(o policy.Options) (any, error) { return build(o, now) }}
}

const name = "mtls"

// clientCert and clientCertChain are the fields that tell endpoints of a certificate (RFC 9440).
const (
	clientCert      = "Client-Cert"
	clientCertChain = "Client-Cert-Chain"
)

// built is the policy before it is bound.
type built struct{ settings }

// settings are what both the built and the running policy have.
type settings struct {
	terms
	forward   bool
	challenge string
	now       func() time.Time
}

func build(o policy.Options, now func() time.Time) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	b := &built{settings{forward: options.Forward, now: now, challenge: `ClientCertificate realm="` + options.Realm + `"`}}
	b.required = options.ConsumerRequired
	for _, list := range []struct {
		key    string
		values []string
		into   *map[string]bool
		form   func(string) string
	}{
		{"subjects", options.Subjects, &b.subjects, canonicalSubject},
		{"names", options.Names, &b.names, canonicalName},
		{"issuers", options.Issuers, &b.issuers, canonicalSubject},
	} {
		for _, v := range list.values {
			if v == "" || !exchange.FitsField(v) {
				return nil, o.Errorf(list.key, "found %q; allowed: text without control characters and without white space at its ends", v)
			}
			if *list.into == nil {
				*list.into = map[string]bool{}
			}
			(*list.into)[list.form(v)] = true
		}
	}
	return b, nil
}

// canonicalSubject is a subject as openssl and consumer.Subject write it, whether or not there are spaces between its parts. A comma behind a
// backslash does not part anything.
func canonicalSubject(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		b.WriteByte(text[i])
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case text[i] == ',':
			for i+1 < len(text) && text[i+1] == ' ' {
				i++
			}
		}
	}
	return b.String()
}

// canonicalName is a name without regard to case where that means nothing: in DNS names, and in the domain of an e-mail address.
func canonicalName(text string) string {
	if strings.Contains(text, ":") { // a URI
		return text
	}
	at := strings.LastIndexByte(text, '@')
	return text[:at+1] + strings.ToLower(text[at+1:])
}

// Bind implements policy.Binder.
func (b *built) Bind(w *policy.World) (any, error) {
	return &running{settings: &b.settings, consumers: w.Consumers}, nil
}

// running is the policy in force.
type running struct {
	*settings
	consumers *consumer.Directory
	memory    memory
}

// Authenticate implements policy.Authenticator.
func (r *running) Authenticate(x *exchange.Exchange) policy.Finding {
	if x.Conn.TLS == nil || x.Conn.TLS.Client == nil {
		return policy.Nothing
	}
	j, now := r.judged(x.Conn.TLS.Client), r.now()
	if word := j.now(now); word != "" {
		x.Judge(name, word)
		return policy.Refused
	}
	if j.found {
		j.credential.Use(now.Unix())
	}
	c := &x.Caller
	c.Consumer, c.Credential = j.credential.Consumer, j.shown
	c.Scopes, c.ScopeList = j.credential.Scopes, j.credential.ScopeList
	c.Subject, c.Issuer = j.subject, j.issuer
	return policy.Accepted
}

// judged is what there is to know of a certificate, found out once.
func (r *running) judged(c *x509.Certificate) *judgement {
	j := r.memory.find(c)
	if j == nil {
		j = r.judge(c, r.consumers)
		r.memory.keep(j)
	}
	return j
}

// Challenge implements policy.Authenticator. A certificate cannot be asked for once there is a connection, and no scheme is registered; this
// one says what was missing.
func (r *running) Challenge(x *exchange.Exchange, _ policy.Finding) {
	x.Challenges = append(x.Challenges, r.challenge)
}

// Reserves implements policy.Reserver: nobody but us tells endpoints of certificates on this route (RFC 9440 §4), neither before content nor
// behind it.
func (r *running) Reserves() []string { return []string{clientCert, clientCertChain} }

// Hide implements policy.Authenticator: we tell endpoints of a certificate when it is to be forwarded and is one that this route takes, also
// where another method has accepted.
func (r *running) Hide(x *exchange.Exchange, _ policy.Finding) {
	if !r.forward || x.Conn.TLS == nil || x.Conn.TLS.Client == nil {
		return
	}
	if j := r.judged(x.Conn.TLS.Client); j.now(r.now()) == "" {
		x.Request.Header.Append(exchange.Other, clientCert, j.field)
	}
}
