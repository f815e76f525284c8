package grammar_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	framing "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/socket"
	"straum.dev/straum/internal/edge/wire/http1"
	"straum.dev/straum/internal/edge/wire/http2"
)

// One request is sent to both wires here, as an HTTP/1.1 head and as an HTTP/2 header section, through whole sessions. They take it for
// the same, or both refuse it; where they do not, a reason stands beside it.

// patience is what no test waits for unless something is broken.
const patience = 20 * time.Second

// request is what both are sent: target is the request target and :path, host is Host and :authority. With a name there is one field
// more.
type request struct{ method, target, host, name, value string }

const refused = "refused"

// open is a listener that never closes.
type open struct{}

func (open) Crowded() bool  { return false }
func (open) Draining() bool { return false }

// keeper keeps the facts of each exchange: what it was taken for, or that it was refused.
type keeper struct{ seen []string }

func (k *keeper) Serve(c exchange.Codec, x *exchange.Exchange) {
	if f := c.Decode(x); f != nil {
		k.seen = append(k.seen, refused)
		x.Respond(f.Kind.Status, "text/plain", []byte(f.Told()))
	} else {
		k.seen = append(k.seen, facts(&x.Request))
		x.Respond(200, "text/plain", []byte("hello\n"))
	}
	c.Encode(x)
	c.Account(x)
}

// facts puts what a request was taken for in one line. Field names are in lower case, as HTTP/2 has them.
func facts(r *exchange.Request) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s?%s at %s:%s", r.Method, r.Path, r.Query, r.Host, r.Port)
	if r.Target != r.Path && r.Target != r.Path+"?"+r.Query {
		fmt.Fprintf(&s, " target=%s", r.Target)
	}
	if r.Length != 0 {
		fmt.Fprintf(&s, " length=%d", r.Length)
	}
	if r.Continue {
		s.WriteString(" continue")
	}
	for _, f := range r.Header.All() {
		if f.Known != exchange.Host {
			fmt.Fprintf(&s, " %s: %q", strings.ToLower(f.Name), f.Value)
		}
	}
	return s.String()
}

// take gives raw to a session and returns what came of it. A session that begins no exchange has refused.
func (k *keeper) take(t judge, raw []byte, session func(*socket.Conn) func() bool) string {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		if ends[i], err = net.FileConn(file); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	conn, err := socket.New(ends[0])
	if err != nil {
		t.Fatal(err)
	}
	far := ends[1].(*net.UnixConn)
	defer far.Close()
	over := make(chan struct{})
	go func() {
		defer close(over)
		for serve := session(conn); serve(); {
		}
	}()
	far.SetDeadline(time.Now().Add(patience))
	if _, err := far.Write(raw); err != nil {
		t.Fatal(err)
	}
	far.CloseWrite()
	io.Copy(io.Discard, far) // to its end, or until the session resets it
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatal("the session does not end")
	}
	switch len(k.seen) {
	case 0:
		return refused
	case 1:
		return k.seen[0]
	}
	t.Fatalf("one request is taken for %d: %q", len(k.seen), k.seen)
	return ""
}

// room is how large a request line, and a path, may be.
const room = 1 << 10

func (q request) inHTTP1(t judge) string {
	t.Helper()
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.method, q.target, q.host)
	if q.name != "" {
		fmt.Fprintf(&raw, "%s: %s\r\n", q.name, q.value)
	}
	raw.WriteString("\r\n")
	k := new(keeper)
	return k.take(t, raw.Bytes(), func(conn *socket.Conn) func() bool {
		set := &http1.Settings{
			Limits:     http1.Limits{RequestLine: room, HeaderBytes: 8 << 10, HeaderCount: 10},
			Timeouts:   http1.Timeouts{Header: patience, Progress: patience, TunnelIdle: patience},
			HalfClosed: http1.ServeHalfClosed,
		}
		s := http1.Open(conn, new(exchange.Conn), open{}, set, k, nil)
		return func() bool { return s.Serve() || closed(s) }
	})
}

func (q request) inHTTP2(t judge) string {
	t.Helper()
	var raw, block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	put := func(name, value string) { encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	put(":method", q.method)
	put(":scheme", "http")
	put(":path", q.target)
	put(":authority", q.host)
	if q.name != "" {
		put(q.name, q.value)
	}
	raw.WriteString(framing.ClientPreface)
	f := framing.NewFramer(&raw, nil)
	f.WriteSettings()
	f.WriteHeaders(framing.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true,
		EndStream: exchange.Lookup(q.name) != exchange.ContentLength}) // HTTP/1 knows by that alone that content follows
	k := new(keeper)
	return k.take(t, raw.Bytes(), func(conn *socket.Conn) func() bool {
		set := &http2.Settings{
			Limits:   http2.Limits{Target: room, HeaderBytes: 8 << 10, HeaderCount: 10},
			Timeouts: http2.Timeouts{Header: patience, Progress: patience, TunnelIdle: patience},
		}
		s := http2.Open(conn, new(exchange.Conn), open{}, set, k, nil)
		return func() bool { return s.Serve() || closed(s) }
	})
}

// closed closes a session that is over.
func closed(s interface{ Close() }) bool { s.Close(); return false }

// judge is what a table, a property test and a fuzz target have in common.
type judge interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// differs are all reasons for which the two may see a request differently. Each names what one does and the other does not.
var differs = []struct {
	why          string
	http1, http2 string // of example
	example      request
	applies      func(q request, http1, http2 string) bool
}{
	{"HTTP/1 has the absolute form, which is what :scheme, :authority and :path are together; :path is a path (RFC 9113 §8.3.1)",
		"GET /p?q at a: target=http://a/p?q", refused, request{method: "GET", target: "http://a/p?q", host: "a"},
		func(q request, _, http2 string) bool {
			return http2 == refused && len(q.target) > len("http://") && grammar.FoldIs(q.target[:len("http")], "http")
		}},
	{"in HTTP/1 white space stands around a value and is no part of it; in HTTP/2 it would be (RFC 9113 §8.2.1)",
		`GET /? at a: x: "b"`, refused, request{"GET", "/", "a", "x", "\t b "},
		func(q request, _, http2 string) bool {
			return http2 == refused && (grammar.TrimSpace(q.host) != q.host || grammar.TrimSpace(q.value) != q.value)
		}},
	{"HTTP/1 limits the request line, HTTP/2 the path, which is all it has of one",
		refused, "GET /" + strings.Repeat("a", room-1) + "? at a:", request{method: "GET", target: "/" + strings.Repeat("a", room-1), host: "a"},
		func(q request, http1, _ string) bool {
			return http1 == refused && len(q.target) <= room && len(q.method)+len(q.target)+len("  HTTP/1.1") > room
		}},
	{"in HTTP/2 a name in capitals makes a request malformed (RFC 9113 §8.2.1)",
		`GET /? at a: x-a: "b"`, refused, request{"GET", "/", "a", "X-A", "b"},
		func(q request, _, http2 string) bool { return http2 == refused && strings.ToLower(q.name) != q.name }},
	{"in HTTP/1 the first colon ends a name",
		`GET /? at a: x: "y: b"`, refused, request{"GET", "/", "a", "x:y", "b"},
		func(q request, _, http2 string) bool { return http2 == refused && strings.Contains(q.name, ":") }},
	{"HTTP/2 takes Host beside :authority if they agree (RFC 9113 §8.3.1); two Hosts are two",
		refused, "GET /? at a:", request{"GET", "/", "a", "host", "A"},
		func(q request, http1, _ string) bool {
			return http1 == refused && exchange.Lookup(q.name) == exchange.Host
		}},
	{"fields of one connection belong to HTTP/1 and make a request malformed in HTTP/2 (RFC 9113 §8.2.2); te may say trailers only",
		"GET /? at a:", refused, request{"GET", "/", "a", "connection", "close"},
		func(q request, _, http2 string) bool {
			switch exchange.Lookup(q.name) {
			case exchange.Connection, exchange.KeepAlive, exchange.ProxyConnection, exchange.TransferEncoding, exchange.Upgrade, exchange.TE:
				return http2 == refused
			}
			return false
		}},
}

// compare wants both to take q for the same, and returns what that is. A line feed ends a line in HTTP/1, so there is no such request.
func compare(t judge, q request) (common string) {
	t.Helper()
	if strings.Contains(q.method+q.target+q.host+q.name+q.value, "\n") {
		return refused
	}
	one, two := q.inHTTP1(t), q.inHTTP2(t)
	if one == two {
		return one
	}
	for _, d := range differs {
		if d.applies(q, one, two) {
			return "differs"
		}
	}
	t.Fatalf("%q\nin HTTP/1: %s\nin HTTP/2: %s", q, one, two)
	return ""
}

// Every difference that is meant is there, and nothing more is excused by it than it says.
func TestDifferencesMeant(t *testing.T) {
	for _, d := range differs {
		one, two := d.example.inHTTP1(t), d.example.inHTTP2(t)
		if one != d.http1 || two != d.http2 {
			t.Errorf("%s\nin HTTP/1: %s, want %s\nin HTTP/2: %s, want %s", d.why, one, d.http1, two, d.http2)
		}
		if !d.applies(d.example, one, two) {
			t.Errorf("%s: does not apply to its example", d.why)
		}
		if plain := (request{method: "GET", target: "/", host: "a"}); d.applies(plain, "GET /? at a:", refused) || d.applies(plain, refused, "GET /? at a:") {
			t.Errorf("%s: would excuse that one of them refuses the plainest request", d.why)
		}
	}
}

// same are requests that both see alike, and as what.
var same = []struct {
	request
	want string
}{
	{request{method: "GET", target: "/", host: "a"}, "GET /? at a:"},
	{request{method: "get", target: "/", host: "a"}, "get /? at a:"},
	{request{method: "M-SEARCH!#$%&'*+.^_`|~", target: "/", host: "a"}, "M-SEARCH!#$%&'*+.^_`|~ /? at a:"},
	{request{method: "GET", target: "/a/../%00//b;c?d?e=%zz", host: "a"}, "GET /a/../%00//b;c?d?e=%zz at a:"},
	{request{method: "GET", target: "//b/c", host: "a"}, "GET //b/c? at a:"},
	{request{method: "GET", target: "/<\\>|\"{}^`", host: "a"}, "GET /<\\>|\"{}^`? at a:"},
	{request{method: "GET", target: "/?", host: "a"}, "GET /? at a:"},
	{request{method: "OPTIONS", target: "*", host: "a"}, "OPTIONS *? at a:"},
	{request{method: "OPTIONS", target: "/*", host: "a"}, "OPTIONS /*? at a:"},
	{request{method: "GET", target: "/", host: "API.Example.:0443"}, "GET /? at api.example:0443"},
	{request{method: "GET", target: "/", host: "a_b-c~d.1:0"}, "GET /? at a_b-c~d.1:0"},
	{request{method: "GET", target: "/", host: "127.0.0.1:65535"}, "GET /? at 127.0.0.1:65535"},
	{request{method: "GET", target: "/", host: "[2001:DB8::A]:80"}, "GET /? at [2001:db8::a]:80"},
	{request{method: "GET", target: "/", host: strings.Repeat("a.", 126) + "a."}, "GET /? at " + strings.Repeat("a.", 126) + "a:"},
	{request{"GET", "/", "a", "x-a.b_c~", "d\te f"}, `GET /? at a: x-a.b_c~: "d\te f"`},
	{request{"GET", "/", "a", "x", ""}, `GET /? at a: x: ""`},
	{request{"GET", "/", "a", "x", "\xff\x80é"}, `GET /? at a: x: "\xff\x80é"`},
	{request{"GET", "/", "a", "x_forwarded_for", "b"}, "GET /? at a:"},
	{request{"GET", "/", "a", "proxy-authorization", "b"}, "GET /? at a:"},
	{request{"POST", "/", "a", "content-length", "0005"}, `POST /? at a: length=5 content-length: "0005"`},
	{request{"POST", "/", "a", "content-length", "999999999999999999"}, `POST /? at a: length=999999999999999999 content-length: "999999999999999999"`},
	{request{"GET", "/", "a", "expect", "100-Continue"}, "GET /? at a:"},
}

// never are methods, targets, hosts, names and values that both refuse.
var never = map[string][]string{
	"method": {"", " ", "G T", "GE(T", "G\x00T", "GET\t", "\x7f", "G\xc3\xa9T", "GET:", "CONNECT", "\rGET"},
	"target": {"", "a", "?a", "*", "*x", "/a b", "/\t", "/\x00", "/\x1f", "/\x7f", "/\x80", "/\xc3\xa9", "/\r", "/#", "/a#b", "/?#", "#",
		"a:80", "ftp://a/", "://a/", "http:/a", "http:", "http:///p", "http://b/", "https://", "/" + strings.Repeat("a", room)},
	"host": {"", ".", "..", ".a", "a..", "a..b", ":", ":80", "a:", "a:65536", "a:000080", "a:+80", "a:-1", "a:b", "a:1:2", "a:1.", "a: 1",
		"::1", "[]", "[::1", "::1]", "[::1]a", "[::1]:", "[::1]80", "[::1].", "[[::1]]", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[:::::]",
		"[1.2.3.4]", "[v1.a]", "u@a", "a/b", "a\\b", "a b", "a,b", "a%20b", "%61", "a?b", "a#b", "a!b", "a*b", "é", "a\x00", "a\x7f", "a\rb",
		strings.Repeat("a.", 126) + "aa"},
	"name": {" ", "a b", "a\t", "a\x00", "a\x7f", "\xc3\xa9", "a(", "a\"", "a/b", "a\rb"},
	"value": {"a\x00b", "a\x01", "\x1fa", "\x7f", "0123456\x00", "01234567\x1b", "0123456789abcde\x7f0123456789", "a\rb",
		"0123456789\t0123456789\x0b"},
}

func TestSame(t *testing.T) {
	for _, test := range same {
		if got := compare(t, test.request); got != test.want {
			t.Errorf("%q\ngot  %s\nwant %s", test.request, got, test.want)
		}
	}
	for of, list := range never {
		for _, text := range list {
			if got := with(of, text).inHTTP1(t); got != refused {
				t.Errorf("%s %q in HTTP/1: %s", of, text, got)
			}
			if got := with(of, text).inHTTP2(t); got != refused {
				t.Errorf("%s %q in HTTP/2: %s", of, text, got)
			}
		}
	}
	for _, length := range []string{"", "+5", "-5", "5, 5", "5 5", "5.0", "0x5", "1000000000000000000", "a"} {
		q := request{"POST", "/", "a", "content-length", length}
		if got := compare(t, q); got != refused {
			t.Errorf("content-length %q: %s", length, got)
		}
	}
	if got := compare(t, request{"GET", "/", "a", "expect", "x"}); got != refused {
		t.Errorf("an unknown expectation: %s", got)
	}
}

// with is a plain request of which one part is text.
func with(part, text string) request {
	q := request{"GET", "/", "a", "x", "b"}
	*map[string]*string{"method": &q.method, "target": &q.target, "host": &q.host, "name": &q.name, "value": &q.value}[part] = text
	return q
}

// Whatever is put together of sound and unsound parts, both agree.
func TestSameAtRandom(t *testing.T) {
	part := func(sound []string, of string) *rapid.Generator[string] {
		return rapid.OneOf(rapid.SampledFrom(sound), rapid.SampledFrom(sound), rapid.SampledFrom(sound), rapid.SampledFrom(never[of]),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 12), func(b []byte) string { return string(b) }))
	}
	bytes := []string{"a", "Z", "0", "-", ".", "_", "~", "/", "?", ":", "[", "]", "*", "%", "@", "\t", " ", "\x7f"}
	var (
		methods = part([]string{"GET", "POST", "OPTIONS", "x"}, "method")
		targets = part([]string{"/", "/a?b", "*", "/a/./b%2f", "http://a/", "HTTPS://a:80?c"}, "target")
		hosts   = rapid.OneOf(part([]string{"a", "A.b.", "a:80", "[::1]:8", " a"}, "host"), rapid.StringOfN(rapid.RuneFrom([]rune(strings.Join(bytes, ""))), 1, 8, -1))
		names   = part([]string{"", "", "x-y", "Accept", "content-length", "cookie", "expect", "host", "te", "content_length"}, "name")
		values  = part([]string{"", "a", "5", " 5", "100-continue", "trailers", "0123456789"}, "value")
	)
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 5 {
			q := request{methods.Draw(t, "method"), targets.Draw(t, "target"), hosts.Draw(t, "host"), names.Draw(t, "name"), values.Draw(t, "value")}
			if compare(t, q) != refused {
				accepted++
			}
		}
	})
	if accepted < 10 {
		t.Errorf("only %d requests were accepted: the parts do not fit", accepted)
	}
}

func FuzzSame(f *testing.F) {
	for _, test := range same {
		f.Add(test.method, test.target, test.host, test.name, test.value)
	}
	for _, d := range differs {
		f.Add(d.example.method, d.example.target, d.example.host, d.example.name, d.example.value)
	}
	f.Fuzz(func(t *testing.T, method, target, host, name, value string) {
		if len(method)+len(target)+len(host)+len(name)+len(value) > 4<<10 {
			return // the limits of both are their own
		}
		compare(t, request{method, target, host, name, value})
	})
}
