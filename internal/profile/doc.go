// Package profile says which TLS we speak: to clients (Step 1, listen) and to endpoints (Step 7, upstream). It turns settings into
// tls.Configs, and says when a client's certificate is good.
//
// What it offers is what is strong today and nothing else: there are two profiles and a switch for post-quantum key exchange, and no
// list of cipher suites to get wrong. It does no I/O but for reading the files of authorities, and follows nothing: a changed file of
// authorities comes into force with the next revision, as it changes who may enter and should not do so on its own.
//
// It refuses TLS 1.0 and 1.1, suites without forward secrecy or with CBC, renegotiation, and 0-RTT, which crypto/tls does not have
// over TCP.
package profile
