//go:build !linux

package listen

import (
	"os"
	"time"
)

// poller is empty here: only Linux parks connections without goroutines. Elsewhere the goroutine of a parked connection waits,
// which costs a stack each. Meant for development. Missing too: a changed idle timeout counts from the next parking only.
type (
	poller struct{}
	ticket struct{}
)

func (p *poller) open() error  { return nil }
func (p *poller) close()       {}
func (p *poller) wakeAt(int64) {}

func (t *lot) attend() { close(t.done) }

// park waits on the caller's goroutine, so the connection is never taken.
func (t *lot) park(c *conn) outcome {
	t.mu.Lock()
	if c.l.row.closed {
		t.mu.Unlock()
		return refused
	}
	t.push(c)
	idle := c.l.row.idle
	t.mu.Unlock()

	err := c.awaitReadable(time.Duration(idle))

	t.mu.Lock()
	defer t.mu.Unlock()
	if c.place.state != parked {
		return ready // retired: killed, which Serve will find out
	}
	t.pull(c)
	if os.IsTimeout(err) {
		c.l.expired.Add(1)
		return refused
	}
	return ready
}

// retire closes c as far as another goroutine may.
func (c *conn) retire() bool {
	c.sock.Kill()
	return true
}

// dismiss is retire, without the time that Linux gives to fresh connections.
func (c *conn) dismiss() { c.retire() }
