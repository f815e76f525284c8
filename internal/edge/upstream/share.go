package upstream

import (
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/fault"
)

// share gets a place on an HTTP/2 connection: on one that there is, or on a new one, or one that comes free in time. A new one may turn
// out to speak HTTP/1.1; then it is the call's own. It returns neither when the answer was somebody else's to find and the call has to
// look again.
func (c *Call) share() (connection, *fault.Fault) {
	s := c.line.shared
	if conn := s.take(); conn != nil {
		return c.reuse(connection{shared: conn}), nil
	}
	mine, other := s.begin()
	switch {
	case mine != nil:
		var told *fault.Fault
		defer func() { s.end(mine, told) }() // whatever happens: others wait
		conn, f := c.open(false)
		if f != nil && f.Kind != fault.ConnectTimeout && f.Kind.Side == fault.Upstream { // else it may be about this exchange's time, or its client
			told = f
		}
		return conn, f
	case other != nil:
		c.queued = true
		return connection{}, c.awaitOpening(other)
	}
	c.queued = true
	return c.awaitPlace()
}

// awaitOpening waits for a connection that another exchange opens.
func (c *Call) awaitOpening(o *opening) *fault.Fault {
	by := c.connectBy()
	late, f := c.until(o.done, by)
	switch {
	case f != nil:
		return f
	case late:
		return fault.At(fault.ConnectTimeout, fault.NotConnected, nil)
	}
	return o.fault
}

// awaitPlace waits for a place on one of the connections, as many of which there are as may be.
func (c *Call) awaitPlace() (connection, *fault.Fault) {
	s, set := c.line.shared, &c.view.settings.Pool
	w, ok := s.enqueue(set.Queue)
	if !ok {
		return connection{}, &fault.Fault{Kind: fault.Saturated, RetryAfter: 1}
	}
	defer s.leave(w)
	by := c.sooner(c.began + int64(set.QueueTimeout))
	for {
		if conn := s.take(); conn != nil { // something may have come free just before
			return c.reuse(connection{shared: conn}), nil
		}
		if !s.full() {
			return connection{}, nil
		}
		switch late, f := c.until(w, by); {
		case f != nil:
			return connection{}, f
		case late:
			return connection{}, &fault.Fault{Kind: fault.QueueTimeout, RetryAfter: 1}
		}
	}
}

// until waits until something happens, and as long as the client is there. late says that it did not happen by the time by.
func (c *Call) until(happens <-chan struct{}, by int64) (late bool, f *fault.Fault) {
	timer := time.NewTimer(pause(clock.Now(), by))
	defer timer.Stop()
	for {
		select {
		case <-happens:
			return false, nil
		case <-timer.C:
		}
		now := clock.Now()
		if f := c.Tick(now); f != nil {
			return false, f
		}
		if now >= by {
			return true, nil
		}
		timer.Reset(pause(now, by))
	}
}
