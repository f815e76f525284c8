// Package acme gets certificates from an authority by itself and keeps them valid: RFC 8555, with the challenges http-01, dns-01
// (RFC 8555 §8.3, §8.4) and tls-alpn-01 (RFC 8737), and with the authority's own word on when to renew (RFC 9773). It serves
// step 1, listen: the handshake asks it for a certificate; and it answers the authority's questions on connections others have
// accepted.
//
// One Manager lives as long as the process. Every reload hands it the names and the terms (Apply); a name that stays keeps its
// certificate, its timer and its history. Each name has a certificate of its own and a goroutine of its own, which sleeps until
// there is something to do:
//
//	load from disk ─▶ serve ─▶ ask for the renewal window, look for a revocation ─▶ due? ─▶ order ─▶ store ─▶ serve
//	                                                                                   └── failed: back off, keep serving ──┘
//
// The life cycle of an order, its storage layout and the search for DNS zones come from certmagic, the protocol from acmez. What
// is ours: the two solvers (certmagic's open listeners of their own), the timetable (certmagic's has fixed pauses, keeps them in
// variables of the process and does not show them), the locks (the kernel frees them when a process dies) and storing a
// certificate with its key as one.
//
// In reading order: settings.go, manager.go, subject.go, decide.go, issuer.go, account.go, window.go, staple.go, challenge.go, serve.go,
// store.go, commit.go, dns.go, rfc2136.go, program.go, status.go, explain.go, log.go.
//
// It refuses to listen, to issue on demand for names nobody configured, to put several names on one certificate, to ask for
// certificates of IP addresses, and to throw away a certificate that is still valid.
package acme
