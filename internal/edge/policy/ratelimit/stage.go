package ratelimit

import (
	"math/rand/v2"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/limit"
)

// stage is the limits that are asked at one time: those that need not know the caller before authentication, which costs, the others after
// it. All limits of a stage grant, or none is used.
type stage struct {
	*counting
	main   *bound // nil for none; a plan may take its place
	plans  *plans // nil when they are not asked
	limits []*bound
}

// counting is how all limits of a policy count.
type counting struct {
	table  *limit.Table
	shared *shared // nil when it is counted here alone
	fields string
	dryRun bool
}

// The parts the policy has where it runs. Which of them there are depends on whether something is asked after authentication.
type (
	both struct {
		ahead
		*stage
	}
	early struct{ ahead }
	ahead struct {
		before *stage // nil for none
		fields string
	}
)

func assemble(before, after *stage, fields string) any {
	a := ahead{fields: fields}
	if len(before.limits) > 0 {
		a.before = before
	}
	if after.main == nil && after.plans == nil && len(after.limits) == 0 {
		return &early{a}
	}
	return &both{a, after}
}

// Before implements policy.Forerunner.
func (a *ahead) Before() policy.Request {
	if a.before == nil {
		return nil
	}
	return a.before
}

// Response implements policy.Response.
func (a *ahead) Response(x *exchange.Exchange) {
	if a.fields == "none" {
		return
	}
	policy.TellAllowances(x)
	if a.fields == "both" {
		policy.TellLegacyAllowances(x)
	}
}

// Request implements policy.Request.
func (s *stage) Request(x *exchange.Exchange) {
	if s.plans == nil && len(s.limits) < 2 { // most have one limit: less to clear
		var room [2]limit.Ask
		var of [2]*bound
		s.judge(x, room[:0], of[:0])
		return
	}
	var room [limit.MaxAsks]limit.Ask
	var of [limit.MaxAsks]*bound
	s.judge(x, room[:0], of[:0])
}

// judge asks the limits and does what follows. asks and of have room for as many as there may be.
func (s *stage) judge(x *exchange.Exchange, asks []limit.Ask, of []*bound) {
	if s.plans != nil || s.main != nil {
		asks, of = s.first(x, asks, of)
	}
	for _, b := range s.limits {
		asks, of = s.ask(x, b, asks, of)
	}
	if len(asks) == 0 {
		return
	}
	refused, how := -1, counted
	if s.shared == nil {
		refused = s.table.Take(asks, clock.Now())
	} else if refused, how = s.shared.take(x, s.table, asks, of); how == closed || how == open {
		s.unavailable(x, of, how)
		return
	}
	if how == degraded {
		x.Judge(Kind.Name, "degraded")
		for _, b := range of {
			b.degraded.Add(1)
		}
	}
	if s.fields != "none" && !s.dryRun {
		tell(x, asks, of, refused)
	}
	if refused >= 0 {
		s.refuse(x, &asks[refused], of[refused], how)
	}
}

// first adds the rates of the caller's plan, or else the main limit.
func (s *stage) first(x *exchange.Exchange, asks []limit.Ask, of []*bound) ([]limit.Ask, []*bound) {
	if c := x.Caller.Consumer; s.plans != nil && c != nil && c.Plan != nil && len(c.Plan.Rates) > 0 {
		for _, b := range s.plans.of(c.Plan) {
			asks, of = s.ask(x, b, asks, of)
		}
		return asks, of
	}
	if s.main != nil {
		asks, of = s.ask(x, s.main, asks, of)
	}
	return asks, of
}

// ask adds a limit, unless the request uses nothing of it.
func (s *stage) ask(x *exchange.Exchange, b *bound, asks []limit.Ask, of []*bound) ([]limit.Ask, []*bound) {
	cost := b.of(x.Request.Method)
	if cost == 0 {
		return asks, of
	}
	var room [256]byte
	identity := b.whom.Append(append(room[:0], b.prefix...), x)
	return append(asks, limit.Ask{Key: s.table.Key(identity), Terms: &b.terms, Cost: cost, Crowd: b.crowd}), append(of, b)
}

// tell notes what the limits leave. When one refused, those before it were not used, and those after it not asked.
func tell(x *exchange.Exchange, asks []limit.Ask, of []*bound, refused int) {
	for i := range asks {
		a, b := &asks[i], of[i]
		left := a.Left
		if refused >= 0 && i < refused {
			left = min(left+a.Cost, a.Terms.Burst())
		}
		x.Allow(exchange.Allowance{Name: b.name, Quota: b.quota, Window: b.window, Left: left, Reset: a.Reset})
		if i == refused {
			return
		}
	}
}

// refuse answers 429, or only says that it would have.
func (s *stage) refuse(x *exchange.Exchange, a *limit.Ask, b *bound, how manner) {
	if s.dryRun {
		b.spared.Add(1)
		x.Judge(Kind.Name, "would_limit")
		return
	}
	b.limited.Add(1)
	word := "limited"
	if a.Crowded {
		word = "crowded"
	}
	x.Judge(Kind.Name, word)
	if b.personal && how == counted && !a.Crowded { // otherwise others may have used it up
		x.Signals |= exchange.Limited
	}
	x.Fail(&fault.Fault{Kind: fault.Limited, RetryAfter: retryAfter(a.Retry, rand.Uint64())})
}

// unavailable is for when nothing can be counted and the operator does not want a share.
func (s *stage) unavailable(x *exchange.Exchange, of []*bound, how manner) {
	for _, b := range of {
		b.degraded.Add(1)
	}
	if how == open || s.dryRun {
		x.Judge(Kind.Name, "unchecked")
		return
	}
	x.Judge(Kind.Name, "unavailable")
	x.Fail(&fault.Fault{Kind: fault.LimitUnavailable, RetryAfter: 1})
}

// retryAfter is how many seconds a client is told to wait: what it takes, rounded up, and up to a tenth and a second more by chance, so that not all
// who were refused come back at once.
func retryAfter(nanos int64, random uint64) int {
	least := (nanos + 1e9 - 1) / 1e9
	return int(least + int64(random%uint64(least/10+2)))
}
