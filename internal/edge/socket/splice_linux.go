package socket

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"straum.dev/straum/internal/clock"
)

// All asks Splice to move what is there, however much it is, and to return when the source has nothing more to give at the moment.
const All = -1

// pipeSize is the capacity asked for a pipe in bytes. The kernel may grant less to programs that hold many.
const pipeSize = 256 << 10

// maxIdlePipes bounds the pipes kept for the next Splice; each costs two descriptors.
const maxIdlePipes = 32

type pipe struct {
	r, w int
	held int // bytes in it
}

var idlePipes = make(chan *pipe, maxIdlePipes)

func takePipe() (*pipe, error) {
	select {
	case p := <-idlePipes:
		return p, nil
	default:
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, pipeSize) // with the default size it only takes more calls
	return &pipe{r: ends[0], w: ends[1]}, nil
}

// putPipe keeps an empty pipe for the next; one with bytes in it must not be used again.
func putPipe(p *pipe) {
	if p.held == 0 {
		select {
		case idlePipes <- p:
			return
		default:
		}
	}
	unix.Close(p.r)
	unix.Close(p.w)
}

// Splice moves bytes from src to dst inside the kernel: want of them, or with All those that are there. It waits for src until the
// time by and gives dst patience nanoseconds for each part. read is what src failed with (io.EOF when it ended, ErrTimeout), write
// what dst failed with. When no pipe can be had, or one of them carries TLS, read is ErrNoSplice and nothing was moved.
func Splice(dst, src *Conn, want, by, patience int64) (moved int64, read, write error) {
	if dst.layer != nil || src.layer != nil {
		return 0, ErrNoSplice, nil
	}
	p, err := takePipe()
	if err != nil {
		return 0, ErrNoSplice, nil
	}
	defer putPipe(p)
	for want == All || moved < want {
		size := int64(pipeSize)
		if want != All {
			size = min(size, want-moved)
		}
		n, err := src.spliceIn(p, int(size), want == All, by)
		if err != nil || n == 0 {
			return moved, err, nil
		}
		if err := dst.spliceOut(p, patience); err != nil {
			return moved, nil, err
		}
		moved += int64(n)
	}
	return moved, nil, nil
}

// spliceIn moves from the socket into the pipe, which is empty. With try it returns 0 when there is nothing to move.
func (c *Conn) spliceIn(p *pipe, size int, try bool, by int64) (int, error) {
	c.Wake()
	r := &c.reading
	err := c.await(func(fd uintptr) bool {
		r.n, r.errno = sysSplice(int(fd), p.w, size)
		return r.errno != syscall.EAGAIN || try
	}, by)
	if err == nil && r.errno == syscall.EAGAIN {
		return 0, nil
	}
	n, err := c.received(err)
	p.held = n
	return n, err
}

// spliceOut empties the pipe into the socket.
func (c *Conn) spliceOut(p *pipe, patience int64) error {
	c.Wake()
	w := &c.writing
	progress := clock.Now()
	for p.held > 0 {
		if err := c.armWrite(progress + patience); err != nil {
			return err
		}
		n := 0
		err := c.rc.Write(func(fd uintptr) bool {
			n, w.errno = sysSplice(p.r, int(fd), p.held)
			return w.errno != syscall.EAGAIN
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.writeArmed = struck
			now := clock.Now()
			w.waited += now - progress
			if now >= progress+patience {
				return ErrTimeout
			}
		case err != nil:
			return err
		case w.errno != 0:
			return w.errno
		case n == 0:
			return io.ErrShortWrite
		default:
			p.held -= n
			c.out += int64(n)
			now := clock.Now()
			w.waited += now - progress
			progress = now
		}
	}
	return nil
}

func sysSplice(from, to, size int) (int, syscall.Errno) {
	for {
		n, err := unix.Splice(from, nil, to, nil, size, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err == nil {
			return int(n), 0
		}
		if err != unix.EINTR {
			errno, _ := err.(syscall.Errno)
			return 0, errno
		}
	}
}
