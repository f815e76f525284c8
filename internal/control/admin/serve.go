package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"

	"straum.dev/straum/internal/document"
)

// Settings say where the API is served.
type Settings struct {
	Socket  string          // path of the unix socket; empty is none
	Address string          // host:port, a loopback one; empty is none
	Token   document.Secret // what callers of Address must show
}

// The limits of each of the two doors.
const (
	maxConnections = 64
	headerTime     = 5 * time.Second
	readTime       = 10 * time.Second
	writeTime      = time.Minute // a reload may open sockets and read many files
	idleTime       = time.Minute
	maxHeader      = 16 << 10
	stopTime       = 5 * time.Second // for requests under way when a door closes
)

// Apply serves the API where s says, and nowhere else. New doors are opened before old ones are closed, so that after an error
// all is as it was. A door whose place stays goes on with its connections; a new token counts at once. Requests under way at a
// door that closes may end.
func (a *Admin) Apply(s Settings) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errors.New("admin: closed")
	}
	if s.Address != "" && s.Token.Reveal() == "" {
		return errors.New("admin: an address needs a token: set admin.token, or leave admin.address out and use the socket")
	}
	socket, address := a.socket, a.address
	var err error
	if s.Socket != a.settings.Socket {
		if socket, err = openDoor(s.Socket, openSocket); err != nil {
			return err
		}
	}
	if s.Address != a.settings.Address {
		if address, err = openDoor(s.Address, openLoopback); err != nil {
			if socket != a.socket {
				socket.discard()
			}
			return err
		}
	}
	a.settings = s
	a.token.Store(nil)
	if s.Address != "" {
		digest := sha256.Sum256([]byte(s.Token.Reveal()))
		a.token.Store(&digest)
	}
	a.socket = a.swap(a.socket, socket, a.guarded())
	a.address = a.swap(a.address, address, a.identified(a.guarded()))
	return nil
}

// Addr is where the TCP address is served, with the port the kernel chose if none was asked for; nil when it is not.
func (a *Admin) Addr() net.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.address == nil {
		return nil
	}
	return a.address.listener.Addr()
}

// Close stops serving and waits for requests under way, at most until ctx ends. A request must not wait for it.
func (a *Admin) Close(ctx context.Context) {
	a.mu.Lock()
	a.closed = true
	a.socket = a.swap(a.socket, nil, nil)
	a.address = a.swap(a.address, nil, nil)
	a.mu.Unlock()
	gone := make(chan struct{})
	go func() { a.leaving.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-ctx.Done():
	}
}

// door is one place where the API is served.
type door struct {
	listener net.Listener
	remove   func() // what is left behind in the file system
	server   *http.Server
}

func openDoor(where string, open func(string) (net.Listener, func(), error)) (*door, error) {
	if where == "" {
		return nil, nil
	}
	ln, remove, err := open(where)
	if err != nil {
		return nil, err
	}
	return &door{listener: ln, remove: remove}, nil
}

// discard closes a door that was never served.
func (d *door) discard() {
	if d != nil {
		_ = d.listener.Close() // nobody came in
		d.remove()
	}
}

// swap serves at the new door, when it is another, and lets the old one go in the background: the request that ordered this may
// stand in it.
func (a *Admin) swap(old, next *door, handler http.Handler) *door {
	if old == next {
		return old
	}
	if next != nil {
		a.serve(next, handler)
	}
	if old != nil {
		a.leaving.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), stopTime)
			defer cancel()
			old.remove()
			if old.server.Shutdown(ctx) != nil {
				_ = old.server.Close() // Shutdown told already that not all have ended
			}
		})
	}
	return next
}

func (a *Admin) serve(d *door, handler http.Handler) {
	d.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(a.sources.Log.Handler(), slog.LevelDebug),
	}
	a.leaving.Go(func() {
		err := d.server.Serve(netutil.LimitListener(d.listener, maxConnections))
		if !errors.Is(err, http.ErrServerClosed) {
			a.sources.Log.Error("the admin API is no longer served", "at", d.listener.Addr().String(), "error", err)
		}
	})
}

// openLoopback listens on an address that only this machine reaches.
func openLoopback(address string) (net.Listener, func(), error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, fmt.Errorf("admin: address %q: %w; allowed: a loopback address with a port, such as 127.0.0.1:9901", address, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return nil, nil, fmt.Errorf("admin: address %q: found the host %q; allowed: a loopback one, such as 127.0.0.1 or [::1]; for callers elsewhere use an SSH tunnel", address, host)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, nil, fmt.Errorf("admin: %w", err)
	}
	return ln, func() {}, nil
}
