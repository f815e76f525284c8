package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// The bounds of a Client whose Settings leave them out.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultMaxBody     = 1 << 20
	DefaultConnections = 16
)

const (
	maxHeader   = 64 << 10 // of an answer, in bytes
	maxCA       = 1 << 20  // of a file of roots, in bytes
	idleTimeout = 50 * time.Second
)

// Settings are those of a Client. The zero value is fit for most.
type Settings struct {
	// CA is a PEM file with the roots that certificates are verified with, in place of the system's; empty is the system's.
	CA string
	// Timeout bounds a request with its answer, body and all; 0 is DefaultTimeout.
	Timeout time.Duration
	// MaxBody bounds the body of an answer, in bytes; 0 is DefaultMaxBody.
	MaxBody int
	// MaxConnections bounds the connections to one host, idle ones included; requests beyond what they carry wait within their time. 0 is
	// DefaultConnections.
	MaxConnections int
	// Plain allows http:// to other boxes.
	Plain bool
}

// Client sends requests over connections of its own, HTTP/2 where the peer offers it. It starts nothing before the first request. Many may
// use it at once.
type Client struct {
	settings  Settings
	identity  string
	transport *http.Transport
}

// New makes a client. It reads the file of roots and touches nothing else.
func New(s Settings) (*Client, error) {
	if s.Timeout <= 0 {
		s.Timeout = DefaultTimeout
	}
	if s.MaxBody <= 0 {
		s.MaxBody = DefaultMaxBody
	}
	if s.MaxConnections <= 0 {
		s.MaxConnections = DefaultConnections
	}
	roots, digest, err := readRoots(s.CA)
	if err != nil {
		return nil, err
	}
	return &Client{
		settings: s,
		identity: fmt.Sprintf("ca=%s timeout=%s body=%d connections=%d plain=%t", digest, s.Timeout, s.MaxBody, s.MaxConnections, s.Plain),
		transport: &http.Transport{
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialTimeout,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
			DisableCompression:     true,
			MaxIdleConns:           s.MaxConnections,
			MaxIdleConnsPerHost:    s.MaxConnections,
			MaxConnsPerHost:        s.MaxConnections,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeader,
		},
	}, nil
}

func readRoots(file string) (*x509.CertPool, string, error) {
	if file == "" {
		return nil, "system", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxCA+1))
	switch {
	case err != nil:
		return nil, "", err
	case len(pem) > maxCA:
		return nil, "", fmt.Errorf("%s: has more than %d bytes; it has to be a PEM file of certificates", file, maxCA)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, "", fmt.Errorf("%s: holds no certificate that can be read; it has to be a PEM file of certificates", file)
	}
	return pool, fmt.Sprintf("%x", sha256.Sum256(pem)), nil
}

// Identity spells out what the client depends on, the content of its file of roots included: clients of one identity are alike. It holds no
// secret.
func (c *Client) Identity() string { return c.identity }

// Stop closes connections that rest. Requests under way go on, and later ones still work.
func (c *Client) Stop() { c.transport.CloseIdleConnections() }

// Field is one header field.
type Field struct{ Name, Value string }

// Header is an ordered list of fields. Names compare in any case.
type Header []Field

// Get is the value of the first field of a name, empty without one.
func (h Header) Get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Request is one request. Its time ends with its context's, or with the client's Timeout.
type Request struct {
	Method string   // empty is GET
	URL    *url.URL // one that CheckURL takes; it is not changed
	Header Header   // neither Host nor what frames a message
	Body   []byte   // nil is none; it must never change, since an early answer may overtake it
}

// Response is the answer, whatever its status.
type Response struct {
	Status int
	Header Header // sorted by name, in canonical case; fields of one name are in the order received
	Body   []byte
}

// ErrTooLarge is an answer whose body is longer than MaxBody.
var ErrTooLarge = errors.New("the body of the answer is too long")

// Do sends a request and reads the whole answer. Redirects are answers like others. With ErrTooLarge, Status and Header are those of the
// answer; with any other error there is none. Errors name the URL without its query, and nothing of what was sent or received.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if err := check(r.URL, c.settings.Plain); err != nil {
		return Response{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.settings.Timeout)
	defer cancel()
	out, err := c.do(ctx, r)
	if err != nil {
		return out, fmt.Errorf("%s %s: %w", r.Method, Place(r.URL), explain(ctx, err, c.settings.Timeout))
	}
	return out, nil
}

func (c *Client) do(ctx context.Context, r Request) (Response, error) {
	header := make(http.Header, len(r.Header)+1)
	for _, f := range r.Header {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		header[name] = append(header[name], f.Value)
	}
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = []string{"Straum"}
	}
	request := (&http.Request{
		Method: r.Method, URL: r.URL, Header: header, Host: r.URL.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if r.Body != nil {
		request.ContentLength = int64(len(r.Body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil }
		request.Body, _ = request.GetBody()
	}
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return Response{}, err
	}
	defer response.Body.Close()
	out := Response{Status: response.StatusCode, Header: flatten(response.Header)}
	if response.ContentLength > int64(c.settings.MaxBody) && r.Method != http.MethodHead {
		return out, ErrTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(c.settings.MaxBody)+1))
	switch {
	case err != nil:
		return Response{}, err
	case len(body) > c.settings.MaxBody:
		return out, ErrTooLarge
	}
	out.Body = body
	return out, nil
}

func flatten(from http.Header) Header {
	out := make(Header, 0, len(from))
	for _, name := range slices.Sorted(maps.Keys(from)) {
		for _, v := range from[name] {
			out = append(out, Field{name, v})
		}
	}
	return out
}
