package http1

import (
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
)

var (
	errLineTooLong = refuse(fault.LineTooLong, fault.LineTooLong.Detail)
	errMethod      = refuse(fault.Malformed, "The request line does not begin with a method.")
	errTarget      = refuse(fault.Malformed, "The request target is empty or holds a byte that is not allowed there.")
	errTargetForm  = refuse(fault.Malformed, "The request target is neither a path nor an absolute http or https URI.")
	errFragment    = refuse(fault.Malformed, "The request target holds a fragment.")
	errLine        = refuse(fault.Malformed, "The request line is not a method, a target and a version with one space between them.")
	errVersion     = refuse(fault.BadVersion, fault.BadVersion.Detail)
	errHostMissing = refuse(fault.BadHost, "Host is missing.")
	errHostInvalid = refuse(fault.BadHost, "Host is not a valid host with an optional port.")
	errHostDiffers = refuse(fault.BadHost, "The request target names another host than Host.")
	errConnect     = refuse(fault.NoTunnel, fault.NoTunnel.Detail)
	errExpectation = refuse(fault.BadExpectation, fault.BadExpectation.Detail)
	errBodyLimit   = refuse(fault.BodyTooLarge, fault.BodyTooLarge.Detail)
	errHeaderBytes = refuse(fault.HeaderTooLarge, fault.HeaderTooLarge.Detail)
)

// parseRequest reads a request head from the beginning of b into r and returns its length. errMore means that b holds only a part
// of it; r is then to be reset before the next attempt.
func parseRequest(b []byte, limits *Limits, h *head, r *exchange.Request) (int, error) {
	at := 0
	// One empty line before the request line is forgiven (RFC 9112 §2.2).
	if len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		at = 2
	}
	line, next, err := nextLine(b, at)
	if err != nil {
		return 0, earlyRefusal(b[at:], limits, err)
	}
	if len(line) > limits.RequestLine {
		return 0, errLineTooLong
	}
	if err := parseRequestLine(line, r); err != nil {
		return 0, err
	}
	at, err = h.fields(b, next, limits.HeaderCount, &r.Header)
	if err == errMore && len(b)-next > limits.HeaderBytes || err == nil && at-next > limits.HeaderBytes {
		return 0, errHeaderBytes
	}
	if err != nil {
		return 0, err
	}
	return at, settleRequest(h, limits, r)
}

// earlyRefusal looks at a request line that has not ended yet, so that what can never become one is refused at once and not when
// the time is over.
func earlyRefusal(b []byte, limits *Limits, err error) error {
	if err != errMore {
		return err
	}
	if len(b) > limits.RequestLine+len("\r") {
		return errLineTooLong
	}
	for _, c := range b {
		if c == ' ' {
			break
		}
		if !grammar.IsTokenByte(c) && c != '\r' {
			return errMethod
		}
	}
	return errMore
}

// parseRequestLine takes the request line apart (RFC 9112 §3).
func parseRequestLine(line string, r *exchange.Request) error {
	first := strings.IndexByte(line, ' ')
	if first < 0 || !grammar.IsToken(line[:first]) {
		return errMethod
	}
	rest := line[first+1:]
	second := strings.IndexByte(rest, ' ')
	if second < 0 {
		return errLine
	}
	target, version := rest[:second], rest[second+1:]
	if target == "" || !grammar.IsVisible(target) {
		return errTarget
	}
	if len(version) != len("HTTP/1.1") || version[:5] != "HTTP/" || version[6] != '.' ||
		version[5]-'0' > 9 || version[7]-'0' > 9 {
		return errLine
	}
	if version[5] != '1' || version[7] > '1' {
		return errVersion
	}
	r.Method, r.Target = line[:first], target
	r.Major, r.Minor = 1, version[7]-'0'
	return nil
}

// settleRequest draws the conclusions of a complete head: target, host, length, connection.
func settleRequest(h *head, limits *Limits, r *exchange.Request) error {
	r.Scheme = "http"
	authority, err := splitTarget(r)
	if err != nil {
		return err
	}
	if h.hosts == 0 && r.Minor > 0 {
		return errHostMissing
	}
	if h.hosts > 0 {
		var ok bool
		if r.Host, r.Port, ok = grammar.SplitHost(h.host); !ok {
			return errHostInvalid
		}
	}
	if authority != "" {
		host, port, ok := grammar.SplitHost(authority)
		if !ok {
			return errHostInvalid
		}
		if h.hosts > 0 && (host != r.Host || port != r.Port) {
			return errHostDiffers
		}
		r.Host, r.Port = host, port
	}
	switch {
	case h.coded && r.Minor == 0:
		return errCodingVersion
	case h.chunked:
		r.Length = exchange.Unknown
	case h.length > 0:
		if limits.Body > 0 && h.length > limits.Body {
			return errBodyLimit
		}
		r.Length = h.length
	}
	if h.expect != "" && r.Minor > 0 {
		if !grammar.FoldIs(h.expect, "100-continue") {
			return errExpectation
		}
		r.Continue = r.Length != 0
	}
	if h.upgrading && r.Minor > 0 && r.Length == 0 {
		r.Upgrade = acceptableUpgrade(h.upgrade)
	}
	r.TakesTrailers = h.trailers
	return nil
}

// splitTarget finds path and query in the four forms of a request target (RFC 9112 §3.2) and returns the authority of the absolute
// form.
func splitTarget(r *exchange.Request) (authority string, err error) {
	if r.Method == "CONNECT" {
		return "", errConnect
	}
	target := r.Target
	if strings.IndexByte(target, '#') >= 0 {
		return "", errFragment
	}
	if target == "*" {
		if r.Method != "OPTIONS" {
			return "", errTargetForm
		}
		r.Path = "*"
		return "", nil
	}
	if target[0] != '/' {
		scheme := len("http://")
		switch {
		case len(target) >= len("http://") && grammar.FoldIs(target[:len("http://")], "http://"):
		case len(target) >= len("https://") && grammar.FoldIs(target[:len("https://")], "https://"):
			scheme = len("https://")
		default:
			return "", errTargetForm
		}
		target = target[scheme:]
		end := strings.IndexAny(target, "/?")
		if end < 0 {
			end = len(target)
		}
		authority, target = target[:end], target[end:]
		if authority == "" {
			return "", errHostInvalid
		}
	}
	r.Path, r.Query = grammar.SplitQuery(target)
	if r.Path == "" {
		r.Path = "/" // an absolute target without a path (RFC 9110 §4.2.3)
		if r.Method == "OPTIONS" && r.Query == "" {
			r.Path = "*" // RFC 9112 §3.2.4
		}
	}
	return authority, nil
}

// acceptableUpgrade returns the protocol a client may switch to, or nothing. Switching to HTTP/2 or TLS through us would hide all
// further requests from routing and policies.
func acceptableUpgrade(value string) string {
	first, _, _ := grammar.NextElement(value)
	name, version := first, "1"
	if slash := strings.IndexByte(name, '/'); slash >= 0 {
		name, version = name[:slash], name[slash+1:]
	}
	switch {
	case !grammar.IsToken(name), !grammar.IsToken(version), grammar.FoldIs(name, "h2c"), grammar.FoldIs(name, "h2"), grammar.FoldIs(name, "http"), grammar.FoldIs(name, "tls"):
		return ""
	}
	return first
}
