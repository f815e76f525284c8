package forwardauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/clock"
	"straum.dev/straum/internal/edge/breaker"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
)

// maxBody is the longest body of a refusal that a client gets, in bytes; a longer one is left out.
const maxBody = 64 << 10

// service is who decides: its connections, its breaker and its figures. Many revisions may use it.
type service struct {
	client  *fetch.Client
	breaker *breaker.Breaker
	place   string // for people: the URL without its query

	accepted, refused, failed, shed atomic.Uint64

	why atomic.Pointer[string] // the last failure, for people
}

func newService(client *fetch.Client, place string, concurrency int, probe time.Duration, log *slog.Logger) *service {
	s := &service{client: client, place: place}
	b, err := breaker.New(breaker.Settings{
		ConsecutiveErrors: 5, ErrorRatio: 0.5, Window: 10 * time.Second, MinVolume: 20, MaxActive: concurrency,
		Cooldown: time.Second, MaxCooldown: 30 * time.Second, Jitter: 0.2, Probes: 1, Successes: 1, ProbeTimeout: probe,
	}, clock.Now(), rand.Uint64, func(c breaker.Change) {
		switch {
		case c.To == breaker.Open:
			log.Warn("a service that authenticates fails; requests that need it are answered 503", "policy", name, "service", place, "cause", c.Cause.String(), "why", s.lastFailure())
		case c.From == breaker.HalfOpen && c.To == breaker.Closed:
			log.Info("a service that authenticates works again", "policy", name, "service", place)
		}
	})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	s.breaker = b
	return s
}

func (s *service) lastFailure() string {
	if why := s.why.Load(); why != nil {
		return *why
	}
	return ""
}

// unavailable is why the service could not be asked.
type unavailable struct {
	why   error
	after int // seconds until it makes sense to try again; 0 for unknown
}

// ask sends the sub-request. An answer with a status of 200 to 499 is a decision; anything else is a failure of the service.
func (s *service) ask(r fetch.Request) (fetch.Response, *unavailable) {
	begin := clock.Now()
	permit, verdict := s.breaker.Allow(begin, true)
	if !verdict.Allowed() {
		s.shed.Add(1)
		return fetch.Response{}, &unavailable{errors.New(verdict.Refusal.String()), int(verdict.RetryAfterSeconds())}
	}
	response, err := s.client.Do(context.Background(), r) // the client's own time ends it
	if errors.Is(err, fetch.ErrTooLarge) {
		err = nil // the decision stands in the status
	}
	if err == nil && (response.Status < 200 || response.Status > 499 || response.Status == 304) {
		err = fmt.Errorf("%s %s: the answer has status %d, which is no decision", r.Method, s.place, response.Status)
	}
	now, outcome := clock.Now(), breaker.Success
	if err != nil {
		outcome = breaker.Failure
		s.failed.Add(1)
		why := err.Error() // names the URL without its query, and nothing of what was sent or received
		s.why.Store(&why)
		if status := response.Status; status != 0 && status != 502 && status != 503 && status != 504 {
			// Some client may know how to make the service stumble; it is not to close the service to all others.
			outcome = breaker.Excluded
		}
	}
	permit.Done(now, outcome, now-begin)
	if err != nil {
		return fetch.Response{}, &unavailable{why: err}
	}
	return response, nil
}

// Stop implements policy.Stopper.
func (s *service) Stop() { s.client.Stop() }

// Attention implements policy.Attentive.
func (s *service) Attention() []string {
	if s.breaker.Snapshot(clock.Now()).State == breaker.Closed {
		return nil
	}
	return []string{fmt.Sprintf("the service %s of policy %s fails: requests that need it get 503 until it works again", s.place, name)}
}

// Report implements policy.Reporter.
func (s *service) Report(figure func(policy.Figure)) {
	for _, r := range []struct {
		result string
		count  *atomic.Uint64
	}{{"accepted", &s.accepted}, {"refused", &s.refused}, {"failed", &s.failed}, {"shed", &s.shed}} {
		figure(policy.Figure{
			Name: "forward_auth_requests_total", Counter: true, Value: float64(r.count.Load()),
			Help:   "Requests that a service was to decide on, by what came of it; shed ones were not sent.",
			Labels: [][2]string{{"service", s.place}, {"result", r.result}},
		})
	}
	open := 0.0
	snapshot := s.breaker.Snapshot(clock.Now())
	if snapshot.State != breaker.Closed {
		open = 1
	}
	labels := [][2]string{{"service", s.place}}
	figure(policy.Figure{Name: "forward_auth_breaker_open", Help: "1 while a service fails and is not asked, or only to find out whether it is back.", Labels: labels, Value: open})
	figure(policy.Figure{Name: "forward_auth_active", Help: "Sub-requests to a service under way.", Labels: labels, Value: float64(snapshot.Active)})
}
