package ticket

import (
	"fmt"
	"time"
)

const (
	// DefaultPeriod is how long one secret encrypts. Tickets are then good for 12 to 24 hours.
	DefaultPeriod = 12 * time.Hour
	// MinPeriod and MaxPeriod bound it. crypto/tls honours no ticket that is older than seven days.
	MinPeriod = time.Minute
	MaxPeriod = 7 * 24 * time.Hour
)

// Period is how time is cut. Number 0 began with 1970 (UTC), the same everywhere.
type Period time.Duration

// check refuses what cannot be used.
func (p Period) check() error {
	if d := time.Duration(p); d < MinPeriod || d > MaxPeriod || d%time.Second != 0 {
		return fmt.Errorf("ticket: the period is %v; wanted are whole seconds from %v to %v", d, MinPeriod, MaxPeriod)
	}
	return nil
}

func (p Period) seconds() int64 { return int64(time.Duration(p) / time.Second) }

// At is the number of the period that t lies in; times before 1970 lie in the first.
func (p Period) At(t time.Time) int64 { return max(0, t.Unix()) / p.seconds() }

// Begin is when period n begins.
func (p Period) Begin(n int64) time.Time { return time.Unix(n*p.seconds(), 0).UTC() }

// Secret is what the keys of one period are derived from.
type Secret [32]byte

// Secrets are those of three periods in a row.
type Secrets struct {
	Number                  int64 // of the current period
	Previous, Current, Next Secret
}

// Source gives the secrets of the periods around a time. An error comes with secrets that can be used all the same; it says why they
// will not outlive the process.
type Source interface {
	Period() Period
	Secrets(now time.Time) (Secrets, error)
}
