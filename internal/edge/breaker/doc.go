// Package breaker decides whether an upstream may be asked at all: it stands between the retry loop and step 6, balance.
// One Breaker guards one upstream (a single bad endpoint is the business of the health package) and is asked once per
// attempt.
//
//	             trip                    cooldown over, first request
//	  closed ───────────────▶ open ─────────────────────────▶ half-open
//	    ▲                      ▲                                │    │
//	    │                      └── a probe fails, is slow, or hangs  │
//	    └────────────────────────── enough probes succeed ───────────┘
//
//	forced-open, forced-closed: by the operator, from any state; Release leads to closed.
//
// It trips on errors in a row, on the share of errors or of slow calls in a rolling window with enough calls in it.
// Independently of its state it limits the requests in flight; that limit refuses without opening.
//
// The caller says what a failure is: connect errors, timeouts, resets and chosen statuses are; what the client cancelled,
// 4xx and what Straum itself refused are Excluded.
//
// Nothing here starts a goroutine, reads a clock or logs. Time is an argument, randomness is given at construction,
// changes go to a callback. The state outlives configurations: Set replaces the settings of a running breaker.
package breaker
