package http1

import (
	"strings"
	"testing"
)

func TestRequestAccepted(t *testing.T) {
	long := strings.Repeat("a", 63)
	name := long + "." + long + "." + long + "." + long[:61] // 253 bytes
	tests := []struct{ name, raw, want string }{
		// Request line (RFC 9112 §3).
		{"plain", "GET / HTTP/1.1\nHost: a\n\n", "GET / host=a"},
		{"empty line before", "\nGET / HTTP/1.1\nHost: a\n\n", "GET / host=a"},
		{"query", "GET /p?q=1?2 HTTP/1.1\nHost: a\n\n", "GET /p query=q=1?2 host=a"},
		{"empty query", "GET /p? HTTP/1.1\nHost: a\n\n", "GET /p host=a"},
		{"method is any token", "M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\nHost: a\n\n", "M-SEARCH!#$%&'*+.^_`|~ / host=a"},
		{"method keeps its case", "get / HTTP/1.1\nHost: a\n\n", "get / host=a"},
		{"bytes kept for step 3", "GET /%00/..//<\\>|\" HTTP/1.1\nHost: a\n\n", "GET /%00/..//<\\>|\" host=a"},
		{"old version", "GET / HTTP/1.0\n\n", "GET / minor=0"},
		{"old version with host", "GET / HTTP/1.0\nHost: a\nConnection: keep-alive\n\n", "GET / host=a minor=0 keepalive=true"},
		{"asterisk", "OPTIONS * HTTP/1.1\nHost: a\n\n", "OPTIONS * host=a"},
		{"options on a path", "OPTIONS /p HTTP/1.1\nHost: a\n\n", "OPTIONS /p host=a"},
		{"two slashes are a path", "GET //evil/x HTTP/1.1\nHost: a\n\n", "GET //evil/x host=a"},
		{"absolute", "GET http://a/p?q HTTP/1.1\nHost: a\n\n", "GET /p query=q host=a"},
		{"absolute, scheme in capitals", "GET HtTpS://a/p HTTP/1.1\nHost: a\n\n", "GET /p host=a"},
		{"absolute without path", "GET http://a HTTP/1.1\nHost: a\n\n", "GET / host=a"},
		{"absolute without path, query", "GET http://a?q HTTP/1.1\nHost: a\n\n", "GET / query=q host=a"},
		{"absolute with port", "GET http://A:8080/ HTTP/1.1\nHost: a:8080\n\n", "GET / host=a port=8080"},
		{"absolute in HTTP/1.0 without Host", "GET http://a/ HTTP/1.0\n\n", "GET / host=a minor=0"},

		// Host (RFC 9110 §7.2).
		{"host with port", "GET / HTTP/1.1\nHost: a.b:80\n\n", "GET / host=a.b port=80"},
		{"host with port 0 and zeros", "GET / HTTP/1.1\nHost: a.b:00080\n\n", "GET / host=a.b port=00080"},
		{"host in capitals", "GET / HTTP/1.1\nHost: A.Example\n\n", "GET / host=a.example"},
		{"host with a dot at the end", "GET / HTTP/1.1\nHost: a.b.:1\n\n", "GET / host=a.b port=1"},
		{"host with spaces around", "GET / HTTP/1.1\nHost: \t a \t\n\n", "GET / host=a"},
		{"host without space", "GET / HTTP/1.1\nHost:a\n\n", "GET / host=a"},
		{"host IPv4", "GET / HTTP/1.1\nHost: 127.0.0.1:8\n\n", "GET / host=127.0.0.1 port=8"},
		{"host IPv6", "GET / HTTP/1.1\nHost: [::1]\n\n", "GET / host=[::1]"},
		{"host IPv6 with port", "GET / HTTP/1.1\nHost: [2001:DB8::A]:65535\n\n", "GET / host=[2001:db8::a] port=65535"},
		{"host IPv6 with IPv4", "GET / HTTP/1.1\nHost: [::ffff:1.2.3.4]\n\n", "GET / host=[::ffff:1.2.3.4]"},
		{"host with the other unreserved bytes", "GET / HTTP/1.1\nHost: a_b-c~d\n\n", "GET / host=a_b-c~d"},
		{"host of 253 bytes and a dot", "GET / HTTP/1.1\nHost: " + name + ".\n\n", "GET / host=" + name},
		{"host of 253 bytes", "GET / HTTP/1.1\nHost: " + name + "\n\n", "GET / host=" + name},

		// Length (RFC 9112 §6).
		{"length", "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\n", "POST / host=a length=5"},
		{"length 0", "POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n", "POST / host=a"},
		{"length with zeros", "POST / HTTP/1.1\nHost: a\nContent-Length: 0005\n\n", "POST / host=a length=5"},
		{"length of 18 digits", "POST / HTTP/1.1\nHost: a\nContent-Length: 999999999999999999\n\n", "POST / host=a length=999999999999999999"},
		{"length on GET", "GET / HTTP/1.1\nHost: a\ncontent-length:5\n\n", "GET / host=a length=5"},
		{"chunked", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n", "POST / host=a length=-1"},
		{"chunked in capitals", "POST / HTTP/1.1\nHost: a\nTRANSFER-ENCODING:\tCHUNKED \n\n", "POST / host=a length=-1"},
		{"a coding's shadow", "POST / HTTP/1.1\nHost: a\nTransfer_Encoding: chunked\n\n", "POST / host=a"},

		// Connection, Expect, Upgrade, TE.
		{"close", "GET / HTTP/1.1\nHost: a\nConnection: Close\n\n", "GET / host=a close=true"},
		{"close and keep-alive", "GET / HTTP/1.1\nHost: a\nConnection: keep-alive\nConnection: x, ,close\n\n", "GET / host=a close=true keepalive=true"},
		{"continue", "PUT / HTTP/1.1\nHost: a\nExpect: 100-Continue\nContent-Length: 1\n\n", "PUT / host=a length=1 continue=true"},
		{"continue without content", "PUT / HTTP/1.1\nHost: a\nExpect: 100-continue\n\n", "PUT / host=a"},
		{"expectation in HTTP/1.0", "PUT / HTTP/1.0\nHost: a\nExpect: 100-continue\nContent-Length: 1\n\n", "PUT / host=a minor=0 length=1"},
		{"upgrade", "GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\n\n", "GET / host=a upgrade=websocket"},
		{"upgrade, first of several", "GET / HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: x/1, h2c\n\n", "GET / host=a upgrade=x/1"},
		{"upgrade not listed", "GET / HTTP/1.1\nHost: a\nUpgrade: websocket\n\n", "GET / host=a"},
		{"upgrade to h2c", "GET / HTTP/1.1\nHost: a\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n", "GET / host=a"},
		{"upgrade to TLS", "GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: TLS/1.0\n\n", "GET / host=a"},
		{"upgrade to HTTP", "GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: HTTP/2.0\n\n", "GET / host=a"},
		{"upgrade with a space", "GET / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: x/1 y\n\n", "GET / host=a"},
		{"upgrade in HTTP/1.0", "GET / HTTP/1.0\nHost: a\nConnection: Upgrade\nUpgrade: websocket\n\n", "GET / host=a minor=0"},
		{"upgrade with content", "POST / HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\nContent-Length: 1\n\n", "POST / host=a length=1"},
		{"takes trailers", "GET / HTTP/1.1\nHost: a\nTE: gzip;q=0.5, Trailers\nConnection: TE\n\n", "GET / host=a trailers=true"},
	}
	for _, test := range tests {
		r := parse(crlf(test.raw), roomy())
		if r.err != nil {
			t.Errorf("%s: refused: %v", test.name, r.err)
		} else if got := r.facts(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		} else if r.n != len(crlf(test.raw)) {
			t.Errorf("%s: the head is %d bytes long, want %d", test.name, r.n, len(crlf(test.raw)))
		}
	}
}

func TestRequestRefused(t *testing.T) {
	tests := []struct {
		name, raw string // LF stands for CR LF, "\n" alone is written ␊
		kind      string
		status    int
	}{
		{"no method", " / HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"empty line", "\n\n", "malformed", 400},
		{"two empty lines before", "\n\nGET / HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"bare LF before", "␊GET / HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"space before the method", " GET / HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"method is no token", "GE(T / HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"method with NUL", "G\x00T / HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "malformed", 400},
		{"HTTP/0.9", "GET /\n\n", "malformed", 400},
		{"two spaces", "GET  / HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"two spaces before the version", "GET /  HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"space in the target", "GET /a b HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"space behind the version", "GET / HTTP/1.1 \nHost: a\n\n", "malformed", 400},
		{"tab for space", "GET\t/ HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"CR in the target", "GET /\r HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"control in the target", "GET /\x01 HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"DEL in the target", "GET /\x7f HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"not ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"fragment", "GET /a#b HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"relative target", "GET a HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"query only", "GET ?a HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"asterisk with GET", "GET * HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"asterisk and more", "OPTIONS *x HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"other scheme", "GET ftp://a/ HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"authority form", "GET a:80 HTTP/1.1\nHost: a\n\n", "malformed", 400},
		{"CONNECT", "CONNECT a:80 HTTP/1.1\nHost: a:80\n\n", "no_tunnel", 501},
		{"CONNECT to a path", "CONNECT / HTTP/1.1\nHost: a\n\n", "no_tunnel", 501},
		{"version in small letters", "GET / http/1.1\nHost: a\n\n", "malformed", 400},
		{"no version number", "GET / HTTP/\nHost: a\n\n", "malformed", 400},
		{"version with two digits", "GET / HTTP/1.10\nHost: a\n\n", "malformed", 400},
		{"version with comma", "GET / HTTP/1,1\nHost: a\n\n", "malformed", 400},
		{"version 0.9", "GET / HTTP/0.9\nHost: a\n\n", "bad_version", 505},
		{"version 1.2", "GET / HTTP/1.2\nHost: a\n\n", "bad_version", 505},
		{"version 2.0", "PRI * HTTP/2.0\n\nSM\n\n", "bad_version", 505},
		{"bare LF behind the line", "GET / HTTP/1.1␊Host: a\n\n", "malformed", 400},

		{"no Host", "GET / HTTP/1.1\n\n", "bad_host", 400},
		{"two Hosts", "GET / HTTP/1.1\nHost: a\nHost: a\n\n", "bad_host", 400},
		{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\nHost: a\nhost: b\n\n", "bad_host", 400},
		{"empty Host", "GET / HTTP/1.1\nHost:\n\n", "bad_host", 400},
		{"empty Host in HTTP/1.0", "GET / HTTP/1.0\nHost: \n\n", "bad_host", 400},
		{"Host with user", "GET / HTTP/1.1\nHost: u@a\n\n", "bad_host", 400},
		{"Host with slash", "GET / HTTP/1.1\nHost: a/b\n\n", "bad_host", 400},
		{"Host with backslash", "GET / HTTP/1.1\nHost: a\\b\n\n", "bad_host", 400},
		{"Host with space", "GET / HTTP/1.1\nHost: a b\n\n", "bad_host", 400},
		{"Host with comma", "GET / HTTP/1.1\nHost: a,b\n\n", "bad_host", 400},
		{"Host with percent", "GET / HTTP/1.1\nHost: a%20b\n\n", "bad_host", 400},
		{"Host not ASCII", "GET / HTTP/1.1\nHost: \xc3\xa9\n\n", "bad_host", 400},
		{"Host dot", "GET / HTTP/1.1\nHost: .\n\n", "bad_host", 400},
		{"Host begins with dot", "GET / HTTP/1.1\nHost: .a\n\n", "bad_host", 400},
		{"Host with two dots", "GET / HTTP/1.1\nHost: a..b\n\n", "bad_host", 400},
		{"Host ends with two dots", "GET / HTTP/1.1\nHost: a..\n\n", "bad_host", 400},
		{"Host too long", "GET / HTTP/1.1\nHost: " + strings.Repeat("a.", 128) + "\n\n", "bad_host", 400},
		{"port empty", "GET / HTTP/1.1\nHost: a:\n\n", "bad_host", 400},
		{"port too large", "GET / HTTP/1.1\nHost: a:65536\n\n", "bad_host", 400},
		{"port with too many zeros", "GET / HTTP/1.1\nHost: a:000080\n\n", "bad_host", 400},
		{"port with sign", "GET / HTTP/1.1\nHost: a:+80\n\n", "bad_host", 400},
		{"port is no number", "GET / HTTP/1.1\nHost: a:b\n\n", "bad_host", 400},
		{"two ports", "GET / HTTP/1.1\nHost: a:1:2\n\n", "bad_host", 400},
		{"port only", "GET / HTTP/1.1\nHost: :80\n\n", "bad_host", 400},
		{"IPv6 without brackets", "GET / HTTP/1.1\nHost: ::1\n\n", "bad_host", 400},
		{"IPv6 not closed", "GET / HTTP/1.1\nHost: [::1\n\n", "bad_host", 400},
		{"IPv6 with something behind", "GET / HTTP/1.1\nHost: [::1]a\n\n", "bad_host", 400},
		{"IPv6 with zone", "GET / HTTP/1.1\nHost: [fe80::1%25eth0]\n\n", "bad_host", 400},
		{"IPv6 of colons", "GET / HTTP/1.1\nHost: [:::::]\n\n", "bad_host", 400},
		{"brackets around IPv4", "GET / HTTP/1.1\nHost: [1.2.3.4]\n\n", "bad_host", 400},
		{"empty brackets", "GET / HTTP/1.1\nHost: []\n\n", "bad_host", 400},
		{"IPvFuture", "GET / HTTP/1.1\nHost: [v1.a]\n\n", "bad_host", 400},
		{"absolute for another host", "GET http://b/ HTTP/1.1\nHost: a\n\n", "bad_host", 400},
		{"absolute for another port", "GET http://a:80/ HTTP/1.1\nHost: a\n\n", "bad_host", 400},
		{"absolute without Host", "GET http://a/ HTTP/1.1\n\n", "bad_host", 400},
		{"absolute without authority", "GET http:///p HTTP/1.1\nHost: a\n\n", "bad_host", 400},
		{"absolute with user", "GET http://u@a/ HTTP/1.1\nHost: a\n\n", "bad_host", 400},
		{"absolute with backslash", "GET http://a\\@b/ HTTP/1.1\nHost: a\n\n", "bad_host", 400},

		{"length and coding", "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\n\n", "framing", 400},
		{"coding and length", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nContent-Length: 0\n\n", "framing", 400},
		{"two lengths", "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nContent-Length: 6\n\n", "framing", 400},
		{"two equal lengths", "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nContent-Length: 5\n\n", "framing", 400},
		{"list of lengths", "POST / HTTP/1.1\nHost: a\nContent-Length: 5, 5\n\n", "framing", 400},
		{"length empty", "POST / HTTP/1.1\nHost: a\nContent-Length:\n\n", "framing", 400},
		{"length with plus", "POST / HTTP/1.1\nHost: a\nContent-Length: +5\n\n", "framing", 400},
		{"length with minus", "POST / HTTP/1.1\nHost: a\nContent-Length: -5\n\n", "framing", 400},
		{"length in hex", "POST / HTTP/1.1\nHost: a\nContent-Length: 0x5\n\n", "framing", 400},
		{"length with a point", "POST / HTTP/1.1\nHost: a\nContent-Length: 5.0\n\n", "framing", 400},
		{"length with a space", "POST / HTTP/1.1\nHost: a\nContent-Length: 5 5\n\n", "framing", 400},
		{"length of 19 digits", "POST / HTTP/1.1\nHost: a\nContent-Length: 1000000000000000000\n\n", "framing", 400},
		{"coding in HTTP/1.0", "POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n\n", "framing", 400},
		{"coding empty", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding:\n\n", "framing", 400},
		{"coding identity", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: identity\n\n", "framing", 400},
		{"coding gzip", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip\n\n", "framing", 400},
		{"coding gzip, chunked", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n", "unknown_coding", 501},
		{"coding chunked, gzip", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked, gzip\n\n", "framing", 400},
		{"coding chunked twice", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked, chunked\n\n", "framing", 400},
		{"coding in two fields", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n", "framing", 400},
		{"coding gzip and chunked in two fields", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip\nTransfer-Encoding: chunked\n\n", "framing", 400},
		{"coding with a parameter", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked;a=b\n\n", "framing", 400},
		{"coding with quotes", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: \"chunked\"\n\n", "framing", 400},
		{"coding with comma", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: ,chunked\n\n", "framing", 400},
		{"coding xchunked", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: xchunked\n\n", "framing", 400},
		{"coding with vertical tab", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: \x0bchunked\n\n", "malformed", 400},
		{"expectation unknown", "PUT / HTTP/1.1\nHost: a\nExpect: x\n\n", "bad_expectation", 417},
		{"expectation unknown, then known", "PUT / HTTP/1.1\nHost: a\nExpect: x\nExpect: 100-continue\n\n", "bad_expectation", 417},
		{"expectation known, then unknown", "PUT / HTTP/1.1\nHost: a\nExpect: 100-continue\nExpect: x\n\n", "bad_expectation", 417},

		{"space before the colon", "GET / HTTP/1.1\nHost: a\nX : y\n\n", "malformed", 400},
		{"tab before the colon", "GET / HTTP/1.1\nHost: a\nX\t: y\n\n", "malformed", 400},
		{"no name", "GET / HTTP/1.1\nHost: a\n: y\n\n", "malformed", 400},
		{"no colon", "GET / HTTP/1.1\nHost: a\nX\n\n", "malformed", 400},
		{"folded", "GET / HTTP/1.1\nHost: a\nX: y\n z\n\n", "malformed", 400},
		{"folded with tab", "GET / HTTP/1.1\nHost: a\nX: y\n\tz: a\n\n", "malformed", 400},
		{"folded first", "GET / HTTP/1.1\n Host: a\n\n", "malformed", 400},
		{"folded and empty", "GET / HTTP/1.1\nHost: a\n \n\n", "malformed", 400},
		{"name with a byte", "GET / HTTP/1.1\nHost: a\nX(: y\n\n", "malformed", 400},
		{"name not ASCII", "GET / HTTP/1.1\nHost: a\nX\xe9: y\n\n", "malformed", 400},
		{"name with NUL", "GET / HTTP/1.1\nHost: a\nX\x00: y\n\n", "malformed", 400},
		{"name with CR", "GET / HTTP/1.1\nHost: a\nX\r: y\n\n", "malformed", 400},
		{"value with NUL", "GET / HTTP/1.1\nHost: a\nX: a\x00b\n\n", "malformed", 400},
		{"value with control", "GET / HTTP/1.1\nHost: a\nX: 12345678\x1b\n\n", "malformed", 400},
		{"value with DEL", "GET / HTTP/1.1\nHost: a\nX: 1234567\x7f\n\n", "malformed", 400},
		{"value with CR", "GET / HTTP/1.1\nHost: a\nX: a\rY: b\n\n", "malformed", 400},
		{"value ends with CR", "GET / HTTP/1.1\nHost: a\nX: a\r\n\n", "malformed", 400},
		{"field ends with LF", "GET / HTTP/1.1\nHost: a␊\n", "malformed", 400},
		{"head ends with LF", "GET / HTTP/1.1\nHost: a\n␊", "malformed", 400},
	}
	for _, test := range tests {
		raw := strings.ReplaceAll(crlf(test.raw), "␊", "\n")
		r := parse(raw, roomy())
		refused, ok := r.err.(*refusal)
		if !ok {
			t.Errorf("%s: got %v, want it refused as %s", test.name, r.err, test.kind)
		} else if refused.kind.Word != test.kind || refused.kind.Status != test.status {
			t.Errorf("%s: refused as %s, %d (%s), want %s, %d", test.name, refused.kind.Word, refused.kind.Status, refused, test.kind, test.status)
		} else if !refused.kind.Close {
			t.Errorf("%s: refused without closing the connection", test.name)
		}
		if r.n > len(raw) {
			t.Errorf("%s: %d bytes used of %d", test.name, r.n, len(raw))
		}
	}
}

func TestFields(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"order and case stay", "b: 1\nA: 2\nb: 3\n", "b: 1\nA: 2\nb: 3\n"},
		{"space around values goes", "A: \t 1 2\t \nB:\nC: \n", "A: 1 2\nB: \nC: \n"},
		{"tab and high bytes inside stay", "A: 1\t\xe9\xff2\n", "A: 1\t\xe9\xff2\n"},
		{"colons and quotes in values", "A: :\": ;,\n", "A: :\": ;,\n"},
		{"hop-by-hop fields go", "Keep-Alive: 5\nProxy-Connection: close\nProxy-Authorization: x\nProxy-Authenticate: y\nTE: trailers\nUpgrade: x\nExpect: 100-continue\nConnection: close\nTransfer-Encoding: chunked\nA: 1\n", "A: 1\n"},
		{"listed fields go", "A: 1\nConnection: a, b\nB: 2\nC: 3\na: 4\n", "C: 3\n"},
		{"listed after the fact", "X-Internal: 1\nConnection: close, X-Internal\n", ""},
		{"listed known fields", "Accept: x\nConnection: accept\n", ""},
		{"what a message needs stays though listed", "Connection: host, content-length, authorization, cookie, date, cache-control\nContent-Length: 1\nAuthorization: a\nCookie: c\nDate: d\nCache-Control: e\n",
			"Content-Length: 1\nAuthorization: a\nCookie: c\nDate: d\nCache-Control: e\n"},
		{"shadows go", "Content_Length: 1\nX_Forwarded-For: 2\nx_real_ip: 3\nTransfer_Encoding: x\nHost_: 4\nX_Custom: 5\n", "Host_: 4\nX_Custom: 5\n"},
		{"shadow of a field that is listed", "Connection: x\n_: 1\n" + strings.Repeat("_", 40) + ": 2\n", "_: 1\n" + strings.Repeat("_", 40) + ": 2\n"},
		{"trailer and length stay", "Trailer: x\nContent-Length: 3\n", "Trailer: x\nContent-Length: 3\n"},
	}
	for _, test := range tests {
		r := parse(crlf("GET / HTTP/1.1\nHost: a\n"+test.raw+"\n"), roomy())
		if r.err != nil {
			t.Errorf("%s: refused: %v", test.name, r.err)
		} else if got := list(&r.Header); got != test.want {
			t.Errorf("%s: got\n%swant\n%s", test.name, got, test.want)
		}
	}
}

func TestRequestLimits(t *testing.T) {
	limits := &Limits{RequestLine: 20, HeaderBytes: 40, HeaderCount: 3, Body: 10}
	line := func(size int) string { return "GET /" + strings.Repeat("a", size-len("GET / HTTP/1.1")) + " HTTP/1.1" }
	field := func(size int) string { return "A: " + strings.Repeat("a", size-len("A: \r\n")) + "\r\n" }
	f := func(raw, want string) {
		t.Helper()
		if got := verdict(parse(raw, limits).err); got != want {
			t.Errorf("%q: got %s, want %s", raw, got, want)
		}
	}
	const host = "Host: a\r\n" // 9 bytes
	f(line(20)+"\r\n"+host+"\r\n", "ok")
	f(line(20)+"\r", "more")
	f(line(21)+"\r\n"+host+"\r\n", "line_too_long")
	f(line(21)+"\r", "line_too_long")
	f(strings.Repeat("A", 21), "more") // the CR may be next
	f(strings.Repeat("A", 22), "line_too_long")

	f(line(20)+"\r\n"+host+field(29)+"\r\n", "ok")
	f(line(20)+"\r\n"+host+field(29)+"\r", "more")
	f(line(20)+"\r\n"+host+field(30)+"\r\n", "header_too_large")
	f(line(20)+"\r\n"+host+strings.Repeat("A", 31), "more")
	f(line(20)+"\r\n"+host+strings.Repeat("A", 32), "header_too_large")
	f(line(20)+"\r\n"+host+"\r\n"+strings.Repeat("A", 100), "ok") // what follows the head does not count

	f(line(20)+"\r\n"+host+"A:\r\nB:\r\n\r\n", "ok")
	f(line(20)+"\r\n"+host+"A:\r\nB:\r\nC:\r\n\r\n", "header_too_large")
	f(line(20)+"\r\n"+host+"A:\r\nB:\r\nC:\r\n", "header_too_large")
	f(line(20)+"\r\n"+"Keep-Alive:\r\nTE:\r\nA_:\r\nHost: a\r\n\r\n", "header_too_large") // those that are dropped count too

	f(line(20)+"\r\n"+host+"Content-Length: 10\r\n\r\n", "ok")
	f(line(20)+"\r\n"+host+"Content-Length: 11\r\n\r\n", "body_too_large")
	limits.Body = 0
	f(line(20)+"\r\n"+host+"Content-Length: 11\r\n\r\n", "ok")
}

// However a head arrives, the outcome is that of the whole, and nothing but a refusal comes early.
func TestRequestArrivesInParts(t *testing.T) {
	heads := []string{
		"GET / HTTP/1.1\nHost: a\n\n",
		"\nPOST http://a:1/p?q HTTP/1.1\nHost: a:1\nConnection: x, close\nX: 1\nContent-Length: 3\nExpect: 100-continue\n\n",
		"POST /p HTTP/1.0\nContent-Length: 0\nA_b: \n\n",
		"POST /p HTTP/1.1\nhost: [::1]:8\nTransfer-Encoding: chunked\nTE: trailers\n\n",
		"G\x00T / HTTP/1.1\nHost: a\n\n",
		"GET  / HTTP/1.1\nHost: a\n\n",
		"GET / HTTP/1.1\nHost: a\nHost: a\n\n",
		"GET / HTTP/1.1\nHost: a\nX: y\n z\n\n",
		"POST / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n",
		"GET / HTTP/1.1\nHost: a\nX: \r\r\n\n",
	}
	for _, head := range heads {
		head = crlf(head)
		whole := parse(head, roomy())
		for at := range len(head) {
			part := parse(head[:at], roomy())
			if part.err == errMore {
				continue
			}
			if part.err == nil || part.err != whole.err {
				t.Errorf("%q: with %d bytes: %v; whole: %v", head, at, part.err, whole.err)
			}
		}
		if whole.err != nil {
			continue
		}
		behind := parse(head+"GET /smuggled HTTP/1.1\r\n", roomy())
		if behind.err != nil || behind.n != len(head) || behind.facts() != whole.facts() {
			t.Errorf("%q: with bytes behind: %s, %v", head, behind.facts(), behind.err)
		}
	}
}
