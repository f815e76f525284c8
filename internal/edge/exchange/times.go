package exchange

// Times are readings of clock.Now at the turns of the exchange; 0 is "not reached".
type Times struct {
	Start     int64 // the first byte of the request was there
	Decoded   int64 // the head of the request was complete
	Forward   int64 // steps 3 to 5 were done, step 6 began
	Sent      int64 // the head of the last try was sent
	FirstByte int64 // the head of the endpoint's answer was there
	Received  int64 // the endpoint's answer was complete
	Done      int64 // the response was written
}

// Shares parts the time of an exchange, up to now, in nanoseconds: the whole of it, and the upstream's part; the rest is the
// gateway's own work, and waiting for a client that sends its head or takes its answer slowly. The log, the metrics and
// Server-Timing all part it here.
//
// A try that was the only one and went over a connection that stood is the upstream's from when it was sent. With a new
// connection or several tries it begins with Forward, so that connecting, queueing, failed tries and the waits between them
// count as the upstream's too. It ends with Received, or with now as long as the answer is not complete.
//
// now is Times.Done once that is known, else a reading of clock.Now. Neither share is negative nor upstream above total, also
// where readings are missing or out of order.
func (x *Exchange) Shares(now int64) (total, upstream int64) {
	t := &x.Times
	total = max(now-t.Start, 0)
	if t.Forward == 0 {
		return total, 0
	}
	from := t.Forward
	if t.Sent != 0 && x.Upstream.Tries == 1 && x.Upstream.Reused {
		from = t.Sent
	}
	to := t.Received
	if to == 0 {
		to = now
	}
	return total, min(max(to-from, 0), total)
}
