package remote

import (
	"encoding/binary"
	"errors"
	"strconv"
	"sync"

	"github.com/klauspost/compress/zstd"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
)

// A value begins with a heading that scripts in Redis read: the version, what it is, and when that was asked for or deleted. Numbers are decimal and
// of one length, so that texts compare as they do. Behind it lies what is sealed, with the heading and the key's name as the place it is good for:
// how it is packed, its length, and the object with its body. The seal is the checksum too.
const (
	version    = '1'
	isObject   = 'o'
	isDeletion = 'd'

	digits        = 20
	headingLength = 2 + digits
)

// heading is that of a value.
func heading(what byte, at int64) string {
	b := make([]byte, headingLength)
	b[0], b[1] = version, what
	text := strconv.FormatInt(max(at, 0), 10)
	for i := 2; i < headingLength-len(text); i++ {
		b[i] = '0'
	}
	copy(b[headingLength-len(text):], text)
	return string(b)
}

// The ways to pack.
const (
	plain  = 0
	zipped = 1
)

// overhead is what a value has besides the packed object: heading, nonce, seal, way and length.
const overhead = headingLength + 12 + 16 + packHeading

const packHeading = 1 + 4

// maxHead is how long an encoded object without its body may be.
const maxHead = 256 << 10

// worth is from how many bytes on packing is tried.
const worth = 512

// window is how far back the encoder looks. It is most of what an encoder takes: about 1 MB each, of which there is one a writer.
const window = 128 << 10

// coder packs and unpacks.
type coder struct {
	encoders sync.Pool // of *zstd.Encoder
	decoder  *zstd.Decoder
}

func newCoder() *coder {
	// What comes out has room for as many bytes as the heading says, and the decoder writes no more.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(8<<20),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return &coder{decoder: d, encoders: sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1),
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("BUG: " + err.Error())
		}
		return e
	}}}
}

// pack gives how it is packed, the length, and the object with its body; compressed unless it is so already, or does not get shorter.
func (c *coder) pack(o *object.Object) []byte {
	raw := make([]byte, packHeading, packHeading+1024+len(o.Body))
	raw = append(o.Encode(raw), o.Body...)
	length := len(raw) - packHeading
	binary.BigEndian.PutUint32(raw[1:], uint32(length))
	if length < worth || encoded(o) {
		return raw
	}
	e := c.encoders.Get().(*zstd.Encoder)
	defer c.encoders.Put(e)
	small := make([]byte, packHeading, packHeading+length)
	copy(small, raw[:packHeading])
	small[0] = zipped
	if small = e.EncodeAll(raw[packHeading:], small); len(small) >= len(raw) {
		return raw
	}
	return small
}

// encoded says whether a response has a content coding already.
func encoded(o *object.Object) bool {
	if o.Variants != nil {
		return false
	}
	var fields exchange.Fields
	o.AppendFields(&fields)
	for _, f := range fields.All() {
		if f.Known == exchange.ContentEncoding {
			return true
		}
	}
	return false
}

var errValue = errors.New("the value is damaged")

// unpack is the reverse. max is bytes of a body.
func (c *coder) unpack(b []byte, max int64) (*object.Object, error) {
	if len(b) < packHeading {
		return nil, errValue
	}
	length, how := int64(binary.BigEndian.Uint32(b[1:])), b[0]
	b = b[packHeading:]
	if length > max+maxHead {
		return nil, errValue
	}
	if how == zipped {
		var err error
		if b, err = c.decoder.DecodeAll(b, make([]byte, 0, length)); err != nil {
			return nil, err
		}
	}
	if how > zipped || int64(len(b)) != length {
		return nil, errValue
	}
	o, body, err := object.Decode(b)
	if err != nil {
		return nil, err
	}
	if int64(len(body)) != o.Length || o.Length > max {
		return nil, errValue
	}
	if o.Length > 0 {
		o.Body = body
	}
	return o, nil
}
