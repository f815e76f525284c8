package profile

import (
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
	// ServerName is what endpoints are asked for (SNI), and what their certificates must be for. It may be left to Endpoint.
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

// Client makes the config for connections to the endpoints of an upstream, TLS 1.2 or 1.3. Endpoint makes of it the config for one.
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
	}
	return c
}

// Endpoint makes the config for one endpoint of the upstream that base is for: with its own name when base has none, and with its
// sessions kept apart. crypto/tls keeps them by server name, and endpoints of one name seldom understand each other's tickets. The
// bound on the number of sessions remains base's. address stands for the endpoint.
func Endpoint(base *tls.Config, serverName, address string) *tls.Config {
	c := base.Clone()
	if c.ServerName == "" {
		c.ServerName = serverName
	}
	if base.ClientSessionCache != nil {
		c.ClientSessionCache = sessions{base.ClientSessionCache, address + " "}
	}
	return c
}

// sessions are those of one endpoint in a cache that several share.
type sessions struct {
	all    tls.ClientSessionCache
	prefix string
}

func (s sessions) Get(key string) (*tls.ClientSessionState, bool)  { return s.all.Get(s.prefix + key) }
func (s sessions) Put(key string, session *tls.ClientSessionState) { s.all.Put(s.prefix+key, session) }
