package hostile

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 120 {
		t.Errorf("only %d cases", len(cases))
	}
	for _, c := range cases {
		if c.Raw == "" || c.Reason == "" || len(c.Want) == 0 && !c.Closed && !c.Cut {
			t.Errorf("requests.txt:%d: %s says too little", c.Line, c.Name)
		}
	}
}

// The reader at the endpoint must see what it is there to see.
func TestReadStrict(t *testing.T) {
	f := func(raw, want, fault string) {
		t.Helper()
		in := bufio.NewReader(strings.NewReader(strings.ReplaceAll(raw, "\n", "\r\n")))
		got, err := ReadStrict(in)
		switch {
		case fault == "" && (err != nil || got != want):
			t.Errorf("%q: got %q, %v", raw, got, err)
		case fault != "" && (err == nil || !strings.Contains(err.Error(), fault)):
			t.Errorf("%q: got %q, %v, want a fault about %s", raw, got, err, fault)
		}
		if left, _ := io.ReadAll(in); err == nil && string(left) != "next" {
			t.Errorf("%q: %q is left", raw, left)
		}
	}
	f("GET /a HTTP/1.1\nHost: a\n\nnext", "GET /a", "")
	f("POST /a HTTP/1.1\nHost: a\nContent-Length: 2\n\nhinext", "POST /a", "")
	f("POST /a HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\na\n0123456789\n0\nA: b\n\nnext", "POST /a", "")
	f("GET  /a HTTP/1.1\nHost: a\n\n", "", "request line")
	f("GET /a HTTP/1.1\nHost: a\nTransfer_Encoding: chunked\n\n", "", "resembles")
	f("GET /a HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", "", "lengths")
	f("GET /a HTTP/1.1\nHost: a\nContent-Length: 01\n\na", "", "length")
	f("GET /a HTTP/1.1\nHost: a\nTransfer-Encoding: Chunked\n\n0\n\n", "", "coding")
	f("GET /a HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1;x\na\n0\n\n", "", "chunk size")
	f("GET /a HTTP/1.1\nHost: a\nX: y\rz\n\n", "", "line")
	f("GET /a HTTP/1.1\n\n", "", "Host")
	f("GET /a HTTP/1.1\nHost: a", "", "unexpected EOF")
	f("POST /a HTTP/1.1\nHost: a\nContent-Length: 2\n\nh", "", "unexpected EOF")
}
