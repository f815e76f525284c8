package jwt

import (
	"crypto/sha256"
	"time"

	"github.com/maypok86/otter/v2"

	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/token"
)

// remembered is a token that was found good, with all that is made of it. It is immutable. It holds no consumer, which belongs to a
// revision, and nothing of the exchange it came with.
type remembered struct {
	key         token.Identity // that verified it
	from, until time.Time      // when it is good, skew and all; until is zero when it does not end
	holder      token.Holder   // who alone may show it
	caller      exchange.Caller
	consumer    string // the id that consumer_claim holds; empty for none
	scoped      bool   // it has all the scopes asked for
	fields      []field
	weight      uint32 // in bytes, about
}

// goodAt says whether it is good at another time, as far as time decides.
func (r *remembered) goodAt(now time.Time) bool {
	return !now.Before(r.from) && (r.until.IsZero() || now.Before(r.until))
}

// tokenName names a remembered token: whose it is, since two policies may judge the same token differently, and the token's hash.
type tokenName struct {
	owner, token [sha256.Size]byte
}

// memory is the tokens that were found good a moment ago. When it is full, those that are used least are forgotten first. Refused tokens
// are not in it, so that a flood of them takes no room.
type memory struct {
	size  string // as configured, to tell memories apart
	cache *otter.Cache[tokenName, *remembered]
}

// newMemory makes a memory of about size bytes.
func newMemory(size document.Size) *memory {
	return &memory{size.String(), otter.Must(&otter.Options[tokenName, *remembered]{
		MaximumWeight: uint64(size),
		Weigher:       func(_ tokenName, r *remembered) uint32 { return r.weight },
		// What is over is forgotten within a second or so, so that what a token says of people is not kept for longer. The judgement
		// does not depend on it.
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[tokenName, *remembered]) time.Duration {
			if e.Value.until.IsZero() {
				return 24 * time.Hour
			}
			return max(time.Until(e.Value.until), time.Millisecond)
		}),
		Logger: &otter.NoopLogger{},
	})}
}

// Stop implements policy.Stopper.
func (m *memory) Stop() {
	m.cache.StopAllGoroutines()
	m.cache.InvalidateAll()
}

// Report implements policy.Reporter.
func (m *memory) Report(figure func(policy.Figure)) {
	labels := [][2]string{{"memory", m.size}}
	figure(policy.Figure{Name: "jwt_remembered_tokens", Help: "Tokens found good that need no check of their signature.", Labels: labels, Value: float64(m.cache.EstimatedSize())})
	figure(policy.Figure{Name: "jwt_remembered_bytes", Help: "Memory they take, about.", Labels: labels, Value: float64(m.cache.WeightedSize())})
}
