package socket

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"straum.dev/straum/internal/bufpool"
	"straum.dev/straum/internal/clock"
)

// certificate is for tests, made once.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"straum.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func serverConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate()}, DynamicRecordSizingDisabled: true}
}

func clientConfig() *tls.Config {
	leaf, err := x509.ParseCertificate(certificate().Certificate[0])
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{RootCAs: pool, ServerName: "straum.test"}
}

// secured is the far end of a connection with TLS. Its CloseWrite ends the stream too, as TLS's own does not.
type secured struct{ *tls.Conn }

func (s secured) CloseWrite() error {
	s.Conn.CloseWrite()
	return s.NetConn().(*net.TCPConn).CloseWrite()
}

// securePair is a connection of ours that accepted TLS, and its peer.
func securePair(t testing.TB, change func(ours, theirs *tls.Config)) (*Conn, net.Conn) {
	t.Helper()
	conn, plain := pair(t, "tcp")
	ours, theirs := serverConfig(), clientConfig()
	if change != nil {
		change(ours, theirs)
	}
	far := secured{tls.Client(plain, theirs)}
	t.Cleanup(func() { far.Close() })
	shaken := make(chan error, 1)
	go func() { shaken <- far.Handshake() }()
	if err := conn.ServeTLS(ours, nil, soon(), nil); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return conn, far
}

func TestHandshakeWithEarlyBytes(t *testing.T) {
	conn, plain := pair(t, "tcp")
	far := tls.Client(plain, clientConfig())
	go far.Handshake()
	early := make([]byte, 100)
	n, err := conn.Read(early, soon())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.ServeTLS(serverConfig(), early[:n], soon(), nil); err != nil {
		t.Fatal(err)
	}
	clear(early)
	go io.WriteString(far, "hello")
	buf := make([]byte, 10)
	if n, err := conn.Read(buf, soon()); string(buf[:n]) != "hello" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if s := conn.TLS(); s == nil || !s.HandshakeComplete || s.ServerName != "straum.test" {
		t.Errorf("the state is %+v", s)
	}
}

func TestHandshakeFails(t *testing.T) {
	f := func(name string, want error, by int64, peer func(far net.Conn)) {
		t.Helper()
		conn, far := pair(t, "tcp")
		go peer(far)
		err := conn.ServeTLS(serverConfig(), nil, by, nil)
		if err == nil || want != nil && err != want {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	f("silence", ErrTimeout, clock.Now()+int64(5*time.Millisecond), func(net.Conn) {})
	f("half a record", ErrTimeout, clock.Now()+int64(50*time.Millisecond), func(far net.Conn) { io.WriteString(far, "\x16\x03\x01\x02") })
	f("no TLS", nil, soon(), func(far net.Conn) { io.WriteString(far, "GET / HTTP/1.1\r\n\r\n") })
	f("an end", io.EOF, soon(), func(far net.Conn) { far.Close() })
	f("an unknown authority", nil, soon(), func(far net.Conn) { tls.Client(far, &tls.Config{ServerName: "straum.test"}).Handshake() })
}

func TestDialTLS(t *testing.T) {
	conn, plain := pair(t, "tcp")
	far := tls.Server(plain, serverConfig())
	go far.Handshake()
	if err := conn.DialTLS(clientConfig(), soon()); err != nil {
		t.Fatal(err)
	}
	// The peer's tickets are on their way now or were read already: they are nothing it said.
	until := soon()
	for conn.State() == PeerTalks && clock.Now() < until {
		if !conn.Quiet() {
			t.Fatal("a ticket passes for content")
		}
	}
	out := append(bufpool.Get(bufpool.Small)[:0], "ping"...)
	go func() {
		io.ReadFull(far, make([]byte, 4))
		io.WriteString(far, "pong")
	}()
	sent, buf, n, err := conn.SendReceive(out, true, bufpool.Small, soon())
	if sent != 4 || string(buf[:n]) != "pong" || err != nil {
		t.Fatalf("sent %d, got %q, %v", sent, buf[:n], err)
	}
	bufpool.Put(buf)
	if !conn.Quiet() {
		t.Error("not quiet after the answer")
	}
	go io.WriteString(far, "unasked")
	for conn.Quiet() && clock.Now() < until { // a packet's way takes its time even here
	}
	if conn.Quiet() {
		t.Error("quiet although the peer talks")
	}
}

func TestDialTLSVerifies(t *testing.T) {
	f := func(name string, config *tls.Config) {
		t.Helper()
		conn, plain := pair(t, "tcp")
		go tls.Server(plain, serverConfig()).Handshake()
		if err := conn.DialTLS(config, soon()); err == nil {
			t.Errorf("%s: the handshake succeeds", name)
		}
	}
	other := clientConfig()
	other.ServerName = "other.test"
	f("another name", other)
	f("an unknown authority", &tls.Config{ServerName: "straum.test"})
}

// TestRecordsInPieces feeds records a few bytes at a time, so that every read meets a torn one, in both ways of reading.
func TestRecordsInPieces(t *testing.T) {
	conn, plain := pair(t, "tcp")
	dripping := &drip{Conn: plain}
	far := tls.Client(dripping, clientConfig())
	go far.Handshake()
	if err := conn.ServeTLS(serverConfig(), nil, soon(), nil); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("0123456789", 50)
	go func() {
		for piece := range slices.Chunk([]byte(want), 100) {
			far.Write(piece)
		}
		far.CloseWrite()
	}()
	var got []byte
	for len(got) < 200 {
		buf, n, err := conn.TryLent(bufpool.Small)
		if err != nil && err != ErrTimeout {
			t.Fatal(err)
		}
		if err == nil {
			got = append(got, buf[:n]...)
			bufpool.Put(buf)
		}
	}
	err := conn.ReadEach(bufpool.Small, soon(), func(buf []byte, n int) Next {
		got = append(got, buf[:n]...)
		bufpool.Put(buf)
		return Await
	})
	if err != io.EOF || string(got) != want {
		t.Errorf("got %d bytes of %d, %v", len(got), len(want), err)
	}
	if conn.Truncated() || conn.In() != int64(len(want)) {
		t.Errorf("truncated: %v, in: %d", conn.Truncated(), conn.In())
	}
}

// drip writes three bytes at a time.
type drip struct{ net.Conn }

func (d *drip) Write(p []byte) (int, error) {
	for piece := range slices.Chunk(p, 3) {
		if _, err := d.Conn.Write(piece); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func TestEnds(t *testing.T) {
	conn, far := securePair(t, nil)
	send(t, far, "a")
	far.(secured).NetConn().Close() // without the end of TLS
	if n, err := conn.Read(make([]byte, 10), soon()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := conn.Read(make([]byte, 10), soon()); err != io.EOF || !conn.Truncated() {
		t.Errorf("cut: %v, truncated %v", err, conn.Truncated())
	}

	conn, far = securePair(t, nil)
	send(t, far, "a")
	far.Close()
	conn.Read(make([]byte, 10), soon())
	if _, err := conn.Read(make([]byte, 10), soon()); err != io.EOF || conn.Truncated() {
		t.Errorf("ended: %v, truncated %v", err, conn.Truncated())
	}

	conn, far = securePair(t, nil)
	conn.Close()
	if _, err := far.Read(make([]byte, 10)); err != io.EOF {
		t.Errorf("our end: %v", err)
	}
	// A peer that reads nothing must not hold up our close.
	conn, _ = securePair(t, nil)
	for err := error(nil); err == nil; {
		err = conn.Write(make([]byte, 1<<20), nil, int64(time.Millisecond))
	}
	conn.Close()
}

func TestReadTimesOutAndGoesOn(t *testing.T) {
	conn, far := securePair(t, nil)
	for _, text := range []string{"one", "two"} {
		if _, err := conn.Read(make([]byte, 10), clock.Now()+int64(time.Millisecond)); err != ErrTimeout {
			t.Fatal(err)
		}
		conn.InterruptRead()
		if _, err := conn.Read(make([]byte, 10), soon()); err != ErrInterrupted {
			t.Fatal(err)
		}
		conn.ResumeRead()
		send(t, far, text)
		buf := make([]byte, 10)
		if n, err := conn.Read(buf, soon()); string(buf[:n]) != text {
			t.Fatal(n, err)
		}
	}
}

func TestHeadAndBodyAreOneRecord(t *testing.T) {
	conn, plain := pair(t, "tcp")
	far := tls.Client(plain, clientConfig())
	go far.Handshake()
	if err := conn.ServeTLS(serverConfig(), nil, soon(), nil); err != nil {
		t.Fatal(err)
	}
	f := func(first, second, want int) {
		t.Helper()
		from := conn.Sent()
		if err := conn.Write(bytes.Repeat([]byte("h"), first), bytes.Repeat([]byte("b"), second), patience); err != nil {
			t.Fatal(err)
		}
		const overhead = 5 + 1 + 16 // header, type, tag (RFC 8446 §5.2)
		if extra := conn.Sent() - from - int64(first+second); extra != int64(want*overhead) {
			t.Errorf("%d and %d bytes cost %d bytes, want %d records", first, second, extra, want)
		}
	}
	go io.Copy(io.Discard, far)
	f(100, 1000, 1)
	f(100, 16<<10-100, 1)
	f(100, 16<<10, 2)
	f(0, 16<<10, 1)
	f(100, 0, 1)
	f(200, 64<<10, 5)
}

// TestPeerRenewsKeys speaks with OpenSSL, which renews keys on command.
func TestPeerRenewsKeys(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := exec.Command(openssl, "s_client", "-connect", listener.Addr().String())
	says, err := client.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); client.Process.Kill(); client.Wait() }()
	nc, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := New(nc)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.ServeTLS(serverConfig(), nil, soon(), nil); err != nil {
		t.Fatal(err)
	}
	var got []byte
	expect := func(want string) {
		t.Helper()
		for !strings.HasSuffix(string(got), want) {
			buf, n, err := conn.ReadLent(bufpool.Small, soon())
			if err != nil {
				t.Fatalf("after %q: %v", got, err)
			}
			got = append(got, buf[:n]...)
			bufpool.Put(buf)
		}
	}
	io.WriteString(in, "before\n")
	expect("before\n")
	// The answer to a renewal is written by the reader, while others write.
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := conn.Write([]byte("."), nil, patience); err != nil {
				t.Error(err)
				return
			}
			if conn.Sent() <= conn.Out() {
				t.Error("records take no bytes")
			}
			conn.WriteWaited()
		}
	})
	io.WriteString(in, "K\n") // renews its key and asks us to renew ours; what comes with it in one read is dropped
	for lines := bufio.NewScanner(says); lines.Scan() && lines.Text() != "KEYUPDATE"; {
	}
	io.WriteString(in, "after\n")
	expect("after\n")
	close(stop)
	writer.Wait()
	if err := conn.Write([]byte("answer"), nil, patience); err != nil {
		t.Error(err)
	}
}

// TestTurns holds up handshakes in every way a peer can, with a single turn for all.
func TestTurns(t *testing.T) {
	turns := make(Turns, 1)
	silent, _ := pair(t, "tcp")
	go silent.ServeTLS(serverConfig(), nil, soon(), turns)
	torn, far := pair(t, "tcp")
	send(t, far, "\x16\x03\x01\x02")
	go torn.ServeTLS(serverConfig(), nil, soon(), turns)
	deaf, far := pair(t, "tcp")
	hello := make(chan []byte, 1) // has room for one
	go tls.Client(&tap{Conn: far, first: hello}, clientConfig()).Handshake()
	send(t, far, string(<-hello)) // and then nothing: our flight is not answered
	go deaf.ServeTLS(serverConfig(), nil, soon(), turns)

	for range 3 {
		conn, plain := pair(t, "tcp")
		go tls.Client(plain, clientConfig()).Handshake()
		if err := conn.ServeTLS(serverConfig(), nil, soon(), turns); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range []*Conn{silent, torn, deaf} {
		conn.Kill()
	}
	turns <- struct{}{} // all were given back
}

// tap keeps the first that is written to it, and lets nothing through.
type tap struct {
	net.Conn
	first chan []byte
}

func (t *tap) Write(p []byte) (int, error) {
	select {
	case t.first <- bytes.Clone(p):
		return len(p), nil
	default:
		return 0, io.ErrClosedPipe
	}
}

// TestEndBehindWhatIsNoPlainText sends bytes that TLS keeps to itself and the end of the stream in one segment, which the poller tells of
// once.
func TestEndBehindWhatIsNoPlainText(t *testing.T) {
	part := []byte{0x17, 3, 3} // of a record
	f := func(name string, read func(conn *Conn) error) {
		t.Helper()
		conn, far := securePair(t, nil)
		raw := far.(secured).NetConn().(*net.TCPConn)
		go together(t, raw, part)
		by := clock.Now() + int64(5*time.Second)
		if err := read(conn); err == nil || err == ErrTimeout {
			t.Errorf("%s: %v, want the end", name, err)
		} else if clock.Now() >= by {
			t.Errorf("%s: the end was seen when the time was over", name)
		}
	}
	f("lent", func(conn *Conn) error {
		_, _, err := conn.ReadLent(bufpool.Small, soon())
		return err
	})
	f("each", func(conn *Conn) error {
		return conn.ReadEach(bufpool.Small, soon(), func(buf []byte, _ int) Next { bufpool.Put(buf); return Await })
	})

	// The last plain text and the end: Look sees the end at once.
	conn, far := securePair(t, nil)
	raw := far.(secured).NetConn().(*net.TCPConn)
	hold(t, raw, true)
	send(t, far, "last words")
	raw.CloseWrite()
	err := conn.ReadEach(bufpool.Small, soon(), func(buf []byte, _ int) Next { bufpool.Put(buf); return Look })
	if err != io.EOF || !conn.Truncated() {
		t.Errorf("behind plain text: %v", err)
	}
}

// together sends bytes and the end of the stream in one segment.
func together(t *testing.T, raw *net.TCPConn, bytes []byte) {
	hold(t, raw, true)
	raw.Write(bytes)
	raw.CloseWrite()
}

func TestQuietBeforeAnEnd(t *testing.T) {
	conn, plain := pair(t, "tcp")
	far := tls.Server(plain, serverConfig())
	go func() {
		far.Handshake()
		plain.(*net.TCPConn).CloseWrite() // behind its tickets, without the end of TLS
	}()
	config := clientConfig()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if err := conn.DialTLS(config, soon()); err != nil {
		t.Fatal(err)
	}
	until := soon()
	for conn.State() != PeerClosed && clock.Now() < until {
		runtime.Gosched()
	}
	if conn.Quiet() {
		t.Error("a dead connection is quiet")
	}
}

// TestHeldPlainTextIsFound: what TLS has read already no poller tells of, even when the time is over before anything is tried.
func TestHeldPlainTextIsFound(t *testing.T) {
	conn, far := securePair(t, nil)
	send(t, far, "first and second")
	buf := make([]byte, 5)
	if n, err := conn.Read(buf, soon()); string(buf[:n]) != "first" {
		t.Fatal(n, err)
	}
	var got string
	err := conn.ReadEach(bufpool.Small, clock.Now()-1, func(buf []byte, n int) Next {
		got += string(buf[:n])
		bufpool.Put(buf)
		return Await
	})
	if got != " and second" || err != ErrTimeout {
		t.Errorf("got %q, %v", got, err)
	}
}
