package http2

import (
	"bytes"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"os"

	framing "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/socket"
)

// pair is a connection with its far end.
func pair(t testing.TB) (*socket.Conn, net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
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

// exchangeFrames serves what a client sends, cut into pieces of a size, and returns what the session sends until it is over.
func exchangeFrames(t testing.TB, raw []byte, piece int) []byte {
	conn, far := pair(t)
	set := &Settings{
		Limits:   Limits{HeaderBytes: 4 << 10, HeaderCount: 30, Target: 256, Body: 64 << 10},
		Timeouts: Timeouts{Header: time.Second, Progress: time.Second, TunnelIdle: time.Second},
		Streams:  8, StreamWindow: firstWindow, ConnWindow: 128 << 10,
	}
	s := Open(conn, &exchange.Conn{}, new(gate), set, answering(reading), nil)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for s.Serve() {
		}
		defer s.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.streams) > 0 || s.goroutines > 0 || s.flushing || len(s.spare) > 0 {
			t.Errorf("%d streams, %d goroutines left behind", len(s.streams), s.goroutines)
		}
		if len(s.out) > 2*roomBound || len(s.held) > 0 || s.block.held != nil {
			t.Errorf("%d bytes left behind", len(s.out))
		}
	}()
	go func() {
		for len(raw) > 0 {
			n := min(len(raw), piece)
			if _, err := far.Write(raw[:n]); err != nil {
				break
			}
			raw = raw[n:]
		}
		far.(*net.UnixConn).CloseWrite()
	}()
	far.SetReadDeadline(time.Now().Add(patience))
	sent, _ := io.ReadAll(far)
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatal("the session does not end")
	}
	return sent
}

// frames makes what a client sends.
func frames(make func(f *framing.Framer, block func(fields ...string) []byte)) []byte {
	var out, block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	out.WriteString(preface)
	f := framing.NewFramer(&out, nil)
	f.AllowIllegalWrites = true
	f.WriteSettings()
	make(f, func(fields ...string) []byte {
		block.Reset()
		for i := 0; i < len(fields); i += 2 {
			encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		return bytes.Clone(block.Bytes())
	})
	return out.Bytes()
}

// Whatever comes, the session ends by itself, leaves nothing behind, and sends only frames that another make's reader accepts.
func FuzzFrames(f *testing.F) {
	request := []string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"}
	f.Add(frames(func(f *framing.Framer, block func(...string) []byte) {
		f.WriteHeaders(framing.HeadersFrameParam{StreamID: 1, BlockFragment: block(request...), EndHeaders: true})
		f.WriteData(1, false, []byte("hello"))
		f.WriteDataPadded(1, true, []byte("hello"), make([]byte, 10))
		f.WriteHeaders(framing.HeadersFrameParam{StreamID: 3, BlockFragment: block(request...), EndHeaders: true, EndStream: true})
		f.WritePing(false, [8]byte{1})
	}), uint8(255))
	f.Add(frames(func(f *framing.Framer, block func(...string) []byte) {
		b := block(request...)
		f.WriteHeaders(framing.HeadersFrameParam{StreamID: 1, BlockFragment: b[:4]})
		f.WriteContinuation(1, true, b[4:])
		f.WriteHeaders(framing.HeadersFrameParam{StreamID: 1, BlockFragment: block("x-sum", "1"), EndHeaders: true, EndStream: true})
		f.WriteRSTStream(1, 8)
		f.WriteWindowUpdate(0, 100)
		f.WriteWindowUpdate(1, 100)
		f.WritePriority(5, framing.PriorityParam{StreamDep: 1})
		f.WriteGoAway(0, 0, []byte("bye"))
	}), uint8(3))
	f.Add(frames(func(f *framing.Framer, block func(...string) []byte) {
		f.WriteSettings(framing.Setting{ID: 4, Val: 0}, framing.Setting{ID: 1, Val: 0}, framing.Setting{ID: 5, Val: 1 << 20})
		f.WriteHeaders(framing.HeadersFrameParam{StreamID: 1, BlockFragment: block(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/", ":authority", "a"), EndHeaders: true, PadLength: 5, Priority: framing.PriorityParam{StreamDep: 3, Weight: 4}})
		f.WriteData(1, true, nil)
		f.WriteRawFrame(0xfe, 0xff, 7, []byte("unknown"))
		f.WriteSettingsAck()
	}), uint8(1))
	f.Fuzz(func(t *testing.T, raw []byte, piece uint8) {
		if len(raw) > 64<<10 {
			return
		}
		sent := exchangeFrames(t, raw, int(piece)+1)
		in := framing.NewFramer(io.Discard, bytes.NewReader(sent))
		in.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		for {
			if _, err := in.ReadFrame(); err == io.EOF || err == io.ErrUnexpectedEOF { // cut off when the client was gone
				return
			} else if err != nil {
				t.Fatalf("sent a frame that is not one: %v, %v", err, in.ErrorDetail())
			}
		}
	})
}

// A header block that is accepted makes a request that means one thing only when it is written as HTTP/1.1.
func FuzzHeaderBlock(f *testing.F) {
	add := func(fields ...string) {
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for i := 0; i < len(fields); i += 2 {
			encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		f.Add(block.Bytes(), true)
	}
	add(":method", "GET", ":scheme", "http", ":path", "/a?b", ":authority", "a.example:80", "accept", "*/*", "cookie", "a=b", "cookie", "c=d")
	add(":method", "POST", ":scheme", "https", ":path", "/", "host", "a", "content-length", "5", "te", "trailers", "expect", "100-continue")
	add(":method", "CONNECT", ":scheme", "https", ":path", "/", ":authority", "a", ":protocol", "websocket")
	set := roomy()
	f.Fuzz(func(t *testing.T, raw []byte, last bool) {
		if len(raw) > frameSize {
			return
		}
		s := &Session{set: set, info: new(exchange.Conn), stats: new(Stats), peerWindow: firstWindow}
		s.cond.L = &s.mu
		s.block.start(1, last, 0)
		st := s.open(1, 0)
		s.block.st, s.block.into = st, &st.x.Request.Header
		if s.fragment(raw, true) != nil || s.block.malformed != "" || s.request(&s.block, st) != "" || st.refusal != nil {
			return
		}
		r := &st.x.Request
		clean := func(what, text, never string) {
			if strings.ContainsAny(text, "\r\n\x00") || strings.ContainsAny(text, never) {
				t.Fatalf("%s is %q", what, text)
			}
		}
		clean("the method", r.Method, " \t:/")
		clean("the path", r.Path, " \t#?")
		clean("the query", r.Query, " \t#")
		clean("the host", r.Host, " \t/@#?,ABCDEFGHIJKLMNOPQRSTUVWXYZ")
		clean("the port", r.Port, " \t:/@")
		if r.Host == "" || r.Path == "" || r.Path != "*" && r.Path[0] != '/' || r.Method == "CONNECT" || r.Length < exchange.Unknown {
			t.Fatalf("accepted: %s", facts(&st.x))
		}
		if last && r.Length != 0 {
			t.Fatalf("content of %d bytes behind the end", r.Length)
		}
		total, hosts, lengths := 0, 0, 0
		for _, f := range r.Header.All() {
			clean("a name", f.Name, " \t:()<>@,;\\\"/[]?={}")
			clean("a value", f.Value, "")
			if f.Name == "" || strings.TrimSpace(f.Value) != f.Value && f.Value != "" && strings.Trim(f.Value, " \t") != f.Value {
				t.Fatalf("a field is %q: %q", f.Name, f.Value)
			}
			if f.Known != exchange.Lookup(f.Name) {
				t.Fatalf("%q is not known for what it is", f.Name)
			}
			switch f.Known {
			case exchange.Connection, exchange.TransferEncoding, exchange.Upgrade, exchange.KeepAlive, exchange.ProxyConnection, exchange.TE:
				t.Fatalf("%q is let through", f.Name)
			case exchange.Host:
				hosts++
			case exchange.ContentLength:
				lengths++
			}
			total += len(f.Name) + len(f.Value) + fieldRoom
		}
		if hosts != 1 || lengths > 1 || total > set.Limits.HeaderBytes+512 || r.Header.Len() > set.Limits.HeaderCount+2 {
			t.Fatalf("%d hosts, %d lengths, %d bytes, %d fields", hosts, lengths, total, r.Header.Len())
		}
	})
}
