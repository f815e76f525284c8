package load

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readSize = 64 << 10
	// mostOpening is how many connections of one loop are in the making at a time: more would overflow the queue of a peer that listens
	// with a common backlog, and each of them wait a second for its next try.
	mostOpening = 512
	mostLeavers = 1024
	patience    = time.Second           // with peers that are to close
	pause       = 10 * time.Millisecond // after a connection could not be opened: of a closed loop, and when no request was due
	// mostHeld is how often a closed loop of HTTP/2 looks for more answers before it writes the requests that the last ones made room for.
	// Writing few at a time makes the peer answer few at a time, and both pay for it.
	mostHeld = 2
)

// worker is a loop with connections of its own. All it has is its own while it runs, but for what is said to be guarded.
type worker struct {
	plan     *Plan
	messages []message
	to       unix.Sockaddr
	clock    func() int64 // nanoseconds since the beginning of the run, above 0
	ahead    int64        // window of HTTP/2 that peers get
	timeout  int64
	most     int // connections
	poller   *poller
	tally    *tally
	choice   *choice

	now      int64
	counting bool // now is in the counted time
	buffer   []byte
	known    known

	// An open loop's arrivals: all before arrival are taken.
	schedule schedule
	arrival  uint64
	freed    int64 // since when a connection has been free, if one is

	quota   uint64 // counted requests that may still be taken
	sending bool   // requests are still taken

	conns           []*conn // by tag
	tags, freedTags []int   // unused ones; freedTags only after the events at hand, which may be of those that had them
	free            []*conn
	dirty           []*conn
	held            int // how often in turn the dirty ones were not written
	live            int // connections that open or are open
	openingNow      int
	shakingNow      int
	leaversNow      int
	paused          int64 // no connection is opened before
	opening         line
	leavers         line
	underWay        line
	resend          []*job // to be sent again
	jobs            []*job // of HTTP/2, to be used again

	asked     atomic.Bool   // hand over what has gathered
	handed    chan struct{} // told when that is done
	cancelled atomic.Bool
	hold      atomic.Int32 // how long the loop may keep its processor while it waits, in milliseconds

	inboxGuard  sync.Mutex
	inbox       []shaken // guarded
	outboxGuard sync.Mutex
	outbox      []*slice // guarded
}

// run is the loop. It ends when all requests have, or when it is cancelled.
func (w *worker) run() {
	w.sending = true
	var events []event
	for {
		w.now = w.clock()
		w.counting = w.tally.counts(w.now)
		w.tags, w.freedTags = append(w.tags, w.freedTags...), w.freedTags[:0]
		if w.asked.CompareAndSwap(true, false) {
			w.handOver()
			select {
			case w.handed <- struct{}{}:
			default: // it has been told as often as there are loops
			}
		}
		if w.cancelled.Load() {
			break
		}
		w.receive()
		w.expire()
		w.dispatch()
		w.openMore()
		if !w.sending && w.underWay.first == nil {
			break
		}
		events = w.await(events[:0])
		w.now = w.clock()
		for _, e := range events {
			if c := w.conns[e.tag]; c != nil {
				w.happened(c, e)
				if w.dispatch(); !w.plan.HTTP2 {
					w.flushAll()
				}
			}
		}
	}
	w.end()
}

// await writes what has gathered and waits for what happens next.
func (w *worker) await(events []event) []event {
	if w.held < mostHeld && len(w.dirty) > 0 && w.plan.HTTP2 && w.plan.Rate == 0 {
		w.held++
		if events = w.poller.wait(w.now, w.now, 0, events); len(events) > 0 {
			return events
		}
	}
	w.held = 0
	w.flushAll()
	hold := 0
	if w.shakingNow == 0 { // handshakes want processors
		hold = int(w.hold.Load())
	}
	return w.poller.wait(w.now, w.nextMoment(), hold, events)
}

// receive takes the connections whose handshakes have ended.
func (w *worker) receive() {
	if w.shakingNow == 0 {
		return
	}
	w.inboxGuard.Lock()
	inbox := w.inbox
	w.inbox = nil
	w.inboxGuard.Unlock()
	for _, s := range inbox {
		w.shook(s)
	}
}

// expire ends what has waited long enough.
func (w *worker) expire() {
	for first := w.underWay.first; first != nil && first.until <= w.now; first = w.underWay.first {
		w.timeOut(first.job)
	}
	for first := w.opening.first; first != nil && first.until <= w.now; first = w.opening.first {
		c := first.conn
		c.expired = true
		if c.state == shaking {
			c.waiting.leave()
			c.wire.stop.Store(true)
			c.wire.ring()
			continue
		}
		w.fell(c, nil)
	}
	for first := w.leavers.first; first != nil && first.until <= w.now; first = w.leavers.first {
		w.abort(first.conn)
	}
}

// timeOut gives a request up.
func (w *worker) timeOut(j *job) {
	c := j.conn
	w.fail(j, timedOut)
	switch {
	case c == nil:
		w.resend = slices.DeleteFunc(w.resend, func(other *job) bool { return other == j })
	case c.session != nil:
		if c.session.cancel(j); len(c.session.out) > tooMuch {
			w.drop(c, timedOut) // it has not read for long
			return
		}
		w.settle(c)
	default:
		w.close(c)
	}
}

// dispatch gives requests that are due to connections that are free.
func (w *worker) dispatch() {
	for w.sending || len(w.resend) > 0 {
		if len(w.resend) > 0 {
			if len(w.free) == 0 {
				break
			}
			j := w.resend[0]
			w.resend = w.resend[1:]
			w.put(w.nextFree(), j)
			continue
		}
		due, ok := w.nextDue()
		if !ok || due > w.now {
			break
		}
		if w.plan.Rate > 0 && w.now-due >= w.timeout {
			w.tally.late++
			w.unsendable(due, timedOut)
			w.arrival++
			continue
		}
		if len(w.free) == 0 {
			break
		}
		c := w.nextFree()
		if w.plan.Rate > 0 {
			w.arrival++
			if lag := w.now - max(due, w.freed); w.tally.counts(due) {
				_ = w.tally.lag.RecordValue(micros(lag))
			}
		} else if w.plan.NoKeepAlive {
			due = c.begun // the connection is for this request alone
		}
		w.put(c, w.newJob(c, due))
	}
}

// flushAll writes what has gathered.
func (w *worker) flushAll() {
	for i := 0; i < len(w.dirty); i++ {
		c := w.dirty[i]
		c.dirty = false
		w.flush(c)
	}
	w.dirty = w.dirty[:0]
}

// nextDue is when the next request is due: of a closed loop, now. ok is false when there are no more.
func (w *worker) nextDue() (due int64, ok bool) {
	due = w.now
	if w.plan.Rate > 0 {
		due = w.schedule.due(w.arrival)
	}
	if due >= w.tally.end || w.quota == 0 {
		w.sending = false
	}
	return due, w.sending
}

// take counts a request that was due then.
func (w *worker) take(due int64) (counted bool) {
	if counted = w.tally.counts(due); counted {
		w.tally.due++
		w.quota--
	}
	return counted
}

// unsendable is a request that was due and is not sent.
func (w *worker) unsendable(due int64, why int) {
	counted := w.take(due)
	w.tally.fail(counted, w.messages[w.choice.next()].kind, why, w.now)
}

func (w *worker) newJob(c *conn, due int64) *job {
	j := &c.job
	if c.session != nil {
		if n := len(w.jobs); n > 0 {
			j, w.jobs = w.jobs[n-1], w.jobs[:n-1]
		} else {
			j = new(job)
		}
		*j = job{}
		j.waiting.job = j
	}
	j.message, j.due, j.counted = w.choice.next(), due, w.take(due)
	w.underWay.join(&j.waiting, due+w.timeout)
	return j
}

// put sends a request on a connection.
func (w *worker) put(c *conn, j *job) {
	j.conn, j.sent = c, w.now
	m := &w.messages[j.message]
	if c.session != nil {
		j.received = 0
		c.session.send(j, m, j.message)
		w.release(c)
	} else {
		c.busy = true
		c.answer.begin(m.head)
		c.out = m.text
	}
	w.touch(c)
}

// nextFree is the connection that the next request is sent on. Of HTTP/1.1 it is the one that was busy last, of HTTP/2 each in turn.
func (w *worker) nextFree() *conn {
	var c *conn
	if w.plan.HTTP2 {
		c = w.free[0]
		copy(w.free, w.free[1:])
	} else {
		c = w.free[len(w.free)-1]
	}
	w.free = w.free[:len(w.free)-1]
	c.free = false
	return c
}

// release makes a connection one that requests can be sent on, if it can take one.
func (w *worker) release(c *conn) {
	if c.free || c.state != open || c.busy || c.session != nil && (!c.session.free() || w.plan.NoKeepAlive && c.session.next > 1) {
		return
	}
	if len(w.free) == 0 {
		w.freed = w.now
	}
	c.free = true
	w.free = append(w.free, c)
}

// unfree takes a connection out of the list.
func (w *worker) unfree(c *conn) {
	c.free = false
	w.free = slices.DeleteFunc(w.free, func(other *conn) bool { return other == c })
}

// finish counts an answer.
func (w *worker) finish(j *job, status int) {
	j.waiting.leave()
	j.conn.busy = false
	w.tally.answered(j.counted, w.messages[j.message].kind, status, j.due, j.sent, w.now)
}

// fail counts a request without an answer.
func (w *worker) fail(j *job, why int) {
	j.waiting.leave()
	if j.conn != nil {
		j.conn.busy = false
	}
	w.tally.fail(j.counted, w.messages[j.message].kind, why, w.now)
}

func (w *worker) finishStream(j *job, status int) {
	w.finish(j, status)
	w.jobs = append(w.jobs, j)
}

func (w *worker) failStream(j *job, why int) {
	w.fail(j, why) // its session may still refer to it: it is not used again
}

// sendAgain is for a request that the peer says it has not looked at (RFC 9113 §8.7): sending it is the first try for whoever is asked.
func (w *worker) sendAgain(j *job) {
	if j.again {
		w.failStream(j, broken)
		return
	}
	j.again, j.conn = true, nil
	w.resend = append(w.resend, j)
}

// neverOpened counts a connection that could not be opened as a request that was not answered: in an open loop the one that waits longest.
func (w *worker) neverOpened(why int, begun int64) {
	if len(w.resend) > 0 {
		j := w.resend[0]
		w.resend = w.resend[1:]
		w.fail(j, why)
		return
	}
	if !w.sending {
		return
	}
	if w.plan.Rate == 0 {
		w.paused = w.now + int64(pause)
		if w.quota > 0 {
			w.unsendable(begun, why)
		}
		return
	}
	due, ok := w.nextDue()
	switch {
	case !ok:
	case due > w.now: // one that was opened ahead of need
		w.paused = w.now + int64(pause)
	case why != timedOut:
		w.arrival++
		w.unsendable(due, why)
	}
}

// openMore opens the connections that are wanted.
func (w *worker) openMore() {
	for w.wantsMore() {
		if _, err := w.begin(); err != nil {
			w.neverOpened(refused, w.now)
		}
	}
	w.dispatch() // some are there at once
}

// wantsMore tells whether one more connection is to be opened now.
func (w *worker) wantsMore() bool {
	if w.live >= w.most || w.openingNow >= mostOpening || w.paused > w.now {
		return false
	}
	if len(w.resend) > w.openingNow {
		return true
	}
	if !w.sending {
		return false
	}
	if w.plan.Rate == 0 || w.plan.HTTP2 && !w.plan.NoKeepAlive {
		return true
	}
	// As many as there are requests that wait for one.
	return len(w.free) == 0 && w.schedule.due(w.arrival+uint64(w.openingNow)) <= w.now
}

// nextMoment is when there is something to do although nothing happens.
func (w *worker) nextMoment() int64 {
	if w.wantsMore() {
		return w.now // some were lost while the others were opened
	}
	next := w.now + int64(time.Second)
	for _, l := range []*line{&w.underWay, &w.opening, &w.leavers} {
		if l.first != nil {
			next = min(next, l.first.until)
		}
	}
	if !w.sending {
		return next
	}
	if w.plan.Rate == 0 {
		if next = min(next, w.tally.end); w.paused > w.now {
			next = min(next, w.paused)
		}
		return next
	}
	switch due := w.schedule.due(w.arrival); {
	case len(w.free) > 0:
		next = min(next, due)
	case w.paused > w.now:
		next = min(next, due+w.timeout, w.paused)
	case w.live < w.most && w.openingNow < mostOpening: // one more may be needed
		next = min(next, due+w.timeout, max(due, w.schedule.due(w.arrival+uint64(w.openingNow))))
	default:
		next = min(next, due+w.timeout)
	}
	return max(next, 1) // 0 is never
}

// handOver gives what has gathered to whoever shows it.
func (w *worker) handOver() {
	w.tally.roll(w.now)
	given := w.tally.hand()
	w.outboxGuard.Lock()
	w.outbox = append(w.outbox, given...)
	w.outboxGuard.Unlock()
}

// collect is the other end of handOver.
func (w *worker) collect() []*slice {
	w.outboxGuard.Lock()
	defer w.outboxGuard.Unlock()
	given := w.outbox
	w.outbox = nil
	return given
}

// end closes everything. Requests that are still under way were cancelled, and are not counted.
func (w *worker) end() {
	for first := w.underWay.first; first != nil; first = w.underWay.first {
		if first.job.counted {
			w.tally.due--
		}
		first.leave()
	}
	for _, c := range w.conns {
		switch {
		case c == nil:
		case c.state == shaking:
			c.wire.stop.Store(true)
			c.wire.ring()
		default:
			w.close(c)
		}
	}
	w.sending, w.resend = false, nil
	for w.shakingNow > 0 { // until each has handed its connection back
		w.receive()
		if w.shakingNow > 0 {
			w.poller.wait(w.now, 0, 0, nil)
		}
	}
	for _, c := range w.conns {
		if c != nil {
			w.close(c)
		}
	}
	w.handOver()
}
