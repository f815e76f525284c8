// Package client speaks to the admin API of a running gateway over its unix socket, for the commands that show and order. It
// serves no step of a request.
//
// It knows the API by its JSON alone, as any other program would; a test holds its types against those of control/admin. Errors say in plain words
// what to do, because they are what an operator sees first when something is wrong.
//
// It refuses to start anything, to speak to another machine, to wait without end, and to try again.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// DefaultSocket is where a gateway listens whose configuration does not say otherwise.
const DefaultSocket = "/run/straum/admin.sock"

// Bounds of one call.
const (
	answerTime = 70 * time.Second // more than the API takes for anything
	maxAnswer  = 256 << 20        // bytes; a table of 10,000 routes has a few MiB
)

// Client calls one gateway. Its methods may be called from any goroutine.
type Client struct {
	socket   string
	operator string
	http     http.Client
}

// New makes a client. It does not connect before the first call.
func New(socket string) *Client {
	c := &Client{socket: socket}
	c.http = http.Client{Timeout: answerTime, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true, // a command makes a call or two
	}}
	return c
}

// From names the address that somebody works from, as over SSH, so that the gateway does not ban it. Empty is for none. It is set before
// the first call.
func (c *Client) From(address string) *Client {
	c.operator = address
	return c
}

// Refusal is the gateway's answer when it did not do what was asked: an RFC 9457 problem.
type Refusal struct {
	Status int       `json:"status"`
	Title  string    `json:"title"`
	Detail string    `json:"detail"`
	Errors []Mistake `json:"errors"`
}

// Mistake is one of several reasons for a Refusal.
type Mistake struct {
	Message    string `json:"message"`
	Location   string `json:"location,omitempty"` // file:line:column, or where in the request
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
	Column     int    `json:"column,omitempty"`
	Path       string `json:"path,omitempty"`
	Suggestion string `json:"suggestion,omitempty"`
}

// String is the mistake on one line, as straum check prints it.
func (m Mistake) String() string {
	var b strings.Builder
	for _, part := range []string{m.Location, m.Path} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(m.Message)
	if m.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %q?", m.Suggestion)
	}
	return b.String()
}

// Error is the detail, with one mistake a line below.
func (r *Refusal) Error() string {
	lines := []string{r.Detail}
	for _, m := range r.Errors {
		lines = append(lines, m.String())
	}
	return strings.Join(lines, "\n")
}

// Raw calls an endpoint and returns the body of its answer. body, unless nil, is sent as JSON. Whatever is no success is an error.
func (c *Client) Raw(ctx context.Context, method, path string, body any) ([]byte, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("the request cannot be written: %w", err)
		}
		sent = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, sent)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be made: %w", err)
	}
	if sent != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.operator != "" {
		r.Header.Set("Straum-Operator-Address", c.operator)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.explain(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.explain(err)
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("the gateway at %s answered with more than %d MiB; ask for less at a time", c.socket, maxAnswer>>20)
	case answer.StatusCode >= 300:
		return nil, c.refusal(answer, text)
	}
	return text, nil
}

// refusal reads a problem; anything else comes from something that is no gateway, or another version of one.
func (c *Client) refusal(answer *http.Response, text []byte) error {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	var r Refusal
	if kind != "application/problem+json" || json.Unmarshal(text, &r) != nil {
		return c.strange("status " + answer.Status)
	}
	return &r
}

func (c *Client) strange(found string) error {
	return fmt.Errorf("what answers at %s does not speak as straum's admin API does (%s); is it another program, or another version of straum?", c.socket, found)
}

// explain words what went wrong on the way to the gateway.
func (c *Client) explain(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	elsewhere := "if its admin.socket is elsewhere, name it with --socket PATH or -c FILE"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no gateway answers at %s: there is no such socket; is straum running? %s", c.socket, elsewhere)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no gateway answers at %s: the socket is there, but nobody listens at it; has straum ended? %s", c.socket, elsewhere)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be opened by this user: only the one that runs straum and root may; try sudo", c.socket)
	case errors.Is(err, syscall.ENOTSOCK), errors.Is(err, syscall.EPROTOTYPE):
		return fmt.Errorf("%s is no socket; %s", c.socket, elsewhere)
	case errors.Is(err, syscall.EINVAL) && len(c.socket) > maxSocketPath:
		return fmt.Errorf("%s has more than the %d bytes a socket's path may have", c.socket, maxSocketPath)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the gateway at %s takes the connection and does not answer in time; its log may tell why", c.socket)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the gateway at %s closed the connection before it had answered; is it stopping?", c.socket)
	}
	return fmt.Errorf("no answer from %s: %w", c.socket, err)
}

const maxSocketPath = 107 // sun_path less its final NUL

func call[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var v T
	text, err := c.Raw(ctx, method, path, body)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, c.strange(err.Error())
	}
	return v, nil
}
