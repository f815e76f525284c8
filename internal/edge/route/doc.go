// Package route finds the route of a request: step 3, route.
//
// It brings the path of the request to one canonical form ([AppendCanonical]),
// looks host, path, method, header fields and query up in an immutable table
// ([Table.Lookup]), and writes the path the upstream shall see ([Rewrite]).
// The rule in words, with examples, is docs/routing.md; the tests run them.
//
// # The table
//
// Of all routes that match a request wholly, the most specific wins. Four
// questions are asked, the first that tells two routes apart decides:
//
//  1. host        exact > wildcard with the longest suffix > any
//  2. path        from the left, the first segment in which they differ:
//     literal > {param} > /*; and a path that ends > one that goes on with /*
//  3. methods     lists it > lists GET, and the request is HEAD > any method
//  4. conditions  more of them (header and query together), then more with
//     a value to equal rather than mere presence
//
// Two routes that none of the four can tell apart, and that one request could
// match, are refused when the table is built.
//
// The levels of the tree are the first two questions; a leaf answers the others:
//
//	hosts (map) ── "api.example.com" ── node ─┬─ literal "orders" ── node ─┬─ end: leaf
//	     │                                    │                            ├─ {param} ── node ── end: leaf
//	     ├─ "*.example.com" ── node ...       │                            └─ rest (/*): leaf
//	     └─ any ── node ...                   └─ rest (/*): leaf
//
// A walk tries the branches in the order of the rule and takes the first leaf
// with a route that also fits method and conditions. When a branch ends without
// one, it goes back and tries the next. Say the routes are
//
//	A  /a/{x}       GET
//	B  /{y}/b       GET, POST
//	C  /a/*         any method, header x-version: 2
//
// and the request is POST /a/b without fields. The walk takes the literal "a"
// and then {x}, finds A, which wants GET; goes back to the rest of "a" and finds
// C, whose header is missing; goes back to the top, takes {y} and "b", and finds
// B, which fits. With GET it would have stopped at A: the first segment tells A
// and B apart, and a literal is more specific than a parameter.
//
// Each node is visited at most once a walk and the fan-out of a node costs one
// map lookup, so the cost depends on the depth of the path, not on the number of
// routes. Routes with the very same host and path are tried one by one, except
// that those which want a value of a header field are found by it (see index).
//
// # What it refuses to do
//
// It decides no policy and does no I/O; it holds no clock, no lock and no state.
// A Table never changes once built and may be read by any number of goroutines.
// The target "*" of OPTIONS and the authority-form of CONNECT are not paths and
// not its business: whoever decodes the request answers those. Whether an
// encoded slash is acceptable is told by the route found, so it is the caller
// who compares [Canonical.EncodedSlash] with [Match.EncodedSlash]. Splitting the
// request-target and checking the syntax of Host belong to step 2.
package route
