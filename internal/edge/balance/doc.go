// Package balance is step 6 of an exchange: which endpoint of the upstream gets this attempt.
//
// A Balancer is built for one fixed list of members and never changes; a new configuration or a new DNS answer builds a
// new one. What is alive about an endpoint (requests in flight, latency, usable or not) sits in its Load, which outlives
// balancers: whoever builds the next balancer hands the same Loads over. Steps 7 (upstream) and the health package write
// Loads, this package reads them.
//
// Whatever the kind, members are considered in four rounds, and the first round that finds one decides:
//
//  1. usable and not yet tried in this exchange
//  2. usable, though tried
//  3. any that was not tried: nothing is usable, so health has nothing left to say
//  4. any
//
// Rounds 3 and 4 are the panic mode: when every endpoint looks bad, the view is more likely wrong than the endpoints, and
// an attempt costs less than a certain refusal. A member of weight 0 takes no part in any round; only a sticky key that
// names it still reaches it, so that it can be drained.
//
// The package starts no goroutine, reads no clock and rolls no dice: time and randomness are arguments. It counts no
// requests either: whoever sends to the picked endpoint calls Load.Begin and Load.End.
package balance
