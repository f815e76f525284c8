package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Ear hears a channel. Its methods are called one after the other, on the goroutine that reads the connection: they must not wait, and not
// call the client.
type Ear interface {
	// Up says that whatever is published from now on is heard, until Down.
	Up()
	Heard(message string)
	// Down says that the connection is lost, and that what is published now may never be heard.
	Down()
}

// Subscribe hears a channel, named as keys are, on a connection of its own. It connects in the background, again and again when it has to; a
// connection that says nothing for two seconds is asked whether it is still there. stop ends it, and returns when the ear is told nothing any more.
func (c *Client) Subscribe(channel string, ear Ear) (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.runSubscribe(ctx, c.Key(channel), ear)
	}()
	return func() {
		cancel()
		<-done
	}
}

// idle is how often a subscriber looks whether the store can be asked.
const idle = 50 * time.Millisecond

func (c *Client) runSubscribe(ctx context.Context, channel string, ear Ear) {
	failures := 0
	for {
		wait := idle
		if c.Available() {
			up, err := c.hear(ctx, *c.conn.Load(), channel, ear)
			if up {
				failures = 0
			}
			if ctx.Err() == nil {
				failures++
				wait = c.rest(failures)
				if !up {
					c.log.Warn("a channel of the shared store (redis) cannot be subscribed to", "why", why(err))
				}
			}
		}
		if !c.pause(ctx, wait) {
			return
		}
	}
}

// hear subscribes once, and returns when the connection is lost.
func (c *Client) hear(ctx context.Context, conn rueidis.Client, channel string, ear Ear) (up bool, err error) {
	wire, release := conn.Dedicate()
	d := &door{ear: ear, channel: channel}
	lost := wire.SetPubSubHooks(rueidis.PubSubHooks{OnSubscription: d.subscribed, OnMessage: d.heard})
	within, cancel := context.WithTimeout(ctx, c.settings.Connect)
	err = wire.Do(within, wire.B().Subscribe().Channel(channel).Build()).Error()
	cancel()
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-lost:
		}
	}
	up = d.shut()
	go runHangUp(wire, release, lost)
	return up, err
}

// runHangUp gives a connection up. Closing one says goodbye and waits for the answer, for which one that hangs would have it wait for ever; such
// a one is found by rueidis within two seconds.
func runHangUp(wire rueidis.DedicatedClient, release func(), lost <-chan error) {
	for range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := wire.Do(ctx, wire.B().Ping().Build()).Error()
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
		select {
		case <-lost:
		default:
			continue
		}
		break
	}
	wire.Close()
	release()
}

// door lets one connection's messages through to an ear until it is shut.
type door struct {
	channel string
	mu      sync.Mutex
	ear     Ear // nil when shut
	up      bool
}

func (d *door) subscribed(s rueidis.PubSubSubscription) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ear != nil && !d.up && s.Kind == "subscribe" && s.Channel == d.channel {
		d.up = true
		d.ear.Up()
	}
}

func (d *door) heard(m rueidis.PubSubMessage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ear != nil && d.up {
		d.ear.Heard(m.Message)
	}
}

// shut reports whether it was ever up.
func (d *door) shut() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.up {
		d.ear.Down()
	}
	d.ear = nil
	return d.up
}
