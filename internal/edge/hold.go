package edge

import (
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

var (
	_ exchange.Encourager  = (*trip)(nil)
	_ exchange.Interrupter = (*trip)(nil)
)

// Encourage implements exchange.Encourager, for policies of step 4 that want the body of a client which waits to be told to send it.
func (t *trip) Encourage() *fault.Fault { return t.codec.Interim(t.x, 100, nil) }

// StopBody implements exchange.Interrupter, for those who wait for a body no longer than they said.
func (t *trip) StopBody() { t.codec.StopBody() }
