package resolve

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer answers questions over UDP on loopback, all with what was set last.
type dnsServer struct {
	conn net.PacketConn

	mu        sync.Mutex
	rcode     dnsmessage.RCode
	silent    bool
	addresses []netip.Addr
	questions map[string]int
}

func newDNSServer(t *testing.T) *dnsServer {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &dnsServer{conn: conn, questions: map[string]int{}}
	var wg sync.WaitGroup
	wg.Go(d.serve)
	t.Cleanup(func() {
		conn.Close()
		wg.Wait()
	})
	return d
}

func (d *dnsServer) answer(rcode dnsmessage.RCode, silent bool, addresses ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rcode, d.silent, d.addresses = rcode, silent, nil
	for _, a := range addresses {
		d.addresses = append(d.addresses, netip.MustParseAddr(a))
	}
}

func (d *dnsServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := d.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := d.reply(buf[:n]); reply != nil {
			d.conn.WriteTo(reply, from)
		}
	}
}

func (d *dnsServer) reply(packet []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	var asked dnsmessage.Message
	if asked.Unpack(packet) != nil || len(asked.Questions) != 1 {
		return nil
	}
	q := asked.Questions[0]
	d.questions[q.Name.String()+" "+q.Type.String()]++
	if d.silent {
		return nil
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: asked.ID, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: d.rcode},
		Questions: asked.Questions,
	}
	for _, a := range d.addresses {
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			r.Body = &dnsmessage.AResource{A: a.As4()}
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			r.Body = &dnsmessage.AAAAResource{AAAA: a.As16()}
		default:
			continue
		}
		m.Answers = append(m.Answers, r)
	}
	packet, err := m.Pack()
	if err != nil {
		return nil
	}
	return packet
}

// TestRealDNS goes through net.Resolver and a socket: answers, their change, each way to fail, and recovery.
func TestRealDNS(t *testing.T) {
	d := newDNSServer(t)
	d.answer(dnsmessage.RCodeServerFailure, false)
	type told struct {
		err  error
		kept int
	}
	sets, tellings := make(chan []netip.Addr, 16), make(chan told, 16)
	// The dot keeps the search list of the machine out.
	const name = "api.straum.test."
	r := New(Settings{Every: time.Second, Timeout: 200 * time.Millisecond, Server: d.conn.LocalAddr().String()}, nil,
		middle, func(_ string, err error, kept int) { tellings <- told{err, kept} })
	defer r.Close()
	defer r.Watch(name, func(set []netip.Addr) { sets <- set })()

	hear := func(addresses ...string) {
		t.Helper()
		var want []netip.Addr
		for _, a := range addresses {
			want = append(want, netip.MustParseAddr(a))
		}
		select {
		case got := <-sets:
			if !slices.Equal(got, want) {
				t.Fatalf("heard %v, want %v", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing heard")
		}
	}
	tell := func(k kind, kept int, text string) {
		t.Helper()
		select {
		case got := <-tellings:
			if kindOf(got.err) != k || got.kept != kept || k != fine && !strings.Contains(got.err.Error(), text) {
				t.Fatalf("told %v, kept %d, want kind %d with %q, kept %d", got.err, got.kept, k, text, kept)
			}
			// net.Resolver itself would name a server of resolv.conf.
			if e := (*net.DNSError)(nil); errors.As(got.err, &e) && e.Server != d.conn.LocalAddr().String() {
				t.Fatalf("%v blames server %q", got.err, e.Server)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing told")
		}
	}

	tell(other, 0, "server misbehaving")
	d.answer(dnsmessage.RCodeSuccess, false, "10.0.0.2", "10.0.0.1", "fd00::1")
	hear("10.0.0.1", "10.0.0.2", "fd00::1")
	tell(fine, 3, "")
	if err := r.ResolveNow(t.Context(), []string{name}); err != nil {
		t.Error(err)
	}
	d.answer(dnsmessage.RCodeSuccess, false, "10.0.0.3") // and no data for AAAA
	hear("10.0.0.3")
	d.answer(dnsmessage.RCodeNameError, false)
	tell(notFound, 1, "no such host")
	d.answer(dnsmessage.RCodeRefused, false)
	tell(other, 1, "server misbehaving")
	d.answer(dnsmessage.RCodeSuccess, true, "10.0.0.4")
	tell(timeout, 1, "no answer within the timeout")
	d.answer(dnsmessage.RCodeSuccess, false, "10.0.0.5", "fd00::5")
	hear("10.0.0.5", "fd00::5")
	tell(fine, 2, "")

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.questions[name+" TypeA"] == 0 || d.questions[name+" TypeAAAA"] == 0 || len(d.questions) != 2 {
		t.Errorf("questions %v", d.questions)
	}
}
