package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"straum.dev/straum/internal/document"
)

// Address is a TCP address or the path of a Unix socket.
type Address struct {
	Host string // name or IP address; empty is all addresses
	Port uint16
	Path string // of a Unix socket; Host and Port are then unset
}

// IsZero says that no address is set.
func (a Address) IsZero() bool { return a == Address{} }

// Network is tcp or unix, as package net calls them.
func (a Address) Network() string {
	if a.Path != "" {
		return "unix"
	}
	return "tcp"
}

// Dial is the address as package net takes it: host:port, or the path.
func (a Address) Dial() string {
	if a.Path != "" {
		return a.Path
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// String writes the address as an operator does: host:port or unix:/path; empty when unset.
func (a Address) String() string {
	switch {
	case a.IsZero():
		return ""
	case a.Path != "":
		return "unix:" + a.Path
	}
	return a.Dial()
}

// IP returns the host as an IP address; false when it is a name, empty, or there is none.
func (a Address) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(a.Host)
	return ip, err == nil
}

// parseAddress reads host:port and unix:/path. The host may be empty only where all is true, port 0 too.
func parseAddress(text string, all bool) (Address, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		switch {
		case !strings.HasPrefix(path, "/"):
			return Address{}, errors.New("whose path is not absolute; write unix:/path")
		case len(path) > maxSocketPath:
			return Address{}, fmt.Errorf("whose path has more than the %d bytes a socket's path may have", maxSocketPath)
		}
		return Address{Path: path}, nil
	}
	if strings.Contains(text, "://") {
		return Address{}, errors.New("which is a URL; leave the scheme out")
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		var ae *net.AddrError
		if errors.As(err, &ae) && strings.Contains(ae.Err, "missing port") {
			return Address{}, errors.New("which has no port")
		}
		return Address{}, errors.New("which is no host:port; IPv6 addresses go in brackets")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !all || port[0] == '+' {
		return Address{}, fmt.Errorf("whose port is none of 1 to 65535")
	}
	switch {
	case host == "" && !all:
		return Address{}, errors.New("which has no host")
	case host == "" && n == 0: // it would be no different from no address
		return Address{}, errors.New("which has neither host nor port; write [::]:0 to let the kernel choose the port")
	case host == "":
	case strings.Contains(host, ":"):
		if ip, err := netip.ParseAddr(host); err != nil || ip.Zone() != "" {
			return Address{}, errors.New("whose host is no IPv6 address")
		}
	case !isHostName(host):
		return Address{}, errors.New("whose host is neither an IP address nor a name")
	}
	return Address{Host: host, Port: uint16(n)}, nil
}

const maxSocketPath = 107 // sun_path less its final NUL

// isHostName accepts the names DNS hosts have (RFC 1123, section 2.1), underscores as well, since the names
// that containers go by have them, and IPv4 addresses.
func isHostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	// A name whose last label is a number can only be an IPv4 address (WHATWG URL, host parsing).
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		ip, err := netip.ParseAddr(name)
		return err == nil && ip.Is4()
	}
	return true
}

// ListenAddress is where we listen: host:port, :port, or unix:/path. Port 0 lets the kernel choose.
type ListenAddress struct{ Address }

func (*ListenAddress) Form() document.Form {
	return document.Form{Noun: "an address such as :8080, 127.0.0.1:8080, [::1]:8080 or unix:/run/x.sock", Type: "address",
		Pattern: `^(unix:/.+|(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]*):[0-9]{1,5})$`}
}

func (a *ListenAddress) ParseText(text string) (err error) {
	a.Address, err = parseAddress(text, true)
	return err
}

// EndpointAddress is where we connect: host:port, http://host[:port], https://host[:port], or unix:/path.
type EndpointAddress struct {
	Address
	Scheme string // as written: http, https, or empty
}

func (*EndpointAddress) Form() document.Form {
	return document.Form{Noun: "an address such as 10.0.0.5:8080, api.internal:8080, https://api.internal or unix:/run/app.sock", Type: "address",
		Pattern: `^(unix:/.+|(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+):[0-9]{1,5}|https?://(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{1,5})?/?)$`}
}

// String writes the address as an operator does, with the scheme it was written with.
func (a EndpointAddress) String() string {
	if a.Scheme == "" {
		return a.Address.String()
	}
	return a.Scheme + "://" + a.Address.String()
}

// schemes that an endpoint may be written with, and their ports.
var schemes = map[string]string{"http": ":80", "https": ":443"}

func (a *EndpointAddress) ParseText(text string) (err error) {
	if scheme, rest, ok := strings.Cut(text, "://"); ok && schemes[scheme] != "" {
		a.Scheme = scheme
		text = strings.TrimSuffix(rest, "/")
		if strings.ContainsAny(text, "/?#@") {
			return errors.New("which has more than a host and a port; put a path into the route's rewrite")
		}
		if bare := strings.TrimRight(text, "0123456789"); !strings.HasSuffix(bare, ":") || strings.HasSuffix(text, "]") {
			text += schemes[scheme]
		}
	}
	a.Address, err = parseAddress(text, false)
	return err
}

// ServerAddress is a host and port to connect to.
type ServerAddress struct{ Address }

func (*ServerAddress) Form() document.Form {
	return document.Form{Noun: "an address such as 127.0.0.1:53 or [::1]:53", Type: "address",
		Pattern: `^(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}$`}
}

func (a *ServerAddress) ParseText(text string) (err error) {
	if a.Address, err = parseAddress(text, false); err != nil {
		return err
	}
	if _, ok := a.IP(); !ok {
		return errors.New("whose host is no IP address")
	}
	return nil
}

// StoreAddress is where the shared store is: a host, by name or address, and a port.
type StoreAddress struct{ Address }

func (*StoreAddress) Form() document.Form {
	return document.Form{Noun: "an address such as 127.0.0.1:6379, [::1]:6379 or redis.internal:6379", Type: "address",
		Pattern: `^(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+):[0-9]{1,5}$`}
}

func (a *StoreAddress) ParseText(text string) (err error) {
	if a.Address, err = parseAddress(text, false); err == nil && a.Path != "" {
		err = errors.New("which is the path of a socket")
	}
	return err
}

// StatusRange is a status, or the statuses from one to another: 503, 200-299.
type StatusRange struct{ From, To int }

// Has says whether the status is in the range.
func (r StatusRange) Has(status int) bool { return r.From <= status && status <= r.To }

func (r StatusRange) String() string {
	if r.From == r.To {
		return strconv.Itoa(r.From)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

func (*StatusRange) Form() document.Form {
	return document.Form{Noun: "a status such as 503, or a range such as 200-299", Type: "status or range",
		Pattern: `^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$`, Number: true}
}

func (r *StatusRange) ParseText(text string) error {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	low, err1 := status(from)
	high, err2 := status(to)
	switch {
	case err1 != nil:
		return err1
	case err2 != nil:
		return err2
	case low > high:
		return fmt.Errorf("which ends before it starts; write %d-%d", high, low)
	}
	*r = StatusRange{low, high}
	return nil
}

func status(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || len(text) != 3 || n < 100 || n > 599 {
		return 0, errors.New("which is no status from 100 to 599")
	}
	return n, nil
}

// HashKey is what of a request decides its endpoint.
type HashKey struct {
	Source string // client_ip, header or cookie
	Name   string // of the header or cookie; header names in lower case
}

func (k HashKey) String() string {
	if k.Name == "" {
		return k.Source
	}
	return k.Source + ":" + k.Name
}

func (*HashKey) Form() document.Form {
	return document.Form{Noun: "client_ip, header:NAME or cookie:NAME", Type: "client_ip, header:NAME, cookie:NAME",
		Pattern: `^(client_ip|(header|cookie):[!#$%&'*+.^_|~0-9A-Za-z-]+)$`}
}

func (k *HashKey) ParseText(text string) error {
	source, name, named := strings.Cut(text, ":")
	switch {
	case source == "client_ip" && !named:
	case source != "header" && source != "cookie":
		if near := document.Suggest(source, []string{"client_ip", "header", "cookie"}); near != "" {
			return fmt.Errorf("which is none of those (did you mean %s?)", near)
		}
		return errors.New("which is none of those")
	case !isToken(name):
		return fmt.Errorf("whose name is no %s name", source)
	case source == "header":
		name = strings.ToLower(name)
	}
	*k = HashKey{source, name}
	return nil
}

// isToken is RFC 9110, section 5.6.2, less the backtick: that cannot stand in a struct tag, which is where patterns of this form are
// (see Sticky.Cookie), and what the schema allows and what is taken here have to be the same. No name in use has one.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_|~", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= 256
}
