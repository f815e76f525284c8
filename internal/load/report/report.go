// Package report tells what came of a run of load: as text, as JSON, and as a page with pictures.
//
// It serves no step of a request. It refuses to print a mean without the percentiles, and to keep quiet about a rate that was not reached.
// Nothing of a request but its name, method and target is told: fields and bodies may hold secrets. Names are told as plain text, whatever
// log they come from.
//
// In reading order: report.go (what is told), figures.go (numbers in words), judge.go (what has to be said about them), text.go, json.go and
// page.go.
package report

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"straum.dev/straum/internal/load"
)

// Report is one or more runs against one target.
type Report struct {
	Target     string // the URL, without a password
	To         string // where it was connected to, when that is elsewhere
	Runs       []Run  // in the order they were made
	Notes      []string
	Processors int    // of this box, which the generator shares
	Version    string // of the program
}

// Run is one run.
type Run struct {
	Plan   *load.Plan
	Result *load.Result
	Cut    bool // it was ended before its time
}

// Rate is how many requests were answered a second. What came of a queue after the counted time, when nothing more was asked, is no part of it.
func (r *Run) Rate() float64 {
	if r.backlog() > 0 {
		return per(r.Result.Answered, r.Result.Elapsed)
	}
	return per(r.Result.Done, r.Result.Elapsed)
}

// backlog is how many answers of an open loop came after the counted time because their requests had queued; 0 when they are no more than what
// is always under way at the end: two in a hundred, and those that the shortest answer takes.
func (r *Run) backlog() uint64 {
	x := r.Result
	if !r.open() || x.Done <= x.Answered {
		return 0
	}
	usual := 1 + 0.02*float64(x.Done)
	if x.Service != nil && x.Service.TotalCount() > 0 {
		usual += r.Plan.Rate * float64(x.Service.Min()) / 1e6
	}
	if late := x.Done - x.Answered; float64(late) > usual {
		return late
	}
	return 0
}

// Unanswered is how many requests got no whole answer.
func (r *Run) Unanswered() (n uint64) {
	for _, count := range r.Result.Errors {
		n += count
	}
	return n
}

// Faulty is how many requests got no whole answer, or one with a status of 500 and above.
func (r *Run) Faulty() uint64 {
	n := r.Unanswered()
	for status, count := range r.Result.Statuses {
		if status >= 500 {
			n += count
		}
	}
	return n
}

// FaultyShare is Faulty as a part of all, 0 to 1; 1 when there was nothing.
func (r *Run) FaultyShare() float64 {
	all := r.Result.Done + r.Unanswered()
	if all == 0 {
		return 1
	}
	return float64(r.Faulty()) / float64(all)
}

// Latency is the time that so many percent of the answers took at most, from when their requests were due. It is false when there are too
// few answers to tell it from the longest.
func (r *Run) Latency(percent float64) (time.Duration, bool) {
	return at(r.Result.Latency, percent)
}

// open says whether it was an open loop.
func (r *Run) open() bool { return r.Plan.Rate > 0 }

// at reads a histogram of microseconds. At least one value must lie above, or the percentile is the maximum by another name.
func at(h *hdrhistogram.Histogram, percent float64) (time.Duration, bool) {
	if h == nil || float64(h.TotalCount())*(1-percent/100) < 1-1e-9 {
		return 0, false
	}
	return time.Duration(h.ValueAtPercentile(percent)) * time.Microsecond, true
}

// longest is the greatest value.
func longest(h *hdrhistogram.Histogram) (time.Duration, bool) {
	if h == nil || h.TotalCount() == 0 {
		return 0, false
	}
	return time.Duration(h.Max()) * time.Microsecond, true
}

func per(n uint64, in time.Duration) float64 {
	if in <= 0 {
		return 0
	}
	return float64(n) / in.Seconds()
}
