// Package upstream sends a request to an endpoint and reads the answer: step 7, upstream, together with the choice of the endpoint
// in step 6, which it leaves to the pure packages balance, breaker, retry and health.
//
// An Upstream lives as long as one of that name is configured. What it learnt survives every reload: the health and load of its
// endpoints, their pooled connections, the breaker, the retry budget. What changes with the configuration or with DNS is a view,
// which is immutable; an exchange keeps the one it began with.
//
// In reading order: settings.go (what can be set), set.go (all upstreams), upstream.go (one, and its views), endpoint.go (one address),
// line.go and secure.go (how it is reached under certain settings, with TLS), pool.go (connections of HTTP/1.1) and shared.go (of
// HTTP/2), call.go (one exchange on its way through steps 6 and 7), share.go and grpc.go (what of that is peculiar to HTTP/2 and to
// gRPC), stats.go.
//
// It refuses to know routes and policies, to answer the client, and to keep a request body for more than the bytes already in a
// read buffer.
package upstream
