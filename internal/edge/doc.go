// Package edge is the data plane: it takes every request through the eleven steps, in one function that reads straight down, Serve
// in flow.go.
//
//	 1 listen             a connection is accepted, its address known                  listen/
//	 2 decode             bytes become a request                                       wire/
//	 3 route              canonical path, client address, host+path+method -> route    route/
//	 4 policies           request policies look, change or answer                      policy/, chain/
//	 5 cache lookup       answered from what is stored, or under way for another       cache/
//	 6 balance            an endpoint is chosen                                        balance/, breaker/, health/
//	 7 upstream           the request is sent, the head of the answer read             upstream/, retry/
//	 8 upstream response  policies whose result is shared; the cache stores            policy/, cache/
//	 9 response           policies for this client                                     policy/
//	10 encode             the response becomes bytes, its body streaming through       wire/
//	11 done               log, metrics, trace: written once from what was stamped      observers
//
// What answers early jumps ahead: a policy that answers goes from 4 to 9, a cache hit from 5 to 9, and any failure becomes a fault,
// then an answer, then 9. Only 6 and 7 loop, for retries. Every path ends at 11.
//
// A Snapshot is the configuration as the path sees it: immutable, swapped whole, kept by an exchange from its beginning to its end.
//
// It refuses to know the configuration's text, the policies by name, and who observes.
package edge
