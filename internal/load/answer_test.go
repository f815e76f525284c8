package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answers that are whole, with what stands behind them.
var answers = []struct {
	name, text string
	head       bool // asked with HEAD
	status     int
	rest       string
	closes     bool
	tillEnd    bool // whole when the connection ends
}{
	{name: "with a length", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", status: 200},
	{name: "empty", text: "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", status: 200},
	{name: "no reason", text: "HTTP/1.1 404 \r\nContent-Length: 1\r\n\r\nx", status: 404},
	{name: "no reason, no space", text: "HTTP/1.1 404\r\nContent-Length: 1\r\n\r\nx", status: 404},
	{name: "more behind", text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP", status: 200, rest: "HTTP"},
	{name: "chunked", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n", status: 200},
	{name: "chunked with trailers", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n00001\r\nx\r\n000\r\nDigest: a\r\nX: \r\n\r\nmore", status: 200, rest: "more"},
	{name: "till the end", text: "HTTP/1.1 200 OK\r\nX: y\r\n\r\nwhatever", status: 200, closes: true, tillEnd: true},
	{name: "coded, till the end", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nwhatever", status: 200, closes: true, tillEnd: true},
	{name: "old, till the end", text: "HTTP/1.0 200 OK\r\n\r\n", status: 200, closes: true, tillEnd: true},
	{name: "old, kept", text: "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", status: 200},
	{name: "old", text: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", status: 200, closes: true},
	{name: "closes", text: "HTTP/1.1 200 OK\r\nConnection: x , CLOSE\r\nContent-Length: 1\r\n\r\nx", status: 200, closes: true},
	{name: "to HEAD", head: true, text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", status: 200},
	{name: "to HEAD, chunked", head: true, text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", status: 200},
	{name: "204", text: "HTTP/1.1 204 No Content\r\n\r\n", status: 204},
	{name: "304 with a length", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", status: 304},
	{name: "interim", text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", status: 200},
	{name: "the same length twice", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", status: 200},
	{name: "bytes above ASCII", text: "HTTP/1.1 200 \xc3\xa9\r\nX: \xff\r\nContent-Length: 1\r\n\r\nx", status: 200},
}

func TestAnswersAreReadHoweverTheyAreSplit(t *testing.T) {
	for _, test := range answers {
		t.Run(test.name, func(t *testing.T) {
			for _, known := range []*known{{}, new(known)} { // the second time the head is known
				for range 2 {
					for at := range len(test.text) + 1 {
						a := &answer{known: known}
						a.begin(test.head)
						checkAnswer(t, a, test.status, test.rest, test.closes, test.tillEnd, test.text[:at], test.text[at:])
					}
				}
				a := &answer{known: known}
				for range 2 { // byte by byte, and again with the same reader
					a.begin(test.head)
					checkAnswer(t, a, test.status, test.rest, test.closes, test.tillEnd, strings.Split(test.text, "")...)
				}
			}
		})
	}
}

func checkAnswer(t *testing.T, a *answer, status int, rest string, closes, tillEnd bool, pieces ...string) {
	t.Helper()
	for i, piece := range pieces {
		left, done, err := a.feed([]byte(piece))
		if err != nil {
			t.Fatalf("piece %d of %q: %v", i, pieces, err)
		}
		if !done {
			continue
		}
		if got := string(left) + strings.Join(pieces[i+1:], ""); got != rest {
			t.Fatalf("%q: %q is left, want %q", pieces, got, rest)
		}
		if tillEnd || a.head.status != status || a.head.closes != closes {
			t.Fatalf("%q: %+v", pieces, a.head)
		}
		return
	}
	if !tillEnd || !a.ended() || a.head.status != status || !a.head.closes {
		t.Fatalf("%q: not whole: %+v", pieces, a)
	}
}

func TestWhatIsNoAnswerIsRefusedHoweverItIsSplit(t *testing.T) {
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, text := range []string{
		"SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01\x00\x02\x02\x46", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 600 OK\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 O\x00K\r\n\r\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n", "HTTP/1.1 200 OK\r\n: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\nb\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n",
		chunked + "x\r\n", chunked + "\r\n", chunked + "1\r\nabc", chunked + "1\r\na\n\r", chunked + "1\nabc\r\n", chunked + "1g\r\n", chunked + "1 ;\x01\r\n",
		chunked + "1111111111111111\r\n", chunked + "0\r\nbad\r\n\r\n", chunked + "0\r\n folded: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", mostHead) + "\r\n\r\n", chunked + "1;" + strings.Repeat("x", mostHead+2) + "\r\n",
		chunked + "0\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 70) + "\r\n",
	} {
		splits := len(text)
		if splits > 200 {
			splits = 100
		}
		for at := range splits + 1 {
			a := &answer{known: new(known)}
			a.begin(false)
			var err error
			for _, piece := range []string{text[:at], text[at:]} {
				if err == nil {
					_, _, err = a.feed([]byte(piece))
				}
			}
			if err == nil {
				t.Errorf("split at %d, %.80q was not refused", at, text)
				break
			}
		}
	}
}

// Whatever comes is read in the same way however it is split; and what net/http takes for an answer with the same length is taken here, or
// refused as this reader is the stricter.
func FuzzAnswer(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a.text), 7, a.head)
	}
	f.Fuzz(func(t *testing.T, text []byte, at int, head bool) {
		if len(text) == 0 || len(text) > 4096 {
			return
		}
		whole := &answer{known: new(known)}
		whole.begin(head)
		rest, done, err := whole.feed(text)
		at = max(at, -at) % len(text)
		if at < 0 {
			at = 0
		}
		split := &answer{known: whole.known}
		split.begin(head)
		restS, doneS, errS := split.feed(text[:at])
		if doneS {
			restS = text[at-len(restS):]
		} else if errS == nil {
			restS, doneS, errS = split.feed(text[at:])
		}
		if done != doneS || (err == nil) != (errS == nil) || !bytes.Equal(rest, restS) || done && whole.head != split.head {
			t.Fatalf("split at %d: %v, %v, %q; whole: %v, %v, %q", at, doneS, errS, restS, done, err, rest)
		}
		if !done {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(text))
		method := "GET"
		if head {
			method = "HEAD"
		}
		for {
			answer, err := http.ReadResponse(reader, &http.Request{Method: method})
			if err != nil {
				t.Skip(err) // net/http refuses other things besides
			}
			if answer.StatusCode < 200 {
				continue
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil && !errors.Is(err, io.EOF) {
				t.Skip(err)
			}
			left, _ := io.ReadAll(reader)
			if answer.StatusCode != whole.head.status || !bytes.Equal(left, rest) {
				t.Fatalf("net/http: %d and %q left; here %d and %q", answer.StatusCode, left, whole.head.status, rest)
			}
			return
		}
	})
}
