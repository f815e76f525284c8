// Command bench measures Straum, nginx and HAProxy side by side: the same work, one after the other, round by round.
//
// Each gateway has core 0 to itself (one worker or thread, GOMAXPROCS=1); the load, the upstream and the bench itself
// share core 1. The main figure is processor time a request, taken from the kernel's books on the gateway's threads:
// unlike requests a second it does not depend on how fast the other core feeds it. A round runs the same scenario
// through every gateway within seconds, and ratios are taken round by round, so that a machine that is slower for a
// minute is slower for all. Where others (another guest of the machine, another program) had a part of core 0 in a
// round, that is said.
//
// Over TLS all three show one certificate and do the same sums: what is negotiated with each is checked before the
// first round and named in the results. A handshake is booked with the connection around it and its one request.
//
// Where tokens are asked for, each gateway shows first that it refuses bad ones: forged, expired, for somebody else. A
// good one that is refused ends the run. Below the gateways as they come stands nginx with a script that remembers. Where callers
// are counted, each gateway shows first that it counts them apart; Redis, where Straum can count too, runs on core 1.
//
// Everything lives in a temporary folder, on ports of 127.0.0.1 alone, and ends with the bench. Full runs are written
// to bench/RESULTS.md, where a part kept by hand says what falls short.
//
// It tests nothing and fails for no figure: figures of a shared machine are for people to read.
package main
