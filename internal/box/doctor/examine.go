package doctor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"straum.dev/straum/internal/box"
)

const (
	// atOnce is how many checks run at the same time. Most read a file or two; a few wait for a disk or for somebody else.
	atOnce = 8
	// grace is what a check gets beyond its time to say itself that the time was not enough.
	grace = 250 * time.Millisecond
)

// Examine runs the checks at the same time, bounded, each within ctx and at most limit; one that does not end is told as unknown. The
// findings are in the order of the checks. What a check that did not end still does goes on without being waited for.
func Examine(ctx context.Context, p *Patient, checks []Check, limit time.Duration) []box.Finding {
	found := make([][]box.Finding, len(checks))
	turns := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for i := range checks {
		turns <- struct{}{}
		wait.Add(1)
		go func() {
			defer wait.Done()
			found[i] = examine(ctx, p, &checks[i], limit)
			<-turns
		}()
	}
	wait.Wait()
	var all []box.Finding
	for i, f := range found {
		all = append(all, tidy(checks[i].ID, f)...)
	}
	return all
}

// examine has one check look, for as long as it may.
func examine(ctx context.Context, p *Patient, c *Check, limit time.Duration) []box.Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer := make(chan []box.Finding, 1)
	go runLook(ctx, p, c, answer)
	select {
	case found := <-answer:
		return found
	case <-ctx.Done():
	}
	last := time.NewTimer(grace)
	defer last.Stop()
	select {
	case found := <-answer:
		return found
	case <-last.C:
	}
	if context.Cause(ctx) == context.Canceled {
		return []box.Finding{unknown("not looked at to the end: it was interrupted", "", "")}
	}
	return []box.Finding{unknown(fmt.Sprintf("no answer within %s", short(limit)),
		"What this check waits for did not come: a disk, a resolver or an endpoint that hangs is the likeliest reason.", "straum doctor --only "+c.ID)}
}

// runLook ends when the check does, which may be long after anybody waits for it. A check that panics says so.
func runLook(ctx context.Context, p *Patient, c *Check, answer chan<- []box.Finding) {
	defer func() {
		if r := recover(); r != nil {
			what := cut(fmt.Sprint(r), 120)
			answer <- []box.Finding{unknown("the check itself failed: "+what, "This is a mistake in Straum, not one of the box.", "please report it, with the line above")}
		}
	}()
	answer <- c.Look(ctx, p)
}

// tidy fills in what checks may leave out.
func tidy(id string, found []box.Finding) []box.Finding {
	for i := range found {
		f := &found[i]
		f.ID = id
		if f.Severity == box.Good && f.Want == "" {
			f.Want = f.Is
		}
	}
	return found
}

// Remembering has checks that are costly keep what they found for as long as they say, by the patient's time. It is for looking again and
// again; the checks it returns are for one goroutine's examinations.
func Remembering(checks []Check) []Check {
	out := make([]Check, len(checks))
	for i, c := range checks {
		out[i] = c
		if c.Keeps <= 0 {
			continue
		}
		var mu sync.Mutex // a look that did not end in time may still be at it when the next begins
		var at time.Time
		var kept []box.Finding
		out[i].Look = func(ctx context.Context, p *Patient) []box.Finding {
			if !mu.TryLock() {
				return []box.Finding{unknown("the last look has not ended yet", "What this check waits for did not come.", "")}
			}
			defer mu.Unlock()
			if at.IsZero() || p.Now.Sub(at) >= c.Keeps || p.Now.Before(at) {
				kept, at = c.Look(ctx, p), p.Now
			}
			return append([]box.Finding(nil), kept...)
		}
	}
	return out
}

// Judgement is the most that any finding matters.
func Judgement(all []box.Finding) box.Severity {
	worst := box.Good
	for _, f := range all {
		worst = max(worst, f.Severity)
	}
	return worst
}

// cut shortens a text from elsewhere to one line of at most n bytes.
func cut(text string, n int) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "") + "..."
	}
	return text
}
