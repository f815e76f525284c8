package config

import (
	"slices"
	"strings"

	"straum.dev/straum/internal/document"
)

// Consumer is who calls.
type Consumer struct {
	ID          string       `yaml:"id" required:"true" pattern:"^[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}$" form:"1 to 128 letters, digits and . _ @ : -, the first a letter or digit" doc:"What endpoints, limits, logs and metrics know it by."`
	Name        string       `yaml:"name" length:"1..256" doc:"For people. The id when left out."`
	Plan        string       `yaml:"plan" length:"1..64" doc:"The plan it has, one of plans. None when left out."`
	Groups      []string     `yaml:"groups" length:"0..64" doc:"What it belongs to; authorize asks for them. Endpoints are told."`
	Tags        []string     `yaml:"tags" length:"0..64" doc:"Words for people, such as an owner or a contract."`
	Credentials []Credential `yaml:"credentials" length:"0..10000" doc:"What it may show. More are read from credential_files."`

	Node document.Node `yaml:",self"`
}

// Credential is what a consumer shows, as a hash wherever a hash will do.
type Credential struct {
	APIKey  string           `yaml:"api_key" length:"1..256" doc:"The hash of an API key, as straum key new and straum key hash print it."`
	Basic   *BasicCredential `yaml:"basic" doc:"A user name with the hash of a password."`
	HMAC    *HMACCredential  `yaml:"hmac" doc:"A shared secret that requests are signed with."`
	MTLS    *MTLSCredential  `yaml:"mtls" doc:"A certificate of the consumer's, known by exactly one of its marks."`
	_       struct{}         `oneof:"api_key,basic,hmac,mtls"`
	ID      string           `yaml:"id" pattern:"^[A-Za-z0-9._-]{1,64}$" form:"1 to 64 letters, digits and . _ -" doc:"What logs and lists call it; never a part of the secret. Made from the hash when left out."`
	Expires string           `yaml:"expires" length:"1..64" doc:"Until when it is good: a day (2027-01-31, to its end in UTC) or a time (2027-01-31T12:00:00Z). For ever when left out."`
	Scopes  []string         `yaml:"scopes" length:"0..256" doc:"What callers with it may do; authorize asks for them."`

	Node document.Node `yaml:",self"`
}

// BasicCredential is for the policy basic.
type BasicCredential struct {
	Username string `yaml:"username" required:"true" length:"1..256" doc:"The user name, without a colon."`
	// Password is hidden like a secret: whoever sees the hash can try passwords on it.
	Password document.Secret `yaml:"password" required:"true" doc:"The hash of the password: argon2id, as straum key password prints it, or bcrypt."`

	Node document.Node `yaml:",self"`
}

// HMACCredential is for the policy hmac.
type HMACCredential struct {
	ID     string          `yaml:"id" required:"true" pattern:"^[A-Za-z0-9._:-]{1,128}$" form:"1 to 128 letters, digits and . _ : -" doc:"The keyid that signatures name."`
	Secret document.Secret `yaml:"secret" required:"true" doc:"The secret, at least 32 bytes. Best written as ${VARIABLE} or file:/path: a hash of it could not verify anything."`

	Node document.Node `yaml:",self"`
}

// MTLSCredential is for the policy mtls.
type MTLSCredential struct {
	Fingerprint string   `yaml:"fingerprint" length:"1..128" doc:"SHA-256 of the certificate in hexadecimal, colons allowed: this certificate alone."`
	Subject     string   `yaml:"subject" length:"1..1024" doc:"The whole subject, such as CN=acme,O=Acme Corp."`
	DNS         string   `yaml:"dns" length:"1..253" doc:"A DNS name it is for."`
	URI         string   `yaml:"uri" length:"1..2048" doc:"A URI it is for, such as a SPIFFE ID."`
	Email       string   `yaml:"email" length:"1..320" doc:"An e-mail address it is for."`
	_           struct{} `oneof:"fingerprint,subject,dns,uri,email"`

	Node document.Node `yaml:",self"`
}

// CredentialFile is a file of credentials, one a line.
type CredentialFile struct {
	File string `yaml:"file,short" required:"true" length:"1..4096" doc:"Its path, relative to this file. It is read with every load; a change takes effect with the next reload."`

	Node document.Node `yaml:",self"`
}

// Plan is what a group of consumers may use.
type Plan struct {
	Name   string  `yaml:",key"`
	Rates  []Rate  `yaml:"rates" length:"0..8" doc:"How many requests in a short time."`
	Quotas []Quota `yaml:"quotas" length:"0..4" doc:"How many requests in a calendar period."`

	Node document.Node `yaml:",self"`
}

// Rate is so many requests in so long.
type Rate struct {
	Requests int               `yaml:"requests" required:"true" range:"1..1000000000" doc:"How many."`
	Per      document.Duration `yaml:"per" required:"true" range:"1s..24h" doc:"In how long."`
	Burst    int               `yaml:"burst" range:"1..1000000000" doc:"How many at once. As many as requests when left out."`

	Node document.Node `yaml:",self"`
}

// Quota is so many requests a calendar period.
type Quota struct {
	Requests int64  `yaml:"requests" required:"true" range:"1..1000000000000" doc:"How many."`
	Per      string `yaml:"per" required:"true" enum:"day,month" doc:"In which period."`

	Node document.Node `yaml:",self"`
}

// Redis is the store that the gateways of a fleet share. Redis and Valkey both do.
type Redis struct {
	Addresses        []StoreAddress    `yaml:"addresses,short" required:"true" length:"1..64" doc:"host:port of the server, of the sentinels, or of some of a cluster's nodes."`
	Mode             string            `yaml:"mode" default:"single" enum:"single,sentinel,cluster" doc:"What the addresses are."`
	Master           string            `yaml:"master" length:"1..256" doc:"With sentinel: the name of the master."`
	Username         string            `yaml:"username" length:"1..256" doc:"The ACL user. The default user when left out."`
	Password         document.Secret   `yaml:"password" doc:"Its password. Best written as ${VARIABLE} or file:/path."`
	SentinelUsername string            `yaml:"sentinel_username" length:"1..256" doc:"With sentinel: the user of the sentinels themselves. None when left out."`
	SentinelPassword document.Secret   `yaml:"sentinel_password" doc:"Its password. Best written as ${VARIABLE} or file:/path."`
	DB               int               `yaml:"db" default:"0" range:"0..65535" doc:"The database; a cluster has 0 alone."`
	TLS              *RedisTLS         `yaml:"tls" doc:"Speak TLS, which a server elsewhere should be spoken to with. Off when left out."`
	Prefix           string            `yaml:"prefix" default:"straum:" pattern:"^[!-z|~]{0,64}$" form:"up to 64 printable ASCII characters without braces" doc:"What our keys begin with."`
	Budget           document.Duration `yaml:"budget" default:"5ms" range:"1ms..1s" doc:"How long a request waits for the store; after that it goes on without."`

	Node document.Node `yaml:",self"`
}

// RedisTLS is how the store is spoken to.
type RedisTLS struct {
	CA         string `yaml:"ca" length:"1..4096" doc:"A PEM file of the authorities that sign the store's certificate. Those of the system when left out. Relative to this file."`
	Cert       string `yaml:"cert" length:"1..4096" doc:"With key: the certificate to show. Relative to this file."`
	Key        string `yaml:"key" length:"1..4096" doc:"Its private key. Relative to this file."`
	ServerName string `yaml:"server_name" length:"1..253" doc:"The name the store's certificate must have. The host of the address when left out."`

	Node document.Node `yaml:",self"`
}

// consumers judges what names what. Whether hashes and times can be read is the compiler's to say, who knows their forms.
func (k *checker) consumers() {
	plans := make(map[string]*Plan, len(k.config.Plans))
	for i := range k.config.Plans {
		p := &k.config.Plans[i]
		if first := plans[p.Name]; first != nil && first.Node.File() != p.Node.File() { // in one file the document has blamed it
			k.blame(p.Node, "the plan %s is here twice, first at %s; remove one or give it another name", p.Name, first.Node.Place())
		}
		plans[p.Name] = p
	}
	seen := make(map[string]*Consumer, len(k.config.Consumers))
	for i := range k.config.Consumers {
		c := &k.config.Consumers[i]
		if first := seen[c.ID]; first != nil {
			k.blame(c.Node.At("id"), "the consumer %s is here twice, first at %s; put its credentials in one place", c.ID, first.Node.Place())
		}
		if c.ID != "" { // that it is missing, or no id, was said already
			seen[c.ID] = c
		}
		if c.Plan != "" && plans[c.Plan] == nil {
			k.problems.Add(c.Node.At("plan").Unknown("plan", c.Plan, planNames(k.config.Plans)))
		}
		for j, g := range c.Groups {
			if strings.ContainsAny(g, ", \t") || g == "" {
				k.blame(c.Node.At("groups", j), "found %q; allowed: a word without spaces and commas", g)
			}
		}
		for j := range c.Credentials {
			k.credential(&c.Credentials[j])
		}
	}
}

func (k *checker) credential(c *Credential) {
	for i, s := range c.Scopes {
		if !isScope(s) {
			k.blame(c.Node.At("scopes", i), `found %q; allowed: visible ASCII without spaces, " and \ (RFC 6749 §3.3)`, s)
		}
	}
	if c.Basic != nil && strings.Contains(c.Basic.Username, ":") {
		k.blame(c.Basic.Node.At("username"), "a user name has no colon (RFC 7617 §2); choose another")
	}
	if h := c.HMAC; h != nil && !h.Secret.IsZero() && len(h.Secret.Reveal()) < minHMAC {
		k.blame(h.Node.At("secret"), "the secret has fewer than %d bytes; make one with: openssl rand -hex 32", minHMAC)
	}
}

// minHMAC is what a secret needs to be worth the hash, in bytes (RFC 2104 §3).
const minHMAC = 32

func isScope(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return s != ""
}

func planNames(plans []Plan) []string {
	names := make([]string, len(plans))
	for i := range plans {
		names[i] = plans[i].Name
	}
	slices.Sort(names)
	return names
}

// redis judges how the shared store is reached.
func (k *checker) redis() {
	r := k.config.Redis
	if r == nil {
		return
	}
	switch {
	case r.Mode == "sentinel" && r.Master == "":
		k.blame(r.Node.At("mode"), "sentinels are asked for a master by its name; set master")
	case r.Mode != "sentinel" && (r.SentinelUsername != "" || !r.SentinelPassword.IsZero()):
		k.blame(r.Node, "sentinel_username and sentinel_password are for mode: sentinel; remove them")
	case r.Mode != "sentinel" && r.Master != "":
		k.blame(r.Node.At("master"), "master is for mode: sentinel; remove it")
	case r.Mode == "single" && len(r.Addresses) > 1:
		k.blame(r.Node.At("addresses"), "a single server has one address; set mode: sentinel or mode: cluster, or leave one")
	case r.Mode == "cluster" && r.DB != 0:
		k.blame(r.Node.At("db"), "a cluster has no database but 0; remove it")
	}
	if t := r.TLS; t != nil && (t.Cert == "") != (t.Key == "") {
		k.blame(t.Node, "cert and key belong together; set both or none")
	}
	if r.Username != "" && r.Password.IsZero() {
		k.blame(r.Node.At("username"), "a user needs its password; set password")
	}
}

// secret judges what keys are derived from.
func (k *checker) secret() {
	if s := k.config.Secret; !s.IsZero() && len(s.Reveal()) < minSecret {
		k.blame(k.config.Node.At("secret"), "the secret has fewer than %d bytes; make one with: openssl rand -hex 32", minSecret)
	}
}

// minSecret is that of keyring.MinSecret.
const minSecret = 32
