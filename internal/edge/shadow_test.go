package edge_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/edge/policy/mirror"
	"straum.dev/straum/internal/edge/policy/rewrite"
	"straum.dev/straum/internal/edge/policytest"
	"straum.dev/straum/internal/edge/route"
	"straum.dev/straum/internal/edge/upstream"
	"straum.dev/straum/test/wire"
)

// doubled is a gateway whose requests go to a second upstream, up, too.
type doubled struct {
	*gateway
	world *policytest.World
	up    *upstream.Upstream
}

// double starts one with these policies. change may be nil.
func double(t *testing.T, change func(shadow *upstream.Settings, r *edge.Route), endpoint, shadow string, uses ...policytest.Use) *doubled {
	t.Helper()
	g := start(t, nil, endpoint)
	d := &doubled{gateway: g, world: policytest.New(t)}
	d.world.Shadow = edge.NewShadow(slog.New(slog.NewTextHandler(g.log, nil)))
	second := g.setup.upstream
	second.Name, second.Endpoints = "up", []upstream.Endpoint{{Address: shadow, Weight: 1}}
	r := g.setup.route
	r.Chain = d.world.Policies(uses...).Chain
	if change != nil {
		change(&second, &r)
	}
	live, err := g.set.Prepare([]upstream.Settings{g.setup.upstream, second})
	if err != nil {
		t.Fatal(err)
	}
	r.Upstream, d.up = live["api"], live["up"]
	var b route.Builder
	b.Add(route.Spec{Name: "all", Paths: []string{"/*"}})
	table, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	g.edge.Use(&edge.Snapshot{Revision: 2, Table: table, Routes: []*edge.Route{&r}, Default: &g.setup.chain, Upstreams: live})
	return d
}

// figures are what became of the copies.
func (d *doubled) figures() string {
	var b strings.Builder
	d.world.State.Each(func(r policy.Reporter) {
		r.Report(func(f policy.Figure) {
			if f.Value != 0 {
				fmt.Fprintf(&b, "%s", strings.TrimPrefix(f.Name, "mirror_"))
				for _, l := range f.Labels[2:] {
					fmt.Fprintf(&b, " %s", l[1])
				}
				fmt.Fprintf(&b, "=%v ", f.Value)
			}
		})
	})
	return strings.TrimSpace(b.String())
}

func (d *doubled) becomes(t *testing.T, want string) {
	t.Helper()
	for by := time.Now().Add(wire.Patience); d.figures() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(by) {
			t.Fatalf("figures: %s, want %s", d.figures(), want)
		}
	}
}

func copies(options string) policytest.Use { return policytest.Use{Kind: mirror.Kind, YAML: options} }

// copied waits for the next copy.
func copied(t *testing.T, seen *wire.Recorder) *wire.Message {
	t.Helper()
	var all []*wire.Message
	await(t, "a copy", func() bool { all = append(all, seen.Take()...); return len(all) > 0 })
	if len(all) > 1 {
		t.Fatalf("%d copies", len(all))
	}
	return all[0]
}

// TestShadow: the copy is what the endpoint gets, but for the field that says that it is one; the client gets the endpoint's answer.
func TestShadow(t *testing.T) {
	var first, second wire.Recorder
	answer := func(m *wire.Message, head, content string) string {
		if m.Method() == "HEAD" {
			content = ""
		}
		return head + content
	}
	e := wire.Listen(t, wire.Recording(&first, func(m *wire.Message) string {
		return answer(m, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "mine")
	}))
	s := wire.Listen(t, wire.Recording(&second, func(m *wire.Message) string {
		return answer(m, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\n", "other")
	}))
	d := double(t, func(_ *upstream.Settings, r *edge.Route) {
		var err error
		if r.Rewrite, err = route.NewRewrite("/v2/{*}", []string{"/*"}); err != nil {
			t.Fatal(err)
		}
	}, e.Addr, s.Addr, copies("{upstream: up}"))
	long := strings.Repeat("clay ", 4000)
	c := wire.Dial(t, d.addr)
	for _, request := range []string{
		"GET /things?a=%20b HTTP/1.1\nHost: api.example.com\nAuthorization: Bearer t\nX-Straum-Attempt: 1\nA: b\nA: c\nx-mixed: d",
		"HEAD /things HTTP/1.1\nHost: api.example.com",
		"POST /things HTTP/1.1\nHost: api.example.com\nContent-Type: text/plain\nContent-Length: 4\n\nclay",
		"POST /things HTTP/1.1\nHost: api.example.com\nContent-Length: " + fmt.Sprint(len(long)) + "\n\n" + long,
		"PUT /things HTTP/1.1\nHost: api.example.com\nTransfer-Encoding: chunked\n\n4\r\nclay\r\n0\r\n\r\n",
		"POST /things HTTP/1.1\nHost: api.example.com\nContent-Length: 0",
	} {
		m, r := d.askOn(c, request)
		if m.Status() != 200 || !strings.HasPrefix(request, "HEAD") && string(m.Body) != "mine" || m.Has("Set-Cookie") || r.fault != "" {
			t.Errorf("%s: %s", request, m)
		}
		got, other := first.One(t), copied(t, &second)
		if other.Get("X-Straum-Mirrored") != "1" || got.Has("X-Straum-Mirrored") {
			t.Errorf("who is told that it is a copy?\n%s\n%s", got, other)
		}
		if !bytes.Equal(got.Body, other.Body) || got.Start != other.Start {
			t.Errorf("%s, %d bytes became %s, %d bytes", got.Start, len(got.Body), other.Start, len(other.Body))
		}
		for _, name := range got.Names() {
			want := got.Values(name)
			if strings.EqualFold(name, "Transfer-Encoding") {
				name, want = "Content-Length", []string{"4"} // it is known when it is sent
			}
			if a := other.Values(name); fmt.Sprint(a) != fmt.Sprint(want) {
				t.Errorf("%s: %s became %s", name, want, a)
			}
		}
		if len(other.Names()) != len(got.Names())+1 {
			t.Errorf("%s\nbecame\n%s", got, other)
		}
	}
	d.becomes(t, "answered_total 4xx=6")
	if stats := d.up.Stats().Endpoints[0]; stats.Answered != 6 || stats.Reused == 0 {
		t.Errorf("connections of copies: %+v", stats)
	}
}

// TestShadowIsNotMirrored: what is a copy already is not copied.
func TestShadowIsNotMirrored(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("mine")))
	s := wire.Listen(t, wire.Answering(wire.OK("other")))
	d := double(t, nil, e.Addr, s.Addr, copies("{upstream: up}"))
	d.ask(get + "\nX-Straum-Mirrored: 1")
	d.ask(get)
	d.becomes(t, "answered_total 2xx=1")
	if s.Conns() != 1 {
		t.Errorf("%d copies", s.Conns())
	}
}

// TestShadowAfterPolicies: the copy is of what the policies before made of the request.
func TestShadowAfterPolicies(t *testing.T) {
	var second wire.Recorder
	e := wire.Listen(t, wire.Answering(wire.OK("mine")))
	s := wire.Listen(t, wire.Recording(&second, func(*wire.Message) string { return wire.OK("other") }))
	d := double(t, nil, e.Addr, s.Addr, policytest.Use{Kind: rewrite.Kind, YAML: "{path: /v3, query: {set: {a: b}}, method: GET}"}, copies("{upstream: up}"))
	c := wire.Dial(t, d.addr)
	for range 2 {
		m, _ := d.askOn(c, "POST /things?a=c HTTP/1.1\nHost: a\nContent-Length: 4\n\nclay")
		if m.Status() != 200 {
			t.Error(m)
		}
		if got := copied(t, &second); got.Start != "GET /v3?a=b HTTP/1.1" || len(got.Body) > 0 {
			t.Errorf("%s, %d bytes", got.Start, len(got.Body))
		}
	}
	d.becomes(t, "answered_total 2xx=2")
}

// TestShadowHangs: whoever asked notices nothing of a second upstream that does not answer; copies are dropped then, and their time ends.
func TestShadowHangs(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("mine")))
	handle, came, left := hang()
	s := wire.Listen(t, handle)
	d := double(t, nil, e.Addr, s.Addr, copies("{upstream: up, max_in_flight: 2, timeout: 400ms}"))
	c := wire.Dial(t, d.addr)
	for range 5 {
		if m, r := d.askOn(c, "POST /things HTTP/1.1\nHost: a\nContent-Length: 4\n\nclay"); m.Status() != 200 || r.fault != "" || r.upstream.Tries != 1 {
			t.Errorf("%s, %+v", m, r)
		}
	}
	wait(t, "a copy comes", came)
	wait(t, "another comes", came)
	if !strings.Contains(d.figures(), "under_way=2") && !strings.Contains(d.figures(), "failed") {
		t.Errorf("figures: %s", d.figures())
	}
	wait(t, "a copy is given up", left)
	wait(t, "the other is", left)
	d.becomes(t, "failed_total=2 dropped_total full=3")
}

// TestShadowDown is a second upstream that is not there.
func TestShadowDown(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("mine")))
	d := double(t, nil, e.Addr, dead(t), copies("{upstream: up}"))
	for range 2 {
		if m, _ := d.ask(get); m.Status() != 200 {
			t.Error(m)
		}
	}
	d.becomes(t, "failed_total=2")
}

// TestShadowBreaksOff is one that breaks off its answer, and one whose answer has no end.
func TestShadowBreaksOff(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("mine")))
	s := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
		return false
	})
	d := double(t, nil, e.Addr, s.Addr, copies("{upstream: up}"))
	d.ask(get)
	d.becomes(t, "failed_total=1")

	gone := make(chan struct{}, 1)
	endless := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunk := "10000\r\n" + strings.Repeat("x", 0x10000) + "\r\n"
		for p.TrySend(chunk) == nil {
		}
		gone <- struct{}{}
		return false
	})
	d = double(t, nil, e.Addr, endless.Addr, copies("{upstream: up}"))
	d.ask(get)
	d.becomes(t, "answered_total 2xx=1")
	wait(t, "the endless answer is given up", gone)
}

// TestShadowStops: a policy that goes away gives its copies up.
func TestShadowStops(t *testing.T) {
	e := wire.Listen(t, wire.Answering(wire.OK("mine")))
	handle, came, left := hang()
	s := wire.Listen(t, handle)
	d := double(t, nil, e.Addr, s.Addr, copies("{upstream: up, timeout: 5m}"))
	d.ask(get)
	wait(t, "a copy comes", came)
	d.world.State.Close()
	wait(t, "it is given up", left)
	if m, _ := d.ask(get); m.Status() != 200 {
		t.Error(m)
	}
}

// TestShadowEarly: an endpoint that answers before it has all of the content is not kept from it, and the copy is dropped.
func TestShadowEarly(t *testing.T) {
	answered := make(chan struct{})
	e := wire.Listen(t, func(p *wire.Peer, m *wire.Message) bool {
		p.Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		<-answered
		return false
	})
	s := wire.Listen(t, wire.Answering(wire.OK("other")))
	d := double(t, nil, e.Addr, s.Addr, copies("{upstream: up, body: 1MiB}"))
	c := wire.Dial(t, d.addr)
	c.Send(crlf("POST /things HTTP/1.1\nHost: a\nContent-Length: 100000\n\nbegin"))
	if m := c.Answer("POST"); m.Status() != 413 {
		t.Error(m)
	}
	close(answered)
	d.next()
	d.becomes(t, "dropped_total unfinished=1")
	if s.Conns() != 0 {
		t.Error("it was copied")
	}
}
