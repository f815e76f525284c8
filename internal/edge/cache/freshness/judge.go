package freshness

import (
	"time"

	"straum.dev/straum/internal/edge/exchange"
)

// Judge says whether a response to a request may be stored, and its terms. method is the client's; requested and received are when the endpoint was
// asked and had answered, Unix time in nanoseconds. why is empty when it may be, and the terms are only then of use. What nobody could ever use, not
// even to validate it, is not stored either.
func Judge(method string, req *Request, status int, h *exchange.Fields, requested, received int64, rules *Rules) (Terms, Why) {
	return judge(method, req, status, h, h, requested, received, rules)
}

// Freshen is Judge for a stored response after a 304, or the answer to a HEAD, renewed it (RFC 9111 §4.3.4): h is what Update made, said is what the
// endpoint answered, and status is the stored one.
func Freshen(req *Request, status int, h, said *exchange.Fields, requested, received int64, rules *Rules) (Terms, Why) {
	return judge("GET", req, status, h, said, requested, received, rules)
}

func judge(method string, req *Request, status int, h, aged *exchange.Fields, requested, received int64, rules *Rules) (t Terms, _ Why) {
	switch {
	case method != "GET":
		return t, NotGet
	case status < 200 || status > 599 || unstorable(status):
		return t, StatusNever
	case rules.Statuses != nil && !rules.Statuses[status]:
		return t, StatusNotListed
	case req.NoStore:
		return t, RequestNoStore
	}
	c := readControl(h, rules)
	why := permitted(&c, req, status, h, rules)
	if why != "" {
		return t, why
	}

	t.RequestTime, t.ResponseTime = requested, received
	now := floorSeconds(received)
	t.Date = dateOf(h, exchange.Date, now, now)
	t.LastModified = dateOf(h, exchange.LastModified, 0, now)
	t.InitialAge = initialAge(aged, t.Date, requested, received)
	t.WhileRevalidating, t.IfError = nanoseconds(c.whileRevalidating), nanoseconds(c.ifError)
	if c.noCache {
		t.Flags |= NoCache
	}
	if c.mustRevalidate || c.proxyRevalidate || c.sMaxAge != Unsaid {
		t.Flags |= MustRevalidate
	}
	if c.immutable {
		t.Flags |= Immutable
	}
	etag, _ := h.Get(exchange.ETag)
	if _, weak, ok := splitETag(etag); !ok || weak {
		t.Flags |= Weak
	}
	if !t.measure(&c, status, h, rules) {
		return t, NoFreshness
	}

	switch {
	case etag != "" || t.LastModified != 0:
	case c.noCache:
		return t, ResponseNoCache
	case t.Lifetime <= t.InitialAge && (t.Flags&MustRevalidate != 0 || t.whileRevalidating(rules) <= 0 && t.ifError(rules) <= 0):
		return t, NeverFresh
	}
	return t, ""
}

// permitted says why a response may not be stored by what it says (RFC 9111 §3), empty when it may be.
func permitted(c *control, req *Request, status int, h *exchange.Fields, rules *Rules) Why {
	if c.mustUnderstand && !understood(status) {
		return NotUnderstood
	}
	if c.noStore && !c.mustUnderstand {
		return NoStore
	}
	if c.private && !rules.Partitioned {
		return Private
	}
	if req.Authorization && !rules.Partitioned && !c.public && !c.mustRevalidate && c.sMaxAge == Unsaid {
		return Authorized
	}
	if !rules.StripCookies && !rules.StoreCookies && h.Count(exchange.SetCookie) > 0 && !names(h, "set-cookie", rules) {
		return SetsCookie
	}
	if varies(h) {
		return VariesByAll
	}
	return ""
}

// measure finds the lifetime (RFC 9111 §4.2.1), and says whether there is one of any kind, if only 0.
func (t *Terms) measure(c *control, status int, h *exchange.Fields, rules *Rules) bool {
	if ttl, ok := rules.TTLs[status]; ok {
		t.override(ttl)
		return true
	}
	said := c.sMaxAge != Unsaid || c.maxAge != Unsaid || !c.targeted && h.Count(exchange.Expires) > 0
	guess := guessable(status) || c.public
	switch {
	case rules.TTL > 0 && status < 400 && (said || guess || rules.Statuses[status]):
		t.override(rules.TTL)
	case c.sMaxAge != Unsaid:
		t.Lifetime = c.sMaxAge * second
	case c.maxAge != Unsaid:
		t.Lifetime = c.maxAge * second
	case said:
		t.Lifetime = expires(h, t.Date, floorSeconds(t.ResponseTime)) * second
	case guess:
		t.guess(h, rules)
	default:
		return false
	}
	return true
}

// override sets the route's lifetime, which begins when the answer came.
func (t *Terms) override(ttl time.Duration) {
	t.Lifetime = t.InitialAge + nanosecondsOf(ttl)
	t.Flags |= Overridden
}

// guess sets a lifetime that nobody named (RFC 9111 §4.2.2). Pragma in a response means nothing (§5.4), but who sends it does not ask for a guess.
func (t *Terms) guess(h *exchange.Fields, rules *Rules) {
	t.Flags |= Heuristic
	if pragma, _ := h.Get(exchange.Pragma); hasDirective(pragma, "no-cache") {
		return
	}
	if rules.DefaultTTL > 0 {
		t.Lifetime = nanosecondsOf(rules.DefaultTTL)
		return
	}
	if since := t.Date - t.LastModified; t.LastModified != 0 && since > 0 && rules.Heuristic > 0 {
		longest := rules.HeuristicMax
		if longest <= 0 {
			longest = 24 * time.Hour
		}
		n := rules.Heuristic * float64(min(since, MaxSeconds)) * float64(second)
		t.Lifetime = int64(min(n, float64(nanosecondsOf(longest))))
	}
}

// expires is the lifetime by Expires in seconds, 0 when one of its values is no date: that is the past (RFC 9111 §5.3). Of several the earliest counts.
func expires(h *exchange.Fields, date, now int64) int64 {
	lifetime := int64(MaxSeconds)
	for i := range h.All() {
		f := &h.All()[i]
		if f.Known != exchange.Expires {
			continue
		}
		at, ok := ParseDate(f.Value, now)
		if !ok {
			return min(lifetime, 0)
		}
		lifetime = min(lifetime, at-date)
	}
	return max(lifetime, -MaxSeconds)
}

// initialAge is corrected_initial_age (RFC 9111 §4.2.3) in nanoseconds. apparent_age counts whole seconds, as Date does.
func initialAge(h *exchange.Fields, date, requested, received int64) int64 {
	age := readAge(h)*second + max(received-requested, 0)
	apparent := min(max(floorSeconds(received)-date, 0), MaxSeconds) * second
	return min(max(age, apparent), MaxSeconds*second)
}

// readAge is age_value in seconds. RFC 9111 §5.1 would have the first of several counted, and none that is no number; here an Age that is not one
// number is as old as can be, since it says that a cache was there and not for how long.
func readAge(h *exchange.Fields) int64 {
	age, seen := int64(0), false
	for i := range h.All() {
		f := &h.All()[i]
		if f.Known != exchange.Age {
			continue
		}
		n, ok := parseSeconds(f.Value)
		if !ok || seen {
			return MaxSeconds
		}
		age, seen = n, true
	}
	return age
}

// dateOf reads the first field of a name as a date, and gives otherwise when it is none.
func dateOf(h *exchange.Fields, known exchange.Known, otherwise, now int64) int64 {
	if s, ok := h.Get(known); ok {
		if at, ok := ParseDate(s, now); ok {
			return at
		}
	}
	return otherwise
}

func floorSeconds(ns int64) int64 {
	s := ns / second
	if ns%second < 0 {
		s--
	}
	return s
}

// nanoseconds is a number of seconds that may be unsaid.
func nanoseconds(s int64) int64 {
	if s == Unsaid {
		return Unsaid
	}
	return s * second
}

// nanosecondsOf is a configured time, within what lifetimes may be.
func nanosecondsOf(d time.Duration) int64 { return min(max(int64(d), 0), MaxSeconds*second) }

// unstorable says that responses of a final status are never stored: because they are parts (206) or about what somebody stored (304), because the
// status says so (RFC 6585 for 428, 429, 431 and 511), or because they answer what is in no key: conditions (412), ranges (416), expectations (417),
// early data (425), protocols (426) and proxies (407).
func unstorable(status int) bool {
	switch status {
	case 206, 304, 407, 412, 416, 417, 425, 426, 428, 429, 431, 511:
		return true
	}
	return false
}

// guessable says whether a status may have a lifetime that nobody named (RFC 9110 §15.1).
func guessable(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood says whether a status is one whose rules for caches are known and kept (RFC 9111 §5.2.2.3): those of RFC 9110 §15 that may be stored.
func understood(status int) bool {
	switch {
	case unstorable(status):
		return false
	case status >= 200 && status <= 205, status >= 300 && status <= 303, status == 305, status == 307, status == 308, status >= 400 && status <= 415,
		status == 421, status == 422, status >= 500 && status <= 505:
		return true
	}
	return false
}
