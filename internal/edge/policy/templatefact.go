package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/token"
)

// fact is something a template may tell of an exchange.
type fact uint8

const (
	none fact = iota
	requestID
	requestMethod
	requestScheme
	requestHost
	requestAuthority
	requestPath
	requestQuery
	requestTime
	requestUnixTime
	requestHeader
	requestParam
	pathParam
	clientIP
	routeName
	listenerName
	consumerID
	consumerName
	consumerPlan
	consumerGroups
	authMethod
	authSubject
	authIssuer
	authClient
	authCredential
	authScopes
	authClaim
	responseStatus
	upstreamEndpoint
)

// facts are those that are one word.
var facts = map[string]fact{
	"request.id": requestID, "request.method": requestMethod, "request.scheme": requestScheme, "request.host": requestHost,
	"request.authority": requestAuthority, "request.path": requestPath, "request.query": requestQuery,
	"request.time": requestTime, "request.unix_time": requestUnixTime,
	"client.ip": clientIP, "route": routeName, "listener": listenerName,
	"consumer.id": consumerID, "consumer.name": consumerName, "consumer.plan": consumerPlan, "consumer.groups": consumerGroups,
	"auth.method": authMethod, "auth.subject": authSubject, "auth.issuer": authIssuer, "auth.client": authClient,
	"auth.credential": authCredential, "auth.scopes": authScopes,
	"response.status": responseStatus, "upstream.endpoint": upstreamEndpoint,
}

// families are those that a name follows.
var families = map[string]fact{
	"request.headers.": requestHeader, "request.query_params.": requestParam, "path.": pathParam, "auth.claims.": authClaim,
}

// words are all of them, for errors.
var words = func() []string {
	all := slices.Collect(maps.Keys(facts))
	for prefix, f := range families {
		all = append(all, prefix+map[fact]string{requestHeader: "NAME", requestParam: "NAME", pathParam: "NAME", authClaim: "PATH"}[f])
	}
	slices.Sort(all)
	return all
}()

// elsewhere is what facts are called in other places; with a dot at the end, what their first names are.
var elsewhere = map[string]string{
	"scheme": "request.scheme", "host": "request.host", "method": "request.method", "id": "request.id", "query": "request.query",
	"client.address": "client.ip", "client": "client.ip", "remote_addr": "client.ip", "time": "request.time", "status": "response.status",
	"path": "request.path", "path.rest": "path.*", "*": "path.*", "consumer": "consumer.id", "plan": "consumer.plan",
	"caller.": "auth.", "claim.": "auth.claims.", "claims.": "auth.claims.", "header.": "request.headers.", "headers.": "request.headers.",
	"request.header.": "request.headers.", "request.query.": "request.query_params.", "query.": "request.query_params.",
	"request.params.": "path.", "params.": "path.", "auth.claim.": "auth.claims.",
}

// late says whether a fact is known in responses alone.
func (f fact) late() bool { return f == responseStatus || f == upstreamEndpoint }

// check judges the name that follows.
func (f fact) check(name string) (exchange.Known, error) {
	switch f {
	case requestHeader:
		if !grammar.IsToken(name) {
			return 0, fmt.Errorf("{request.headers.%s} names no field: a name is letters, digits and hyphens", clip(name))
		}
		known := exchange.Lookup(name)
		switch known {
		case exchange.Authorization, exchange.ProxyAuthorization, exchange.Cookie:
			return 0, fmt.Errorf("{request.headers.%s} may be a credential, which templates do not tell; who calls is {auth.subject} or {consumer.id}", clip(name))
		case exchange.Forwarded, exchange.XForwardedFor, exchange.XForwardedHost, exchange.XForwardedProto, exchange.XForwardedPort, exchange.XRealIP:
			return 0, fmt.Errorf("{request.headers.%s} is what the client says of itself, which anybody can make up; write {client.ip}, {request.scheme} or {request.host}", clip(name))
		}
		if known.HopByHop() {
			return 0, fmt.Errorf("{request.headers.%s} is about the connection and never known here", clip(name))
		}
		return known, nil
	case pathParam:
		if name == pathRest {
			return 0, nil
		}
		for i, c := range []byte(name) {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || i > 0 && '0' <= c && c <= '9') {
				return 0, fmt.Errorf("{path.%s} names no parameter of a path: a name is a letter or _ and then letters, digits and _; {path.*} is what /* stands for", clip(name))
			}
		}
	}
	if name == "" {
		return 0, fmt.Errorf("a name is missing behind the dot at the end of a fact; write {request.headers.NAME}, {request.query_params.NAME}, {path.NAME} or {auth.claims.PATH}")
	}
	return 0, nil
}

// pathRest is the name in x.Params of what the /* of a path stands for.
const pathRest = "*"

// append appends the value of a fact; a list stops when it has more than room bytes. It reports false when it cannot be told.
func (p *piece) append(dst []byte, x *exchange.Exchange, room int) ([]byte, bool) {
	r, c := &x.Request, &x.Caller
	switch p.fact {
	case requestID:
		return append(dst, x.ID...), true
	case requestMethod:
		return append(dst, r.Method...), true
	case requestScheme:
		return append(dst, r.Scheme...), true
	case requestHost:
		return append(dst, r.Host...), true
	case requestAuthority:
		dst = append(dst, r.Host...)
		if r.Port != "" {
			dst = append(append(dst, ':'), r.Port...)
		}
		return dst, true
	case requestPath:
		return append(dst, r.Path...), true
	case requestQuery:
		return append(dst, r.Query...), true
	case requestTime:
		return clock.Wall(x.Times.Start).UTC().AppendFormat(dst, time.RFC3339), true
	case requestUnixTime:
		return strconv.AppendInt(dst, clock.Wall(x.Times.Start).Unix(), 10), true
	case requestHeader:
		return p.appendHeader(dst, &r.Header, room), true
	case requestParam:
		return appendParam(dst, r.Query, p.name)
	case pathParam:
		for i := range x.Params {
			if x.Params[i].Name == p.name {
				return append(dst, x.Params[i].Value...), true
			}
		}
	case clientIP:
		if x.Client.IsValid() {
			return x.Client.Unmap().WithZone("").AppendTo(dst), true
		}
	case routeName:
		if x.Route != nil {
			return append(dst, x.Route.Name...), true
		}
	case listenerName:
		return append(dst, x.Conn.Listener...), true
	case authMethod:
		return append(dst, c.Method...), true
	case authSubject:
		return append(dst, c.Subject...), true
	case authIssuer:
		return append(dst, c.Issuer...), true
	case authClient:
		return append(dst, c.Client...), true
	case authCredential:
		return append(dst, c.Credential...), true
	case authScopes:
		return append(dst, c.ScopeList...), true
	case authClaim:
		return p.appendClaim(dst, c.Claims)
	case responseStatus:
		return strconv.AppendInt(dst, int64(x.Response.Status), 10), true
	case upstreamEndpoint:
		return append(dst, x.Upstream.Endpoint...), true
	}
	if c.Consumer == nil {
		return dst, true
	}
	switch p.fact {
	case consumerID:
		dst = append(dst, c.Consumer.ID...)
	case consumerName:
		dst = append(dst, c.Consumer.Name...)
	case consumerPlan:
		if c.Consumer.Plan != nil {
			dst = append(dst, c.Consumer.Plan.Name...)
		}
	case consumerGroups:
		dst = append(dst, c.Consumer.GroupList...)
	}
	return dst, true
}

// appendHeader appends all fields of a name as one list (RFC 9110 §5.3).
func (p *piece) appendHeader(dst []byte, h *exchange.Fields, room int) []byte {
	from := len(dst)
	fields := h.All()
	for i := range fields {
		if fields[i].Known != p.known || p.known == exchange.Other && !strings.EqualFold(fields[i].Name, p.name) {
			continue
		}
		if len(dst) > from {
			dst = append(dst, ", "...)
		}
		if dst = append(dst, fields[i].Value...); len(dst)-from > room {
			break // too long already
		}
	}
	return dst
}

// appendClaim appends a claim that is a string, a number or a truth value.
func (p *piece) appendClaim(dst []byte, claims map[string]any) ([]byte, bool) {
	claim, there := token.Lookup(claims, p.name)
	if !there || claim == nil {
		return dst, true
	}
	if _, several := claim.([]any); several {
		return dst, false
	}
	text, ok := token.Text(claim)
	return append(dst, text...), ok
}

// appendParam appends the value of a parameter, decoded as forms are. It reports false when it is there twice or has a bad escape: which
// value an endpoint takes then nobody knows.
func appendParam(dst []byte, query, name string) ([]byte, bool) {
	from, found := len(dst), false
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if !decodesTo(key, name) {
			continue
		}
		if found {
			return dst[:from], false
		}
		found = true
		for i := 0; i < len(value); i++ {
			c, size, ok := decoded(value[i:])
			if !ok {
				return dst[:from], false
			}
			dst = append(dst, c)
			i += size - 1
		}
	}
	return dst, true
}

// decodesTo says whether text, decoded as forms are, is want.
func decodesTo(text, want string) bool {
	if len(text) == len(want) && text == want && !strings.ContainsAny(text, "%+") {
		return true
	}
	n := 0
	for i := 0; i < len(text); i++ {
		c, size, ok := decoded(text[i:])
		if !ok || n == len(want) || want[n] != c {
			return false
		}
		n++
		i += size - 1
	}
	return n == len(want)
}

// decoded is the first byte of text, and how many bytes it is written in.
func decoded(text string) (c byte, size int, ok bool) {
	switch {
	case text[0] == '+':
		return ' ', 1, true
	case text[0] != '%':
		return text[0], 1, true
	case len(text) < 3 || !grammar.IsHexDigit(text[1]) || !grammar.IsHexDigit(text[2]):
		return 0, 0, false
	}
	return unhex(text[1])<<4 | unhex(text[2]), 3, true
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
