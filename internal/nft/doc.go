// Package nft drops the packets of banned addresses in the kernel (nftables), where they cost the gateway nothing at all. It serves
// no step of a request: what it holds is a copy of bans that are decided and kept elsewhere, and the doors refuse the same addresses
// without it.
//
// What the kernel is given is one table of the family inet that belongs to the gateway alone, by default inet straum: a chain at the
// hook input with a priority of -10, which lets pass whatever is not TCP to a port that the gateway listens on, and for each length
// of prefix in use one hash set with its rule. So a ban closes the gateway's ports and never SSH, and what other tables say holds as
// before. A set for each length, and not one set of intervals, because a network may be banned while an address in it is, which
// intervals refuse as overlapping; each lookup costs the same however many bans there are.
//
// Every element carries a timeout that the kernel keeps, an hour at most, and is given anew while its ban lasts. A gateway that
// died drops nobody for longer than that; one that starts again removes the table of its predecessor and fills its own.
//
// Bounds: 65,536 prefixes; further ones are counted and left to the doors.
//
// The package refuses to decide who is banned, to touch other tables, and to be a reason not to serve: without the capability
// CAP_NET_ADMIN, without nftables in the kernel, or on another system than Linux it says so once and tries again now and then.
package nft
