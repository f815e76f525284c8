package dns

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers for every name with the addresses it was given last, or fails as it was told.
type nameServer struct {
	addr    string
	queries atomic.Int64

	mu        sync.Mutex
	addresses []netip.Addr
	code      dnsmessage.RCode
	silent    bool
}

func newNameServer(t *testing.T, addresses ...string) *nameServer {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := &nameServer{addr: c.LocalAddr().String()}
	s.set(addresses...)
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			s.queries.Add(1)
			if answer := s.answer(buf[:n]); answer != nil {
				c.WriteTo(answer, from)
			}
		}
	}()
	return s
}

// set makes it answer with addresses.
func (s *nameServer) set(addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses, s.code, s.silent = nil, dnsmessage.RCodeSuccess, false
	for _, a := range addresses {
		s.addresses = append(s.addresses, netip.MustParseAddr(a))
	}
}

// fail makes it answer with an error, or not at all.
func (s *nameServer) fail(code dnsmessage.RCode, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses, s.code, s.silent = nil, code, silent
}

func (s *nameServer) answer(query []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p dnsmessage.Parser
	head, err := p.Start(query)
	if err != nil || s.silent {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: head.ID, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: s.code})
	b.StartQuestions()
	b.Question(q)
	b.StartAnswers()
	for _, a := range s.addresses {
		if q.Type == dnsmessage.TypeA && a.Is4() {
			b.AResource(dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}, dnsmessage.AResource{A: a.As4()})
		}
	}
	answer, _ := b.Finish() // what was built cannot be too long
	return answer
}
