package exchange

// Onward is what an endpoint is asked instead of what the client asked for. Logs, limits and the cache go by the latter. Empty fields change
// nothing.
type Onward struct {
	Method string
	// Path is in canonical form; a route's own rewrite does not apply to it.
	Path string
	// Query counts when NewQuery is set: an empty one takes the query away.
	Query    string
	NewQuery bool
	// Upstream is asked instead of the route's own. It was named to policy.Options.Upstream when the policy was built.
	Upstream string
}

// SentMethod is the method endpoints are asked with.
func (x *Exchange) SentMethod() string {
	if x.Onward.Method != "" {
		return x.Onward.Method
	}
	return x.Request.Method
}

// SentQuery is the query endpoints are asked with, without the question mark.
func (x *Exchange) SentQuery() string {
	if x.Onward.NewQuery {
		return x.Onward.Query
	}
	return x.Request.Query
}
