package acme

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// The directories of Let's Encrypt. Staging issues certificates nobody trusts, under limits nobody reaches.
const (
	letsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	letsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// Kinds of challenges, by which an authority finds out that a name is ours.
const (
	HTTP01    = "http-01"     // a file below /.well-known/acme-challenge/, asked for at port 80
	TLSALPN01 = "tls-alpn-01" // a handshake at port 443 that offers only the protocol "acme-tls/1"
	DNS01     = "dns-01"      // a TXT record; the only one for wildcards
)

// Kinds of keys.
const (
	p256    = "p256"
	rsa2048 = "rsa2048"
)

// namesMost bounds the goroutines and what an accident in a file can ask of an authority.
const namesMost = 1000

// Options are fixed for the life of a Manager.
type Options struct {
	// Directory is where accounts, certificates and keys are kept. It is made with mode 0700, files with 0600. Processes may
	// share it on one machine; a network file system must support flock.
	Directory string
	// Log gets what was issued, renewed and what failed; the libraries' own lines at debug. Nil is silence.
	Log *slog.Logger
	// Stapler looks after OCSP responses for certificates that name a responder. Nil: none are fetched, and Status says so.
	Stapler Stapler
	// Stapled says how it stands with what the stapler follows, in a sentence, and since when the certificate is revoked (zero: it
	// is not known to be). A revoked certificate is replaced at once.
	Stapled func(id string) (sentence string, revoked time.Time)

	timing timing // for tests; zero fields take their defaults
}

// timing holds the pauses of the timetable.
type timing struct {
	retryFirst time.Duration // after the first failure; doubled by each further one. Default 2m, which stays below Let's Encrypt's 5 failures an hour
	retryMost  time.Duration // Default 6h
	attempt    time.Duration // the longest an order may take. Default 5m
	window     time.Duration // between questions for the renewal window, unless the authority names a time. Default 6h
	staple     time.Duration // between looks whether a certificate is revoked. Default 1m; it is a look at our own memory
	poll       time.Duration // between looks at an order under way, unless the authority names a time. Default 250ms
	spread     float64       // the share of a pause that is random, 0 to 1. Default 0.25; negative is none
	share      float64       // of a certificate's life, at its end: when it is renewed if the authority gives no window. Default 1/3
}

func (t timing) filled() timing {
	fill := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	fill(&t.retryFirst, 2*time.Minute)
	fill(&t.retryMost, 6*time.Hour)
	fill(&t.attempt, 5*time.Minute)
	fill(&t.window, 6*time.Hour)
	fill(&t.staple, time.Minute)
	fill(&t.poll, 250*time.Millisecond)
	switch {
	case t.spread == 0:
		t.spread = 0.25
	case t.spread < 0:
		t.spread = 0
	}
	if t.share == 0 {
		t.share = 1.0 / 3
	}
	return t
}

// Settings say for which names to hold certificates, and on which terms.
type Settings struct {
	// Names, at most 1,000, each of which gets a certificate of its own. "*.example.com" needs dns-01. The first is served to
	// clients that name none.
	Names []string
	// Email is given to the authority as the account's contact. It may be empty.
	Email string
	// Directory is the URL of an authority's directory (https). Empty is Let's Encrypt.
	Directory string
	// Staging chooses Let's Encrypt's staging directory. It excludes Directory.
	Staging bool
	// Roots are the certificates that the directory's own certificate must lead to. Nil: the system's. They are not to be changed.
	Roots *x509.CertPool
	// RootsDigest stands for the contents of Roots: settings that have another one are others. Empty if Roots is nil.
	RootsDigest string
	// Challenges are the kinds we can answer: those for which there is a listener, and dns-01 if DNS is set. Required.
	Challenges []string
	// DNS says how to write the records of dns-01.
	DNS DNS
	// Key is "p256" (the default) or "rsa2048". Every certificate gets a fresh key; a change takes effect at the next renewal.
	Key string
	// Profile is one of the certificate profiles the authority offers, such as "shortlived". Empty: the authority's default.
	Profile string
	// Binding ties the account to one the authority's owner has made for us.
	Binding Binding
}

// Binding is an external account (RFC 8555 §7.3.4): what the authority gave out, and the key in base64url without padding.
type Binding struct{ KeyID, HMAC string }

// terms is what all names have in common, checked.
type terms struct {
	email, directory string
	roots            *x509.CertPool
	rootsDigest      string
	challenges       []string
	dns              DNS
	key              string
	profile          string
	binding          Binding
}

// same says whether two are equal. Of the roots the digests are: pools that hold the same are different.
func (t *terms) same(o *terms) bool {
	a, b := *t, *o
	a.roots, b.roots = nil, nil
	return reflect.DeepEqual(a, b)
}

func (t *terms) allows(challenge string) bool { return slices.Contains(t.challenges, challenge) }

// check turns settings into terms and the names as they stand in certificates: ASCII, lower case, each once.
func check(s Settings) (*terms, []string, error) {
	t := &terms{
		email: strings.TrimSpace(s.Email), directory: s.Directory, dns: s.DNS, key: s.Key, profile: s.Profile, binding: s.Binding,
		roots: s.Roots, rootsDigest: s.RootsDigest,
		challenges: slices.Clone(s.Challenges),
	}
	slices.Sort(t.challenges)
	t.challenges = slices.Compact(t.challenges)

	switch {
	case s.Staging && s.Directory != "":
		return nil, nil, fmt.Errorf("acme: staging and directory %q exclude each other: staging is Let's Encrypt's; name another authority's staging directory by its URL", s.Directory)
	case s.Staging:
		t.directory = letsEncryptStaging
	case s.Directory == "":
		t.directory = letsEncrypt
	}
	if u, err := url.Parse(t.directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, nil, fmt.Errorf("acme: directory %q is not an https URL", t.directory)
	}
	if strings.ContainsAny(t.email, " ,;?&\r\n") || t.email != "" && !strings.Contains(t.email, "@") {
		return nil, nil, fmt.Errorf("acme: email %q is not an address", s.Email)
	}
	if t.key == "" {
		t.key = p256
	}
	if t.key != p256 && t.key != rsa2048 {
		return nil, nil, fmt.Errorf("acme: key %q: allowed are %s and %s", s.Key, p256, rsa2048)
	}
	if (t.binding.KeyID == "") != (t.binding.HMAC == "") {
		return nil, nil, errors.New("acme: an external account needs both its key id and its HMAC key")
	}
	if _, err := base64.RawURLEncoding.DecodeString(t.binding.HMAC); err != nil {
		return nil, nil, errors.New("acme: the HMAC key of the external account is not base64url without padding")
	}
	if (t.roots == nil) != (t.rootsDigest == "") {
		return nil, nil, errors.New("acme: roots of the directory need a digest, and a digest needs roots")
	}

	names, err := checkNames(s.Names, t)
	if err != nil {
		return nil, nil, err
	}
	if len(names) > 0 && len(t.challenges) == 0 {
		return nil, nil, fmt.Errorf("acme: no challenge can be answered for %s: it takes a plain listener (%s), a TLS listener (%s) or dns (%s)", names[0], HTTP01, TLSALPN01, DNS01)
	}
	for _, kind := range t.challenges {
		if kind != HTTP01 && kind != TLSALPN01 && kind != DNS01 {
			return nil, nil, fmt.Errorf("acme: challenge %q: allowed are %s, %s and %s", kind, HTTP01, TLSALPN01, DNS01)
		}
	}
	if t.allows(DNS01) {
		if err := t.dns.check(); err != nil {
			return nil, nil, err
		}
	}
	return t, names, nil
}

func checkNames(given []string, t *terms) ([]string, error) {
	if len(given) > namesMost {
		return nil, fmt.Errorf("acme: %d names: at most %d are managed", len(given), namesMost)
	}
	names := make([]string, 0, len(given))
	for _, name := range given {
		bare, wildcard := strings.CutPrefix(strings.TrimSuffix(name, "."), "*.")
		if _, err := netip.ParseAddr(strings.Trim(bare, "[]")); err == nil {
			return nil, fmt.Errorf("acme: %q is an IP address: certificates are managed for names only", name)
		}
		ascii, err := idna.Lookup.ToASCII(bare)
		if err != nil || !strings.Contains(ascii, ".") && !wildcard || net.ParseIP(ascii) != nil || len(ascii) > 253 {
			return nil, fmt.Errorf("acme: %q is not a full host name such as api.example.com", name)
		}
		if wildcard {
			if !t.allows(DNS01) {
				return nil, fmt.Errorf("acme: %q is a wildcard, which takes the challenge %s: say how to write DNS records, or list the names", name, DNS01)
			}
			ascii = "*." + ascii
		}
		if !slices.Contains(names, ascii) {
			names = append(names, ascii)
		}
	}
	return names, nil
}
