package profile

import (
	"crypto/sha256"
	"crypto/tls"
	"time"
)

// ClientSettings of an upstream.
type ClientSettings struct {
	// Authorities that sign the endpoints' certificates; nil is those of the box.
	Authorities *Authorities
	// Certificate is what we show when an endpoint asks who we are; nil shows none. It is called at each handshake, so that it may
	// follow its files.
	Certificate func() *tls.Certificate
	// Insecure takes any certificate of an endpoint. Whoever is on the way to it can then read and change everything.
	Insecure bool
	Now      func() time.Time // nil is time.Now
}

// maxSessions is how many sessions are kept to be resumed, the last used ones: enough for the endpoints of most upstreams. A session
// holds the endpoint's certificates: 2 to 10 KB.
const maxSessions = 64

// Client makes the config for connections to the endpoints of an upstream, TLS 1.2 or 1.3. It names no endpoint (SNI, and what the
// certificate must be for) and no protocols (ALPN): whoever dials writes them into a clone, which keeps its sessions here.
func Client(s ClientSettings) *tls.Config {
	c := &tls.Config{
		Time:                        s.Now,
		MinVersion:                  tls.VersionTLS12,
		CipherSuites:                suites,
		CurvePreferences:            curves(false),
		DynamicRecordSizingDisabled: true, // as in Server
		Renegotiation:               tls.RenegotiateNever,
		InsecureSkipVerify:          s.Insecure,
	}
	if s.Authorities != nil {
		c.RootCAs = s.Authorities.pool
	}
	if s.Certificate != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if own := s.Certificate(); own != nil {
				return own, nil
			}
			return new(tls.Certificate), nil // shows none; nil would end the handshake
		}
	}
	c.ClientSessionCache = tls.NewLRUClientSessionCache(maxSessions)
	if s.Certificate != nil {
		c.ClientSessionCache = ownSessions{c.ClientSessionCache, s.Certificate}
	}
	return c
}

// ownSessions keeps apart the sessions that were begun with different certificates of ours. An endpoint knows us in a resumed session by
// the certificate of its beginning, which may have been replaced because it must not be used any more.
type ownSessions struct {
	all tls.ClientSessionCache
	own func() *tls.Certificate
}

func (s ownSessions) key(key string) string {
	own := s.own()
	if own == nil || len(own.Certificate) == 0 {
		return key
	}
	sum := sha256.Sum256(own.Certificate[0])
	return string(sum[:8]) + key
}

func (s ownSessions) Get(key string) (*tls.ClientSessionState, bool)  { return s.all.Get(s.key(key)) }
func (s ownSessions) Put(key string, session *tls.ClientSessionState) { s.all.Put(s.key(key), session) }
