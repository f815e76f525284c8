package breaker

// State is where a breaker is; see the drawing in the package comment.
type State uint8

const (
	Closed State = iota
	Open
	HalfOpen
	ForcedOpen
	ForcedClosed
)

// String returns the word used in logs, metrics and pages.
func (s State) String() string {
	return [...]string{"closed", "open", "half_open", "forced_open", "forced_closed"}[s]
}

// Outcome is what became of an attempt.
type Outcome uint8

const (
	Success  Outcome = iota
	Failure          // connect error, timeout, reset, a status that counts
	Excluded         // says nothing about the upstream: cancelled by the client, 4xx, refused by Straum itself
)

// Cause is why a breaker changed its state.
type Cause uint8

const (
	Operator Cause = iota
	ConsecutiveErrors
	ErrorRatio
	SlowRatio
	CooldownOver
	ProbeFailed
	ProbeSlow
	ProbeHung
	ProbesSucceeded
)

// String returns the word used in logs, metrics and pages.
func (c Cause) String() string {
	return [...]string{"operator", "consecutive_errors", "error_ratio", "slow_ratio", "cooldown_over", "probe_failed",
		"probe_slow", "probe_hung", "probes_succeeded"}[c]
}

// Change is one change of state, for the log and the metrics. Generation numbers the changes of a breaker from 1; two
// changes in quick succession may reach the callback in either order.
type Change struct {
	From, To   State
	Cause      Cause
	At         int64 // ns
	Until      int64 // ns, end of the cooldown; 0 unless To is Open
	Generation uint64
}

// Refusal is why an attempt was not allowed.
type Refusal uint8

const (
	NotRefused     Refusal = iota
	RefusedOpen            // cooling down
	RefusedProbing         // half-open, and this request is not among the probes
	RefusedForced          // forced open
	RefusedFull            // MaxActive requests are in flight
)

// String returns the word used in logs and metrics, "" for NotRefused.
func (r Refusal) String() string {
	return [...]string{"", "breaker_open", "breaker_half_open", "breaker_forced_open", "breaker_full"}[r]
}

// Verdict is the answer to Allow.
type Verdict struct {
	Refusal    Refusal
	RetryAfter int64 // ns until it makes sense to ask again; 0 if allowed
	Probe      bool  // allowed as a probe of the half-open state
}

// Allowed tells whether the attempt may be made.
func (v Verdict) Allowed() bool { return v.Refusal == NotRefused }

// RetryAfterSeconds is the value for the Retry-After field (RFC 9110, 10.2.3) of the 503: rounded up, at least 1.
func (v Verdict) RetryAfterSeconds() int64 { return max((v.RetryAfter+1e9-1)/1e9, 1) }
