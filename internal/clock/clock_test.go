package clock

import (
	"sync"
	"testing"
	"time"
)

func TestNow(t *testing.T) {
	last := Now()
	if last < int64(time.Hour) {
		t.Errorf("now is %d, want it far from zero", last)
	}
	for range 1000 {
		now := Now()
		if now < last {
			t.Fatalf("time went back from %d to %d", last, now)
		}
		last = now
	}
}

// The system's clock, read before and after, has to be on either side of what Wall says.
func TestWallIsTheSystems(t *testing.T) {
	before := time.Now().Round(0)
	wall := Wall(Now())
	after := time.Now().Round(0)
	const slack = time.Millisecond // the two clocks are not read at one instant
	if wall.Before(before.Add(-slack)) || wall.After(after.Add(slack)) {
		t.Errorf("wall is %v, want it between %v and %v", wall, before, after)
	}
	if wall != wall.Round(0) {
		t.Error("wall carries a monotonic reading")
	}
}

// set is a calendar on clocks that stand still until they are set.
type set struct {
	calendar
	wallClock time.Time
	now       int64
	reads     int
}

func newSet(wall string) *set {
	at, err := time.Parse(time.RFC3339Nano, wall)
	if err != nil {
		panic(err)
	}
	s := &set{wallClock: at, now: int64(time.Hour)}
	s.read = func() (time.Time, int64) { s.reads++; return s.wallClock, s.now }
	return s
}

func (s *set) pass(d time.Duration) { s.wallClock, s.now = s.wallClock.Add(d), s.now+int64(d) }

func TestWallCountsBack(t *testing.T) {
	s := newSet("2026-01-01T00:00:00.5Z")
	for _, d := range []time.Duration{0, -time.Second, time.Minute, -time.Hour} {
		if got, want := s.wall(s.now+int64(d)), s.wallClock.Add(d); !got.Equal(want) {
			t.Errorf("%v from now: got %v, want %v", d, got, want)
		}
	}
	then := s.now
	s.wallClock = s.wallClock.Add(24 * time.Hour) // the clock is set
	if got := s.wall(then); !got.Equal(s.wallClock) {
		t.Errorf("after the clock was set: got %v, want %v", got, s.wallClock)
	}
}

func TestDate(t *testing.T) {
	s := newSet("2026-02-28T23:59:58.999999999Z")
	f := func(pass time.Duration, want string) {
		t.Helper()
		s.pass(pass)
		if got := s.date(s.now); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(0, "Sat, 28 Feb 2026 23:59:58 GMT")
	f(1, "Sat, 28 Feb 2026 23:59:59 GMT")
	f(time.Second-1, "Sat, 28 Feb 2026 23:59:59 GMT")
	f(1, "Sun, 01 Mar 2026 00:00:00 GMT")
	f(time.Hour+1, "Sun, 01 Mar 2026 01:00:00 GMT")
}

func TestDateIsGMT(t *testing.T) {
	s := newSet("2026-07-01T01:30:00+02:00")
	if got := s.date(s.now); got != "Tue, 30 Jun 2026 23:30:00 GMT" {
		t.Errorf("got %s", got)
	}
}

// The system's clock is asked once a second and not for each text.
func TestDateIsKept(t *testing.T) {
	s := newSet("2026-01-01T00:00:00Z")
	for range 10 {
		for range 100 {
			s.date(s.now)
			s.pass(10 * time.Millisecond)
		}
	}
	if s.reads != 10 {
		t.Errorf("the clock was asked %d times in 10 seconds", s.reads)
	}
}

// Readings that crossed on their way must not make callers take turns at formatting.
func TestDateOfCrossedReadings(t *testing.T) {
	s := newSet("2026-01-01T00:00:00Z")
	late := s.now - 1
	first := s.date(s.now)
	asked := s.reads
	for range 10 {
		if s.date(late) != first || s.date(s.now) != first {
			t.Fatal("the text changes to and fro")
		}
	}
	if s.reads != asked {
		t.Errorf("the clock was asked %d times more", s.reads-asked)
	}
	if got := s.date(late - int64(time.Second)); got != "Wed, 31 Dec 2025 23:59:58 GMT" {
		t.Errorf("a reading that is more than a second late gets %s", got)
	}
}

// When the clock is set, the date follows within a second.
func TestDateFollowsTheClock(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		s := newSet("2026-01-01T12:00:00.25Z")
		s.date(s.now)
		s.wallClock = s.wallClock.Add(step)
		s.pass(time.Second)
		if got, want := s.date(s.now), s.wallClock.Format(dateLayout); got != want {
			t.Errorf("set by %v: got %s, want %s", step, got, want)
		}
	}
}

func TestDateIsShared(t *testing.T) {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 1000 {
				before := time.Now().Add(-time.Second).UTC().Format(time.RFC3339)
				text := Date(Now())
				after := time.Now().Add(time.Second).UTC().Format(time.RFC3339)
				at, err := time.Parse(dateLayout, text)
				if got := at.Format(time.RFC3339); err != nil || got < before || got > after {
					t.Errorf("got %s between %s and %s, %v", text, before, after, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestReadingAllocatesNothing(t *testing.T) {
	now := Now()
	Date(now)
	if got := testing.AllocsPerRun(100, func() { Date(now); Now(); Wall(now) }); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
