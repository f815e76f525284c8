package edge_test

import (
	"runtime"
	"strings"
	"testing"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/test/wire"
)

// A client's word about who calls never reaches an endpoint, whatever policies a route has; nor does a field that CGI takes for one.
func TestClientsCannotSayWhoCalls(t *testing.T) {
	f := func(name string, set func(*setup), want string) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			r := &wire.Recorder{}
			e := wire.Listen(t, wire.Recording(r, func(*wire.Message) string { return wire.OK("fine") }))
			g := start(t, set, e.Addr)
			if m, _ := g.ask(get + "\nX-Consumer-Id: root\nx-auth-scope: all\nX_Consumer_Name: root\nX-Anonymous-Consumer: true\nX-Consumer: kept"); m.Status() != 200 {
				t.Fatalf("%s", m)
			}
			var told []string
			for _, field := range r.One(t).Fields {
				name := strings.ToLower(field.Name)
				if (strings.HasPrefix(name, "x-") && !strings.HasPrefix(name, "x-forwarded-") && name != "x-real-ip") || strings.Contains(field.Name, "_") {
					told = append(told, field.Name+": "+field.Value)
				}
			}
			if got := strings.Join(told, ", "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	f("no policy", nil, "X-Consumer: kept")
	f("anonymous", func(s *setup) {
		s.chain.Add("authenticate", &policy.Terms{Anonymous: &consumer.Consumer{ID: "guest", Name: "Guest"}})
		s.chain.Add("nobody", nobody{})
	}, "X-Consumer: kept, X-Consumer-Id: guest, X-Consumer-Name: Guest, X-Anonymous-Consumer: true")
}

// nobody is a method that finds no credential.
type nobody struct{}

func (nobody) Authenticate(*exchange.Exchange) policy.Finding { return policy.Nothing }
func (nobody) Challenge(x *exchange.Exchange, _ policy.Finding) {
	x.Challenges = append(x.Challenges, `Bearer realm="api"`, `Basic realm="api"`)
}
func (nobody) Hide(*exchange.Exchange, policy.Finding) {}

// A 401 says what would be good, each kind in a field of its own (RFC 9110 §11.6.1), and only a 401 or 403 does.
func TestChallenges(t *testing.T) {
	g := start(t, func(s *setup) { s.chain.Add("nobody", nobody{}) }, dead(t))
	m, r := g.ask(get)
	if got := readProblem(t, m); m.Status() != 401 || got.Code != "unauthenticated" || r.fault != "unauthenticated" {
		t.Errorf("%s, %+v", m, r)
	}
	if got := strings.Join(m.Values("WWW-Authenticate"), ", "); got != `Bearer realm="api", Basic realm="api"` {
		t.Errorf("told %s", got)
	}
	g = start(t, func(s *setup) { s.chain.Add("unavailable", unavailable{}) }, dead(t))
	if m, _ := g.ask(get); m.Status() != 503 || m.Get("WWW-Authenticate") != "" {
		t.Errorf("%s", m)
	}
}

// unavailable is a policy that has said what would be good before it found out that it cannot tell.
type unavailable struct{}

func (unavailable) Request(x *exchange.Exchange) {
	x.Challenges = append(x.Challenges, "Bearer")
	x.Fail(fault.New(fault.AuthUnavailable, nil))
}

// reserving is a policy that tells endpoints who calls under a name of the operator's choice.
type reserving struct{ names *exchange.Names }

func (p reserving) Request(x *exchange.Exchange) {
	x.Request.Reserve(p.names)
	x.Request.Header.Add("X-User", "alice")
}

// A name that a policy has reserved is the policy's in the header and in the trailers, however it is spelt.
func TestReservedNames(t *testing.T) {
	r := &wire.Recorder{}
	e := wire.Listen(t, wire.Recording(r, func(*wire.Message) string { return wire.OK("fine") }))
	g := start(t, func(s *setup) { s.chain.Add("reserving", reserving{exchange.NewNames("X-User", "X-Role")}) }, e.Addr)
	if m, _ := g.ask("POST /things HTTP/1.1\nHost: a\nX-User: root\nx_role: root\nX-Users: kept\nTransfer-Encoding: chunked\n\n" +
		"4\r\nbody\r\n0\r\nX-User: root\r\nx-role: root\r\nX-Sum: kept\r\n\r\n"); m.Status() != 200 {
		t.Fatalf("%s", m)
	}
	m := r.One(t)
	if got := strings.Join(m.Values("X-User"), ","); got != "alice" || m.Get("x_role") != "" || m.Get("X-Users") != "kept" {
		t.Errorf("header %+v", m.Fields)
	}
	if len(m.Trailers) != 1 || m.Trailers[0].Name != "X-Sum" || string(m.Body) != "body" {
		t.Errorf("trailers %+v", m.Trailers)
	}
}

// Who is shut out while the head of a request is on its way is shut out for that request too: a head can take its time.
func TestSnapshotOfASlowHead(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("fine")))
	g := start(t, nil, e.Addr)
	c := wire.Dial(t, g.addr)
	if m, _ := g.askOn(c, get); m.Status() != 200 {
		t.Fatalf("%s", m)
	}
	c.Send("GET /things HTTP/1.1\r\nHost: a")
	await(t, "the head is being read", func() bool {
		stacks := make([]byte, 1<<20)
		return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "edge.(*Listener).Serve")
	})
	next := *g.setup
	next.chain.Add("nobody", nobody{})
	g.use(&next)
	c.Send("pi.example.com\r\n\r\n")
	if m := c.Answer("GET"); m.Status() != 401 {
		t.Errorf("%s", m)
	}
}
