package object

import (
	"encoding/binary"
	"strings"
	"unsafe"

	"straum.dev/straum/internal/edge/exchange"
)

// A field is its code, the name with its length before it if the code is 0, and the value with its length before it. Lengths are varints.

// codes are the names with a code. The list lies on disks and in Redis, and outlives versions of the program, as the numbers of exchange.Known do
// not: names are added at its end and never moved.
var codes = [...]exchange.Known{
	1:  exchange.Date,
	2:  exchange.Server,
	3:  exchange.Via,
	4:  exchange.Allow,
	5:  exchange.Location,
	6:  exchange.RetryAfter,
	7:  exchange.ContentType,
	8:  exchange.ContentLength,
	9:  exchange.ContentEncoding,
	10: exchange.ContentRange,
	11: exchange.AcceptRanges,
	12: exchange.WWWAuthenticate,
	13: exchange.SetCookie,
	14: exchange.CacheControl,
	15: exchange.ETag,
	16: exchange.LastModified,
	17: exchange.Expires,
	18: exchange.Vary,
	19: exchange.Pragma,
	20: exchange.XRequestID,
	21: exchange.ServerTiming,
	22: exchange.AccessControlAllowOrigin,
	23: exchange.AccessControlAllowCredentials,
	24: exchange.AccessControlExposeHeaders,
}

// codeOf is codes the other way round; 0 for names without one.
var codeOf = func() (t [256]uint8) {
	for code, known := range codes {
		if known != exchange.Other {
			t[known] = uint8(code)
		}
	}
	return t
}()

func sizeFields(fields *exchange.Fields) int {
	n := 0
	for i := range fields.All() {
		f := &fields.All()[i]
		if f.Known.HopByHop() {
			continue
		}
		n += 1 + sizeText(f.Value)
		if codeOf[f.Known] == 0 {
			n += sizeText(f.Name)
		}
	}
	return n
}

func sizeText[T string | []byte](s T) int {
	n := 1 + len(s)
	for l := len(s) >> 7; l > 0; l >>= 7 {
		n++
	}
	return n
}

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendFields(b []byte, fields *exchange.Fields) []byte {
	for i := range fields.All() {
		f := &fields.All()[i]
		if f.Known.HopByHop() {
			continue
		}
		code := codeOf[f.Known]
		b = append(b, code)
		if code == 0 {
			b = appendText(b, f.Name)
		}
		b = appendText(b, f.Value)
	}
	return b
}

// AppendFields appends the fields, which are views of the object and live as long as it. Names with a code get their canonical case.
func (o *Object) AppendFields(to *exchange.Fields) {
	all := view(o.head)
	for at := 0; at < len(all); {
		code := all[at]
		at++
		known, name := exchange.Other, ""
		if code != 0 {
			known = codes[code]
			name = known.String()
		} else {
			from, end := span(all, at)
			name, at = all[from:end], end
			if o.named {
				known = exchange.Lookup(name)
			}
		}
		from, end := span(all, at)
		to.Append(known, name, all[from:end])
		at = end
	}
}

// span says where a text is in what appendFields made or Decode has checked.
func span(all string, at int) (from, end int) {
	if n := int(all[at]); n < 0x80 {
		return at + 1, at + 1 + n
	}
	return longSpan(all, at)
}

func longSpan(all string, at int) (from, end int) {
	n, w := binary.Uvarint(unsafe.Slice(unsafe.StringData(all), len(all))[at:]) // only read
	return at + w, at + w + int(n)
}

// facts finds in the fields what the object says of itself.
func (o *Object) facts() {
	languages := 0
	all := view(o.head)
	for at := 0; at < len(all); {
		code := all[at]
		at++
		name := ""
		if code == 0 {
			from, end := span(all, at)
			name, at = all[from:end], end
			o.named = o.named || exchange.Lookup(name) != exchange.Other
		}
		from, end := span(all, at)
		value := all[from:end]
		at = end
		switch {
		case codes[code] == exchange.ETag && o.ETag == "":
			o.ETag = value
		case len(name) == len("Content-Language") && strings.EqualFold(name, "Content-Language"):
			languages++
			o.Language = value
		}
	}
	if languages > 1 {
		o.Language = ""
	}
}
