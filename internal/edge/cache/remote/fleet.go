package remote

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/edge/cache/object"
	"straum.dev/straum/internal/edge/cache/purge"
)

// fleet is what gateways tell each other. It is the ear of the channel: it hands what it hears to runFleet, which also finds out what was missed.
type fleet struct {
	store  *Store
	hearer Fleet
	node   string

	up    atomic.Bool
	state atomic.Uint64 // a number that grows whenever something may be missed, and in the lowest bit whether the log was read since
	lost  atomic.Int64  // Unix time in nanoseconds until which all was heard; 0 for nothing yet
	mail  chan string
	wake  chan struct{}
}

// maxMail is how many messages may wait to be looked at. When more come, it is as if the connection had been lost.
const maxMail = 4096

func newFleet(s *Store, hearer Fleet) *fleet {
	return &fleet{store: s, hearer: hearer, node: random(), mail: make(chan string, maxMail), wake: make(chan struct{}, 1)}
}

// Up implements redis.Ear.
func (f *fleet) Up() {
	f.behind()
	f.up.Store(true)
	f.nudge()
}

// Heard implements redis.Ear.
func (f *fleet) Heard(message string) {
	select {
	case f.mail <- message:
	default:
		f.store.figures.missed.Add(1)
		f.behind()
		f.nudge()
	}
}

// Down implements redis.Ear.
func (f *fleet) Down() {
	f.up.Store(false)
	f.behind()
}

// inStep says whether nothing was missed.
func (f *fleet) inStep() bool { return f.state.Load()&1 != 0 }

// behind notes that something may be missed from now on, or has been.
func (f *fleet) behind() {
	for {
		old := f.state.Load()
		if f.state.CompareAndSwap(old, (old>>1+1)<<1) {
			if old&1 != 0 {
				// Whoever loses the connection knows it two seconds later at most.
				f.lost.Store(f.store.now() - int64(3*time.Second))
			}
			return
		}
	}
}

func (f *fleet) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// again is how often what failed is tried again.
const again = 500 * time.Millisecond

func (f *fleet) runFleet() {
	ticker := time.NewTicker(again)
	defer ticker.Stop()
	for {
		select {
		case <-f.store.ctx.Done():
			return
		case message := <-f.mail:
			f.take(message)
			continue
		case <-f.wake:
		case <-ticker.C:
		}
		if f.up.Load() && !f.inStep() {
			f.catchUp()
		}
		if f.store.pay() {
			f.nudge() // for the rest, after the mail
		}
	}
}

// catchUp reads the log. What was published since the connection came lies in the mail or in the log, or in both.
func (f *fleet) catchUp() {
	state := f.state.Load()
	now := f.store.now()
	err := f.store.readLog(func(r purge.Rule) {
		if f.hearer != nil {
			f.hearer.Purged(r)
		}
	})
	if err != nil {
		f.store.figures.failed.Add(1)
		return
	}
	if f.hearer != nil {
		f.hearer.Gap(f.lost.Load(), now)
	}
	if f.state.CompareAndSwap(state, state|1) {
		f.store.figures.caught.Add(1)
	} else {
		f.nudge() // something was missed meanwhile
	}
}

// What messages say.
const (
	aRule     = 'r'
	aDeletion = 'd'
)

// message is one of the channel. Sealed it is the sender's name, what it says, and that.
type message struct {
	node string
	what byte
	rule purge.Rule
	key  object.Key
	at   int64
}

const nodeLength = 32

func (f *fleet) rule(r *purge.Rule) []byte {
	return f.store.names.seal(nil, r.Append(append([]byte(f.node), aRule)), channel)
}

func (f *fleet) deletion(k object.Key, at int64) []byte {
	plain := binary.BigEndian.AppendUint64(append([]byte(f.node), aDeletion), uint64(at))
	return f.store.names.seal(nil, append(plain, k[:]...), channel)
}

func (f *fleet) unseal(sealed []byte) (m message, ok bool) {
	plain, ok := f.store.names.open(sealed, channel)
	if !ok || len(plain) < nodeLength+1 {
		return m, false
	}
	m.node, m.what, plain = string(plain[:nodeLength]), plain[nodeLength], plain[nodeLength+1:]
	switch {
	case m.what == aRule:
		var err error
		m.rule, err = purge.Read(string(plain))
		return m, err == nil
	case m.what == aDeletion && len(plain) == 8+len(m.key):
		m.at, m.key = int64(binary.BigEndian.Uint64(plain)), object.Key(plain[8:])
		return m, true
	}
	return m, false
}

// take looks at one message.
func (f *fleet) take(text string) {
	m, ok := f.unseal([]byte(text))
	if !ok {
		if f.store.figures.foreign.Add(1) == 1 {
			f.store.log.Warn("the cache heard something on the channel of purges that was not sealed with its secret; gateways of one fleet need the same secret",
				"channel", channel)
		}
		return
	}
	if m.node == f.node {
		return
	}
	f.store.figures.heard.Add(1)
	if f.hearer == nil {
		return
	}
	// Whatever the sender's clock says, what we asked for before we heard it may be what is to go.
	now := f.store.now()
	if m.what == aRule {
		m.rule.At = max(m.rule.At, now)
		f.hearer.Purged(m.rule)
	} else {
		f.hearer.Deleted(m.key, max(m.at, now))
	}
}
