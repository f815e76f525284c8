package mtls

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
)

// terms are what a route asks of a certificate. A list that is nil asks nothing.
type terms struct {
	required                 bool // it belongs to a consumer
	subjects, names, issuers map[string]bool
}

// judgement is what there is to know of a certificate under terms and a directory. It is immutable.
type judgement struct {
	certificate *x509.Certificate
	word        string // why it is refused, empty when it is not
	credential  consumer.Credential
	found       bool   // there is a credential
	shown       string // for Caller.Credential
	subject     string
	issuer      string
	field       string // for Client-Cert
}

// now says in a word why the certificate is refused at a time, empty when it is not. It was good when its connection began, which may be long
// ago.
func (j *judgement) now(now time.Time) string {
	switch {
	case j.word != "":
		return j.word
	case now.After(j.certificate.NotAfter):
		return "expired"
	case j.found && j.credential.Expired(now.Unix()):
		return "expired_credential"
	}
	return ""
}

// maxNames is how many names of one kind are looked at; a certificate with more was not made for a client.
const maxNames = 64

// judge finds out whose a certificate is, and whether it is taken.
func (t *terms) judge(c *x509.Certificate, d *consumer.Directory) *judgement {
	j := &judgement{certificate: c, subject: subject(c), issuer: distinguished(c.RawIssuer), field: field(c)}
	j.credential, j.found = d.Certificate(c)
	j.shown = j.credential.ID
	if !j.found {
		sum := sha256.Sum256(c.Raw)
		j.shown = "sha256:" + hex.EncodeToString(sum[:8])
	}
	switch {
	case j.subject == "" || !exchange.FitsField(j.subject) || !exchange.FitsField(j.issuer):
		j.word = "unfit_subject"
	case t.subjects != nil && !t.subjects[consumer.Subject(c)]:
		j.word = "wrong_subject"
	case t.names != nil && !t.anyName(c):
		j.word = "wrong_name"
	case t.issuers != nil && !t.issuers[j.issuer]:
		j.word = "wrong_issuer"
	case t.required && !j.found:
		j.word = "unknown"
	}
	return j
}

// anyName says whether a certificate is for one of the names.
func (t *terms) anyName(c *x509.Certificate) bool {
	for _, list := range [...][]string{c.DNSNames, c.EmailAddresses} {
		for _, n := range list[:min(len(list), maxNames)] {
			if t.names[canonicalName(n)] {
				return true
			}
		}
	}
	for _, u := range c.URIs[:min(len(c.URIs), maxNames)] {
		if t.names[u.String()] {
			return true
		}
	}
	return false
}

// subject is who a certificate says its owner is: its subject, or where that is empty, as in SPIFFE, the first of its names.
func subject(c *x509.Certificate) string {
	switch s := consumer.Subject(c); {
	case s != "":
		return s
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0]
	}
	return ""
}

// distinguished is a name as RFC 4514 writes it, empty when it cannot be read.
func distinguished(raw []byte) string {
	var names pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &names); err != nil || len(rest) > 0 {
		return ""
	}
	return names.String()
}

// field is the value of Client-Cert: the certificate as a byte sequence (RFC 9440 §2.1).
func field(c *x509.Certificate) string { return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":" }
