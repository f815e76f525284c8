package cache

import (
	"maps"
	"slices"
	"strings"

	"straum.dev/straum/internal/edge/cache/freshness"
)

// Why something was done that no rule of freshness says.
const (
	methodChanged    freshness.Why = "method_changed"    // a policy has the endpoint asked by another method
	methodOverridden freshness.Why = "method_overridden" // a field asks the endpoint to take it for another method
	hasContent       freshness.Why = "content"           // a request by GET or HEAD with content
	upgrades         freshness.Why = "upgrade"           // it asks to switch protocols
	noStore          freshness.Why = "no_room"           // nothing is stored anywhere
	noConsumer       freshness.Why = "no_consumer"       // each consumer has a part of its own, and nobody knows whose this is
	precondition     freshness.Why = "precondition"      // If-Match or If-Unmodified-Since, which are for endpoints alone
	isHead           freshness.Why = "head"              // answers to HEAD are not stored
	isRange          freshness.Why = "range"             // it asks for a part of what is not stored
	notFresh         freshness.Why = "not_fresh"         // what is stored has to be validated before each use
	tooLong          freshness.Why = "waited_too_long"   // another asks for it and has no answer yet
	notShared        freshness.Why = "not_shared"        // what another got is not for this request
	tooLarge         freshness.Why = "too_large"         // the body is longer than what may be stored
	tooManyTags      freshness.Why = "too_many_tags"     // which could not be purged by all of them
	varyClient       freshness.Why = "vary_client"       // Vary names a field that says who asks, and which the gateway makes or takes away
	purgedMeanwhile  freshness.Why = "purged"            // while the answer was under way
	conditional      freshness.Why = "condition"         // the answer is to the client's own condition
	serverError      freshness.Why = "server_error"      // the endpoint answered 500, 502, 503 or 504
	varyChanged      freshness.Why = "vary_changed"      // the endpoint says that what is stored is right, with another Vary
	askedStale       freshness.Why = "max_stale"         // the request takes something stale
)

// words explains them.
var words = map[freshness.Why]string{
	methodChanged:    "A policy has the endpoint asked by another method than the client's, so that its answer is to something else.",
	methodOverridden: "A field of the request asks the endpoint to take it for another method, such as X-HTTP-Method-Override.",
	hasContent:       "The request has content, which has no meaning with GET and HEAD (RFC 9110 §9.3.1) and is in no key.",
	upgrades:         "The request asks to switch protocols.",
	noStore:          "The gateway has no store: memory, disk and Redis are all off in its configuration.",
	noConsumer:       "Each consumer has a part of its own here (by: consumer), and authentication found none.",
	precondition:     "If-Match and If-Unmodified-Since are for the endpoint alone, and its answer is to them (RFC 9111 §4.3.2).",
	isHead:           "The answer to HEAD has no content to store; it updates what is stored (RFC 9111 §4.3.5).",
	isRange:          "The request asks for a part, and the whole is not stored (RFC 9111 §3.3).",
	notFresh:         "What is stored has to be validated before each use.",
	tooLong:          "Another exchange asked for the same and had no answer within the time that one waits (wait).",
	notShared:        "The answer that another exchange got may not be used for this request.",
	tooLarge:         "The body is longer than what may be stored (max_object).",
	tooManyTags:      "Surrogate-Key and Cache-Tag hold more tags than an object may have, and it could not be purged by all of them.",
	varyClient:       "Vary names a field that says who asks, and which the gateway makes or takes away: X-Forwarded-For, X-Real-IP or Forwarded, or Authorization where the endpoint does not get it.",
	purgedMeanwhile:  "It was purged, or made useless by an unsafe method, while it was under way (RFC 9111 §4.4).",
	conditional:      "The answer is to a condition that the client set itself.",
	serverError:      "The endpoint answered 500, 502, 503 or 504 (RFC 5861 §4).",
	varyChanged:      "The endpoint says that what is stored is still right, and names another Vary: it would be found under the wrong requests.",
	askedStale:       "The request takes what is stale by max-stale (RFC 9111 §5.2.1.2).",
}

// Explain is the sentence of a word in exchange.Cached.Why, empty for one that is a kind of fault.
func Explain(w freshness.Why) string {
	if s := words[w]; s != "" {
		return s
	}
	if s := freshness.Explain(w); s != "" {
		return strings.ToUpper(s[:1]) + s[1:] + "."
	}
	return ""
}

// Words are all words that exchange.Cached.Why may be, but for kinds of faults.
func Words() []freshness.Why {
	return append(slices.Sorted(maps.Keys(words)), freshness.Words()...)
}
