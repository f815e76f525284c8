package compress

import (
	"io"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// body is content that goes through an encoder on its way, or, plain, as it is. Whatever has come in goes out before anything
// is waited for: an endpoint that sends a bit now and then is heard now and then.
//
// It is lent for an exchange and comes back with Settle. The encoder comes back as soon as it has nothing left to do.
type body struct {
	stock *stock
	coder *coder // nil once it was given back
	plain bool   // there never was one
	from  exchange.Body
	first gathered
	rest  []byte // of the last run, not yet encoded
	out   sink
	// unflushed says that the encoder holds something that has not come out yet.
	unflushed bool
	handed    bool  // what is in out was handed on
	err       error // what comes behind what is in out: io.EOF at the end
}

const (
	// pieces are what goes into an encoder at a time, in bytes, so that what comes out at a time is bounded too.
	pieces = 32 << 10
	// enough is how much is handed on at a time, about, in bytes.
	enough = 16 << 10
)

// Buffered implements exchange.Body.
func (b *body) Buffered() bool {
	return len(b.out.bytes) > 0 && !b.handed || b.err != nil || b.unflushed || b.left() || b.from.Buffered()
}

// left says whether anything that was taken was not encoded.
func (b *body) left() bool { return len(b.rest) > 0 || b.first.taken() }

// Next implements exchange.Body.
func (b *body) Next() ([]byte, error) {
	if b.plain {
		return b.pass()
	}
	if b.handed {
		b.out.bytes, b.handed = b.out.bytes[:0], false
	}
	if len(b.out.bytes) == 0 {
		b.work(enough, true)
	}
	if len(b.out.bytes) > 0 {
		b.handed = true
		return b.out.bytes, nil
	}
	return nil, b.err
}

// work encodes until so much has come out, or until there is nothing more to encode without waiting; where it may wait it does so only
// if nothing has come out.
func (b *body) work(until int, wait bool) {
	for b.err == nil && len(b.out.bytes) < until {
		if len(b.rest) == 0 && !b.more(wait) {
			return
		}
		piece := b.rest[:min(len(b.rest), pieces)]
		b.rest = b.rest[len(piece):]
		if len(piece) == 0 {
			continue
		}
		b.unflushed = true
		b.coder.in += len(piece)
		if _, err := b.coder.Write(piece); err != nil {
			b.fail(err)
		}
	}
}

// more gets the next run, and says whether to go on.
func (b *body) more(wait bool) bool {
	run, err := b.first.next()
	if run == nil && err == nil {
		if !b.from.Buffered() {
			if !wait {
				return false
			}
			if b.flush(); len(b.out.bytes) > 0 || b.err != nil {
				return false
			}
		}
		run, err = b.from.Next()
	}
	switch {
	case err == io.EOF:
		b.finish()
		return false
	case err != nil:
		b.flush() // what came before is the client's
		b.err = err
		b.giveBack()
		return false
	}
	b.rest = run
	return true
}

func (b *body) flush() {
	if b.unflushed {
		b.unflushed = false
		if err := b.coder.Flush(); err != nil {
			b.fail(err)
		}
	}
}

// finish ends the encoded content.
func (b *body) finish() {
	b.err, b.unflushed = io.EOF, false
	if err := b.coder.Close(); err != nil {
		b.fail(err)
	}
	b.giveBack()
}

// fail is for an encoder that fails, which none does as long as its sink takes everything.
func (b *body) fail(err error) { b.err = fault.New(fault.Internal, err) }

func (b *body) giveBack() {
	if b.coder != nil {
		b.stock.giveBack(b.coder)
		b.coder = nil
	}
}

// pass is Next without an encoder.
func (b *body) pass() ([]byte, error) {
	if run, err := b.first.next(); run != nil || err != nil {
		return run, err
	}
	return b.from.Next()
}

// next gives what was gathered, piece by piece, then nothing. An error stays.
func (g *gathered) next() ([]byte, error) {
	switch {
	case len(g.bytes) > 0 && !g.given:
		g.given = true
		return g.bytes, nil
	case len(g.run) > 0:
		run := g.run
		g.run = nil
		return run, nil
	}
	return nil, g.err
}

// Settle implements exchange.Settler: nobody reads the body any more.
func (b *body) Settle(*exchange.Exchange) {
	b.giveBack()
	b.out.release()
	if b.first.bytes != nil {
		bufpool.Put(b.first.bytes[:cap(b.first.bytes)])
	}
	b.stock.takeBody(b)
}

// sink is where encoders write: memory that is borrowed while there is something in it.
type sink struct{ bytes []byte }

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	if need := len(s.bytes) + len(p); need > cap(s.bytes) {
		if need > bufpool.Large {
			need = max(need, 2*cap(s.bytes))
		}
		bigger := bufpool.Get(need)
		n := copy(bigger, s.bytes)
		s.release()
		s.bytes = bigger[:n]
	}
	s.bytes = append(s.bytes, p...)
	return len(p), nil
}

func (s *sink) release() {
	if s.bytes != nil {
		bufpool.Put(s.bytes[:cap(s.bytes)])
	}
	s.bytes = nil
}
