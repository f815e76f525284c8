package http1

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/socket"
)

// roomy are limits that no test meets by chance.
func roomy() *Limits { return &Limits{RequestLine: 8 << 10, HeaderBytes: 64 << 10, HeaderCount: 100} }

// crlf writes a head with LF for CR LF, so that tables stay readable.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// request is one parsed request with what the parser keeps beside it.
type request struct {
	exchange.Request
	head head
	n    int
	err  error
}

func parse(raw string, limits *Limits) *request {
	r := new(request)
	r.n, r.err = parseRequest([]byte(raw), limits, &r.head, &r.Request)
	return r
}

// facts puts what a request was taken for in one line: only what differs from the plainest request is named.
func (r *request) facts() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s", r.Method, r.Path)
	put := func(word string, value any, plain any) {
		if value != plain {
			fmt.Fprintf(&s, " %s=%v", word, value)
		}
	}
	put("query", r.Query, "")
	put("host", r.Host, "")
	put("port", r.Port, "")
	put("minor", r.Minor, uint8(1))
	put("length", r.Length, int64(0))
	put("upgrade", r.Upgrade, "")
	put("continue", r.Continue, false)
	put("trailers", r.TakesTrailers, false)
	put("close", r.head.close, false)
	put("keepalive", r.head.keepAlive, false)
	return s.String()
}

// list writes fields without Host, which every request has.
func list(fields *exchange.Fields) string {
	var s strings.Builder
	for _, f := range fields.All() {
		if f.Known != exchange.Host {
			fmt.Fprintf(&s, "%s: %s\n", f.Name, f.Value)
		}
	}
	return s.String()
}

// verdict names an outcome: "more", "ok", or the word of a refusal's kind.
func verdict(err error) string {
	if err == nil {
		return "ok"
	}
	if err == errMore {
		return "more"
	}
	if r, ok := err.(*refusal); ok {
		return r.kind.Word
	}
	if f, ok := err.(*fault.Fault); ok {
		return f.Kind.Word
	}
	return err.Error()
}

// pair is a connection with its far end. With records each write of the far end arrives as one read, however many there are.
func pair(t testing.TB, records bool) (*socket.Conn, net.Conn) {
	t.Helper()
	kind := syscall.SOCK_STREAM
	if records {
		kind = syscall.SOCK_SEQPACKET
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, kind, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := [2]net.Conn{}
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		if ends[i], err = net.FileConn(file); err != nil {
			t.Fatal(err)
		}
		file.Close()
		t.Cleanup(func() { ends[i].Close() })
	}
	conn, err := socket.New(ends[0])
	if err != nil {
		t.Fatal(err)
	}
	return conn, ends[1]
}

// write sends the pieces from the far end and closes it when last is true.
func write(t testing.TB, far net.Conn, last bool, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if _, err := far.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if last {
		far.Close()
	}
}

// headBuffer is a borrowed buffer as a session has it, with text in it.
func headBuffer(text string) []byte {
	buf := bufpool.Get(max(bufpool.Small, len(text)))
	copy(buf, text)
	return buf
}

// adopt makes a far end a connection like ours.
func adopt(t testing.TB, far net.Conn) *socket.Conn {
	t.Helper()
	conn, err := socket.New(far)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// inMemory is a body whose runs are there already.
type inMemory struct{ runs []string }

func (b *inMemory) Next() ([]byte, error) {
	if len(b.runs) == 0 {
		return nil, io.EOF
	}
	run := []byte(b.runs[0])
	b.runs = b.runs[1:]
	return run, nil
}

func (b *inMemory) Buffered() bool { return true }
