// Package bans tells whoever bans addresses what their exchanges were like (step 11, done): what counts against an address, and what speaks
// for it.
//
// It refuses to count what is not the client's doing, such as faults of endpoints or limits that all share, and requests that were refused
// because of a ban: nobody stays banned for asking whether the ban is over.
package bans

import (
	"net/netip"

	"straum.dev/straum/internal/ban"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// Judge is who bans. now is in nanoseconds of the data path's clock.
type Judge interface {
	Strike(client netip.Addr, signal ban.Signal, now int64)
	Good(client netip.Addr, consumer string, now int64)
}

// Observer reads finished exchanges.
type Observer struct{ to Judge }

// New makes an observer that tells a judge.
func New(to Judge) *Observer { return &Observer{to} }

// Observe implements edge.Observer. Of an exchange nothing is wrong with it looks at three facts.
func (o *Observer) Observe(x *exchange.Exchange) {
	status := x.Response.Status
	if x.Fault != nil || x.Signals != 0 || status == 404 {
		o.strike(x, status)
		return
	}
	// The anonymous consumer, who has no method, showed nothing and speaks for nobody.
	if c := &x.Caller; c.Consumer != nil && c.Method != "" && status >= 200 && status < 400 {
		o.to.Good(x.Client, c.Consumer.ID, x.Times.Done)
	}
}

// strike tells each signal of an exchange once.
func (o *Observer) strike(x *exchange.Exchange, status int) {
	if x.Fault != nil && x.Fault.Kind == fault.Banned {
		return
	}
	now := x.Times.Done
	if x.Signals&exchange.AuthFailed != 0 {
		o.to.Strike(x.Client, ban.AuthFailed, now)
	}
	if x.Signals&exchange.Limited != 0 {
		o.to.Strike(x.Client, ban.Limited, now)
	}
	if x.Signals&exchange.Suspect != 0 {
		o.to.Strike(x.Client, ban.Suspect, now)
	}
	switch {
	case x.Fault == nil && status == 404, x.Fault != nil && x.Fault.Kind == fault.NoRoute:
		// Who is known is no scanner that nobody knows: programs ask whether something is there, and a deployment may lose routes.
		if c := &x.Caller; c.Consumer == nil || c.Method == "" {
			o.to.Strike(x.Client, ban.NotFound, now)
		}
	case x.Fault != nil && malformed(x.Fault.Kind):
		o.to.Strike(x.Client, ban.Malformed, now)
	}
}

// malformed says whether a fault is what scanners and smugglers send, and programs that work do not. Too large a body, a slow one and a slow
// head are not: they happen to people.
func malformed(k *fault.Kind) bool {
	switch k {
	case fault.Malformed, fault.Framing, fault.BadHost, fault.LineTooLong, fault.HeaderTooLarge, fault.UnknownCoding, fault.BadVersion,
		fault.BadExpectation, fault.NoTunnel, fault.BadPath:
		return true
	}
	return false
}
