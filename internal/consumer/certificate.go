package consumer

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The marks of certificates, as bits of the kinds a directory has any of.
const (
	markFingerprint = 1 << iota
	markSubject
	markURI
	markDNS
	markEmail
)

// markNames are the words in front of marks, the most particular first.
var markNames = [...]struct {
	kind uint8
	name string
}{{markFingerprint, "sha256:"}, {markSubject, "subject:"}, {markURI, "uri:"}, {markDNS, "dns:"}, {markEmail, "email:"}}

func markOf(mark string) uint8 {
	for _, m := range markNames {
		if strings.HasPrefix(mark, m.name) {
			return m.kind
		}
	}
	return 0
}

// mark is the one mark of the spec in its canonical form, behind its word.
func (s *CertificateSpec) mark() (string, error) {
	mark, n := "", 0
	for i, value := range [...]string{s.Fingerprint, s.Subject, s.URI, s.DNS, s.Email} {
		if value != "" {
			mark, n = markNames[i].name+value, n+1
		}
	}
	if n != 1 {
		return "", errors.New("a certificate is told by exactly one of fingerprint, subject, dns, uri and email")
	}
	return canonicalMark(mark)
}

// canonicalMark judges a mark and gives the form that certificates are compared in.
func canonicalMark(mark string) (string, error) {
	name, value, _ := strings.Cut(mark, ":")
	if value == "" || len(value) > 2048 || !fits(value) {
		return "", fmt.Errorf("found the certificate %.80q; allowed: sha256:, subject:, uri:, dns: or email: with its value", mark)
	}
	switch name {
	case "sha256":
		sum, err := hex.DecodeString(strings.ReplaceAll(value, ":", ""))
		if err != nil || len(sum) != sha256.Size {
			return "", fmt.Errorf("found the fingerprint %.80q; allowed: SHA-256 of the certificate, 64 hexadecimal digits, colons allowed (openssl x509 -noout -fingerprint -sha256)", value)
		}
		return "sha256:" + hex.EncodeToString(sum), nil
	case "dns":
		return "dns:" + strings.ToLower(value), nil
	case "email":
		at := strings.LastIndexByte(value, '@')
		if at < 1 {
			return "", fmt.Errorf("found the e-mail address %.80q; allowed: name@domain", value)
		}
		return "email:" + value[:at] + strings.ToLower(value[at:]), nil // RFC 5280 §7.5: the domain alone is without case
	case "subject":
		subject, err := canonicalSubject(value)
		return "subject:" + subject, err
	case "uri":
		return mark, nil
	}
	return "", fmt.Errorf("found the certificate mark %.40q; allowed: sha256, subject, uri, dns and email", name)
}

// Certificate finds who shows a certificate. The most particular mark counts: the fingerprint before the subject, that before URI, DNS name
// and e-mail address. When two names of one kind belong to different consumers, it is nobody's. It does not verify the certificate, and costs
// some microseconds: callers keep what it found as long as the connection and the directory are the same.
func (d *Directory) Certificate(c *x509.Certificate) (Credential, bool) {
	if d.marks&markFingerprint != 0 {
		sum := sha256.Sum256(c.Raw)
		if i, ok := d.byMark["sha256:"+hex.EncodeToString(sum[:])]; ok {
			return d.credential(d.certificates.at(i)), true
		}
	}
	if d.marks&markSubject != 0 {
		if subject, err := canonicalSubject(Subject(c)); err == nil && subject != "" {
			if i, ok := d.byMark["subject:"+subject]; ok {
				return d.credential(d.certificates.at(i)), true
			}
		}
	}
	for _, names := range [...]struct {
		kind uint8
		list func() []string
	}{
		{markURI, func() (uris []string) {
			for _, u := range c.URIs {
				uris = append(uris, "uri:"+u.String())
			}
			return uris
		}},
		{markDNS, func() []string { return marks("dns:", c.DNSNames) }},
		{markEmail, func() []string { return marks("email:", c.EmailAddresses) }},
	} {
		if d.marks&names.kind == 0 {
			continue
		}
		if e, found, several := d.one(names.list()); several {
			return Credential{}, false
		} else if found {
			return d.credential(e), true
		}
	}
	return Credential{}, false
}

// maxNames is how many names of one kind are looked at; a certificate with more was not made for a client.
const maxNames = 64

// one finds the credential of names that belong to one consumer.
func (d *Directory) one(names []string) (first *entry, found, several bool) {
	if len(names) > maxNames {
		return nil, false, false
	}
	for _, name := range names {
		i, ok := d.byMark[name]
		if !ok {
			continue
		}
		e := d.certificates.at(i)
		if found && e.consumer != first.consumer {
			return nil, false, true
		}
		if !found {
			first, found = e, true
		}
	}
	return first, found, false
}

func marks(name string, values []string) (out []string) {
	for _, v := range values {
		if mark, err := canonicalMark(name + v); err == nil {
			out = append(out, mark)
		}
	}
	return out
}
