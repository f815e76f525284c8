package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// Get is the value of a key, and whether there is one. The value is the caller's.
func (c *Client) Get(key string) ([]byte, bool, error) {
	r := c.do(func(conn rueidis.Client) rueidis.Completed {
		return conn.B().Get().Key(c.Key(key)).Build()
	})
	if r.absent || r.err != nil {
		return nil, false, r.err
	}
	value, err := r.message.AsBytes()
	if err != nil {
		return nil, false, fmt.Errorf("%w: the value is no string", ErrRefused)
	}
	return value, true, nil
}

// Set stores a value for ttl, at least a millisecond.
func (c *Client) Set(key string, value []byte, ttl time.Duration) error {
	ttl = max(ttl, time.Millisecond)
	return c.do(func(conn rueidis.Client) rueidis.Completed {
		return conn.B().Set().Key(c.Key(key)).Value(rueidis.BinaryString(value)).Px(ttl).Build()
	}).err
}

// Delete removes a key, when it is there.
func (c *Client) Delete(key string) error {
	return c.do(func(conn rueidis.Client) rueidis.Completed {
		return conn.B().Del().Key(c.Key(key)).Build()
	}).err
}

// answer is what came of one command.
type answer struct {
	message rueidis.RedisMessage
	absent  bool
	err     error // ErrUnavailable, ErrRefused or errNoScript, wrapped
	cause   error // what ErrUnavailable came from
}

// do carries one command out within the budget. The goroutine it starts ends soon after, whatever the store does: rueidis is given the
// same deadline, and at most maxInFlight are there.
func (c *Client) do(build func(rueidis.Client) rueidis.Completed) answer {
	conn := c.conn.Load()
	if conn == nil || c.gate.shut.Load() {
		c.figures.skipped.Add(1)
		return answer{err: ErrUnavailable}
	}
	if c.inFlight.Add(1) > maxInFlight {
		c.inFlight.Add(-1)
		c.figures.full.Add(1)
		return answer{err: ErrUnavailable}
	}
	c.figures.commands.Add(1)
	ctx, cancel := context.WithTimeout(context.Background(), c.settings.Budget)
	defer cancel()
	done := make(chan answer, 1)
	go c.runCommand(ctx, *conn, build(*conn), done)
	var a answer
	select {
	case a = <-done:
	case <-ctx.Done():
		a = answer{err: ErrUnavailable, cause: context.DeadlineExceeded}
	}
	c.settle(&a)
	return a
}

// runCommand waits for the store's answer, or for rueidis to give up.
func (c *Client) runCommand(ctx context.Context, conn rueidis.Client, command rueidis.Completed, done chan<- answer) {
	message, err := conn.Do(ctx, command).ToMessage()
	c.inFlight.Add(-1)
	done <- judge(message, err)
}

// judge sorts an answer: a value, none, a refusal, or nothing that could be called one.
func judge(message rueidis.RedisMessage, err error) answer {
	if err == nil {
		return answer{message: message}
	}
	if rueidis.IsRedisNil(err) {
		return answer{absent: true}
	}
	if refusal, is := rueidis.IsRedisErr(err); is {
		if refusal.IsNoScript() {
			return answer{err: errNoScript}
		}
		if code := codeOf(err); !away[code] {
			return answer{err: fmt.Errorf("%w: %s", ErrRefused, code)}
		}
	}
	return answer{err: ErrUnavailable, cause: err}
}

// settle counts an answer, and shuts the gate after too many bad ones.
func (c *Client) settle(a *answer) {
	if a.cause == nil {
		if errors.Is(a.err, ErrRefused) {
			c.figures.refused.Add(1)
		}
		c.gate.note(true)
		return
	}
	if errors.Is(a.cause, context.DeadlineExceeded) {
		c.figures.timeouts.Add(1)
	} else {
		c.figures.errors.Add(1)
	}
	if c.gate.note(false) {
		c.trip(a.cause)
	}
}
