package capacity

import (
	"math"
	"time"
)

// waiting is the 99th percentile of the time that requests wait for one of c cores, when they come at random at a rate (a second) and take a mean
// time of a core each: an M/M/c queue, by Erlang's C formula. A request of the gateway is no such thing exactly; its times vary less, so the
// model waits longer. It is infinite where there is more to do than cores.
func waiting(c int, rate float64, each time.Duration) time.Duration {
	offered := rate * each.Seconds()
	if offered >= float64(c) {
		return math.MaxInt64
	}
	delayed := erlangC(c, offered)
	if delayed <= 0.01 {
		return 0
	}
	seconds := math.Log(100*delayed) / (float64(c)/each.Seconds() - rate)
	if seconds > 1e9 {
		return math.MaxInt64
	}
	return time.Duration(seconds * float64(time.Second))
}

// erlangC is the share of requests that have to wait for one of c cores when they bring so many cores' worth of work, which is below c. It goes by way of
// Erlang's B, whose recursion stays within 0 and 1.
func erlangC(c int, offered float64) float64 {
	b := 1.0
	for k := 1; k <= c; k++ {
		b = offered * b / (float64(k) + offered*b)
	}
	return b / (1 - offered/float64(c)*(1-b))
}
