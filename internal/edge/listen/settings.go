package listen

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gaissmai/bart"
)

// Settings is what one listener is told. Address is its identity: settings with the address of a live listener change that
// listener and leave its sockets open.
type Settings struct {
	Name string // unique among the listeners
	// Address is "host:port" or "unix:/path". An empty host means all addresses, IPv4 and IPv6; 0.0.0.0 and [::] mean those of
	// one family.
	Address string
	Mode    fs.FileMode // of a unix socket's file; 0 means 0660
	// Sockets is how many sockets share the address (SO_REUSEPORT), each with its own queue in the kernel, 1 to 256; 0 means
	// GOMAXPROCS. A unix socket is always one, and so is everything where the system has no SO_REUSEPORT that balances.
	Sockets int
	// Backlog is how many accepted connections may wait in the kernel, for each socket. 0 means as many as the kernel allows
	// (net.core.somaxconn), which also caps it.
	Backlog int
	// FastOpen is how many connections opened by TCP fast open may wait for their handshake; 0 turns fast open off.
	FastOpen int
	// MaxConns is how many connections may be open; 0 leaves the limit to the process's descriptors.
	MaxConns int
	// MaxPerClient is how many connections one address may hold, for IPv6 one /64 network; 0 is no limit. Unix sockets have no
	// addresses and are not limited.
	MaxPerClient int
	// Proxy holds the peers that send a PROXY header, which then is required from them; nil is nobody. With any list, peers on
	// a unix socket are trusted too, because the file's mode says who they are.
	Proxy *bart.Lite
	// ProxyTimeout is how long a PROXY header may take; 0 means 5 s.
	ProxyTimeout time.Duration
	// Rules stand for what clients must fulfil to come in. When they change, connections that came in under others end at their next
	// point between requests.
	Rules string
	// TLS is spoken with every client; nil is with none.
	TLS *TLS
	// IdleTimeout is how long a parked connection may stay; 0 means 75 s. The wait of the session before it parks comes on top.
	IdleTimeout time.Duration
}

// maxSockets bounds Settings.Sockets: every one costs a goroutine and a queue.
const maxSockets = 256

// complete fills in defaults and refuses what cannot work.
func (s Settings) complete() (Settings, error) {
	if s.Mode == 0 {
		s.Mode = 0o660
	}
	if s.Sockets == 0 {
		s.Sockets = min(runtime.GOMAXPROCS(0), maxSockets)
	}
	if s.ProxyTimeout == 0 {
		s.ProxyTimeout = 5 * time.Second
	}
	if s.IdleTimeout == 0 {
		s.IdleTimeout = 75 * time.Second
	}
	refuse := func(what string, found any, allowed string) (Settings, error) {
		return s, fmt.Errorf("listener %q: %s is %v; %s", s.Name, what, found, allowed)
	}
	switch {
	case s.Name == "":
		return refuse("the name", `""`, "give every listener a name of its own")
	case s.Sockets < 0 || s.Sockets > maxSockets:
		return refuse("sockets", s.Sockets, "1 to 256 are possible, 0 takes one for each processor")
	case s.Backlog < 0 || s.FastOpen < 0 || s.MaxConns < 0 || s.MaxPerClient < 0:
		return refuse("the least of its limits", min(s.Backlog, s.FastOpen, s.MaxConns, s.MaxPerClient), "limits are 0 or more")
	case s.IdleTimeout < 0 || s.ProxyTimeout < 0:
		return refuse("the least of its timeouts", min(s.IdleTimeout, s.ProxyTimeout), "timeouts are positive, 0 takes the default")
	}
	if path, ok := s.unixPath(); ok {
		if !strings.HasPrefix(path, "/") {
			return refuse("the address", strconv.Quote(s.Address), "a unix socket needs an absolute path, as in unix:/run/straum.sock")
		}
		s.Sockets = 1
		return s, nil
	}
	host, port, err := net.SplitHostPort(s.Address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return refuse("the address", strconv.Quote(s.Address), `write host:port with a port from 0 to 65535, ":port", or unix:/path`)
	}
	s.Address = net.JoinHostPort(host, port)
	if !reusesPorts {
		s.Sockets = 1
	}
	return s, nil
}

// unixPath is the path of a unix socket's address.
func (s *Settings) unixPath() (string, bool) { return strings.CutPrefix(s.Address, "unix:") }

// network is what package net calls the address's kind. A literal address decides the family; without one both are served.
func (s *Settings) network() string {
	host, _, _ := net.SplitHostPort(s.Address) // complete has parsed it
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return "tcp"
	case a.Is4():
		return "tcp4"
	}
	return "tcp6"
}

// covers says that a and b claim the same connections: one port, and both on all addresses of a family they share. A specific
// address beside a wildcard is fine; the kernel prefers it.
func covers(a, b *Settings) bool {
	if a.Address == b.Address {
		return true
	}
	hostA, portA, errA := net.SplitHostPort(a.Address)
	hostB, portB, errB := net.SplitHostPort(b.Address)
	if errA != nil || errB != nil || portA != portB || portA == "0" || !wildcard(hostA) || !wildcard(hostB) {
		return false
	}
	return a.network() == b.network() || a.network() == "tcp" || b.network() == "tcp"
}

func wildcard(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "" || err == nil && a.IsUnspecified()
}
