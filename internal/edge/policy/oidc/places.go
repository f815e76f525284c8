package oidc

import (
	"net/netip"
	"sync"
)

// How many requests may be at one host at a time, for each thing they want there; the connections of a client have room for all.
const (
	maxRedeeming   = 32 // callbacks, which anybody can send
	maxRedeemingBy = 4  // of them, for one network
	maxRenewing    = 64 // renewals, which take a session
	maxRevoking    = 8  // logouts, which take a session
	maxLooking     = 4  // for the provider's documents
	maxAsking      = maxRedeeming + maxRenewing + maxRevoking + maxLooking
)

// places are those at one host, for all policies that go there with the same client. What strangers can ask for has places of its own, so
// that it keeps nobody from renewing a session; and no network has all of them.
type places struct {
	mu        sync.Mutex
	renewing  int
	revoking  int
	redeeming int
	by        map[netip.Prefix]int // redeeming
}

func newPlaces() *places { return &places{by: map[netip.Prefix]int{}} }

// redeem asks for a place to redeem a code for a client. leaveRedeem gives it back.
func (p *places) redeem(client netip.Addr) bool {
	from := network(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.redeeming >= maxRedeeming || client.IsValid() && p.by[from] >= maxRedeemingBy {
		return false
	}
	p.redeeming++
	p.by[from]++
	return true
}

func (p *places) leaveRedeem(client netip.Addr) {
	from := network(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.redeeming--
	if p.by[from]--; p.by[from] == 0 {
		delete(p.by, from)
	}
}

// renew asks for a place to renew tokens. leaveRenew gives it back.
func (p *places) renew() bool { return p.enter(&p.renewing, maxRenewing) }

func (p *places) leaveRenew() { p.leave(&p.renewing) }

// revoke asks for a place to revoke a token. leaveRevoke gives it back.
func (p *places) revoke() bool { return p.enter(&p.revoking, maxRevoking) }

func (p *places) leaveRevoke() { p.leave(&p.revoking) }

func (p *places) enter(taken *int, most int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *taken >= most {
		return false
	}
	*taken++
	return true
}

func (p *places) leave(taken *int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*taken--
}

// network is what one client commonly has of addresses: one of IPv4, 2^64 of IPv6.
func network(client netip.Addr) netip.Prefix {
	client = client.Unmap()
	bits := 32
	if client.Is6() {
		bits = 64
	}
	from, _ := client.Prefix(bits) // the zero prefix for a client without an address
	return from
}
