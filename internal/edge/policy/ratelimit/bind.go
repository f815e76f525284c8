package ratelimit

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/limit"
)

// maxLeases is how many identities may have a lease at a time.
const maxLeases = 1 << 16

// Bind implements policy.Binder. Buckets live as long as any revision has a policy rate_limit, under the scope and the name of their limit; its
// numbers may change.
func (s *settings) Bind(w *policy.World) (any, error) {
	l := policy.Hold(w.State, Kind.Name, "table", func() *ledger { return &ledger{limit.NewTable(0)} })
	l.table.Allow(int64(s.options.Memory))
	counting := counting{table: l.table, fields: s.options.Fields, dryRun: s.options.DryRun}
	if s.options.Store != "local" {
		shared, err := s.shared(w)
		if err != nil {
			return nil, err
		}
		counting.shared = shared
	}
	before, after := &stage{counting: &counting}, &stage{counting: &counting}
	main := s.bound(w, s.main)
	if main != nil && !s.main.whom.Late() {
		before.limits, main = append(before.limits, main), nil
	}
	if s.plans != nil {
		after.plans = s.planned(w)
	}
	if main != nil {
		after.main = main
	}
	for _, r := range s.others {
		to := before
		if r.whom.Late() {
			to = after
		}
		to.limits = append(to.limits, s.bound(w, r))
	}
	return assemble(before, after, s.options.Fields), nil
}

// bound is a limit with what is kept of it.
type bound struct {
	*rule
	prefix        []byte // what identities begin with: the scope and the name of the limit
	quota, window int64
	personal      bool
	*count
}

// personal says that a request beyond the limit is its sender's doing. It is not where all requests of a route are counted as one, nor by a
// field alone: anybody may send what somebody else sends.
func (r *rule) personal() bool { return r.whom.Late() || r.whom.Has(policy.ByAddress) }

// bound gives nil for nil.
func (s *settings) bound(w *policy.World, r *rule) *bound {
	if r == nil {
		return nil
	}
	b := &bound{rule: r, prefix: policy.AppendText(policy.AppendText(nil, s.scope), r.name), personal: r.personal()}
	b.quota, b.window = r.terms.Quota()
	b.count = policy.Hold(w.State, Kind.Name, "limit "+s.scope+" "+r.name, func() *count {
		return &count{crowd: limit.NewCrowd(), scope: s.scope, limit: r.name}
	})
	return b
}

// count is what is kept of a limit besides buckets.
type count struct {
	crowd        *limit.Crowd
	scope, limit string
	limited      atomic.Uint64 // requests refused
	spared       atomic.Uint64 // requests that would have been
	degraded     atomic.Uint64 // requests for which the store could not be asked
}

// plans makes limits of the rates of plans, once for each plan of the revision.
type plans struct {
	*rule
	nodes int
	empty [len(planNames)]*bound // by place in the plan, without terms
	made  sync.Map               // *consumer.Plan to []*bound
}

func (s *settings) planned(w *policy.World) *plans {
	p := &plans{rule: s.plans, nodes: s.options.Nodes}
	for i := range p.empty {
		r := *s.plans
		r.name = planNames[i]
		p.empty[i] = s.bound(w, &r)
	}
	return p
}

// of gives the limits of a plan.
func (p *plans) of(plan *consumer.Plan) []*bound {
	if made, ok := p.made.Load(plan); ok {
		return made.([]*bound)
	}
	var all []*bound
	for i, r := range plan.Rates[:min(len(plan.Rates), len(planNames))] {
		one, rule := *p.empty[i], *p.empty[i].rule
		rule.terms = terms(r)
		rule.share = rule.terms.Share(p.nodes)
		one.rule = &rule
		one.quota, one.window = rule.terms.Quota()
		all = append(all, &one)
	}
	p.made.Store(plan, all)
	return all
}

// terms are those of a plan's rate. A burst that would take more than a year to come back is halved until it does not.
func terms(r consumer.Rate) limit.Terms {
	for burst := int64(r.Burst); ; burst /= 2 {
		t, err := limit.NewTerms(float64(r.Requests), time.Duration(r.Per), burst)
		if err == nil {
			return t
		}
		if burst <= 1 {
			panic("BUG: a plan's rate is none: " + err.Error())
		}
	}
}

// shared is the store and what it takes to use it.
func (s *settings) shared(w *policy.World) (*shared, error) {
	if w.Redis == nil {
		return nil, s.at.Errorf("store", "%s counts in the shared store, and there is none; add redis at the top, or take store: local", s.options.Store)
	}
	if w.Keys == nil {
		return nil, s.at.Errorf("store", "%s names who is counted by a hash, whose key has to be the same on every gateway; add secret at the top", s.options.Store)
	}
	h := &shared{store: w.Redis, key: w.Keys.Key("rate_limit identity"), when: s.options.WhenUnavailable}
	scope := sha256.Sum256(append(h.key[:], s.scope...))
	h.scope = encode(&scope)
	if s.options.Store == "leased" {
		h.leases = policy.Hold(w.State, Kind.Name, "leases", func() *leases { return &leases{limit.NewLeases(maxLeases)} }).Leases
	}
	return h, nil
}
