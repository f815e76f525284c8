package oidc

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/session"
)

// The bounds of a desk.
const (
	maxRenewals = 4096            // remembered; the oldest are forgotten first
	keepRenewal = 5 * time.Minute // how long what a refresh token has brought is remembered
	keepFailure = 5 * time.Second // how long nobody asks again after the provider could not be asked
	maxMarks    = 65536           // sessions that were ended, and attempts that were used
)

// desk is what the gateway has to remember of sessions beyond a revision. It is lost with a restart: attempts end by themselves then, and
// sessions that were logged out are good again for whoever kept a copy of their cookies, until they end.
type desk struct {
	cookie string // names the desk in figures
	ended  marks  // ids of sessions
	used   marks  // states of attempts

	mu      sync.Mutex
	flights map[[32]byte]*flight // by the hash of the refresh token
	order   [][32]byte           // oldest first

	begun, logins, failures, renewals, renewalFailures atomic.Uint64
}

func newDesk(cookie string) *desk {
	return &desk{cookie: cookie, flights: map[[32]byte]*flight{}}
}

// flight is one renewal. What it brought may be read once done is closed.
type flight struct {
	done    chan struct{}
	at      *places // where it has one until it lands
	session *session.Session
	err     error
	retry   int64 // when an unavailable provider may be asked again, nanoseconds since 1970; 0 for a result that stands
	until   int64 // when it may be forgotten, nanoseconds since 1970; 0 while it is under way
}

func (f *flight) landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// board gives the renewal of a refresh token, and whether it is the caller who has to make it and to land it. It is nil when there is no
// room, here or at the provider.
func (d *desk) board(refresh string, now time.Time, at *places) (f *flight, mine bool) {
	key := sha256.Sum256([]byte(refresh))
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.flights[key]; f != nil && (f.until == 0 || f.retry == 0 && now.UnixNano() < f.until || now.UnixNano() < f.retry) {
		return f, false
	}
	d.forget(now.UnixNano())
	if len(d.flights) >= maxRenewals || !at.renew() {
		return nil, false
	}
	if d.flights[key] == nil {
		d.order = append(d.order, key)
	}
	f = &flight{done: make(chan struct{}), at: at}
	d.flights[key] = f
	return f, true
}

// forget makes room: what is over goes, and of too many the oldest that are not under way.
func (d *desk) forget(now int64) {
	kept := d.order[:0]
	over := len(d.order) - maxRenewals + 1
	for i, key := range d.order {
		f := d.flights[key]
		if f.until != 0 && (now >= f.until || i < over) {
			delete(d.flights, key)
			continue
		}
		if i >= over && len(kept) == i {
			return // nothing is gone, and those behind are younger
		}
		kept = append(kept, key)
	}
	d.order = kept
}

// land says what came of a renewal.
func (d *desk) land(f *flight, next *session.Session, err error, now time.Time) {
	f.at.leaveRenew()
	d.mu.Lock()
	defer d.mu.Unlock()
	f.session, f.err, f.until = next, err, now.Add(keepRenewal).UnixNano()
	if err != nil {
		d.renewalFailures.Add(1)
		if !isRefused(err) {
			f.retry = now.Add(keepFailure).UnixNano()
		}
	} else {
		d.renewals.Add(1)
	}
	close(f.done)
}

// renewing says whether a refresh token is being renewed, or was.
func (d *desk) renewing(refresh string) bool {
	if refresh == "" {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.flights[sha256.Sum256([]byte(refresh))]
	return f != nil && (f.until == 0 || f.err == nil)
}

// Report implements policy.Reporter.
func (d *desk) Report(figure func(policy.Figure)) {
	label := [2]string{"cookie", d.cookie}
	for _, f := range []struct {
		name, help string
		value      *atomic.Uint64
	}{
		{"oidc_logins_begun_total", "Browsers sent to the provider to log in.", &d.begun},
		{"oidc_logins_total", "Logins that made a session.", &d.logins},
		{"oidc_login_failures_total", "Browsers that came back from the provider and got no session.", &d.failures},
		{"oidc_renewals_total", "Refresh tokens that brought new tokens.", &d.renewals},
		{"oidc_renewal_failures_total", "Refresh tokens that brought none.", &d.renewalFailures},
	} {
		figure(policy.Figure{Name: f.name, Help: f.help, Counter: true, Labels: [][2]string{label}, Value: float64(f.value.Load())})
	}
}

// marks is a set of names, each kept until its time is over. Of more than maxMarks the oldest are forgotten. Names are random, and split by
// their first letter, so that requests do not wait for each other. The zero value is empty.
type marks struct{ shards [markShards]markShard }

const markShards = 16

type markShard struct {
	mu    sync.Mutex
	until map[string]int64 // seconds since 1970
	order []string         // oldest first
}

func (m *marks) shard(name string) *markShard {
	if name == "" {
		return &m.shards[0]
	}
	return &m.shards[name[0]%markShards]
}

// add puts a name in and reports false when it was there.
func (m *marks) add(name string, until, now int64) bool {
	s := m.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[string]int64{}
	}
	if s.until[name] > now {
		return false
	}
	for len(s.order) > 0 && (len(s.order) >= maxMarks/markShards || s.until[s.order[0]] <= now) {
		delete(s.until, s.order[0])
		s.order = s.order[1:]
	}
	if _, there := s.until[name]; !there {
		s.order = append(s.order, name)
	}
	s.until[name] = until
	return true
}

func (m *marks) has(name string, now int64) bool {
	s := m.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until[name] > now
}
