package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/observe/status"
)

// page is where the status is served: the metrics address of the configuration. One goroutine at a time uses it.
type page struct {
	log    *slog.Logger
	status *status.Status

	address config.Address // zero when it is not served
	cancel  context.CancelFunc
	done    chan struct{}
}

// apply serves the page where m says. After an error it is served where it was.
func (p *page) apply(m *config.Metrics) error {
	want := m.Address.Address
	if m.Off {
		want = config.Address{}
	}
	if want == p.address {
		return nil
	}
	if want.IsZero() {
		p.stop()
		return nil
	}
	ln, err := bind(want)
	if err != nil {
		return err
	}
	p.stop()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p.address, p.cancel, p.done = want, cancel, done
	go func() {
		defer close(done)
		if err := p.status.Serve(ctx, ln); err != nil {
			p.log.Error("the metrics page is no longer served", "address", want.String(), "error", err.Error())
		}
	}()
	return nil
}

// stop ends the page, if it is served, and waits for it.
func (p *page) stop() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	<-p.done
	p.address, p.cancel, p.done = config.Address{}, nil, nil
}

// bind listens. The file of a unix socket that nobody answers at is what a process left that could not clean up.
func bind(a config.Address) (net.Listener, error) {
	ln, err := net.Listen(a.Network(), a.Dial())
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	if a.Network() == "unix" {
		if c, dialErr := net.Dial("unix", a.Path); dialErr == nil {
			c.Close()
		} else if errors.Is(dialErr, syscall.ECONNREFUSED) && os.Remove(a.Path) == nil {
			return net.Listen(a.Network(), a.Dial())
		}
	}
	return nil, fmt.Errorf("%s is taken by another process; stop that or choose another address", a)
}
