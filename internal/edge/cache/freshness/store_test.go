package freshness

import (
	"strings"
	"testing"
)

// RFC 9111 §3.1, §5.2.2.4, §5.2.2.7.
func TestStores(t *testing.T) {
	h := fields("Date: x", "Content-Type: text/plain", "Connection: close, Foo", "foo: 1", "Keep-Alive: 1", "Proxy-Connection: x", "TE: x", "Trailer: x", "Transfer-Encoding: chunked",
		"Upgrade: x", "Proxy-Authenticate: x", "Proxy-Authorization: x", "Proxy-Authentication-Info: x", "Age: 5", "Set-Cookie: a=b", "Set-Cookie2: a=b", `Cache-Control: no-cache="secret, Server"`,
		"SECRET: 1", "Server: x", `Cache-Control: private="mine", max-age=5`, "Mine: 1", "Content-Length: 5", "Vary: a", "X: 1", "X: 2")
	always := "Date: x\nContent-Type: text/plain\n%Set-Cookie2: a=b\nCache-Control: no-cache=\"secret, Server\"\nCache-Control: private=\"mine\", max-age=5\n^Content-Length: 5\nVary: a\nX: 1\nX: 2"
	for _, test := range []struct {
		rules        Rules
		cookie, mine string
	}{
		{Rules{}, "", ""},
		{Rules{StripCookies: true}, "", ""},
		{Rules{StoreCookies: true}, "Set-Cookie: a=b\n", ""},
		{Rules{Partitioned: true}, "", "Mine: 1\n"},
	} {
		got := fields()
		Stores(h, &test.rules, keeper(got))
		want := strings.NewReplacer("%", test.cookie, "^", test.mine).Replace(always)
		if texts(got) != want {
			t.Errorf("%+v:\n%s\nnot\n%s", test.rules, texts(got), want)
		}
	}
}

// RFC 9111 §3.2.
func TestUpdate(t *testing.T) {
	for _, test := range []struct {
		name         string
		stored, said []string
		rules        Rules
		want         []string
	}{
		{"replaced, kept and added", []string{"Date: 1", "A: 1", "B: 1", "a: 2"}, []string{"Date: 2", "A: 3", "A: 4", "C: 1"}, Rules{},
			[]string{"B: 1", "Date: 2", "A: 3", "A: 4", "C: 1"}},
		{"of the bytes", []string{"Date: 1", "Content-Length: 5", "Content-Encoding: gzip", "Content-MD5: a", "ETag: \"a\"", "Repr-Digest: a", "Content-Type: a"},
			[]string{"Date: 2", "Content-Length: 0", "Content-Encoding: br", "content-md5: b", "ETag: \"b\"", "Content-Range: bytes 0-1/2", "Content-Digest: b", "Repr-Digest: b", "Content-Type: b"}, Rules{},
			[]string{"Content-Length: 5", "Content-Encoding: gzip", "Content-MD5: a", "ETag: \"a\"", "Repr-Digest: a", "Date: 2", "Content-Type: b"}},
		{"no Date", []string{"Date: 1", "A: 1"}, nil, Rules{}, []string{"A: 1"}},
		{"of the connection", []string{"Foo: 1"}, []string{"Connection: foo, x", "Foo: 2", "X: 1", "Age: 7", "Keep-Alive: 5"}, Rules{}, []string{"Foo: 1"}},
		{"cookies", []string{"A: 1"}, []string{"Set-Cookie: a=b"}, Rules{}, []string{"A: 1"}},
		{"cookies stored", []string{"Set-Cookie: a=a"}, []string{"Set-Cookie: a=b"}, Rules{StoreCookies: true}, []string{"Set-Cookie: a=b"}},
		{"named by the new one", []string{"A: 1", "Cache-Control: max-age=5"}, []string{"Cache-Control: private=\"a, b\"", "B: 1"}, Rules{}, []string{"Cache-Control: private=\"a, b\""}},
		{"named by the old one", []string{"Cache-Control: private=\"a, b\""}, []string{"A: 1", "C: 1"}, Rules{}, []string{"Cache-Control: private=\"a, b\"", "C: 1"}},
	} {
		got := fields()
		Update(fields(test.stored...), fields(test.said...), &test.rules, keeper(got))
		if want := strings.Join(test.want, "\n"); texts(got) != want {
			t.Errorf("%s:\n%s\nnot\n%s", test.name, texts(got), want)
		}
	}
}

// RFC 9111 §4.3.5.
func TestAgrees(t *testing.T) {
	const lm, other = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT"
	for _, test := range []struct {
		stored, said []string
		want         bool
	}{
		{nil, nil, true},
		{nil, []string{"Content-Length: 7"}, true},
		{nil, []string{"Content-Length: 8"}, false},
		{nil, []string{"Content-Length: x"}, false},
		{nil, []string{`ETag: "a"`}, false},
		{[]string{`ETag: "a"`}, []string{`ETag: "a"`, "Content-Length: 7"}, true},
		{[]string{`ETag: "a"`}, []string{`ETag: "b"`}, false},
		{[]string{lm}, []string{other}, false},
		{[]string{lm, `ETag: "a"`}, []string{lm}, true},
	} {
		if got := Agrees(fields(test.stored...), 7, fields(test.said...)); got != test.want {
			t.Errorf("%q by %q: %v", test.stored, test.said, got)
		}
	}
}
