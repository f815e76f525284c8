package main

import (
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gaissmai/bart"

	"straum.dev/straum/internal/ban"
	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/control/admin"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/edge/listen"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/internal/nft"
	"straum.dev/straum/internal/observe/metrics"
)

// bans joins the engine that decides with those who ask it (listeners and the flow), those who tell it what clients do (listeners and an
// observer), those who must never be banned, and the kernel. It implements listen.Guard.
type bans struct {
	*ban.Engine
	log       *slog.Logger
	listeners *listen.Set
	upstreams *upstream.Set

	mu        sync.Mutex // guards what follows
	proxies   []netip.Prefix
	operators map[netip.Addr]time.Time // and when each was last told of
	drops     *nft.Drops               // nil while the kernel has no part in bans
}

// newBans makes the engine, which reads what was kept in the directory of state. Nobody is banned before the first use.
func newBans(log *slog.Logger, state string, listeners *listen.Set, upstreams *upstream.Set) *bans {
	b := &bans{Engine: ban.New(ban.Options{Dir: state, Log: log, Clock: clock.Now}), log: log, listeners: listeners, upstreams: upstreams,
		operators: map[netip.Addr]time.Time{}}
	b.Guard(ban.Own())
	b.Guard(ban.Guard{Why: "a trusted proxy", Networks: b.trusted})
	b.Guard(ban.Guard{Why: "an endpoint", Networks: b.endpoints})
	b.Guard(ban.Guard{Why: "an address that somebody looks after the gateway from", Networks: b.looking})
	return b
}

// Abandoned implements listen.Guard.
func (b *bans) Abandoned(client netip.Addr, _ listen.Outcome) {
	b.Strike(client, ban.Handshake, clock.Now())
}

// use puts a revision in force. One goroutine at a time calls it, after its listeners listen.
func (b *bans) use(c *compile.Compiled) {
	var proxies []netip.Prefix
	for i := range c.Listeners {
		for _, list := range []*bart.Lite{c.Listeners[i].Trusted, c.Listeners[i].Listen.Proxy} {
			if list != nil {
				for n := range list.All() {
					proxies = append(proxies, n)
				}
			}
		}
	}
	b.mu.Lock()
	b.proxies = proxies
	b.mu.Unlock()
	if err := b.Use(c.Bans.Settings); err != nil {
		b.log.Error("BUG: what the configuration says of bans is refused", "error", err.Error())
	}
	b.useKernel(c.Bans.On && c.Bans.Kernel)
}

// useKernel has the kernel drop packets of the banned, or not any more.
func (b *bans) useKernel(on bool) {
	b.mu.Lock()
	drops := b.drops
	b.mu.Unlock()
	switch {
	case on && drops == nil:
		drops = nft.New(nft.Options{Log: b.log})
		b.setDrops(drops)
		b.OnChange(func(all []ban.Change) { tellKernel(drops, all) })
		drops.Ports(b.ports())
		drops.Start()
	case on:
		drops.Ports(b.ports())
	case drops != nil:
		b.OnChange(func([]ban.Change) {})
		b.setDrops(nil)
		drops.Close()
	}
}

func (b *bans) setDrops(d *nft.Drops) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drops = d
}

// tellKernel hands changes on to the kernel's side.
func tellKernel(drops *nft.Drops, all []ban.Change) {
	for _, c := range all {
		if c.Rung == ban.Kernel {
			drops.Ban(c.Network, c.Until)
		} else {
			drops.Lift(c.Network)
		}
	}
}

// ports are those of the listeners.
func (b *bans) ports() (all []uint16) {
	for _, s := range b.listeners.Stats() {
		if at, err := netip.ParseAddrPort(s.Address); err == nil {
			all = append(all, at.Port())
		}
	}
	return all
}

// trusted are the proxies that are believed, whose address all their clients have.
func (b *bans) trusted() []netip.Prefix {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.proxies
}

// endpoints are the addresses of all upstreams: what runs there may call the gateway as anybody does.
func (b *bans) endpoints() (all []netip.Prefix) {
	for _, s := range b.upstreams.Stats() {
		for _, e := range s.Endpoints {
			if at, err := netip.ParseAddrPort(e.Address); err == nil {
				a := at.Addr().Unmap().WithZone("")
				all = append(all, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	return all
}

const (
	// lookingFor is how long an address is not banned after somebody there has used the admin API.
	lookingFor = 12 * time.Hour
	// maxLooking is how many such addresses are known; the oldest goes for a new one.
	maxLooking = 256
)

// operator is told where somebody works who uses the admin API.
func (b *bans) operator(a netip.Addr) {
	a = a.Unmap().WithZone("")
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.operators[a]; !known && len(b.operators) >= maxLooking {
		var oldest netip.Addr
		for other, at := range b.operators {
			if !oldest.IsValid() || at.Before(b.operators[oldest]) {
				oldest = other
			}
		}
		delete(b.operators, oldest)
	}
	b.operators[a] = time.Now()
}

// looking are the addresses of those who use the admin API.
func (b *bans) looking() (all []netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for a, at := range b.operators {
		if time.Since(at) > lookingFor {
			delete(b.operators, a)
			continue
		}
		all = append(all, netip.PrefixFrom(a, a.BitLen()))
	}
	return all
}

// kernel is how the kernel's side stands, nil while it has no part in bans.
func (b *bans) kernel() *admin.KernelBans {
	b.mu.Lock()
	drops := b.drops
	b.mu.Unlock()
	if drops == nil {
		return nil
	}
	f := drops.Figures()
	return &admin.KernelBans{Given: f.Given, LeftOut: f.Over, Problem: f.Problem}
}

// attention is what needs somebody although the gateway goes on.
func (b *bans) attention() (all []admin.Reason) {
	for _, text := range b.Attention() {
		all = append(all, admin.Reason{Check: "bans", Reason: strings.TrimPrefix(text, "bans: ")})
	}
	if k := b.kernel(); k != nil && k.Problem != "" {
		all = append(all, admin.Reason{Check: "bans", Reason: "banned addresses are not dropped by the kernel, but when they connect: " + k.Problem})
	}
	return all
}

// figures are those of bans.
func (b *bans) figures(yield func(metrics.Figure)) {
	gauge := func(name, help string, n int, labels ...[2]string) {
		yield(metrics.Figure{Name: name, Help: help, Labels: labels, Value: float64(n)})
	}
	counter := func(name, help string, n uint64, labels ...[2]string) {
		yield(metrics.Figure{Name: name, Help: help, Counter: true, Labels: labels, Value: float64(n)})
	}
	f := b.Figures()
	for rung := ban.Refuse; rung <= ban.Kernel; rung++ {
		gauge("bans", "Networks that are refused, by how.", f.Bans[rung], [2]string{"how", rung.String()})
	}
	gauge("bans_dry", "Networks that would be refused but for a dry run.", f.Dry)
	gauge("bans_remembered", "Networks whose bans are over and remembered.", f.Remembered)
	gauge("ban_scores", "Addresses that something counts against.", f.Scored)
	made := func(cause string, n uint64) {
		counter("bans_made_total", "Bans, by what they were made for.", n, [2]string{"cause", cause})
	}
	for signal := range ban.Signals {
		counter("ban_strikes_total", "What counted against an address, by signal.", f.Strikes[signal], [2]string{"signal", signal.String()})
		made(signal.String(), f.Made[signal])
	}
	made("network", f.Widened)
	made("order", f.Ordered)
	ended := func(how string, n uint64) {
		counter("bans_ended_total", "Bans that ended, by how.", n, [2]string{"how", how})
	}
	ended("time", f.Ended)
	ended("order", f.Removed)
	spared := func(why string, n uint64) {
		counter("bans_not_made_total", "Bans that were not made, by why.", n, [2]string{"why", why})
	}
	spared("never", f.Guarded)
	spared("consumers", f.Spared)
	spared("full", f.Full)
	counter("ban_scores_evicted_total", "Scores that were given up for higher ones.", f.Evicted)
	counter("ban_strikes_nameless_total", "What would have counted against an address that is not known.", f.Nameless)
	if k := b.kernel(); k != nil {
		up := 1
		if k.Problem != "" {
			up = 0
		}
		gauge("ban_kernel_up", "Whether the kernel drops what it should.", up)
		gauge("ban_kernel_networks", "Networks that the kernel drops.", k.Given)
		counter("ban_kernel_left_out_total", "Bans that the kernel was not given for want of room.", uint64(k.LeftOut))
	}
}

// close keeps what is to outlive the process, and takes what it put there out of the kernel.
func (b *bans) close() {
	b.useKernel(false)
	if err := b.Close(); err != nil {
		b.log.Error("the bans could not be kept", "error", err.Error())
	}
}
