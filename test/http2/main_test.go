// Package http2 proves from outside that HTTP/2 and TLS are other ways in to the same gateway: what holds for HTTP/1.1 holds over all
// of them, and what HTTP/2 makes possible to do harm is refused.
package http2

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// front is a gateway with a listener of each kind.
type front struct {
	*gateway.Gateway
	plain, secure string // addresses
	authority     *gateway.Authority
	config        string
}

// setting is what a front has besides.
type setting struct {
	listener string // of both listeners, YAML indented by four
	upstream string // of the upstream app, YAML indented by four
	others   string // upstreams besides, YAML indented by two
	routes   string // in front of the one that takes all, YAML indented by two
	all      string // the path of the last route; /* when empty
	more     string // at the top
}

// open starts a gateway in front of an endpoint.
func open(t *testing.T, endpoint string, s setting) *front {
	t.Helper()
	f := &front{plain: gateway.Free(t), secure: gateway.Free(t), authority: gateway.NewAuthority(t)}
	f.config = fmt.Sprintf(`
listeners:
  - name: plain
    address: %q
%[2]s
  - name: secure
    address: %[3]q
    tls: { certificates: [%[4]s] }
%[2]s
upstreams:
  app:
    endpoints: [%[5]q]
%[6]s
%[7]s
routes:
%[8]s
  - { name: all, match: { path: %[9]s }, upstream: app }
%[10]s`, f.plain, strings.TrimRight(s.listener, "\n"), f.secure, f.authority.Issue([]string{"api.example", "localhost", "127.0.0.1"}).YAML(), endpoint,
		strings.TrimRight(s.upstream, "\n"), strings.TrimRight(s.others, "\n"), strings.TrimRight(s.routes, "\n"), cmp.Or(s.all, "/*"), s.more)
	f.Gateway = gateway.Start(t, f.config)
	return f
}

// streams opens an HTTP/2 connection, by TLS or without.
func (f *front) streams(t *testing.T, secure bool) *wire.Streams {
	t.Helper()
	if secure {
		return wire.DialStreams(t, f.secure, f.authority.Trusting("api.example"))
	}
	return wire.DialStreams(t, f.plain, nil)
}

// way is a way in.
type way struct {
	name   string
	proto  string // as the access log names it
	addr   string
	scheme string
	client *http.Client
}

// ways are the four ways in, each with a client of its own.
func (f *front) ways(t *testing.T) []*way {
	t.Helper()
	var all []*way
	for _, w := range []struct {
		name          string
		secure, http2 bool
	}{{"h1", false, false}, {"h1+tls", true, false}, {"h2", true, true}, {"h2c", false, true}} {
		transport := &http.Transport{DisableCompression: true, TLSClientConfig: f.authority.Trusting("api.example"), Protocols: new(http.Protocols),
			ExpectContinueTimeout: gateway.Patience, MaxResponseHeaderBytes: 1 << 20}
		one := &way{name: w.name, proto: "HTTP/1.1", addr: f.plain, scheme: "http", client: &http.Client{Transport: transport, Timeout: 2 * gateway.Patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
		switch {
		case w.http2 && w.secure:
			transport.Protocols.SetHTTP2(true)
		case w.http2:
			transport.Protocols.SetUnencryptedHTTP2(true)
		default:
			transport.Protocols.SetHTTP1(true)
		}
		if w.http2 {
			one.proto = "HTTP/2"
		}
		if w.secure {
			one.addr, one.scheme = f.secure, "https"
		}
		t.Cleanup(transport.CloseIdleConnections)
		all = append(all, one)
	}
	return all
}

// url is a URL by this way.
func (w *way) url(path string) string { return w.scheme + "://" + w.addr + path }

// version is what the client has to see.
func (w *way) version() int { return map[string]int{"HTTP/1.1": 1, "HTTP/2": 2}[w.proto] }

// each runs a test over all ways in to the same gateway, one after the other.
func (f *front) each(t *testing.T, test func(t *testing.T, w *way)) {
	t.Helper()
	for _, w := range f.ways(t) {
		t.Run(w.name, func(t *testing.T) { test(t, w) })
	}
}

// trusting is the TLS of a client that speaks HTTP/1.1.
func (f *front) trusting() *tls.Config { return f.authority.Trusting("api.example", "http/1.1") }

// tlsDial opens a TLS connection that has agreed on h2.
func tlsDial(f *front) (net.Conn, error) {
	return tls.Dial("tcp", f.secure, f.authority.Trusting("api.example", "h2"))
}
