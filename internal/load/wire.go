package load

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// wire is what crypto/tls reads from and writes to: a socket that says so when nothing is there now, and keeps what it cannot take yet.
// TLS goes on later with the part of a record it has (its reads survive an error that is temporary).
//
// A handshake cannot be interrupted so. While it lasts, the wire waits until it is woken; it then belongs to the handshake's goroutine, which
// hands it over through the loop's inbox at its end. Only wake and stop are used by both.
type wire struct {
	fd             int
	dry            bool // the last read has taken all there was, and no event has come since
	over           bool // there is an end to be read: a short read does not mean dry
	unsent         []byte
	received, sent uint64 // since the loop took note of them

	waits bool // for events, during the handshake
	wake  chan struct{}
	stop  atomic.Bool
}

// errAgain says that nothing is there now. crypto/tls looks at Temporary.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "nothing is there now" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

var errStopped = errors.New("the handshake took too long")

func (w *wire) Read(b []byte) (int, error) {
	for {
		if w.dry {
			if !w.waits {
				return 0, errAgain
			}
			if err := w.await(); err != nil {
				return 0, err
			}
		}
		n, err := unix.Read(w.fd, b)
		switch {
		case n > 0:
			w.received += uint64(n)
			w.dry = n < len(b) && !w.over
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == unix.EAGAIN:
			w.dry = true
		case err != unix.EINTR:
			return 0, err
		}
	}
}

// await waits for an event.
func (w *wire) await() error {
	if w.stop.Load() {
		return errStopped
	}
	<-w.wake
	w.dry = false
	if w.stop.Load() {
		return errStopped
	}
	return nil
}

// Write takes everything. What the socket does not is kept; who writes looks at unsent before writing more.
func (w *wire) Write(b []byte) (int, error) {
	w.unsent = append(w.unsent, b...)
	for {
		if err := w.flush(); err != nil {
			return 0, err
		}
		if !w.waits || len(w.unsent) == 0 {
			return len(b), nil
		}
		if err := w.await(); err != nil {
			return 0, err
		}
	}
}

// flush sends what is kept, as far as the socket takes it.
func (w *wire) flush() error {
	at := 0
	defer func() { w.unsent = append(w.unsent[:0], w.unsent[at:]...) }()
	for at < len(w.unsent) {
		n, err := unix.Write(w.fd, w.unsent[at:])
		switch {
		case n > 0:
			at += n
			w.sent += uint64(n)
		case err == unix.EAGAIN:
			return nil
		case err != unix.EINTR:
			return err
		}
	}
	return nil
}

// ring tells the handshake that something has happened.
func (w *wire) ring() {
	select {
	case w.wake <- struct{}{}:
	default: // it has not looked since
	}
}

// Close leaves the socket to its owner, the loop.
func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return nil }
func (w *wire) RemoteAddr() net.Addr             { return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
