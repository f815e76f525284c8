package disk

import (
	"io"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// Body reads an object's body, or a part of it, wherever it lies. It implements exchange.Body and exchange.Filed. The zero value is ready for Begin,
// and so is one after End. It refers to the object and does not release it.
type Body struct {
	object   *object.Object
	handle   *handle // the object's file when it is one of ours
	at, end  int64   // what is left of the body
	lent     []byte  // the last run's buffer
	sending  bool    // the kernel has begun to send it
	unsplice bool    // it cannot
	err      error   // what it failed with
}

var _ exchange.Filed = (*Body)(nil)

// sendFrom is how much must be left for sending it inside the kernel to be worth the while, in bytes.
const sendFrom = 64 << 10

// mostParcels is how many parts of files may be under way inside the kernel at a time; each takes two descriptors and pins up to 512 KiB.
const mostParcels = 128

// Begin starts at byte from and ends before byte to. The object must not be released before End.
func (b *Body) Begin(o *object.Object, from, to int64) {
	b.End()
	*b = Body{object: o, at: from, end: to}
	b.handle, _ = o.File.(*handle)
}

// End gives back what the body has borrowed. It may be called more than once.
func (b *Body) End() {
	b.giveBack()
	*b = Body{}
}

func (b *Body) giveBack() {
	if b.lent != nil {
		bufpool.Put(b.lent)
		b.lent = nil
	}
}

// Next implements exchange.Body. Its fault is the gateway's own, since the endpoint has no part in it.
func (b *Body) Next() ([]byte, error) {
	b.giveBack()
	if b.err != nil {
		return nil, b.err
	}
	if b.at >= b.end {
		return nil, io.EOF
	}
	if b.object.File == nil {
		run := b.object.Body[b.at:b.end]
		b.at = b.end
		return run, nil
	}
	run, err := b.read()
	if err != nil {
		return nil, b.fail(err)
	}
	b.at += int64(len(run))
	return run, nil
}

func (b *Body) fail(err error) error {
	b.err = fault.New(fault.StoreBroke, err)
	return b.err
}

// read reads a run of a file.
func (b *Body) read() (run []byte, err error) {
	left := b.end - b.at
	if b.handle != nil {
		if b.lent, err = b.handle.block(b.at / blockSize); err != nil {
			return nil, err
		}
		run = b.lent[b.at%blockSize:]
		return run[:min(int64(len(run)), left)], nil
	}
	b.lent = bufpool.Get(blockSize)
	n, err := b.object.File.ReadAt(b.lent[:min(blockSize, left)], b.at)
	switch {
	case n > 0:
		return b.lent[:n], nil
	case err == nil || err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}

// Buffered implements exchange.Body.
func (b *Body) Buffered() bool { return b.at >= b.end || b.object.File == nil }

// SendTo implements exchange.Filed. Only what was compared with its checksums once is sent without being looked at.
func (b *Body) SendTo(dst *socket.Conn, patience int64) (n int64, read, write error) {
	left := b.end - b.at
	h := b.handle
	switch {
	case b.err != nil:
		return 0, b.err, nil
	case left == 0:
		return 0, nil, nil
	case h == nil || b.unsplice || left < sendFrom && !b.sending || !h.verified.Load() || !dst.TakesParcels():
		return 0, socket.ErrNoSplice, nil
	}
	p, err := h.s.parcel()
	if err != nil {
		return 0, err, nil
	}
	b.giveBack()
	loaded, err := h.load(p, b.at, int(min(left, socket.ParcelSize)))
	if err == errLate {
		return 0, b.fail(err), nil // the parcel is the reader's
	}
	sent, write := dst.SendParcel(p, patience)
	p.Drop()
	h.s.parcels.Add(-1)
	b.at += int64(sent)
	b.sending = true
	switch {
	case write != nil:
		b.fail(write)
	case err == socket.ErrNoSplice, err == nil && loaded == 0: // the file system or the pipe does not take part
		b.unsplice = true
		read = socket.ErrNoSplice
	case err != nil:
		read = b.fail(err)
	}
	return int64(sent), read, write
}

// parcel takes one of those that may be under way.
func (s *Store) parcel() (*socket.Parcel, error) {
	if s.parcels.Add(1) > mostParcels {
		s.parcels.Add(-1)
		return nil, socket.ErrNoSplice
	}
	p, err := socket.NewParcel()
	if err != nil {
		s.parcels.Add(-1)
	}
	return p, err
}
