package cors

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

func build(o policy.Options) (any, error) {
	var options Options
	if err := o.Decode(&options); err != nil {
		return nil, err
	}
	c := &cors{credentials: options.Credentials, private: options.PrivateNetwork, refuse: options.Refuse, origins: &origins{exact: map[string]struct{}{}}}
	for _, text := range options.Origins {
		if err := c.origins.add(text); err != nil {
			return nil, o.Errorf("origins", "%s", err)
		}
	}
	for _, text := range options.OriginPatterns {
		if err := c.origins.addPattern(text); err != nil {
			return nil, o.Errorf("origin_patterns", "%s", err)
		}
	}
	if err := c.check(o, &options); err != nil {
		return nil, err
	}
	methods, err := list(o, "methods", options.Methods, true)
	if err != nil {
		return nil, err
	}
	for _, m := range options.Methods {
		if m == "CONNECT" || m == "TRACE" || m == "TRACK" {
			return nil, o.Errorf("methods", "no page may use %s, whatever is said here (Fetch standard §2.2.1); remove it", m)
		}
		if m == "*" || strings.ToUpper(m) != m && slices.Contains(usual, strings.ToUpper(m)) {
			return nil, o.Errorf("methods", "%q is no method; write it in capitals, and leave methods out for all of the route's", m)
		}
	}
	c.methods = methods
	if c.echo = slices.Contains(options.Headers, "*"); c.echo {
		if len(options.Headers) > 1 {
			return nil, o.Errorf("headers", "* stands for all fields; remove the others, or it")
		}
	} else if c.headers, err = list(o, "headers", options.Headers, false); err != nil {
		return nil, err
	}
	if c.expose, err = list(o, "expose", options.Expose, false); err != nil {
		return nil, err
	}
	if c.credentials && c.expose == "*" {
		return nil, o.Errorf("expose", "with credentials, browsers take * for the name of a field (Fetch standard §3.3.3); name the fields")
	}
	c.maxAge = strconv.FormatInt(int64(options.MaxAge.Std()/time.Second), 10)
	return c, nil
}

// check judges what stands together.
func (c *cors) check(o policy.Options, options *Options) error {
	_, null := c.origins.exact["null"]
	switch {
	case len(options.Origins)+len(options.OriginPatterns) == 0:
		return o.Errorf("", "cors names no origin that may read answers; write origins: [https://app.example.com], or \"*\" for all")
	case c.origins.all && c.credentials:
		return o.Errorf("credentials", "with origins: \"*\" every page of the web could act for whoever visits it, and browsers refuse it (Fetch standard §3.3.5); name the origins")
	case null && c.credentials:
		return o.Errorf("credentials", "every page can make itself one of the origin null, in a sandboxed frame; take null out of origins, or credentials away")
	case c.origins.all && len(options.Origins)+len(options.OriginPatterns) > 1:
		return o.Errorf("origins", "* stands for all origins; remove the others, or it")
	case c.origins.all && c.refuse:
		return o.Errorf("refuse", "nobody is refused with origins: \"*\"; remove one of them")
	}
	return nil
}

var usual = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// list joins names, which are tokens.
func list(o policy.Options, key string, names []string, methods bool) (string, error) {
	for _, n := range names {
		if !grammar.IsToken(n) || len(n) > longestMethod && methods || len(n) > longestName {
			return "", o.Errorf(key, "%.80q is no name: letters, digits and hyphens are allowed", n)
		}
		if !methods && exchange.Lookup(n) == exchange.SetCookie {
			return "", o.Errorf(key, "no page may see Set-Cookie, whatever is said here (Fetch standard §2.2.6); remove it")
		}
	}
	return strings.Join(names, ", "), nil
}

// longestName is how long the name of a field may be, in bytes.
const longestName = 128
