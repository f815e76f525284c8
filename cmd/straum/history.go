package main

import "time"

// history is what the gateway had to carry, minute by minute for a day. It forgets with the process. One goroutine at a time uses it.
type history struct {
	began   time.Time // the first reading; zero before it
	last    time.Time
	total   uint64 // exchanges at the last reading
	minutes [24 * 60]minute
}

// minute is what fell into one minute since the history began.
type minute struct {
	number  int // since it began; a slot with another number than its own is of the day before
	count   uint64
	seconds float64 // that were counted
	peak    float64 // requests a second between two readings
	peakAt  time.Time
}

// shortest is how long a time must be to count as busy: the first reading after the start comes early.
const shortest = 4 * time.Second

// add takes a reading: how many exchanges are over at a time.
func (h *history) add(at time.Time, total uint64) {
	if h.began.IsZero() {
		h.began, h.last, h.total = at, at, total
		return
	}
	d := at.Sub(h.last)
	if d <= 0 {
		return
	}
	n := uint64(0)
	if total > h.total {
		n = total - h.total
	}
	h.last, h.total = at, total
	number := int(at.Sub(h.began) / time.Minute)
	m := &h.minutes[number%len(h.minutes)]
	if m.number != number {
		*m = minute{number: number}
	}
	m.count += n
	m.seconds += d.Seconds()
	if rate := float64(n) / d.Seconds(); d >= shortest && rate > m.peak {
		m.peak, m.peakAt = rate, at
	}
}

// past is what a history says of the last day.
type past struct {
	since            time.Time // zero while nothing is known
	total            uint64
	mean             float64 // requests a second
	busiest          float64 // of the time between two readings
	busiestAt        time.Time
	busiestMinute    float64 // on average
	busiestMinuteWas time.Time
}

// past sums up. A minute that is not over does not compete.
func (h *history) past() (p past) {
	if !h.last.After(h.began) {
		return p
	}
	now := int(h.last.Sub(h.began) / time.Minute)
	first := max(now-len(h.minutes)+1, 0)
	p.since = h.began.Add(time.Duration(first) * time.Minute)
	for number := first; number <= now; number++ {
		m := &h.minutes[number%len(h.minutes)]
		if m.number != number {
			continue // nothing was read in it: the process, or the box, stood still
		}
		p.total += m.count
		if m.peak > p.busiest {
			p.busiest, p.busiestAt = m.peak, m.peakAt
		}
		if rate := float64(m.count) / max(m.seconds, 60); number < now && rate > p.busiestMinute {
			p.busiestMinute, p.busiestMinuteWas = rate, h.began.Add(time.Duration(number)*time.Minute)
		}
	}
	p.mean = float64(p.total) / h.last.Sub(p.since).Seconds()
	return p
}
