package ratelimit

import (
	"fmt"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/limit"
)

// ledger is the table as it is held.
type ledger struct{ table *limit.Table }

// Report implements policy.Reporter.
func (l *ledger) Report(figure func(policy.Figure)) {
	f := l.table.Figures(clock.Now())
	figure(policy.Figure{Name: "rate_limit_buckets", Help: "Buckets in memory that are not full.", Value: float64(f.Buckets)})
	figure(policy.Figure{Name: "rate_limit_bytes", Help: "Memory taken for buckets.", Value: float64(f.Bytes)})
	figure(policy.Figure{Name: "rate_limit_crowded_total", Help: "Requests counted in a bucket shared with others, since there was no memory for one of their own.", Counter: true, Value: float64(f.Crowded)})
}

// Attention implements policy.Attentive.
func (l *ledger) Attention() []string {
	at := l.table.CrowdedAt()
	if at == 0 || clock.Now()-at > int64(time.Minute) {
		return nil
	}
	return []string{fmt.Sprintf("rate limits have no memory for more callers (%d MiB are taken): new ones share buckets, and may be refused for what others send; raise memory of rate_limit",
		l.table.Figures(clock.Now()).Bytes>>20)}
}

// Report implements policy.Reporter.
func (c *count) Report(figure func(policy.Figure)) {
	labels := [][2]string{{"scope", c.scope}, {"limit", c.limit}}
	figure(policy.Figure{Name: "rate_limit_limited_total", Help: "Requests refused.", Counter: true, Labels: labels, Value: float64(c.limited.Load())})
	figure(policy.Figure{Name: "rate_limit_would_limit_total", Help: "Requests that would have been refused, but for dry_run.", Counter: true, Labels: labels, Value: float64(c.spared.Load())})
	figure(policy.Figure{Name: "rate_limit_degraded_total", Help: "Requests for which the shared store could not be asked.", Counter: true, Labels: labels, Value: float64(c.degraded.Load())})
}

// leases are those that are held. They stop with the last policy that has them.
type leases struct{ *limit.Leases }

// Report implements policy.Reporter.
func (l *leases) Report(figure func(policy.Figure)) {
	f := l.Figures()
	figure(policy.Figure{Name: "rate_limit_leases", Help: "Identities that tokens were drawn for.", Value: float64(f.Leases)})
	figure(policy.Figure{Name: "rate_limit_lease_tokens_total", Help: "Tokens drawn from the shared store.", Counter: true, Value: float64(f.Drawn)})
	figure(policy.Figure{Name: "rate_limit_lease_draws_total", Help: "Times the shared store was asked for tokens.", Counter: true, Value: float64(f.Trips)})
	figure(policy.Figure{Name: "rate_limit_lease_refused_total", Help: "Requests refused without asking the store again.", Counter: true, Value: float64(f.Answered)})
}
