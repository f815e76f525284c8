package ban

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// visitor is somebody in the replayed traffic: how often it comes, and how often of a hundred thousand times something is wrong with it.
type visitor struct {
	name     string
	address  func(i int) string
	people   int
	every    time.Duration // between two requests of one of them, on average
	wrong    [Signals]int
	consumer string // of each who has one, by number
	bad      bool   // is to be banned
	from     time.Duration
}

// TestReplay replays forty minutes of two thousand good clients, with the slips that good clients make, and of scanners beside them, with the
// settings that are the default. Good ones are never banned, and scanners soon.
func TestReplay(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("one goroutine and millions of requests: nothing for the race detector")
	}
	const all = 100_000
	each := func(format string) func(int) string {
		return func(i int) string { return fmt.Sprintf(format, i/250, i%250) }
	}
	visitors := []visitor{
		{name: "programs with a key", address: each("10.1.%d.%d"), people: 500, every: 2 * time.Second, consumer: "program", wrong: [Signals]int{NotFound: 1000, Limited: 200}},
		{name: "phones", address: each("10.2.%d.%d"), people: 1000, every: 10 * time.Second, consumer: "person", wrong: [Signals]int{NotFound: 2000, AuthFailed: 300, Handshake: 500}},
		{name: "phones on IPv6", address: each("2001:db8:%d:%d::1"), people: 300, every: 10 * time.Second, consumer: "person6", wrong: [Signals]int{NotFound: 2000, AuthFailed: 300, Handshake: 500}},
		{name: "browsers without an icon", address: each("10.3.%d.%d"), people: 150, every: 15 * time.Second, wrong: [Signals]int{NotFound: 30_000}},
		{name: "a poller of what is not there yet", address: each("10.4.%d.%d"), people: 20, every: 8 * time.Second, wrong: [Signals]int{NotFound: all}},
		{name: "people who mistype a password", address: each("10.5.%d.%d"), people: 30, every: 2 * time.Minute, wrong: [Signals]int{AuthFailed: 50_000}},
		{name: "an office behind one address", address: func(int) string { return "10.6.0.1" }, people: 60, every: 5 * time.Second, consumer: "clerk", wrong: [Signals]int{NotFound: 3000, AuthFailed: 2000}},
		{name: "a scanner in that office", address: func(int) string { return "10.6.0.1" }, people: 1, every: 100 * time.Millisecond, wrong: [Signals]int{NotFound: all}, from: 10 * time.Minute},

		{name: "path scanners", address: each("198.51.%d.%d"), people: 20, every: 50 * time.Millisecond, wrong: [Signals]int{NotFound: 97_000}, bad: true, from: 5 * time.Minute},
		{name: "slow path scanners", address: each("198.52.%d.%d"), people: 10, every: 2 * time.Second, wrong: [Signals]int{NotFound: 97_000}, bad: true, from: 5 * time.Minute},
		{name: "guessers of passwords", address: each("198.53.%d.%d"), people: 20, every: time.Second, wrong: [Signals]int{AuthFailed: 99_000}, bad: true, from: 5 * time.Minute},
		{name: "patient guessers", address: each("198.54.%d.%d"), people: 20, every: 20 * time.Second, wrong: [Signals]int{AuthFailed: 99_000}, bad: true, from: 5 * time.Minute},
		{name: "smugglers", address: each("198.55.%d.%d"), people: 10, every: 500 * time.Millisecond, wrong: [Signals]int{Malformed: 80_000}, bad: true, from: 5 * time.Minute},
		{name: "attackers", address: each("198.56.%d.%d"), people: 10, every: time.Second, wrong: [Signals]int{Suspect: 70_000, NotFound: 20_000}, bad: true, from: 5 * time.Minute},
		{name: "breakers of handshakes", address: each("198.57.%d.%d"), people: 10, every: 200 * time.Millisecond, wrong: [Signals]int{Handshake: all}, bad: true, from: 5 * time.Minute},
		{name: "those who ignore limits", address: each("198.58.%d.%d"), people: 10, every: 100 * time.Millisecond, wrong: [Signals]int{Limited: 90_000}, bad: true, from: 5 * time.Minute},
		{name: "one with a /48 who takes a new /64 each time", address: func(i int) string { return fmt.Sprintf("2001:db9:1:%x::1", i) }, people: 300, every: 500 * time.Millisecond, wrong: [Signals]int{NotFound: all}, bad: true, from: 5 * time.Minute},
	}
	const length = 40 * time.Minute
	r := rand.New(rand.NewPCG(7, 11))
	type request struct {
		at        time.Duration
		who, part int
		signal    int
	}
	var traffic []request
	for who, v := range visitors {
		for part := range v.people {
			for at := v.from + time.Duration(r.Float64()*float64(v.every)); at < length; at += time.Duration(-math.Log(1-r.Float64()) * float64(v.every)) {
				signal, dice := -1, r.IntN(all)
				for s, share := range v.wrong {
					if dice -= share; dice < 0 {
						signal = s
						break
					}
				}
				traffic = append(traffic, request{at, who, part, signal})
			}
		}
	}
	slices.SortStableFunc(traffic, func(a, b request) int { return cmp.Compare(a.at, b.at) })
	s := newScene(t, nil)
	type outcome struct {
		requests, refused, passed int
		banned                    map[int]time.Duration // since it began
		done                      map[int]int           // requests of each before
	}
	outcomes := make([]outcome, len(visitors))
	for i := range outcomes {
		outcomes[i].banned, outcomes[i].done = map[int]time.Duration{}, map[int]int{}
	}
	for i, q := range traffic {
		v, o := &visitors[q.who], &outcomes[q.who]
		if s.at = q.at; i%1000 == 0 {
			s.chores()
		}
		a := addr(v.address(q.part))
		o.requests++
		if s.Refuses(a) {
			if o.refused++; o.banned[q.part] == 0 {
				o.banned[q.part] = q.at - v.from
			}
			continue
		}
		o.passed++
		if o.banned[q.part] == 0 {
			o.done[q.part]++
		}
		now := int64(time.Hour + q.at)
		switch {
		case q.signal >= 0:
			s.Strike(a, Signal(q.signal), now)
		case v.consumer != "":
			s.Good(a, fmt.Sprint(v.consumer, q.part), now)
		}
	}
	falsely, escaped := 0, 0
	for i, v := range visitors {
		o := &outcomes[i]
		if !v.bad {
			falsely += len(o.banned)
			t.Logf("%-45s %4d, %6d requests: %d banned", v.name, v.people, o.requests, len(o.banned))
			continue
		}
		var times []time.Duration
		most := 0
		for part := range o.banned {
			times = append(times, o.banned[part])
			most = max(most, o.done[part])
		}
		slices.Sort(times)
		escaped += v.people - len(times)
		t.Logf("%-45s %4d, %6d requests: %d banned, half of them within %v, all within %v and %d requests; %.1f %% of requests refused", v.name, v.people, o.requests,
			len(times), times[len(times)/2].Round(100*time.Millisecond), times[len(times)-1].Round(100*time.Millisecond), most, 100*float64(o.refused)/float64(o.requests))
	}
	f := s.Figures()
	t.Logf("%d requests, %d falsely banned, %d not banned, %d networks widened, %d spared", len(traffic), falsely, escaped, f.Widened, f.Spared)
	if falsely != 0 || escaped != 0 || f.Spared == 0 || f.Widened == 0 {
		t.Error("good ones are banned, or bad ones are not")
	}
}
