package health

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Limits of what a probe reads.
const (
	MaxProbeHead = 16 << 10 // of the status line and fields, interim responses included
	MaxProbeBody = 64 << 10 // of the body that is searched; what follows is not read
)

// Statuses is a range of status codes, both ends included.
type Statuses struct{ From, To int }

// Check says how to probe: a TCP connection, GET over HTTP/1.1 or HTTP/2, or a call of gRPC's health service. Redirects are not
// followed; a 3xx is what it is.
type Check struct {
	Every     time.Duration // from one probe's end to the next one's start
	IdleEvery time.Duration // the same for targets without traffic; not used unless longer than Every
	Timeout   time.Duration // of the whole probe
	TCP       bool          // that a connection comes about is all that is asked
	HTTP2     bool          // ask over HTTP/2: agreed on by ALPN where there is TLS, else by prior knowledge
	// GRPC asks grpc.health.v1.Health/Check over HTTP/2, about Service; "" stands for the endpoint as a whole.
	GRPC    bool
	Service string

	Path     string     // with the query, if any
	Host     string     // "" = the target's address; "localhost" for unix sockets
	Expect   []Statuses // empty = 200 to 299
	Contains string     // the body must contain it within its first MaxProbeBody bytes; "" = the body is not read
}

// Valid returns the first field out of its range.
func (c Check) Valid() error {
	switch {
	case c.Every < 10*time.Millisecond:
		return fmt.Errorf("health: probe every %v, want 10ms or more", c.Every)
	case c.Timeout <= 0:
		return fmt.Errorf("health: probe timeout is %v, want more than 0", c.Timeout)
	case c.TCP, c.GRPC && len(c.Service) <= maxService:
		return nil
	case c.GRPC:
		return fmt.Errorf("health: the name of the gRPC service has %d bytes, want at most %d", len(c.Service), maxService)
	case !strings.HasPrefix(c.Path, "/"):
		return fmt.Errorf("health: probe path is %q, want one that begins with /", c.Path)
	case !plain(c.Path) || !plain(c.Host):
		return fmt.Errorf("health: probe path %q or host %q has spaces or control characters; percent-encode them", c.Path, c.Host)
	}
	for _, r := range c.Expect {
		if r.From < 200 || r.To > 599 || r.From > r.To {
			return fmt.Errorf("health: expected statuses %d to %d, want a range within 200 to 599", r.From, r.To)
		}
	}
	return nil
}

// plain tells whether s can stand in a request line or field without changing its framing.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7F {
			return false
		}
	}
	return true
}

// ask sends the request and judges the response. explain puts an error into words.
func (c *Check) ask(conn net.Conn, address string, explain func(error) string) (Outcome, string) {
	host := c.host(address)
	request := "GET " + c.Path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: straum-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return Classify(err), "send: " + explain(err)
	}
	// One byte more than the limit tells a head that is too long from one that just fits.
	head := &io.LimitedReader{R: conn, N: MaxProbeHead + 1}
	r := bufio.NewReaderSize(head, 4<<10)
	status, fields, err := readHead(r)
	switch {
	case head.N <= 0 && err != nil:
		return Failure, fmt.Sprintf("response head is longer than %d bytes", MaxProbeHead)
	case errors.Is(err, io.EOF):
		return Failure, "connection closed before the end of the response head"
	case err != nil:
		return Classify(err), "response: " + explain(err)
	case !c.expects(status):
		return Failure, fmt.Sprintf("status %d, want %s", status, c.wanted())
	case c.Contains == "":
		return Success, fmt.Sprintf("status %d", status)
	}
	head.N = 4 * MaxProbeBody // room for a chunked body with small chunks
	body, err := readBody(r, fields)
	return c.search(status, body, err, explain)
}

// search looks for the text that the body must contain. err says why there may be more of it.
func (c *Check) search(status int, body []byte, err error, explain func(error) string) (Outcome, string) {
	switch {
	case bytes.Contains(body, []byte(c.Contains)):
		return Success, fmt.Sprintf("status %d, body contains %q", status, c.Contains)
	case err != nil:
		return Classify(err), "body: " + explain(err)
	case len(body) == MaxProbeBody:
		return Failure, fmt.Sprintf("status %d, but %q is not in the first %d bytes of the body", status, c.Contains, MaxProbeBody)
	}
	return Failure, fmt.Sprintf("status %d, but %q is not in the body of %d bytes", status, c.Contains, len(body))
}

// host is what the endpoint is told that it is called.
func (c *Check) host(address string) string {
	switch {
	case c.Host != "":
		return c.Host
	case strings.HasPrefix(address, "unix:"):
		return "localhost"
	}
	return address
}

func (c *Check) expects(status int) bool {
	for _, r := range c.Expect {
		if status >= r.From && status <= r.To {
			return true
		}
	}
	return len(c.Expect) == 0 && status >= 200 && status <= 299
}

func (c *Check) wanted() string {
	if len(c.Expect) == 0 {
		return "200-299"
	}
	var words []string
	for _, r := range c.Expect {
		if r.From == r.To {
			words = append(words, strconv.Itoa(r.From))
		} else {
			words = append(words, fmt.Sprintf("%d-%d", r.From, r.To))
		}
	}
	return strings.Join(words, ", ")
}

// fields is what of a response head decides where the body ends.
type fields struct {
	chunked bool
	length  int64 // -1 = until the connection closes
}

// readHead reads up to the first response that is not interim (RFC 9110, 15.2).
func readHead(r *bufio.Reader) (status int, f fields, err error) {
	for {
		line, err := readLine(r)
		if err != nil {
			return 0, f, err
		}
		if status, err = parseStatusLine(line); err != nil {
			return 0, f, err
		}
		f = fields{length: -1}
		for {
			if line, err = readLine(r); err != nil {
				return 0, f, err
			}
			if line == "" {
				break
			}
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return 0, f, fmt.Errorf("field line %.40q has no colon", line)
			}
			switch value = strings.TrimSpace(value); strings.ToLower(name) {
			case "content-length":
				if f.length, err = strconv.ParseInt(value, 10, 64); err != nil || f.length < 0 {
					return 0, f, fmt.Errorf("Content-Length is %.40q", value)
				}
			case "transfer-encoding":
				f.chunked = strings.EqualFold(value, "chunked")
			}
		}
		if status >= 200 {
			return status, f, nil
		}
	}
}

// parseStatusLine reads "HTTP/1.x NNN[ reason]" (RFC 9112, 4).
func parseStatusLine(line string) (int, error) {
	rest, ok := strings.CutPrefix(line, "HTTP/1.")
	if !ok || len(rest) < 5 || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' {
		return 0, fmt.Errorf("%.40q is not an HTTP/1.1 status line", line)
	}
	status, err := strconv.Atoi(rest[2:5])
	if err != nil || status < 100 || status > 599 {
		return 0, fmt.Errorf("%.40q has no status from 100 to 599", line)
	}
	return status, nil
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("a line of the response is longer than %d bytes", r.Size())
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
}

// readBody returns the first MaxProbeBody bytes of the body, without chunk framing. The error tells why there may be
// more that could not be read.
func readBody(r *bufio.Reader, f fields) ([]byte, error) {
	if !f.chunked {
		n := int64(MaxProbeBody)
		if f.length >= 0 {
			n = min(n, f.length)
		}
		body, err := io.ReadAll(io.LimitReader(r, n))
		if err == nil && f.length >= 0 && int64(len(body)) < n {
			err = fmt.Errorf("connection closed after %d of %d bytes", len(body), f.length)
		}
		return body, err
	}
	var body []byte
	for len(body) < MaxProbeBody {
		line, err := readLine(r)
		if err != nil {
			return body, err
		}
		digits, _, _ := strings.Cut(line, ";")
		size, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 31)
		if err != nil {
			return body, fmt.Errorf("chunk size is %.40q", line)
		}
		if size == 0 {
			break
		}
		n := min(int(size), MaxProbeBody-len(body))
		at := len(body)
		body = append(body, make([]byte, n)...)
		if got, err := io.ReadFull(r, body[at:]); err != nil {
			return body[:at+got], err
		}
		if len(body) == MaxProbeBody {
			break
		}
		if _, err := r.Discard(2); err != nil {
			return body, err
		}
	}
	return body, nil
}
