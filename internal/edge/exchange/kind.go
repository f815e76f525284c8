package exchange

import (
	"strings"
	"unsafe"
)

// kind is what kind of field a name stands for, as far as a wire asks before it hands the field on.
type kind uint8

const (
	// hopByHop fields are about one connection of HTTP/1.1 (RFC 9110 §7.6.1).
	hopByHop kind = 1 << iota
	// headOnly fields say how a message is framed, routed, authorised or understood.
	headOnly
	// ours fields tell endpoints what the gateway has found out; nobody else may.
	ours
)

// kinds has a place for every value of a Known, so that looking one up needs no check.
var kinds = [256]kind{
	Connection:         hopByHop | headOnly,
	KeepAlive:          hopByHop | headOnly,
	ProxyConnection:    hopByHop | headOnly,
	TransferEncoding:   hopByHop | headOnly,
	Upgrade:            hopByHop | headOnly,
	TE:                 hopByHop | headOnly,
	Host:               headOnly,
	ContentLength:      headOnly,
	Trailer:            headOnly,
	Expect:             headOnly,
	Location:           headOnly,
	ContentType:        headOnly,
	ContentEncoding:    headOnly,
	ContentRange:       headOnly,
	Authorization:      headOnly,
	ProxyAuthorization: headOnly,
	ProxyAuthenticate:  headOnly,
	Cookie:             headOnly,
	SetCookie:          headOnly,
	CacheControl:       headOnly,
	Forwarded:          headOnly,
	XForwardedFor:      headOnly,
	XForwardedProto:    headOnly,
	XForwardedHost:     headOnly,
	XForwardedPort:     headOnly,
	XRealIP:            headOnly,
	XConsumerID:        headOnly | ours,
	XConsumerName:      headOnly | ours,
	XConsumerGroups:    headOnly | ours,
	XConsumerPlan:      headOnly | ours,
	XAuthMethod:        headOnly | ours,
	XAuthSubject:       headOnly | ours,
	XAuthScope:         headOnly | ours,
	XAnonymousConsumer: headOnly | ours,
}

// HopByHop says whether a field is about one connection of HTTP/1.1. Such fields never travel on, and HTTP/2 knows none of them
// (RFC 9113 §8.2.2), but for TE in requests.
func (k Known) HopByHop() bool { return kinds[k]&hopByHop != 0 }

// Ours says whether a field tells endpoints what the gateway has found out about the caller. A client's is never passed on.
func (k Known) Ours() bool { return kinds[k]&ours != 0 }

// MayTrail says whether a field may stand in a trailer section. One who merges trailers into the header would be led astray by those
// that may not (RFC 9110 §6.5.1).
func (k Known) MayTrail() bool { return kinds[k]&headOnly == 0 }

// longestShadow is how long a name is at most that Shadows looks at, in bytes: longer than any known one.
const longestShadow = 32

// Shadows says whether a name becomes one that the gateway relies on once underscores are taken for hyphens, as CGI-like endpoints
// take them. Such a field is dropped: it could pass for one that we set ourselves.
func Shadows(name string) bool {
	if strings.IndexByte(name, '_') < 0 || len(name) > longestShadow {
		return false
	}
	var plain [longestShadow]byte
	for i := range len(name) {
		plain[i] = name[i]
		if name[i] == '_' {
			plain[i] = '-'
		}
	}
	return Lookup(unsafe.String(&plain[0], len(name))) != Other
}
