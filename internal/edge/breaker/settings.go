package breaker

import (
	"fmt"
	"time"
)

// MaxProbes limits Settings.Probes.
const MaxProbes = 16

// Settings say when a breaker trips and how it recovers. A trigger with 0 is off; all off and MaxActive 0 is a breaker
// that never refuses.
type Settings struct {
	// ConsecutiveErrors trips after that many failures in a row.
	ConsecutiveErrors int
	// ErrorRatio trips when failures / calls in the window reach it, 0 to 1, given at least MinVolume calls.
	ErrorRatio float64
	// SlowRatio trips when slow calls / calls reach it, 0 to 1, given at least MinVolume calls. A call is slow if it took
	// SlowCall or longer, whatever its outcome.
	SlowRatio float64
	SlowCall  time.Duration
	// Window is how far back the ratios look, in steps of a tenth of it; MinVolume is at least 1.
	Window    time.Duration
	MinVolume int
	// MaxActive refuses requests beyond that many in flight, in every state but open and forced-open, which refuse all.
	MaxActive int

	// Cooldown is how long the breaker stays open the first time. It doubles with each trip that follows a failed probe
	// or comes sooner after closing than the last cooldown lasted, up to MaxCooldown, and then grows by a random share of
	// up to Jitter, 0 to 1, so that the nodes of a fleet don't probe in step.
	Cooldown    time.Duration
	MaxCooldown time.Duration
	Jitter      float64
	// Probes is how many requests half-open lets through at a time, 1 to MaxProbes; Successes, how many of them must
	// succeed to close. A probe that is not done after ProbeTimeout has failed.
	Probes       int
	Successes    int
	ProbeTimeout time.Duration
}

// Check returns the first setting out of its range.
func (s Settings) Check() error {
	share := func(r float64) bool { return r >= 0 && r <= 1 }
	switch {
	case !share(s.ErrorRatio) || !share(s.SlowRatio) || !share(s.Jitter):
		return fmt.Errorf("breaker: error ratio is %v, slow ratio %v, jitter %v, want 0 to 1 each", s.ErrorRatio, s.SlowRatio, s.Jitter)
	case s.ConsecutiveErrors < 0 || s.MaxActive < 0:
		return fmt.Errorf("breaker: consecutive errors %d and max active %d, want 0 (off) or more", s.ConsecutiveErrors, s.MaxActive)
	case s.SlowRatio > 0 && s.SlowCall <= 0:
		return fmt.Errorf("breaker: slow ratio is %v, but no slow call duration says what slow is", s.SlowRatio)
	case (s.ErrorRatio > 0 || s.SlowRatio > 0) && (s.Window < 10*time.Millisecond || s.Window > time.Hour):
		return fmt.Errorf("breaker: window is %v, want 10ms to 1h", s.Window)
	case (s.ErrorRatio > 0 || s.SlowRatio > 0) && (s.MinVolume < 1 || s.MinVolume > maxCount/2):
		return fmt.Errorf("breaker: minimum volume is %d, want 1 to %d", s.MinVolume, maxCount/2)
	case s.Cooldown <= 0 || s.MaxCooldown < s.Cooldown:
		return fmt.Errorf("breaker: cooldown is %v and its maximum %v, want more than 0 and no less than that", s.Cooldown, s.MaxCooldown)
	case s.Probes < 1 || s.Probes > MaxProbes:
		return fmt.Errorf("breaker: probes is %d, want 1 to %d", s.Probes, MaxProbes)
	case s.Successes < 1:
		return fmt.Errorf("breaker: successes is %d, want 1 or more", s.Successes)
	case s.ProbeTimeout <= 0:
		return fmt.Errorf("breaker: probe timeout is %v, want more than 0", s.ProbeTimeout)
	}
	return nil
}

// cooldown is how long the nth trip in a row keeps the breaker open, without jitter.
func (s *Settings) cooldown(trips int) int64 {
	c := int64(s.Cooldown)
	for ; trips > 1 && c < int64(s.MaxCooldown); trips-- {
		c *= 2
	}
	return min(c, int64(s.MaxCooldown))
}
