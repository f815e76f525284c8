// Package grammar says what the bytes of HTTP may be: tokens, field values, lists, lengths, targets, hosts and ports. It serves step 2
// (decode), and the name of a host in step 3 (route).
//
// It is written once so that a request means the same whichever way it comes: wire/http1 and wire/http2 read with the same rules, and
// what one refuses the other does too. Where the two protocols differ, both rules stand here, next to each other: [IsToken] and
// [IsLowerToken], [IsValue] and [IsTrimmedValue].
//
// In reading order: token.go (names, methods and single bytes), value.go (field values and what stands in them), target.go (hosts,
// ports, paths). The rules are those of RFC 9110 §5 and §7, RFC 9112 §3, RFC 9113 §8 and RFC 3986 §3, and stricter where two readers
// could differ.
//
// All functions are pure. What they return are parts of what they are given; nothing is allocated but the lower case of a host that
// came in capitals. They take strings, of which a wire that reads into a buffer makes one a line, and those that look at one byte or
// at each byte once are simple enough to be inlined, which counts: all bytes of all heads go through here.
//
// It refuses to know messages: what a field means, which of them may stand together, and what a client is told when one does not fit
// are the business of the two wires. It also refuses to forgive.
package grammar
