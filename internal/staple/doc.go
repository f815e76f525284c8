// Package staple asks the responders that certificates name whether they are revoked (OCSP, RFC 6960), so that a handshake can carry
// the answer (RFC 6066 §8) and clients need not ask themselves. Step 1, listen.
//
// A Stapler asks in good time before an answer ends, keeps the last good one while the responder is down, and takes it back before it
// ends. It hands out nothing it has not verified: the signature by the issuer or by whom the issuer appointed, the serial number, the
// dates, and that the answer is good. An answer of "revoked" is not stapled: it would be the proof of what nobody should go on
// showing; it is an alarm instead.
//
// It refuses to know where certificates come from or how they are shown: both are joined by function values. It refuses redirects,
// proxies, and answers larger than 64 KiB or slower than 10 seconds.
package staple
