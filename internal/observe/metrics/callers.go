package metrics

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"straum.dev/straum/internal/edge/exchange"
)

// MaxConsumers is how many consumers have series of their own in the life of a process, Other included: those that are seen first. What
// the rest ask for is counted under Other. A consumer takes about 50 bytes a shard.
const MaxConsumers = 1000

// MaxVerdicts is how many pairs of a policy and its word have series of their own, Other included.
const MaxVerdicts = 256

// numbers gives keys that come from the data path small numbers, which stay for the life of the process; 0 is Other, and is that of every
// key that comes when the room is used up. Finding one takes no lock and no allocation. Adding one copies the table, which happens no
// more often than there is room.
type numbers[K comparable] struct {
	most  int
	keep  func(K) K // a key that outlives the exchange, and is fit to be a label
	table atomic.Pointer[map[K]int]

	mu   sync.Mutex
	keys []K // by number
}

func newNumbers[K comparable](most int, other K, keep func(K) K) *numbers[K] {
	n := &numbers[K]{most: most, keep: keep, keys: []K{other}}
	n.table.Store(&map[K]int{other: 0}) // what is called so is counted with it
	return n
}

func (n *numbers[K]) of(key K) int {
	table := *n.table.Load()
	i, known := table[key]
	if known || len(table) >= n.most {
		return i
	}
	return n.add(key)
}

func (n *numbers[K]) add(key K) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	table := *n.table.Load()
	key = n.keep(key)
	i, known := table[key]
	if known || len(table) >= n.most {
		return i
	}
	table = maps.Clone(table)
	i = len(n.keys)
	table[key] = i
	n.keys = append(n.keys, key)
	n.table.Store(&table)
	return i
}

func (n *numbers[K]) list() []K {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.keys[:len(n.keys):len(n.keys)]
}

// plain is a label that does not hold on to the text it came in.
func plain(text string) string { return strings.ToValidUTF8(strings.Clone(text), "\ufffd") }

func plainVerdict(v exchange.Verdict) exchange.Verdict {
	return exchange.Verdict{Policy: plain(v.Policy), Word: plain(v.Word)}
}

// consumerCell counts what one consumer asked for, by class of the answer.
type consumerCell [classes]uint64

// judged are the numbers of an exchange's verdicts.
type judged struct {
	list [16]uint8 // more than an exchange holds
	n    int
}

func (m *Metrics) judged(x *exchange.Exchange) (j judged) {
	for _, v := range x.Verdicts[:min(len(x.Verdicts), len(j.list))] {
		j.list[j.n] = uint8(m.verdicts.of(v))
		j.n++
	}
	return j
}

// countCaller counts in a locked shard what became of who asked. It allocates only for a consumer that this shard has not seen before.
func (s *shard) countCaller(j *judged, consumer, status int) {
	for _, i := range j.list[:j.n] {
		s.verdicts[i]++
	}
	if consumer < 0 {
		return
	}
	if consumer >= len(s.consumers) {
		s.consumers = append(s.consumers, make([]consumerCell, consumer+1-len(s.consumers))...)
	}
	s.consumers[consumer][classOf(status)]++
}

// consumer is the number of who asked, -1 for somebody who is no consumer of the configuration.
func (m *Metrics) consumer(x *exchange.Exchange) int {
	if c := x.Caller.Consumer; c != nil {
		return m.consumers.of(c.ID)
	}
	return -1
}

func (m *Metrics) collectCallers(out output) {
	pairs, ids := m.verdicts.list(), m.consumers.list()
	var judged [MaxVerdicts]uint64
	asked := make([]consumerCell, len(ids))
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		add(judged[:], s.verdicts[:])
		for slot := range min(len(s.consumers), len(asked)) {
			add(asked[slot][:], s.consumers[slot][:])
		}
		s.mu.Unlock()
	}
	for i, pair := range pairs {
		out.some(verdicts, judged[i], pair.Policy, pair.Word)
	}
	for slot, id := range ids {
		for class, n := range asked[slot] {
			out.some(byConsumer, n, id, classNames[class])
		}
	}
}
