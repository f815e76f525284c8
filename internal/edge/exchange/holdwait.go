package exchange

import "time"

// patience ends the wait for a body at a time that nothing the client sends puts off.
type patience struct {
	within time.Duration // 0 for no end
	stop   Interrupter   // nil where nobody waits for a network
	timer  *time.Timer
	fired  chan struct{}
}

// begin begins to count, the first time. What is there already costs no timer.
func (p *patience) begin() {
	if p.stop == nil || p.timer != nil {
		return
	}
	stop, fired := p.stop, make(chan struct{})
	p.fired = fired
	p.timer = time.AfterFunc(p.within, func() {
		stop.StopBody()
		close(fired)
	})
}

// over ends the count and says whether the time was over. Nothing of it goes on afterwards: StopBody must not meet the next exchange.
func (p *patience) over() bool {
	if p.timer == nil || p.timer.Stop() {
		return false
	}
	<-p.fired
	return true
}
