package accesslog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sink is where lines end up. Only the writer uses it, but for interrupt and close.
type sink interface {
	Write(p []byte) (int, error)
	// renew goes to the place the lines should go to now, after a rotation; true says that it is another than before.
	renew() (bool, error)
	// intact says that the next write continues exactly where the last one, which failed, broke off.
	intact() bool
	// interrupt makes a Write under way return if the system can do that.
	interrupt()
	Close() error
}

// openSink opens what Settings.To names. It can wait for a slow disk.
func openSink(to string) (sink, error) {
	switch to {
	case Off:
		return nowhere{}, nil
	case Stdout:
		return openStream(1, to)
	case Stderr:
		return openStream(2, to)
	}
	f, err := openFile(to)
	if err != nil {
		return nil, err
	}
	s := &fileSink{path: to}
	s.f.Store(f)
	return s, nil
}

// fileMode lets the owner write and the group read: lines may hold personal data.
const fileMode = 0o640

// openFile opens without waiting for the reader of a named pipe, so that a missing one is an error and not a hang.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, fileMode)
	if err != nil {
		return nil, fmt.Errorf("log file: %w; its folder must exist and be writable for the user straum runs as", err)
	}
	return f, nil
}

// fileSink appends to a file and follows it when the path comes to mean another one.
type fileSink struct {
	path string
	f    atomic.Pointer[os.File]
	end  int64 // size of the file after a write that failed
}

func (s *fileSink) Write(p []byte) (int, error) {
	n, err := s.f.Load().Write(p)
	if err != nil {
		s.end = -1
		if is, statErr := s.f.Load().Stat(); statErr == nil {
			s.end = is.Size()
		}
	}
	return n, err
}

func (s *fileSink) renew() (bool, error) {
	have, err := s.f.Load().Stat()
	if err != nil {
		return false, err
	}
	want, err := os.Stat(s.path)
	if err == nil && os.SameFile(have, want) {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	f, err := openFile(s.path)
	if err != nil {
		return false, err
	}
	return true, s.f.Swap(f).Close()
}

// intact compares sizes: a file that was truncated or appended to since has no half line of ours at its end.
func (s *fileSink) intact() bool {
	is, err := s.f.Load().Stat()
	return err == nil && is.Size() == s.end
}

func (s *fileSink) interrupt()   { _ = s.f.Load().SetWriteDeadline(time.Unix(1, 0)) }
func (s *fileSink) Close() error { return s.f.Load().Close() }

// stream is standard output or standard error.
type stream struct{ f *os.File }

// openStream duplicates the descriptor: on 1 and 2 themselves the os package turns a closed pipe into the end of the process.
func openStream(fd int, name string) (sink, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("log to %s: %w; name a file if there is no such stream", name, err)
	}
	return &stream{os.NewFile(uintptr(dup), name)}, nil
}

func (s *stream) Write(p []byte) (int, error) { return s.f.Write(p) }
func (s *stream) renew() (bool, error)        { return false, nil }
func (s *stream) intact() bool                { return true }
func (s *stream) interrupt()                  { _ = s.f.SetWriteDeadline(time.Unix(1, 0)) }
func (s *stream) Close() error                { return s.f.Close() }

// nowhere takes what was on its way when the log was switched off.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) renew() (bool, error)        { return false, nil }
func (nowhere) intact() bool                { return true }
func (nowhere) interrupt()                  {}
func (nowhere) Close() error                { return nil }
