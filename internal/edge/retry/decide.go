package retry

import (
	"fmt"
	"time"

	"straum.dev/straum/internal/edge/fault"
)

// Attempt is what Decide needs to know about the attempt that failed and the exchange it belongs to.
type Attempt struct {
	Phase          fault.Phase // how far it got; an answer that broke off counts as none (fault.MaybeProcessed)
	Status         int         // if fault.Answered: the status of the response
	RetryAfter     int64       // if fault.Answered: its Retry-After in ns (see ParseRetryAfter); 0 = none
	Idempotent     bool        // the method may be repeated (RFC 9110, 9.2.2) or the route says the request may
	BodyReplayable bool        // no body, or all that was read of it, for this attempt or an earlier one, is still at hand
	Attempts       int         // made so far, this one included
	Elsewhere      bool        // the next attempt can go to a usable endpoint that was not tried yet
	Nested         bool        // the request is itself marked as the retry of another gateway
	Cancelled      bool        // the client is gone
	BreakerOpen    bool        // the breaker refused another attempt
	Deadline       int64       // of the whole exchange, ns; 0 = none
}

// Rules say what an upstream's retries may do.
type Rules struct {
	MaxAttempts   int   // in all, the first included; 0 and 1 = no retries
	Statuses      []int // responses that are retried, if the request may be repeated
	NonIdempotent bool  // also repeat requests that may have been processed and are not idempotent
	// Base is the upper limit of the first wait; it doubles with each attempt up to MaxWait. The wait is a random part
	// of the limit ("full jitter", Brooker, AWS Architecture Blog 2015).
	Base, MaxWait time.Duration
	// MaxRetryAfter is the longest Retry-After an exchange waits for; beyond it the client gets the response, and may wait itself.
	MaxRetryAfter time.Duration
}

// Check returns the first rule out of its range.
func (r Rules) Check() error {
	if r.MaxAttempts < 0 {
		return fmt.Errorf("retry: %d attempts, want 0 or more", r.MaxAttempts)
	}
	for _, status := range r.Statuses {
		if status < 400 || status > 599 {
			return fmt.Errorf("retry: status %d, want 400 to 599", status)
		}
	}
	if r.Base < 0 || r.MaxWait < r.Base || r.MaxRetryAfter < 0 {
		return fmt.Errorf("retry: waits from %v to %v and up to %v for Retry-After, want 0 or more, in this order", r.Base, r.MaxWait, r.MaxRetryAfter)
	}
	return nil
}

// Reason is why there is another attempt or not.
type Reason uint8

const (
	Yes             Reason = iota
	NoAttempts             // MaxAttempts are made
	NoCancelled            // nobody waits for the response
	NoBegun                // the client has part of a response
	NoStatus               // this status is not retried
	NoMethod               // it may have been processed, and must not be twice
	NoBody                 // the body cannot be sent again
	NoNested               // another gateway retries already
	NoBreaker              // the breaker is open
	NoWaitForClient        // Retry-After is longer than we wait
	NoTime                 // the deadline would be over before the next attempt
	NoBudget               // the budget is used up
)

// String returns the word used in logs and metrics.
func (r Reason) String() string {
	return [...]string{"retry", "attempts", "cancelled", "response_begun", "status", "method", "body", "nested", "breaker_open",
		"retry_after", "deadline", "budget"}[r]
}

// Decision is what follows a failed attempt.
type Decision struct {
	Reason Reason
	Wait   int64 // ns before the next attempt, if there is one
}

// Retry tells whether there is another attempt.
func (d Decision) Retry() bool { return d.Reason == Yes }

// Decide says what follows the attempt. The budget, which may be nil for none, pays last and only if all else allows
// another attempt; what it paid is not given back. random is any uniformly distributed number.
func (r *Rules) Decide(a Attempt, budget *Budget, now int64, random uint64) Decision {
	wait := r.wait(a, random)
	switch {
	case a.Attempts >= r.MaxAttempts:
		return Decision{Reason: NoAttempts}
	case a.Cancelled:
		return Decision{Reason: NoCancelled}
	case a.Phase >= fault.ResponseBegun:
		return Decision{Reason: NoBegun}
	case a.Phase == fault.Answered && !r.retries(a.Status):
		return Decision{Reason: NoStatus}
	case a.Phase >= fault.MaybeProcessed && !a.Idempotent && !r.NonIdempotent:
		return Decision{Reason: NoMethod}
	case !a.BodyReplayable:
		return Decision{Reason: NoBody}
	case a.Nested:
		return Decision{Reason: NoNested}
	case a.BreakerOpen:
		return Decision{Reason: NoBreaker}
	case a.Phase == fault.Answered && a.RetryAfter > int64(r.MaxRetryAfter):
		return Decision{Reason: NoWaitForClient}
	case a.Deadline != 0 && a.Deadline-now <= wait:
		return Decision{Reason: NoTime}
	case budget != nil && !budget.Take(now):
		return Decision{Reason: NoBudget}
	}
	return Decision{Wait: wait}
}

func (r *Rules) retries(status int) bool {
	for _, s := range r.Statuses {
		if s == status {
			return true
		}
	}
	return false
}

// wait is how long to wait before the next attempt. The first retry of a connection that failed goes elsewhere at once:
// another endpoint need not wait for the failing one. An upstream that says when to come back is taken at its word.
func (r *Rules) wait(a Attempt, random uint64) int64 {
	if a.Phase < fault.Answered && a.Elsewhere && a.Attempts == 1 {
		return 0
	}
	limit := int64(r.Base)
	for n := a.Attempts; n > 1 && limit < int64(r.MaxWait); n-- {
		limit *= 2
	}
	wait := int64(float64(min(limit, int64(r.MaxWait))) * (float64(random>>11) / (1 << 53)))
	if a.Phase == fault.Answered {
		wait = max(wait, a.RetryAfter)
	}
	return wait
}
