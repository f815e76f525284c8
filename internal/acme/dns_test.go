package acme

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const updateSecret = "c2VjcmV0IG9mIHRoZSB1cGRhdGUga2V5IG9mIHRlc3Q="

// zone is a name server for example.com that takes signed updates (RFC 2136 §3) and answers questions for SOA and TXT.
type zone struct {
	address string
	mu      sync.Mutex
	texts   map[string][]string
	added   int
	unsign  bool // it signs no answers
}

func newZone(t *testing.T) *zone {
	t.Helper()
	z := &zone{texts: map[string][]string{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z.address = l.Addr().String()
	p, err := net.ListenPacket("udp", z.address)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"update.": updateSecret}
	// The server's default refuses updates before anybody sees them.
	accept := func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
	for _, s := range []*dns.Server{{Listener: l, Handler: z, TsigSecret: secrets, MsgAcceptFunc: accept}, {PacketConn: p, Handler: z, TsigSecret: secrets, MsgAcceptFunc: accept}} {
		go func() { _ = s.ActivateAndServe() }()
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return z
}

func (z *zone) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(r)
	z.mu.Lock()
	defer z.mu.Unlock()
	key := r.IsTsig()
	switch {
	case r.Opcode == dns.OpcodeUpdate && (key == nil || w.TsigStatus() != nil):
		m.Rcode = dns.RcodeNotAuth
	case r.Opcode == dns.OpcodeUpdate && r.Question[0].Name != "example.com.":
		m.Rcode = dns.RcodeNotZone
	case r.Opcode == dns.OpcodeUpdate:
		for _, rr := range r.Ns {
			txt, ok := rr.(*dns.TXT)
			if !ok {
				m.Rcode = dns.RcodeFormatError
				break
			}
			name, value := rr.Header().Name, strings.Join(txt.Txt, "")
			switch rr.Header().Class {
			case dns.ClassINET: // add
				z.texts[name] = append(z.texts[name], value)
				z.added++
			case dns.ClassNONE: // remove exactly this
				z.texts[name] = slices.DeleteFunc(z.texts[name], func(v string) bool { return v == value })
			}
		}
	case r.Question[0].Qtype == dns.TypeSOA && r.Question[0].Name == "example.com.":
		m.Answer = append(m.Answer, &dns.SOA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1}, Ns: "ns.example.com.", Mbox: "x.example.com.", Refresh: 1})
	case r.Question[0].Qtype == dns.TypeTXT:
		for _, v := range z.texts[r.Question[0].Name] {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{v}})
		}
	}
	if key != nil && w.TsigStatus() == nil && !z.unsign {
		m.SetTsig(key.Hdr.Name, key.Algorithm, 300, time.Now().Unix())
	}
	_ = w.WriteMsg(m)
}

// left is how many records there are.
func (z *zone) left() (left, added int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, v := range z.texts {
		left += len(v)
	}
	return left, z.added
}

// A wildcard and its own name, whose records have the same name, by updates of a zone. The record is looked for before the
// authority is told to look, and gone afterwards.
func TestDNS01ByUpdate(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	z := newZone(t)
	a := newAuthority(t, g, month, func(a *authority) { a.resolve = z.address })
	m := g.manage("")
	s := a.settings(DNS01, "*.api.example.com", "api.example.com")
	s.DNS = DNS{Update: &Update{Server: z.address, KeyName: "Update", Secret: updateSecret}, resolvers: []string{z.address}}
	g.apply(s)
	g.until("*.api.example.com", "issued", issued)
	g.until("api.example.com", "issued", issued)
	if c := g.mustShow("orders.api.example.com", a.roots()); c.DNSNames[0] != "*.api.example.com" {
		t.Errorf("names %v", c.DNSNames)
	}
	if c := g.mustShow("api.example.com", a.roots()); c.DNSNames[0] != "api.example.com" {
		t.Errorf("names %v", c.DNSNames)
	}
	if _, err := g.shown("a.b.api.example.com", nil); err == nil {
		t.Error("the asterisk stands for two labels")
	}
	if left, added := z.left(); left != 0 || added != 2 {
		t.Errorf("%d records were added, %d are left", added, left)
	}
	if m.Stats().Failed != 0 {
		t.Errorf("stats %+v", m.Stats())
	}
}

// What goes wrong with updates is said in words.
func TestDNS01UpdateRefused(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	z := newZone(t)
	a := newAuthority(t, g, month, func(a *authority) { a.resolve = z.address })
	g.manage("")
	good := Update{Server: z.address, KeyName: "update", Secret: updateSecret}
	wrong, unknown, sha512, gone := good, good, good, good
	wrong.Secret = "d3Jvbmc="
	unknown.KeyName = "other"
	sha512.Algorithm = "HMAC-SHA512"
	gone.Server = freeAddress()
	for name, c := range map[string]struct {
		update Update
		unsign bool
		want   string
	}{
		"secret":   {wrong, false, "refused to update zone example.com.: NOTAUTH"},
		"key":      {unknown, false, "refused to update zone example.com.: NOTAUTH"},
		"unsigned": {good, true, "did not sign its answer"},
		"gone":     {gone, false, "updating zone example.com. at the name server " + gone.Server + ": dial tcp"},
		"fine":     {sha512, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			z.mu.Lock()
			z.unsign = c.unsign
			z.mu.Unlock()
			s := a.settings(DNS01, strings.ToLower(name)+".example.com")
			s.DNS = DNS{Update: &c.update, resolvers: []string{z.address}, unseen: true}
			g.apply(s)
			st := g.until(s.Names[0], "outcome", func(s Status) bool { return s.State == Failed || s.State == Issued })
			if c.want == "" && st.State != Issued || !strings.Contains(st.Error, c.want) {
				t.Errorf("status %+v, want error %q", st, c.want)
			}
		})
	}
}

// A program writes the records: this very test binary, which hands them to a provider's interface.
func TestDNS01ByProgram(t *testing.T) {
	g := newGateway(t)
	a := newAuthority(t, g, month)
	m := g.manage("")
	var mu sync.Mutex
	var calls [][]string
	refuse := false
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var args []string
		mu.Lock()
		defer mu.Unlock()
		if err := json.NewDecoder(r.Body).Decode(&args); err != nil || refuse {
			http.Error(w, "quota\nexceeded", http.StatusForbidden)
			return
		}
		calls = append(calls, args)
		switch args[0] {
		case "present":
			names.AddDNSTXTRecord(args[1], args[2])
		case "cleanup":
			names.DeleteDNSTXTRecord(args[1])
		}
	}))
	defer provider.Close()
	t.Setenv("STRAUM_TEST_RECORDS", provider.URL)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := a.settings(DNS01, "*.program.example.com")
	s.DNS = DNS{Program: &Program{Path: self, Args: []string{"with space; $HOME"}}}
	mu.Lock()
	refuse = true
	mu.Unlock()
	g.apply(s)
	st := g.until("*.program.example.com", "failed", func(s Status) bool { return s.State == Failed })
	if !strings.Contains(st.Error, "exit status 1: the provider says: quota exceeded") {
		t.Errorf("error %q", st.Error)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	g.until("*.program.example.com", "issued", issued)
	g.mustShow("orders.program.example.com", a.roots())
	mu.Lock()
	defer mu.Unlock()
	if len(calls) != 2 || calls[0][0] != "present" || calls[1][0] != "cleanup" || calls[0][1] != "_acme-challenge.program.example.com" || calls[0][2] != calls[1][2] || len(calls[0][2]) != 43 {
		t.Errorf("calls %q", calls)
	}
	if len(names.GetDNSTXTRecords("_acme-challenge.program.example.com")) != 0 {
		t.Error("the record is left")
	}
	_ = m
}

// A program that hangs is killed with what it started, and what it prints without end is not kept.
func TestProgramBounded(t *testing.T) {
	p := &Program{Path: "/bin/sh", Args: []string{"-c", "head -c 100000 /dev/zero | tr '\\0' x; sleep 1000 & echo child $!; wait"}, Timeout: 300 * time.Millisecond}
	if _, err := os.Stat(p.Path); err != nil {
		t.Skip("no shell here")
	}
	err := p.run(t.Context(), "present", "name", "value")
	if err == nil || !strings.Contains(err.Error(), "not done within 300ms") || len(err.Error()) > outputMost+200 {
		t.Fatalf("%d bytes of error: %.200v", len(err.Error()), err)
	}
	_, child, _ := strings.Cut(err.Error(), "child ")
	if _, err := strconv.Atoi(child); err != nil {
		t.Fatal(err)
	}
	await(t, "the child is gone", func() bool {
		state, err := os.ReadFile("/proc/" + child + "/stat")
		return err != nil || strings.Contains(string(state), ") Z ")
	}, func() any { return child })
}
