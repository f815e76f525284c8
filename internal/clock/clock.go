// Package clock tells the time to the data path, cheaply: monotonic nanoseconds for everything that measures or decides, and
// the formatted date of the current second for what is sent.
//
// It serves every step and belongs to none. It refuses to be a clock one can set: packages that decide take the time as an
// argument, and only the steps around them read it here.
package clock

import (
	"sync/atomic"
	"time"
)

// base is read once so that Now is one subtraction of monotonic readings. An hour of head start keeps every reading positive
// and far from zero, which means "never" in the structs that hold such times.
var base = time.Now().Add(-time.Hour)

// Now returns nanoseconds on a monotonic scale with an arbitrary origin. It is positive, never goes back, and means nothing
// outside this process.
func Now() int64 { return int64(time.Since(base)) }

// Wall turns a reading of Now into the date it was taken at. It asks the system's clock each time and counts back from there,
// so it follows clock steps and suspensions, which Now knows nothing of. It takes some 100 ns.
func Wall(now int64) time.Time { return system.wall(now) }

// Date returns the instant now as an IMF-fixdate (RFC 9110 §5.6.7): a text that is formatted once a second, after asking the
// system's clock, and shared by all callers. now is a reading just taken. One from up to a second before the text's own second
// gets that text too, so that callers whose readings crossed on their way do not take turns at formatting; hence no text is more
// than a second off, and none later than a second after the clock was set.
func Date(now int64) string { return system.date(now) }

// system is the clock of the box.
var system = calendar{read: func() (time.Time, int64) {
	wall := time.Now()
	return wall.Round(0), int64(wall.Sub(base))
}}

// calendar knows the date of monotonic readings.
type calendar struct {
	read    func() (wall time.Time, now int64) // both clocks at one instant
	current atomic.Pointer[second]
}

// second is a whole second of the wall clock. It is immutable.
type second struct {
	from int64 // the first reading of Now it holds
	text string
}

func (c *calendar) wall(now int64) time.Time {
	wall, at := c.read()
	return wall.Add(time.Duration(now - at))
}

func (c *calendar) date(now int64) string {
	s := c.current.Load()
	if s == nil || uint64(now-s.from+int64(time.Second)) >= 2*uint64(time.Second) {
		s = c.next(now)
	}
	return s.text
}

// dateLayout is IMF-fixdate; the zone is literal because the standard demands GMT.
const dateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"

// next makes the second that now lies in the current one. When several do so at once, each makes a right one and the last stays.
func (c *calendar) next(now int64) *second {
	wall := c.wall(now)
	whole := wall.Truncate(time.Second)
	s := &second{from: now - int64(wall.Sub(whole)), text: whole.UTC().Format(dateLayout)}
	c.current.Store(s)
	return s
}
