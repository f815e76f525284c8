package profile

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
)

// Identity is who a client is by its certificate. It is immutable.
type Identity struct {
	CommonName  string   // of the subject; empty when it has none
	DNS         []string // subject alternative names, as they stand in the certificate
	URIs        []string
	Emails      []string
	Issuer      string // the issuer's name (RFC 2253)
	Serial      string // lower-case hexadecimal, unique for an issuer
	Fingerprint string // SHA-256 of the certificate, lower-case hexadecimal
}

// IdentityOf tells who the client of a connection is, or nil when it showed no certificate or none that was verified. It allocates:
// once a connection, when its handshake is done.
func IdentityOf(cs *tls.ConnectionState) *Identity {
	if cs == nil || len(cs.VerifiedChains) == 0 || len(cs.PeerCertificates) == 0 {
		return nil
	}
	leaf := cs.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	id := &Identity{
		CommonName:  leaf.Subject.CommonName,
		DNS:         leaf.DNSNames,
		Emails:      leaf.EmailAddresses,
		Issuer:      leaf.Issuer.String(),
		Serial:      leaf.SerialNumber.Text(16),
		Fingerprint: hex.EncodeToString(sum[:]),
	}
	for _, u := range leaf.URIs {
		id.URIs = append(id.URIs, u.String())
	}
	return id
}
