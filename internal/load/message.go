package load

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// message is a request as it is sent, made once for all connections.
type message struct {
	kind   int                 // index into the kinds, which requests of one name share
	head   bool                // answers have no body
	text   []byte              // HTTP/1.1, with the body
	fields []hpack.HeaderField // HTTP/2
	body   []byte              // HTTP/2
}

// newMessages makes the messages of a plan, and the names of their kinds in order.
func newMessages(p *Plan) (messages []message, kinds []string) {
	known := map[string]int{}
	for i := range p.Requests {
		r := &p.Requests[i]
		kind, ok := known[r.Name]
		if !ok {
			kind = len(kinds)
			known[r.Name] = kind
			kinds = append(kinds, r.Name)
		}
		m := message{kind: kind, head: r.Method == "HEAD"}
		if p.HTTP2 {
			m.fields, m.body = r.list(p.TLS != nil), r.Body
		} else {
			m.text = r.text(p.NoKeepAlive)
		}
		messages = append(messages, m)
	}
	return messages, kinds
}

// text is the request in HTTP/1.1 (RFC 9112 §3).
func (r *Request) text(closes bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.Target, r.Host)
	for _, f := range r.Fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
	}
	if r.says() {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.Body))
	}
	if closes {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	b.Write(r.Body)
	return []byte(b.String())
}

// list is the header fields of the request in HTTP/2 (RFC 9113 §8.3.1).
func (r *Request) list(secure bool) []hpack.HeaderField {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	list := []hpack.HeaderField{
		{Name: ":method", Value: r.Method}, {Name: ":scheme", Value: scheme}, {Name: ":authority", Value: r.Host}, {Name: ":path", Value: r.Target},
	}
	for _, f := range r.Fields {
		list = append(list, hpack.HeaderField{Name: strings.ToLower(f.Name), Value: f.Value})
	}
	if r.says() {
		list = append(list, hpack.HeaderField{Name: "content-length", Value: strconv.Itoa(len(r.Body))})
	}
	return list
}

// says tells whether the length of the body is said: where there is one, and where its absence would be a surprise (RFC 9110 §8.6).
func (r *Request) says() bool {
	return len(r.Body) > 0 || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH"
}
