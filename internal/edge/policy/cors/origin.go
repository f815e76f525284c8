package cors

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"straum.dev/straum/internal/edge/grammar"
)

// origins are those that may.
type origins struct {
	all      bool
	exact    map[string]struct{}
	below    []below
	patterns []*regexp.Regexp
}

// below is all names under a domain.
type below struct{ scheme, domain, port string } // "https://", ".example.com", ":8443" or nothing

// longestOrigin is longer than any that a browser sends: scheme, 253 bytes of host and port.
const longestOrigin = 320

// has says whether an origin is one of them. Origins are compared byte by byte, as browsers write them in one way alone (HTML standard,
// serialisation of an origin).
func (o *origins) has(origin string) bool {
	if len(origin) > longestOrigin || origin == "" {
		return false
	}
	if _, ok := o.exact[origin]; ok {
		return true
	}
	for i := range o.below {
		if o.below[i].has(origin) {
			return true
		}
	}
	for _, p := range o.patterns {
		if p.MatchString(origin) {
			return true
		}
	}
	return false
}

func (b *below) has(origin string) bool {
	rest, ok := strings.CutPrefix(origin, b.scheme)
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, b.port); !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, b.domain); !ok || rest == "" || rest[0] == '.' {
		return false
	}
	for i := range len(rest) { // what is no name could be anything to others
		if c := rest[i]; c != '.' && c != '-' && c != '_' && !('a' <= c && c <= 'z') && !('0' <= c && c <= '9') {
			return false
		}
	}
	return true
}

// add takes an origin of the configuration.
func (o *origins) add(text string) error {
	switch text {
	case "*":
		o.all = true
		return nil
	case "null":
		o.exact["null"] = struct{}{}
		return nil
	}
	scheme, at, ok := strings.Cut(text, "://")
	if !ok || len(text) > longestOrigin {
		return fmt.Errorf("%.80q is no origin; write the scheme and the host, as in https://app.example.com", text)
	}
	if scheme = strings.ToLower(scheme); !isScheme(scheme) {
		return fmt.Errorf("%.80q has no scheme before ://; write https://app.example.com", text)
	}
	if end := strings.IndexAny(at, "/?#"); end >= 0 {
		return fmt.Errorf("%.80q has more than an origin has; write %s://%s", text, scheme, at[:end])
	}
	domain, wild := strings.CutPrefix(at, "*.")
	host, port, err := splitHost(domain)
	if err != nil {
		return fmt.Errorf("%.80q: %w", text, err)
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = "" // browsers leave it out
	}
	if port != "" {
		port = ":" + port
	}
	switch {
	case !wild:
		o.exact[scheme+"://"+host+port] = struct{}{}
	case !strings.Contains(host, ".") || host[0] == '[' || strings.Trim(host, "0123456789.") == "":
		return fmt.Errorf("%.80q stands for all of a top-level domain, or for no name at all; write at least two labels behind the star", text)
	default:
		o.below = append(o.below, below{scheme + "://", "." + host, port})
	}
	return nil
}

func isScheme(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z') && (i == 0 || !('0' <= c && c <= '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

func splitHost(at string) (host, port string, err error) {
	if strings.Contains(at, "*") {
		return "", "", errors.New("a * stands for whole labels at the beginning of the host; write https://*.example.com, or origin_patterns for anything else")
	}
	for i := range len(at) {
		if at[i] >= 0x80 {
			return "", "", errors.New("browsers write hosts in ASCII; write the form of it that begins with xn--")
		}
	}
	host, port, ok := grammar.SplitHost(at)
	if !ok {
		return "", "", errors.New("the host is not valid; write a name or an address, and a port if it is not the usual one")
	}
	if host[0] == '[' { // the one form that browsers write
		a, err := netip.ParseAddr(host[1 : len(host)-1])
		if err != nil {
			return "", "", err
		}
		host = "[" + a.String() + "]"
	}
	if port != "" {
		if port = strings.TrimLeft(port, "0"); port == "" {
			return "", "", errors.New("0 is no port")
		}
	}
	return host, port, nil
}

// longestPattern is how long a regular expression may be, in bytes.
const longestPattern = 256

// addPattern takes a regular expression. It has to match the whole origin, whatever is written at its ends.
func (o *origins) addPattern(text string) error {
	if text == "" || len(text) > longestPattern {
		return fmt.Errorf("a pattern has 1 to %d bytes; found %d", longestPattern, len(text))
	}
	if _, err := regexp.Compile(text); err != nil { // by itself, or it could close the group
		return fmt.Errorf("%.80q is no regular expression (RE2): %w", text, err)
	}
	p, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return err
	}
	for _, anybody := range []string{"https://straum-test.invalid", "null"} {
		if p.MatchString(anybody) {
			return fmt.Errorf("%.80q matches %s, so it says nothing; write * under origins if all may", text, anybody)
		}
	}
	o.patterns = append(o.patterns, p)
	return nil
}
