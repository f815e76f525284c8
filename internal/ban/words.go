package ban

import (
	"net/netip"
	"time"
)

// Signal is something a client does that counts against its address.
type Signal uint8

// The signals.
const (
	AuthFailed Signal = iota // a credential was shown and is not good
	Limited                  // a request beyond a limit that its sender has used up
	NotFound                 // something was asked for that is not there
	Malformed                // what came is not what a sane client sends
	Handshake                // a TLS handshake was broken off, not finished in time, or never begun
	Suspect                  // a policy took the request for an attack
	Signals                  // how many there are
)

var signalWords = [Signals]string{"auth_failed", "limited", "not_found", "malformed", "handshake", "suspect"}

// String is the word of the configuration, the log and the metrics.
func (s Signal) String() string { return signalWords[s] }

// Rung is how a banned address is refused. Each rung holds what those below it do.
type Rung uint8

// The rungs, from the ground up.
const (
	None   Rung = iota // not at all
	Refuse             // requests are answered 403
	Drop               // connections are dropped as they are accepted
	Kernel             // packets are dropped by the kernel, when it was told
)

var rungWords = [...]string{"none", "refuse", "drop", "kernel"}

// String is the word of the configuration, the log and the metrics.
func (r Rung) String() string { return rungWords[r] }

// ParseRung reads the word of a rung; ok is false for what is none, and for none.
func ParseRung(word string) (r Rung, ok bool) {
	for i, w := range rungWords {
		if w == word && i > 0 {
			return Rung(i), true
		}
	}
	return None, false
}

// Settings are what the configuration says of bans. The zero value turns them off: nothing is counted, and no ban is in force.
type Settings struct {
	On bool
	// DryRun counts and decides and tells, and puts no ban in force but those made by hand.
	DryRun bool
	// Scores are what each signal counts; 0 does not count.
	Scores [Signals]float64
	// Threshold is the score at which an address is banned, more than 0.
	Threshold float64
	// HalfLife is how long a score takes to fall by half, more than 0.
	HalfLife time.Duration
	// First is how long an address is banned the first time. Each further time takes twice as long, up to Longest.
	First, Longest time.Duration
	// Ladder is how: the first time, the second, and so on; its last holds for all further ones. At least one.
	Ladder []Rung
	// Remember is how long it is known that there was a ban, after its end.
	Remember time.Duration
	// Hosts is how many networks of the size that is scored have to be banned at a time for the first of Wide4 or Wide6 that holds them to
	// be banned; each further one of these asks for four times as many. 0 never widens.
	Hosts int
	// Wide4 and Wide6 are lengths of wider networks, from long to short: below 32, below 64.
	Wide4, Wide6 []int
	// Consumers spares an address that so many different consumers have used well within Window; 0 spares nobody. At most MaxConsumers.
	Consumers int
	Window    time.Duration
	// Never are networks of which no address is banned.
	Never []netip.Prefix
	// Addresses is how the log names what was banned.
	Addresses Addresses
}

// MaxConsumers is the most that Settings.Consumers may be: so many are told apart for an address.
const MaxConsumers = 8

// Addresses is how the log names an address.
type Addresses uint8

// The ways.
const (
	Masked   Addresses = iota // cut to /24, for IPv6 to /48
	Full                      // as it is
	Nameless                  // not at all
)

// Guard names networks of which no address is banned, as they are at the moment: trusted proxies, endpoints, those who administrate.
type Guard struct {
	// Why is what they are, for people: "a trusted proxy".
	Why string
	// Networks gives them. It is asked when a ban is about to be made, at most once a second. It must not wait, nor ask the engine.
	Networks func() []netip.Prefix
}

// Order is a ban made by hand.
type Order struct {
	Network netip.Prefix
	// For is how long; 0 is until it is removed.
	For time.Duration
	// Rung is how; None is Drop.
	Rung Rung
	// Reason is for people, up to 256 bytes.
	Reason string
	// By is who: up to 64 bytes.
	By string
}

// Ban is one ban, as lists show it.
type Ban struct {
	Network netip.Prefix
	Rung    Rung
	Began   time.Time
	Until   time.Time // zero: until it is removed
	Count   int       // which one of this network it is; what was forgotten is not counted
	Reason  string    // the word of the signal that weighed most, "widened", or what an Order says
	By      string    // ByScore, ByNetwork, or who an Order says
	// Dry says that it is not in force, because of a dry run.
	Dry bool
}

// Who makes bans that nobody ordered.
const (
	ByScore   = "score"   // its own
	ByNetwork = "network" // of those inside it
)

// Change is a network that is banned, or is no longer.
type Change struct {
	Network netip.Prefix
	Rung    Rung      // None: no longer
	Until   time.Time // zero: until a further Change
}

// Explanation is what is known of an address.
type Explanation struct {
	Address netip.Addr
	Network netip.Prefix // as which it is scored
	On      bool
	DryRun  bool
	// Rung is how it is refused at the moment.
	Rung Rung
	// Bans are those that cover it, the widest network first.
	Bans []Ban
	// Count is how many bans of Network are remembered, the one in force included; Forgotten is when that ends without a further one, zero
	// when there is nothing to forget.
	Count     int
	Forgotten time.Time
	// Score is what counts against it now, and Scores what each signal has of it.
	Score, Threshold float64
	Scores           [Signals]float64
	// Consumers is how many have used it well; Spares is how many have to, to spare it; 0 is never.
	Consumers, Spares int
	// Never is why it is never banned, empty when it may be, and NeverBy the network that says so.
	Never   string
	NeverBy netip.Prefix
}

// Figures are what was counted since the start, and what there is.
type Figures struct {
	Bans       [Kernel + 1]int // in force, by rung
	Dry        int             // that a dry run keeps from being in force
	Remembered int             // that are over
	Scored     int             // addresses with a score

	Strikes  [Signals]uint64 // counted ones
	Made     [Signals]uint64 // bans, by the signal that weighed most
	Widened  uint64          // bans of wider networks
	Ordered  uint64          // bans by hand
	Removed  uint64          // by hand
	Ended    uint64          // by time
	Guarded  uint64          // bans not made since the address is never banned
	Spared   uint64          // bans not made since good consumers use the address
	Full     uint64          // bans not made since there was no room
	Evicted  uint64          // scores given up for higher ones
	Nameless uint64          // strikes without an address, which count for nobody
}
