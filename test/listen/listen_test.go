// Package listen proves from outside where connections are taken from, whom they are said to come from, and how many may be open.
package listen

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/traffic"
)

func TestMain(m *testing.M) { os.Exit(gateway.Main(m)) }

// config is a configuration with listeners, given as their YAML, in front of one endpoint.
func config(endpoint string, listeners ...string) string {
	return fmt.Sprintf("listeners:\n  - %s\nupstreams:\n  app: { endpoints: [%q] }\nroutes:\n  - { name: all, match: { path: /* }, upstream: app }\n",
		strings.Join(listeners, "\n  - "), endpoint)
}

// fields is an endpoint that answers with the head it was sent.
func fields(t *testing.T) string {
	e := traffic.NewScripted(t, echoHead)
	return e.Addr
}

func echoHead(c net.Conn, _ int64) {
	in := bufio.NewReader(c)
	for {
		r, _, err := traffic.Read(in)
		if err != nil {
			return
		}
		var b strings.Builder
		fmt.Fprintf(&b, "Host: %s\n", r.Host)
		for name, values := range r.Header {
			for _, v := range values {
				fmt.Fprintf(&b, "%s: %s\n", name, v)
			}
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", b.Len(), b.String())
	}
}

func good(t *testing.T, addr string) string {
	t.Helper()
	r, body, err := traffic.Once(addr, traffic.Get("/"))
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: got %v, %v", addr, r, err)
	}
	return body
}

// dial connects until the test ends.
func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(gateway.Patience))
	return c, bufio.NewReader(c)
}

// TestAddresses listens everywhere at once: IPv4, IPv6, all addresses and a unix socket, which is gone after the end.
func TestAddresses(t *testing.T) {
	t.Parallel()
	v4, all := gateway.Free(t), gateway.Free(t)
	_, port, _ := net.SplitHostPort(all)
	_, port6, _ := net.SplitHostPort(gateway.Free(t))
	socket := filepath.Join(t.TempDir(), "in.sock")
	e := fields(t)
	listeners := []string{
		fmt.Sprintf("{ name: v4, address: %q }", v4),
		fmt.Sprintf("{ name: all, address: %q }", ":"+port),
		fmt.Sprintf("{ name: local, address: %q }", "unix:"+socket),
	}
	places := map[string]string{"v4": v4, "all": all, "local": socket}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil { // some machines have no IPv6
		l.Close()
		places["v6"] = "[::1]:" + port6
		listeners = append(listeners, fmt.Sprintf("{ name: v6, address: %q }", places["v6"]))
	}
	g := gateway.Start(t, config(e, listeners...))
	for name, addr := range places {
		good(t, addr)
		l := g.AwaitAccess("by listener "+name, func(l gateway.Line) bool { return l.Text("listener") == name })
		if client := l.Text("client"); name != "local" && client != "127.0.0.1" && client != "::1" {
			t.Errorf("%s: got the client %q", name, client)
		}
		if n := g.Number("straum_listener_accepted_total", `listener="`+name+`"`); n != 1 {
			t.Errorf("%s: got %v connections, want 1", name, n)
		}
	}
	if places["v6"] != "" {
		good(t, "[::1]:"+port)
	}
	if code := g.Stop(); code != 0 {
		t.Errorf("got the exit code %d, want 0", code)
	}
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the unix socket is still there: %v", err)
	}
}

// TestUnixEndpoint has an endpoint behind a unix socket, that goes and comes back.
func TestUnixEndpoint(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.sock")
	e := traffic.NewScriptedAt(t, "unix", path, echoHead)
	listen := gateway.Free(t)
	gateway.Start(t, config("unix:"+path, fmt.Sprintf("{ address: %q }", listen)))
	if head := good(t, listen); !strings.Contains(head, "X-Forwarded-For: 127.0.0.1") {
		t.Errorf("the endpoint got\n%s", head)
	}
	e.Close()
	if r, _, err := traffic.Once(listen, traffic.Get("/")); err != nil || r.StatusCode != http.StatusBadGateway {
		t.Errorf("got %v %v without an endpoint, want 502", r, err)
	}
	traffic.NewScriptedAt(t, "unix", path, echoHead)
	good(t, listen)
}

// version2 is a PROXY header of version 2 for TCP over IPv4.
func version2(from, to string, fromPort, toPort uint16) string {
	b := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")
	b = append(b, net.ParseIP(from).To4()...)
	b = append(b, net.ParseIP(to).To4()...)
	b = binary.BigEndian.AppendUint16(b, fromPort)
	b = binary.BigEndian.AppendUint16(b, toPort)
	return string(b)
}

// TestProxyHeader believes trusted peers, and them alone, about where a connection comes from.
func TestProxyHeader(t *testing.T) {
	t.Parallel()
	trusting, distrusting := gateway.Free(t), gateway.Free(t)
	g := gateway.Start(t, config(fields(t),
		fmt.Sprintf("{ name: trusting, address: %q, proxy_protocol: { from: [127.0.0.0/8] } }", trusting),
		fmt.Sprintf("{ name: distrusting, address: %q, proxy_protocol: { from: [10.9.9.9] } }", distrusting)))
	for name, header := range map[string]string{
		"/v1":   "PROXY TCP4 198.51.100.7 203.0.113.1 5000 80\r\n",
		"/v1-6": "PROXY TCP6 2001:db8::7 2001:db8::1 5000 80\r\n",
		"/v2":   version2("198.51.100.8", "203.0.113.1", 5000, 80),
	} {
		c, in := dial(t, trusting)
		r, head, err := traffic.Exchange(c, in, header+traffic.Get(name))
		if err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("%s: got %v %v", name, r, err)
			continue
		}
		want := map[string]string{"/v1": "198.51.100.7", "/v1-6": "2001:db8::7", "/v2": "198.51.100.8"}[name]
		if !strings.Contains(head, "X-Forwarded-For: "+want) {
			t.Errorf("%s: the endpoint got\n%s", name, head)
		}
		l := g.AwaitAccess(name, func(l gateway.Line) bool { return l.Text("path") == name })
		if l.Text("client") != want {
			t.Errorf("%s: got the line %v, want the client %s", name, l, want)
		}
		// The header is for the connection, not for a request.
		if r, head, err := traffic.Exchange(c, in, traffic.Get("/again")); err != nil || r.StatusCode != http.StatusOK || !strings.Contains(head, want) {
			t.Errorf("%s: got %v %v for a second request, with\n%s", name, r, err, head)
		}
	}
	// One that comes in pieces.
	c, in := dial(t, trusting)
	for _, piece := range []string{"PROXY TCP4 198.51", ".100.9 203.0.113.1 50", "00 80\r", "\nGET /pieces HTTP/1.1\r\nHo", "st: a\r\n\r\n"} {
		io.WriteString(c, piece)
		time.Sleep(10 * time.Millisecond)
	}
	if r, head, err := traffic.Answer(in, ""); err != nil || r.StatusCode != http.StatusOK || !strings.Contains(head, "198.51.100.9") {
		t.Errorf("in pieces: got %v %v, with\n%s", r, err, head)
	}
	// A trusted peer must send one.
	c, in = dial(t, trusting)
	if r, _, err := traffic.Exchange(c, in, traffic.Get("/without")); err == nil && r.StatusCode < 400 {
		t.Errorf("got %v from a trusted peer without a header, want none", r)
	}
	gateway.Await(t, "the refusal is counted", func() bool {
		return g.Number("straum_listener_refused_total", `listener="trusting"`, `reason="proxy_header"`) == 1
	})
	// Anybody else must not.
	c, in = dial(t, distrusting)
	if r, _, err := traffic.Exchange(c, in, "PROXY TCP4 198.51.100.7 203.0.113.1 5000 80\r\n"+traffic.Get("/forged")); err == nil && r.StatusCode < 400 {
		t.Errorf("got %v from somebody who is not trusted, want a refusal", r)
	}
	for _, l := range g.Access() {
		if l.Text("listener") == "distrusting" && l.Text("client") != "127.0.0.1" && l.Text("client") != "" {
			t.Errorf("a forged header was believed: %v", l)
		}
	}
}

// TestForwarded believes X-Forwarded-For from trusted proxies alone.
func TestForwarded(t *testing.T) {
	t.Parallel()
	trusting, distrusting := gateway.Free(t), gateway.Free(t)
	g := gateway.Start(t, config(fields(t),
		fmt.Sprintf("{ name: trusting, address: %q, trusted_proxies: [127.0.0.1] }", trusting),
		fmt.Sprintf("{ name: distrusting, address: %q }", distrusting)))
	for name, c := range map[string]struct{ addr, want string }{
		"/trusted":   {trusting, "198.51.100.7"},
		"/untrusted": {distrusting, "127.0.0.1"},
	} {
		request := strings.Replace(traffic.Get(name), "\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.99, 198.51.100.7\r\n\r\n", 1)
		if r, _, err := traffic.Once(c.addr, request); err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("%s: got %v %v", name, r, err)
		}
		l := g.AwaitAccess(name, func(l gateway.Line) bool { return l.Text("path") == name })
		if l.Text("client") != c.want {
			t.Errorf("%s: got the client %q, want %s", name, l.Text("client"), c.want)
		}
	}
}

// TestPerClient refuses a client's surplus connections with 503, and takes other clients'.
func TestPerClient(t *testing.T) {
	t.Parallel()
	listen := gateway.Free(t)
	g := gateway.Start(t, config(fields(t), fmt.Sprintf("{ name: main, address: %q, limits: { connections_per_client: 3 } }", listen)))
	held := make([]net.Conn, 3)
	for i := range held {
		c, in := dial(t, listen)
		held[i] = c
		if r, _, err := traffic.Exchange(c, in, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK {
			t.Fatal(r, err)
		}
	}
	r, _, err := traffic.Once(listen, traffic.Get("/"))
	if err != nil || r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || !r.Close {
		t.Fatalf("got %v %v for one connection too many, want 503", r, err)
	}
	if types := r.Header.Values("Content-Type"); len(types) != 1 {
		t.Errorf("got the content types %q, want one", types)
	}
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	c, err := other.Dial("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if r, _, err := traffic.Exchange(c, bufio.NewReader(c), traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("another client got %v %v", r, err)
	}
	if n := g.Number("straum_listener_refused_total", `reason="client_limit"`); n != 1 {
		t.Errorf("got %v refusals, want 1", n)
	}
	held[0].Close()
	gateway.Await(t, "the place is free again", func() bool {
		r, _, err := traffic.Once(listen, traffic.Get("/"))
		return err == nil && r.StatusCode == http.StatusOK
	})
}

// TestAllTaken holds all connections a listener may have: idle ones make room, and when none is idle newcomers wait for their turn.
func TestAllTaken(t *testing.T) {
	t.Parallel()
	letGo := make(chan struct{})
	e := traffic.NewScripted(t, func(c net.Conn, _ int64) {
		in := bufio.NewReader(c)
		for {
			r, _, err := traffic.Read(in)
			if err != nil {
				return
			}
			if r.URL.Path == "/held" {
				<-letGo
			}
			io.WriteString(c, traffic.OK)
		}
	})
	listen := gateway.Free(t)
	g := gateway.Start(t, config(e.Addr, fmt.Sprintf("{ name: main, address: %q, sockets: 1, limits: { connections: 10 } }", listen)))
	idle := make([]net.Conn, 10)
	for i := range idle {
		c, in := dial(t, listen)
		idle[i] = c
		if r, _, err := traffic.Exchange(c, in, traffic.Get("/")); err != nil || r.StatusCode != http.StatusOK {
			t.Fatal(r, err)
		}
	}
	good(t, listen) // one of the idle is closed for it
	if g.Number("straum_listener_refused_total", `reason="evicted"`) == 0 {
		t.Error("nothing tells of the idle connection that made room")
	}
	for _, c := range idle {
		c.Close()
	}
	gateway.Await(t, "all are gone", func() bool { return g.Number("straum_listener_connections") == 0 })

	held := make(chan int, 30)
	for range cap(held) {
		go func() {
			r, _, err := traffic.Once(listen, traffic.Get("/held"))
			if err != nil {
				held <- 0
				return
			}
			held <- r.StatusCode
		}()
	}
	gateway.Await(t, "all places are taken", func() bool { return g.Number("straum_endpoint_active_requests") == 10 })
	if n := g.Number("straum_listener_connections"); n > 10 {
		t.Errorf("got %v connections, want 10 at most", n)
	}
	close(letGo)
	for range cap(held) {
		if status := <-held; status != http.StatusOK {
			t.Errorf("a client that waited got %d", status)
		}
	}
}

// TestLimits refuses what is larger than a listener allows, each with its status.
func TestLimits(t *testing.T) {
	t.Parallel()
	listen := gateway.Free(t)
	gateway.Start(t, config(fields(t), fmt.Sprintf("{ address: %q, limits: { request_line: 300, header_bytes: 2KiB, header_count: 20, body: 1000 } }", listen)))
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		what, request string
		status        int
	}{
		{"all is small", traffic.Post("/", "body"), 200},
		{"a long request line", traffic.Get("/" + long), 414},
		{"a large header", strings.Replace(traffic.Get("/"), "\r\n\r\n", "\r\nX-Long: "+long+"\r\n\r\n", 1), 431},
		{"many fields", strings.Replace(traffic.Get("/"), "\r\n\r\n", strings.Repeat("\r\nX-Many: 1", 30)+"\r\n\r\n", 1), 431},
		{"a large body", traffic.Post("/", long), 413},
		{"a large body in chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n" + long + "\r\n0\r\n\r\n", 413},
	} {
		r, _, err := traffic.Once(listen, c.request)
		if err != nil || r.StatusCode != c.status {
			t.Errorf("%s: got %v %v, want %d", c.what, r, err, c.status)
		}
	}
}
