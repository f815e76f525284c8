package balance

import "fmt"

// Limits of a balancer. Their product keeps every sum of weights below 2^32.
const (
	MaxMembers = 65535
	MaxWeight  = 65535
)

// Member is one endpoint as a balancer sees it.
type Member struct {
	// ID names the endpoint, usually by its address. Hash and sticky derive from it which endpoint a key means, so it
	// should be the same on every node of a fleet and after every restart.
	ID string
	// Weight is this member's share in relation to the others, 0 to MaxWeight. 0 = takes no new traffic.
	Weight int
	// Load is shared with the upstream and survives the balancer.
	Load *Load
}

// Balancer picks a member for one attempt. It is safe for concurrent use and allocates nothing.
type Balancer interface {
	// Pick returns the index of the member in the list the balancer was built from. ok is false only if no member has a
	// weight above 0.
	//
	// key says what the choice depends on for hash (see Key) and which endpoint is meant for sticky (see Member.Key);
	// the other kinds ignore it. random is any uniformly distributed number, fresh for each call. now is the time in
	// nanoseconds on the scale of the Loads.
	Pick(key, random uint64, now int64, tried Tried) (index int, ok bool)
}

// Kind names a way of picking.
type Kind uint8

const (
	LeastRequests Kind = iota // fewest requests in flight for its weight; the default
	RoundRobin                // in turn, by weight
	Random                    // by chance, by weight
	Latency                   // the cheaper of two random ones: latency × requests in flight
	Hash                      // the same key, the same endpoint, as long as it is usable
	Sticky                    // the endpoint the key names, else as another kind picks
)

var kindNames = [...]string{"least_requests", "round_robin", "random", "latency", "hash", "sticky"}

// String returns the word used in configuration, logs and metrics.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind is the inverse of Kind.String.
func ParseKind(word string) (Kind, error) {
	for k, name := range kindNames {
		if name == word {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("balance: unknown kind %q, want one of %q", word, kindNames)
}

// Settings say how to pick. The zero value is least requests without slow start.
type Settings struct {
	Kind Kind
	// SlowStart is the time in nanoseconds in which an endpoint that became usable grows from 10 % of its weight to all
	// of it. 0 = at once.
	SlowStart int64
	// Bound limits, for Hash, how many requests in flight an endpoint may have before its keys go to their next choice,
	// in percent of its fair share ("consistent hashing with bounded loads", Mirrokni, Thorup, Zadimoghaddam 2016).
	// 0 = no limit; otherwise above 100. 125 suits most.
	Bound int
	// Otherwise picks, for Sticky, when the key names no usable endpoint. Anything but Sticky.
	Otherwise Kind
}

// New builds a balancer for the members. The slice is copied; the Loads are shared.
func New(members []Member, s Settings) (Balancer, error) {
	if len(members) > MaxMembers {
		return nil, fmt.Errorf("balance: %d members, at most %d are possible; split the upstream", len(members), MaxMembers)
	}
	for i, m := range members {
		if m.Load == nil {
			panic("BUG: balance.New: member " + m.ID + " has no Load")
		}
		if m.Weight < 0 || m.Weight > MaxWeight {
			return nil, fmt.Errorf("balance: member %d (%s) has weight %d, want 0 to %d", i, m.ID, m.Weight, MaxWeight)
		}
	}
	if s.SlowStart < 0 {
		return nil, fmt.Errorf("balance: slow start of %d ns, want 0 or more", s.SlowStart)
	}
	if s.Bound != 0 && s.Bound <= 100 {
		return nil, fmt.Errorf("balance: bound of %d %%, want 0 for none or more than 100", s.Bound)
	}
	pool := newPool(members, s.SlowStart)
	if s.Kind != Sticky {
		return newKind(s.Kind, pool, s)
	}
	if s.Otherwise == Sticky {
		return nil, fmt.Errorf("balance: sticky falls back to sticky; choose another kind")
	}
	otherwise, err := newKind(s.Otherwise, pool, s)
	if err != nil {
		return nil, err
	}
	return newSticky(members, otherwise), nil
}

func newKind(k Kind, p *pool, s Settings) (Balancer, error) {
	switch k {
	case LeastRequests:
		return &leastRequests{pool: p}, nil
	case RoundRobin:
		return newRoundRobin(p), nil
	case Random:
		return &random{pool: p}, nil
	case Latency:
		return &latency{pool: p}, nil
	case Hash:
		return &hash{pool: p, bound: uint64(s.Bound)}, nil
	}
	return nil, fmt.Errorf("balance: unknown %s", k)
}
