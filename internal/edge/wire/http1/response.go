package http1

import (
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
)

var (
	errStatusLine   = refuse(fault.UpstreamInvalid, "The status line is not well-formed.")
	errHeadTooLarge = refuse(fault.UpstreamInvalid, "The head of the answer is too large.")
	errInterim      = refuse(fault.UpstreamInvalid, "The endpoint sent too many interim answers.")
	errSwitch       = refuse(fault.UpstreamInvalid, "The endpoint switched protocols without being asked.")
)

// parseResponse reads a response head from the beginning of b into r and returns its length; errMore as for parseRequest. method is
// that of the request: it decides whether there is a body (RFC 9112 §6.3). bare is the minor version.
func parseResponse(b []byte, method string, h *head, r *exchange.Response) (n int, minor uint8, err error) {
	line, next, err := nextLine(b, 0)
	if err == errMore && len(b) > upstreamHead {
		err = errHeadTooLarge
	}
	if err != nil {
		return 0, 0, err
	}
	if minor, err = parseStatusLine(line, r); err != nil {
		return 0, 0, err
	}
	at, err := h.fields(b, next, upstreamHeadFields, &r.Header)
	if err == errMore && len(b) > upstreamHead || err == nil && at > upstreamHead {
		err = errHeadTooLarge
	}
	if err != nil {
		return 0, 0, err
	}
	switch {
	case r.Status < 200:
	case h.chunked && minor == 0:
		return 0, 0, errCodingVersion
	case h.chunked:
		r.Length = exchange.Unknown
	case h.length >= 0:
		r.Length = h.length
	case method == "HEAD" || r.Status == 204 || r.Status == 304:
		r.Length = exchange.Unknown
	default:
		r.Length = exchange.Unknown // until the connection closes
	}
	return at, minor, nil
}

// hasBody says whether a response has content (RFC 9110 §6.4.1).
func hasBody(method string, status int) bool {
	return method != "HEAD" && status >= 200 && status != 204 && status != 304
}

func parseStatusLine(line string, r *exchange.Response) (minor uint8, err error) {
	const version = "HTTP/1."
	if len(line) < len("HTTP/1.1 200") || line[:len(version)] != version || line[7] > '1' || line[7] < '0' || line[8] != ' ' {
		return 0, errStatusLine
	}
	status := 0
	for _, c := range []byte(line[9:12]) {
		if c-'0' > 9 {
			return 0, errStatusLine
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 || status > 599 || len(line) > 12 && line[12] != ' ' || !grammar.IsValue(line[12:]) {
		return 0, errStatusLine
	}
	r.Status = status
	return line[7] - '0', nil
}
