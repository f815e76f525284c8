package http1

import (
	"bytes"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/grammar"
)

// Bounds of the chunked coding. A chunk's size line carries little, so that many tiny chunks cannot make us read much more than
// they deliver.
const (
	maxSizeDigits = 15       // 60 bits
	maxExtension  = 256      // bytes of extensions in one size line
	maxExtensions = 16 << 10 // bytes of extensions in one body
	maxTrailer    = 8 << 10  // bytes of the trailer section
	maxTrailers   = 64       // trailer fields
)

var (
	errChunkSize      = refuse(fault.Framing, "A chunk's size is not a plain hexadecimal number.")
	errChunkExtension = refuse(fault.Framing, "A chunk's extensions are too long or malformed.")
	errChunkEnd       = refuse(fault.Framing, "A chunk is longer or shorter than its size.")
	errTrailerName    = refuse(fault.Framing, "A trailer holds a field that may only stand in the header.")
	errTrailerSize    = refuse(fault.HeaderTooLarge, "The trailer section is too large.")
)

// chunkState is what comes next in a chunked body (RFC 9112 §7.1).
type chunkState uint8

const (
	sizeLine  chunkState = iota
	inChunk              // left bytes of data
	afterData            // the CR LF behind the data
	trailers
)

func (s chunkState) inData() bool { return s == inChunk }

// complete says whether b, which begins at what comes next, holds enough to go on without waiting: up to data, or to the end of the
// body.
func (s chunkState) complete(b []byte) bool {
	if s == afterData {
		if len(b) < 2 {
			return false
		}
		b = b[2:]
	}
	if s == trailers {
		return bytes.HasPrefix(b, []byte("\r\n"))
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return false
	}
	if !grammar.IsHexDigit(b[0]) {
		return true // it will be refused, for which nothing is waited for
	}
	rest := b[end+1:]
	if b[0] == '0' {
		return bytes.HasPrefix(rest, []byte("\r\n"))
	}
	return len(rest) > 0
}

// frame works through framing until data comes next or the body is over.
func (b *body) frame() error {
	for {
		var n int
		var err error
		unread := b.buf[b.r:b.w]
		switch b.chunk {
		case inChunk:
			return nil
		case afterData:
			n, err = 2, nil
			if len(unread) < 2 {
				err = errMore
			} else if unread[0] != '\r' || unread[1] != '\n' {
				err = errChunkEnd
			}
			if err == nil {
				b.chunk = sizeLine
			}
		case sizeLine:
			var size int64
			size, n, err = b.sizeLine(unread)
			if err == nil && b.limit > 0 && size > b.limit-b.seen {
				err = errBodyLimit // before any of it is handed on
			}
			if err == nil {
				b.left, b.chunk = size, inChunk
				if size == 0 {
					b.chunk = trailers
				}
			}
		case trailers:
			n, err = b.trailers(unread)
			if err == nil {
				b.end = endsNow
				b.r += n
				return nil
			}
		}
		switch {
		case err == nil:
			b.r += n
		case err == errMore:
			if err := b.more(); err != nil {
				return err
			}
		default:
			return b.invalid(err)
		}
	}
}

// sizeLine reads a chunk's size line and returns the size and the length of the line.
func (b *body) sizeLine(unread []byte) (size int64, n int, err error) {
	end := bytes.IndexByte(unread, '\n')
	line := unread
	if end >= 0 {
		if end == 0 || unread[end-1] != '\r' {
			return 0, 0, errBareLF
		}
		line = unread[:end-1]
	}
	digits := 0
	for digits < len(line) && grammar.IsHexDigit(line[digits]) {
		size = size<<4 | int64(hexValue(line[digits]))
		if digits++; digits > maxSizeDigits {
			return 0, 0, errChunkSize
		}
	}
	if end < 0 && digits > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1] // most likely the line's end, of which the LF is still to come
	}
	extension := line[digits:]
	switch {
	case digits == 0 && len(line) > 0, end >= 0 && digits == 0:
		return 0, 0, errChunkSize
	case len(extension) > 0 && extension[0] != ';':
		return 0, 0, errChunkSize
	case len(extension) > maxExtension:
		return 0, 0, errChunkExtension
	case end < 0:
		return 0, 0, errMore
	case !grammar.IsValue(view(extension)):
		return 0, 0, errChunkExtension
	}
	if b.extensions += len(extension); b.extensions > maxExtensions {
		return 0, 0, errChunkExtension
	}
	return size, end + 1, nil
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// trailers reads the trailer section and returns its length. Fields that say how a message is framed, routed or authorised are
// refused: one that merges trailers into the header would be led astray (RFC 9110 §6.5.1).
func (b *body) trailers(unread []byte) (int, error) {
	if len(unread) >= 2 && unread[0] == '\r' && unread[1] == '\n' {
		return 2, nil
	}
	var h head
	b.trailer.Reset()
	n, err := h.fields(unread, 0, maxTrailers, b.trailer)
	if err == errMore && len(unread) > maxTrailer || n > maxTrailer {
		err = errTrailerSize // what lies behind a complete section is the next message and does not count
	}
	if err != nil {
		b.trailer.Reset()
		return 0, err
	}
	if h.coded || h.length >= 0 || h.hosts > 0 || h.close || h.keepAlive || h.upgrading || len(h.listed) > 0 || h.expect != "" || h.upgrade != "" {
		return 0, errTrailerName
	}
	for _, f := range b.trailer.All() {
		if !f.Known.MayTrail() {
			return 0, errTrailerName
		}
	}
	// The views in the trailer must outlive this buffer, which the next read may reuse. Trailers are rare; they are copied.
	keep := bytes.Clone(unread[:n])
	b.trailer.Reset()
	_, err = h.fields(keep, 0, maxTrailers, b.trailer)
	return n, err
}

// more gets more bytes behind those that are there, which stay in one piece.
func (b *body) more() error {
	if b.buf == nil || b.w == len(b.buf) {
		if b.first && b.rewindable() && b.w-b.base < bufpool.Large {
			b.moveTo(bufpool.Large)
			return b.read(b.buf[b.w:])
		}
		b.first = false
		bigger := bufpool.Get(bufpool.Medium)
		kept := copy(bigger, b.buf[b.r:b.w])
		if b.lent {
			bufpool.Put(b.buf)
		}
		b.buf, b.r, b.w, b.base, b.lent = bigger, 0, kept, 0, true
	}
	return b.read(b.buf[b.w:])
}

// invalid makes the fault of a body that is not well-formed, by the role.
func (b *body) invalid(err error) error {
	r, ok := err.(*refusal)
	if !ok {
		return err
	}
	if b.role == client {
		return fault.At(fault.UpstreamInvalid, fault.ResponseBegun, r)
	}
	return r.made
}
