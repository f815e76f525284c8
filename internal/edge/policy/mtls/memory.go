package mtls

import (
	"crypto/x509"
	"hash/maphash"
	"sync/atomic"
)

// places is how many certificates are remembered at most. More than that, at once and on one route, are judged again now and then, which takes
// some microseconds.
const places = 4096

// memory remembers judgements of the certificates of connections. All requests of a connection have the same certificate, by its address,
// which cannot become another's while it is remembered. Each has one place, where it pushes out whichever was there. It belongs to one
// revision, as do the judgements. The zero value is ready.
type memory struct {
	places [places]atomic.Pointer[judgement]
}

// seed makes places of addresses. It holds no state.
var seed = maphash.MakeSeed()

func (m *memory) place(c *x509.Certificate) *atomic.Pointer[judgement] {
	return &m.places[maphash.Comparable(seed, c)%places]
}

// find gives the judgement of a certificate, nil when it is not remembered.
func (m *memory) find(c *x509.Certificate) *judgement {
	if j := m.place(c).Load(); j != nil && j.certificate == c {
		return j
	}
	return nil
}

func (m *memory) keep(j *judgement) { m.place(j.certificate).Store(j) }
