package fetch

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURL is the longest URL taken, in bytes.
const maxURL = 2048

// CheckURL reads a URL that the operator or a document named: an absolute https:// URL without user, password and fragment. http:// is
// fit for this box alone (127.0.0.0/8, ::1, localhost), since what is sent and what comes back are secrets or decide who may call. The
// error says what is wrong without repeating the URL, which may hold a secret.
func CheckURL(raw string) (*url.URL, error) { return parseURL(raw, false) }

// CheckPlainURL is CheckURL that takes http:// to any host, for networks the operator trusts. A Client needs Settings.Plain for those.
func CheckPlainURL(raw string) (*url.URL, error) { return parseURL(raw, true) }

func parseURL(raw string, plain bool) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, fmt.Errorf("the URL has %d bytes; at most %d are allowed", len(raw), maxURL)
	}
	if strings.IndexFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0 {
		return nil, errors.New("the URL holds a space, a control character or a letter outside ASCII; percent-encode it")
	}
	if strings.ContainsRune(raw, '#') {
		return nil, errors.New("the URL has a fragment (#); leave it out")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the URL cannot be read; write it as https://host/path") // err repeats it
	}
	if err := check(u, plain); err != nil {
		return nil, err
	}
	return u, nil
}

func check(u *url.URL, plain bool) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "":
		return errors.New("the URL does not begin with https://")
	case u.User != nil:
		return errors.New("the URL holds a user name or password; leave it out")
	case u.Hostname() == "":
		return errors.New("the URL names no host")
	case u.Fragment != "":
		return errors.New("the URL has a fragment (#); leave it out")
	case strings.HasSuffix(u.Host, ":"):
		return errors.New("the URL has a colon without a port; leave it out")
	case u.Scheme == "http" && !plain && !isLoopback(u.Hostname()):
		return errors.New("the URL is http:// to another box, where anyone on the way can read and forge it; use https://")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return errors.New("the URL's port is none of 1 to 65535")
		}
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		if why := forbidden(a); why != "" {
			return fmt.Errorf("the URL's host is %s; requests are never sent there", why)
		}
	}
	return nil
}

// CheckFound reads a URL that stands in a document that was fetched from another one, such as jwks_uri in a discovery document: it has to be
// https://, or of the document's own scheme, host and port.
func CheckFound(raw string, document *url.URL) (*url.URL, error) {
	u, err := parseURL(raw, true)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" && (u.Scheme != document.Scheme || !strings.EqualFold(u.Host, document.Host)) {
		return nil, errors.New("the URL is http:// and not of the document's own host; it has to be https://")
	}
	return u, nil
}

func isLoopback(host string) bool {
	if isLocalhost(host) {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func isLocalhost(host string) bool { return strings.EqualFold(host, "localhost") }
