package ticket

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"
)

// Options of Keys.
type Options struct {
	Source Source
	Log    *slog.Logger
	Now    func() time.Time // nil is time.Now
}

// Keys gives tls.Configs their ticket keys, and new ones when a period begins. Its methods may be called from any goroutine.
type Keys struct {
	source Source
	log    *slog.Logger
	now    func() time.Time

	turn sync.Mutex // one Rotate at a time; taken before mu, which is not held while the source reads and writes

	mu      sync.Mutex
	secrets Secrets
	configs map[*tls.Config]string // with their contexts
	state   Status
}

// Status is what can be told of the keys.
type Status struct {
	Period  time.Duration
	Rotated time.Time // when the current secret was last changed by this process
	Next    time.Time // when the next period begins
	Problem string    // why the secrets will not outlive the process; empty when they do
	Configs int       // that get their keys here
}

// New makes keys of the current period. A source that cannot keep its secrets is told of in the log and in Status.
func New(o Options) *Keys {
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Keys{source: o.Source, log: o.Log, now: o.Now, configs: map[*tls.Config]string{}}
	k.secrets.Number = -1
	k.Rotate(k.now())
	return k
}

// Use gives a config its keys from now on, until Drop. context is the text that must be the same for a session to be resumed: the
// listener, and whatever decides what a session is worth there, such as profile.Settings.Context.
//
// A config that GetConfigForClient returns has its parent's keys if it has none of its own, whatever its rules for client certificates
// are; call Use for it too. A clone made before or after keeps the keys it was cloned with and gets no new ones.
func (k *Keys) Use(config *tls.Config, context string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.configs[config] = context
	config.SetSessionTicketKeys(k.secrets.keys(context))
}

// Drop forgets a config. It keeps the keys it has.
func (k *Keys) Drop(config *tls.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.configs, config)
}

// Status tells how it stands.
func (k *Keys) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.state
	s.Configs = len(k.configs)
	return s
}

// Rotate brings all configs to the keys of the time now. Nothing changes within a period, unless the source has other secrets than
// before. It waits for the source; Use, Drop and Status do not.
func (k *Keys) Rotate(now time.Time) {
	k.turn.Lock()
	defer k.turn.Unlock()
	secrets, err := k.source.Secrets(now)
	k.mu.Lock()
	defer k.mu.Unlock()
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	switch {
	case problem == k.state.Problem:
	case problem != "":
		k.log.Warn(problem)
	default:
		k.log.Info("the session ticket secrets are kept again")
	}
	p := k.source.Period()
	k.state.Period, k.state.Next, k.state.Problem = time.Duration(p), p.Begin(secrets.Number+1), problem
	if secrets == k.secrets {
		return
	}
	k.secrets, k.state.Rotated = secrets, now
	for config, context := range k.configs {
		config.SetSessionTicketKeys(secrets.keys(context))
	}
}

// checkEvery is how often the time is looked at: a clock that is set moves the periods, and a disk that was full has room again.
const checkEvery = time.Minute

// Run rotates when a period begins, until ctx ends.
func (k *Keys) Run(ctx context.Context) {
	for {
		now := k.now()
		timer := time.NewTimer(wait(now, k.Status().Next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		k.Rotate(k.now())
	}
}

// wait is how long to sleep at now when the next period begins at next.
func wait(now, next time.Time) time.Duration {
	return min(max(next.Sub(now), time.Millisecond), checkEvery)
}
