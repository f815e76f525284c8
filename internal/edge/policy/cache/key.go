package cache

import (
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/cache"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/policy"
)

// partsOf is what of a request is in the key.
func partsOf(options *Options, o policy.Options) (p cache.Parts, err error) {
	q := &options.Query
	p.NoQuery, p.SortQuery, p.Consumer = q.Mode == "none", q.Sort, options.By == byConsumer
	if p.Only, err = names("query", "parameter", q.Only, nil, o); err != nil {
		return p, err
	}
	if p.Without, err = names("query", "parameter", q.Without, nil, o); err != nil {
		return p, err
	}
	if p.Headers, err = names("headers", "field", options.Headers, badHeader, o); err != nil {
		return p, err
	}
	p.Cookies, err = names("cookies", "cookie", options.Cookies, badCookie, o)
	return p, err
}

// names are those of one option, each once. bad says what is wrong with one and how it is written in the key.
func names(option, what string, list []string, bad func(name string) (lower, why string), o policy.Options) (out []string, err error) {
	for _, name := range list {
		if bad != nil {
			var why string
			if name, why = bad(name); why != "" {
				return nil, o.Errorf(option, "%q %s", name, why)
			}
		}
		if name == "" {
			return nil, o.Errorf(option, "found an empty name; allowed: the name of a %s", what)
		}
		if slices.Contains(out, name) {
			return nil, o.Errorf(option, "%s is there twice; remove one", name)
		}
		out = append(out, name)
	}
	return out, nil
}

// badHeader says why a field has no place in the key.
func badHeader(name string) (lower, why string) {
	if len(name) > 128 || !grammar.IsToken(name) {
		return name, "is not a field name"
	}
	lower = strings.ToLower(name)
	known := exchange.Lookup(name)
	switch known {
	case exchange.Host:
		return name, "is part of the key anyway; remove it"
	case exchange.Cookie:
		return name, "differs from one request to the next; name the cookies that count with cookies"
	case exchange.Authorization:
		return name, "shows who calls; give each consumer a part of its own with by: consumer"
	case exchange.Range, exchange.IfRange, exchange.IfMatch, exchange.IfNoneMatch, exchange.IfModifiedSince, exchange.IfUnmodifiedSince:
		return name, "asks for a part or a condition of an answer and tells no answers apart; remove it"
	case exchange.CacheControl, exchange.Pragma:
		return name, "speaks to the cache itself and tells no answers apart; remove it, or ignore it with ignore_client"
	case exchange.ContentLength, exchange.TransferEncoding, exchange.Trailer, exchange.Connection, exchange.KeepAlive, exchange.ProxyConnection,
		exchange.TE, exchange.Upgrade, exchange.Expect, exchange.ProxyAuthorization:
		return name, "is about one connection or one message and tells no answers apart; remove it"
	case exchange.XRequestID, exchange.Traceparent, exchange.Tracestate:
		return name, "differs from one request to the next, so that nothing would ever be found; remove it"
	case exchange.Forwarded, exchange.XForwardedFor, exchange.XForwardedHost, exchange.XForwardedProto, exchange.XForwardedPort, exchange.XRealIP:
		return name, "is written by the gateway; scheme, host and port are part of the key anyway"
	}
	if known.Ours() {
		return name, "is what the gateway tells endpoints of the caller; give each consumer a part of its own with by: consumer"
	}
	return lower, ""
}

// badCookie says why a name is none of a cookie (RFC 6265 §4.1.1).
func badCookie(name string) (same, why string) {
	if len(name) > 256 || !grammar.IsToken(name) {
		return name, "is not the name of a cookie"
	}
	return name, ""
}
