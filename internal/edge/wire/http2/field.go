package http2

import (
	"strconv"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// Header blocks are encoded without a dynamic table (RFC 7541 §6): indexes of the static table where the whole field stands there,
// literals without indexing otherwise, and no Huffman coding, which costs more than the bytes it saves. So a block depends on nothing
// but its fields and can be made outside the lock.

// noTable says that our encoder uses no dynamic table. It stands before the first block, so that whatever size the client sets later
// is no reduction.
const noTable = 0x20

// Indexes of the static table (RFC 7541 appendix A).
const (
	indexStatus        = 8
	indexContentLength = 28
	indexDate          = 33
)

// staticNames are the indexes of names in the static table, 0 for those that are not there.
var staticNames = func() (t [256]uint8) {
	for known, index := range map[exchange.Known]uint8{
		exchange.AcceptEncoding: 16, exchange.AcceptLanguage: 17, exchange.AcceptRanges: 18, exchange.Accept: 19, exchange.Age: 21,
		exchange.Allow: 22, exchange.Authorization: 23, exchange.CacheControl: 24, exchange.ContentEncoding: 26,
		exchange.ContentLength: indexContentLength, exchange.ContentRange: 30, exchange.ContentType: 31, exchange.Cookie: 32,
		exchange.Date: indexDate, exchange.ETag: 34, exchange.Expect: 35, exchange.Expires: 36, exchange.Host: 38,
		exchange.IfMatch: 39, exchange.IfModifiedSince: 40, exchange.IfNoneMatch: 41, exchange.IfRange: 42,
		exchange.IfUnmodifiedSince: 43, exchange.LastModified: 44, exchange.Location: 46, exchange.ProxyAuthenticate: 48,
		exchange.ProxyAuthorization: 49, exchange.Range: 50, exchange.Referer: 51, exchange.RetryAfter: 53, exchange.Server: 54,
		exchange.SetCookie: 55, exchange.UserAgent: 58, exchange.Vary: 59, exchange.Via: 60, exchange.WWWAuthenticate: 61,
	} {
		t[known] = index
	}
	return t
}()

// appendStatus appends the :status field.
func appendStatus(out []byte, status int) []byte {
	switch status {
	case 200:
		return append(out, 0x80|8)
	case 204:
		return append(out, 0x80|9)
	case 206:
		return append(out, 0x80|10)
	case 304:
		return append(out, 0x80|11)
	case 400:
		return append(out, 0x80|12)
	case 404:
		return append(out, 0x80|13)
	case 500:
		return append(out, 0x80|14)
	}
	return append(out, indexStatus, 3, byte('0'+status/100), byte('0'+status/10%10), byte('0'+status%10))
}

// appendField appends a field with its name in lower case (RFC 9113 §8.2.1).
func appendField(out []byte, known exchange.Known, name, value string) []byte {
	form := byte(0)
	if known == exchange.SetCookie {
		form = 0x10 // never to be indexed, by nobody behind us either (RFC 7541 §7.1.3)
	}
	if index := staticNames[known]; index > 0 {
		out = appendInt(out, form, 4, int(index))
	} else {
		out = appendInt(append(out, form), 0, 7, len(name))
		for i := range len(name) {
			c := name[i]
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			out = append(out, c)
		}
	}
	return appendText(out, value)
}

func appendText(out []byte, s string) []byte { return append(appendInt(out, 0, 7, len(s)), s...) }

// appendInt appends an integer with a prefix of so many bits, below those of form (RFC 7541 §5.1).
func appendInt(out []byte, form byte, bits uint, n int) []byte {
	limit := 1<<bits - 1
	if n < limit {
		return append(out, form|byte(n))
	}
	out = append(out, form|byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

func appendNumber(out []byte, index int, n int64) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	out = appendInt(out, 0, 4, index)
	return append(appendInt(out, 0, 7, len(text)), text...)
}

// hasContent says whether a response has content (RFC 9110 §6.4.1).
func hasContent(method string, status int) bool {
	return method != "HEAD" && status >= 200 && status != 204 && status != 304
}

// appendResponse appends the header block of a response. now is a reading of clock.Now.
func appendResponse(out []byte, x *exchange.Exchange, status int, now int64) []byte {
	r := &x.Response
	out = appendStatus(out, status)
	stated, dated := false, false
	for _, f := range r.Header.All() {
		switch f.Known {
		case exchange.ContentLength:
			if !stated && r.Length >= 0 && status != 204 && status >= 200 && !tunnels(r, status) {
				stated = true
				out = appendNumber(out, indexContentLength, r.Length)
			}
			continue
		case exchange.Date:
			dated = true
		case exchange.Other:
			if tunnels(r, status) && grammar.FoldIs(f.Name, "sec-websocket-accept") {
				continue // RFC 8441 §5
			}
		default:
			if f.Known.HopByHop() {
				continue // RFC 9113 §8.2.2
			}
		}
		out = appendField(out, f.Known, f.Name, f.Value)
	}
	if !dated {
		out = appendText(appendInt(out, 0, 4, indexDate), clock.Date(now)) // RFC 9110 §6.6.1
	}
	if !stated && r.Length >= 0 && hasContent(x.Request.Method, status) && !tunnels(r, status) {
		out = appendNumber(out, indexContentLength, r.Length)
	}
	return out
}

// tunnels says whether a response that goes out as status opens a tunnel.
func tunnels(r *exchange.Response, status int) bool { return r.Status == 101 && status == 200 }

// appendFields appends the block of a trailer section or of an interim response without its status.
func appendFields(out []byte, fields *exchange.Fields) []byte {
	for _, f := range fields.All() {
		if f.Known.HopByHop() || f.Known == exchange.ContentLength {
			continue
		}
		out = appendField(out, f.Known, f.Name, f.Value)
	}
	return out
}
