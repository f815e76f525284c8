package socket

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ParcelSize is how much of a file a Parcel holds at most, in bytes; less when the kernel grants no larger pipe. As much as 128 of them hold is what
// Linux grants a user's pipes before it makes them small.
const ParcelSize = 512 << 10

// Parcel is a part of a file on its way to a socket, held by the kernel: its pages are pinned, so that sending it never waits for the disk, however
// slow the peer and whatever becomes of the file. That is what sendfile does inside, taken apart: who may wait for a disk loads it, who may wait for
// a peer sends it. One goroutine at a time uses it.
type Parcel struct{ pipe *pipe }

// NewParcel makes an empty parcel, or returns ErrNoSplice when no pipe can be had. It takes two descriptors until Drop.
func NewParcel() (*Parcel, error) {
	p, err := takePipe()
	if err != nil {
		return nil, ErrNoSplice
	}
	unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, ParcelSize) // with another size it only takes more calls
	return &Parcel{p}, nil
}

// Load adds up to n bytes of f from an offset on, as many as there is room for, and returns how many it added. It waits for the disk. It returns
// io.ErrUnexpectedEOF where the file ends before the n bytes, and ErrNoSplice when its file system cannot do it.
func (p *Parcel) Load(f *os.File, offset int64, n int) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	loaded := 0
	var failed error
	err = raw.Control(func(fd uintptr) {
		for loaded < n {
			at := offset + int64(loaded)
			m, err := unix.Splice(int(fd), &at, p.pipe.w, nil, n-loaded, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
			switch {
			case err == unix.EINTR:
				continue
			case err == unix.EAGAIN && loaded > 0: // the pipe is full
				return
			case err == unix.EINVAL && loaded == 0:
				failed = ErrNoSplice
				return
			case err != nil:
				failed = err
				return
			case m == 0:
				failed = io.ErrUnexpectedEOF
				return
			}
			loaded += int(m)
			p.pipe.held += int(m)
		}
	})
	if err != nil {
		failed = err
	}
	return loaded, failed
}

// Drop gives the parcel back. What was not sent is lost.
func (p *Parcel) Drop() {
	putPipe(p.pipe)
	p.pipe = nil
}

// SendParcel writes all that is in the parcel, waiting as Write does. sent is how much the peer's kernel took. With TLS it is ErrNoSplice.
func (c *Conn) SendParcel(p *Parcel, patience int64) (sent int, err error) {
	if c.layer != nil {
		return 0, ErrNoSplice
	}
	held := p.pipe.held
	err = c.spliceOut(p.pipe, patience)
	return held - p.pipe.held, err
}

// SendFile writes n bytes of f from an offset on. It waits for the peer as Write does, and for the disk as long as that takes. read is what the file
// failed with, as Load does; it is ErrNoSplice with TLS. write is what the connection failed with.
func SendFile(dst *Conn, f *os.File, offset, n, patience int64) (sent int64, read, write error) {
	if !dst.TakesParcels() {
		return 0, ErrNoSplice, nil
	}
	p, err := NewParcel()
	if err != nil {
		return 0, err, nil
	}
	defer p.Drop()
	for sent < n {
		_, read := p.Load(f, offset+sent, int(min(n-sent, ParcelSize)))
		m, write := dst.SendParcel(p, patience)
		if sent += int64(m); read != nil || write != nil {
			return sent, read, write
		}
	}
	return sent, nil, nil
}

// TakesParcels says whether SendParcel can send on this connection.
func (c *Conn) TakesParcels() bool { return c.layer == nil }
