package report

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"straum.dev/straum/internal/load"
	"straum.dev/straum/internal/wording"
)

// failures are the words for why requests were not answered, in the order they are told.
var failures = []struct {
	what    load.Failure
	meaning string
}{
	{load.Refused, "no connection could be opened"},
	{load.Handshake, "the TLS handshake failed"},
	{load.TimedOut, "no whole answer within the timeout"},
	{load.Broken, "the connection ended before the answer did"},
	{load.Malformed, "what came back is not HTTP"},
}

// meaning is a failure in words.
func meaning(f load.Failure) string {
	for _, known := range failures {
		if known.what == f {
			return known.meaning
		}
	}
	return "of an unknown kind"
}

// failed are the failures that there were, those of a known kind first.
func (r *Run) failed() []load.Failure {
	var out []load.Failure
	for _, f := range failures {
		if r.Result.Errors[f.what] > 0 {
			out = append(out, f.what)
		}
	}
	for _, f := range slices.Sorted(maps.Keys(r.Result.Errors)) {
		if r.Result.Errors[f] > 0 && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// reached says whether the wanted rate was: two in a hundred may be missing.
func (r *Run) reached() bool { return r.Rate() >= 0.98*r.Plan.Rate }

// remarks are what a reader of the numbers has to know.
func (r *Run) remarks(processors int) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	x := r.Result
	if r.Cut {
		say("ended before its time, after %s of %s: what was under way is not counted", howLong(x.Elapsed), howLong(r.Plan.Duration))
	}
	if x.Done == 0 {
		say("nothing was answered")
		return out
	}
	if r.open() && !r.reached() && !r.Cut {
		why := ""
		if late := r.backlog(); late > 0 {
			why = fmt.Sprintf("; %s had queued, and came when nothing more was asked", wording.Count(late, "answer"))
		}
		say("the wanted rate was not reached: %s of %s%s", rate(r.Rate()), rate(r.Plan.Rate), why)
	}
	if n := r.Unanswered(); n*100 >= n+x.Done {
		say("%s of the requests got no answer, and are in no percentile: p99 of all requests is not known", percent(n, n+x.Done))
	}
	if x.Late > 0 {
		say("%s of %s requests could not be sent within the timeout, since all %s were busy: the target is at its limit, or it takes more connections (--connections)",
			wording.Grouped(x.Late), wording.Grouped(x.Due), wording.Count(uint64(r.Plan.Connections), "connection"))
	} else if r.open() {
		r.judgeWaiting(say)
	}
	r.judgeGenerator(processors, say)
	r.judgeStatuses(say)
	if !r.open() {
		say("a closed loop sends nothing while it waits for answers, so that times of those who would have come meanwhile are missing; --rate counts them")
	}
	return out
}

// judgeWaiting tells of requests that waited for a connection.
func (r *Run) judgeWaiting(say func(string, ...any)) {
	due, ok1 := at(r.Result.Latency, 99)
	sent, ok2 := at(r.Result.Service, 99)
	lag, _ := at(r.Result.Lag, 99) // that is no waiting for a connection
	if wait := due - sent - lag; ok1 && ok2 && wait > sent && wait > 2*time.Millisecond {
		say("at p99 %s of %s went by before the request was sent: all connections were busy; clients wait as long when they have no more connections than these", span(wait), span(due))
	}
}

// judgeGenerator tells when the generator's own slowness is in the numbers.
func (r *Run) judgeGenerator(processors int, say func(string, ...any)) {
	x := r.Result
	if lag, ok := at(x.Lag, 99); ok && lag > time.Millisecond {
		if p99, ok := at(x.Latency, 99); ok && lag > p99/10 {
			say("the generator itself was late: p99 %s from due, with a connection free, to sent; that is in the times of latency", span(lag))
		}
	}
	if used := x.CPU.Seconds() / max(x.Elapsed.Seconds(), 1e-9); processors > 0 && used > 0.35*float64(processors) {
		say("the generator took %s of the %s of this box; what it measures had the rest", wording.Digits(used), wording.Count(uint64(processors), "processor"))
	}
}

// judgeStatuses tells when it was refusals that were measured.
func (r *Run) judgeStatuses(say func(string, ...any)) {
	var refused, most uint64
	status := 0
	for s, n := range r.Result.Statuses {
		if s < 400 {
			continue
		}
		if refused += n; n > most || n == most && s < status {
			most, status = n, s
		}
	}
	if refused*2 > r.Result.Done {
		say("%s of the answers are refusals or errors, most of them %d: this measures refusing, not serving", percent(refused, r.Result.Done), status)
	}
}
