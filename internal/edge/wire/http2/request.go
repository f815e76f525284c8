package http2

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"strings"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
)

// Refusals are made once, so that hostile input costs nothing.
func refuse(kind *fault.Kind, text string) *fault.Fault {
	return &fault.Fault{Kind: kind, Detail: text}
}

var (
	errTarget      = refuse(fault.Malformed, "The path holds a byte that is not allowed there.")
	errTargetForm  = refuse(fault.Malformed, "The path does not begin with a slash.")
	errFragment    = refuse(fault.Malformed, "The path holds a fragment.")
	errScheme      = refuse(fault.Malformed, "The scheme is neither http nor https.")
	errTargetLong  = refuse(fault.LineTooLong, "The path is longer than this listener allows.")
	errHostMissing = refuse(fault.BadHost, "Neither :authority nor Host is given.")
	errHostTwice   = refuse(fault.BadHost, "Host stands more than once.")
	errHostInvalid = refuse(fault.BadHost, "The authority is not a valid host with an optional port.")
	errHostDiffers = refuse(fault.BadHost, ":authority names another host than Host.")
	errConnect     = refuse(fault.NoTunnel, fault.NoTunnel.Detail)
	errProtocol    = refuse(fault.NoTunnel, "The only protocol accepted by extended CONNECT is websocket.")
	errExpectation = refuse(fault.BadExpectation, fault.BadExpectation.Detail)
	errBodyLimit   = refuse(fault.BodyTooLarge, fault.BodyTooLarge.Detail)
	errHeaderLarge = refuse(fault.HeaderTooLarge, fault.HeaderTooLarge.Detail)
)

// request draws the conclusions of a sound header section. It returns why the request is malformed, if it is (RFC 9113 §8.1.1); what
// HTTP/1.1 would answer with a status becomes the stream's refusal.
func (s *Session) request(b *block, st *stream) (malformed string) {
	r := &st.x.Request
	r.Major, r.Minor = 2, 1
	r.Method = b.method
	if b.large {
		r.Target, r.Length = b.path, exchange.Unknown
		if b.last {
			r.Length = 0
		}
		st.refusal = errHeaderLarge
		return ""
	}
	const plain = pseudoMethod | pseudoScheme | pseudoPath
	extended := b.seen&pseudoProtocol != 0
	switch {
	case b.method == "CONNECT" && !extended:
		if b.seen&(pseudoScheme|pseudoPath) != 0 || b.seen&pseudoAuthority == 0 {
			return whyMissing
		}
		st.refusal = errConnect
		return ""
	case b.seen&plain != plain, extended && b.method != "CONNECT", extended && b.seen&pseudoAuthority == 0:
		return whyMissing
	case !grammar.IsToken(b.method):
		return whyMethod
	case b.path == "":
		return whyPathEmpty
	case b.last && b.length > 0:
		return whyContent
	}
	r.Target = b.path
	r.TakesTrailers = b.trailers
	r.Length = max(b.length, exchange.Unknown)
	if b.last {
		r.Length = 0
	}
	joinCookies(b, &r.Header)
	st.refusal = s.judge(b, r)
	if st.refusal == nil && extended {
		st.extend(b)
	}
	return ""
}

// judge finds what a sound request asks for, or why that is refused.
func (s *Session) judge(b *block, r *exchange.Request) *fault.Fault {
	if !grammar.FoldIs(b.scheme, "https") && !grammar.FoldIs(b.scheme, "http") {
		return errScheme
	}
	r.Scheme = "http" // how the client reached us is what we know, whatever it says
	if s.info.Secure {
		r.Scheme = "https"
	}
	if f := splitPath(b.path, s.set.Limits.Target, r); f != nil {
		return f
	}
	if f := b.hostOf(r); f != nil {
		return f
	}
	if limit := s.set.Limits.Body; limit > 0 && r.Length > limit {
		return errBodyLimit
	}
	if b.expect != "" {
		if !grammar.FoldIs(b.expect, "100-continue") {
			return errExpectation
		}
		r.Continue = r.Length != 0
	}
	return nil
}

// splitPath finds path and query in :path (RFC 9113 §8.3.1).
func splitPath(path string, limit int, r *exchange.Request) *fault.Fault {
	switch {
	case len(path) > limit:
		return errTargetLong
	case !grammar.IsVisible(path):
		return errTarget
	case strings.IndexByte(path, '#') >= 0:
		return errFragment
	case path == "*" && r.Method == "OPTIONS":
		r.Path = "*"
		return nil
	case path[0] != '/':
		return errTargetForm
	}
	r.Path, r.Query = grammar.SplitQuery(path)
	return nil
}

// hostOf finds the host that is asked for. :authority and Host must agree; either will do alone. The list of fields has Host in the
// end, because that is where the steps look.
func (b *block) hostOf(r *exchange.Request) *fault.Fault {
	if b.hosts > 1 {
		return errHostTwice
	}
	authority := b.authority
	if b.seen&pseudoAuthority == 0 {
		if b.hosts == 0 {
			return errHostMissing
		}
		authority = b.host
	}
	var ok bool
	if r.Host, r.Port, ok = grammar.SplitHost(authority); !ok {
		return errHostInvalid
	}
	if b.hosts == 0 {
		r.Header.Append(exchange.Host, "host", authority)
		return nil
	}
	if host, port, ok := grammar.SplitHost(b.host); !ok {
		return errHostInvalid
	} else if host != r.Host || port != r.Port {
		return errHostDiffers
	}
	return nil
}

// joinCookies puts the pieces that a cookie came in together again (RFC 9113 §8.2.3).
func joinCookies(b *block, h *exchange.Fields) {
	if len(b.cookies) < 2 {
		return
	}
	h.Set(exchange.Cookie, strings.Join(b.cookies, "; "))
	clear(b.cookies)
}

// extend makes of an extended CONNECT (RFC 8441) what HTTP/1.1 makes of an upgrade: the flow and the endpoint know no other.
func (st *stream) extend(b *block) {
	if !grammar.FoldIs(b.protocol, "websocket") {
		st.refusal = errProtocol
		return
	}
	r := &st.x.Request
	r.Method, r.Upgrade, r.Length, r.Continue = "GET", "websocket", 0, false
	st.extended = true
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	st.key = base64.StdEncoding.EncodeToString(raw[:])
	r.Header.SetHeader("Sec-WebSocket-Key", st.key)
}

// accepts is the value that proves an endpoint to have read key (RFC 6455 §4.2.2).
func accepts(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
