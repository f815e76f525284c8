package certificate

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Status is what can be told of one pair.
type Status struct {
	Pair      Pair
	Names     []string // as in the certificate, lower case
	Issuer    string
	Serial    string // hexadecimal
	NotBefore time.Time
	NotAfter  time.Time
	Key       string    // such as ECDSA P-256
	Loaded    time.Time // since when it is shown
	Tried     time.Time // when the files were last seen to have changed
	Problem   string    // why what the files hold now is not shown; empty when it is. While it is not, an alarm is due
	Swaps     uint64    // how often a new one was taken since the first
	Refusals  uint64    // how often a new one was refused
	Warnings  []string  // what is wrong with what is shown
	Expiring  bool      // it ends soon or has ended
	Stapling  string    // a sentence
}

// Status tells of all pairs in use, ordered by their files.
func (s *Store) Status() []Status {
	now := s.o.Now()
	s.mu.Lock()
	all := make([]Status, 0, len(s.entries))
	for _, e := range s.entries {
		leaf := e.live.certificate.Leaf
		one := Status{
			Pair: e.pair, Names: e.live.names, Issuer: leaf.Issuer.String(), Serial: fmt.Sprintf("%x", leaf.SerialNumber),
			NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Key: e.live.key, Loaded: e.live.at, Tried: e.tried,
			Problem: e.problem, Swaps: e.swaps, Refusals: e.refusals, Warnings: e.live.warnings,
		}
		_, one.Expiring = expiring(leaf.NotBefore, leaf.NotAfter, now)
		if bad := e.live.validity(now); bad != "" {
			one.Warnings = append(slices.Clip(one.Warnings), "certificate file "+e.pair.Cert+": "+bad)
		}
		all = append(all, one)
	}
	s.mu.Unlock()
	if s.o.Stapling != nil { // outside the lock: who staples may be about to put
		for i := range all {
			all[i].Stapling = s.o.Stapling(all[i].Pair.ID())
		}
	}
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Pair.Cert, b.Pair.Cert), cmp.Compare(a.Pair.Key, b.Pair.Key))
	})
	return all
}

// remind logs the certificates that end soon, each once a day.
func (s *Store) remind() {
	now := s.o.Now()
	type ending struct {
		pair Pair
		at   time.Time
		left time.Duration
	}
	var due []ending
	s.mu.Lock()
	for _, e := range s.entries {
		leaf := e.live.certificate.Leaf
		if left, tell := expiring(leaf.NotBefore, leaf.NotAfter, now); tell && tellAgain(e.told, now) {
			e.told = now
			due = append(due, ending{e.pair, leaf.NotAfter, left})
		}
	}
	s.mu.Unlock()
	for _, d := range due {
		if d.left <= 0 {
			s.o.Log.Error("a certificate has expired; clients refuse it", "cert", d.pair.Cert, "expired", d.at.UTC().Format(time.RFC3339))
			continue
		}
		s.o.Log.Warn("a certificate expires soon", "cert", d.pair.Cert, "expires", d.at.UTC().Format(time.RFC3339), "days", int(d.left/(24*time.Hour)))
	}
}
