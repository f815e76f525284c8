package limit

// spend takes cost tokens from a bucket that will be full at a time, and gives the time at which it will be full after that. What is refused
// changes nothing. Times are in ticks; now may go back, which brings nothing back earlier. A cost above the burst is the burst, or it
// could never be met.
func (t *Terms) spend(full, now, cost int64) (int64, Verdict) {
	full = max(full, now)
	cost = max(0, min(cost, t.burst))
	next := full + cost*t.interval
	if over := next - now - t.depth; over > 0 {
		left := max(0, (t.depth-(full-now))/t.interval)
		return full, Verdict{Left: left, Retry: nanoseconds(over), Reset: nanoseconds(full - now)}
	}
	return next, Verdict{OK: true, Left: (t.depth - (next - now)) / t.interval, Reset: nanoseconds(next - now)}
}

// carry is what spend needs of a bucket that was kept under other terms: as many tokens as were missing are missing, but no more than there
// are. full and now are in ticks.
func (t *Terms) carry(full, now, interval int64) int64 {
	if full <= now || interval <= 0 {
		return now
	}
	missing := (full - now + interval - 1) / interval
	return now + min(missing, t.burst)*t.interval
}

// nanoseconds rounds ticks up, so that whoever waits for as long is not too early.
func nanoseconds(ticks int64) int64 { return (ticks + tick - 1) / tick }
