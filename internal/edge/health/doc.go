// Package health judges endpoints, so that step 6, balance, can pass over the bad ones.
//
// Two kinds of evidence meet in a State. Active: a Prober asks each endpoint now and then, and Rise or Fall results in a
// row make it healthy or unhealthy. Passive: attempts of real exchanges that fail in a row eject the endpoint for a time
// that grows with each ejection. Passive evidence can only eject; it ends by itself, or earlier when probes or real
// responses show that the endpoint works.
//
//	active:   unknown (usable) ──ok──▶ healthy ◀──Rise ok── unhealthy
//	             │                        │ Fall failures       ▲
//	             └──── Fall failures ─────┴─────────────────────┘
//	passive:  in ── Failures in a row, and MayEject ──▶ ejected ── time over, or Rise successes ──▶ in
//
// State, Settings and MayEject are pure: numbers and a time in, a decision out. Endpoint and Group put them behind a lock
// and carry the decisions into balance.Load. Prober is the only part that does I/O; it decides nothing.
//
// What is Straum's own trouble (no file descriptors, no ports, no memory) is no evidence about an endpoint; see Classify.
// Nothing is logged here: changes and results are returned or handed to a callback.
package health
