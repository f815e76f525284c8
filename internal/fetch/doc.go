// Package fetch is the gateway's own HTTP client, for what the operator or an issuer names: key sets, discovery documents,
// introspection, token endpoints and services that authenticate. It serves step 4 and what renews keys beside it; requests of clients to
// endpoints never go this way.
//
// In reading order: url.go (which URLs are fit), guard.go (which addresses may be connected to), client.go (one request and its answer),
// explain.go (what went wrong, in words that hold no secret).
//
// It refuses to follow redirects, to keep cookies, to take a proxy from the environment, to read more than its limits, to speak plain
// HTTP with another box unless it was told to, and to connect to link-local addresses, where clouds keep their machines' secrets.
package fetch
