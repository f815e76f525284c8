package http2

import (
	"golang.org/x/net/http2/hpack"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

const (
	tableSize   = 4096    // of the decoder: the standard's first value (RFC 7541 §4.2)
	maxPieces   = 64      // CONTINUATION frames of a block
	minBlock    = 2 << 14 // what a block may have at least, in bytes as they are sent
	maxTrailer  = 8 << 10 // bytes of a trailer section
	maxTrailers = 64      // trailer fields
	fieldRoom   = 4       // bytes that ": " and CR LF would take in HTTP/1.1
	maxCookies  = 256     // pieces a cookie may come in
)

// What is malformed about a block, in words.
const (
	whyTwice     = "a pseudo field stands twice"
	whyOrder     = "a pseudo field stands behind a field"
	whyPseudo    = "a pseudo field is unknown, or not one of a request"
	whyName      = "a field name is empty, or not in lower case, or holds a byte that is not allowed in names"
	whyValue     = "a field value holds a control character, or white space at an end"
	whyHop       = "a field is about one connection of HTTP/1.1"
	whyTE        = "te says more than trailers"
	whyLength    = "content-length is malformed or stands twice"
	whyContent   = "content-length and the content differ"
	whyTrailer   = "a trailer section does not end the stream, or holds a field that may only stand in the header"
	whyMissing   = "a pseudo field is missing, or one too many"
	whyMethod    = "the method is not a token"
	whyPathEmpty = "the path is empty"
	whySelf      = "a stream depends on itself"
)

// block is a header block on its way in (RFC 9113 §4.3), and what its fields say about the message. There is one at a time.
type block struct {
	open   bool // more of it is to come
	stream uint32
	last   bool    // END_STREAM
	st     *stream // whose it is; nil when it is only decoded, to keep the table in step
	trail  bool    // it is a trailer section
	since  int64   // when it began
	pieces int     // CONTINUATION frames so far
	held   []byte  // what came in pieces; borrowed

	into      *exchange.Fields
	malformed string // why the stream is to be reset, empty when sound
	large     bool
	bytes     int
	count     int

	regular                                   bool // a field that is no pseudo field was seen
	seen                                      pseudo
	method, scheme, authority, path, protocol string
	length                                    int64 // of content-length, -1 without
	host                                      string
	hosts                                     int
	expect                                    string
	trailers                                  bool // te: trailers
	cookies                                   []string
}

// pseudo is a set of pseudo fields.
type pseudo uint8

const (
	pseudoMethod pseudo = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
)

// start makes the block ready for the one that begins on a stream.
func (b *block) start(id uint32, last bool, now int64) {
	cookies := b.cookies[:0]
	*b = block{stream: id, last: last, since: now, length: -1, cookies: cookies}
}

// blockLimit is how many bytes of a header block are taken at most. A client that sends a larger header than is allowed gets its
// answer as long as it stays within this.
func (s *Session) blockLimit() int { return max(2*s.set.Limits.HeaderBytes, minBlock) }

// fragment takes a piece of the block. whole says it is the last.
func (s *Session) fragment(p []byte, whole bool) *breach {
	b := &s.block
	if whole && len(b.held) == 0 {
		b.open = false
		return s.decode(p)
	}
	b.open = true
	if len(b.held)+len(p) > s.blockLimit() {
		return breachContinuation
	}
	if need := len(b.held) + len(p); need > cap(b.held) {
		bigger := bufpool.Get(need)[:len(b.held)]
		copy(bigger, b.held)
		b.release()
		b.held = bigger
	}
	b.held = append(b.held, p...)
	if !whole {
		return nil
	}
	b.open = false
	broken := s.decode(b.held)
	b.release()
	return broken
}

func (b *block) release() {
	if b.held != nil {
		bufpool.Put(b.held[:cap(b.held)])
	}
	b.held = nil
}

// decode decompresses a whole block into the facts and fields of s.block.
func (s *Session) decode(p []byte) *breach {
	if s.decoder == nil {
		s.decoder = hpack.NewDecoder(tableSize, s.field)
		s.decoder.SetMaxStringLength(s.blockLimit())
	}
	s.decoder.SetEmitEnabled(s.block.st != nil)
	_, err := s.decoder.Write(p)
	if end := s.decoder.Close(); err == nil {
		err = end
	}
	switch err {
	case nil:
		return nil
	case hpack.ErrStringLength:
		return breachContinuation
	}
	return breachCompression
}

// field files one field: into the list, or into the facts when it is about the message itself.
func (s *Session) field(f hpack.HeaderField) {
	b := &s.block
	if b.malformed != "" || b.large {
		return
	}
	if !grammar.IsTrimmedValue(f.Value) {
		b.malformed = whyValue
		return
	}
	if f.IsPseudo() {
		b.malformed = b.pseudo(f.Name, f.Value)
		return
	}
	b.regular = true
	bytes, count := s.set.Limits.HeaderBytes, s.set.Limits.HeaderCount
	if b.trail {
		bytes, count = maxTrailer, maxTrailers
	}
	b.count++
	b.bytes += len(f.Name) + len(f.Value) + fieldRoom
	if b.bytes > bytes || b.count > count {
		b.large = true
		s.decoder.SetEmitEnabled(false) // the rest only keeps the table in step
		return
	}
	if !grammar.IsLowerToken(f.Name) {
		b.malformed = whyName
		return
	}
	if b.trail {
		b.malformed = b.trailing(f.Name, f.Value)
		return
	}
	b.malformed = b.take(f.Name, f.Value)
}

// pseudo files a pseudo field (RFC 9113 §8.3). It returns why the request is malformed, if it is.
func (b *block) pseudo(name, value string) string {
	if b.regular || b.trail {
		return whyOrder
	}
	var which pseudo
	switch name {
	case ":method":
		which, b.method = pseudoMethod, value
	case ":scheme":
		which, b.scheme = pseudoScheme, value
	case ":authority":
		which, b.authority = pseudoAuthority, value
	case ":path":
		which, b.path = pseudoPath, value
	case ":protocol":
		which, b.protocol = pseudoProtocol, value
	default:
		return whyPseudo
	}
	if b.seen&which != 0 {
		return whyTwice
	}
	b.seen |= which
	return ""
}

// take files a field of a header section. It returns why the request is malformed, if it is.
func (b *block) take(name, value string) string {
	known := exchange.Lookup(name)
	switch known {
	case exchange.Other:
		if exchange.Shadows(name) {
			return ""
		}
	case exchange.TE:
		if !grammar.FoldIs(value, "trailers") {
			return whyTE
		}
		b.trailers = true
		return ""
	case exchange.ProxyAuthorization, exchange.ProxyAuthenticate:
		return ""
	case exchange.Host:
		b.hosts++
		b.host = value
	case exchange.ContentLength:
		length, ok := grammar.Decimal(value)
		if !ok || b.length >= 0 {
			return whyLength
		}
		b.length = length
	case exchange.Expect:
		if b.expect == "" || grammar.FoldIs(b.expect, "100-continue") { // of several, one that is not accepted stays
			b.expect = value
		}
		return ""
	case exchange.Cookie:
		if len(b.cookies) == maxCookies {
			b.large = true
		}
		if b.cookies = append(b.cookies, value); len(b.cookies) > 1 {
			return "" // joined with the first at the end
		}
	default:
		if known.HopByHop() {
			return whyHop // RFC 9113 §8.2.2
		}
	}
	b.into.Append(known, name, value)
	return ""
}

// trailing files a field of a trailer section. Fields that say how a message is framed, routed or authorised are refused, as in
// HTTP/1.1.
func (b *block) trailing(name, value string) string {
	known := exchange.Lookup(name)
	switch known {
	case exchange.Other:
		if exchange.Shadows(name) {
			return ""
		}
	case exchange.ProxyAuthorization, exchange.ProxyAuthenticate:
		return ""
	default:
		if !known.MayTrail() {
			return whyTrailer
		}
	}
	b.into.Append(known, name, value)
	return ""
}
