package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// errNoAnswer is that of a listener that says nothing at all.
var errNoAnswer = errors.New("nothing was answered in time")

// ErrHandshake is what the error of a talk wraps that has not come to an agreement on TLS.
var ErrHandshake = errors.New("TLS was not agreed on")

// Unserved is a listener that a visit found not to serve.
type Unserved struct {
	Listener string
	Err      error
	// Seen says that an earlier visit was answered. Without that something may stand between us and the listener, such as a firewall.
	Seen bool
}

// Visit connects to every listener as clients do, one after the other, and has talk find out whether it is served: secure says that the
// listener speaks TLS, and an error of talk that it is not served. The connections are known for what they are: they count nowhere, no
// limit and no ban holds for them, no PROXY header is wanted, and exchange.Conn.Own marks what comes on them.
//
// Only what is broken is told. That a listener is full, that accepting pauses for want of descriptors, or that this process or the box has
// none left for the visit is load, which ends; and so is that others got on meanwhile, where the visit did not: a flood must not have a gateway
// taken for dead. One round of visits is made at a time. A visit begins within the first half of the time that ctx leaves, so that none is
// short of it; the next round begins with what was left out.
func (s *Set) Visit(ctx context.Context, talk func(ctx context.Context, c net.Conn, secure bool) error) (all []Unserved) {
	s.visiting.Lock()
	defer s.visiting.Unlock()
	s.mu.Lock()
	live := slices.Clone(s.live)
	s.mu.Unlock()
	by, bounded := ctx.Deadline()
	half := time.Now().Add(time.Until(by) / 2)
	first := s.turn
	for i := range live {
		l := live[(first+i)%len(live)]
		if ctx.Err() != nil || bounded && time.Now().After(half) {
			s.turn = (first + i) % len(live)
			break
		}
		if err := l.visit(ctx, talk); err != nil {
			all = append(all, Unserved{l.settings.Load().Name, err, l.seen.Load()})
		}
	}
	return all
}

// visit visits one listener.
func (l *listener) visit(ctx context.Context, talk func(context.Context, net.Conn, bool) error) error {
	paused := func() uint64 {
		return l.pauses[pauseLimit].Load() + l.pauses[pauseDescriptors].Load() + l.pauses[pauseOther].Load()
	}
	l.lively.Store(false)
	before, others := paused(), l.progress()
	excused := func() bool { return l.draining.Load() || l.full() || paused() != before }
	if excused() {
		return nil
	}
	l.set.mu.Lock()
	to := l.addr()
	l.set.mu.Unlock()
	if to == nil {
		return nil
	}
	l.set.arrived.Store(false)
	c, err := l.call(ctx, to)
	if err == nil {
		defer l.set.visitor.Store(nil)
		defer c.Close()
		err = talk(ctx, c, l.settings.Load().TLS != nil)
	}
	switch {
	case err == nil:
		l.seen.Store(true)
		return nil
	case excused(), ours(err), l.busy(err, others):
		return nil
	case timeout(err):
		return errNoAnswer
	}
	return err
}

// progress is what a listener has done for clients: let them in or turned them away, come to an end of handshakes.
type progress struct{ let, agreed uint64 }

func (l *listener) progress() progress {
	p := progress{let: l.accepted.Load() + l.refused.Load() + l.dropped.Load()}
	for o := range l.handshakes.counts {
		if o := Outcome(o); o != Late && o != Gone { // which come about without us
			p.agreed += l.handshakes.counts[o].Load()
		}
	}
	return p
}

// busy says that a visit failed with err while others got further than it did, or that nobody waits to be let in and it is the kernel that
// has kept it out, as in a flood of handshakes of TCP.
func (l *listener) busy(err error, before progress) bool {
	now := l.progress()
	switch {
	case !l.set.arrived.Load():
		return now.let != before.let || timeout(err) && l.queued() == 0
	case errors.Is(err, ErrHandshake):
		return now.agreed != before.agreed
	}
	return l.lively.Load()
}

// queued is how many connections wait in the kernel to be accepted.
func (l *listener) queued() (all int) {
	l.set.mu.Lock()
	defer l.set.mu.Unlock()
	for _, a := range l.acceptors {
		queued, _ := lengths(a.ln)
		all += queued
	}
	return all
}

func timeout(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}

// ours says that a visit failed for want of something at our end.
func ours(err error) bool {
	for _, errno := range [...]syscall.Errno{syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EAGAIN, syscall.EACCES, syscall.EPERM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return exhausted(err)
}

// call connects to a listener. Our end has an address before it connects, so that whoever accepts knows it.
func (l *listener) call(ctx context.Context, to net.Addr) (net.Conn, error) {
	var dialer net.Dialer
	if to.Network() == "unix" {
		own := "@straum-visit-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(l.set.ids.Add(1), 10)
		l.set.visitor.Store(&own)
		dialer.LocalAddr = &net.UnixAddr{Name: own, Net: "unix"}
	} else {
		at := to.(*net.TCPAddr).AddrPort()
		if at.Addr().IsUnspecified() {
			at = netip.AddrPortFrom(loopback(l.settings.Load(), at.Addr()), at.Port())
		}
		to = net.TCPAddrFromAddrPort(at)
		dialer.ControlContext = func(_ context.Context, _, _ string, raw syscall.RawConn) (err error) {
			if e := raw.Control(func(fd uintptr) { err = l.set.announce(fd, at.Addr()) }); e != nil {
				return e
			}
			return err
		}
	}
	c, err := dialer.DialContext(ctx, to.Network(), to.String())
	if err != nil {
		l.set.visitor.Store(nil)
		return nil, err
	}
	if by, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(by) // fails only when it is closed
	}
	return c, nil
}

// loopback is where to find a listener on all addresses.
func loopback(s *inForce, a netip.Addr) netip.Addr {
	if a.Is4() || s.network() == "tcp" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// announce gives a socket an address of this box, a, and a port, and says that a visitor comes from there.
func (s *Set) announce(fd uintptr, a netip.Addr) error {
	var local syscall.Sockaddr
	if a.Is4() {
		local = &syscall.SockaddrInet4{Addr: a.As4()}
	} else {
		six := &syscall.SockaddrInet6{Addr: a.As16()}
		if zone := a.Zone(); zone != "" {
			i, err := net.InterfaceByName(zone)
			if err != nil {
				return nil // it is told from clients by nothing then, and counted as one
			}
			six.ZoneId = uint32(i.Index)
		}
		local = six
	}
	if err := syscall.Bind(int(fd), local); err != nil {
		return os.NewSyscallError("bind", err)
	}
	got, err := syscall.Getsockname(int(fd))
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	var own string
	switch got := got.(type) {
	case *syscall.SockaddrInet4:
		own = netip.AddrPortFrom(a, uint16(got.Port)).String()
	case *syscall.SockaddrInet6:
		own = netip.AddrPortFrom(a, uint16(got.Port)).String()
	}
	s.visitor.Store(&own)
	return nil
}

// visits says whether a connection that was accepted is a visit of our own.
func (s *Set) visits(nc net.Conn) bool {
	own := s.visitor.Load()
	if own == nil {
		return false
	}
	switch peer := nc.RemoteAddr().(type) {
	case *net.TCPAddr:
		p := peer.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()).String() == *own
	case *net.UnixAddr:
		return peer.Name == *own
	}
	return false
}
