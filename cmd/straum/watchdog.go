package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"straum.dev/straum/internal/box/notify"
	"straum.dev/straum/internal/control/revision"
	"straum.dev/straum/internal/edge/listen"
)

// watchdog tells the service manager that the gateway is well, as long as its listeners are served: it visits each of them as clients do.
type watchdog struct {
	log       *slog.Logger
	manager   *notify.Manager
	listeners *listen.Set

	told condition
}

// condition is how the listeners are, from good to bad.
type condition int

const (
	served   condition = iota
	unknown            // whether one is served cannot be seen
	unserved           // one is not any more
)

// runWatchdog looks three times in the time that the manager waits, so that one failure is none, until ctx ends.
func (w *watchdog) runWatchdog(ctx context.Context) {
	w.every(ctx, func(within time.Duration) { w.look(ctx, within) })
}

// every does something at once and then three times in the time that the manager waits, until ctx ends. Without a manager that waits there is
// nothing to do.
func (w *watchdog) every(ctx context.Context, do func(within time.Duration)) {
	within := w.manager.Watchdog() / 3
	if within == 0 {
		return
	}
	tick := time.NewTicker(within)
	defer tick.Stop()
	for {
		do(within)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look visits the listeners once and feeds the watchdog if all are served. One that never was since the start does not count: something may
// stand between us and it, such as a firewall, and to be started again would not help.
func (w *watchdog) look(ctx context.Context, within time.Duration) {
	round, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var dead, unseen []string
	for _, u := range w.listeners.Visit(round, talk) {
		text := fmt.Sprintf("%s: %s", u.Listener, u.Err)
		if u.Seen {
			dead = append(dead, text)
		} else {
			unseen = append(unseen, text)
		}
	}
	if ctx.Err() != nil {
		return // the gateway stops
	}
	if len(dead) == 0 {
		w.manager.Alive()
	}
	now := served
	switch {
	case len(dead) > 0:
		now = unserved
	case len(unseen) > 0:
		now = unknown
	}
	if now == w.told {
		return
	}
	w.told = now
	switch now {
	case unserved:
		w.log.Error("a listener is not served any more; the service manager is not told that the gateway is well", "listeners", strings.Join(dead, "; "))
	case unknown:
		w.log.Warn("the gateway cannot see whether a listener is served", "listeners", strings.Join(unseen, "; "))
	case served:
		w.log.Info("all listeners are served again")
	}
}

// runFeeding feeds the watchdog while the gateway stops, which has an end of its own: there is nothing to visit any more.
func (w *watchdog) runFeeding(ctx context.Context) {
	w.every(ctx, func(time.Duration) { w.manager.Alive() })
}

// errNoHTTP is that of a listener that answers with something else.
var errNoHTTP = errors.New("the answer is not one of HTTP")

// talk asks what the smallest request asks (RFC 9110 §9.3.7), and takes any answer. A TLS listener that does not want us, for want of a name
// or a certificate that we do not have, says so, which is an answer. So is that it hangs up after the handshake, since what it says then may be
// overtaken by the reset that comes of our words, which it has not read.
func talk(ctx context.Context, c net.Conn, secure bool) error {
	if secure {
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) // it is ourselves, whatever the certificate says
		if err := t.HandshakeContext(ctx); err != nil {
			if err = unlessTold(err); err != nil {
				err = fmt.Errorf("%w: %w", listen.ErrHandshake, err)
			}
			return err
		}
		c = t
	}
	if _, err := io.WriteString(c, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return unlessHungUp(err, secure)
	}
	var first [5]byte
	if _, err := io.ReadFull(c, first[:]); err != nil {
		return unlessHungUp(err, secure)
	}
	if string(first[:]) != "HTTP/" {
		return errNoHTTP
	}
	return nil
}

// unlessTold is err, but for what the other end has said in so many words (an alert, RFC 8446 §6).
func unlessTold(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return nil
	}
	return err
}

// unlessHungUp is err, but for the end of a connection that had come as far as a handshake.
func unlessHungUp(err error, secure bool) error {
	if secure && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) {
		return nil
	}
	return unlessTold(err)
}

// told is how the configuration stands, for the service manager.
func told(s *revision.State) string {
	switch {
	case s.InForce == nil:
		return "no configuration is in force"
	case s.LastError != nil:
		return fmt.Sprintf("revision %d is in force; what came after it was refused, see the log", s.InForce.Number)
	}
	return fmt.Sprintf("revision %d is in force", s.InForce.Number)
}
