package acme

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// The directories of Let's Encrypt. Staging issues certificates nobody trusts, under limits nobody reaches.
const (
	LetsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	LetsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// Kinds of challenges, by which an authority finds out that a name is ours.
const (
	HTTP01    = "http-01"     // a file under ChallengePath, asked for at port 80
	TLSALPN01 = "tls-alpn-01" // a handshake at port 443 that offers only the protocol "acme-tls/1"
	DNS01     = "dns-01"      // a TXT record; the only one for wildcards
)

// Kinds of keys.
const (
	P256    = "p256"
	RSA2048 = "rsa2048"
)

const (
	defaultWindow = 1.0 / 3
	// namesMost bounds the goroutines and what an accident in a file can ask of an authority.
	namesMost = 1000
)

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
	// Proxy chooses a proxy for talking with the authority. Nil: none.
	Proxy func(*http.Request) (*url.URL, error)
	// Timing is for tests; zero fields take their defaults.
	Timing Timing
}

// Timing holds the pauses of the timetable.
type Timing struct {
	RetryFirst time.Duration // after the first failure; doubled by each further one. Default 2m, which stays below Let's Encrypt's 5 failures an hour
	RetryMost  time.Duration // Default 6h
	Attempt    time.Duration // the longest an order may take. Default 5m
	Window     time.Duration // between questions for the renewal window, unless the authority names a time. Default 6h
	Staple     time.Duration // between looks whether a certificate is revoked. Default 1m; it is a look at our own memory
	Poll       time.Duration // between looks at an order under way, unless the authority names a time. Default 250ms
	Spread     float64       // the share of a pause that is random, 0 to 1. Default 0.25; negative is none
}

func (t Timing) filled() Timing {
	fill := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	fill(&t.RetryFirst, 2*time.Minute)
	fill(&t.RetryMost, 6*time.Hour)
	fill(&t.Attempt, 5*time.Minute)
	fill(&t.Window, 6*time.Hour)
	fill(&t.Staple, time.Minute)
	fill(&t.Poll, 250*time.Millisecond)
	switch {
	case t.Spread == 0:
		t.Spread = 0.25
	case t.Spread < 0:
		t.Spread = 0
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
	// Roots is a PEM file with the certificates that the directory's own certificate must lead to. Empty: the system's.
	Roots string
	// Challenges are the kinds we can answer: those for which there is a listener, and dns-01 if DNS is set. Required.
	Challenges []string
	// DNS says how to write the records of dns-01.
	DNS DNS
	// Key is P256 (the default) or RSA2048. Every certificate gets a fresh key; a change takes effect at the next renewal.
	Key string
	// Window is the share of a certificate's life at its end in which it is renewed when the authority gives no window of its
	// own: 0.05 to 0.9. Zero is 1/3.
	Window float64
	// Profile is one of the certificate profiles the authority offers, such as "shortlived". Empty: the authority's default.
	Profile string
	// Binding ties the account to one the authority's owner has made for us.
	Binding Binding
}

// Binding is an external account (RFC 8555 §7.3.4): what the authority gave out, and the key in base64url without padding.
type Binding struct{ KeyID, HMAC string }

// terms is what all names have in common, checked and with its files read. Two are equal if reflect.DeepEqual says so.
type terms struct {
	email, directory string
	rootsPEM         []byte
	challenges       []string
	dns              DNS
	key              string
	window           float64
	profile          string
	binding          Binding
}

func (t *terms) same(o *terms) bool { return t != nil && reflect.DeepEqual(t, o) }

func (t *terms) allows(challenge string) bool { return slices.Contains(t.challenges, challenge) }

// check turns settings into terms and the names as they stand in certificates: ASCII, lower case, each once.
func check(s Settings) (*terms, []string, error) {
	t := &terms{
		email: strings.TrimSpace(s.Email), directory: s.Directory, dns: s.DNS, key: s.Key, window: s.Window, profile: s.Profile, binding: s.Binding,
		challenges: slices.Clone(s.Challenges),
	}
	slices.Sort(t.challenges)
	t.challenges = slices.Compact(t.challenges)

	switch {
	case s.Staging && s.Directory != "":
		return nil, nil, fmt.Errorf("acme: staging and directory %q exclude each other: staging is Let's Encrypt's; name another authority's staging directory by its URL", s.Directory)
	case s.Staging:
		t.directory = LetsEncryptStaging
	case s.Directory == "":
		t.directory = LetsEncrypt
	}
	if u, err := url.Parse(t.directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, nil, fmt.Errorf("acme: directory %q is not an https URL", t.directory)
	}
	if strings.ContainsAny(t.email, " ,;?&\r\n") || t.email != "" && !strings.Contains(t.email, "@") {
		return nil, nil, fmt.Errorf("acme: email %q is not an address", s.Email)
	}
	if t.key == "" {
		t.key = P256
	}
	if t.key != P256 && t.key != RSA2048 {
		return nil, nil, fmt.Errorf("acme: key %q: allowed are %s and %s", s.Key, P256, RSA2048)
	}
	if t.window == 0 {
		t.window = defaultWindow
	}
	if !(t.window >= 0.05 && t.window <= 0.9) {
		return nil, nil, fmt.Errorf("acme: renewal window %v: allowed is 0.05 to 0.9 of a certificate's life", s.Window)
	}
	if (t.binding.KeyID == "") != (t.binding.HMAC == "") {
		return nil, nil, errors.New("acme: an external account needs both its key id and its HMAC key")
	}
	if _, err := base64.RawURLEncoding.DecodeString(t.binding.HMAC); err != nil {
		return nil, nil, errors.New("acme: the HMAC key of the external account is not base64url without padding")
	}
	if s.Roots != "" {
		text, err := readRoots(s.Roots)
		if err != nil {
			return nil, nil, err
		}
		t.rootsPEM = text
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

// readRoots reads a PEM file and makes sure that it holds certificates.
func readRoots(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("acme: roots of the directory: %w", err)
	}
	if len(text) > 1<<20 {
		return nil, fmt.Errorf("acme: roots of the directory: %s holds more than 1 MiB", filepath.Base(path))
	}
	found := 0
	for rest := text; ; found++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("acme: roots of the directory: %s: block %d is no certificate: %w", path, found+1, err)
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("acme: roots of the directory: %s holds no certificate in PEM", path)
	}
	return bytes.Clone(text), nil
}
