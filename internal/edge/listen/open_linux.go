package listen

import (
	"bytes"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// reusesPorts says that the kernel spreads connections over sockets that share an address.
const reusesPorts = true

// keepAlive tells package net to leave keep-alive probes alone: prepare sets them on the listening socket and accepted ones
// inherit them, which saves four system calls a connection.
const keepAlive = -1

// Keep-alive probes find out about peers that vanished without a word: after a silent minute one probe every 15 seconds; the
// fourth that stays unanswered ends the connection.
const (
	probeAfter    = 60 // seconds
	probeInterval = 15 // seconds
	probeCount    = 4
)

// prepare sets what a TCP socket must have before it is bound.
func prepare(fd int, address string, exclusive bool) error {
	if exclusive {
		if err := tryAlone(fd, address); err != nil {
			return err
		}
	}
	for _, option := range [...]struct {
		name                 string
		level, option, value int
	}{
		{"SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, probeAfter},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, probeInterval},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, probeCount},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.option, option.value); err != nil {
			return os.NewSyscallError("setsockopt "+option.name, err)
		}
	}
	return nil
}

// tryAlone binds a second socket to the address without SO_REUSEPORT, which fails when anybody listens there. It never listens
// itself, so nobody's connection can get lost in it.
func tryAlone(fd int, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(port)
	if err != nil || number == 0 {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil && host != "" || ip.Zone() != "" {
		return nil // nothing that can be told here; binding the real socket will tell
	}
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_DOMAIN", err)
	}
	alone, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(alone)
	if err = unix.SetsockoptInt(alone, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	var sa unix.Sockaddr
	if domain == unix.AF_INET6 {
		only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		if err == nil {
			err = unix.SetsockoptInt(alone, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
		}
		if err != nil {
			return os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
		six := &unix.SockaddrInet6{Port: number}
		if ip.IsValid() {
			six.Addr = ip.As16()
		}
		sa = six
	} else {
		four := &unix.SockaddrInet4{Port: number}
		if ip.IsValid() {
			four.Addr = ip.Unmap().As4()
		}
		sa = four
	}
	return os.NewSyscallError("bind", unix.Bind(alone, sa))
}

// adjust sets what a listening socket may be told at any time, and says how fast open stands.
func adjust(ln queue, s *Settings) (fastOpen string) {
	fastOpen = FastOpenOff
	control(ln, func(fd int) {
		backlog := s.Backlog
		if backlog == 0 {
			backlog = math.MaxInt32 // the kernel lowers it to net.core.somaxconn
		}
		unix.Listen(fd, backlog) // a socket that listens already only changes the length of its queue; that cannot fail
		if _, ok := s.unixPath(); ok {
			return
		}
		err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, s.FastOpen)
		switch {
		case s.FastOpen == 0:
		case err != nil:
			fastOpen = FastOpenUnsupported
		case !kernelFastOpens():
			fastOpen = FastOpenForbidden
		default:
			fastOpen = FastOpenOn
		}
	})
	return fastOpen
}

// kernelFastOpens reads whether net.ipv4.tcp_fastopen has the bit for the accepting side.
func kernelFastOpens() bool {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_fastopen")
	if err != nil {
		return false
	}
	bits, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 0, 32)
	return err == nil && bits&2 != 0
}

// lengths tells how many connections wait in a socket's queue and how many may. A unix socket does not tell.
func lengths(ln queue) (queued, backlog int) {
	control(ln, func(fd int) {
		// For a listening socket these two fields hold the queue's length and its limit.
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			queued, backlog = int(info.Unacked), int(info.Sacked)
		}
	})
	return queued, backlog
}

// waiting says whether there is a connection to accept.
func waiting(ln queue) (yes bool) {
	control(ln, func(fd int) {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(set, 0)
		yes = n > 0 || err == unix.EINTR
	})
	return yes
}

// flagSYN is the bit of a handshake's first segment in the 14th byte of the TCP header.
const flagSYN = 0x02

// refuseHandshakes makes the kernel drop segments that begin a handshake, as if they had got lost: the client sends again a
// second later and finds who listens then, or nobody. Handshakes under way are completed. Connections accepted from now on
// inherit the filter, which is of no consequence, as they see no such segment. Without the filter, e.g. in a sandbox that
// forbids it, a client that arrives in the last moment may be reset.
func refuseHandshakes(ln queue) {
	if ln.Addr().Network() != "tcp" {
		return
	}
	filter := [...]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: flagSYN, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: math.MaxUint32},
	}
	control(ln, func(fd int) {
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
}

// restrict gives a unix socket its mode before it has a file, so that the file never has a wider one.
func restrict(fd int, mode fs.FileMode) { unix.Fchmod(fd, uint32(mode.Perm())) }

// control runs f on the descriptor unless the socket is closed.
func control(ln queue, f func(fd int)) {
	if rc, err := ln.SyscallConn(); err == nil {
		rc.Control(func(fd uintptr) { f(int(fd)) })
	}
}
