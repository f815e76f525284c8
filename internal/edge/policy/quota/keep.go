package quota

import (
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"

	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/quota"
)

// counts are what outlives a revision: of one place in the configuration, one way to tell callers apart, and one zone. Other limits, costs and
// sizes leave them alone.
type counts struct {
	book     *quota.Book
	scope    string
	refused  [quota.Periods]atomic.Uint64
	crowded  atomic.Uint64
	unshared atomic.Uint64
}

// hold gives the counts of a policy. What a node with a shared store counts is not what one without counts.
func hold(w *policy.World, b *built, place string) *counts {
	identity := place + " " + b.identity
	c := policy.Hold(w.State, name, identity, func() *counts {
		sum := sha256.Sum256([]byte(identity))
		return &counts{scope: b.scope, book: quota.NewBook(w.Dir, hex.EncodeToString(sum[:8]), b.size, b.calendar, w.Log, b.now)}
	})
	c.book.Resize(b.size)
	return c
}

// Start implements policy.Starter.
func (c *counts) Start() { c.book.Start() }

// Stop implements policy.Stopper.
func (c *counts) Stop() { c.book.Stop() }

// Attention implements policy.Attentive.
func (c *counts) Attention() []string { return c.book.Attention() }

// Report implements policy.Reporter.
func (c *counts) Report(figure func(policy.Figure)) {
	labels := [][2]string{{"scope", c.scope}}
	figure(policy.Figure{Name: "quota_identities", Help: "Callers that are counted each by itself.", Labels: labels, Value: float64(c.book.Len())})
	for p := range c.refused {
		figure(policy.Figure{Name: "quota_exceeded_total", Counter: true, Help: "Requests beyond a quota, those of a dry run included.",
			Labels: [][2]string{{"scope", c.scope}, {"period", quota.Period(p).String()}}, Value: float64(c.refused[p].Load())})
	}
	figure(policy.Figure{Name: "quota_crowded_total", Counter: true, Help: "Requests that were counted together with those of others, since there was no room for a count of their own.", Labels: labels, Value: float64(c.crowded.Load())})
	figure(policy.Figure{Name: "quota_unshared_total", Counter: true, Help: "Requests that were decided without the shared store, since it did not answer.", Labels: labels, Value: float64(c.unshared.Load())})
	f := c.book.Figures()
	figure(policy.Figure{Name: "quota_written_bytes_total", Counter: true, Help: "Bytes of counts written to disk.", Labels: labels, Value: float64(f.Written)})
	figure(policy.Figure{Name: "quota_write_failures_total", Counter: true, Help: "Times that counts could not be written to disk.", Labels: labels, Value: float64(f.Failures)})
}
