package roundtrip

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
)

// Question is a request of the gateway's own.
type Question struct {
	Method    string
	Authority string
	Path      string
	Query     string
	Header    map[string][]string // names in the capitals of HTTP/1.1
	Body      []byte
}

// Reply is the answer to a Question.
type Reply struct {
	Status          int
	Header, Trailer map[string][]string // names in the capitals of HTTP/1.1
	Body            []byte
}

// Ask makes one request over a connection that nobody else uses, and returns its answer with the first limit bytes of its body; limit 0
// leaves the body unread, and the trailers unknown. Interim answers are passed over. It is for those who look after endpoints, such as
// health checks; ctx bounds it.
func (c *Conn) Ask(ctx context.Context, q Question, limit int64) (Reply, error) {
	request := &http.Request{
		Method: q.Method, Host: q.Authority, Header: q.Header,
		URL:           &url.URL{Scheme: c.scheme, Host: q.Authority, Opaque: q.Path, RawQuery: q.Query},
		ContentLength: int64(len(q.Body)),
	}
	if len(q.Body) > 0 {
		request.Body = io.NopCloser(bytes.NewReader(q.Body))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := c.client.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return Reply{}, err
	}
	r := Reply{Status: response.StatusCode, Header: response.Header}
	if limit > 0 {
		r.Body, err = io.ReadAll(io.LimitReader(response.Body, limit))
		if err == nil && int64(len(r.Body)) < limit {
			r.Trailer = response.Trailer
		}
	}
	return r, err
}
