package mirror

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policytest"
)

// stage is a Shadow whose copies are answered when a test says so.
type stage struct {
	asked, dropped atomic.Int64
	sent           chan []byte // content
	answers        chan policy.Answer
	none           bool
}

type copied struct{ on *stage }

func (s *stage) Copy(_ *exchange.Exchange, upstream string) policy.Copy {
	if s.none {
		return nil
	}
	s.asked.Add(1)
	return &copied{s}
}

func (c *copied) Send(content []byte, within time.Duration, stop *atomic.Bool) policy.Answer {
	c.on.sent <- content
	return <-c.on.answers
}

func (c *copied) Drop() { c.on.dropped.Add(1) }

// set runs a policy whose copies go to a stage.
func set(t *testing.T, options string) (*stage, *policytest.Running, *mirror) {
	t.Helper()
	s := &stage{sent: make(chan []byte, 4096), answers: make(chan policy.Answer, 4096)}
	w := policytest.New(t)
	w.Shadow = s
	r := w.Policy(Kind, options)
	return s, r, r.Chain.Requests[0].(*mirror)
}

// figures are those of a policy's sender by name and last label.
func figures(m *mirror) map[string]float64 {
	out := map[string]float64{}
	m.sender.Report(func(f policy.Figure) {
		name := f.Name
		for _, l := range f.Labels[2:] {
			name += " " + l[1]
		}
		out[name] = f.Value
	})
	return out
}

func counted(m *mirror) string {
	var b strings.Builder
	all := figures(m)
	for _, name := range []string{"mirror_answered_total 2xx", "mirror_answered_total 5xx", "mirror_failed_total", "mirror_dropped_total full",
		"mirror_dropped_total too_large", "mirror_dropped_total unfinished", "mirror_dropped_total upgrade", "mirror_dropped_total stopped", "mirror_under_way"} {
		if all[name] != 0 {
			fmt.Fprintf(&b, "%s=%v ", strings.ReplaceAll(strings.TrimPrefix(name, "mirror_"), "_total", ""), all[name])
		}
	}
	return strings.TrimSpace(b.String())
}

// TestShare copies the part of the requests that it is told to, by random numbers alone.
func TestShare(t *testing.T) {
	f := func(share string, random float64, copied bool) {
		t.Helper()
		s, r, m := set(t, "{upstream: up, share: "+share+"}")
		m.random = func() float64 { return random }
		s.answers <- policy.Answer{Status: 200}
		x := r.Ask("GET / HTTP/1.1\nHost: a")
		if got := s.asked.Load() == 1; got != copied {
			t.Errorf("%s at %v: copied: %v", share, random, got)
		}
		want := ""
		if copied {
			want = "copied"
		}
		if got := policytest.Verdict(x, "mirror"); got != want {
			t.Errorf("%s at %v: verdict %q", share, random, got)
		}
	}
	f("10%", 0.0999, true)
	f("10%", 0.1, false)
	f("0.5%", 0.0049, true)
	f("0.5%", 0.005, false)
	f("0%", 0, false)
	f("100%", 0.99999, true)
}

// TestChosen says which requests are copied, and why others are not.
func TestChosen(t *testing.T) {
	f := func(options, request, verdict string) {
		t.Helper()
		s, r, m := set(t, "{upstream: up, body: 5B"+options+"}")
		s.answers <- policy.Answer{Status: 200}
		x := r.Request(request)
		if strings.Contains(request, "Upgrade:") {
			x.Request.Upgrade = "websocket"
		}
		r.Chain.Request(x)
		if got := policytest.Verdict(x, "mirror"); got != verdict {
			t.Errorf("%s: %q, want %q", request, got, verdict)
		}
		if verdict != "" && verdict != "copied" && figures(m)["mirror_dropped_total "+verdict] != 1 {
			t.Errorf("%s: %s", request, counted(m))
		}
		if x.Fault != nil || x.Answered() {
			t.Errorf("%s: the request is touched", request)
		}
	}
	f("", "GET / HTTP/1.1\nHost: a", "copied")
	f(", methods: [GET, HEAD]", "HEAD / HTTP/1.1\nHost: a", "copied")
	f(", methods: [GET, HEAD]", "POST / HTTP/1.1\nHost: a", "")
	f("", "GET / HTTP/1.1\nHost: a\nx-straum-mirrored: 1", "")
	f("", "GET / HTTP/1.1\nHost: a\nUpgrade: websocket", "upgrade")
	f("", "POST / HTTP/1.1\nHost: a\nContent-Length: 6\n\nabcdef", "too_large")
	f("", "POST / HTTP/1.1\nHost: a\nContent-Length: 0", "copied")
}

// TestContent copies content while it goes to the endpoint, and sends it when the exchange is over.
func TestContent(t *testing.T) {
	content := "{\"a\": 1, \"b\": 2}"
	begin := func(options string) (*stage, *mirror, *exchange.Exchange) {
		s, r, m := set(t, "{upstream: up"+options+"}")
		s.answers <- policy.Answer{Status: 200}
		x := r.Request("POST / HTTP/1.1\nHost: a\nContent-Length: 16\n\n" + content)
		r.Chain.Request(x)
		return s, m, x
	}
	drain := func(x *exchange.Exchange) {
		t.Helper()
		var got []byte
		for {
			run, err := x.Request.Body.Next()
			if err == io.EOF {
				break
			}
			got = append(got, run...)
		}
		if string(got) != content {
			t.Errorf("the endpoint gets %q", got)
		}
	}

	s, m, x := begin("")
	if len(s.sent) != 0 || m.sender.underWay.Load() != 1 {
		t.Error("the copy is ahead of its content")
	}
	drain(x)
	drainAgain := x.Request.Body.(exchange.Rewinder).Rewind() // this one cannot
	x.Settle()
	if got := string(<-s.sent); got != content || drainAgain {
		t.Errorf("%q, rewound: %v", got, drainAgain)
	}

	// The endpoint answered before it had all.
	s, m, x = begin("")
	if _, err := x.Request.Body.Next(); err != nil {
		t.Fatal(err)
	}
	x.Settle()
	if got := counted(m); got != "dropped unfinished=1" || s.dropped.Load() != 1 || policytest.Verdict(x, "mirror") != "unfinished" {
		t.Error(got)
	}

	// Of unknown length, and longer than may be copied.
	s, r, m := set(t, "{upstream: up, body: 10B}")
	x = r.Request("POST / HTTP/1.1\nHost: a\n\n" + content)
	x.Request.Length = exchange.Unknown
	r.Chain.Request(x)
	drain(x)
	x.Settle()
	if got := counted(m); got != "dropped too_large=1" || s.dropped.Load() != 1 {
		t.Error(got)
	}

	// In memory already: the copy goes at once.
	s, r, _ = set(t, "{upstream: up}")
	s.answers <- policy.Answer{Status: 200}
	x = r.Request("POST / HTTP/1.1\nHost: a\n\n" + content)
	held, f := x.HoldBody(exchange.Hold{Max: 100})
	if f != nil {
		t.Fatal(f)
	}
	r.Chain.Request(x)
	clear(held) // the copy has its own
	x.DropHeld()
	if got := string(<-s.sent); got != content {
		t.Errorf("%q", got)
	}
	_, r, m = set(t, "{upstream: up, body: 10B}")
	x = r.Request("POST / HTTP/1.1\nHost: a\n\n" + content)
	if _, f := x.HoldBody(exchange.Hold{Max: 100}); f != nil {
		t.Fatal(f)
	}
	r.Chain.Request(x)
	if got := counted(m); got != "dropped too_large=1" || x.Fault != nil || x.Request.Body == nil {
		t.Error(got)
	}
	x.DropHeld()
}

// broken is content that fails after its first run, and can be read again until then.
type broken struct{ at, fails int }

func (b *broken) Next() ([]byte, error) {
	b.at++
	switch {
	case b.at == b.fails:
		return nil, errors.New("broken")
	case b.at > 3:
		return nil, io.EOF
	}
	return []byte{'0' + byte(b.at)}, nil
}
func (b *broken) Buffered() bool { return b.at%2 == 0 }
func (b *broken) Rewind() bool   { b.at = 0; return true }

// TestTee is what the endpoint's side sees of the content: all that it would see without a copy.
func TestTee(t *testing.T) {
	s, r, m := set(t, "{upstream: up}")
	s.answers <- policy.Answer{Status: 200}
	begin := func(fails int) *exchange.Exchange {
		x := r.Request("POST / HTTP/1.1\nHost: a")
		x.Request.Body, x.Request.Length = &broken{fails: fails}, 3
		r.Chain.Request(x)
		return x
	}
	x := begin(0)
	b := x.Request.Body
	for range 2 { // two tries
		for i := range 3 {
			if b.Buffered() != (i%2 == 0) {
				t.Error("Buffered is not the content's own")
			}
			if run, err := b.Next(); string(run) != string('1'+rune(i)) || err != nil {
				t.Errorf("%q, %v", run, err)
			}
		}
		if _, err := b.Next(); err != io.EOF {
			t.Error(err)
		}
		if !b.(exchange.Rewinder).Rewind() {
			t.Error("it cannot be read again")
		}
	}
	for {
		if _, err := b.Next(); err != nil {
			break
		}
	}
	x.Settle()
	if got := string(<-s.sent); got != "123" {
		t.Errorf("%q is copied", got)
	}

	x = begin(2)
	if _, err := x.Request.Body.Next(); err != nil {
		t.Error(err)
	}
	if _, err := x.Request.Body.Next(); err == nil || err.Error() != "broken" {
		t.Error(err)
	}
	x.Settle()
	if figures(m)["mirror_dropped_total unfinished"] != 1 {
		t.Error(counted(m))
	}
}

// TestFull: no more are under way than may be, and requests go on all the same.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, m := set(t, "{upstream: up, max_in_flight: 2}")
		for _, want := range []string{"copied", "copied", "full", "full"} {
			x := r.Ask("GET / HTTP/1.1\nHost: a")
			if got := policytest.Verdict(x, "mirror"); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		synctest.Wait()
		if got := counted(m); got != "dropped full=2 under_way=2" || s.asked.Load() != 2 {
			t.Error(got)
		}
		s.answers <- policy.Answer{Status: 503}
		synctest.Wait()
		if got := policytest.Verdict(r.Ask("GET / HTTP/1.1\nHost: a"), "mirror"); got != "copied" {
			t.Errorf("%q although there is a place", got)
		}
		s.answers <- policy.Answer{Fault: fault.New(fault.UpstreamTimeout, nil)}
		s.answers <- policy.Answer{Status: 204}
		synctest.Wait()
		if got := counted(m); got != "answered 2xx=1 answered 5xx=1 failed=1 dropped full=2" {
			t.Error(got)
		}
	})
}

// TestReload: copies under way count on, whatever else changes, as long as the upstream is the same; a policy that is gone copies no more.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{sent: make(chan []byte, 8), answers: make(chan policy.Answer, 8)}
		w := policytest.New(t)
		w.Shadow = s
		before := w.Policy(Kind, "{upstream: up}")
		before.Ask("GET / HTTP/1.1\nHost: a")
		after := w.Policy(Kind, "{upstream: up, share: 50%, max_in_flight: 1}")
		m := after.Chain.Requests[0].(*mirror)
		m.random = func() float64 { return 0 }
		if got := policytest.Verdict(after.Ask("GET / HTTP/1.1\nHost: a"), "mirror"); got != "full" {
			t.Errorf("%q: the copy under way was forgotten", got)
		}
		other := w.Policy(Kind, "{upstream: up2}")
		if got := policytest.Verdict(after.Ask("GET / HTTP/1.1\nHost: a"), "mirror"); got != "stopped" {
			t.Errorf("%q: what is gone copies on", got)
		}
		if got := policytest.Verdict(other.Ask("GET / HTTP/1.1\nHost: a"), "mirror"); got != "copied" {
			t.Errorf("%q", got)
		}
		s.answers <- policy.Answer{Status: 200}
		s.answers <- policy.Answer{Status: 200}
		synctest.Wait()
	})
}

// TestNothingToCopy gives the place back; without a Shadow nothing is copied at all.
func TestNothingToCopy(t *testing.T) {
	s, r, m := set(t, "{upstream: up}")
	s.none = true
	r.Ask("GET / HTTP/1.1\nHost: a")
	if got := counted(m); got != "" {
		t.Error(got)
	}
	x := policytest.New(t).Policy(Kind, "{upstream: up}").Ask("GET / HTTP/1.1\nHost: a")
	if len(x.Verdicts) != 0 {
		t.Error(x.Verdicts)
	}
}

func TestOptions(t *testing.T) {
	w := policytest.New(t)
	f := func(text, want string) {
		t.Helper()
		if got := w.Refused(Kind, text); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", text, got, want)
		}
	}
	f("{}", "upstream")
	f("{upstream: nowhere}", "there is no upstream nowhere")
	f("{upstream: up, share: 101%}", "share")
	f("{upstream: up, share: 0.5}", "write 50%")
	f("{upstream: up, methods: [get]}", "capitals")
	f("{upstream: up, body: 2MiB}", "body")
	f("{upstream: up, timeout: 1ms}", "timeout")
	f("{upstream: up, max_in_flight: 0}", "max_in_flight")
}

// TestAllocations: what is not copied costs nothing.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	_, r, m := set(t, "{upstream: up, share: 1%, methods: [GET]}")
	m.random = func() float64 { return 0.5 }
	x := r.Request("GET / HTTP/1.1\nHost: a")
	if got := testing.AllocsPerRun(100, func() { r.Chain.Request(x) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// BenchmarkNotCopied is a request that the share leaves out.
func BenchmarkNotCopied(b *testing.B) {
	w := policytest.New(b)
	w.Shadow = &stage{}
	r := w.Policy(Kind, "{upstream: up, share: 1%, methods: [GET, HEAD]}")
	r.Chain.Requests[0].(*mirror).random = func() float64 { return 0.5 }
	x := r.Request("GET / HTTP/1.1\nHost: a")
	b.ReportAllocs()
	for b.Loop() {
		r.Chain.Request(x)
	}
}
