package listen

import (
	"net/netip"
	"sync"
	"time"

	"straum.dev/straum/internal/clock"
)

// clients counts connections by the address they come from. It holds only addresses with connections, so it is bounded by those.
type clients struct {
	mu   sync.Mutex
	open map[netip.Addr]int
}

// clientKey is what counts as one client: the address, or the /64 network of an IPv6 address, since that is what one customer
// is given (RFC 6177).
func clientKey(a netip.Addr) netip.Addr {
	if a.Is6() {
		p, _ := a.WithZone("").Prefix(64) // 64 bits always fit
		return p.Addr()
	}
	return a
}

// take counts one connection more for key unless that would exceed limit.
func (c *clients) take(key netip.Addr, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.open[key]
	if n >= limit {
		return false
	}
	if c.open == nil {
		c.open = make(map[netip.Addr]int)
	}
	c.open[key] = n + 1
	return true
}

// give undoes one take.
func (c *clients) give(key netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.open[key] - 1; n > 0 {
		c.open[key] = n
	} else {
		delete(c.open, key)
	}
}

// calm is how long a trouble must have been absent before it counts as a new episode.
const calm = 10 * time.Second

// episode tells the first of a series of troubles from those that follow it, so that each series is logged once.
type episode struct {
	mu   sync.Mutex
	last int64
}

// begins notes a trouble and says whether it is the first of its series.
func (e *episode) begins(now int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := e.last == 0 || now-e.last > int64(calm)
	e.last = now
	return first
}

func (e *episode) beginsNow() bool { return e.begins(clock.Now()) }
