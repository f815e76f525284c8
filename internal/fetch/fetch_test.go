package fetch

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckURL(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		u, err := CheckURL(raw)
		got := fmt.Sprint(err)
		if err == nil {
			got = u.String()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %q in it", raw, got, want)
		}
		if err != nil && strings.Contains(got, "s3cr3t") {
			t.Errorf("%q: the error holds a secret: %s", raw, got)
		}
	}
	for _, good := range []string{
		"https://id.example.com/jwks", "https://id.example.com", "https://id.example.com:8443/a?b=c%20d", "https://10.0.0.1/", "https://[2001:db8::1]:1/",
		"http://127.0.0.1:9/", "http://127.9.9.9/", "http://[::1]:80/", "http://localhost/", "http://LOCALHOST:1/",
	} {
		f(good, good)
	}
	for _, bad := range []string{
		"http://id.example.com/", "http://10.0.0.1/", "http://localhost.example.com/", "http://127.0.0.1.example.com/", "http://2130706433/", "http://0x7f.1/",
	} {
		f(bad, "http:// to another box")
	}
	f("", "does not begin with https://")
	f("id.example.com", "does not begin with https://")
	f("//id.example.com/", "does not begin with https://")
	f("ftp://id.example.com/", "does not begin with https://")
	f("file:///etc/passwd", "does not begin with https://")
	f("https:id.example.com", "does not begin with https://")
	f("https:///path", "names no host")
	f("https://:443/path", "names no host")
	f("https://u:s3cr3t@id.example.com/", "user name or password")
	f("https://s3cr3t@id.example.com/", "user name or password")
	f("https://id.example.com/#s3cr3t", "fragment")
	f("https://id.example.com/#", "fragment")
	f("https://id.example.com:/", "colon without a port")
	f("https://id.example.com:0/", "none of 1 to 65535")
	f("https://id.example.com:65536/", "none of 1 to 65535")
	f("https://id.example.com:s3cr3t/", "cannot be read")
	f("https://id.example.com/%zzs3cr3t", "cannot be read")
	f("https://id.example.com/a b", "a space")
	f("https://id.example.com/\r\nX: s3cr3t", "a control character")
	f("https://bücher.example/", "outside ASCII")
	f("https://id.example.com/"+strings.Repeat("s3cr3t", 400), "at most 2048")
	for _, host := range []string{
		"169.254.169.254", "[fe80::1]", "[fe80::1%25eth0]", "0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]", "255.255.255.255", "0.1.2.3", "[fd00:ec2::254]",
		"[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "100.100.100.200", "168.63.129.16", "[::ffff:168.63.129.16]", "[64:ff9b::168.63.129.16]", "[fd20:ce::254]",
	} {
		f("https://"+host+"/", "requests are never sent there")
	}
	if u, err := CheckPlainURL("http://10.0.0.1:9091/a"); err != nil || u.Host != "10.0.0.1:9091" {
		t.Errorf("plain: %v, %v", u, err)
	}
	if _, err := CheckPlainURL("http://169.254.169.254/"); err == nil {
		t.Error("plain: a link-local address is taken")
	}
}

func TestCheckFound(t *testing.T) {
	f := func(document, raw string, good bool) {
		t.Helper()
		d, err := url.Parse(document)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CheckFound(raw, d); (err == nil) != good {
			t.Errorf("%s in %s: %v", raw, document, err)
		}
	}
	f("https://id.example.com/a", "https://id.example.com/jwks", true)
	f("https://id.example.com/a", "https://keys.example.org/jwks", true)
	f("https://id.example.com/a", "http://id.example.com/jwks", false)
	f("https://id.example.com/a", "http://127.0.0.1/jwks", false)
	f("https://id.example.com/a", "https://169.254.169.254/jwks", false)
	f("http://127.0.0.1:80/a", "http://127.0.0.1:80/jwks", true)
	f("http://127.0.0.1:80/a", "http://127.0.0.1:81/jwks", false)
	f("http://127.0.0.1:80/a", "http://localhost:80/jwks", false)
	f("http://127.0.0.1:80/a", "file:///jwks", false)
}

func client(t *testing.T, s Settings) *Client {
	t.Helper()
	c, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

func serve(t *testing.T, how http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(how)
	t.Cleanup(s.Close)
	return s
}

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := CheckURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDo(t *testing.T) {
	s := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		rw.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		rw.Header().Set("X-Seen", fmt.Sprintf("%s %s host=%s ua=%s ae=%q x=%q len=%d", r.Method, r.RequestURI, r.Host, r.UserAgent(), r.Header["Accept-Encoding"], r.Header["X-A"], r.ContentLength))
		rw.WriteHeader(207)
		rw.Write(append([]byte("got "), body...))
	})
	c := client(t, Settings{})
	u := parse(t, s.URL+"/p?q=1")
	out, err := c.Do(t.Context(), Request{Method: "POST", URL: u, Header: Header{{"x-a", "1"}, {"X-A", "2"}}, Body: []byte("body")})
	if err != nil {
		t.Fatal(err)
	}
	if out.Status != 207 || string(out.Body) != "got body" {
		t.Errorf("%d %q", out.Status, out.Body)
	}
	if got, want := out.Header.Get("x-seen"), `POST /p?q=1 host=`+u.Host+` ua=Straum ae=[] x=["1" "2"] len=4`; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	var cookies []string
	for _, f := range out.Header {
		if f.Name == "Set-Cookie" {
			cookies = append(cookies, f.Value)
		}
	}
	if strings.Join(cookies, " ") != "a=1 b=2" {
		t.Errorf("cookies %q", cookies)
	}
	if out, err = c.Do(t.Context(), Request{URL: u}); err != nil || !strings.HasPrefix(out.Header.Get("X-Seen"), "GET ") || !strings.HasSuffix(out.Header.Get("X-Seen"), "len=0") {
		t.Errorf("%v, %v", out, err)
	}
	// Fields that would break the message are refused before anything is sent.
	for _, bad := range []Field{{"X-A", "a\r\nX-B: c"}, {"X-A", "a\nb"}, {"X-A", "\x00"}, {"X A", "a"}, {"X-A\r\nX-B", "a"}, {"X:", ""}} {
		if out, err := c.Do(t.Context(), Request{URL: u, Header: Header{bad}}); err == nil {
			t.Errorf("%q went out: %v", bad, out.Header.Get("X-Seen"))
		}
	}
	if _, err := c.Do(t.Context(), Request{Method: "GET /x HTTP/1.1\r\nA: b\r\n\r\nGET", URL: u}); err == nil {
		t.Error("a method with a line break went out")
	}
}

// What is learnt from an answer is never taken to another place.
func TestNoRedirectsNoCookies(t *testing.T) {
	var asked atomic.Int32
	s := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Cookie") != "" {
			t.Error("a cookie was sent")
		}
		rw.Header().Set("Set-Cookie", "a=b")
		http.Redirect(rw, r, "/elsewhere", http.StatusFound)
	})
	c := client(t, Settings{})
	for range 2 {
		out, err := c.Do(t.Context(), Request{URL: parse(t, s.URL)})
		if err != nil || out.Status != 302 || out.Header.Get("location") != "/elsewhere" {
			t.Errorf("%v, %v", out, err)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestProxyOfEnvironmentIsIgnored(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("NO_PROXY", "")
	if c := client(t, Settings{}); c.transport.Proxy != nil {
		t.Error("there is a proxy")
	}
}

func TestLimits(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fits":
			rw.Write(make([]byte, 1000))
		case "/long":
			rw.Header().Set("X-A", "b")
			rw.Header().Set("Content-Length", "1001")
			rw.WriteHeader(203)
			rw.Write(make([]byte, 1001))
		case "/longchunked":
			rw.Header().Set("X-A", "b")
			rw.WriteHeader(203)
			for range 1000 {
				if _, err := rw.Write(make([]byte, 1<<10)); err != nil {
					return
				}
				rw.(http.Flusher).Flush()
			}
		case "/longheader":
			rw.Header().Set("X-A", strings.Repeat("b", maxHeader))
		case "/slowbody":
			rw.Write([]byte("a"))
			rw.(http.Flusher).Flush()
			<-release
		case "/slow":
			<-release
		case "/zipped":
			rw.Header().Set("Content-Encoding", "gzip")
			rw.Write([]byte("\x1f\x8b"))
		}
	})
	t.Cleanup(func() { close(release) })
	c := client(t, Settings{MaxBody: 1000, Timeout: 100 * time.Millisecond})
	get := func(path string) (Response, error) { return c.Do(t.Context(), Request{URL: parse(t, s.URL+path)}) }
	if out, err := get("/fits"); err != nil || len(out.Body) != 1000 {
		t.Errorf("fits: %v", err)
	}
	for _, path := range []string{"/long", "/longchunked"} {
		if out, err := get(path); !errors.Is(err, ErrTooLarge) || out.Status != 203 || out.Header.Get("X-A") != "b" || out.Body != nil {
			t.Errorf("%s: %d %v", path, out.Status, err)
		}
	}
	if _, err := get("/longheader"); err == nil {
		t.Error("a header without end is taken")
	}
	for _, path := range []string{"/slow", "/slowbody"} {
		if out, err := get(path); !errors.Is(err, context.DeadlineExceeded) || out.Status != 0 || !strings.Contains(err.Error(), "at most 100ms") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if out, err := get("/zipped"); err != nil || string(out.Body) != "\x1f\x8b" {
		t.Errorf("zipped: %q %v", out.Body, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(ctx, Request{URL: parse(t, s.URL)}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Requests beyond the connections there may be wait for one, within their time.
func TestConnectionsAreBounded(t *testing.T) {
	var open, most atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { rw.Write([]byte("a")) }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			most.Store(max(most.Load(), open.Add(1)))
		case http.StateClosed:
			open.Add(-1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := client(t, Settings{MaxConnections: 2})
	u := parse(t, s.URL)
	failed := make(chan error, 40)
	for range cap(failed) {
		go func() {
			_, err := c.Do(t.Context(), Request{URL: u})
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > 2 {
		t.Errorf("%d connections", most.Load())
	}
}

// The guard looks at the address that is connected to, whatever name led there.
func TestGuard(t *testing.T) {
	for _, address := range []string{"169.254.169.254:80", "[fe80::1%lo]:80", "0.0.0.0:80", "[::]:80", "224.0.0.1:80", "[::ffff:169.254.1.1]:80", "[fd00:ec2::254]:80"} {
		c, err := dial(t.Context(), "tcp", address)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, errGuard) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, a := range []string{"127.0.0.1", "10.1.2.3", "192.168.0.1", "8.8.8.8", "2001:db8::1", "fd12::1", "::1", "100.64.0.1"} {
		if why := forbidden(netip.MustParseAddr(a)); why != "" {
			t.Errorf("%s is refused: %s", a, why)
		}
	}
	// A Client asks the guard, and its word is in the error.
	c := client(t, Settings{Plain: true})
	if _, err := c.Do(t.Context(), Request{URL: &url.URL{Scheme: "http", Host: "169.254.169.254"}}); err == nil || !strings.Contains(err.Error(), "link-local") {
		t.Errorf("%v", err)
	}
	if _, err := c.transport.RoundTrip(httptest.NewRequest("GET", "http://169.254.169.254/", nil)); !errors.Is(err, errGuard) {
		t.Errorf("the transport connects: %v", err)
	}
	if _, err := client(t, Settings{}).Do(t.Context(), Request{URL: &url.URL{Scheme: "http", Host: "192.0.2.1"}}); err == nil || !strings.Contains(err.Error(), "http:// to another box") {
		t.Errorf("plain HTTP to another box: %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	ours := client(t, Settings{CA: file})
	out, err := ours.Do(t.Context(), Request{URL: parse(t, s.URL)})
	if err != nil || string(out.Body) != "HTTP/2.0" {
		t.Errorf("%q, %v", out.Body, err)
	}
	if _, err := client(t, Settings{}).Do(t.Context(), Request{URL: parse(t, s.URL+"/?code=s3cr3t")}); err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("%v", err)
	}
	if other := client(t, Settings{}); other.Identity() == ours.Identity() {
		t.Error("clients of different roots have one identity")
	}
	if again := client(t, Settings{CA: file}); again.Identity() != ours.Identity() {
		t.Error("alike clients have two identities")
	}
	for _, bad := range []string{"", "no PEM", strings.Repeat("a", maxCA+1)} {
		write(bad)
		if _, err := New(Settings{CA: file}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if _, err := New(Settings{CA: file + "x"}); err == nil {
		t.Error("a missing file is taken")
	}
}

// What a peer sends stands in no error, since it may be what it was sent.
func TestErrorsHoldNoSecret(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 4096)
			c.Read(b)
			io.WriteString(c, <-answers)
			c.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-ended })
	c := client(t, Settings{})
	base := "http://" + listener.Addr().String()
	for _, answer := range []string{
		"", "s3cr3t\r\n\r\n", "HTTP/1.1 200 OK\r\ns3cr3t\r\n\r\n", "HTTP/1.1 s3cr3t OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: s3cr3t\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: s3cr3t\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ns3cr3t\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ns3cr3t", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\ns3cr3t",
	} {
		answers <- answer
		out, err := c.Do(t.Context(), Request{Method: "DELETE", URL: parse(t, base+"/p?s3cr3t"), Header: Header{{"Authorization", "s3cr3t"}}})
		if err == nil {
			t.Errorf("%q was taken: %v", answer, out)
			continue
		}
		if text := err.Error(); strings.Contains(text, "s3cr3t") || !strings.HasPrefix(text, "DELETE "+base+"/p: ") {
			t.Errorf("%q: %s", answer, text)
		}
	}
	s := httptest.NewTLSServer(nil)
	s.Close()
	if _, err := c.Do(t.Context(), Request{URL: parse(t, s.URL)}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
	answers <- "HTTP/1.0 400 Bad Request\r\n\r\n"
	if _, err := c.Do(t.Context(), Request{URL: parse(t, strings.Replace(base, "http:", "https:", 1))}); err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("no TLS there: %v", err)
	}
}

func TestPlace(t *testing.T) {
	u, err := url.Parse("https://u:p@id.example.com:1/a%0ab" + strings.Repeat("c", 300) + "?q#f")
	if err != nil {
		t.Fatal(err)
	}
	if got := Place(u); !strings.HasPrefix(got, "https://id.example.com:1/a%0abc") || len(got) != maxPlace+3 {
		t.Errorf("%s", got)
	}
}
