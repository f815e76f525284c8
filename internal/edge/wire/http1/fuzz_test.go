package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/grammar"
	"straum.dev/straum/internal/edge/socket"
)

// The targets here compare us with net/http, a reader that endpoints often use: whatever we accept and pass on, it has to take for
// the same message. That we refuse what it accepts is wanted in most cases; those are listed in TestStricterThanNetHTTP.

// excuse is a reason for which net/http may refuse or see differently what we accept.
type excuse struct {
	why     string
	example string
	applies func(err error) bool
}

// excuses are all the disagreements on accepted messages that are known.
var excuses = []excuse{
	{"net/http takes the path apart at once and refuses a percent sign without two digits; for us that is a matter of step 3",
		"GET /%zz HTTP/1.1\nHost: a\n\n",
		func(err error) bool {
			var bad url.EscapeError
			return errors.As(err, &bad)
		}},
	{"net/http refuses a Trailer field that announces a framing field; we let the announcement pass and refuse such a trailer",
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: Content-Length\n\n0\n\n",
		func(err error) bool {
			return err != nil && strings.HasPrefix(err.Error(), "bad trailer key")
		}},
}

func excused(err error) bool {
	return slices.ContainsFunc(excuses, func(e excuse) bool { return e.applies(err) })
}

func TestExcuses(t *testing.T) {
	for _, e := range excuses {
		if r := parse(crlf(e.example), roomy()); r.err != nil {
			t.Errorf("%q: we refuse it too: %v", e.example, r.err)
		}
		if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(crlf(e.example)))); err == nil || !e.applies(err) {
			t.Errorf("%q: net/http says %v, which is not what the excuse is about: %s", e.example, err, e.why)
		}
	}
}

// stays says whether a field of a message is one that we keep; the others are facts of one connection, or shadows.
func stays(name string, connection []string) bool {
	switch strings.ToLower(name) {
	case "connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "upgrade", "expect",
		"transfer-encoding", "trailer": // net/http takes Trailer out of chunked messages
		return false
	case "host", "content-length", "date", "cache-control", "authorization", "cookie":
		return true
	}
	if strings.Contains(name, "_") && exchange.Lookup(strings.ReplaceAll(name, "_", "-")) != exchange.Other {
		return false
	}
	for _, value := range connection {
		for _, listed := range strings.Split(value, ",") {
			if strings.EqualFold(strings.Trim(listed, " \t"), name) {
				return false
			}
		}
	}
	return true
}

// connectionOf finds the values of Connection in a head that we accepted. net/http does not keep them all.
func connectionOf(head []byte) (values []string) {
	for line := range strings.Lines(string(head)) {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Connection") {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// sameFields compares our list with the map of net/http.
func sameFields(ours *exchange.Fields, theirs http.Header, connection []string) error {
	mine := http.Header{}
	for _, f := range ours.All() {
		if f.Known != exchange.Trailer && f.Known != exchange.Host {
			key := textproto.CanonicalMIMEHeaderKey(f.Name)
			mine[key] = append(mine[key], f.Value)
		}
	}
	other := http.Header{}
	for name, values := range theirs {
		if stays(name, connection) && name != "Host" {
			other[name] = values
		}
	}
	if len(mine["Cache-Control"]) == 0 && slices.Equal(other["Cache-Control"], []string{"no-cache"}) && len(theirs["Pragma"]) > 0 {
		delete(other, "Cache-Control") // net/http adds it for a Pragma
	}
	for _, headers := range []http.Header{mine, other} {
		for name := range headers {
			if !slices.Equal(mine[name], other[name]) {
				return fmt.Errorf("field %q: %q here, %q in net/http", name, mine[name], other[name])
			}
		}
	}
	return nil
}

// sameContent compares a body that we read without fault with that of net/http.
func sameContent(ours content, body io.Reader, trailer *http.Header, behind *bufio.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("net/http refuses the body: %w", err)
	}
	if string(text) != ours.text {
		return fmt.Errorf("content %q here, %q in net/http", ours.text, text)
	}
	left, _ := io.ReadAll(behind) // a reader of bytes does not fail
	if string(left) != ours.behind {
		return fmt.Errorf("%q is behind the message here, %q in net/http", ours.behind, left)
	}
	var mine exchange.Fields
	for line := range strings.Lines(ours.trailer) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		mine.Add(name, value)
	}
	if trailer != nil {
		theirs := http.Header{}
		for name, values := range *trailer {
			if len(values) > 0 { // announced only, otherwise
				theirs[name] = values
			}
		}
		return sameFields(&mine, theirs, nil)
	}
	return nil
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\nHost: a\n\n",
		"\nPOST http://a:8/p?q HTTP/1.1\nHost: A:8\nContent-Length: 5\nConnection: close, x\nX: y\n\nhelloGET",
		"POST /p HTTP/1.1\nHost: [::1]:80\nTransfer-Encoding: chunked\nTE: trailers\nTrailer: A\n\n5;x=y\nhello\n0\nA: b\n\nrest",
		"OPTIONS * HTTP/1.0\nHost: a.\nPragma: no-cache\nContent_Length: 5\n\n",
		"GET / HTTP/1.1\nHost: a\nUpgrade: websocket\nConnection: Upgrade\nExpect: 100-continue\n\n",
	} {
		f.Add([]byte(crlf(seed)))
	}
	conn, far := pair(f, false)
	far.Close() // what is not in the input does not come
	f.Fuzz(func(t *testing.T, raw []byte) { compareRequest(t, conn, raw) })
}

// judge is what a fuzz target and a property test have in common.
type judge interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// compareRequest wants net/http to take a request for what we take it, if we accept it. conn has come to its end.
func compareRequest(t judge, conn *socket.Conn, raw []byte) {
	t.Helper()
	r := parse(string(raw), roomy())
	if part := parse(string(raw[:len(raw)/2]), roomy()); part.err == nil && (r.err != nil || part.n != r.n) {
		t.Fatalf("half of it is accepted, the whole is not: %v", r.err)
	}
	if r.err != nil {
		return
	}
	body := content{behind: string(raw[r.n:])}
	if r.Length != 0 {
		end := endsByCount
		if r.Length == exchange.Unknown {
			end = endsByChunk
		}
		body = readOut(source(conn, server, end, r.Length, string(raw[r.n:])))
	}
	checkReencoding(t, r)

	in := bufio.NewReaderSize(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\r\n"))), 64<<10)
	theirs, err := http.ReadRequest(in)
	if err != nil {
		if !excused(err) {
			t.Fatalf("net/http refuses what we accept: %v", err)
		}
		return
	}
	host, port, _ := grammar.SplitHost(theirs.Host)
	if theirs.Method != r.Method || theirs.RequestURI != r.Target || host != r.Host || port != r.Port || theirs.ContentLength != r.Length {
		t.Fatalf("%s target %s here; %s %s host %q length %d in net/http", r.facts(), r.Target, theirs.Method, theirs.RequestURI, theirs.Host, theirs.ContentLength)
	}
	if r.Path != "*" && theirs.URL.RawQuery != r.Query {
		t.Fatalf("query %q here, %q in net/http", r.Query, theirs.URL.RawQuery)
	}
	if theirs.Close != (r.head.close || r.Minor == 0 && !r.head.keepAlive) {
		t.Fatalf("%s: close is %v in net/http", r.facts(), theirs.Close)
	}
	if err := sameFields(&r.Header, theirs.Header, connectionOf(raw[:r.n])); err != nil {
		t.Fatal(err)
	}
	if body.err == nil {
		if err := sameContent(body, theirs.Body, &theirs.Trailer, in); err != nil {
			t.Fatal(err)
		}
	}
}

// checkReencoding wants what we write for a request to be read as that request, by us.
func checkReencoding(t judge, r *request) {
	t.Helper()
	host := "up"
	if r.Host != "" {
		host = r.Host
	}
	if r.Port != "" {
		host += ":" + r.Port
	}
	x := &exchange.Exchange{Request: r.Request}
	written := string(appendRequest(nil, x, &exchange.Outgoing{Path: r.Path, Host: host}, r.Continue))
	again := parse(written+"GET /behind", roomy())
	if again.err != nil {
		t.Fatalf("we refuse what we write: %v\n%q", again.err, written)
	}
	if again.n != len(written) {
		t.Fatalf("of %d bytes written %d are read: %q", len(written), again.n, written)
	}
	want := *r
	want.Minor, want.head.close, want.head.keepAlive = 1, false, false
	if r.Host == "" {
		want.Host = "up"
	}
	want.TakesTrailers = r.TakesTrailers && r.Upgrade == ""
	if again.facts() != want.facts() {
		t.Fatalf("written as %q\nread as %s\nwanted  %s", written, again.facts(), want.facts())
	}
	if passed(&again.Header) != passed(&r.Header) {
		t.Fatalf("written as %q\nread as\n%swanted\n%s", written, passed(&again.Header), passed(&r.Header))
	}
}

// passed lists the fields that go to an endpoint as they came.
func passed(fields *exchange.Fields) string {
	var kept exchange.Fields
	for _, f := range fields.All() {
		switch f.Known {
		case exchange.Forwarded, exchange.XForwardedFor, exchange.XForwardedProto, exchange.XForwardedHost, exchange.XForwardedPort,
			exchange.ContentLength:
		default:
			kept.Append(f.Known, f.Name, f.Value)
		}
	}
	return list(&kept)
}

// Requests put together from odd pieces get further than mutated bytes.
func TestRequestsOfOddPieces(t *testing.T) {
	var (
		methods  = []string{"GET", "POST", "OPTIONS", "PRI", "get", "CONNECT", "M!", ""}
		targets  = []string{"/", "/a?b", "*", "//a/b", "/%zz", "/%2f?%zz", "http://a", "http://a/?x", "HTTPS://A:1/%", "http://[::1]/", "http://a:b/", "/a:b", "/;x", "?", "/?#", "/\\", "/\"", "http://a?/", "http://a;b/", "/\x7f", "http:/a", "///"}
		versions = []string{"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/1.01", "HTTP/2.0"}
		names    = []string{"Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "X", "x", "Content_Length", "TE", "Trailer", "Expect", "Upgrade", "Pragma", "Cache-Control", "Keep-Alive", "Cookie", "X-a-B", "X_a", "!", "X ", "X\x80", ""}
		values   = []string{"a", "a:1", "A:080", "[::1]:1", "a.", "a..", "5", "05", "0", "5,5", "+5", "chunked", "Chunked", "chunked,", "identity", "gzip, chunked", "close", "x", "keep-alive, X", "x, close", "transfer-encoding", "content-length, host", "no-cache", "100-continue", "websocket", "h2c", "trailers", "X, A", "Content-Length", "\xff\t b", "a\x01", "", " ", ",", "x,,\ty"}
		ends     = []string{"\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r\n ", " \r\n", "\r\r\n"}
		bodies   = []string{"", "hello", "5\r\nhello\r\n0\r\n\r\n", "5;x\r\nhello\r\n0\r\nA: b\r\n\r\nGET /", "0\r\nX: 1\r\nContent-Length: 5\r\n\r\n", "0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "GET /smuggled HTTP/1.1\r\n\r\n", "00\r\nX:\r\nx: 2\r\n\r\n"}
	)
	conn, far := pair(t, false)
	far.Close()
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		pick := func(from []string) string { return rapid.SampledFrom(from).Draw(t, "piece") }
		host := rapid.SampledFrom([]string{"Host: a\r\n", "Host: a\r\n", "Host: A:1\r\n", ""})
		for range 20 {
			var raw strings.Builder
			raw.WriteString(rapid.SampledFrom([]string{"", "", "", "\r\n"}).Draw(t, "before"))
			fmt.Fprintf(&raw, "%s %s %s%s%s", pick(methods), pick(targets), pick(versions), pick(ends), host.Draw(t, "host"))
			for range rapid.IntRange(0, 3).Draw(t, "fields") {
				fmt.Fprintf(&raw, "%s:%s%s%s", pick(names), pick([]string{" ", "", "\t"}), pick(values), pick(ends))
			}
			raw.WriteString("\r\n" + pick(bodies))
			if parse(raw.String(), roomy()).err == nil {
				accepted++
			}
			compareRequest(t, conn, []byte(raw.String()))
		}
	})
	if accepted < 10 {
		t.Errorf("only %d requests were accepted: the pieces do not fit", accepted)
	}
}

func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 5\nContent-Type: x\n\nhello",
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nConnection: close, x\nX: y\n\n5\nhello\n0\nA: b\n\nrest",
		"HTTP/1.0 204 \nKeep-Alive: 5\n\n",
		"HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n",
		"HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n",
		"HTTP/1.1 200\n\nuntil the close",
	} {
		f.Add(false, []byte(crlf(seed)))
		f.Add(true, []byte(crlf(seed)))
	}
	conn, far := pair(f, false)
	far.Close()
	f.Fuzz(func(t *testing.T, head bool, raw []byte) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		r, h, n, minor, err := parseAnswer(string(raw), method)
		if err != nil {
			return
		}
		in := bufio.NewReaderSize(bytes.NewReader(raw), 64<<10)
		theirs, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			if !excused(err) {
				t.Fatalf("net/http refuses what we accept: %v", err)
			}
			return
		}
		if theirs.StatusCode != r.Status || theirs.ProtoMinor != int(minor) {
			t.Fatalf("status %d here, %d in net/http", r.Status, theirs.StatusCode)
		}
		if r.Status < 200 {
			return // there is no body, and what a client makes of such a head it decides elsewhere
		}
		if err := sameFields(&r.Header, theirs.Header, connectionOf(raw[:n])); err != nil {
			t.Fatal(err)
		}
		body := content{behind: string(raw[n:])}
		if hasBody(method, r.Status) {
			end := endsByCount
			switch {
			case h.chunked:
				end = endsByChunk
			case r.Length < 0:
				end = endsByClose
			}
			body = readOut(source(conn, client, end, r.Length, string(raw[n:])))
		}
		if body.err == nil {
			if err := sameContent(body, theirs.Body, &theirs.Trailer, in); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzChunked(f *testing.F) {
	for _, seed := range []string{
		"0\n\n",
		"5;a=\"b\"\nhello\n00A\n0123456789\n0\nA: b\nTE: x\n\nGET / HTTP/1.1\n",
		"fffffffffffffff\na",
		"1\nab",
	} {
		f.Add([]byte(crlf(seed)), 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, cut int) {
		if len(raw) > 60<<10 {
			return // a socket would not take it in one piece
		}
		conn, far := pair(t, false)
		far.Close()
		whole := readOut(source(conn, server, endsByChunk, 0, string(raw)))

		cut = max(0, min(cut, len(raw)))
		conn, far = pair(t, false)
		write(t, far, true, string(raw[cut:]))
		b := source(conn, client, endsByChunk, 0, string(raw[:cut]))
		parts := readOut(b)
		if (parts.err == nil) != (whole.err == nil) {
			t.Fatalf("whole: %v; cut at %d: %v", whole.err, cut, parts.err)
		}
		if whole.err != nil {
			return
		}
		parts.behind += rest(t, conn)
		if parts != whole {
			t.Fatalf("whole: %+v; cut at %d: %+v", whole, cut, parts)
		}
		const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		in := bufio.NewReaderSize(strings.NewReader(head+string(raw)), 64<<10)
		theirs, err := http.ReadRequest(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := sameContent(whole, theirs.Body, &theirs.Trailer, in); err != nil {
			t.Fatal(err)
		}
	})
}

// What net/http accepts and we refuse, each with the reason.
func TestStricterThanNetHTTP(t *testing.T) {
	tests := []struct{ raw, why string }{
		{"GET / HTTP/1.1␊Host: a␊␊", "bare LF: readers that insist on CR LF see one long line (RFC 9112 §2.2 leaves it to us)"},
		{"GET / HTTP/1.2\nHost: a\n\n", "there is no such version"},
		{"GET / HTTP/9.9\nHost: a\n\n", "there is no such version"},
		{"GET /\xc3\xa9 HTTP/1.1\nHost: a\n\n", "a target is ASCII (RFC 3986 §2)"},
		{"GET /a#b HTTP/1.1\nHost: a\n\n", "a target has no fragment; readers differ in where they cut it off"},
		{"GET /\n\n", ""},
		{"GET a://b/ HTTP/1.1\nHost: b\n\n", "neither http nor https: we could not say what it asks for"},
		{"GET * HTTP/1.1\nHost: a\n\n", "only OPTIONS has the asterisk form (RFC 9112 §3.2.4)"},
		{"CONNECT a:80 HTTP/1.1\nHost: a\n\n", "we are no forward proxy"},
		{"GET / HTTP/1.1\n\n", "Host must be there (RFC 9112 §3.2)"},
		{"GET / HTTP/1.1\nHost:\n\n", "an http target has an authority (RFC 9110 §4.2.1)"},
		{"GET / HTTP/1.1\nHost: a b\n\n", "not a host"},
		{"GET / HTTP/1.1\nHost: a:\n\n", "a colon without a port is allowed, useless and rare; routes would match two spellings"},
		{"GET / HTTP/1.1\nHost: a/b\n\n", "not a host"},
		{"GET / HTTP/1.1\nHost: u@a\n\n", "user information must not be there (RFC 9110 §4.2.4)"},
		{"GET http://b/ HTTP/1.1\nHost: a\n\n", "two hosts: readers differ in which one counts"},
		{"POST / HTTP/1.1\nHost: a\nContent-Length: 5\nContent-Length: 5\n\nhello", "a repeated length is the sign of a chain that does not watch"},
		{"POST / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n0\n\n", "two lengths (RFC 9112 §6.3 leaves it to us)"},
		{"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n", ""},
		{"POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n", "an HTTP/1.0 reader knows no coding (RFC 9112 §6.1)"},
		{"GET / HTTP/1.1\nHost: a\nX: y\n z\n\n", "folded fields are obsolete (RFC 9112 §5.2)"},
		{"GET / HTTP/1.1\nHost: a\nX: y\x01\n\n", ""},
		{"PUT / HTTP/1.1\nHost: a\nExpect: x\n\n", "417 (RFC 9110 §10.1.1)"},
	}
	for _, test := range tests {
		raw := strings.ReplaceAll(crlf(test.raw), "␊", "\n")
		if r := parse(raw, roomy()); r.err == nil || r.err == errMore {
			t.Errorf("%q: %v, want it refused: %s", raw, r.err, test.why)
		}
		_, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if accepts := err == nil; accepts != (test.why != "") {
			t.Errorf("%q: net/http says %v; the table says otherwise", raw, err)
		}
	}
}
