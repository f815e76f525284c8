package quota

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// What days and months are where clocks are set, and where they are not.
func TestCalendar(t *testing.T) {
	for _, c := range []struct{ zone, now, before, day, next, month, nextMonth string }{
		{"UTC", "2026-11-22T03:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"UTC", "2026-12-31T23:59:59Z", "2026-12-30T00:00:00Z", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"UTC", "2027-01-01T00:00:00Z", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z", "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"},
		{"UTC", "2028-02-29T12:00:00Z", "2028-02-28T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{"UTC", "2027-03-31T12:00:00Z", "2027-03-30T00:00:00Z", "2027-03-31T00:00:00Z", "2027-04-01T00:00:00Z", "2027-03-01T00:00:00Z", "2027-04-01T00:00:00Z"},
		// 23 hours, and 25.
		{"Europe/Oslo", "2026-03-29T10:00:00+02:00", "2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"},
		{"Europe/Oslo", "2026-10-25T02:30:00+02:00", "2026-10-23T22:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"},
		{"Europe/Oslo", "2026-10-25T02:30:00+01:00", "2026-10-23T22:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"},
		// The clocks skip midnight: the day begins at one.
		{"Africa/Cairo", "2026-04-24T12:00:00+03:00", "2026-04-22T22:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z", "2026-03-31T22:00:00Z", "2026-04-30T21:00:00Z"},
		// They go back from one to midnight: the first midnight counts.
		{"America/Havana", "2026-11-01T12:00:00-05:00", "2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"},
		// They go back from midnight to eleven: midnight comes once.
		{"America/Sao_Paulo", "2018-02-17T12:00:00-02:00", "2018-02-16T02:00:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z", "2018-02-01T02:00:00Z", "2018-03-01T03:00:00Z"},
		// A day was left out.
		{"Pacific/Apia", "2011-12-29T12:00:00-10:00", "2011-12-28T10:00:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-01T10:00:00Z", "2011-12-31T10:00:00Z"},
		{"Asia/Kathmandu", "2026-06-15T00:00:00+05:45", "2026-06-13T18:15:00Z", "2026-06-14T18:15:00Z", "2026-06-15T18:15:00Z", "2026-05-31T18:15:00Z", "2026-06-30T18:15:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		s := NewCalendar(zone(t, c.zone)).At(now)
		text := func(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
		got := []string{text(s[Day].Before), text(s[Day].Start), text(s[Day].End), text(s[Month].Start), text(s[Month].End)}
		if want := []string{c.before, c.day, c.next, c.month, c.nextMonth}; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s %s:\n%v, want\n%v", c.zone, c.now, got, want)
		}
	}
}

// Spans follow one another without gaps, hold what they are asked about, and begin where the date changes.
func TestSpans(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"UTC", "Europe/Oslo", "America/New_York", "America/Havana", "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "Asia/Tehran",
		"Pacific/Apia", "Australia/Lord_Howe", "Atlantic/Azores", "America/Asuncion", "Antarctica/Troll", "Asia/Gaza", "Africa/Casablanca"} {
		z := zone(t, name)
		c := NewCalendar(z)
		for range 3000 {
			now := time.Unix(random.Int64N(120*365*86400), 0)
			s := *NewCalendar(z).At(now)
			if kept := *c.At(now); kept != s {
				t.Fatalf("%s %s: %v, and %v once others were asked about", name, now.In(z), s, kept)
			}
			for p, span := range s {
				if !(span.Before < span.Start && span.Start <= now.Unix() && now.Unix() < span.End && span.End <= span.After) {
					t.Fatalf("%s %s: %v", name, now.In(z), span)
				}
				number := func(at int64) int {
					y, m, d := time.Unix(at, 0).In(z).Date()
					if Period(p) == Month {
						d = 0
					}
					return date(y, m, d)
				}
				if number(span.Start) != number(now.Unix()) || number(span.End-1) != number(now.Unix()) || number(span.Start-1) == number(span.Start) || number(span.End) == number(span.Start) {
					t.Fatalf("%s %s: the %s is from %s to %s", name, now.In(z), Period(p), time.Unix(span.Start, 0).In(z), time.Unix(span.End, 0).In(z))
				}
				next := *NewCalendar(z).At(time.Unix(span.End, 0))
				before := *NewCalendar(z).At(time.Unix(span.Start-1, 0))
				if next[p].Start != span.End || next[p].End < span.After || next[p].Before > span.Start || before[p].End != span.Start {
					t.Fatalf("%s %s: %v, after it %v, before it %v", name, now.In(z), span, next[p], before[p])
				}
			}
		}
	}
}

func TestZone(t *testing.T) {
	for name, want := range map[string]string{"": "the zone of the box", "Local": "the zone of the box", "Europe/Olso": "no zone", "../etc/passwd": "no zone", "/etc/localtime": "no zone"} {
		if _, err := Zone(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	t.Setenv("ZONEINFO", "/nowhere")
	zone(t, "Europe/Oslo")
}

func TestCalendarAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c, now := NewCalendar(zone(t, "Europe/Oslo")), time.Unix(1_800_000_000, 0)
	if n := testing.AllocsPerRun(100, func() { c.At(now) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
