package handshake

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Load says what the connections are like.
type Load struct {
	Address     string
	Name        string // server name and Host
	Path        string // answered 200 with a Content-Length
	Connections int    // at a time
	Resume      bool   // each connection resumes with the newest ticket of the one before it, else none resumes
}

// Figures are what was counted. Handshakes are those of connections that were answered; Errors are the others.
type Figures struct {
	Handshakes, Resumed, Tickets, Errors int64
	FirstError                           error // nil when there was none
	Duration                             time.Duration
	P50, P99                             time.Duration // from connect to the last byte of the answer
}

// PerSecond is the rate of handshakes.
func (f Figures) PerSecond() float64 { return float64(f.Handshakes) / f.Duration.Seconds() }

// step is the longest that one connection may take.
const step = 10 * time.Second

// Clients make connections at the same time, each one after the other.
type Clients struct {
	load    Load
	openers []*opener
}

// Gather makes every client's first connection, in full, which fetches the first tickets. It is counted nowhere.
func Gather(ctx context.Context, load Load) (*Clients, error) {
	c := &Clients{load: load}
	for number := range load.Connections {
		c.openers = append(c.openers, newOpener(load, number))
	}
	c.each(func(o *opener) { o.open(ctx) })
	for _, o := range c.openers {
		if o.failed != nil {
			return nil, fmt.Errorf("first connection to %s: %w", load.Address, o.failed)
		}
	}
	return c, ctx.Err()
}

func (c *Clients) each(do func(*opener)) {
	var group sync.WaitGroup
	for _, o := range c.openers {
		group.Go(func() { do(o) })
	}
	group.Wait()
}

// Run keeps all clients connecting until the time is over, and counts.
func (c *Clients) Run(ctx context.Context, duration time.Duration) (Figures, error) {
	for _, o := range c.openers {
		o.forget()
	}
	began := time.Now()
	c.each(func(o *opener) {
		for ctx.Err() == nil && time.Since(began) < duration {
			o.open(ctx)
		}
	})
	f := Figures{Duration: time.Since(began)}
	var took []time.Duration
	for _, o := range c.openers {
		f.Handshakes += int64(len(o.took))
		f.Resumed += o.resumed
		f.Tickets += o.ticket.taken
		f.Errors += o.errors
		if f.FirstError == nil {
			f.FirstError = o.failed
		}
		took = append(took, o.took...)
	}
	if err := ctx.Err(); err != nil {
		return f, err
	}
	if f.Handshakes == 0 {
		return f, fmt.Errorf("no connection to %s was answered: %w", c.load.Address, f.FirstError)
	}
	slices.Sort(took)
	f.P50, f.P99 = took[len(took)/2], took[len(took)*99/100]
	return f, nil
}

// Config is the client's side of every handshake of the bench: TLS 1.3 over X25519, tickets wanted.
func Config(name string, sessions tls.ClientSessionCache) *tls.Config {
	return &tls.Config{
		ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, ClientSessionCache: sessions,
	}
}

// opener makes connections one after the other. It belongs to one goroutine at a time.
type opener struct {
	dialer  net.Dialer
	address string
	config  *tls.Config
	ticket  ticket
	request []byte
	answer  []byte

	took            []time.Duration
	resumed, errors int64
	failed          error // the first
}

func newOpener(load Load, number int) *opener {
	o := &opener{
		// Several source addresses: closed connections hold their port for a minute.
		dialer:  net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+number%16))}, Timeout: step},
		address: load.Address,
		ticket:  ticket{offer: load.Resume},
		request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", load.Path, load.Name),
		answer:  make([]byte, 8<<10),
	}
	o.config = Config(load.Name, &o.ticket)
	return o
}

// forget drops what was counted, not the ticket.
func (o *opener) forget() {
	o.took, o.resumed, o.errors, o.failed, o.ticket.taken = nil, 0, 0, nil, 0
}

// open makes one connection and books it.
func (o *opener) open(ctx context.Context) {
	began := time.Now()
	resumed, err := o.connect(ctx)
	switch {
	case err != nil && ctx.Err() != nil: // given up by the bench, not failed
	case err != nil:
		o.errors++
		if o.failed == nil {
			o.failed = err
		}
	default:
		o.took = append(o.took, time.Since(began))
		if resumed {
			o.resumed++
		}
	}
}

func (o *opener) connect(ctx context.Context) (resumed bool, err error) {
	plain, err := o.dialer.DialContext(ctx, "tcp", o.address)
	if err != nil {
		return false, err
	}
	plain.SetDeadline(time.Now().Add(step))
	conn := tls.Client(plain, o.config)
	defer conn.Close() // says goodbye first, as browsers do
	if err := conn.Handshake(); err != nil {
		return false, err
	}
	if _, err := conn.Write(o.request); err != nil {
		return false, err
	}
	return conn.ConnectionState().DidResume, readAnswer(conn, o.answer)
}

// readAnswer reads one answer of status 200 with a Content-Length; it must fit the buffer.
func readAnswer(conn net.Conn, buffer []byte) error {
	for n := 0; n < len(buffer); {
		more, err := conn.Read(buffer[n:])
		n += more
		whole, bad := isWhole(buffer[:n])
		if bad != nil || whole {
			return bad
		}
		if err != nil {
			return fmt.Errorf("answer after %d bytes: %w", n, err)
		}
	}
	return fmt.Errorf("the answer is longer than %d bytes", len(buffer))
}

func isWhole(answer []byte) (bool, error) {
	head, body, ok := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !ok {
		return false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return false, fmt.Errorf("answered %q, want status 200", line)
	}
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			length, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			return err == nil && len(body) >= length, err
		}
	}
	return false, errors.New("the answer has no Content-Length")
}

// ticket is a session cache of one place. One that does not offer takes tickets and throws them away: to the gateway
// its client looks like one that comes for the first time, and is given tickets as such.
type ticket struct {
	offer bool
	state *tls.ClientSessionState
	taken int64
}

// Get is called at the beginning of a handshake.
func (t *ticket) Get(string) (*tls.ClientSessionState, bool) { return t.state, t.state != nil }

// Put is called for every ticket, and with nil when one proved useless.
func (t *ticket) Put(_ string, state *tls.ClientSessionState) {
	if state != nil {
		t.taken++
	}
	if t.offer {
		t.state = state
	}
}
