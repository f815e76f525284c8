package exchange

// Known is a field name that the gateway has a use for, so that looking it up is a comparison of two small numbers.
type Known uint8

// The names known. Other is every name that is not.
const (
	Other Known = iota
	Host
	Connection
	KeepAlive
	ProxyConnection
	TransferEncoding
	ContentLength
	TE
	Trailer
	Upgrade
	Expect
	Date
	Server
	Via
	Allow
	Location
	RetryAfter
	ContentType
	ContentEncoding
	ContentRange
	Accept
	AcceptEncoding
	AcceptLanguage
	AcceptRanges
	UserAgent
	Referer
	Origin
	Authorization
	ProxyAuthorization
	ProxyAuthenticate
	WWWAuthenticate
	Cookie
	SetCookie
	CacheControl
	Age
	ETag
	LastModified
	Expires
	Vary
	Pragma
	Range
	IfMatch
	IfNoneMatch
	IfModifiedSince
	IfUnmodifiedSince
	IfRange
	Forwarded
	XForwardedFor
	XForwardedProto
	XForwardedHost
	XForwardedPort
	XRealIP
	XRequestID
	Traceparent
	Tracestate
	ServerTiming
	EarlyData
	XConsumerID
	XConsumerName
	XConsumerGroups
	XConsumerPlan
	XAuthMethod
	XAuthSubject
	XAuthScope
	XAnonymousConsumer
	AccessControlRequestMethod
	AccessControlRequestHeaders
	AccessControlAllowOrigin
	AccessControlAllowCredentials
	AccessControlExposeHeaders
	numKnown
)

var knownNames = [numKnown]string{
	Host:                          "Host",
	Connection:                    "Connection",
	KeepAlive:                     "Keep-Alive",
	ProxyConnection:               "Proxy-Connection",
	TransferEncoding:              "Transfer-Encoding",
	ContentLength:                 "Content-Length",
	TE:                            "TE",
	Trailer:                       "Trailer",
	Upgrade:                       "Upgrade",
	Expect:                        "Expect",
	Date:                          "Date",
	Server:                        "Server",
	Via:                           "Via",
	Allow:                         "Allow",
	Location:                      "Location",
	RetryAfter:                    "Retry-After",
	ContentType:                   "Content-Type",
	ContentEncoding:               "Content-Encoding",
	ContentRange:                  "Content-Range",
	Accept:                        "Accept",
	AcceptEncoding:                "Accept-Encoding",
	AcceptLanguage:                "Accept-Language",
	AcceptRanges:                  "Accept-Ranges",
	UserAgent:                     "User-Agent",
	Referer:                       "Referer",
	Origin:                        "Origin",
	Authorization:                 "Authorization",
	ProxyAuthorization:            "Proxy-Authorization",
	ProxyAuthenticate:             "Proxy-Authenticate",
	WWWAuthenticate:               "WWW-Authenticate",
	Cookie:                        "Cookie",
	SetCookie:                     "Set-Cookie",
	CacheControl:                  "Cache-Control",
	Age:                           "Age",
	ETag:                          "ETag",
	LastModified:                  "Last-Modified",
	Expires:                       "Expires",
	Vary:                          "Vary",
	Pragma:                        "Pragma",
	Range:                         "Range",
	IfMatch:                       "If-Match",
	IfNoneMatch:                   "If-None-Match",
	IfModifiedSince:               "If-Modified-Since",
	IfUnmodifiedSince:             "If-Unmodified-Since",
	IfRange:                       "If-Range",
	Forwarded:                     "Forwarded",
	XForwardedFor:                 "X-Forwarded-For",
	XForwardedProto:               "X-Forwarded-Proto",
	XForwardedHost:                "X-Forwarded-Host",
	XForwardedPort:                "X-Forwarded-Port",
	XRealIP:                       "X-Real-IP",
	XRequestID:                    "X-Request-Id",
	Traceparent:                   "Traceparent",
	Tracestate:                    "Tracestate",
	ServerTiming:                  "Server-Timing",
	EarlyData:                     "Early-Data",
	XConsumerID:                   "X-Consumer-Id",
	XConsumerName:                 "X-Consumer-Name",
	XConsumerGroups:               "X-Consumer-Groups",
	XConsumerPlan:                 "X-Consumer-Plan",
	XAuthMethod:                   "X-Auth-Method",
	XAuthSubject:                  "X-Auth-Subject",
	XAuthScope:                    "X-Auth-Scope",
	XAnonymousConsumer:            "X-Anonymous-Consumer",
	AccessControlRequestMethod:    "Access-Control-Request-Method",
	AccessControlRequestHeaders:   "Access-Control-Request-Headers",
	AccessControlAllowOrigin:      "Access-Control-Allow-Origin",
	AccessControlAllowCredentials: "Access-Control-Allow-Credentials",
	AccessControlExposeHeaders:    "Access-Control-Expose-Headers",
}

// String is the canonical spelling, empty for Other.
func (k Known) String() string { return knownNames[k] }

// Lookup says which known name this is, in any case.
func Lookup(name string) Known {
	switch len(name) {
	case 2:
		return match(name, TE)
	case 3:
		switch name[0] | 0x20 {
		case 'v':
			return match(name, Via)
		case 'a':
			return match(name, Age)
		}
	case 4:
		switch name[0] | 0x20 {
		case 'h':
			return match(name, Host)
		case 'd':
			return match(name, Date)
		case 'e':
			return match(name, ETag)
		case 'v':
			return match(name, Vary)
		}
	case 5:
		switch name[0] | 0x20 {
		case 'a':
			return match(name, Allow)
		case 'r':
			return match(name, Range)
		}
	case 6:
		switch name[0] | 0x20 {
		case 'e':
			return match(name, Expect)
		case 's':
			return match(name, Server)
		case 'a':
			return match(name, Accept)
		case 'o':
			return match(name, Origin)
		case 'c':
			return match(name, Cookie)
		case 'p':
			return match(name, Pragma)
		}
	case 7:
		switch name[0] | 0x20 {
		case 't':
			return match(name, Trailer)
		case 'u':
			return match(name, Upgrade)
		case 'r':
			return match(name, Referer)
		case 'e':
			return match(name, Expires)
		}
	case 8:
		switch name[0] | 0x20 {
		case 'l':
			return match(name, Location)
		case 'i':
			return match(name, IfMatch, IfRange)
		}
	case 9:
		switch name[0] | 0x20 {
		case 'f':
			return match(name, Forwarded)
		case 'x':
			return match(name, XRealIP)
		}
	case 10:
		switch name[0] | 0x20 {
		case 'c':
			return match(name, Connection)
		case 'k':
			return match(name, KeepAlive)
		case 'u':
			return match(name, UserAgent)
		case 's':
			return match(name, SetCookie)
		case 't':
			return match(name, Tracestate)
		case 'e':
			return match(name, EarlyData)
		}
	case 11:
		switch name[0] | 0x20 {
		case 'r':
			return match(name, RetryAfter)
		case 't':
			return match(name, Traceparent)
		}
	case 12:
		switch name[0] | 0x20 {
		case 'c':
			return match(name, ContentType)
		case 'x':
			return match(name, XRequestID, XAuthScope)
		}
	case 13:
		switch name[0] | 0x20 {
		case 'c':
			return match(name, ContentRange, CacheControl)
		case 'a':
			return match(name, AcceptRanges, Authorization)
		case 'l':
			return match(name, LastModified)
		case 'i':
			return match(name, IfNoneMatch)
		case 's':
			return match(name, ServerTiming)
		case 'x':
			return match(name, XConsumerID, XAuthMethod)
		}
	case 14:
		switch name[0] | 0x20 {
		case 'c':
			return match(name, ContentLength)
		case 'x':
			return match(name, XAuthSubject)
		}
	case 15:
		switch name[0] | 0x20 {
		case 'a':
			return match(name, AcceptEncoding, AcceptLanguage)
		case 'x':
			return match(name, XForwardedFor, XConsumerName, XConsumerPlan)
		}
	case 16:
		switch name[0] | 0x20 {
		case 'p':
			return match(name, ProxyConnection)
		case 'c':
			return match(name, ContentEncoding)
		case 'w':
			return match(name, WWWAuthenticate)
		case 'x':
			return match(name, XForwardedHost, XForwardedPort)
		}
	case 17:
		switch name[0] | 0x20 {
		case 't':
			return match(name, TransferEncoding)
		case 'i':
			return match(name, IfModifiedSince)
		case 'x':
			return match(name, XForwardedProto, XConsumerGroups)
		}
	case 18:
		return match(name, ProxyAuthenticate)
	case 19:
		switch name[0] | 0x20 {
		case 'p':
			return match(name, ProxyAuthorization)
		case 'i':
			return match(name, IfUnmodifiedSince)
		}
	case 20:
		return match(name, XAnonymousConsumer)
	case 27:
		return match(name, AccessControlAllowOrigin)
	case 29:
		return match(name, AccessControlRequestMethod, AccessControlExposeHeaders)
	case 30:
		return match(name, AccessControlRequestHeaders)
	case 32:
		return match(name, AccessControlAllowCredentials)
	}
	return Other
}

func match(name string, candidates ...Known) Known {
	for _, k := range candidates {
		if fold(name, knownNames[k]) {
			return k
		}
	}
	return Other
}

// fold compares a token with a known name of the same length, without regard to case. Known names hold letters and hyphens
// only, and no other token byte turns into one of those under bit 0x20, so a plain or is an exact test.
func fold(name, known string) bool {
	for i := range len(name) {
		if name[i]|0x20 != known[i]|0x20 {
			return false
		}
	}
	return true
}
