package freshness

// Why is a constant word for the log, metrics and explanations. See Explain for its sentence.
type Why string

// Why a response is not stored.
const (
	NotGet          Why = "method"
	StatusNever     Why = "status"
	StatusNotListed Why = "status_not_listed"
	RequestNoStore  Why = "request_no_store"
	NoStore         Why = "no_store"
	NotUnderstood   Why = "must_understand"
	Private         Why = "private"
	Authorized      Why = "authorization"
	SetsCookie      Why = "set_cookie"
	VariesByAll     Why = "vary"
	NoFreshness     Why = "no_freshness"
	NeverFresh      Why = "never_fresh"
)

// Why a stored response is not used as it is. ResponseNoCache is also for one that is not stored, because it could not be validated.
const (
	ResponseNoCache Why = "no_cache"
	RequestNoCache  Why = "request_no_cache"
	RequestMaxAge   Why = "request_max_age"
	RequestMinFresh Why = "request_min_fresh"
	MustBeFresh     Why = "must_revalidate"
	Stale           Why = "stale"
)

// whys are all words there are.
var whys = [...]struct {
	why      Why
	sentence string
}{
	{NotGet, "only answers to GET are stored (RFC 9111 §3)"},
	{StatusNever, "responses of this status are never stored: they are parts, interim, or about something that is in no key (RFC 9111 §3, RFC 6585)"},
	{StatusNotListed, "the route's option statuses does not list the status"},
	{RequestNoStore, "the request has Cache-Control: no-store (RFC 9111 §5.2.1.5)"},
	{NoStore, "the response has Cache-Control: no-store (RFC 9111 §5.2.2.5)"},
	{NotUnderstood, "the response has Cache-Control: must-understand, and the rules of its status are not known (RFC 9111 §5.2.2.3)"},
	{Private, "the response has Cache-Control: private, and the cache is shared (RFC 9111 §5.2.2.7)"},
	{Authorized, "the request has credentials, in Authorization or for another method of authentication, and the response says neither public nor must-revalidate nor s-maxage (RFC 9111 §3.5)"},
	{SetsCookie, "the response has Set-Cookie, which is for one client: stricter than RFC 9111 §7.3, unless the route's options say otherwise"},
	{VariesByAll, "the response has Vary: *, or names too many fields, so that no request can be told to be like another (RFC 9111 §4.1)"},
	{NoFreshness, "the response does not say for how long it is fresh, and for its status nobody may guess (RFC 9111 §3, §4.2.2)"},
	{NeverFresh, "the response is stale when it comes, and has nothing to validate it by (RFC 9111 §4.2, §4.3)"},
	{ResponseNoCache, "the response has Cache-Control: no-cache, and is validated before each use (RFC 9111 §5.2.2.4)"},
	{RequestNoCache, "the request wants it validated: Cache-Control: no-cache, or Pragma (RFC 9111 §5.2.1.4, §5.4)"},
	{RequestMaxAge, "it is older than the request's max-age (RFC 9111 §5.2.1.1)"},
	{RequestMinFresh, "it is not fresh for as long as the request's min-fresh (RFC 9111 §5.2.1.3)"},
	{MustBeFresh, "it is stale, and must-revalidate, proxy-revalidate or s-maxage forbid to use it so (RFC 9111 §4.2.4)"},
	{Stale, "it is stale, and may be used so only while it is renewed, in an error, or by max-stale (RFC 9111 §4.2.4, RFC 5861)"},
}

// Explain is the sentence of a word, with the standard's paragraph; empty for a word that is none of this package.
func Explain(w Why) string {
	for i := range whys {
		if whys[i].why == w {
			return whys[i].sentence
		}
	}
	return ""
}

// Words are all words there are.
func Words() []Why {
	words := make([]Why, len(whys))
	for i := range whys {
		words[i] = whys[i].why
	}
	return words
}
