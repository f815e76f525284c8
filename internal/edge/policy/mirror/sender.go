package mirror

import (
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/policy"
)

// reason is why a request was not copied.
type reason uint8

const (
	nothing reason = iota
	full
	tooLarge
	unfinished
	upgrade
	stopped
	reasons
)

func (r reason) String() string {
	return [reasons]string{full: "full", tooLarge: "too_large", unfinished: "unfinished", upgrade: "upgrade", stopped: "stopped"}[r]
}

// sender is the copies of one place in the configuration that are under way, and what became of the others.
type sender struct {
	route, upstream string

	underWay atomic.Int64
	stopping atomic.Bool

	dropped  [reasons]atomic.Int64
	answered [6]atomic.Int64 // by the first digit of the status
	failed   atomic.Int64
}

// enter takes a place for a copy, or says why there is none. leave gives it back.
func (s *sender) enter(most int64) reason {
	if s.stopping.Load() {
		return stopped
	}
	if s.underWay.Add(1) > most {
		s.underWay.Add(-1)
		return full
	}
	return nothing
}

func (s *sender) leave() { s.underWay.Add(-1) }

// runSend sends a copy and counts what became of it.
func (s *sender) runSend(c policy.Copy, content []byte, within time.Duration) {
	defer s.leave()
	a := c.Send(content, within, &s.stopping)
	if a.Fault != nil || a.Status < 200 || a.Status > 599 {
		s.failed.Add(1)
		return
	}
	s.answered[a.Status/100].Add(1)
}

// Stop implements policy.Stopper: copies under way are given up.
func (s *sender) Stop() { s.stopping.Store(true) }

// Report implements policy.Reporter.
func (s *sender) Report(figure func(policy.Figure)) {
	labels := func(more ...[2]string) [][2]string {
		return append([][2]string{{"route", s.route}, {"upstream", s.upstream}}, more...)
	}
	for class := 2; class <= 5; class++ {
		figure(policy.Figure{Name: "mirror_answered_total", Help: "Copies that were answered, by the class of the status.", Counter: true,
			Labels: labels([2]string{"class", [...]string{2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}[class]}), Value: float64(s.answered[class].Load())})
	}
	figure(policy.Figure{Name: "mirror_failed_total", Help: "Copies that got no answer, or not all of it.", Counter: true,
		Labels: labels(), Value: float64(s.failed.Load())})
	for why := full; why < reasons; why++ {
		figure(policy.Figure{Name: "mirror_dropped_total", Help: "Requests that were to be copied and were not.", Counter: true,
			Labels: labels([2]string{"reason", why.String()}), Value: float64(s.dropped[why].Load())})
	}
	figure(policy.Figure{Name: "mirror_under_way", Help: "Copies under way, and places kept for those whose content is still to come.",
		Labels: labels(), Value: float64(s.underWay.Load())})
}
