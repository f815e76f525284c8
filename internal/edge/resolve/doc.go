// Package resolve keeps the addresses of endpoints that are given by name. Step 7, upstream: an endpoint api.internal:8080
// stands for all the addresses its name has, now and later.
//
//	Watch ──▶ loop of the name ── look up IPv4 and IPv6 ──▶ settle (pure) ──▶ set changed? ──▶ onChange of each watcher
//	               ▲                                                │
//	               └── Every, or 1s, 2s, 4s ... Every after failure ┘
//
// Each name has one loop, however many watch it, and is looked up again whether or not there is traffic. No exchange ever
// waits for DNS.
//
// A failed look-up takes nothing away. When DNS does not answer, answers with an error, or says that the name does not exist,
// the last good addresses stay: DNS servers that are being restarted or reconfigured say "no such host" about names that are
// well, while endpoints that are really gone are found out by health checks and failing connections. Only an answer with
// other addresses replaces them. The two families are looked up apart, since net.Resolver, asked for both, hides that
// one of them failed, and half of the endpoints would go.
//
// The interval is ours: the standard library's resolver does not tell the TTL of what it found. A TTL longer than Every is
// asked for more often than needed, which the system's cache bears; a shorter one is seen up to Every late.
//
// Lock order: a watcher's mu, then the Resolver's mu. onChange is called under the watcher's mu alone, log under none.
//
// What it refuses to do: SRV and other records, caching by TTL, DNSSEC, DNS over TLS or HTTPS, choosing among the addresses, and
// draining those that left. Ports are its callers' business, and so are IP addresses, which are never looked up.
package resolve
