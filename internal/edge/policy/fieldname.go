package policy

import (
	"fmt"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// longestField is how long the name of a field may be that the configuration gives, in bytes.
const longestField = 128

// CheckField judges the name of a field that the configuration wants changed on requests, or on responses: it has to be a token (RFC 9110 §5.1),
// and none that says how a message is framed, how it is coded, or what the gateway itself has found out. The error says what to do instead.
func CheckField(name string, response bool) error {
	if len(name) > longestField || !grammar.IsToken(name) {
		return fmt.Errorf("%s is not a field name: 1 to %d letters, digits and hyphens", shown(name), longestField)
	}
	if why := protected(exchange.Lookup(name), name, response); why != "" {
		return fmt.Errorf("%s %s", name, why)
	}
	if !response && exchange.Shadows(name) {
		return fmt.Errorf("%s is taken for one of the gateway's own fields by endpoints that read underscores as hyphens; choose another name", name)
	}
	return nil
}

// Protected says whether a field must be left as it is by what changes fields by the beginning of their names.
func Protected(f *exchange.Field, response bool) bool {
	return protected(f.Known, f.Name, response) != ""
}

// protected says why a field may not be changed, nothing when it may.
func protected(known exchange.Known, name string, response bool) string {
	switch known {
	case exchange.ContentLength, exchange.TransferEncoding, exchange.Trailer:
		return "says where the message ends, which the gateway does; it cannot be changed"
	case exchange.Connection, exchange.KeepAlive, exchange.ProxyConnection, exchange.TE, exchange.Upgrade, exchange.Expect:
		return "is about one connection, and the gateway writes it; it cannot be changed"
	case exchange.ProxyAuthorization, exchange.ProxyAuthenticate:
		return "is for proxies and never travels on; it cannot be changed"
	case exchange.ContentEncoding, exchange.ContentRange:
		return "says how the body is coded, which stays as it is; it cannot be changed"
	}
	switch {
	case hasPrefixFold(name, "Sec-WebSocket-"):
		return "belongs to the handshake of WebSocket; it cannot be changed"
	case response:
		return ""
	case known.Ours():
		return "tells endpoints what the gateway has found out; choose another name, or hide them all with the policy authenticate: { identity: hide }"
	}
	switch known {
	case exchange.Host:
		return "is set by the option host of the route or of its upstream"
	case exchange.Forwarded, exchange.XForwardedFor, exchange.XForwardedHost, exchange.XForwardedProto, exchange.XForwardedPort, exchange.XRealIP:
		return "is written by the gateway for every request; choose another name, such as X-Client-IP with {client.ip}"
	}
	if strings.EqualFold(name, "X-Straum-Attempt") {
		return "keeps retries of several gateways from multiplying; it cannot be changed"
	}
	return ""
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
