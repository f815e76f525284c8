package ratelimit

import (
	"crypto/sha256"
	"encoding/base64"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/limit"
	"straum.dev/straum/internal/redis"
)

// shared is how limits are counted with other gateways.
type shared struct {
	store  *redis.Client
	leases *limit.Leases // nil when each request is counted there
	key    [32]byte      // of the hashes that stand for identities
	scope  string        // a hash of where the policy stands
	when   string        // the store cannot be asked
}

// manner says how it was counted.
type manner uint8

const (
	counted  manner = iota // as it should be
	degraded               // here, with a share of the limits
	open                   // not at all, and the request goes on
	closed                 // not at all, and it does not
)

// take asks all limits as one, as limit.Table does. Without the store each gateway has a bucket of its own, with a share of the limit; what
// was used of it then is not told to the store afterwards, which goes on with what it had counted before.
func (h *shared) take(x *exchange.Exchange, table *limit.Table, asks []limit.Ask, of []*bound) (refused int, how manner) {
	var err error
	if h.leases != nil {
		refused, err = h.leased(x, asks, of)
	} else {
		refused, err = limit.TakeShared(h.store, asks, h.names(x, of))
	}
	switch {
	case err == nil:
		return refused, counted
	case h.when == "open":
		return -1, open
	case h.when == "closed":
		return -1, closed
	}
	for i := range asks {
		asks[i].Terms = &of[i].share
	}
	return table.Take(asks, clock.Now()), degraded
}

// leased takes from what is held here, and asks the store for what is not. What was taken is given back when a later limit refuses.
func (h *shared) leased(x *exchange.Exchange, asks []limit.Ask, of []*bound) (refused int, err error) {
	now := clock.Now()
	for i := range asks {
		a := &asks[i]
		switch h.leases.Take(a, now) {
		case limit.Renew:
			h.leases.Renew(h.store, a, h.name(x, of[i]), clock.Now)
		case limit.Draw:
			err = h.leases.Draw(h.store, a, h.name(x, of[i]), clock.Now)
		}
		if err != nil || !a.OK {
			for j := range i {
				h.leases.Return(&asks[j], clock.Now())
			}
			return i, err
		}
	}
	return -1, nil
}

// name is what the bucket of one limit is called in the store.
func (h *shared) name(x *exchange.Exchange, b *bound) string {
	return "rate:{" + h.hash(x, b) + "}:" + b.name
}

// names are what the buckets of all limits are called. They are of one slot of a cluster: that of whom they count, where all count the same;
// else that of the policy.
func (h *shared) names(x *exchange.Exchange, of []*bound) []string {
	all, alike := make([]string, len(of)), true
	for _, b := range of {
		alike = alike && b.whom.Alike(&of[0].whom)
	}
	if alike {
		hash := h.hash(x, of[0])
		for i, b := range of {
			all[i] = "rate:{" + hash + "}:" + b.name
		}
		return all
	}
	for i, b := range of {
		all[i] = "rate:{" + h.scope + "}:" + h.hash(x, b) + ":" + b.name
	}
	return all
}

// hash stands for whom a limit counts where the policy stands. Nothing can be read from it without the key.
func (h *shared) hash(x *exchange.Exchange, b *bound) string {
	var room [384]byte
	text := append(append(room[:0], h.key[:]...), h.scope...)
	sum := sha256.Sum256(b.whom.Append(text, x))
	return encode(&sum)
}

// encode writes the first 16 bytes of a hash.
func encode(sum *[32]byte) string { return base64.RawURLEncoding.EncodeToString(sum[:16]) }
