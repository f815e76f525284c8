package purge

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MaxText is how long the URL, prefix or tag of a rule may be, in bytes.
const MaxText = 8 << 10

// Path gives the canonical form of a URL's path, as routes and keys have it.
type Path func(raw string) (string, error)

// ForURL is a rule for one URL as somebody writes it: with exactly the query it has, or none; with any query, and without one, when it ends in ?*.
func ForURL(text string, path Path) (Rule, error) {
	base, any := strings.CutSuffix(text, "?*")
	canonical, err := Canonical(base, path)
	switch {
	case err != nil:
		return Rule{}, fmt.Errorf("url %s: %w", quote(text), err)
	case !any:
		return Rule{Kind: URL, Text: canonical}, nil
	case strings.Contains(canonical, "?"):
		return Rule{}, fmt.Errorf("url %s: a query comes before ?*; write ?* right behind the path for any query, or purge a prefix", quote(text))
	}
	return Rule{Kind: Resource, Text: canonical}, nil
}

// ForPrefix is a rule for all URLs that begin with a text as somebody writes it. It names one scheme and host at least.
func ForPrefix(text string, path Path) (Rule, error) {
	if strings.HasSuffix(text, "*") {
		return Rule{}, fmt.Errorf("prefix %s: it ends in *; leave that out, a prefix is for all that begins with it (an asterisk itself is written %%2A)", quote(text))
	}
	canonical, err := Canonical(text, path)
	if err != nil {
		return Rule{}, fmt.Errorf("prefix %s: %w", quote(text), err)
	}
	return Rule{Kind: Prefix, Text: canonical}, nil
}

// ForTag is a rule for a surrogate key. Upper and lower case differ, as endpoints write them.
func ForTag(text string) (Rule, error) {
	switch i := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r == ',' || r >= 0x7f }); {
	case text == "":
		return Rule{}, errors.New("tag: it is empty; write one that endpoints send in Surrogate-Key or Cache-Tag")
	case len(text) > MaxText:
		return Rule{}, fmt.Errorf("tag %s: it has %d bytes; at most %d are allowed", quote(text), len(text), MaxText)
	case i >= 0:
		return Rule{}, fmt.Errorf("tag %s: there is %q in it; visible ASCII without commas is allowed; purge several tags one by one", quote(text), text[i:i+1])
	}
	return Rule{Kind: Tag, Text: text}, nil
}

// Canonical is the form in which objects have their URLs: scheme://host[:port]/path[?query] with scheme and host in lower case, without a default
// port. Characters that a URL cannot have are escaped, in UTF-8; path does the rest for the path, and is nil when it needs nothing.
func Canonical(text string, path Path) (string, error) {
	if len(text) > MaxText {
		return "", fmt.Errorf("it has %d bytes; at most %d are allowed", len(text), MaxText)
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == 0x7f {
			return "", fmt.Errorf("there is the control character %#02x in it at byte %d; escape or remove it", c, i+1)
		}
	}
	scheme, rest, ok := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return "", errors.New("it does not begin with http:// or https://; write scheme, host and path, as in https://api.example.com/orders")
	}
	if strings.Contains(rest, "#") {
		return "", errors.New("there is a fragment (#) in it, which is never sent; leave it out")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, err := authority(scheme, rest[:end])
	if err != nil {
		return "", err
	}
	raw, query, hasQuery := strings.Cut(rest[end:], "?")
	raw = escape(raw)
	if raw == "" {
		raw = "/"
	}
	if path != nil {
		if raw, err = path(raw); err != nil {
			return "", fmt.Errorf("its path is refused as one in a request would be: %w", err)
		}
	}
	canonical := scheme + "://" + authority + raw
	if hasQuery {
		canonical += "?" + escape(query)
	}
	return canonical, nil
}

// authority is the canonical form of host and port.
func authority(scheme, text string) (string, error) {
	if strings.Contains(text, "@") {
		return "", errors.New("there is a name or password before the host; leave it out")
	}
	host, port := text, ""
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		host, port = text[:i], text[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] < '1' {
			return "", fmt.Errorf("its port is %s; 1 to 65535 are allowed", quote(port))
		}
	}
	host = strings.ToLower(host)
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if a, err := netip.ParseAddr(inner); !ok || err != nil || !a.Is6() || a.Zone() != "" {
			return "", fmt.Errorf("its host is %s; an IPv6 address in brackets is allowed, as in [2001:db8::1]", quote(host))
		}
	} else if host == "" {
		return "", errors.New("it has no host; write one, as in https://api.example.com/orders")
	} else if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._~") != "" {
		return "", fmt.Errorf("its host is %s; letters, digits, hyphens and dots are allowed; write an international name in its xn-- form", quote(host))
	}
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return host, nil
	}
	return host + ":" + port, nil
}

// escape writes what is not ASCII, and spaces, as clients send them.
func escape(text string) string {
	const hex = "0123456789ABCDEF"
	if strings.IndexFunc(text, func(r rune) bool { return r == ' ' || r >= 0x7f }) < 0 {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c == ' ' || c >= 0x7f {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// quote is a text as an error shows it.
func quote(text string) string {
	if len(text) > 100 {
		return strconv.Quote(text[:100]) + "..."
	}
	return strconv.Quote(text)
}
