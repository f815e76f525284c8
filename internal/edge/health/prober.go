package health

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"time"
)

// Dial opens a connection; network is "tcp" or "unix".
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Target is one endpoint to probe.
type Target struct {
	ID      string
	Address string // host:port, or unix:/path
	// TLS, if not nil, is what the endpoint is spoken to with; a new one has the target probed anew. It names the endpoint, and the
	// protocol that the check needs.
	TLS *tls.Config
	// Idle, if not nil, tells whether the endpoint had no traffic lately, so that Check.IdleEvery will do.
	Idle func() bool
}

// Report takes the result of one probe. detail is for operators: what was found, and what was wanted. It is called from
// the goroutines of the prober, at most once at a time for each target, and never after Close returned.
type Report func(id string, o Outcome, detail string)

// Prober checks targets, each on a goroutine of its own: at once, and then every Check.Every, give or take a tenth. Each probe has
// a connection of its own; what the pool of step 7 holds or lacks has no part in it.
type Prober struct {
	check  Check
	dial   Dial
	random func() uint64
	report Report

	mu      sync.Mutex // guards what follows
	closed  bool
	running map[string]running
	wait    sync.WaitGroup // all goroutines, so counted up only with mu and not closed
}

type running struct {
	target Target
	stop   context.CancelFunc
}

// NewProber returns a prober without targets. A nil dial is a plain net.Dialer. random gives uniformly distributed
// numbers and is called from several goroutines.
func NewProber(c Check, dial Dial, random func() uint64, report Report) (*Prober, error) {
	if err := c.Valid(); err != nil {
		return nil, err
	}
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return &Prober{check: c, dial: dial, random: random, report: report, running: map[string]running{}}, nil
}

// Set makes these the targets. Those that were targets before, under the same ID, address and TLS, go on undisturbed; new ones
// are probed at once; the others stop.
func (p *Prober) Set(targets []Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	wanted := map[string]Target{}
	for _, t := range targets {
		wanted[t.ID] = t
	}
	for id, r := range p.running {
		if t, ok := wanted[id]; !ok || t.Address != r.target.Address || t.TLS != r.target.TLS {
			r.stop()
			delete(p.running, id)
		}
	}
	for id, t := range wanted {
		if _, ok := p.running[id]; ok {
			continue
		}
		ctx, stop := context.WithCancel(context.Background())
		p.running[id] = running{target: t, stop: stop}
		p.wait.Go(func() { p.runTarget(ctx, t) })
	}
}

// Close stops all probes and waits until their goroutines are gone.
func (p *Prober) Close() {
	p.mu.Lock()
	p.closed = true
	for id, r := range p.running {
		r.stop()
		delete(p.running, id)
	}
	p.mu.Unlock()
	p.wait.Wait()
}

func (p *Prober) runTarget(ctx context.Context, t Target) {
	for {
		outcome, detail := p.probe(ctx, t)
		if ctx.Err() != nil {
			return // what a probe called off found is no evidence
		}
		p.report(t.ID, outcome, detail)
		timer := time.NewTimer(p.pause(t))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// pause spreads the probes of many targets and nodes: 90 to 110 % of the interval.
func (p *Prober) pause(t Target) time.Duration {
	every := p.check.Every
	if p.check.IdleEvery > every && t.Idle != nil && t.Idle() {
		every = p.check.IdleEvery
	}
	return every*9/10 + time.Duration(float64(every)/5*float64(p.random()>>11)/(1<<53))
}

func (p *Prober) probe(ctx context.Context, t Target) (Outcome, string) {
	ctx, cancel := context.WithTimeout(ctx, p.check.Timeout)
	defer cancel()
	network, address := "tcp", t.Address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := p.dial(ctx, network, address)
	if err != nil {
		if o := Classify(err); o == Own {
			return Own, "could not probe, the fault is ours: " + err.Error()
		}
		return Failure, "connect: " + p.explain(err)
	}
	if (p.check.HTTP2 || p.check.GRPC) && !p.check.TCP {
		return p.check.ask2(ctx, conn, t, p.explain) // which closes it
	}
	defer conn.Close()
	if p.check.TCP {
		return Success, "connected"
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	unhook := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	if t.TLS != nil {
		secure := tls.Client(conn, t.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return Classify(err), "TLS handshake: " + p.explain(err)
		}
		conn = secure
	}
	return p.check.ask(conn, t.Address, p.explain)
}

func (p *Prober) explain(err error) string {
	if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		return "no answer within the timeout of " + p.check.Timeout.String()
	}
	return err.Error()
}
