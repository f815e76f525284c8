package wire

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything is waited for.
const Patience = 30 * time.Second

// Peer is one side of a connection: the client's, or the endpoint's. One goroutine may read while another writes.
type Peer struct {
	Conn net.Conn
	In   *bufio.Reader
	t    testing.TB
	over func() bool // of an endpoint: the test is over, so that errors mean nothing
}

// TLS in front of an address makes Dial speak it there, with whoever answers: tests of who that is use DialTLS.
const TLS = "tls:"

// Dial connects a client until the test ends.
func Dial(t testing.TB, addr string) *Peer {
	t.Helper()
	if addr, ok := strings.CutPrefix(addr, TLS); ok {
		return DialTLS(t, addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	conn, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newPeer(t, conn, nil)
}

// DialTLS is Dial with TLS inside.
func DialTLS(t testing.TB, addr string, config *tls.Config) *Peer {
	t.Helper()
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: Patience}, Config: config}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newPeer(t, conn, nil)
}

func newPeer(t testing.TB, conn net.Conn, over func() bool) *Peer {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetNoDelay(true)
	}
	return &Peer{Conn: conn, In: bufio.NewReaderSize(conn, 64<<10), t: t, over: over}
}

// fail fails the test and ends the goroutine.
func (p *Peer) fail(format string, args ...any) {
	p.t.Helper()
	if p.over == nil {
		p.t.Fatalf(format, args...)
	}
	if !p.over() {
		p.t.Errorf("endpoint: "+format, args...)
	}
	runtime.Goexit()
}

func (p *Peer) wait() { p.Conn.SetReadDeadline(time.Now().Add(Patience)) }

// Send writes the pieces, each with a write of its own.
func (p *Peer) Send(pieces ...string) {
	p.t.Helper()
	for _, piece := range pieces {
		if err := p.TrySend(piece); err != nil {
			p.fail("sending: %v", err)
		}
	}
}

// TrySend writes one piece and returns what went wrong.
func (p *Peer) TrySend(piece string) error {
	p.Conn.SetWriteDeadline(time.Now().Add(Patience))
	_, err := io.WriteString(p.Conn, piece)
	return err
}

// CloseWrite closes the sending side.
func (p *Peer) CloseWrite() {
	p.t.Helper()
	err := p.Conn.(interface{ CloseWrite() error }).CloseWrite()
	if secure, ok := p.Conn.(*tls.Conn); ok && err == nil { // that was an alert, and no more
		err = secure.NetConn().(*net.TCPConn).CloseWrite()
	}
	if err != nil {
		p.fail("closing the sending side: %v", err)
	}
}

// Close closes the connection.
func (p *Peer) Close() { p.Conn.Close() }

// Reset closes the connection with a reset.
func (p *Peer) Reset() {
	conn := p.Conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// TryHead reads the head of a message. io.EOF says that the other side closed the connection before one began.
func (p *Peer) TryHead() (*Message, error) {
	p.wait()
	if _, err := p.In.Peek(1); err != nil {
		return nil, err
	}
	start, err := p.line()
	if err != nil {
		return nil, err
	}
	m := &Message{Start: start}
	m.Fields, err = p.fields()
	return m, err
}

// Head reads the head of a message.
func (p *Peer) Head() *Message {
	p.t.Helper()
	m, err := p.TryHead()
	if err != nil {
		p.fail("reading a head: %v", err)
	}
	return m
}

// TryBody reads the body that belongs to m, which is a request when method is empty, and else the answer to a request by method.
func (p *Peer) TryBody(m *Message, method string) error {
	codings, lengths := m.Values("Transfer-Encoding"), m.Values("Content-Length")
	status := m.Status()
	switch {
	case len(codings)+len(lengths) > 1:
		return fmt.Errorf("both of %q and %q", codings, lengths)
	case method == "HEAD", method != "" && (status < 200 || status == 204 || status == 304):
		m.Framing = "none"
		return nil
	case len(codings) == 1:
		m.Framing = "chunked"
		for {
			chunk, err := p.TryChunk()
			if err != nil {
				return err
			}
			if len(chunk) == 0 {
				break
			}
			m.Chunks = append(m.Chunks, len(chunk))
			m.Body = append(m.Body, chunk...)
		}
		var err error
		m.Trailers, err = p.fields()
		return err
	case len(lengths) == 1:
		m.Framing = "length"
		n, err := strconv.Atoi(lengths[0])
		if err != nil {
			return err
		}
		m.Body, err = p.TryBytes(n)
		return err
	case method == "":
		m.Framing = "none"
		return nil
	}
	m.Framing = "close"
	p.wait()
	var err error
	m.Body, err = io.ReadAll(p.In)
	return err
}

// Body reads the body that belongs to m; see TryBody.
func (p *Peer) Body(m *Message, method string) {
	p.t.Helper()
	if err := p.TryBody(m, method); err != nil {
		p.fail("reading the body of %q after %d bytes: %v", m.Start, len(m.Body), err)
	}
}

// Answer reads the final answer to a request by method, and fails when an interim one comes first.
func (p *Peer) Answer(method string) *Message {
	p.t.Helper()
	m := p.Head()
	if m.Status() < 200 {
		p.fail("an interim answer: %s", m)
	}
	p.Body(m, method)
	return m
}

// Request reads a whole request.
func (p *Peer) Request() *Message {
	p.t.Helper()
	m := p.Head()
	p.Body(m, "")
	return m
}

// TryChunk reads one chunk with its framing; the last one is empty, and its line end and trailers are not read.
func (p *Peer) TryChunk() ([]byte, error) {
	p.wait()
	line, err := p.line()
	if err != nil {
		return nil, err
	}
	size, err := strconv.ParseUint(line, 16, 31)
	if err != nil {
		return nil, fmt.Errorf("chunk size %q", line)
	}
	if size == 0 {
		return nil, nil
	}
	chunk, err := p.TryBytes(int(size))
	if err != nil {
		return nil, err
	}
	if end, err := p.line(); err != nil || end != "" {
		return nil, fmt.Errorf("behind a chunk: %q, %v", end, err)
	}
	return chunk, nil
}

// Chunk reads one chunk.
func (p *Peer) Chunk() string {
	p.t.Helper()
	chunk, err := p.TryChunk()
	if err != nil {
		p.fail("reading a chunk: %v", err)
	}
	return string(chunk)
}

// TryBytes reads n bytes. Of what it could read before an error it returns as much.
func (p *Peer) TryBytes(n int) ([]byte, error) {
	p.wait()
	b := make([]byte, n)
	got := 0
	for got < n {
		m, err := p.In.Read(b[got:])
		got += m
		if err != nil {
			return b[:got], err
		}
		p.wait()
	}
	return b, nil
}

// Bytes reads n bytes.
func (p *Peer) Bytes(n int) string {
	p.t.Helper()
	b, err := p.TryBytes(n)
	if err != nil {
		p.fail("reading %d bytes, got %d: %v", n, len(b), err)
	}
	return string(b)
}

// Ended waits for the orderly end of the connection and fails when anything else comes.
func (p *Peer) Ended() {
	p.t.Helper()
	p.wait()
	if rest, err := io.ReadAll(p.In); err != nil || len(rest) > 0 {
		p.fail("want the connection closed, got %d bytes %.200q, %v", len(rest), rest, err)
	}
}

// Gone waits for the end of the connection, orderly or not, and returns what came before it.
func (p *Peer) Gone() string {
	p.t.Helper()
	p.wait()
	rest, err := io.ReadAll(p.In)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.fail("want the connection ended, got %.200q, %v", rest, err)
	}
	return string(rest)
}

// line reads a line that ends with CR LF and holds neither inside.
func (p *Peer) line() (string, error) {
	line, err := p.In.ReadString('\n')
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.Contains(text, "\r") {
		return "", fmt.Errorf("line %q", line)
	}
	return text, nil
}

func (p *Peer) fields() ([]Field, error) {
	var all []Field
	for {
		line, err := p.line()
		if err != nil || line == "" {
			return all, err
		}
		f, err := parseField(line)
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
}
