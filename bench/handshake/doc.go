// Package handshake opens TLS connections one after the other, with one small request on each, and counts how many
// were resumed. It serves the bench only.
//
// Every connection costs the gateway what a client's first request costs it: accept, one TLS 1.3 handshake, a session
// ticket or two, one exchange, close. The request is there because only an answer proves that the gateway took the
// handshake for finished, and because tickets are read on the way to it. It is a closed loop, as wrk is.
//
// The client is crypto/tls. It verifies the handshake's signature, which cannot be switched off, but no certificate
// chain. It offers X25519 alone, because the peers know no hybrid group.
package handshake
