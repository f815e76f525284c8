package fault

// The faults of step 2, decode: the client sent what we do not accept. The connection is closed after each, since where the
// next request would begin is not certain.
var (
	Malformed      = &Kind{Word: "malformed", Side: Client, Status: 400, Code: InvalidArgument, Close: true, Title: "Malformed request", Detail: "The request is not well-formed HTTP."}
	Framing        = &Kind{Word: "framing", Side: Client, Status: 400, Code: InvalidArgument, Close: true, Title: "Ambiguous message length", Detail: "The request says in more than one way, or in no valid way, where its body ends."}
	BadHost        = &Kind{Word: "bad_host", Side: Client, Status: 400, Code: InvalidArgument, Close: true, Title: "Host missing or invalid", Detail: "A request needs exactly one valid Host, and an absolute target must name the same host."}
	LineTooLong    = &Kind{Word: "line_too_long", Side: Client, Status: 414, Code: ResourceExhausted, Close: true, Title: "Request line too long", Detail: "The request line is longer than this listener allows."}
	HeaderTooLarge = &Kind{Word: "header_too_large", Side: Client, Status: 431, Code: ResourceExhausted, Close: true, Title: "Header too large", Detail: "The header has more fields or more bytes than this listener allows."}
	BodyTooLarge   = &Kind{Word: "body_too_large", Side: Client, Status: 413, Code: ResourceExhausted, Close: true, Title: "Body too large", Detail: "The request body is larger than this listener allows."}
	UnknownCoding  = &Kind{Word: "unknown_coding", Side: Client, Status: 501, Code: Unimplemented, Close: true, Title: "Transfer coding not supported", Detail: "The only transfer coding accepted is chunked."}
	BadVersion     = &Kind{Word: "bad_version", Side: Client, Status: 505, Code: Unimplemented, Close: true, Title: "HTTP version not supported", Detail: "This listener speaks HTTP/1.1 and HTTP/1.0."}
	BadExpectation = &Kind{Word: "bad_expectation", Side: Client, Status: 417, Code: Unimplemented, Close: true, Title: "Expectation not supported", Detail: "The only expectation accepted is 100-continue."}
	NoTunnel       = &Kind{Word: "no_tunnel", Side: Client, Status: 501, Code: Unimplemented, Close: true, Title: "Method not supported", Detail: "CONNECT is for forward proxies; this is a gateway."}
	BadPath        = &Kind{Word: "bad_path", Side: Client, Status: 400, Code: InvalidArgument, Close: true, Title: "Path not accepted", Detail: "The path has an escape or a byte that this gateway refuses."}
	HeaderTimeout  = &Kind{Word: "header_timeout", Side: Client, Status: 408, Code: DeadlineExceeded, Close: true, Title: "Request took too long", Detail: "The request head did not arrive within the time this listener allows."}
	BodyTimeout    = &Kind{Word: "body_timeout", Side: Client, Status: 408, Code: DeadlineExceeded, Close: true, Title: "Request body too slow", Detail: "The request body stopped arriving, arrives below the rate this listener asks for, or takes longer than what checks it may wait."}
	ClientGone     = &Kind{Word: "client_gone", Side: Client, Code: Cancelled, Close: true, Title: "Client gone", Detail: "The client closed the connection before the answer was complete."}
	ClientSlow     = &Kind{Word: "client_slow", Side: Client, Code: Cancelled, Close: true, Title: "Client too slow", Detail: "The client stopped reading the answer."}
)

// The faults of step 3, route.
var (
	Banned           = &Kind{Word: "banned", Side: Client, Status: 403, Code: PermissionDenied, Title: "Address refused", Detail: "This gateway takes no requests from the address this one came from at the moment."}
	NoRoute          = &Kind{Word: "no_route", Side: Client, Status: 404, Code: Unimplemented, Title: "No such route", Detail: "Nothing is published at this host and path."}
	MethodNotAllowed = &Kind{Word: "method_not_allowed", Side: Client, Status: 405, Code: Unimplemented, Title: "Method not allowed", Detail: "The path is published, but not for this method; the Allow field lists those it has."}
)

// The faults of step 4, the request policies. What they tell the client is the same whatever was wrong with its credential.
var (
	NotAuthenticated = &Kind{Word: "unauthenticated", Side: Client, Status: 401, Code: Unauthenticated, Title: "Credential missing or not good", Detail: "This path asks for a credential, and the request carries none that is good here. WWW-Authenticate names the kinds it takes."}
	Forbidden        = &Kind{Word: "forbidden", Side: Client, Status: 403, Code: PermissionDenied, Title: "Not allowed", Detail: "The caller is known and may not do this."}
	BadCredential    = &Kind{Word: "bad_credential", Side: Client, Status: 400, Code: InvalidArgument, Title: "Credential ambiguous", Detail: "The request carries a credential in more than one place or more than once. Send one."}
	AuthUnavailable  = &Kind{Word: "auth_unavailable", Side: Gateway, Status: 503, Code: Unavailable, Title: "Cannot check credentials now", Detail: "What this gateway needs to check the credential cannot be reached. Try again shortly."}
	LoginFailed      = &Kind{Word: "login_failed", Side: Client, Status: 400, Code: InvalidArgument, Title: "Login not completed", Detail: "The login was not begun in this browser, took too long, was completed before, or the provider did not confirm it. Go to the page you wanted and log in again."}
	LoginTooLarge    = &Kind{Word: "login_too_large", Side: Gateway, Status: 500, Code: ResourceExhausted, Title: "Login not completed", Detail: "What the login brought is more than a browser keeps for this gateway."}
	LoginInsecure    = &Kind{Word: "login_insecure", Side: Client, Status: 400, Code: InvalidArgument, Title: "Login needs a secure connection", Detail: "This page asks for a login, which is safe by https:// alone."}
	HoldTooLarge     = &Kind{Word: "hold_too_large", Side: Client, Status: 413, Code: ResourceExhausted, Close: true, Title: "Body too large", Detail: "The request body is larger than this route can check."}
	HoldFull         = &Kind{Word: "hold_full", Side: Gateway, Status: 503, Code: Unavailable, Close: true, Title: "Gateway at its limit", Detail: "The gateway holds as many request bodies as it can. Try again shortly."}
	AddressRefused   = &Kind{Word: "address_refused", Side: Client, Status: 403, Code: PermissionDenied, Title: "Address not allowed", Detail: "This path is not open to the address the request came from."}
	WAFBlocked       = &Kind{Word: "waf_blocked", Side: Client, Status: 403, Code: PermissionDenied, Title: "Request refused", Detail: "The request looks like an attack. If it is none, the operator can find out why by the request id."}
	WAFBusy          = &Kind{Word: "waf_busy", Side: Gateway, Status: 503, Code: Unavailable, Title: "Gateway at its limit", Detail: "The gateway inspects as many requests as it can. Try again shortly."}
)

// The faults of limits on how many requests may be under way, or used in a day or month (step 4).
var (
	Limited           = &Kind{Word: "rate_limited", Side: Client, Status: 429, Code: ResourceExhausted, Title: "Too many requests", Detail: "More requests were sent than this path allows in the time. Try again after the time in Retry-After."}
	LimitUnavailable  = &Kind{Word: "limit_unavailable", Side: Gateway, Status: 503, Code: Unavailable, Title: "Cannot check limits now", Detail: "What this gateway needs to count requests cannot be reached, and this path asks that they are counted. Try again shortly."}
	QuotaExceeded     = &Kind{Word: "quota_exceeded", Side: Client, Status: 429, Code: ResourceExhausted, Title: "Quota used up", Detail: "The quota of this caller for the day or month is used up; Retry-After says when the next one begins."}
	QuotaUnavailable  = &Kind{Word: "quota_unavailable", Side: Gateway, Status: 503, Code: Unavailable, Title: "Cannot check quotas now", Detail: "What this gateway needs to count the request cannot be reached at the moment. Try again shortly."}
	TooManyConcurrent = &Kind{Word: "too_many_concurrent", Side: Client, Status: 429, Code: ResourceExhausted, Title: "Too many requests at a time", Detail: "This caller has as many requests under way as it may. Wait for one of them to end."}
	Overloaded        = &Kind{Word: "overloaded", Side: Gateway, Status: 503, Code: Unavailable, Title: "API at its limit", Detail: "As many requests as the API behind this route can take are under way. Try again shortly."}
)

// The faults of steps 6 and 7, balance and upstream.
var (
	NoEndpoint      = &Kind{Word: "no_endpoint", Side: Gateway, Status: 503, Code: Unavailable, Title: "No endpoint available", Detail: "The API behind this route has no address to send the request to. Try again shortly."}
	BreakerOpen     = &Kind{Word: "breaker_open", Side: Upstream, Status: 503, Code: Unavailable, Title: "API temporarily unavailable", Detail: "The API behind this route has been failing and is given a rest. Try again after the time in Retry-After."}
	Saturated       = &Kind{Word: "saturated", Side: Gateway, Status: 503, Code: Unavailable, Title: "API at its limit", Detail: "As many requests as allowed are already under way or waiting for the API behind this route."}
	QueueTimeout    = &Kind{Word: "queue_timeout", Side: Gateway, Status: 503, Code: Unavailable, Title: "API at its limit", Detail: "The request waited for a free connection to the API behind this route, and none came free in time."}
	ConnectFailed   = &Kind{Word: "connect_failed", Side: Upstream, Status: 502, Code: Unavailable, Title: "API not reachable", Detail: "The API behind this route refused the connection or could not be reached."}
	ConnectTimeout  = &Kind{Word: "connect_timeout", Side: Upstream, Status: 504, Code: Unavailable, Title: "API not reachable in time", Detail: "No connection to the API behind this route came about in time."}
	UpstreamTLS     = &Kind{Word: "upstream_tls", Side: Upstream, Status: 502, Code: Unavailable, Title: "API not reachable", Detail: "No secure connection to the API behind this route came about."}
	UpstreamReset   = &Kind{Word: "upstream_reset", Side: Upstream, Status: 502, Code: Unavailable, Title: "API broke the connection", Detail: "The API behind this route closed the connection before its answer was complete."}
	UpstreamInvalid = &Kind{Word: "upstream_invalid", Side: Upstream, Status: 502, Code: InternalError, Title: "API answered with invalid HTTP", Detail: "The API behind this route sent an answer that is not well-formed HTTP."}
	UpstreamRefused = &Kind{Word: "upstream_refused", Side: Upstream, Status: 503, Code: Unavailable, Title: "API at its limit", Detail: "The API behind this route refused to take the request up. Try again shortly."}
	UpstreamTimeout = &Kind{Word: "upstream_timeout", Side: Upstream, Status: 504, Code: DeadlineExceeded, Title: "API too slow", Detail: "The API behind this route did not answer in time."}
	ExchangeTimeout = &Kind{Word: "exchange_timeout", Side: Upstream, Status: 504, Code: DeadlineExceeded, Title: "Request took too long", Detail: "The whole exchange took longer than this route allows."}
	OnlyIfCached    = &Kind{Word: "only_if_cached", Side: Gateway, Status: 504, Code: DeadlineExceeded, Title: "Not stored", Detail: "The request asks for what is stored alone (only-if-cached), and nothing that fits is."}
	StoreBroke      = &Kind{Word: "store_broke", Side: Gateway, Status: 503, Code: Unavailable, Title: "Stored answer not readable", Detail: "The answer that was stored cannot be read any more. Try again."}
	NoUpgrade       = &Kind{Word: "no_upgrade", Side: Gateway, Status: 502, Code: Unimplemented, Title: "Protocol not available", Detail: "The API behind this route is reached by HTTP/2 alone, which cannot carry the protocol that was asked for."}
	BadDeadline     = &Kind{Word: "bad_deadline", Side: Client, Status: 400, Code: InvalidArgument, Title: "Deadline not understood", Detail: "grpc-timeout must be one to eight digits and one of the units H, M, S, m, u and n."}
	ClientDeadline  = &Kind{Word: "client_deadline", Side: Client, Status: 408, Code: DeadlineExceeded, Title: "Deadline exceeded", Detail: "The time that the request itself set for its answer is over."}
	NoDescriptors   = &Kind{Word: "no_descriptors", Side: Gateway, Status: 503, Code: Unavailable, Title: "Gateway at its limit", Detail: "The gateway cannot open another connection at the moment. Try again shortly."}
)

// The faults of policies that look into content (steps 4 and 8).
var (
	InvalidJSON        = &Kind{Word: "invalid_json", Side: Client, Status: 400, Code: InvalidArgument, Title: "Not JSON", Detail: "The body of the request is not JSON as RFC 8259 has it."}
	UnsupportedContent = &Kind{Word: "unsupported_content", Side: Client, Status: 415, Code: InvalidArgument, Title: "Content not supported", Detail: "This path does not take a body of this Content-Type or Content-Encoding."}
	UnknownOperation   = &Kind{Word: "unknown_operation", Side: Client, Status: 404, Code: Unimplemented, Title: "No such operation", Detail: "The description of this API has no operation for this path."}
	Unchangeable       = &Kind{Word: "unchangeable", Side: Upstream, Status: 502, Code: InternalError, Title: "API answered with content that cannot be passed on", Detail: "The answer of the API behind this route has to be changed on its way, and it cannot be."}
)

// The faults of our own making.
var (
	Internal = &Kind{Word: "internal", Side: Gateway, Status: 500, Code: InternalError, Close: true, Title: "Gateway error", Detail: "The gateway met a mistake of its own; the request id helps its operator to find it."}
)

// Kinds lists every kind, for metrics and documentation.
func Kinds() []*Kind {
	return []*Kind{
		Malformed, Framing, BadHost, LineTooLong, HeaderTooLarge, BodyTooLarge, UnknownCoding, BadVersion, BadExpectation,
		NoTunnel, BadPath, HeaderTimeout, BodyTimeout, ClientGone, ClientSlow,
		Banned, NoRoute, MethodNotAllowed,
		NotAuthenticated, Forbidden, BadCredential, AuthUnavailable, LoginFailed, LoginTooLarge, LoginInsecure, HoldTooLarge, HoldFull,
		AddressRefused, WAFBlocked, WAFBusy,
		Limited, LimitUnavailable, QuotaExceeded, QuotaUnavailable, TooManyConcurrent, Overloaded,
		InvalidJSON, UnsupportedContent, UnknownOperation, Unchangeable,
		NoEndpoint, BreakerOpen, Saturated, QueueTimeout, ConnectFailed, ConnectTimeout, UpstreamTLS, UpstreamReset, UpstreamInvalid,
		UpstreamRefused, UpstreamTimeout, ExchangeTimeout, OnlyIfCached, StoreBroke, NoUpgrade, BadDeadline, ClientDeadline, NoDescriptors,
		Internal,
	}
}
