package config

import (
	"path/filepath"

	"straum.dev/straum/internal/document"
)

// TLS is how a listener speaks it. `tls: auto` is short for certificates issued by ACME for the hosts of the routes.
type TLS struct {
	Mode             string            `yaml:"-,short" enum:"auto"`
	Certificates     []Certificate     `yaml:"certificates" length:"0..1000" doc:"Pairs of PEM files to choose from by the name a client asks for (SNI); for the same name, one with an ECDSA and one with an RSA key. The first is for clients that ask for none. They are followed: a renewed pair is taken over at once, a bad one is refused and the old one kept."`
	Auto             *Auto             `yaml:"auto" doc:"Certificates by ACME, shown for names that none of certificates has. tls: auto is short for the hosts of all routes."`
	StrictSNI        bool              `yaml:"strict_sni" default:"false" doc:"Refuse clients that ask for a name no certificate has, in place of showing the first."`
	Profile          string            `yaml:"profile" default:"intermediate" enum:"intermediate,modern" doc:"What is offered: modern is TLS 1.3 alone; intermediate also 1.2 with ECDHE and AEAD suites, for clients of the last ten years."`
	PostQuantum      bool              `yaml:"post_quantum" default:"false" doc:"Offer the key exchange X25519MLKEM768. A handshake costs about half as much again; in return what is recorded today stays secret when there are quantum computers."`
	Client           *ClientAuth       `yaml:"client" doc:"Ask clients for certificates (mTLS). Off when left out."`
	HSTS             *HSTS             `yaml:"hsts" doc:"Tell browsers to come by https only, for this long (Strict-Transport-Security, RFC 6797). Off when left out."`
	HandshakeTimeout document.Duration `yaml:"handshake_timeout" default:"10s" range:"100ms..5m" doc:"How long a handshake may take."`
	Handshakes       int               `yaml:"handshakes" default:"1024" range:"1..1000000" doc:"Handshakes under way at a time. With one more the oldest is cut: most likely of a client that only holds a place."`

	Node document.Node `yaml:",self"`
}

// Certificate is a pair of PEM files.
type Certificate struct {
	Cert string `yaml:"cert" required:"true" length:"1..4096" doc:"The file of the certificate and those between it and the root. Relative to this file."`
	Key  string `yaml:"key" required:"true" length:"1..4096" doc:"The file of its private key. Relative to this file."`

	Node document.Node `yaml:",self"`
}

// Auto is which names certificates are issued for.
type Auto struct {
	Names []string `yaml:"names" length:"0..1000" doc:"Names to hold certificates for, each its own. The hosts of all routes when left out, also those that certificates has; *.example.com needs acme.dns."`

	Node document.Node `yaml:",self"`
}

// ClientAuth is what clients have to show.
type ClientAuth struct {
	CA   string `yaml:"ca" required:"true" length:"1..4096" doc:"A PEM file of the authorities that sign clients' certificates. Relative to this file; a change takes effect at the next reload."`
	Mode string `yaml:"mode" default:"required" enum:"required,optional" doc:"Whether a client without a certificate is refused. One that shows a bad one always is."`

	Node document.Node `yaml:",self"`
}

// HSTS is the Strict-Transport-Security field.
type HSTS struct {
	MaxAge     document.Duration `yaml:"max_age,short" required:"true" range:"0|1s..87600h" doc:"How long browsers remember. Begin with minutes: there is no way back before it is over. 0s takes it back."`
	Subdomains bool              `yaml:"include_subdomains" default:"false" doc:"It holds for all names below as well."`
	Preload    bool              `yaml:"preload" default:"false" doc:"Ask to be built into browsers; needs include_subdomains and a year."`

	Node document.Node `yaml:",self"`
}

// HTTP2 is HTTP/2 on a listener.
type HTTP2 struct {
	Off     bool `yaml:",off"`
	Streams int  `yaml:"streams" default:"128" range:"1..10000" doc:"Requests at a time on one connection."`

	Node document.Node `yaml:",self"`
}

// ACME is the account certificates are issued to, and by whom.
type ACME struct {
	Email      string          `yaml:"email" length:"0..254" doc:"Where the authority writes to when something is wrong with a certificate. With tls: auto you agree to the authority's terms of service."`
	Directory  string          `yaml:"directory" pattern:"^https://" form:"an https:// URL" length:"1..2048" doc:"The URL of the authority's directory. Let's Encrypt when left out."`
	Staging    bool            `yaml:"staging" default:"false" doc:"Let's Encrypt's staging directory: certificates that nobody trusts, for trying things out."`
	CA         string          `yaml:"ca" length:"1..4096" doc:"A PEM file of the authorities that the directory's own certificate must lead to. Those of the system when left out. Relative to this file."`
	Challenges []string        `yaml:"challenges" length:"1..3" enum:"http-01,tls-alpn-01,dns-01" doc:"How we may show that a name is ours. When left out: http-01 if a listener has port 80, tls-alpn-01 if one with tls has port 443, dns-01 if dns is set."`
	DNS        *DNS            `yaml:"dns" doc:"How to write the records of dns-01. Off when left out."`
	Key        string          `yaml:"key" default:"p256" enum:"p256,rsa2048" doc:"The kind of key of certificates issued from now on."`
	Profile    string          `yaml:"profile" length:"1..64" doc:"A certificate profile the authority offers, such as shortlived. Its default when left out."`
	KeyID      string          `yaml:"key_id" length:"1..1024" doc:"With hmac: the external account that the authority wants ours bound to."`
	HMAC       document.Secret `yaml:"hmac" doc:"Its key, in base64url. Best written as ${VARIABLE} or file:/path."`

	Node document.Node `yaml:",self"`
}

// DNS is how the records of dns-01 are written.
type DNS struct {
	RFC2136 *RFC2136 `yaml:"rfc2136" doc:"By dynamic update to a DNS server (BIND, Knot, PowerDNS and others)."`
	Program *Program `yaml:"program" doc:"By a program of yours."`
	_       struct{} `oneof:"rfc2136,program"`

	Node document.Node `yaml:",self"`
}

// RFC2136 is dynamic update of DNS.
type RFC2136 struct {
	Server    ServerAddress   `yaml:"server" required:"true" doc:"The primary server: host:port."`
	Key       string          `yaml:"key" length:"1..255" doc:"The name of the TSIG key."`
	Secret    document.Secret `yaml:"secret" doc:"The TSIG key in base64. Best written as ${VARIABLE} or file:/path."`
	Algorithm string          `yaml:"algorithm" default:"hmac-sha256" enum:"hmac-sha256,hmac-sha384,hmac-sha512" doc:"Of the TSIG key."`

	Node document.Node `yaml:",self"`
}

// Program is a program that writes DNS records.
type Program struct {
	Command []string          `yaml:"command" required:"true" length:"1..32" doc:"The program's path and its first arguments; present or cleanup, the record's name and its value follow. No shell is involved."`
	Timeout document.Duration `yaml:"timeout" default:"1m" range:"1s..10m" doc:"How long it may take."`

	Node document.Node `yaml:",self"`
}

// UpstreamTLS is how endpoints are spoken to.
type UpstreamTLS struct {
	CA         string `yaml:"ca" length:"1..4096" doc:"A PEM file of the authorities that sign the endpoints' certificates. Those of the system when left out. Relative to this file; a change takes effect at the next reload."`
	Cert       string `yaml:"cert" length:"1..4096" doc:"With key: the certificate to show to endpoints that ask for one. Relative to this file."`
	Key        string `yaml:"key" length:"1..4096" doc:"Its private key. Relative to this file."`
	ServerName string `yaml:"server_name" length:"1..253" doc:"The name to ask for (SNI), which the endpoint's certificate must have. The host of the endpoint's address when left out."`
	Verify     bool   `yaml:"verify" default:"true" doc:"Check the endpoints' certificates. With false anybody on the way to them can read and change everything, which is told at every reload."`

	Node document.Node `yaml:",self"`
}

// Beside is a path as it is meant in the file that at is in: relative to that file's directory.
func Beside(at document.Node, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(at.File()), path)
}
