// Package openid is an OpenID provider as somebody who relies on it sees it: where its endpoints are, how a browser is sent there, how a
// code or a refresh token becomes tokens, and whether an ID token is good. It serves step 4, where browsers are logged in.
//
// In reading order: provider.go (one provider and what it says of itself), visit.go (the URLs a browser is sent to), grant.go (the token
// endpoint), identity.go (ID tokens).
//
// Sources: OpenID Connect Core 1.0, RFC 6749 (OAuth 2.0), RFC 7636 (PKCE), RFC 7009 (revocation), RFC 9207 (issuer identification), OpenID
// Connect RP-Initiated Logout 1.0, RFC 9700 (best practice).
//
// It refuses to be anything but a client of the code flow with PKCE S256, to wait without a bound, and to put a token, a code or a secret in
// an error.
package openid
