package quota

import (
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"

	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/quota"
)

// book is what all quotas in one zone are counted in, those in the shared store apart: one file and one who writes it, however many routes
// have quotas. The identities in it tell them apart.
type book struct {
	*quota.Book
	zone, place string
}

// counts are what outlives a revision beside the book: of one place in the configuration, one way to tell callers apart, and one zone.
type counts struct {
	scope    string
	refused  [quota.Periods]atomic.Uint64
	crowded  atomic.Uint64
	unshared atomic.Uint64
}

// hold gives the book and the counts of a policy. Other limits, costs and sizes leave them alone. What a node with a shared store counts is
// not what one without counts.
func hold(w *policy.World, b *built, place string) (*book, *counts) {
	zone := b.calendar.String()
	of := place + " " + zone
	k := policy.Hold(w.State, name+" book", of, func() *book {
		sum := sha256.Sum256([]byte(of))
		return &book{quota.NewBook(w.Dir, hex.EncodeToString(sum[:8]), b.size, b.calendar, w.Log, b.now), zone, place}
	})
	k.Allow(b.size)
	return k, policy.Hold(w.State, name, place+" "+b.identity, func() *counts { return &counts{scope: b.scope} })
}

// Report implements policy.Reporter.
func (k *book) Report(figure func(policy.Figure)) {
	labels := [][2]string{{"store", k.place}, {"zone", k.zone}}
	figure(policy.Figure{Name: "quota_identities", Help: "Callers that are counted each by itself, once for each place that counts them.", Labels: labels, Value: float64(k.Len())})
	f := k.Figures()
	figure(policy.Figure{Name: "quota_written_bytes_total", Counter: true, Help: "Bytes of counts written to disk.", Labels: labels, Value: float64(f.Written)})
	figure(policy.Figure{Name: "quota_write_failures_total", Counter: true, Help: "Times that counts could not be written to disk.", Labels: labels, Value: float64(f.Failures)})
}

// Report implements policy.Reporter.
func (c *counts) Report(figure func(policy.Figure)) {
	labels := [][2]string{{"scope", c.scope}}
	for p := range c.refused {
		figure(policy.Figure{Name: "quota_exceeded_total", Counter: true, Help: "Requests beyond a quota, those of a dry run included.",
			Labels: [][2]string{{"scope", c.scope}, {"period", quota.Period(p).String()}}, Value: float64(c.refused[p].Load())})
	}
	figure(policy.Figure{Name: "quota_crowded_total", Counter: true, Help: "Requests that were counted together with those of others, since there was no room for a count of their own.", Labels: labels, Value: float64(c.crowded.Load())})
	figure(policy.Figure{Name: "quota_unshared_total", Counter: true, Help: "Requests that were decided without the shared store, since it did not answer.", Labels: labels, Value: float64(c.unshared.Load())})
}
