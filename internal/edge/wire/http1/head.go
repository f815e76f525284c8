package http1

import (
	"bytes"
	"errors"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// errMore says that the head has not arrived completely.
var errMore = errors.New("the head is not complete yet")

// refusal is a reason for which a head or a body is not accepted. Refusals are made once, so that hostile input costs nothing.
type refusal struct {
	kind *fault.Kind // what a client that sent this is answered
	text string
	made *fault.Fault
}

func refuse(kind *fault.Kind, text string) *refusal {
	return &refusal{kind: kind, text: text, made: &fault.Fault{Kind: kind, Detail: text}}
}

func (r *refusal) Error() string { return r.text }

var (
	errBareLF        = refuse(fault.Malformed, "A line ends with LF alone; every line must end with CR LF.")
	errBareCR        = refuse(fault.Malformed, "A CR stands where no line ends.")
	errFieldName     = refuse(fault.Malformed, "A field name is empty or holds a byte that is not allowed in names; no space may stand before the colon.")
	errFieldValue    = refuse(fault.Malformed, "A field value holds a control character.")
	errFold          = refuse(fault.Malformed, "A field goes on in the next line; folded fields are obsolete and refused.")
	errNoColon       = refuse(fault.Malformed, "A field line has no colon.")
	errTooManyFields = refuse(fault.HeaderTooLarge, fault.HeaderTooLarge.Detail)
	errLength        = refuse(fault.Framing, "Content-Length is not a plain decimal number.")
	errLengthTwice   = refuse(fault.Framing, "Content-Length stands more than once.")
	errLengthCoding  = refuse(fault.Framing, "Both Content-Length and Transfer-Encoding are given.")
	errCodingFinal   = refuse(fault.Framing, "Transfer-Encoding must be chunked, once, and nothing after it.")
	errCodingUnknown = refuse(fault.UnknownCoding, fault.UnknownCoding.Detail)
	errCodingVersion = refuse(fault.Framing, "Transfer-Encoding is not defined for HTTP/1.0.")
	errHostTwice     = refuse(fault.BadHost, "Host stands more than once.")
	errListed        = refuse(fault.HeaderTooLarge, "Connection lists too many fields.")
)

// head collects, while the fields are read, what they say about the connection and the length of the message. Those fields are
// facts of one connection and do not travel on.
type head struct {
	length    int64 // of Content-Length, or -1
	coded     bool  // Transfer-Encoding stood there
	chunked   bool
	close     bool
	keepAlive bool
	upgrading bool // Connection lists upgrade
	trailers  bool // TE lists trailers
	upgrade   string
	expect    string
	host      string
	hosts     int
	listed    []string // the fields that Connection lists, to be removed
}

func (h *head) reset() { *h = head{length: -1, listed: h.listed[:0]} }

// fields reads field lines from b at position at up to and with the empty line that ends them, and returns the position behind it.
// It returns errMore when b ends before. count bounds the number of fields.
func (h *head) fields(b []byte, at, count int, into *exchange.Fields) (int, error) {
	h.reset()
	seen := 0
	for {
		line, next, err := nextLine(b, at)
		if err != nil {
			return at, err
		}
		if len(line) == 0 {
			break
		}
		if seen++; seen > count {
			return at, errTooManyFields
		}
		name, value, err := splitField(line)
		if err != nil {
			return at, err
		}
		at = next
		if err := h.take(name, value, into); err != nil {
			return at, err
		}
	}
	at += len("\r\n")
	if h.coded && h.length >= 0 {
		return at, errLengthCoding
	}
	if len(h.listed) > 0 {
		h.removeListed(into)
	}
	return at, nil
}

// nextLine returns the line at position at without its CR LF, and the position behind it.
func nextLine(b []byte, at int) (line []byte, next int, err error) {
	end := bytes.IndexByte(b[at:], '\n')
	if end < 0 {
		return nil, at, errMore
	}
	if end == 0 || b[at+end-1] != '\r' {
		return nil, at, errBareLF
	}
	return b[at : at+end-1], at + end + 1, nil
}

// splitField checks a field line and takes it apart.
func splitField(line []byte) (name, value []byte, err error) {
	colon := 0
	for colon < len(line) && class[line[colon]]&tchar != 0 {
		colon++
	}
	switch {
	case colon == len(line):
		return nil, nil, errNoColon
	case colon == 0 && (line[0] == ' ' || line[0] == '\t'):
		return nil, nil, errFold
	case colon == 0 || line[colon] != ':':
		return nil, nil, errFieldName
	}
	value = trimSpace(line[colon+1:])
	if !cleanValue(value) {
		if bytes.IndexByte(value, '\r') >= 0 {
			return nil, nil, errBareCR
		}
		return nil, nil, errFieldValue
	}
	return line[:colon], value, nil
}

// take files one field: into the list, or into the facts when it is about this connection or the framing.
func (h *head) take(name, value []byte, into *exchange.Fields) error {
	n, v := view(name), view(value)
	known := exchange.Lookup(n)
	switch known {
	case exchange.Other:
		if shadowsKnown(n) {
			return nil
		}
	case exchange.Host:
		if h.hosts++; h.hosts > 1 {
			return errHostTwice
		}
		h.host = v
	case exchange.ContentLength:
		if h.length >= 0 {
			return errLengthTwice
		}
		length, ok := decimal(v)
		if !ok {
			return errLength
		}
		h.length = length
	case exchange.TransferEncoding:
		return h.coding(v)
	case exchange.Connection:
		return h.connection(v)
	case exchange.KeepAlive, exchange.ProxyConnection, exchange.ProxyAuthorization, exchange.ProxyAuthenticate:
		return nil
	case exchange.TE:
		for element, rest, ok := nextElement(v); ok; element, rest, ok = nextElement(rest) {
			h.trailers = h.trailers || foldIs(element, "trailers")
		}
		return nil
	case exchange.Upgrade:
		h.upgrade = v
		return nil
	case exchange.Expect:
		if h.expect == "" || foldIs(h.expect, "100-continue") { // of several, one that is not accepted stays
			h.expect = v
		}
		return nil
	}
	into.Append(known, n, v)
	return nil
}

// shadowsKnown says whether a name becomes one that the gateway relies on once underscores are taken for hyphens, as CGI-like
// endpoints take them. Such a field is dropped: it could pass for one that we set ourselves.
func shadowsKnown(name string) bool {
	if strings.IndexByte(name, '_') < 0 || len(name) > 32 {
		return false
	}
	var plain [32]byte
	for i := range len(name) {
		plain[i] = name[i]
		if name[i] == '_' {
			plain[i] = '-'
		}
	}
	return exchange.Lookup(view(plain[:len(name)])) != exchange.Other
}

// coding accepts exactly one chunked (RFC 9112 §6.1).
func (h *head) coding(value string) error {
	if h.coded {
		return errCodingFinal
	}
	h.coded = true
	if foldIs(value, "chunked") {
		h.chunked = true
		return nil
	}
	last, chunked := "", 0
	for element, rest, ok := nextElement(value); ok; element, rest, ok = nextElement(rest) {
		last = element
		if foldIs(element, "chunked") {
			chunked++
		}
	}
	if chunked == 1 && foldIs(last, "chunked") && !strings.HasPrefix(value, ",") && !strings.HasSuffix(value, ",") {
		return errCodingUnknown // another coding below a final chunked
	}
	return errCodingFinal
}

// maxListed bounds how many fields Connection may list: each costs a walk through all fields.
const maxListed = 32

func (h *head) connection(value string) error {
	for element, rest, ok := nextElement(value); ok; element, rest, ok = nextElement(rest) {
		switch {
		case foldIs(element, "close"):
			h.close = true
		case foldIs(element, "keep-alive"):
			h.keepAlive = true
		case foldIs(element, "upgrade"):
			h.upgrading = true
		case foldIs(element, "te"):
		case len(h.listed) == maxListed:
			return errListed
		default:
			h.listed = append(h.listed, element)
		}
	}
	return nil
}

// removeListed removes the fields that Connection named (RFC 9110 §7.6.1), except those that a message cannot do without or that
// only a hostile sender would list: without what a trusted proxy before us wrote about it, its client would pass for the proxy.
func (h *head) removeListed(from *exchange.Fields) {
	for _, name := range h.listed {
		switch exchange.Lookup(name) {
		case exchange.Host, exchange.ContentLength, exchange.Date, exchange.CacheControl, exchange.Authorization, exchange.Cookie,
			exchange.Forwarded, exchange.XForwardedFor, exchange.XForwardedProto, exchange.XForwardedHost, exchange.XForwardedPort,
			exchange.XRealIP, exchange.ContentType, exchange.ContentEncoding, exchange.SetCookie:
		default:
			from.DelHeader(name)
		}
	}
}
