// Package keyset keeps the keys of an issuer at hand: it fetches a JWK set (RFC 7517) from its address, or from the one that the issuer's
// discovery document names (OpenID Connect Discovery 1.0 §4), and fetches it again before it grows old and when a token names a key that
// is not in it. It serves step 4, where tokens are verified; no request waits for it unless its key is unknown.
//
// In reading order: discovery.go (where the keys of an issuer are), schedule.go (when to fetch, pure), source.go (a set of keys for those
// who verify), run.go (the goroutine that fetches), attention.go
// (what somebody has to see to).
//
// It refuses to take a set without a usable key for an answer, so that a broken page takes no key away; to be made to fetch by whoever
// invents names of keys, more than once in an interval; to trust keys for longer than MaxStale when nobody confirms them; and to decide
// about tokens.
package keyset
