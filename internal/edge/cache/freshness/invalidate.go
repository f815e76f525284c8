package freshness

// Invalidates says whether an answer to a request by this method makes what is stored under its target useless, and what is stored under its Location
// and Content-Location if they have the same origin (RFC 9111 §4.4). Methods that nobody knows to be safe change things.
func Invalidates(method string, status int) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH":
		return false
	}
	return status >= 200 && status < 400
}

// Fails says whether a status of an endpoint is one of those that a stale response may stand in for (RFC 5861 §4).
func Fails(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}
