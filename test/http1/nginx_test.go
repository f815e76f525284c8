package http1

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// startNginx runs nginx in front of an endpoint as close to a gateway as it can be configured, and returns its address. Without
// nginx the test is skipped.
func startNginx(t *testing.T, endpoint string) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	dir, addr := t.TempDir(), gateway.Free(t)
	config := filepath.Join(dir, "nginx.conf")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	text := strings.NewReplacer("DIR", dir, "ADDR", addr, "ENDPOINT", endpoint).Replace(user + `
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log warn;
events {}
http {
  access_log off; client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  underscores_in_headers on; proxy_request_buffering off; proxy_buffering off; proxy_pass_header Server; proxy_pass_header Date; proxy_next_upstream off;
  upstream app { server ENDPOINT; keepalive 8; }
  server { listen ADDR; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; } }
}`)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", config, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	cmd.Stderr = os.Stderr
	if err := gateway.Spawn(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		cmd.Wait()
	})
	gateway.Await(t, "nginx to listen", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return addr
}

// comparable is a message without what is allowed to differ between gateways: the order of fields and the case of their names, who
// asked, what is about the connection, and how the body is framed.
func comparable(m *wire.Message) string {
	var lines []string
	for _, f := range m.Fields {
		name := strings.ToLower(f.Name)
		switch name {
		case "connection", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip", "forwarded", "transfer-encoding", "content-length", "date", "keep-alive":
			continue
		}
		lines = append(lines, name+": "+f.Value)
	}
	slices.Sort(lines)
	start := m.Start
	if m.Status() != 0 {
		start = fmt.Sprint(m.Status())
	}
	return start + "\n" + strings.Join(lines, "\n") + "\n" + string(m.Body)
}

// The same request through the gateway and through nginx is the same at the endpoint, and so is the same answer at the client. Where
// the gateway is stricter by design (ambiguous framing, odd paths) is not asked here: see test/hostile.
func TestAsNginx(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	endpoint := wire.Listen(t, wire.Recording(&seen, func(m *wire.Message) string {
		switch m.Target() {
		case "/304":
			return "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nX-A: 1\r\n\r\n"
		case "/204":
			return "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"
		case "/chunked":
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
		case "/cookies":
			return "HTTP/1.1 302 Found\r\nLocation: http://other/x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: own\r\nContent-Length: 0\r\n\r\n"
		case "/500":
			return "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\nX-A: 1\r\n\r\noops"
		case "/206":
			return "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\nAccept-Ranges: bytes\r\n\r\nab"
		}
		if m.Method() == "HEAD" {
			return "HTTP/1.1 200 OK\r\nContent-Length: 77\r\nETag: \"h\"\r\n\r\n"
		}
		return wire.OK(m.Target())
	}))
	peer := startNginx(t, endpoint.Addr)
	addr := gateway.Free(t)
	gateway.Start(t, gateway.Simple(addr, []string{endpoint.Addr}, ""))

	large := content(200_000, 7)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /a/b%20c?x=1&y=%zz HTTP/1.1\r\nHost: a.example:8080\r\n\r\n",
		"GET /x?a=b?c=d HTTP/1.1\r\nHost: A.Example\r\nUser-Agent: u\r\naccept: */*\r\n\r\n",
		"GET /a;b=c/d,e/$f@g:h HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /304 HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"a\"\r\n\r\n",
		"GET /204 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /206 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n",
		"GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /cookies HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=d\r\n\r\n",
		"GET /500 HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /p HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
		"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n",
		"PUT /large HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + large,
		"PATCH /large HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(large, func() int { return 7000 }),
		"DELETE /d HTTP/1.1\r\nHost: a\r\n\r\n",
		"DELETE /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"OPTIONS /o HTTP/1.1\r\nHost: a\r\nOrigin: http://o\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
		"PROPFIND /dav HTTP/1.1\r\nHost: a\r\nDepth: 1\r\n\r\n",
		"GET /hop HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nTE: gzip\r\nX-Kept: 1\r\n\r\n",
		"GET /old HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
		"GET /twice HTTP/1.1\r\nHost: a\r\nX-Twice: 1\r\nX-Twice: 2\r\nX_Under: 3\r\nX-Spaces: a  b\r\n\r\n",
		"GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: Basic Og==\r\nReferer: http://r/?x\r\nAccept-Encoding: gzip, br\r\n\r\n",
		"GET http://a/absolute?x HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /expect HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
	} {
		var requests, answers [2]string
		for i, to := range []string{addr, peer} {
			c := wire.Dial(t, to)
			c.Send(request)
			method, _, _ := strings.Cut(request, " ")
			m := c.Head()
			if m.Status() == 100 {
				m = c.Head() // both may say so, or see that nobody waits
			}
			c.Body(m, method)
			answers[i] = comparable(m)
			requests[i] = comparable(seen.One(t))
			c.Close()
		}
		if requests[0] != requests[1] {
			t.Errorf("%.200q reaches the endpoint as\n%.400s\nand through nginx as\n%.400s", request, requests[0], requests[1])
		}
		if answers[0] != answers[1] {
			t.Errorf("%.200q is answered\n%.400s\nand through nginx\n%.400s", request, answers[0], answers[1])
		}
	}
}
