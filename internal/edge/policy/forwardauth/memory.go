package forwardauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/fetch"
)

// digest stands for a sub-request, with all that the service may have decided by.
type digest [sha256.Size]byte

// memory is the consents of a service from a moment ago. When it is full, those that are used least are forgotten first. Refusals are not
// in it, so that a flood of bad credentials takes no room.
type memory struct {
	cache *otter.Cache[digest, *kept]
	life  time.Duration
	place string
	key   [32]byte // so that who reads the memory cannot try passwords against the digests alone
	hits  atomic.Uint64
}

// kept is a consent with its end, on the clock's scale.
type kept struct {
	consent *consent
	until   int64
}

func newMemory(size uint64, life time.Duration, place string) *memory {
	m := &memory{life: life, place: place}
	_, _ = rand.Read(m.key[:]) // never fails
	m.cache = otter.Must(&otter.Options[digest, *kept]{
		MaximumWeight: size,
		Weigher:       func(_ digest, k *kept) uint32 { return k.consent.weight() },
		// So that what a service says of people is not kept for longer. The judgement does not depend on it.
		ExpiryCalculator: otter.ExpiryWriting[digest, *kept](life),
		Logger:           &otter.NoopLogger{},
	})
	return m
}

// weight is about how many bytes a consent takes, with its place in the memory.
func (c *consent) weight() uint32 {
	n := 256 + len(c.subject) + len(c.consumer)
	for _, f := range c.fields {
		n += 32 + len(f.Value)
	}
	return uint32(n)
}

// digest is that of all that request puts into a sub-request but the URL, which is the memory's own. Each part has its length before it, so
// that no two sub-requests can be taken for one. It allocates nothing unless what is copied is long.
func (p *forwardAuth) digest(x *exchange.Exchange) digest {
	q := &x.Request
	b := make([]byte, 0, 1024)
	b = append(b, p.memory.key[:]...)
	for i := range q.Header.All() {
		f := &q.Header.All()[i]
		if c := p.copies(f); c != nil {
			b = part(part(b, c.name), f.Value)
		}
	}
	b = part(b, "") // no name is empty
	for _, text := range [...]string{q.Method, q.Scheme, q.Host, q.Port, q.Path, q.Query} {
		b = part(b, text)
	}
	b = address(x).AppendTo(b)
	return sha256.Sum256(b)
}

func part(b []byte, text string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...)
}

// find gives a consent that is still good.
func (m *memory) find(key digest, now int64) *consent {
	k, ok := m.cache.GetIfPresent(key)
	if !ok || now >= k.until {
		return nil
	}
	m.hits.Add(1)
	return k.consent
}

// keep remembers a consent that was asked for at the time begin, unless the service says that it is good for this once.
func (m *memory) keep(key digest, c *consent, begin int64, answer fetch.Header) {
	if life := lifetime(m.life, answer); life > 0 {
		m.cache.Set(key, &kept{c, begin + int64(life)})
	}
}

// lifetime is the operator's, or the service's own (RFC 9111 §5.2.2) where that is shorter.
func lifetime(life time.Duration, answer fetch.Header) time.Duration {
	for _, f := range answer {
		if !strings.EqualFold(f.Name, "Cache-Control") {
			continue
		}
		for part := range strings.SplitSeq(f.Value, ",") {
			name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), "=")
			switch name {
			case "no-store", "no-cache":
				return 0
			case "max-age":
				value = strings.Trim(value, `"`)
				if value == "" || strings.Trim(value, "0123456789") != "" {
					return 0
				}
				n, _ := strconv.ParseUint(value, 10, 31) // the largest if it is too large
				life = min(life, time.Duration(n)*time.Second)
			}
		}
	}
	return life
}

// Stop implements policy.Stopper.
func (m *memory) Stop() {
	m.cache.StopAllGoroutines()
	m.cache.InvalidateAll()
}

// Report implements policy.Reporter.
func (m *memory) Report(figure func(policy.Figure)) {
	labels := [][2]string{{"service", m.place}}
	figure(policy.Figure{Name: "forward_auth_remembered", Help: "Consents of a service that are remembered.", Labels: labels, Value: float64(m.cache.EstimatedSize())})
	figure(policy.Figure{Name: "forward_auth_remembered_total", Counter: true, Help: "Requests that a remembered consent let in.", Labels: labels, Value: float64(m.hits.Load())})
}
