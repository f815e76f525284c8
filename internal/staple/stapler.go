package staple

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Options of a Stapler.
type Options struct {
	Client *http.Client // nil is Client()
	// Dir is where answers are kept, so that a restart staples at once. Empty keeps none.
	Dir    string
	Log    *slog.Logger
	Now    func() time.Time // nil is time.Now
	Random func() float64   // from [0, 1); nil is math/rand's
}

// maxAtOnce bounds the questions under way.
const maxAtOnce = 4

// Stapler looks after the certificates it is told of. Its methods may be called from any goroutine.
type Stapler struct {
	o    Options
	wake chan struct{} // something is due earlier than Run thinks

	mu       sync.Mutex
	followed map[string]*followed
}

// followed is one certificate. The stapler's lock guards what is below subject.
type followed struct {
	subject subject
	put     func(response []byte)

	at      sync.Mutex // held while put is called, so that answers are put in order; taken before the stapler's lock
	gone    bool       // another certificate has its id, or none
	shown   answer     // raw is nil when nothing is shown
	status  Status
	asking  bool
	nextTry time.Time // zero: never
}

// New makes a stapler that looks after nothing. It asks nobody until Run does.
func New(o Options) *Stapler {
	if o.Client == nil {
		o.Client = Client()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return &Stapler{o: o, wake: make(chan struct{}, 1), followed: map[string]*followed{}}
}

// Follow looks after a certificate from now on, in place of the one that had the id before. put takes what is to be stapled, or nil
// for nothing any more; it is called at once when an answer was kept, and later by Run. It must not call the stapler.
func (s *Stapler) Follow(id string, c *tls.Certificate, put func(response []byte)) {
	f := &followed{put: put}
	var err error
	f.subject, err = examine(c)
	f.status = Status{Followed: true, Must: f.subject.must}
	now := s.o.Now()
	switch {
	case errors.Is(err, errNoResponder):
		// Most certificates of today; nothing to warn of.
		f.status.Problem = err.Error()
		s.o.Log.Debug("nothing to staple", "certificate", label(f), "reason", err)
	case err != nil:
		f.status.Problem = err.Error()
		s.o.Log.Warn("nothing to staple", "certificate", label(f), "reason", err)
	default:
		f.nextTry = now
		f.status.Responder = f.subject.responders[0]
		f.status.Next = now
	}
	f.at.Lock()
	defer f.at.Unlock()
	s.mu.Lock()
	if old := s.followed[id]; old != nil {
		old.gone = true
	}
	s.followed[id] = f
	s.mu.Unlock()
	if err == nil {
		s.showKept(f, now)
		s.nudge()
	}
}

// showKept staples what an earlier process was told, if it is still good. It needs f.at.
func (s *Stapler) showKept(f *followed, now time.Time) {
	raw := s.kept(f)
	if raw == nil {
		return
	}
	a, err := f.subject.read(raw, now)
	if err != nil || a.status != good || !takeBackAt(a.since, a.until).After(now) {
		s.forget(f)
		return
	}
	s.mu.Lock()
	f.nextTry = renewAt(now, a.since, a.until, s.o.Random())
	f.status.Next = f.nextTry
	s.mu.Unlock()
	s.show(f, a)
}

// Drop ends what Follow began. put is not called after it, unless a call was under way.
func (s *Stapler) Drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.followed[id]; f != nil {
		f.gone = true
		delete(s.followed, id)
	}
}

// Status tells how it stands with the certificate of an id.
func (s *Stapler) Status(id string) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.followed[id]
	if f == nil {
		return Status{}
	}
	return f.status
}

// Run asks the responders when it is time, until ctx ends; then it waits for questions under way, which end with it.
func (s *Stapler) Run(ctx context.Context) {
	s.sweep()
	places := make(chan struct{}, maxAtOnce)
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		f, wait := s.due()
		if f == nil {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-s.wake:
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		select {
		case <-ctx.Done():
			return
		case places <- struct{}{}:
		}
		asking.Go(func() {
			s.runQuestion(ctx, f)
			<-places
			s.nudge()
		})
	}
}

// longest is how long Run sleeps at most: clocks may be set, and a timer does not know.
const longest = time.Minute

// due takes back what has ended, and picks a certificate to ask about now. If there is none it tells how long to sleep.
func (s *Stapler) due() (*followed, time.Duration) {
	now := s.o.Now()
	wait := longest
	var ask *followed
	var ended []*followed
	s.mu.Lock()
	for _, f := range s.followed {
		if f.shown.raw != nil {
			left := takeBackAt(f.shown.since, f.shown.until).Sub(now)
			if left <= 0 {
				ended = append(ended, f)
			} else {
				wait = min(wait, left)
			}
		}
		switch {
		case f.asking || f.nextTry.IsZero():
		case f.nextTry.After(now):
			wait = min(wait, f.nextTry.Sub(now))
		case ask == nil || f.nextTry.Before(ask.nextTry):
			ask = f
		}
	}
	if ask != nil {
		ask.asking = true
	}
	s.mu.Unlock()
	for _, f := range ended {
		s.end(f, now)
	}
	return ask, max(wait, time.Millisecond)
}

// end takes back an answer whose time is over.
func (s *Stapler) end(f *followed, now time.Time) {
	f.at.Lock()
	defer f.at.Unlock()
	if f.shown.raw == nil || takeBackAt(f.shown.since, f.shown.until).After(now) {
		return // a new one came
	}
	s.o.Log.Warn("a stapled answer has ended and there is no newer one", "certificate", label(f), "until", stamp(f.shown.until))
	s.forget(f)
	s.show(f, answer{})
}

// runQuestion asks once and takes the consequences.
func (s *Stapler) runQuestion(ctx context.Context, f *followed) {
	s.mu.Lock()
	responder := f.subject.responders[f.status.Failures%len(f.subject.responders)]
	s.mu.Unlock()
	a, err := f.subject.ask(ctx, s.o.Client, responder, s.o.Now)
	if ctx.Err() != nil {
		return
	}
	now := s.o.Now()
	f.at.Lock()
	defer f.at.Unlock()
	s.mu.Lock()
	f.asking = false
	f.status.Asked++
	f.status.Responder = responder
	if f.gone {
		s.mu.Unlock()
		return
	}
	was := f.status
	switch {
	case err != nil:
		f.status.Failures++
		f.status.Problem = err.Error()
		f.nextTry = retryAt(now, f.status.Failures, s.o.Random())
	case a.status == revoked:
		f.status.Failures, f.status.Problem, f.status.Revoked = 0, "", a.when
		f.nextTry = now.Add(againRevoked)
	default:
		f.status.Failures, f.status.Problem, f.status.Revoked = 0, "", time.Time{}
		f.nextTry = renewAt(now, a.since, a.until, s.o.Random())
	}
	f.status.Next = f.nextTry
	next := f.nextTry
	s.mu.Unlock()

	switch {
	case err != nil:
		if was.Problem != err.Error() {
			s.o.Log.Warn("a responder failed", "certificate", label(f), "responder", responder, "error", err, "next", stamp(next), "stapled", was.Stapled)
		}
	case a.status == revoked:
		if was.Revoked.IsZero() {
			s.o.Log.Error("a certificate is REVOKED; replace it", "certificate", label(f), "responder", responder, "revoked", stamp(a.when))
		}
		s.forget(f)
		s.show(f, answer{})
	default:
		if was.Problem != "" || !was.Revoked.IsZero() || !was.Stapled {
			s.o.Log.Info("stapled", "certificate", label(f), "responder", responder, "until", stamp(a.until))
		}
		s.keep(f, a)
		s.show(f, a)
	}
}

// show hands out an answer, or takes it back. It needs f.at.
func (s *Stapler) show(f *followed, a answer) {
	s.mu.Lock()
	if f.gone {
		s.mu.Unlock()
		return
	}
	had := f.shown.raw != nil
	f.shown = a
	f.status.Stapled, f.status.Until = a.raw != nil, a.until
	s.mu.Unlock()
	if had || a.raw != nil {
		f.put(a.raw)
	}
}

func (s *Stapler) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// label is what the log calls a certificate.
func label(f *followed) string {
	switch leaf := f.subject.leaf; {
	case leaf == nil:
		return "?"
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	default:
		return leaf.Subject.String()
	}
}
