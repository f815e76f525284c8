package keyset

import (
	"fmt"
	"time"
)

// Attention says, for the operator, why tokens cannot be verified or soon cannot be; nothing when all is well or the first fetch is still
// under way. It answers from memory.
func (k *Source) Attention() []string {
	failing, good := k.failing.Load(), k.since.Load()
	switch {
	case k.Set() == nil && good != 0:
		return []string{fmt.Sprintf("the keys of %s were last fetched at %s and are too old now: tokens of this issuer get 503 until they can be fetched", k.place, when(good))}
	case k.Set() == nil && failing != 0:
		return []string{fmt.Sprintf("the keys of %s could not be fetched yet, since %s: tokens of this issuer get 503 until they can be", k.place, when(failing))}
	case k.Set() != nil && failing != 0:
		return []string{fmt.Sprintf("the keys of %s cannot be fetched since %s: those there stay in use until %s", k.place, when(failing),
			when(good+int64(k.maxStale())))}
	}
	return nil
}

// when is a time in Unix nanoseconds as people read it.
func when(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339) }
