package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// beat is how often a store that answers is looked at, so that health is known without requests too.
const beat = time.Second

// Health says whether the store answers.
type Health struct {
	OK    bool
	Why   string // why not, for people; no secret is in it
	Since time.Time
}

// Health is what the last call or look found.
func (c *Client) Health() Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.health
}

// runKeep connects, looks after the connection, and is the only one to ask a store that has failed.
func (c *Client) runKeep(ctx context.Context) {
	defer close(c.stopped)
	failures, steady := 0, 0
	for {
		wait := beat
		if err := c.look(ctx); err == nil {
			c.up()
			// A store that comes and goes is left alone for longer each time, until it has held for a while.
			if steady++; steady >= 10 {
				failures = 0
			}
		} else if ctx.Err() == nil {
			c.down(err)
			failures++
			steady = 0
			wait = c.rest(failures)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			c.gate.shut.Store(true)
			if conn := c.conn.Load(); conn != nil {
				(*conn).Close()
			}
			return
		case <-c.tripped:
			timer.Stop()
			if failures++; !c.pause(ctx, c.rest(failures)) {
				continue // to the end above: look fails at once
			}
			steady = 0
		case <-timer.C:
		}
	}
}

// pause waits, and reports false when the client is closed meanwhile.
func (c *Client) pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// errSlow says that the store answers, and too late for anybody.
var errSlow = errors.New("it answers, but not within the budget")

// look finds out whether the store answers. The first answer has time for a connection to come about; the second must be within the budget
// when requests are not let through at the moment, or they would only find out again.
func (c *Client) look(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	conn := c.conn.Load()
	if conn == nil {
		made, err := rueidis.NewClient(c.option)
		if err != nil {
			if made != nil {
				made.Close()
			}
			return err
		}
		conn = &made
		c.conn.Store(conn)
	}
	if err := ping(ctx, *conn, c.settings.Connect); err != nil || !c.gate.shut.Load() {
		return err
	}
	err := ping(ctx, *conn, c.settings.Budget)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w of %v", errSlow, c.settings.Budget)
	}
	return err
}

func ping(ctx context.Context, conn rueidis.Client, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return conn.Do(ctx, conn.B().Ping().Build()).Error()
}

// up says that the store answers.
func (c *Client) up() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.health.OK {
		c.log.Info("the shared store (redis) answers", "after", c.now().Sub(c.health.Since).Round(time.Millisecond).String())
		c.health = Health{OK: true, Since: c.now()}
	}
	if c.gate.shut.Load() {
		c.gate.open()
	}
}

// down says that it does not, and why.
func (c *Client) down(err error) {
	c.gate.shut.Store(true)
	text := why(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.health.OK || c.health.Why != text {
		c.log.Warn("the shared store (redis) does not answer; the gateway goes on without it", "why", text)
	}
	since := c.health.Since
	if c.health.OK {
		since = c.now()
		c.figures.opened.Add(1)
	}
	c.health = Health{Why: text, Since: since}
}

// trip says that calls failed in a row, and wakes the keeper.
func (c *Client) trip(err error) {
	c.down(err)
	select {
	case c.tripped <- struct{}{}:
	default:
	}
}
