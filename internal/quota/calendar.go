package quota

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	_ "time/tzdata" // 450 KB: a gateway in an empty container has no zones of its own; those of the system come first where it has
)

// Span is one day or month, and those beside it, in seconds since 1970: it is [Start, End), the one before it begins at Before, and the one
// after it ends at After.
type Span struct{ Before, Start, End, After int64 }

// Spans are those of each period at some time.
type Spans [periods]Span

// hold says whether now, in seconds since 1970, lies in all of them.
func (s *Spans) hold(now int64) bool {
	return s[Day].Start <= now && now < s[Day].End && s[Month].Start <= now && now < s[Month].End
}

// Calendar knows when days and months begin in a zone.
type Calendar struct {
	zone    *time.Location
	current atomic.Pointer[Spans] // of the last time that was asked about
}

// Zone finds a zone by its name in the IANA database, such as Europe/Oslo or UTC.
func Zone(name string) (*time.Location, error) {
	if name == "Local" || name == "" {
		return nil, errors.New("the zone of the box is not taken, since another box may have another; name one, such as Europe/Oslo or UTC")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("there is no zone %q; names of the IANA database are allowed, such as Europe/Oslo or UTC", name)
	}
	return zone, nil
}

// NewCalendar makes the calendar of a zone.
func NewCalendar(zone *time.Location) *Calendar { return &Calendar{zone: zone} }

// String is the name of its zone.
func (c *Calendar) String() string { return c.zone.String() }

// At gives the spans that now lies in. They are shared and do not change.
func (c *Calendar) At(now time.Time) *Spans {
	if s := c.current.Load(); s != nil && s.hold(now.Unix()) {
		return s
	}
	s := &Spans{}
	year, month, day := now.In(c.zone).Date()
	s[Day] = Span{c.midnight(year, month, day-1), c.midnight(year, month, day), c.midnight(year, month, day+1), c.midnight(year, month, day+2)}
	s[Month] = Span{c.midnight(year, month-1, 1), c.midnight(year, month, 1), c.midnight(year, month+1, 1), c.midnight(year, month+2, 1)}
	c.current.Store(s)
	return s
}

// midnight is the first instant of a date, or of the next one that there is where a date was left out. Months and days beyond their range
// count on, as with time.Date.
func (c *Calendar) midnight(year int, month time.Month, day int) int64 {
	year, month, day = time.Date(year, month, day, 12, 0, 0, 0, time.UTC).Date()
	want := date(year, month, day)
	t := time.Date(year, month, day, 0, 0, 0, 0, c.zone)
	from, to := t.ZoneBounds()
	switch {
	case date(t.Date()) < want: // the clocks skip midnight: the date begins where they go on
		return to.Unix()
	case t.Hour() != 0 || t.Minute() != 0 || t.Second() != 0 || date(t.Date()) > want: // as well, seen from behind
		return from.Unix()
	case !from.IsZero(): // midnight may come twice, when clocks go back over it: the first one counts
		_, before := from.Add(-1).Zone()
		_, after := t.Zone()
		first := t.Add(time.Duration(after-before) * time.Second)
		if before > after && first.Before(from) && date(first.Date()) == want {
			return first.Unix()
		}
	}
	return t.Unix()
}

// date is a number that grows with dates.
func date(year int, month time.Month, day int) int { return year*10000 + int(month)*100 + day }
