package ban

import (
	"net"
	"net/netip"
	"time"

	"github.com/gaissmai/bart"
)

// always are networks of which no address is banned, whatever the settings say.
var always = []protected{
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("0.0.0.0/32"), "no address"},
	{netip.MustParsePrefix("::/128"), "no address"},
	// One /64 of either has strangers in it: all of IPv4 behind a translator (RFC 6052 §2.1), and all boxes of a cable.
	{netip.MustParsePrefix("64:ff9b::/96"), "of a translator, which all of IPv4 comes through"},
	{netip.MustParsePrefix("fe80::/10"), "local to a link, where a /64 is many boxes"},
}

// protected is a network of which no address is banned.
type protected struct {
	network netip.Prefix
	why     string
}

// named is why those of Settings.Never are protected.
const named = "named in never"

// Own guards the addresses of the box itself.
func Own() Guard {
	return Guard{Why: "an address of this box", Networks: func() (all []netip.Prefix) {
		list, _ := net.InterfaceAddrs() // without them there is nothing to add
		for _, a := range list {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					ip = ip.Unmap()
					all = append(all, netip.PrefixFrom(ip, ip.BitLen()))
				}
			}
		}
		return all
	}}
}

// guardsGoodFor is how long what guards said is taken for how it is.
const guardsGoodFor = time.Second

// guards ask who is never banned, and remember it for a moment.
type guards struct {
	list  []Guard
	table *bart.Table[string] // nil before it was asked
	asked time.Time
}

// protects says why no ban may be made of a network, as far as guards know.
func (g *guards) protects(ban netip.Prefix, now time.Time) (p protected, yes bool) {
	if age := now.Sub(g.asked); g.table == nil || age < 0 || age >= guardsGoodFor {
		g.ask(now)
	}
	return overlap(g.table, ban)
}

func (g *guards) ask(now time.Time) {
	g.table, g.asked = new(bart.Table[string]), now
	for _, guard := range g.list {
		for _, n := range guard.Networks() {
			if n, ok := canonical(n); ok {
				g.table.Insert(n, guard.Why)
			}
		}
	}
}

// overlap finds an entry that shares addresses with a network.
func overlap(t *bart.Table[string], n netip.Prefix) (p protected, yes bool) {
	if !t.OverlapsPrefix(n) {
		return p, false
	}
	for network, why := range t.Supernets(n) {
		return protected{network, why}, true
	}
	for network, why := range t.Subnets(n) {
		return protected{network, why}, true
	}
	return p, false
}

// fixed is the table of what is protected by the settings and by nature.
func fixed(never []netip.Prefix) *bart.Table[string] {
	t := new(bart.Table[string])
	for _, n := range never {
		if n, ok := canonical(n); ok {
			t.Insert(n, named)
		}
	}
	for _, p := range always {
		t.Insert(p.network, p.why)
	}
	return t
}
