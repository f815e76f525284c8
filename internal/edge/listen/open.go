package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// openSockets opens n sockets for s, all on the same address, which is s.Address unless given. exclusive refuses an address that
// somebody else listens on, even if he would share it: two gateways that take turns at connections are a mistake.
//
// This is the one place where listening sockets come from; one that inherits them from a predecessor belongs here.
func openSockets(s *Settings, n int, address string, exclusive bool) (sockets []queue, fastOpen string, err error) {
	defer func() {
		if err != nil {
			for _, ln := range sockets {
				ln.Close()
			}
			sockets, err = nil, explain(s, err)
		}
	}()
	if path, ok := s.unixPath(); ok {
		ln, err := openUnix(path, s)
		if err != nil {
			return nil, "", err
		}
		return []queue{ln}, FastOpenOff, nil
	}
	if address == "" {
		address = s.Address
	}
	for range n {
		var lc net.ListenConfig
		// Multipath TCP is off: an accepted multipath socket is another kind of socket that cannot be spliced or tuned alike.
		lc.SetMultipathTCP(false)
		lc.KeepAlive = keepAlive
		lc.Control = func(_, address string, rc syscall.RawConn) error {
			var failed error
			err := rc.Control(func(fd uintptr) {
				failed = prepare(int(fd), address, exclusive && len(sockets) == 0)
			})
			return errors.Join(err, failed)
		}
		ln, err := lc.Listen(context.Background(), s.network(), address)
		if err != nil {
			return sockets, "", err
		}
		sockets = append(sockets, ln.(*net.TCPListener))
		fastOpen = adjust(ln.(*net.TCPListener), s)
		address = ln.Addr().String() // the kernel chose the port if we did not
	}
	return sockets, fastOpen, nil
}

// openUnix makes the file of a unix socket. One that nobody listens on any more is replaced.
func openUnix(path string, s *Settings) (*net.UnixListener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s exists and is not a socket; move it away or choose another path", path)
		}
		nc, err := net.DialTimeout("unix", path, time.Second)
		switch {
		case err == nil:
			nc.Close()
			return nil, &os.PathError{Op: "listen", Path: path, Err: syscall.EADDRINUSE}
		case !errors.Is(err, syscall.ECONNREFUSED):
			return nil, fmt.Errorf("%s may be in use: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { restrict(int(fd), s.Mode) })
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	u := ln.(*net.UnixListener)
	u.SetUnlinkOnClose(false) // the file may be somebody else's by then; listener.stop looks first
	if err := os.Chmod(path, s.Mode); err != nil {
		u.Close()
		os.Remove(path)
		return nil, err
	}
	adjust(u, s)
	return u, nil
}

// explain adds the place and the remedy to an error of opening.
func explain(s *Settings, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "; another process listens there: stop it or choose another address (ss -ltnp names it)"
		if _, ok := s.unixPath(); ok {
			remedy = "; another process listens there: stop it or choose another path (ss -lxp names it)"
		}
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		remedy = "; ports below 1024 need a capability: setcap cap_net_bind_service=+ep on the binary, " +
			"AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or a systemd socket"
		if _, ok := s.unixPath(); ok {
			remedy = "; the directory must be writable for the gateway's user"
		}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "; this box does not have the address (ip address lists those it has)"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		remedy = "; raise LimitNOFILE in the systemd unit or ulimit -n"
	case errors.Is(err, syscall.ENOENT):
		remedy = "; the directory does not exist: create it or choose another path"
	}
	cause := err
	var op *net.OpError
	if errors.As(err, &op) {
		cause = op.Err // without the address, which is ours said again
	}
	return &openError{fmt.Sprintf("listener %q: cannot listen on %s: %v%s", s.Name, s.Address, cause, remedy), err}
}

type openError struct {
	text  string
	cause error
}

func (e *openError) Error() string { return e.text }
func (e *openError) Unwrap() error { return e.cause }

// fileOf remembers the file of a unix socket just made.
func fileOf(path string, s *Settings) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, explain(s, err)
	}
	return info, nil
}

// closeUnused closes sockets that were opened for nothing.
func closeUnused(sockets []queue) {
	for _, ln := range sockets {
		if ln.Addr().Network() == "unix" {
			os.Remove(ln.Addr().String())
		}
		ln.Close()
	}
}
