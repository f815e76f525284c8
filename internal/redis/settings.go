package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Mode is how the store is set up.
type Mode string

// The modes.
const (
	Single   Mode = "single"   // one server, or an address that always leads to the right one
	Sentinel Mode = "sentinel" // Addresses are those of sentinels, who name the server of Master
	Cluster  Mode = "cluster"  // Addresses are some of the cluster's
)

// Settings say where the store is and how long it may take. The zero value of a field is its default.
type Settings struct {
	Addresses []string // host:port; one for Single
	Mode      Mode     // Single
	Master    string   // the name sentinels know the server by; for Sentinel only
	Username  string   // of the ACL; empty is the default user
	Password  string
	// SentinelUsername and SentinelPassword are for the sentinels themselves; empty for none.
	SentinelUsername, SentinelPassword string
	DB                                 int // 0 to 15 as a rule; a cluster has 0 only
	TLS                                TLS
	Prefix                             string        // in front of every key; "straum:"
	Budget                             time.Duration // 1 ms to 1 s for one call, as requests see it; 5 ms
	Connect                            time.Duration // 10 ms to 1 min for a connection to come about, in the background; 1 s
}

// TLS says how the connection is secured. It is TLS 1.2 at least.
type TLS struct {
	Enabled bool
	// CA is a file of certificates in PEM that the store's is checked against; empty is those of the system.
	CA string
	// Certificate and Key are files in PEM that we show; empty for none.
	Certificate, Key string
	// ServerName is the name the store's certificate must have; empty is the host of its address.
	ServerName string
}

// Defaults and bounds of Settings.
const (
	DefaultPrefix  = "straum:"
	DefaultBudget  = 5 * time.Millisecond
	DefaultConnect = time.Second
)

func (s Settings) filled() Settings {
	if s.Mode == "" {
		s.Mode = Single
	}
	if s.Prefix == "" {
		s.Prefix = DefaultPrefix
	}
	if s.Budget == 0 {
		s.Budget = DefaultBudget
	}
	if s.Connect == 0 {
		s.Connect = DefaultConnect
	}
	return s
}

// check finds settings that cannot be meant.
func (s Settings) check() error {
	switch {
	case len(s.Addresses) == 0:
		return errors.New("there is no address; give at least one, such as 127.0.0.1:6379")
	case s.Mode != Single && s.Mode != Sentinel && s.Mode != Cluster:
		return fmt.Errorf("the mode is %q; single, sentinel and cluster are allowed", s.Mode)
	case s.Mode == Single && len(s.Addresses) > 1:
		return fmt.Errorf("there are %d addresses for a single server; give one, or set the mode to sentinel or cluster", len(s.Addresses))
	case s.Mode == Sentinel && s.Master == "":
		return errors.New("sentinels need the name of the master they watch, such as mymaster")
	case s.Mode != Sentinel && s.Master != "":
		return fmt.Errorf("a master name is for the mode sentinel; the mode is %s", s.Mode)
	case s.Mode != Sentinel && (s.SentinelUsername != "" || s.SentinelPassword != ""):
		return fmt.Errorf("a sentinel's username and password are for the mode sentinel; the mode is %s", s.Mode)
	case s.Mode == Cluster && s.DB != 0:
		return fmt.Errorf("the database is %d; a cluster has database 0 only", s.DB)
	case s.DB < 0:
		return fmt.Errorf("the database is %d; it must be 0 or more", s.DB)
	case s.Budget < time.Millisecond || s.Budget > time.Second:
		return fmt.Errorf("the budget is %v; 1ms to 1s are allowed", s.Budget)
	case s.Connect < 10*time.Millisecond || s.Connect > time.Minute:
		return fmt.Errorf("the time to connect is %v; 10ms to 1m are allowed", s.Connect)
	case len(s.Prefix) > 64 || strings.ContainsAny(s.Prefix, "{}"):
		return errors.New("the prefix is longer than 64 bytes or has a brace; braces choose the slot of a cluster")
	case (s.TLS.Certificate == "") != (s.TLS.Key == ""):
		return errors.New("a certificate and its key are given together or not at all")
	}
	for _, a := range s.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return fmt.Errorf("%q is not an address; host:port is allowed, such as 127.0.0.1:6379", a)
		}
	}
	return nil
}

// option is the settings as rueidis takes them. Its own defaults are for a machine with one purpose: several connections of a megabyte each
// and a cache of 128 MiB on each. One connection carries some hundred thousand commands a second, and nothing is cached here.
func (s Settings) option() (rueidis.ClientOption, error) {
	if err := s.check(); err != nil {
		return rueidis.ClientOption{}, err
	}
	o := rueidis.ClientOption{
		InitAddress: s.Addresses, Username: s.Username, Password: s.Password, SelectDB: s.DB, ClientName: "straum",
		ClientSetInfo:     rueidis.DisableClientSetInfo,
		PipelineMultiplex: -1, RingScaleEachConn: 9, ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10,
		DisableCache: true, DisableRetry: true,
		// Without this a lone command is sent by its caller with the budget as the socket's deadline, and one late answer costs the
		// connection.
		AlwaysPipelining: true,
		ConnWriteTimeout: time.Second,
		BlockingPoolSize: 8,
		Dialer:           net.Dialer{Timeout: s.Connect, KeepAlive: time.Second},
	}
	var err error
	if o.TLSConfig, err = s.TLS.config(); err != nil {
		return o, err
	}
	switch s.Mode {
	case Single:
		o.ForceSingleClient = true
	case Sentinel:
		o.Sentinel = rueidis.SentinelOption{MasterSet: s.Master, Username: s.SentinelUsername, Password: s.SentinelPassword,
			ClientName: "straum", Dialer: o.Dialer, TLSConfig: o.TLSConfig, TopologyRefreshInterval: 5 * time.Second}
	case Cluster:
		o.ClusterOption = rueidis.ClusterOption{ShardsRefreshInterval: 5 * time.Second, MaxMovedRedirections: 3}
	}
	return o, nil
}

func (t TLS) config() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", t.CA)
		}
	}
	if t.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
