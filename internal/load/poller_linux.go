package load

import (
	"encoding/binary"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller waits for sockets, for a moment and for others that ring. Sockets are told of once when they change (edge-triggered), so that
// none is ever registered twice: who is told reads until nothing is there.
//
// The moment is a timerfd's: epoll's own timeout is in milliseconds before Linux 5.11, and rounded by the thread's slack after it.
type poller struct {
	epoll, timer, bell int
	armed              int64 // when the timer strikes, 0 for never
	events             [256]unix.EpollEvent
}

// Tags of the two that are no sockets.
const (
	timerTag = -1
	bellTag  = -2
)

func newPoller() (*poller, error) {
	p := &poller{epoll: -1, timer: -1, bell: -1}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err == nil {
			if p.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
				if err = p.add(p.timer, timerTag); err == nil {
					err = p.add(p.bell, bellTag)
				}
			}
		}
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *poller) close() {
	for _, fd := range []int{p.epoll, p.timer, p.bell} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// add registers a socket under a tag. Closing it is enough to be rid of it.
func (p *poller) add(fd, tag int) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(tag)})
}

// ring wakes who waits. Anybody may call it until close.
func (p *poller) ring() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.bell, one[:]) // full is rung enough
}

// event is what happened to a socket.
type event struct {
	tag   int
	read  bool // something may have come
	write bool // it may take more
	over  bool // the peer has ended, or the socket has failed: there is an end to be read
}

// wait returns what happened, at the latest at until (nanoseconds like now; 0 is no end, now or earlier does not wait at all).
//
// For up to so many milliseconds of hold the wait keeps its processor from Go's scheduler, which suits a process that does nearly nothing else:
// giving it back for each wait of some microseconds wakes the scheduler's monitor on another processor, which on a virtual one that rests took
// 60 µs of what was being measured (at 1000 requests a second: 25 µs each and not 85; and a third of the processor time).
func (p *poller) wait(now, until int64, hold int, events []event) []event {
	timeout := -1
	switch {
	case until == 0:
	case until <= now:
		timeout = 0
	case p.armed <= now || until < p.armed:
		// One that strikes too early is left alone: that costs a round, arming costs a system call each time.
		left := unix.NsecToTimespec(until - now)
		if unix.TimerfdSettime(p.timer, 0, &unix.ItimerSpec{Value: left}, nil) != nil {
			timeout = int((until-now)/int64(time.Millisecond)) + 1
		}
		p.armed = until
	}
	n := 0
	switch {
	case timeout == 0:
		n = p.keep(0)
	case hold > 0 && timeout < 0:
		n = p.keep(hold)
	case hold > 0:
		n = p.keep(min(hold, timeout))
	}
	if n == 0 && timeout != 0 {
		n, _ = unix.EpollWait(p.epoll, p.events[:], timeout)
	}
	n = max(n, 0) // it was interrupted
	for i := range p.events[:n] {
		e := &p.events[i]
		if e.Fd >= 0 {
			events = append(events, event{int(e.Fd), e.Events&unix.EPOLLIN != 0, e.Events&unix.EPOLLOUT != 0, e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0})
		}
	}
	return events
}

// keep waits without telling the scheduler, whose signals end it too. A negative number is an interruption.
func (p *poller) keep(milliseconds int) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(milliseconds), 0, 0)
	if errno != 0 {
		return -1
	}
	return int(n)
}
