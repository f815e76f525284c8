package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/config"
)

// maxContent is how much of an answer is read to be able to use its connection again.
const maxContent = 1 << 20

// reach asks an endpoint twice in a row, and then leaves the connection alone for a while to see whether it stays open. It uses the standard
// library's client: what is looked at is how the endpoint treats anybody's connections.
func reach(ctx context.Context, u *config.Upstream, e *config.Endpoint) (Reached, error) {
	return reachFor(ctx, u, e, idleWatched)
}

// reachFor leaves the connection alone for a time of the caller's.
func reachFor(ctx context.Context, u *config.Upstream, e *config.Endpoint, idle time.Duration) (Reached, error) {
	secure, err := tlsFor(u, e)
	if err != nil {
		return Reached{}, err
	}
	patience := reachTimeout
	if own := u.Timeouts.Connect.Std(); own > 0 {
		patience = min(patience, own)
	}
	var now atomic.Pointer[watchedConn] // the connection that was opened last
	dialer := &net.Dialer{Timeout: patience, Resolver: resolverFor(u)}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, e.Address.Network(), e.Address.Dial())
			if err != nil {
				return nil, err
			}
			w := &watchedConn{Conn: c, http1: secure == nil && u.Protocol != "http2"}
			now.Store(w)
			return w, nil
		},
		TLSClientConfig: secure, TLSHandshakeTimeout: reachTimeout, ResponseHeaderTimeout: reachTimeout,
		MaxIdleConnsPerHost: 1, DisableCompression: true, Protocols: protocols(u, secure != nil),
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	method, path := question(u)
	r := Reached{Asked: method + " " + path}
	scheme := "http"
	if secure != nil {
		scheme = "https"
	}
	target := scheme + "://" + hostFor(u, e) + path
	if err := r.ask(ctx, client, method, target, false); err != nil {
		if c := now.Load(); c != nil && c.preface.Load() {
			err = errPreface
		}
		return r, err
	}
	if r.Trouble != "" {
		return r, nil
	}
	if err := r.ask(ctx, client, method, target, true); err != nil {
		r.Trouble = "the second request got no answer: " + err.Error()
		return r, nil
	}
	if !r.Reused {
		return r, nil
	}
	used := time.Now()
	r.Closed = now.Load().awaitEnd(ctx, used, idle)
	return r, nil
}

// ask sends one request and reads its answer.
func (r *Reached) ask(ctx context.Context, client *http.Client, method, target string, again bool) error {
	began := time.Now()
	var dialled, shaken time.Time
	var first time.Duration
	var shown atomic.Pointer[x509.Certificate] // a handshake may go on when nobody waits for it any more
	reused := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, _ string, err error) { dialled = time.Now() },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if shaken = time.Now(); err == nil && len(s.VerifiedChains) > 0 {
				shown.Store(s.PeerCertificates[0])
			}
		},
		GotConn:              func(i httptrace.GotConnInfo) { reused = i.Reused },
		GotFirstResponseByte: func() { first = time.Since(began) },
	})
	request, err := http.NewRequestWithContext(ctx, method, target, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "straum-doctor")
	answer, err := client.Do(request)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return errors.New("no answer in the time there was")
	case strings.Contains(err.Error(), streamReset): // the connection stands, so the endpoint is there
		r.First, r.Trouble = time.Since(began), "it reset the request, as some gRPC servers do with what is no call"
		return nil
	default:
		return plainCause(err)
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, io.LimitReader(answer.Body, maxContent)); err != nil || n == maxContent {
		r.Trouble = "its answer did not end within " + size(maxContent) // the connection is not to be used again then, whatever the endpoint would do
	}
	r.Status = answer.StatusCode
	if c := shown.Load(); c != nil {
		r.Shown = c
	}
	r.Announced = max(r.Announced, announced(answer.Header.Get("Keep-Alive")))
	switch {
	case answer.Close && answer.ProtoMajor == 1 && answer.ProtoMinor == 0:
		r.Closing = "it speaks HTTP/1.0"
	case answer.Close:
		r.Closing = "Connection: close"
	}
	switch {
	case !again:
		r.First = first
		if !dialled.IsZero() {
			r.Connect = dialled.Sub(began)
		}
		if !shaken.IsZero() {
			r.TLS = shaken.Sub(dialled)
		}
	case reused:
		r.Reused, r.Again = true, first
	}
	return nil
}

// errPreface is an endpoint that begins as a server of HTTP/2 does, with a SETTINGS frame (RFC 9113, section 3.4).
var errPreface = errors.New("it speaks HTTP/2 without TLS: protocol: http2 is for that")

// streamReset is how the client words a RST_STREAM of HTTP/2 (RFC 9113, section 6.4).
const streamReset = "stream error: "

// resolverFor asks whom the upstream's look-ups ask; nil is the system's.
func resolverFor(u *config.Upstream) *net.Resolver {
	if u.Resolve.Server.IsZero() {
		return nil
	}
	server := u.Resolve.Server.Dial()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server)
	}}
}

// plainCause is what went wrong, without the URL that the client's errors repeat.
func plainCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		var verify *tls.CertificateVerificationError
		if inner == nil || errors.As(err, &verify) && !errors.As(inner, &verify) {
			return err
		}
		var op *net.OpError
		if errors.As(err, &op) && !errors.As(inner, &op) {
			return fmt.Errorf("%s: %w", op.Op, op.Err)
		}
		err = inner
	}
}

// announced is the time of a field such as "timeout=5, max=100".
func announced(field string) time.Duration {
	for part := range strings.SplitSeq(field, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil && strings.EqualFold(name, "timeout") && n > 0 && n < 1<<20 {
			return time.Duration(n) * time.Second
		}
	}
	return 0
}

func protocols(u *config.Upstream, secure bool) *http.Protocols {
	p := new(http.Protocols)
	switch {
	case u.Protocol == "http1":
		p.SetHTTP1(true)
	case !secure && u.Protocol == "http2":
		p.SetUnencryptedHTTP2(true)
	case u.Protocol == "http2":
		p.SetHTTP2(true)
	default:
		p.SetHTTP1(true)
		p.SetHTTP2(secure)
	}
	return p
}

// tlsFor is how an endpoint is spoken to; nil is plain text.
func tlsFor(u *config.Upstream, e *config.Endpoint) (*tls.Config, error) {
	if u.TLS == nil && e.Address.Scheme != "https" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: e.Address.Host}
	if u.TLS == nil {
		return c, nil
	}
	c.InsecureSkipVerify = !u.TLS.Verify
	if u.TLS.ServerName != "" {
		c.ServerName = u.TLS.ServerName
	}
	if u.TLS.CA != "" {
		file := config.Beside(u.TLS.Node, u.TLS.CA)
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("the authorities cannot be read: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", file)
		}
	}
	if u.TLS.Cert != "" {
		pair, err := tls.LoadX509KeyPair(config.Beside(u.TLS.Node, u.TLS.Cert), config.Beside(u.TLS.Node, u.TLS.Key))
		if err != nil {
			return nil, fmt.Errorf("the certificate to show cannot be read: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// watchedConn notes when the peer ended it. A transport has a read under way on an idle connection, which is what sees the end.
type watchedConn struct {
	net.Conn
	http1   bool // in plain text
	preface atomic.Bool
	ended   atomic.Pointer[time.Time]
}

func (w *watchedConn) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	// The transport would write about it to the program's log.
	if w.http1 && n > 3 && b[0] == 0 && b[1] == 0 && b[3] == 4 {
		w.preface.Store(true)
		return 0, errPreface
	}
	if err != nil && w.ended.Load() == nil {
		at := time.Now()
		w.ended.Store(&at)
	}
	return n, err
}

// awaitEnd waits until the peer ends the connection, at most for a time; it returns how long after since that was, or 0.
func (w *watchedConn) awaitEnd(ctx context.Context, since time.Time, most time.Duration) time.Duration {
	if w == nil {
		return 0
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	over := time.NewTimer(most)
	defer over.Stop()
	for {
		if at := w.ended.Load(); at != nil {
			return max(at.Sub(since), time.Millisecond)
		}
		select {
		case <-look.C:
		case <-over.C:
			return 0
		case <-ctx.Done():
			return 0
		}
	}
}
