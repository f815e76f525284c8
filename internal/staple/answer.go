package staple

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// subject is a certificate whose status can be asked for.
type subject struct {
	leaf, issuer *x509.Certificate
	responders   []string
	must         bool // it demands stapling of those who show it
}

// Reasons why there is nothing to ask for.
var (
	errNoResponder = errors.New("the certificate names no responder, so there is nothing to staple")
	errNoIssuer    = errors.New("the file of the certificate does not hold its issuer, without which no responder can be asked; append the intermediates")
)

// examine finds out whom to ask about a certificate. The subject is valid for what it knows even with an error.
func examine(c *tls.Certificate) (subject, error) {
	var s subject
	if len(c.Certificate) == 0 {
		return s, errors.New("there is no certificate")
	}
	var err error
	if s.leaf = c.Leaf; s.leaf == nil {
		if s.leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return s, fmt.Errorf("the certificate cannot be read: %w", err)
		}
	}
	s.must = mustStaple(s.leaf)
	for _, each := range s.leaf.OCSPServer {
		if u, err := url.Parse(each); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
			s.responders = append(s.responders, each)
		}
	}
	if len(s.responders) == 0 {
		return s, errNoResponder
	}
	for _, raw := range c.Certificate[1:] {
		issuer, err := x509.ParseCertificate(raw)
		if err == nil && bytes.Equal(issuer.RawSubject, s.leaf.RawIssuer) && s.leaf.CheckSignatureFrom(issuer) == nil {
			s.issuer = issuer
			return s, nil
		}
	}
	return s, errNoIssuer
}

var (
	oidFeature = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24} // TLS feature, RFC 7633 §4
)

// featureStatusRequest is the number of the extension status_request (RFC 6066 §8).
const featureStatusRequest = 5

// mustStaple says whether a certificate is to be refused by clients when no answer is stapled to it.
func mustStaple(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(oidFeature) {
			var features []int
			rest, err := asn1.Unmarshal(e.Value, &features)
			return err == nil && len(rest) == 0 && slices.Contains(features, featureStatusRequest)
		}
	}
	return false
}

// status is what an answer says.
type status uint8

const (
	good status = iota
	revoked
)

// answer is a verified response.
type answer struct {
	raw    []byte
	status status
	since  time.Time // thisUpdate
	until  time.Time // nextUpdate
	when   time.Time // of the revocation
}

const (
	// skew is how far the clocks of a responder and the box may be apart.
	skew = 5 * time.Minute
	// endless is how long an answer counts that does not say when the next is due. RFC 6960 §4.2.2.1 means by that "ask any time".
	endless = 24 * time.Hour
)

// read verifies a response about s at the time now (RFC 6960 §3.2).
func (s *subject) read(raw []byte, now time.Time) (answer, error) {
	// No issuer is given here: ParseResponseForCert would take any certificate the issuer has signed, a web server's too, for one that
	// may sign answers, and would refuse an issuer below the root that signs for itself and sends its certificate along.
	r, err := ocsp.ParseResponseForCert(raw, s.leaf, nil)
	if err != nil {
		return answer{}, fmt.Errorf("its answer cannot be used: %w", err)
	}
	if err := s.signed(r, now); err != nil {
		return answer{}, err
	}
	a := answer{raw: raw, since: r.ThisUpdate, until: r.NextUpdate, when: r.RevokedAt}
	if a.until.IsZero() {
		a.until = a.since.Add(endless)
	}
	switch {
	case a.since.After(now.Add(skew)):
		return a, fmt.Errorf("its answer is of the future: %s; check the clock of the box", stamp(a.since))
	case !a.until.After(now):
		return a, fmt.Errorf("its answer has expired: it was good until %s", stamp(a.until))
	case r.Status == ocsp.Revoked:
		a.status = revoked
	case r.Status != ocsp.Good:
		return a, errors.New("it does not know the certificate")
	}
	return a, nil
}

// signed checks that who signed a response may do so (RFC 6960 §4.2.2.2): the issuer, or one the issuer has given a certificate for
// just that.
func (s *subject) signed(r *ocsp.Response, now time.Time) error {
	by := r.Certificate
	if by == nil || by.Equal(s.issuer) {
		if err := r.CheckSignatureFrom(s.issuer); err != nil {
			return errors.New("its answer is not signed by the issuer of the certificate")
		}
		return nil
	}
	// That by has signed the response was checked when it was parsed.
	switch {
	case s.issuer.CheckSignature(by.SignatureAlgorithm, by.RawTBSCertificate, by.Signature) != nil, !bytes.Equal(by.RawIssuer, s.issuer.RawSubject):
		return fmt.Errorf("its answer is signed by %s, who is not appointed by the issuer of the certificate", by.Subject)
	case !slices.Contains(by.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("its answer is signed by %s, whose certificate is not for signing answers (OCSPSigning)", by.Subject)
	case now.After(by.NotAfter.Add(skew)), now.Before(by.NotBefore.Add(-skew)):
		return fmt.Errorf("its answer is signed by %s, whose certificate is not valid now", by.Subject)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
