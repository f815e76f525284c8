package acme

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// DNS says how the records of dns-01 are written: by one of Update and Program. After an update the zone's own servers are asked until
// they show the record, for at most 2 minutes; a program returns when it can be seen.
type DNS struct {
	Update  *Update
	Program *Program

	resolvers []string // for tests: who is asked for the zone and for the record, in place of the system's resolvers and the zone's servers
	unseen    bool     // for tests: the record is not looked for
}

// seenMost bounds the wait for a record to be seen.
const seenMost = 2 * time.Minute

// recordTTL is what resolvers may keep of a record: little, as the next order writes another one.
const recordTTL = time.Minute

func (d *DNS) check() error {
	switch {
	case d.Update == nil && d.Program == nil:
		return fmt.Errorf("acme: %s is allowed, but nothing says how to write DNS records: give a server for dynamic updates, or a program", DNS01)
	case d.Update != nil && d.Program != nil:
		return errors.New("acme: DNS records are written either by dynamic updates or by a program, not both")
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
		return &tidy{waiter: programSolver{d.Program}, log: log}, nil
	}
	timeout := seenMost
	if d.unseen {
		timeout = -1 // certmagic's word for not looking
	}
	return &tidy{waiter: &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
		DNSProvider:        d.Update,
		TTL:                recordTTL,
		PropagationTimeout: timeout,
		Resolvers:          d.resolvers,
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
