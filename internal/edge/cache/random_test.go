package cache

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"straum.dev/straum/internal/edge/fault"
)

// made is one answer that the endpoint gave.
type made struct {
	path, kind  string
	at          int64 // when it was asked for
	control     string
	life, stale time.Duration // fresh, and stale while it is renewed or in an error
	shared      bool
}

// Whatever is asked, in whatever order: nobody is answered for another URL or variant, with what is too old, with what was asked for before a purge
// or an unsafe method, or with what is not for all. The oracle knows nothing of keys, stores and lists; it knows when each answer was made and what
// it said.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, func(t *Terms) { t.Variants = 3; t.Early = 0.1 })
		defer w.cache.Close()
		var answers []made
		useless := map[string]int64{} // what was asked for then or before
		down := false
		controls := []made{
			{control: "max-age=10", life: 10 * time.Second, shared: true},
			{control: "max-age=10, stale-while-revalidate=5", life: 10 * time.Second, stale: 5 * time.Second, shared: true},
			{control: "max-age=5, stale-if-error=20", life: 5 * time.Second, stale: 20 * time.Second, shared: true},
			{control: "max-age=5, must-revalidate", life: 5 * time.Second, shared: true},
			{control: "s-maxage=3, max-age=100, stale-while-revalidate=50", life: 3 * time.Second, shared: true},
			{control: "no-cache, max-age=10"},
			{control: "private, max-age=10"},
			{control: "no-store"},
		}
		how := map[string]int{}
		w.endpoint = func(q *asked) *reply {
			if down {
				return &reply{fault: fault.New(fault.ConnectFailed, nil)}
			}
			if q.method == "POST" {
				return &reply{status: 200, body: "done"}
			}
			m := controls[how[q.path]]
			m.path, m.at = q.path, w.clock.Load()
			fields := "Cache-Control: " + m.control
			if q.path != "/plain" {
				m.kind = q.get("X-Kind")
				fields += "\nVary: X-Kind"
			}
			tag := strconv.Itoa(len(answers))
			if last := q.get("If-None-Match"); last != "" && len(last)%2 == 0 { // some are still right
				i, err := strconv.Atoi(strings.Trim(last, `"`))
				if err == nil && answers[i].path == q.path && answers[i].kind == m.kind {
					m.kind = answers[i].kind
					answers[i] = m
					return &reply{status: 304, fields: fields + "\nETag: " + last}
				}
			}
			answers = append(answers, m)
			return &reply{status: 200, fields: fields + "\nETag: \"" + tag + "\"", body: tag}
		}
		paths := []string{"/plain", "/a", "/b"}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			path := rapid.SampledFrom(paths).Draw(rt, "path")
			switch rapid.IntRange(0, 11).Draw(rt, "what") {
			case 0:
				w.ask("POST " + path + "\n\nx")
				if !down {
					useless[path] = w.clock.Load()
				}
				w.pass(1)
			case 1:
				if _, err := w.cache.Purge(Purge{URL: "http://a.test" + path}); err != nil {
					rt.Fatal(err)
				}
				useless[path] = w.clock.Load()
				w.pass(1)
			case 2:
				how[path] = rapid.IntRange(0, len(controls)-1).Draw(rt, "control")
			case 3:
				down = !down
			case 4, 5:
				w.pass(time.Duration(rapid.IntRange(1, 12000).Draw(rt, "time")) * time.Millisecond)
			default:
				kind := rapid.SampledFrom([]string{"x", "y", "z", "u", "v"}).Draw(rt, "kind")
				more := rapid.SampledFrom([]string{"", "", "", "\nCache-Control: no-cache", "\nCache-Control: max-age=2", "\nCache-Control: max-stale=4", "\nCache-Control: no-store", "\nRange: bytes=0-"}).Draw(rt, "more")
				before, now := w.count(), w.clock.Load()
				g := w.ask("GET " + path + "\nX-Kind: " + kind + more)
				asked := w.count() > before && !down
				w.settle()
				if g.fault != nil {
					if !down {
						rt.Fatalf("a fault though the endpoint is up: %v", g.fault)
					}
					continue
				}
				i, err := strconv.Atoi(g.body)
				if err != nil {
					rt.Fatalf("got %d %q", g.status, g.body)
				}
				m := answers[i]
				if m.path != path || m.path != "/plain" && m.kind != kind {
					rt.Fatalf("asked for %s %s and got that of %s %s", path, kind, m.path, m.kind)
				}
				if m.at == now {
					continue // made, or confirmed, just now
				}
				age := time.Duration(now - m.at)
				most := m.life + m.stale
				if strings.Contains(more, "max-stale") && !strings.Contains(m.control, "must-revalidate") && !strings.Contains(m.control, "s-maxage") {
					most = max(most, m.life+4*time.Second)
				}
				said := fmt.Sprintf("%s%s: %q made %v ago as %s, asked %v, %s", path, more, g.body, age, m.control, asked, g.cached.Outcome)
				switch {
				case age > most:
					rt.Fatalf("too old: %s", said)
				case !m.shared:
					rt.Fatalf("not for others: %s", said)
				case m.at <= useless[path] && useless[path] != 0:
					rt.Fatalf("useless since: %s", said)
				case strings.Contains(more, "no-cache"):
					rt.Fatalf("not validated: %s", said)
				case strings.Contains(more, "max-age=2") && age > 2*time.Second && !down:
					rt.Fatalf("older than asked for: %s", said)
				}
			}
		}
	})
}
