package transformjson

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
)

// encoding is a content coding (RFC 9110 §8.4.1).
type encoding uint8

const (
	identity encoding = iota
	gzipped
	brotlied
	zstandard
	unknown // or several, one on top of the other
)

// coding is the content coding of a message.
func coding(h *exchange.Fields) encoding {
	found := identity
	for _, f := range h.All() {
		if f.Known != exchange.ContentEncoding {
			continue
		}
		how := unknown
		switch {
		case f.Value == "", grammar.FoldIs(f.Value, "identity"):
			continue
		case grammar.FoldIs(f.Value, "gzip"), grammar.FoldIs(f.Value, "x-gzip"):
			how = gzipped
		case grammar.FoldIs(f.Value, "br"):
			how = brotlied
		case grammar.FoldIs(f.Value, "zstd"):
			how = zstandard
		}
		if found != identity {
			return unknown
		}
		found = how
	}
	return found
}

var (
	errTooLarge = errors.New("larger than it may be")
	errFull     = errors.New("no room")
)

// decoder takes one content coding off.
type decoder interface {
	io.Reader
	Reset(from io.Reader) error
}

// zstdDecoder reads what needs no more memory than a browser would give it (RFC 8878 §3.1.1.1.2).
type zstdDecoder struct{ *zstd.Decoder }

// brotliDecoder is as it comes.
type brotliDecoder struct{ *brotli.Reader }

// gzipDecoder is as it comes.
type gzipDecoder struct{ gzip.Reader }

var decoders = [...]sync.Pool{
	gzipped:  {New: func() any { return new(gzipDecoder) }},
	brotlied: {New: func() any { return brotliDecoder{brotli.NewReader(nil)} }},
	zstandard: {New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic("BUG: " + err.Error())
		}
		return zstdDecoder{d}
	}},
}

// rawReader reads what lies in memory.
type rawReader struct{ bytes.Reader }

// decode takes the content coding off w.raw. What comes out is in w.decoded, no more than max bytes.
func (w *work) decode(how encoding, max int64) error {
	d := decoders[how].Get().(decoder)
	defer decoders[how].Put(d)
	w.raws.Reset(w.raw)
	if err := d.Reset(&w.raws); err != nil {
		return err
	}
	for {
		if len(w.decoded) == cap(w.decoded) {
			if int64(len(w.decoded)) > max {
				return errTooLarge
			}
			bigger := min(2*int64(cap(w.decoded)), max+1)
			if w.decoded == nil {
				bigger = bufpool.Small
			}
			if !w.take(bigger) { // both are there for a moment
				return errFull
			}
			w.decoded = grow(w.decoded, int(bigger)-len(w.decoded))
		}
		n, err := d.Read(w.decoded[len(w.decoded):cap(w.decoded)])
		w.decoded = w.decoded[:len(w.decoded)+n]
		if int64(len(w.decoded)) > max {
			return errTooLarge
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
