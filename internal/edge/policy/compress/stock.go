package compress

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
)

// level is how hard encoders try.
type level uint8

const levels = 3

var levelNames = [levels]string{"fast", "balanced", "small"}

// window is how far back zstd and br look for what they have seen, in bytes. It is most of what an encoder takes.
const window = 128 << 10

// model is one sort of encoder.
type model struct {
	takes int64 // bytes of memory at most, measured by TestEncoderMemory
	make  func() encoder
}

var models = [codings][levels]model{
	gzipped: {
		{900 << 10, func() encoder { return newGzip(1) }},
		{1200 << 10, func() encoder { return newGzip(5) }},
		{1600 << 10, func() encoder { return newGzip(9) }},
	},
	zstandard: {
		{1000 << 10, func() encoder { return newZstd(zstd.SpeedFastest) }},
		{2400 << 10, func() encoder { return newZstd(zstd.SpeedDefault) }},
		{5600 << 10, func() encoder { return newZstd(zstd.SpeedBetterCompression) }},
	},
	brotlied: {
		{1500 << 10, func() encoder { return newBrotli(2) }},
		{1500 << 10, func() encoder { return newBrotli(3) }},
		{2500 << 10, func() encoder { return newBrotli(4) }},
	},
}

func newGzip(level int) encoder {
	w, err := gzip.NewWriterLevel(io.Discard, level)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return w
}

func newZstd(level zstd.EncoderLevel) encoder {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return w
}

// newBrotli has no higher quality than 4: from 5 on it costs more than it saves for answers that are encoded for each client anew.
func newBrotli(quality int) encoder {
	return brotli.NewWriterOptions(io.Discard, brotli.WriterOptions{Quality: quality, LGWin: 17})
}

// encoder is what all of them have.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// coder is a lent encoder. It stays bound to its outlet, so that it holds on to nobody's memory while it is not lent.
type coder struct {
	encoder
	outlet outlet
	coding coding
	level  level
	in     int // bytes that went in
}

// outlet leads to where an encoder writes at the moment.
type outlet struct {
	to  *sink
	out int // bytes that came out
}

// Write implements io.Writer.
func (o *outlet) Write(p []byte) (int, error) {
	o.out += len(p)
	return o.to.Write(p)
}

// stock is all encoders of the process. Those that are not at work are the garbage collector's to take.
type stock struct {
	taken atomic.Int64 // bytes of those at work
	idle  [codings][levels]sync.Pool
	rest  sync.Pool // of *body

	told [codings]struct{ answers, in, out atomic.Int64 }
	busy atomic.Int64
}

func newStock() *stock { return &stock{} }

// lend gives an encoder, or nil when those at work would take more than room bytes with it.
func (s *stock) lend(c coding, l level, room int64) *coder {
	m := &models[c][l]
	if s.taken.Add(m.takes) > room {
		s.taken.Add(-m.takes)
		s.busy.Add(1)
		return nil
	}
	lent, _ := s.idle[c][l].Get().(*coder)
	if lent == nil {
		lent = &coder{encoder: m.make(), coding: c, level: l}
	}
	return lent
}

func (s *stock) giveBack(c *coder) {
	t := &s.told[c.coding]
	t.answers.Add(1)
	t.in.Add(int64(c.in))
	t.out.Add(int64(c.outlet.out))
	c.outlet.to, c.outlet.out, c.in = nil, 0, 0
	s.idle[c.coding][c.level].Put(c)
	s.taken.Add(-models[c.coding][c.level].takes)
}

// body gives a body that reads from another what was not gathered of it already.
func (s *stock) body(c *coder, from exchange.Body, first *gathered) *body {
	b, _ := s.rest.Get().(*body)
	if b == nil {
		b = &body{}
	}
	b.stock, b.coder, b.plain, b.from, b.first = s, c, c == nil, from, *first
	if c != nil {
		c.outlet.to = &b.out
		c.Reset(&c.outlet)
	}
	return b
}

func (s *stock) takeBody(b *body) {
	*b = body{}
	s.rest.Put(b)
}

// Report implements policy.Reporter.
func (s *stock) Report(figure func(policy.Figure)) {
	for c := gzipped; c < codings; c++ {
		t, labels := &s.told[c], [][2]string{{"coding", c.String()}}
		figure(policy.Figure{Name: "compress_answers_total", Help: "Answers that were compressed.", Counter: true, Labels: labels, Value: float64(t.answers.Load())})
		figure(policy.Figure{Name: "compress_in_bytes_total", Help: "Content before it was compressed.", Counter: true, Labels: labels, Value: float64(t.in.Load())})
		figure(policy.Figure{Name: "compress_out_bytes_total", Help: "Content after it was compressed.", Counter: true, Labels: labels, Value: float64(t.out.Load())})
	}
	figure(policy.Figure{Name: "compress_busy_total", Help: "Answers that went as they were since the encoders at work took all the memory they may.", Counter: true, Value: float64(s.busy.Load())})
	figure(policy.Figure{Name: "compress_encoder_bytes", Help: "Memory that the encoders at work take at most.", Value: float64(s.taken.Load())})
}
