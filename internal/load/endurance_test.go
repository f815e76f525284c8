package load

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"
)

// A peer that makes us answer without reading what we say is given up, also when its frames have no payload.
func TestFloodOfEmptyFrames(t *testing.T) {
	s := newSession(1, 1, window)
	flood := appendFrame(nil, 0, frameSettings, 0, 0)
	for len(flood) < readSize {
		flood = appendFrame(flood, 0, frameSettings, 0, 0)
	}
	for range 4 * tooMuch / len(flood) {
		if s.feed(flood) != nil {
			return
		}
	}
	t.Errorf("%d bytes wait to be written, and it goes on", len(s.out))
}

// A connection whose peer reads no more is not filled for ever: another is tried.
func TestPeerThatReadsNoMore(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	p := get2(frames(t, []http2.Setting{}, func(*framed) { <-done }))
	p.Requests[0].Fields = []Field{{"X-Long", strings.Repeat("x", 1<<20)}}
	p.Requested, p.Timeout = 60, 5*time.Millisecond
	r, err := Run(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Opened < 2 || r.Errors[TimedOut] != 60 {
		t.Errorf("%d connections for 60 requests of a megabyte, errors %v", r.Opened, r.Errors)
	}
}

// The numbers of streams end, and then the connection does.
func TestStreamNumbersEnd(t *testing.T) {
	s := newSession(1, 4, window)
	s.settled, s.next = true, mostWindow-2
	if !s.free() {
		t.Fatal("the last number is not taken")
	}
	s.send(&job{}, &message{}, 0)
	if s.free() || !s.going {
		t.Error("there is no number left, and it goes on")
	}
}

// Connections of HTTP/2 are opened ahead of need. That none can be is no reason to try without a pause, or to forget what is due.
func TestNoConnectionAheadOfNeed(t *testing.T) {
	p := get2("unix:" + filepath.Join(t.TempDir(), "nobody"))
	p.Rate, p.Duration, p.Connections = 20, 300*time.Millisecond, 4
	r, err := runAll(t.Context(), p.filled(1), &unix.SockaddrUnix{Name: p.Address[len("unix:"):]}, window, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Due != 6 || r.Errors[Refused] != 6 {
		t.Errorf("due %d, errors %v", r.Due, r.Errors)
	}
}

// What was answered in the counted time is told apart from what came once no more was asked: a target that serves half of what is asked
// for does not seem to serve all of it.
func TestBacklogIsNoRate(t *testing.T) {
	t.Parallel()
	const takes = 20 * time.Millisecond
	p := way{}.plan(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(takes) }))
	p.Requests, p.Rate, p.Connections, p.Duration = get("x").Requests, 100, 1, 300*time.Millisecond
	r := result(t, p)
	if most := uint64(p.Duration/takes) + 1; r.Done != 30 || r.Answered == 0 || r.Answered > most {
		t.Errorf("done %d, of them in time %d, at most %d can be", r.Done, r.Answered, most)
	}
}

// A long run keeps of a second what is told of it, and not its histogram.
func TestSecondsAreSettled(t *testing.T) {
	const many = 100
	w := &worker{}
	r := &run{plan: &Plan{Duration: many * time.Second}, workers: []*worker{w}, sofar: newHistogram(2)}
	for at := range many {
		s := newSlice(at)
		s.done, s.all, s.longest = 2, 2, 5000
		_ = s.latency.RecordValues(5000, 2)
		late := newSlice(at / 2)
		late.failed = 1
		w.outbox = append(w.outbox, s, late)
		r.gather()
	}
	kept := 0
	for i := range r.seconds {
		if r.seconds[i].latency != nil {
			kept++
		}
	}
	if kept > unsettled {
		t.Errorf("%d histograms are kept", kept)
	}
	for i, s := range r.series(many * time.Second) {
		failed := uint64(2)
		if i >= many/2 {
			failed = 0
		}
		if at := time.Duration(i) * time.Second; s.At != at || s.Done != 2 || s.Failed != failed || s.P50 != 5*time.Millisecond || s.P99 != s.P50 || s.Max != s.P50 {
			t.Fatalf("second %d: %+v", i, s)
		}
	}
}
