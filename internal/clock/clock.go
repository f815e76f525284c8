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

// Wall turns a reading of Now into the date it was taken at, as the system's clock saw it when the process started.
func Wall(now int64) time.Time { return base.Add(time.Duration(now)).Round(0) }

// dateLayout is IMF-fixdate; the zone is literal because the standard demands GMT.
const dateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"

type second struct {
	from int64 // the first reading of Now this text is right for
	text string
}

var current atomic.Pointer[second]

// Date returns the instant now as an IMF-fixdate (RFC 9110 §5.6.7), formatted once a second and shared by all callers.
func Date(now int64) string {
	s := current.Load()
	if s != nil && uint64(now-s.from) < uint64(time.Second) {
		return s.text
	}
	wall := Wall(now)
	whole := wall.Truncate(time.Second)
	s = &second{from: now - int64(wall.Sub(whole)), text: whole.UTC().Format(dateLayout)}
	current.Store(s)
	return s.text
}
