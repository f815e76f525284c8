package capacity

import (
	"fmt"
	"time"
)

// Past is what the gateway had to carry lately.
type Past struct {
	Busiest float64       `json:"busiest"` // requests a second, at the busiest
	Over    time.Duration `json:"over"`    // the stretch that the busiest is a mean of
	Since   time.Time     `json:"since"`   // when the history begins
	Until   time.Time     `json:"until"`
	From    string        `json:"from"` // where it is from, in words
}

// day is how much of a history counts as a day: a gateway that was restarted this morning has none.
const day = 24 * time.Hour

// Headroom is how many times the busiest of the past the capacity is; 0 when nothing is known of it.
func (v *Verdict) Headroom(p *Past) float64 {
	if p == nil || p.Busiest <= 0 || v.Capacity <= 0 {
		return 0
	}
	return v.Capacity / p.Busiest
}

// HeadroomText says it, with how long a past it is of.
func (v *Verdict) HeadroomText(p *Past) string {
	switch {
	case v.Capacity <= 0:
		return ""
	case p == nil:
		return "headroom is not known: there is no history of requests; run it against a gateway that serves, or name its access log with --log"
	case p.Busiest <= 0:
		return "headroom is not known: there were no requests since " + stamp(p.Since)
	}
	of := "your last day"
	if p.Since.IsZero() {
		of = "what the log holds"
	} else if length := p.Until.Sub(p.Since); length < day-10*time.Minute {
		of = fmt.Sprintf("the last %s (no more is known)", age(length))
	}
	return fmt.Sprintf("headroom over %s: %s× its busiest %s (%s/s, from %s)", of, number(v.Headroom(p)), age(p.Over), number(p.Busiest), p.From)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// age writes a long time in its largest unit.
func age(d time.Duration) string {
	switch {
	case d <= time.Second:
		return "second"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f seconds", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	}
	return fmt.Sprintf("%.0f hours", d.Hours())
}
