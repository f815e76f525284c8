package acme

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// DNS says how the records of dns-01 are written: by one of Update and Program.
type DNS struct {
	Update  *Update
	Program *Program
	// Domain is written to in place of the name asked for, which then must be a CNAME to it.
	Domain string
	// Pause is waited after writing, before anything is checked. 0 to 10m.
	Pause time.Duration
	// Timeout bounds the wait for the record to be seen. Zero is 2m; negative: it is not looked for. At most 10m.
	Timeout time.Duration
	// Resolvers (address, or address:port) are asked for the zone and for whether the record can be seen. Empty: with Update, the
	// system's resolvers and then the zone's own servers are asked; with Program, nobody: it returns when the record can be seen.
	Resolvers []string
}

// recordTTL is what resolvers may keep of a record: little, as the next order writes another one.
const recordTTL = time.Minute

func (d *DNS) check() error {
	switch {
	case d.Update == nil && d.Program == nil:
		return fmt.Errorf("acme: %s is allowed, but nothing says how to write DNS records: give a server for dynamic updates, or a program", DNS01)
	case d.Update != nil && d.Program != nil:
		return errors.New("acme: DNS records are written either by dynamic updates or by a program, not both")
	case d.Pause < 0 || d.Pause > 10*time.Minute:
		return fmt.Errorf("acme: dns: a pause of %v: allowed is 0s to 10m", d.Pause)
	case d.Timeout > 10*time.Minute:
		return fmt.Errorf("acme: dns: a timeout of %v: at most 10m", d.Timeout)
	}
	for _, r := range d.Resolvers {
		host, _, err := net.SplitHostPort(r)
		if err != nil {
			host = r
		}
		if net.ParseIP(host) == nil {
			return fmt.Errorf("acme: dns: resolver %q is not an IP address, or one with a port", r)
		}
	}
	if d.Update != nil {
		return d.Update.check()
	}
	return d.Program.check()
}

// solver is what acmez calls.
func (d *DNS) solver(zap *zap.Logger, log *slog.Logger) (acmez.Solver, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if d.Program != nil {
		return &tidy{waiter: &programSolver{dns: d}, log: log}, nil
	}
	timeout := d.Timeout
	if timeout < 0 {
		timeout = -1 // certmagic's word for not looking
	}
	return &tidy{waiter: &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
		DNSProvider:        d.Update,
		TTL:                recordTTL,
		PropagationDelay:   d.Pause,
		PropagationTimeout: timeout,
		Resolvers:          d.Resolvers,
		OverrideDomain:     d.Domain,
		Logger:             zap,
	}}, log: log}, nil
}

// waiter is a solver that waits until its record can be seen.
type waiter interface {
	acmez.Solver
	acmez.Waiter
}

// tidy tells the operator of records that could not be taken away; nothing else would.
type tidy struct {
	waiter
	log     *slog.Logger
	written sync.Map // by token
}

// Present writes the record.
func (s *tidy) Present(ctx context.Context, c acme.Challenge) error {
	err := s.waiter.Present(ctx, c)
	if err == nil {
		s.written.Store(c.Token, true)
	}
	return err
}

// CleanUp removes the record, also when the order was broken off.
func (s *tidy) CleanUp(ctx context.Context, c acme.Challenge) error {
	err := s.waiter.CleanUp(context.WithoutCancel(ctx), c)
	if _, written := s.written.LoadAndDelete(c.Token); err != nil && written {
		s.log.Warn("a DNS record could not be removed: remove it by hand", "record", c.DNS01TXTRecordName(), "error", explain(err))
	}
	return err
}
