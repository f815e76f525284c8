package main

import (
	"context"
	"time"

	"straum.dev/straum/internal/capacity"
	"straum.dev/straum/internal/control/client"
)

// historyOf is what a gateway had to carry in the last day, by its own account; nil when it does not tell.
func historyOf(ctx context.Context, c *client.Client) *capacity.Past {
	b, err := c.Box(ctx)
	if err != nil || b.Requests.Since == nil {
		return nil
	}
	return &capacity.Past{Busiest: b.Requests.Busiest, Over: 5 * time.Second, Since: *b.Requests.Since, Until: time.Now(), From: "the gateway's own count"}
}
