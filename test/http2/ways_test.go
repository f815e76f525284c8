package http2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"straum.dev/straum/test/gateway"
	"straum.dev/straum/test/wire"
)

// content is n bytes that are the same at every call and nowhere the same.
func content(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8(sha256.Sum256([]byte(strconv.Itoa(n))))
	r.Read(b) // never fails
	return b
}

// do sends a request and reads the whole answer.
func do(t *testing.T, w *way, method, path string, body io.Reader, change func(r *http.Request)) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url(path), body)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: the answer %d breaks off after %d bytes: %v", method, path, answer.StatusCode, len(got), err)
	}
	if answer.ProtoMajor != w.version() {
		t.Fatalf("%s %s: it came by %s", method, path, answer.Proto)
	}
	return answer, got
}

// Methods, bodies and their absence reach the endpoint as they were sent, and its answers the client.
func TestMethods(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	endpoint := wire.Listen(t, wire.Recording(&seen, func(m *wire.Message) string {
		switch {
		case m.Method() == "HEAD":
			return "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-Method: HEAD\r\n\r\n"
		case m.Target() == "/204":
			return "HTTP/1.1 204 No Content\r\nX-Method: " + m.Method() + "\r\n\r\n"
		case m.Target() == "/304":
			return "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nX-Method: " + m.Method() + "\r\n\r\n"
		}
		return "HTTP/1.1 200 OK\r\nX-Method: " + m.Method() + "\r\nContent-Length: " + strconv.Itoa(len(m.Body)) + "\r\n\r\n" + string(m.Body)
	}))
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"} {
			for _, path := range []string{"/a/b?c=d&e=%20f", "/204", "/304"} {
				answer, body := do(t, w, method, path, nil, nil)
				m := seen.One(t)
				if m.Method() != method || m.Target() != path || m.Get("Host") != w.addr || len(m.Body) != 0 || m.Framing == "chunked" {
					t.Errorf("%s %s reached the endpoint as %s", method, path, m)
				}
				if answer.Header.Get("X-Method") != method || len(body) != 0 {
					t.Errorf("%s %s: %v, %d bytes", method, path, answer, len(body))
				}
				if method == "HEAD" && answer.ContentLength != 12345 {
					t.Errorf("HEAD %s: the length is %d", path, answer.ContentLength)
				}
			}
			if method == "HEAD" || method == "GET" {
				continue
			}
			answer, body := do(t, w, method, "/", strings.NewReader("hello"), nil)
			if m := seen.One(t); string(m.Body) != "hello" || m.Get("Content-Length") != "5" || string(body) != "hello" || answer.ContentLength != 5 {
				t.Errorf("%s with content reached the endpoint as %s, and came back as %v %q", method, m, answer, body)
			}
		}
	})
}

// Bodies of all sizes pass both ways, of known and of unknown length, with trailers behind them.
func TestBodies(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		sum := fmt.Sprintf("%x", sha256.Sum256(m.Body))
		trailer := ""
		for _, f := range m.Trailers {
			trailer += f.Name + "=" + f.Value + ";"
		}
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Sum: %s\r\nX-Framing: %s\r\nX-Trailers: %s\r\n", sum, m.Framing, trailer)
		if m.Target() == "/length" {
			p.Send(head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(m.Body)))
			p.Send(string(m.Body))
			return true
		}
		p.Send(head + "Trailer: X-Back\r\nTransfer-Encoding: chunked\r\n\r\n")
		for rest := m.Body; len(rest) > 0; {
			n := min(len(rest), 50_000)
			p.Send(fmt.Sprintf("%x\r\n%s\r\n", n, rest[:n]))
			rest = rest[n:]
		}
		p.Send("0\r\nX-Back: " + sum + "\r\n\r\n")
		return true
	})
	f := open(t, endpoint.Addr, setting{})
	large := 20 << 20
	if gateway.Race {
		large = 5 << 20 // several times what is on its way at most; more is only more work for the race detector
	}
	f.each(t, func(t *testing.T, w *way) {
		for _, n := range []int{0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1 << 20, large} {
			body := content(n)
			sum := fmt.Sprintf("%x", sha256.Sum256(body))
			for _, path := range []string{"/length", "/chunked"} {
				for _, known := range []bool{true, false} {
					what := fmt.Sprintf("%d bytes to %s, known %v", n, path, known)
					var reader io.Reader = bytes.NewReader(body)
					if !known {
						reader = struct{ io.Reader }{reader}
					}
					answer, back := do(t, w, "POST", path, reader, func(r *http.Request) {
						if !known {
							r.Trailer = http.Header{"X-Up": {sum}}
						}
					})
					if !bytes.Equal(back, body) {
						t.Fatalf("%s: %d bytes came back, and they differ", what, len(back))
					}
					if got := answer.Header.Get("X-Sum"); got != sum {
						t.Fatalf("%s: other bytes reached the endpoint", what)
					}
					if framing := answer.Header.Get("X-Framing"); known && framing != "length" || !known && framing != "chunked" {
						t.Errorf("%s: they reached the endpoint by %s", what, framing)
					}
					if got := answer.Header.Get("X-Trailers"); !known && !strings.EqualFold(got, "X-Up="+sum+";") {
						t.Errorf("%s: the trailers reached the endpoint as %q", what, got)
					}
					if path == "/length" && answer.ContentLength != int64(n) {
						t.Errorf("%s: the length of the answer is %d", what, answer.ContentLength)
					}
					if path == "/chunked" && (answer.Trailer.Get("X-Back") != sum || answer.ContentLength != -1 && n > 0) {
						t.Errorf("%s: the trailers of the answer are %v, its length %d", what, answer.Trailer, answer.ContentLength)
					}
				}
			}
		}
	})
}

// Interim answers pass on at once.
func TestInterim(t *testing.T) {
	t.Parallel()
	seen := make(chan bool)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		p.Send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n")
		<-seen
		p.Send("HTTP/1.1 103 Early Hints\r\nLink: </c.js>\r\n\r\n")
		<-seen
		p.Send(wire.OK("done"))
		return true
	})
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		var hints []string
		_, body := do(t, w, "GET", "/", nil, func(r *http.Request) {
			*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, header["Link"]))
				seen <- true
				return nil
			}}))
		})
		want := []string{"103 [</a.css>; rel=preload </b.js>; rel=preload]", "103 [</c.js>]"}
		if string(body) != "done" || fmt.Sprint(hints) != fmt.Sprint(want) {
			t.Errorf("got %q and %q", hints, body)
		}
	})
}

// A client that asks whether it may send its content is told so when the endpoint asks for it, and not when it refuses.
func TestExpect(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		if m.Target() == "/no" {
			p.Send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
			return false
		}
		p.Send("HTTP/1.1 100 Continue\r\n\r\n")
		p.Body(m, "")
		p.Send(wire.OK("got " + string(m.Body)))
		return true
	})
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		expect := func(r *http.Request) { r.Header.Set("Expect", "100-continue") }
		if answer, body := do(t, w, "POST", "/yes", strings.NewReader("hello"), expect); answer.StatusCode != 200 || string(body) != "got hello" {
			t.Errorf("%v %q", answer, body)
		}
		asked := &untouched{}
		answer, body := do(t, w, "POST", "/no", asked, func(r *http.Request) { expect(r); r.ContentLength = 1 << 20 })
		if answer.StatusCode != 413 || string(body) != "no" {
			t.Errorf("%v %q", answer, body)
		}
		if asked.read {
			t.Error("the client was made to send content that the endpoint had refused")
		}
	})
}

// untouched is content that nobody is to read.
type untouched struct{ read bool }

func (u *untouched) Read(p []byte) (int, error) {
	u.read = true
	clear(p)
	return len(p), nil
}

// Large field sections, which HTTP/2 sends in several frames, pass both ways, and so do many fields, cookies and empty values.
func TestFields(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	endpoint := wire.Listen(t, wire.Recording(&seen, func(m *wire.Message) string {
		long := m.Get("X-Long")
		return "HTTP/1.1 200 OK\r\nX-Long: " + long + "\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nX-Empty:\r\nX-Twice: one\r\nX-Twice: two\r\nContent-Length: 2\r\n\r\nok"
	}))
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		for _, n := range []int{1, 1000, 16_000, 16_384, 20_000, 30_000} {
			long := strings.Repeat("abcdefghij", n/10)
			answer, _ := do(t, w, "GET", "/", nil, func(r *http.Request) {
				r.Header = http.Header{"X-Long": {long}, "Cookie": {"session=abc; theme=dark; lang=de"}, "X-Empty": {""}, "X-Twice": {"one", "two"},
					"Te": {"trailers"}, "Accept-Encoding": {"br"}}
			})
			m := seen.One(t)
			if m.Get("X-Long") != long || answer.Header.Get("X-Long") != long {
				t.Errorf("%d bytes: %d reached the endpoint, %d came back", n, len(m.Get("X-Long")), len(answer.Header.Get("X-Long")))
			}
			if m.Get("Cookie") != "session=abc; theme=dark; lang=de" { // one line, however many HTTP/2 made of it (RFC 9113 §8.2.3)
				t.Errorf("the cookies are %q", m.Get("Cookie"))
			}
			if fmt.Sprint(m.Values("X-Twice")) != "[one two]" || len(m.Values("X-Empty")) != 1 || m.Get("Accept-Encoding") != "br" {
				t.Errorf("the endpoint got %s", m)
			}
			h := answer.Header
			if fmt.Sprint(h["Set-Cookie"]) != "[a=1; Path=/ b=2]" || fmt.Sprint(h["X-Twice"]) != "[one two]" || len(h["X-Empty"]) != 1 {
				t.Errorf("the answer is %v", h)
			}
		}
	})
}

// The endpoint is told who asked and how, whatever the client says.
func TestForwarded(t *testing.T) {
	t.Parallel()
	var seen wire.Recorder
	endpoint := wire.Listen(t, wire.Recording(&seen, func(m *wire.Message) string { return wire.OK("") }))
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		do(t, w, "GET", "/", nil, func(r *http.Request) {
			r.Host = "api.example"
			r.Header = http.Header{"X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Proto": {"gopher"}, "X-Forwarded-Host": {"evil"}, "X-Forwarded-Port": {"1"},
				"Forwarded": {"for=6.6.6.6"}, "X-Real-Ip": {"6.6.6.6"}}
		})
		m := seen.One(t)
		_, port, _ := strings.Cut(w.addr, ":")
		for name, want := range map[string]string{"Host": "api.example", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": w.scheme, "X-Forwarded-Host": "api.example",
			"X-Forwarded-Port": port, "Forwarded": "for=127.0.0.1;proto=" + w.scheme, "X-Real-IP": "127.0.0.1"} {
			if got := m.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
}

// What the gateway answers by itself is the same by every way, and so are the lines and metrics that tell of it.
func TestProblems(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		switch m.Target() {
		case "/reset":
			p.Reset()
			return false
		case "/silent":
			p.Gone()
			return false
		}
		if p.TryBody(m, "") != nil {
			return false
		}
		p.Send(wire.OK("ok"))
		return true
	})
	f := open(t, endpoint.Addr, setting{
		listener: "    limits: { header_bytes: 4KiB, header_count: 20, body: 100KiB, request_line: 1KiB }",
		upstream: "    ejection: off\n    timeouts: { first_byte: 300ms }",
		routes: "  - { name: few, match: { path: /few, methods: [PUT] }, upstream: app }\n  - { name: none, match: { path: /none }, upstream: none }\n" +
			"  - { name: host, match: { host: only.example, path: /only }, upstream: app }\n  - { name: timed, match: { path: /timed }, upstream: app, server_timing: true }\n",
		others: "  none: { endpoints: [\"" + gateway.Free(t) + "\"], ejection: off, retry: { attempts: 0 } }",
		all:    "/x/*",
		more:   "policies:\n  - request_id: {}\n",
	})
	faults := map[string]string{} // by the id of the request
	f.each(t, func(t *testing.T, w *way) {
		for _, test := range []struct {
			name, method, path string
			change             func(r *http.Request)
			body               io.Reader
			status             int
			code               string
		}{
			{"404", "GET", "/nowhere", nil, nil, 404, "no_route"},
			{"405", "GET", "/few", nil, nil, 405, "method_not_allowed"},
			{"502", "GET", "/none", nil, nil, 502, "connect_failed"},
			{"413 known", "POST", "/x/", nil, bytes.NewReader(make([]byte, 102_401)), 413, "body_too_large"},
			{"413 unknown", "POST", "/x/", nil, struct{ io.Reader }{bytes.NewReader(make([]byte, 200_000))}, 413, "body_too_large"},
			{"431 bytes", "GET", "/x/", func(r *http.Request) { r.Header.Set("X", strings.Repeat("y", 5000)) }, nil, 431, "header_too_large"},
			{"431 count", "GET", "/x/", func(r *http.Request) {
				for i := range 30 {
					r.Header.Set("X-"+strconv.Itoa(i), "y")
				}
			}, nil, 431, "header_too_large"},
			{"414", "GET", "/x/" + strings.Repeat("p", 2000), nil, nil, 414, "line_too_long"},
			{"path", "GET", "/x/a%2Fb", nil, nil, 400, "bad_path"},
		} {
			if w.proto == "HTTP/2" && test.name == "431 bytes" {
				continue // the client heeds the limit we told it; TestHeaderTooLarge does not
			}
			answer, body := do(t, w, test.method, test.path, test.body, test.change)
			var p struct {
				Status    int
				Code      string
				RequestID string `json:"request_id"`
			}
			if err := json.Unmarshal(body, &p); err != nil || answer.StatusCode != test.status || p.Status != test.status || p.Code != test.code ||
				answer.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %v: %v %s", test.name, err, answer, body)
				continue
			}
			if test.status == 405 && answer.Header.Get("Allow") != "PUT" {
				t.Errorf("Allow is %q", answer.Header.Get("Allow"))
			}
			faults[p.RequestID] = fmt.Sprintf("%s %d %s", test.code, test.status, w.proto)
			if test.status != 431 && test.status != 414 { // those two have no id of their own policy to show
				if got := answer.Header.Get("X-Request-Id"); got != p.RequestID {
					t.Errorf("%s: X-Request-Id is %q, the problem's %q", test.name, got, p.RequestID)
				}
			}
		}
		answer, _ := do(t, w, "GET", "/timed", nil, nil)
		if got := answer.Header.Get("Server-Timing"); !regexp.MustCompile(`^gateway;dur=\d+\.\d{3}, upstream;dur=\d+\.\d{3}$`).MatchString(got) {
			t.Errorf("Server-Timing is %q", got)
		}
	})
	gateway.Await(t, "a line for each", func() bool {
		found := 0
		for _, l := range f.Access() {
			if want, ok := faults[l.Text("id")]; ok {
				found++
				proto := l.Text("proto")
				if proto == "" {
					proto = "HTTP/1.1"
				}
				if got := fmt.Sprintf("%s %.0f %s", l.Text("fault"), l.Number("status"), proto); got != want {
					t.Fatalf("the line of %s is %v", want, l)
				}
			}
		}
		return found == len(faults)
	})
	n := f.Numbers()
	for kind, want := range map[string]float64{"no_route": 4, "method_not_allowed": 4, "connect_failed": 4, "body_too_large": 8, "header_too_large": 6, "line_too_long": 4} {
		if got := n.Sum("straum_faults_total", `kind="`+kind+`"`); got != want {
			t.Errorf("%v faults %s are counted, want %v", got, kind, want)
		}
	}
}

// A client of HTTP/2 is told how large a field section may be, and what a larger one is answered; its connection goes on.
func TestHeaderTooLarge(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, wire.Answering(wire.OK("ok")))
	f := open(t, endpoint.Addr, setting{listener: "    limits: { header_bytes: 4KiB }"})
	for _, secure := range []bool{true, false} {
		s := f.streams(t, secure)
		if n, ok := s.Setting(xhttp2.SettingMaxHeaderListSize); !ok || n < 4<<10 || n > 16<<10 {
			t.Errorf("the client is told %d, %v", n, ok)
		}
		for _, n := range []int{5000, 7000} {
			st, err := s.Open(true, wire.Ask("GET", "localhost", "/", wire.Field{Name: "x-long", Value: strings.Repeat("y", n)})...)
			if err != nil {
				t.Fatal(err)
			}
			m, err := st.Answer()
			if err != nil || wire.Status(m) != 431 || !strings.Contains(string(m.Body), "header_too_large") {
				t.Fatalf("%d bytes: %v, %v", n, m, err)
			}
			if m, err := s.Get("/"); err != nil || wire.Status(m) != 200 {
				t.Fatalf("the connection does not go on: %v, %v", m, err)
			}
		}
		// Far beyond it, taking it in only to keep the connection costs more than the connection is worth.
		st, err := s.Open(true, wire.Ask("GET", "localhost", "/", wire.Field{Name: "x-long", Value: strings.Repeat("y", 100_000)})...)
		if err == nil {
			_, err = st.Answer()
		}
		if away, e := s.AwaitEnd(); err == nil || e != nil || away == nil || away.Code != xhttp2.ErrCodeEnhanceYourCalm {
			t.Errorf("%v, %v, %v", err, away, e)
		}
	}
}

// The lines of the access log and the metrics agree with what was asked and sent.
func TestAccounts(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		p.Send(wire.OK(strings.Repeat("x", 50_000)))
		return true
	})
	f := open(t, endpoint.Addr, setting{})
	const requests = 20
	f.each(t, func(t *testing.T, w *way) {
		var all sync.WaitGroup
		for i := range requests {
			all.Go(func() {
				r, err := w.client.Post(w.url(fmt.Sprintf("/%s/%d", strings.ReplaceAll(w.name, "+", "-"), i)), "text/plain", bytes.NewReader(make([]byte, 30_000)))
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Body.Close()
				if n, err := io.Copy(io.Discard, r.Body); n != 50_000 || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
		all.Wait()
	})
	gateway.Await(t, "the lines", func() bool { return len(f.Access()) == 4*requests })
	protos, in, out := map[string]int{}, 0.0, 0.0
	for _, l := range f.Access() {
		protos[l.Text("listener")+" "+l.Text("proto")]++
		in, out = in+l.Number("bytes_in"), out+l.Number("bytes_out")
		if l.Number("bytes_in") < 30_000 || l.Number("bytes_in") > 31_500 || l.Number("bytes_out") < 50_000 || l.Number("bytes_out") > 51_500 || l.Number("status") != 200 ||
			l.Text("end") != "" || l.Text("host") != "127.0.0.1" {
			t.Errorf("got the line %v", l)
		}
	}
	for _, kind := range []string{"plain ", "secure ", "plain HTTP/2", "secure HTTP/2"} {
		if protos[kind] != requests {
			t.Errorf("%d lines are of %q, want %d", protos[kind], kind, requests)
		}
	}
	gateway.Await(t, "the metrics to agree with the lines", func() bool {
		n := f.Numbers()
		return n.Sum("straum_requests_total", `route="all"`, `code="200"`) == 4*requests && n.Sum("straum_client_received_bytes_total", `route="all"`) == in &&
			n.Sum("straum_client_sent_bytes_total", `route="all"`) == out
	})
}

// A client that leaves is noticed at the endpoint, whether it waits for the answer or is in the middle of it; its other requests on the
// same connection go on.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	arrived, gone := make(chan string), make(chan string)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		switch m.Target() {
		case "/waits":
		case "/reads":
			p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		default:
			p.Send(wire.OK("ok"))
			return true
		}
		arrived <- m.Target()
		p.Gone()
		gone <- m.Target()
		return false
	})
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		for _, path := range []string{"/waits", "/reads"} {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			r, _ := http.NewRequestWithContext(ctx, "GET", w.url(path), nil) // the URL is one
			done := make(chan error, 1)
			go func() {
				answer, err := w.client.Do(r)
				if err == nil {
					_, err = io.ReadAll(answer.Body)
					answer.Body.Close()
				}
				done <- err
			}()
			<-arrived
			leave()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", path, err)
			}
			if got := <-gone; got != path {
				t.Fatal(got)
			}
			if answer, body := do(t, w, "GET", "/", nil, nil); answer.StatusCode != 200 || string(body) != "ok" {
				t.Errorf("%v %q", answer, body)
			}
		}
	})
	gateway.Await(t, "lines that say so", func() bool {
		n := 0
		for _, l := range f.Access() {
			if l.Text("end") == "client_gone" {
				n++
			}
		}
		return n == 8
	})
}

// An endpoint that answers before it has the whole content is heard at once, while the client still sends.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Bytes(10)
		p.Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		p.Gone()
		return false
	})
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		for _, length := range []int64{1 << 40, -1} {
			for _, much := range []int{64 << 10, 1 << 40} {
				if much > 64<<10 && w.proto == "HTTP/1.1" {
					continue // there, sending on for good ends in a reset
				}
				content := &unending{left: much, stop: make(chan struct{})}
				answer, body := do(t, w, "POST", "/", content, func(r *http.Request) { r.ContentLength = length })
				content.Close()
				if answer.StatusCode != 403 || string(body) != "no" {
					t.Errorf("%v %q", answer, body)
				}
			}
		}
	})
}

// unending is content that stops short of its end until it is closed.
type unending struct {
	left int // bytes until it does
	once sync.Once
	stop chan struct{}
}

func (u *unending) Read(p []byte) (int, error) {
	if u.left == 0 {
		<-u.stop
		return 0, errors.New("closed")
	}
	select {
	case <-u.stop:
		return 0, errors.New("closed")
	default:
	}
	n := min(len(p), u.left)
	u.left -= n
	return n, nil
}

func (u *unending) Close() error {
	u.once.Do(func() { close(u.stop) })
	return nil
}

// Content and answer take turns within one exchange: nothing is held back in either direction.
func TestTurns(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			got := p.Chunk()
			if got == "" {
				p.Bytes(2)
				p.Send("0\r\n\r\n")
				return true
			}
			p.Send(fmt.Sprintf("%x\r\n%s\r\n", len(got), strings.ToUpper(got)))
		}
	})
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		if w.proto == "HTTP/1.1" {
			t.Skip("the client is not able to; test/http1 shows it")
		}
		in, out := io.Pipe()
		r, _ := http.NewRequestWithContext(t.Context(), "POST", w.url("/"), in) // the URL is one
		answer, err := w.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		for i := range 50 {
			fmt.Fprintf(out, "turn %02d", i)
			got := make([]byte, len("turn 00"))
			if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != fmt.Sprintf("TURN %02d", i) {
				t.Fatalf("%q, %v", got, err)
			}
		}
		out.Close()
		if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
	})
}

// A connection to the endpoint that has grown stale costs no request, whatever its method.
func TestStale(t *testing.T) {
	t.Parallel()
	closed := make(chan bool, 1)
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Body(m, "")
		p.Send(wire.OK("ok"))
		p.Close() // without a word, after each answer
		closed <- true
		return false
	})
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		for i := range 60 {
			method := []string{"GET", "POST", "PUT"}[i%3]
			if answer, body := do(t, w, method, "/", strings.NewReader("content"), nil); answer.StatusCode != 200 || string(body) != "ok" {
				t.Fatalf("request %d: %v %s", i, answer, body)
			}
			<-closed
		}
	})
}

// An answer that breaks off looks broken to the client too.
func TestAnswerBreaksOff(t *testing.T) {
	t.Parallel()
	endpoint := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		switch m.Target() {
		case "/length":
			p.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 60_000))
		case "/chunked":
			p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
		}
		return false
	})
	f := open(t, endpoint.Addr, setting{})
	f.each(t, func(t *testing.T, w *way) {
		for _, path := range []string{"/length", "/chunked"} {
			answer, err := w.client.Get(w.url(path))
			if err != nil {
				continue
			}
			if answer.StatusCode == 502 {
				answer.Body.Close()
				continue // nothing had been passed on yet
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err == nil {
				t.Errorf("%s: it looks whole: %d bytes", path, len(body))
			}
		}
	})
}
