package compile

import (
	"fmt"
	"net/url"
	"strings"

	"straum.dev/straum/internal/edge/route"
)

// Explain says which route takes a request of method for target, an absolute URL without user and fragment, or why none does. Header
// fields are not asked about, so routes with conditions on them count as not matching.
func (c *Compiled) Explain(method, target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is not an absolute URL; write http://host/path", target)
	}
	raw := u.EscapedPath()
	if raw == "" {
		raw = "/"
	}
	canonical, _, err := route.AppendCanonical(nil, raw)
	if err != nil {
		return fmt.Sprintf("it is refused with 400: %v", err), nil
	}
	host, _ := route.AppendHost(nil, u.Host)
	q := &route.Query{Host: host, Method: strings.ToUpper(method), Path: canonical.Path, RawQuery: u.RawQuery}
	var m route.Match
	if c.table.Lookup(q, &m) == route.Found && canonical.EncodedSlash && !m.EncodedSlash {
		return fmt.Sprintf("route %q would take it, but it is refused with 400: %v", m.Name, route.ErrEncodedSlash), nil
	}
	text := c.table.Explain(q).Operator
	if canonical.Path != raw {
		text += fmt.Sprintf(" (its path in canonical form is %s)", canonical.Path)
	}
	return text, nil
}
