package doctor

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"straum.dev/straum/internal/box"
	"straum.dev/straum/internal/box/boxtest"
	"straum.dev/straum/internal/config"
)

// resolver answers as it is told to, on loopback; it returns where.
func resolver(t *testing.T, code int) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, code)
		if code == dns.RcodeSuccess && len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(127, 0, 0, 1)})
		}
		_ = w.WriteMsg(m)
	})}
	done := make(chan error, 1)
	go func() { done <- s.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { _ = s.Shutdown(); <-done })
	return pc.LocalAddr().String()
}

func TestAskResolver(t *testing.T) {
	t.Parallel()
	for code, says := range map[int]string{dns.RcodeSuccess: "answers in", dns.RcodeServerFailure: "answers SERVFAIL for api.internal", dns.RcodeNameError: "knows no api.internal"} {
		holds(t, judgeServer(ask(context.Background(), resolver(t, code), "api.internal"), 0, 1, usualPatience), map[bool]box.Severity{true: box.Good, false: box.Warning}[code == dns.RcodeSuccess], says)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := pc.LocalAddr().String()
	_ = pc.Close()
	if told := ask(context.Background(), gone, "api.internal"); told.Err == nil {
		t.Error("a resolver that is not there answered")
	}
}

func TestResolvers(t *testing.T) {
	t.Parallel()
	dead, well := Told{Name: "api.internal", Err: context.DeadlineExceeded}, Told{Name: "api.internal", Took: 3 * time.Millisecond}
	slow := well
	slow.Took = 400 * time.Millisecond
	two := "search a.example b.example\nnameserver 10.0.0.2\nnameserver 10.0.0.3\noptions ndots:5 timeout:2\n"
	for name, c := range map[string]struct {
		resolv  string
		answers map[string]Told
		want    []box.Severity
		says    []string // of the finding in its place
	}{
		"well":         {"nameserver 10.0.0.2\n", map[string]Told{"10.0.0.2:53": well}, []box.Severity{box.Good}, []string{"answers in 3ms"}},
		"slow":         {"nameserver 10.0.0.2\n", map[string]Told{"10.0.0.2:53": slow}, []box.Severity{box.Hint}, []string{"takes 400ms"}},
		"first dead":   {two, map[string]Told{"10.0.0.2:53": dead, "10.0.0.3:53": well}, []box.Severity{box.Warning, box.Good, box.Hint}, []string{"about 2s a look-up", "", "ndots:5 with 2 search domains: api.internal is first"}},
		"second dead":  {two, map[string]Told{"10.0.0.2:53": well, "10.0.0.3:53": dead}, []box.Severity{box.Good, box.Hint, box.Hint}, nil},
		"all dead":     {two, map[string]Told{"10.0.0.2:53": dead, "10.0.0.3:53": dead}, []box.Severity{box.Bad, box.Bad, box.Hint}, []string{"nor does any other"}},
		"none":         {"# nothing\n", nil, []box.Severity{box.Unknown}, []string{"names no resolver"}},
		"no such file": {"", nil, []box.Severity{box.Unknown}, []string{"/etc/resolv.conf"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Patient{
				Machine: boxtest.Tree(t, "kvm-debian12", map[string]string{"/etc/resolv.conf": c.resolv}),
				Config:  &config.Config{Part: config.Part{Upstreams: []config.Upstream{*upstreamOf(t, "api.internal:80")}}},
				Probes:  Probes{Ask: func(_ context.Context, server, _ string) Told { return c.answers[server] }},
			}
			found := lookResolvers(context.Background(), p)
			if len(found) != len(c.want) {
				t.Fatalf("found %+v", found)
			}
			for i, f := range found {
				says := ""
				if i < len(c.says) {
					says = c.says[i]
				}
				holds(t, f, c.want[i], says)
			}
		})
	}
}

func TestLookedUp(t *testing.T) {
	u := upstreamOf(t, "api.internal:80")
	for _, more := range []string{"10.0.0.1:80", "unix:/run/x", "localhost:80", "https://api.internal", "b.internal:1"} {
		u.Endpoints = append(u.Endpoints, upstreamOf(t, more).Endpoints...)
	}
	own := upstreamOf(t, "c.internal:80")
	must(own.Resolve.Server.ParseText("10.0.0.9:53"))
	c := &config.Config{Part: config.Part{Upstreams: []config.Upstream{*u, *own}}}
	if got := strings.Join(lookedUp(c), " "); got != "api.internal b.internal" {
		t.Errorf("found %s", got)
	}
}

// Names are asked for as the system would: not those of /etc/hosts, and short ones below the search domains first.
func TestNamesAsTheSystemAsks(t *testing.T) {
	t.Parallel()
	look := func(hosts, resolv, name string, there ...string) ([]box.Finding, []string) {
		var mu sync.Mutex
		var tried []string
		p := &Patient{
			Machine: boxtest.Tree(t, "kvm-debian12", map[string]string{"/etc/hosts": hosts, "/etc/resolv.conf": resolv}),
			Config:  &config.Config{Part: config.Part{Upstreams: []config.Upstream{*upstreamOf(t, name+":80")}}},
			Probes: Probes{Ask: func(_ context.Context, _, name string) Told {
				mu.Lock()
				defer mu.Unlock()
				tried = append(tried, name)
				told := Told{Name: name, Took: time.Millisecond, Code: dns.RcodeNameError}
				if slices.Contains(there, name) {
					told.Code = dns.RcodeSuccess
				}
				return told
			}},
		}
		return lookResolvers(context.Background(), p), tried
	}
	for _, c := range []struct {
		hosts, resolv, name, there string
		want                       box.Severity
		tried                      string
	}{
		{"127.0.0.1 localhost\n", "search a.test b.test\nnameserver 10.0.0.2\n", "orders", "orders.b.test", box.Good, "orders.a.test orders.b.test"},
		{"127.0.0.1 localhost\n", "search a.test\nnameserver 10.0.0.2\n", "orders.b.test", "orders.b.test", box.Good, "orders.b.test"},
		{"127.0.0.1 localhost\n", "search a.test\nnameserver 10.0.0.2\n", "orders", "", box.Warning, "orders.a.test orders"},
		{"127.0.0.1 localhost # orders\n", "nameserver 10.0.0.2\n", "orders", "", box.Warning, "orders"},
	} {
		found, tried := look(c.hosts, c.resolv, c.name, c.there)
		if len(found) == 0 || found[0].Severity != c.want || strings.Join(tried, " ") != c.tried {
			t.Errorf("%s: tried %v, found %+v", c.name, tried, found)
		}
	}
	if found, tried := look("10.0.0.9 db Orders\n", "nameserver 10.0.0.2\n", "orders"); len(found) != 0 || tried != nil {
		t.Errorf("a name of /etc/hosts: tried %v, found %+v", tried, found)
	}
}

// FuzzResolv: whatever is in the file, a look ends, and asks no more than it may.
func FuzzResolv(f *testing.F) {
	f.Add("search a b\nnameserver 10.0.0.2\noptions ndots:5 timeout:2\n", "orders")
	f.Add("nameserver ::1%x\nsearch .\noptions ndots:-1 timeout:99999999999999999999\n", ".")
	f.Fuzz(func(t *testing.T, text, name string) {
		r := readResolv(text)
		if len(r.servers) > maxServers || r.patience <= 0 || len(r.tried(name)) > maxSearch+1 || len(r.tried(name)) == 0 {
			t.Errorf("%+v", r)
		}
		r.judgeSearch([]string{name})
	})
}

// An answer that does not fit is asked for again by TCP.
func TestAskResolverByTCP(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		t.Skip(err) // somebody else has the port
	}
	for _, s := range []*dns.Server{{PacketConn: pc}, {Listener: ln}} {
		cut := s.PacketConn != nil
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg)
			m.SetRcode(q, dns.RcodeRefused)
			m.Truncated = cut
			if cut {
				m.Rcode = dns.RcodeSuccess
			}
			_ = w.WriteMsg(m)
		})
		ready, done := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { done <- s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	if told := ask(t.Context(), ln.Addr().String(), "api.internal"); told.Err != nil || told.Code != dns.RcodeRefused {
		t.Errorf("got %+v", told)
	}
}
