package http1

import (
	"bytes"
	"errors"
	"strings"
	"unsafe"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
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

// nextLine returns the line at position at without its CR LF, as a view of b, and the position behind it.
func nextLine(b []byte, at int) (line string, next int, err error) {
	end := bytes.IndexByte(b[at:], '\n')
	if end < 0 {
		return "", at, errMore
	}
	if end == 0 || b[at+end-1] != '\r' {
		return "", at, errBareLF
	}
	return view(b[at : at+end-1]), at + end + 1, nil
}

// view makes a string of b without copying. It lives as long as the buffer of b is left alone.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// splitField checks a field line and takes it apart.
func splitField(line string) (name, value string, err error) {
	colon := 0
	for colon < len(line) && grammar.IsTokenByte(line[colon]) {
		colon++
	}
	switch {
	case colon == len(line):
		return "", "", errNoColon
	case colon == 0 && (line[0] == ' ' || line[0] == '\t'):
		return "", "", errFold
	case colon == 0 || line[colon] != ':':
		return "", "", errFieldName
	}
	value = grammar.TrimSpace(line[colon+1:])
	if !grammar.IsValue(value) {
		if strings.IndexByte(value, '\r') >= 0 {
			return "", "", errBareCR
		}
		return "", "", errFieldValue
	}
	return line[:colon], value, nil
}

// take files one field: into the list, or into the facts when it is about this connection or the framing.
func (h *head) take(name, value string, into *exchange.Fields) error {
	known := exchange.Lookup(name)
	switch known {
	case exchange.Other:
		if exchange.Shadows(name) {
			return nil
		}
	case exchange.Host:
		if h.hosts++; h.hosts > 1 {
			return errHostTwice
		}
		h.host = value
	case exchange.ContentLength:
		if h.length >= 0 {
			return errLengthTwice
		}
		length, ok := grammar.Decimal(value)
		if !ok {
			return errLength
		}
		h.length = length
	case exchange.TransferEncoding:
		return h.coding(value)
	case exchange.Connection:
		return h.connection(value)
	case exchange.KeepAlive, exchange.ProxyConnection, exchange.ProxyAuthorization, exchange.ProxyAuthenticate:
		return nil
	case exchange.TE:
		for element, rest, ok := grammar.NextElement(value); ok; element, rest, ok = grammar.NextElement(rest) {
			h.trailers = h.trailers || grammar.FoldIs(element, "trailers")
		}
		return nil
	case exchange.Upgrade:
		h.upgrade = value
		return nil
	case exchange.Expect:
		if h.expect == "" || grammar.FoldIs(h.expect, "100-continue") { // of several, one that is not accepted stays
			h.expect = value
		}
		return nil
	}
	into.Append(known, name, value)
	return nil
}

// coding accepts exactly one chunked (RFC 9112 §6.1).
func (h *head) coding(value string) error {
	if h.coded {
		return errCodingFinal
	}
	h.coded = true
	if grammar.FoldIs(value, "chunked") {
		h.chunked = true
		return nil
	}
	last, chunked := "", 0
	for element, rest, ok := grammar.NextElement(value); ok; element, rest, ok = grammar.NextElement(rest) {
		last = element
		if grammar.FoldIs(element, "chunked") {
			chunked++
		}
	}
	if chunked == 1 && grammar.FoldIs(last, "chunked") && !strings.HasPrefix(value, ",") && !strings.HasSuffix(value, ",") {
		return errCodingUnknown // another coding below a final chunked
	}
	return errCodingFinal
}

// maxListed bounds how many fields Connection may list: each costs a walk through all fields.
const maxListed = 32

func (h *head) connection(value string) error {
	for element, rest, ok := grammar.NextElement(value); ok; element, rest, ok = grammar.NextElement(rest) {
		switch {
		case grammar.FoldIs(element, "close"):
			h.close = true
		case grammar.FoldIs(element, "keep-alive"):
			h.keepAlive = true
		case grammar.FoldIs(element, "upgrade"):
			h.upgrading = true
		case grammar.FoldIs(element, "te"):
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
