package profile

import (
	"crypto/sha256"
	"crypto/tls"
	"slices"
	"time"
)

// ClientSettings of an upstream.
type ClientSettings struct {
	// Authorities that sign the endpoints' certificates; nil is those of the box.
	Authorities *Authorities
	// Certificate is what we show when an endpoint asks who we are; nil shows none. It is called at each handshake, so that it may
	// follow its files.
	Certificate func() *tls.Certificate
	// ServerName is what endpoints are asked for (SNI), and what their certificates must be for. Whoever dials may fill it in.
	ServerName string
	// Protocols are the names for ALPN, the preferred first; none leaves it out.
	Protocols []string
	// PostQuantum offers X25519MLKEM768 as well.
	PostQuantum bool
	// Sessions is how many sessions are kept to be resumed, the last used ones; 0 is DefaultSessions, and less keeps none.
	Sessions int
	// Insecure takes any certificate of an endpoint. Whoever is on the way to it can then read and change everything.
	Insecure bool
	Now      func() time.Time // nil is time.Now
}

// DefaultSessions is enough for the endpoints of most upstreams. A session holds the endpoint's certificates: 2 to 10 KB.
const DefaultSessions = 64

// Client makes the config for connections to the endpoints of an upstream, TLS 1.2 or 1.3. It names no endpoint unless s does.
func Client(s ClientSettings) *tls.Config {
	c := &tls.Config{
		Time:                        s.Now,
		ServerName:                  s.ServerName,
		NextProtos:                  slices.Clone(s.Protocols),
		MinVersion:                  tls.VersionTLS12,
		CipherSuites:                suites,
		CurvePreferences:            curves(s.PostQuantum),
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
	if s.Sessions >= 0 {
		n := s.Sessions
		if n == 0 {
			n = DefaultSessions
		}
		c.ClientSessionCache = tls.NewLRUClientSessionCache(n)
		if s.Certificate != nil {
			c.ClientSessionCache = ownSessions{c.ClientSessionCache, s.Certificate}
		}
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
