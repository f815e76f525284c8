package listen

import (
	"fmt"
	"strings"
)

// What is answered before there is a session to answer: whole, made once, and sent without a request having been read.
var (
	// refusal is for a client that holds too many connections.
	refusal = canned("503 Service Unavailable", "Too many connections",
		"Your address holds as many connections as this listener allows it. Close some or reuse them, then try again.", "Retry-After: 5")
	// wrongScheme is for a client that speaks HTTP where TLS is spoken.
	wrongScheme = canned("400 Bad Request", "TLS is spoken here",
		"This port expects TLS. Ask for the same address with https:// in front.")
)

// canned makes an answer of HTTP/1.1 with a problem document (RFC 9457), after which the connection is closed. title and detail hold
// nothing that JSON would have to escape.
func canned(status, title, detail string, fields ...string) []byte {
	body := fmt.Sprintf(`{"type":"about:blank","title":"%s","status":%s,"detail":"%s"}`+"\n", title, status[:3], detail)
	lines := []string{"HTTP/1.1 " + status, "Content-Type: application/problem+json", fmt.Sprintf("Content-Length: %d", len(body))}
	lines = append(append(lines, fields...), "Connection: close", "", body)
	return []byte(strings.Join(lines, "\r\n"))
}
