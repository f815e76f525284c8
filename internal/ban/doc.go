// Package ban decides which addresses are refused for a time, and remembers it. It serves steps 1 and 3: a listener asks whether a
// connection is dropped as it is accepted, the flow whether a request is refused once its client is known.
//
// What clients do that is worth counting comes in as strikes, each with a signal that has a score. The scores of an address add up and fall
// by half in every half life. At a threshold the address is banned, for longer each time, with a harder hand each time. IPv6 is scored by
// /64; wider networks are banned only after several of their /64 were. An address that good consumers use is spared, and some are never
// banned: loopback, and whatever the settings and the guards name.
//
// In reading order: words.go (signals, rungs, settings, what is told), network.go (addresses and networks), score.go (how scores fall),
// scores.go (the table of scores), evidence.go (who else uses an address), ledger.go (bans and what is remembered of them), engine.go (the
// parts joined), guards.go (who is never banned), keep.go and file.go (what outlives a restart), run.go (what is done off the data path).
//
// Everything is bounded. 65,536 addresses have a score; when there is no room the lowest goes. 1,000,000 bans are in force or remembered;
// when there is no room, those that are over are forgotten first, and when all are in force no further one is made.
//
// It refuses to take the word of anybody about where a request came from: it is told addresses that were verified. It refuses to know
// exchanges, and to touch the network and the kernel: who drops, drops by asking.
package ban
