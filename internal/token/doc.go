// Package token verifies JSON Web Tokens: signed statements of an issuer about who calls (RFC 7519, signed as RFC 7515 says). It serves
// step 4, where policies ask who calls.
//
// In reading order: algorithm.go (what tokens may be signed with), key.go and set.go (what they are verified with), jwk.go and pem.go
// (how keys are written), object.go (strict JSON), compact.go (a token's three parts), verify.go (the rules and the judgement),
// claims.go (what a token says).
//
// Everything in it is pure: keys, rules and the time are arguments, and nothing is remembered.
//
// It refuses to take from a token what only the operator can know: which algorithms are good, and which keys. A key is of one type and
// verifies algorithms of that type alone; "none" is no algorithm; keys and addresses of keys inside a token are never looked at. It
// refuses to interpret claims before the signature was found good, to read JSON that two readers could understand differently, and to
// read encrypted tokens (RFC 7516).
package token
